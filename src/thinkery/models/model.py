"""Model: a decoder with its tokenizer and how questions become contexts; load it from a folder, save it to one."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch

from ..core.context import Context
from ..core.errors import BadModel, UnknownName
from ..core.records import Question
from .adapters import FILES, Lora, load_adapter, merged, read_adapter, save_adapter
from .chat import Chat
from .checkpoint import SHARD_BYTES, config_json, load_weights, native, read_config, read_raw, save_weights
from .decoder import Decoder, DecoderConfig
from .foreign import ForeignDecoder, load_foreign
from .layout import rectangle
from .tokenizer import Tokenizer, load_tokenizer, read_json

BUILT_IN = Path(__file__).parent / "built_in"
ON_DEMAND = ("small", "medium")  # sizes that are too large to ship
RANDOM = "random:"  # before a model's name: its shape and tokenizer, with random weights


class Model:
    """A decoder and its tokenizer.

    name     how records call it
    origin   config.json and generation_config.json as its folder had them, by name: what they say beyond the decoder is saved again
    """

    def __init__(self, decoder: Decoder, tokenizer: Tokenizer, name: str, origin: dict[str, dict[str, Any]] | None = None) -> None:
        if tokenizer.size > decoder.config.vocabulary:
            raise BadModel(
                f"{name}: the tokenizer has {tokenizer.size} tokens, the embedding only {decoder.config.vocabulary}; "
                "the tokenizer belongs to another model, or its new tokens were never added to the weights"
            )
        self.decoder, self.tokenizer, self.name, self.origin = decoder, tokenizer, name, origin or {}

    @property
    def writer(self) -> tuple[str, int]:
        """(name, weights version): who writes."""
        return self.name, self.decoder.version

    @property
    def chat(self) -> Chat | None:
        """How it puts messages; None: it has no chat template."""
        return self.tokenizer.chat

    def context(self, root: Context, x: str | Question | Context) -> Context:
        """What a solver hands over as a context: text as it is; a question as a user's message, or its prompt alone without a template."""
        if isinstance(x, Context):
            return x
        if isinstance(x, str) or self.chat is None:
            return root + (x if isinstance(x, str) else x.prompt)
        ids, begin = self.chat.question(x.prompt, x.instruction), root.segment
        return root + (ids[len(begin) :] if begin and ids[: len(begin)] == begin else ids)  # the template may begin a text as well

    def logprobs(self, prompt: str, reply: str) -> torch.Tensor:
        """Log-probability of each of the reply's tokens after the prompt, in nats, float [T]; the end token is not counted."""
        before = Context.of(prompt, self.tokenizer).ids
        after = self.tokenizer.encode(reply)
        layout = rectangle([(*before, *after)])
        with torch.no_grad():
            hidden = self.decoder(layout)[len(before) - 1 : len(before) - 1 + len(after)]
            return self.decoder.token_logprobs(hidden, torch.tensor(after), torch.ones(len(after)))[0]

    def save(self, folder: Path, dtype: torch.dtype | None = None, merge: bool = False, max_shard_bytes: int = SHARD_BYTES) -> None:
        """Write the folder as Hugging Face has it; it appears whole or not at all. Larger weights than `max_shard_bytes` go into shards.

        Of an adapted model that is the adapter alone, as peft has it, or with `merge` a whole model that needs neither base nor adapter.
        """
        folder = Path(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
            to = Path(scratch) / "model"
            to.mkdir()
            self.tokenizer.save(to, self.decoder.config.context)
            if self.decoder.adapter is not None and not merge:
                save_adapter(self.decoder, to)
                _replace(to, folder)
                return
            if isinstance(self.decoder, ForeignDecoder):
                self.decoder.save(to, dtype)
                _replace(to, folder)
                return
            whole = self.decoder if self.decoder.adapter is None else merged(self.decoder)
            save_weights(whole, to, dtype, max_shard_bytes)
            for name, said in self._configs(dtype or whole.embed.dtype).items():
                (to / name).write_text(json.dumps(said, indent=1) + "\n")
            _replace(to, folder)

    def _configs(self, dtype: torch.dtype) -> dict[str, dict[str, Any]]:
        """What is saved beside the weights, by file."""
        t, kind = self.tokenizer, str(dtype).removeprefix("torch.")
        ends = [t.end, *sorted(t.ends - {t.end})]
        new = {"bos_token_id": t.begin, "pad_token_id": t.pad, "do_sample": True, "temperature": 1.0}
        said = self.origin.get("generation_config.json") or new
        return {
            "config.json": config_json(self.decoder.config, t.begin, t.end, t.pad, kind, self.origin.get("config.json")),
            "generation_config.json": said | {"eos_token_id": ends if len(ends) > 1 else t.end},
        }


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
    """A model from a Hugging Face folder, an adapter's folder (with the base that it names) or a built-in size; "random:tiny" is a model
    like tiny that has learnt nothing, with the same random weights each time.

    Parameters are float32 masters; `dtype` (torch.bfloat16, …) is what it computes in. Raises UnknownName or BadModel.
    """
    if str(path).startswith(RANDOM):
        fresh = new_model(config_of(path)[0], tokenizer_of(path), str(path))
        fresh.decoder.to(device).compute = dtype
        return fresh
    folder = find(path)
    if (folder / FILES[0]).is_file():
        spec, tensors = read_adapter(folder)
        model = load_model(spec.base, device, dtype)
        load_adapter(model.decoder, spec, tensors, folder)
        return Model(model.decoder, model.tokenizer, folder.resolve().name, model.origin)
    reason = native(folder)
    if reason is not None:
        return Model(load_foreign(folder, reason, dtype).to(device), load_tokenizer(folder, read_raw(folder)), folder.resolve().name)
    config, raw = read_config(folder)
    tokenizer = load_tokenizer(folder, raw)
    decoder = load_weights(folder, config).to(device)
    decoder.compute = dtype
    origin = {"config.json": raw, "generation_config.json": read_json(folder / "generation_config.json")}
    return Model(decoder, tokenizer, folder.resolve().name, origin)


def find(path: str | Path) -> Path:
    """The folder of a model. Raises UnknownName."""
    name = str(path)
    folder = BUILT_IN / name if os.path.isdir(BUILT_IN / name) and "/" not in name else Path(path)
    if not os.path.isdir(folder):  # unlike `is_dir` also of names that no file can have
        made = f"Make it with: thinkery model build {name}, then give its folder." if name in ON_DEMAND else ""
        raise UnknownName("model", name, built_in(), made or "Give a built-in size or a Hugging Face model folder.")
    return folder


def config_of(path: str | Path) -> tuple[DecoderConfig, Lora | None]:
    """A model's sizes and the adapter it has, from its configuration alone. Raises UnknownName or BadModel."""
    folder = find(str(path).removeprefix(RANDOM))
    if (folder / FILES[0]).is_file():
        spec = read_adapter(folder)[0]
        return config_of(spec.base)[0], spec
    return read_config(folder)[0], None


def tokenizer_of(path: str | Path) -> Tokenizer:
    """A model's tokenizer, without its weights; an adapter's is its base's. Raises UnknownName or BadModel."""
    folder = find(str(path).removeprefix(RANDOM))
    if (folder / FILES[0]).is_file():
        return tokenizer_of(read_adapter(folder)[0].base)
    return load_tokenizer(folder, read_raw(folder))


def built_in() -> list[str]:
    """Names of the sizes that ship with the package."""
    return sorted(p.name for p in BUILT_IN.iterdir() if (p / "config.json").is_file()) if BUILT_IN.is_dir() else []


def new_model(config: DecoderConfig, tokenizer: Tokenizer, name: str, seed: int = 0) -> Model:
    """A model with random weights."""
    return Model(Decoder(config).initialise(torch.Generator().manual_seed(seed)), tokenizer, name)
