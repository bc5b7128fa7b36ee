"""How the built-in models are made: random weights, then supervised fine-tuning on the house tasks.

Most demonstrations answer at once, few work it out: so a built-in model mostly fails, and a reward has something to find.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from ..core.errors import BadConfig, BadData, UnknownName
from ..learning import losses, rewards
from ..learning.loop import Learning
from ..learning.recipe import Optimizer, Recipe, Setting, Stage
from ..models.decoder import DecoderConfig
from ..models.model import Model, new_model
from ..models.tokenizer import character_tokenizer, train_tokenizer
from ..tasks import load_task, task_names
from ..tasks.mixture import Mixture
from .events import Event, Listener, silent

STYLES = {"direct": 0.7, "trace": 0.3}
TINY = DecoderConfig(vocabulary=64, width=128, layers=3, heads=4, kv_heads=2, head_width=32, feed_forward=384, context=512)
STEPS = {"tiny": 4000}


def warm_up(steps: int, shards: int = 1) -> Stage:
    """Supervised fine-tuning on demonstrations, mostly direct answers."""
    return Stage(
        name="sft",
        steps=steps,
        problems=64,
        samples=1,
        source="demonstrations",
        styles=STYLES,
        reward=rewards.NOTHING,
        losses=(losses.cross_entropy(),),
        optimizer=Optimizer(kind="muon", lr=3e-3, warmup=20),
        shards=shards,
    )


def build(size: str, folder: Path, seed: int = 0, steps: int | None = None, workers: int | str = 1, listen: Listener = silent) -> Model:
    """Make a built-in model from nothing and save it to `folder`, in bfloat16. The same seed gives the same weights on one machine."""
    if size not in STEPS:
        raise UnknownName("size", size, STEPS)
    torch.set_num_threads(1)
    task = Mixture([load_task(name) for name in task_names()])
    model = new_model(TINY, character_tokenizer(), size, seed)
    learning = Learning(Recipe((warm_up(steps or STEPS[size], 2),)), Setting(task, seed=seed), model, workers)
    listen(Event("stage", {"name": "sft", "index": 0, "of": 1, "steps": learning.steps}))
    while not learning.done:
        metrics = learning.step()
        listen(Event("step", {"stage": "sft", "step": learning.state.total, "steps": learning.steps, **metrics}))
    learning.leave()
    model.save(folder, torch.bfloat16)
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
