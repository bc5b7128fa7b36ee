"""Model: a decoder with its tokenizer and how questions become contexts; load it from a folder, save it to one."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import torch

from ..core.context import Context
from ..core.errors import BadModel, UnknownName
from ..core.records import Question
from .checkpoint import config_json, load_weights, read_config, save_weights
from .decoder import Decoder, DecoderConfig
from .layout import rectangle
from .tokenizer import Tokenizer, load_tokenizer

BUILT_IN = Path(__file__).parent / "built_in"


class Model:
    """A decoder and its tokenizer.

    name     how records call it
    """

    def __init__(self, decoder: Decoder, tokenizer: Tokenizer, name: str) -> None:
        if tokenizer.size > decoder.config.vocabulary:
            raise BadModel(
                f"{name}: the tokenizer has {tokenizer.size} tokens, the embedding only {decoder.config.vocabulary}; "
                "the tokenizer belongs to another model, or its new tokens were never added to the weights"
            )
        self.decoder, self.tokenizer, self.name = decoder, tokenizer, name

    @property
    def writer(self) -> tuple[str, int]:
        """(name, weights version): who writes."""
        return self.name, self.decoder.version

    def context(self, root: Context, x: str | Question | Context) -> Context:
        """What a solver hands over as a context: a question's prompt as plain text after the root."""
        if isinstance(x, Context):
            return x
        return root + (x if isinstance(x, str) else x.prompt)

    def logprobs(self, prompt: str, reply: str) -> torch.Tensor:
        """Log-probability of each of the reply's tokens after the prompt, in nats, float [T]; the end token is not counted."""
        before = Context.of(prompt, self.tokenizer).ids
        after = self.tokenizer.encode(reply)
        layout = rectangle([(*before, *after)])
        with torch.no_grad():
            hidden = self.decoder(layout)[len(before) - 1 : len(before) - 1 + len(after)]
            return self.decoder.token_logprobs(hidden, torch.tensor(after), torch.ones(len(after)))[0]

    def save(self, folder: Path, dtype: torch.dtype | None = None) -> None:
        """Write the folder as Hugging Face has it; it appears whole or not at all."""
        folder = Path(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
            to = Path(scratch) / "model"
            to.mkdir()
            save_weights(self.decoder, to, dtype)
            t, c = self.tokenizer, self.decoder.config
            kind = str(dtype or self.decoder.embed.dtype).removeprefix("torch.")
            (to / "config.json").write_text(json.dumps(config_json(c, t.begin, t.end, t.pad, kind), indent=1) + "\n")
            generation = {"bos_token_id": t.begin, "eos_token_id": t.end, "pad_token_id": t.pad, "do_sample": True, "temperature": 1.0}
            (to / "generation_config.json").write_text(json.dumps(generation, indent=1) + "\n")
            t.save(to, c.context)
            _replace(to, folder)


def _replace(new: Path, old: Path) -> None:
    """Put the folder `new` where `old` is."""
    for path in new.iterdir():
        with path.open("rb") as f:
            os.fsync(f.fileno())
    if old.exists():
        aside = new.parent / "old"
        old.rename(aside)
    new.rename(old)


def load_model(path: str | Path, device: str = "cpu", dtype: torch.dtype | None = None) -> Model:
    """A model from a Hugging Face folder or a built-in size.

    Parameters are float32 masters; `dtype` (torch.bfloat16, …) is what it computes in. Raises UnknownName or BadModel.
    """
    name = str(path)
    folder = BUILT_IN / name if (BUILT_IN / name).is_dir() and "/" not in name else Path(path)
    if not folder.is_dir():
        raise UnknownName("model", name, built_in(), "Give a built-in size or a Hugging Face model folder.")
    config, raw = read_config(folder)
    tokenizer = load_tokenizer(folder, raw)
    decoder = load_weights(folder, config).to(device)
    decoder.compute = dtype
    return Model(decoder, tokenizer, name if folder.parent == BUILT_IN else folder.resolve().name)


def built_in() -> list[str]:
    """Names of the sizes that ship with the package."""
    return sorted(p.name for p in BUILT_IN.iterdir() if (p / "config.json").is_file()) if BUILT_IN.is_dir() else []


def new_model(config: DecoderConfig, tokenizer: Tokenizer, name: str, seed: int = 0) -> Model:
    """A model with random weights."""
    return Model(Decoder(config).initialise(torch.Generator().manual_seed(seed)), tokenizer, name)
