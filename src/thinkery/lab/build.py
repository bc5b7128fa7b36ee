"""How the built-in models are made: random weights, then supervised fine-tuning on the house tasks.

Most demonstrations answer at once, few work it out: so a built-in model mostly fails, and a reward has something to find.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..core.errors import BadConfig, BadData, UnknownName
from ..learning.loop import Learning
from ..learning.recipe import Recipe, Setting, imitation
from ..models.decoder import DecoderConfig
from ..models.model import Model, new_model
from ..models.tokenizer import character_tokenizer, train_tokenizer
from ..tasks import load_task
from ..tasks.mixture import Mixture
from .events import Event, Listener, silent
from .run import Run, drive

CHECKPOINT_S = 60.0

STYLES = {"direct": 0.7, "trace": 0.3}
TAUGHT = ("addition", "chain", "countdown", "logic")  # in this order: another changes the weights


@dataclass(frozen=True)
class Size:
    """A built-in model: its shape, and how long it is trained: steps of so many demonstrations."""

    config: DecoderConfig
    steps: int
    problems: int
    shards: int = 2


TINY = DecoderConfig(vocabulary=64, width=128, layers=3, heads=4, kv_heads=2, head_width=32, feed_forward=384, context=512)
SMALL = replace(TINY, width=320, layers=6, heads=10, kv_heads=5, feed_forward=960, context=2048)
MEDIUM = replace(TINY, width=512, layers=10, heads=16, kv_heads=8, feed_forward=1536, context=4096)
SIZES = {
    "tiny": Size(TINY, 4000, 64),
    "small": Size(SMALL, 25_000, 1024, 8),  # about a billion tokens: far past what its size asks for
    "medium": Size(MEDIUM, 50_000, 1024, 8),
}


def build(
    size: str,
    folder: Path,
    seed: int = 0,
    steps: int | None = None,
    workers: int | str = 1,
    listen: Listener = silent,
    device: str = "auto",
) -> Model:
    """Make a built-in model from nothing and save it to `folder`, in bfloat16. The same seed gives the same weights on one machine.

    Works in `folder`.build, which goes when the model is there: interrupted, the same call goes on from there. Raises UnknownName.
    """
    if size not in SIZES:
        raise UnknownName("size", size, SIZES)
    torch.set_num_threads(1)
    of, place = SIZES[size], ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    task = Mixture([load_task(name) for name in TAUGHT])
    model = new_model(of.config, character_tokenizer(), size, seed)
    model.decoder.to(place)
    if place != "cpu":
        model.decoder.compute = torch.bfloat16
    recipe = Recipe((imitation(steps or of.steps, STYLES, of.problems, of.shards),))
    about = {"method": "sft", "task": task.name, "model": size, "seed": seed, "size": size, "config": {"steps": steps or of.steps}}
    run = Run(folder.with_name(f"{folder.name}.build"), about, resume=True)
    try:
        drive(Learning(recipe, Setting(task, seed=seed), model, workers), run, listen, CHECKPOINT_S, lambda stage, metrics: None)
    finally:
        run.close()
    model.save(folder, torch.bfloat16)
    shutil.rmtree(run.folder)
    listen(Event("saved", {"path": str(folder), "what": "model"}))
    return model


def from_texts(
    folder: Path, files: Sequence[Path], column: str, vocabulary: int, width: int, layers: int, context: int, seed: int
) -> Model:
    """A model with random weights whose vocabulary is learnt from a column of JSONL files. Raises BadData, BadConfig."""
    if vocabulary < 300:
        raise BadConfig(f"a vocabulary of {vocabulary} tokens is too small: 256 bytes and 3 special tokens come first; take 300 or more")
    if width < 32 or width % 32 or layers < 1:
        raise BadConfig(f"width {width} and {layers} layers: the width must be a multiple of 32, and there must be a layer")
    texts: list[str] = []
    for path in files:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise BadData(path, error.strerror or str(error)) from error
        for n, line in enumerate(lines, 1):
            try:
                texts.append(str(json.loads(line)[column]))
            except (ValueError, KeyError, TypeError) as error:
                raise BadData(path, f"no text under {column!r} ({type(error).__name__})", n) from error
    tokenizer = train_tokenizer(texts, vocabulary)
    heads = width // 32
    config = DecoderConfig(
        vocabulary=-(-tokenizer.size // 64) * 64,
        width=width,
        layers=layers,
        heads=heads,
        kv_heads=heads // 2 if heads % 2 == 0 else heads,
        head_width=32,
        feed_forward=3 * width,
        context=context,
    )
    model = new_model(config, tokenizer, folder.name, seed)
    model.save(folder)
    return model
