"""Models that the decoder does not cover, run by transformers' own code behind the decoder's interface.

Rows are padded on the right and prefixes are not shared: a recurrent layer has a state and no mask, so a pad token in front would
change what follows, and one behind changes nothing. Weights are safetensors; code from a model's folder is never run.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from ..core.errors import BadConfig, BadModel, MissingExtra
from .decoder import Decoder, DecoderConfig, Layer
from .layout import Layout
from .ops_torch import CHUNK

SIZES = {
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_width": "head_dim",
    "feed_forward": "intermediate_size",
    "layers": "num_hidden_layers",
}

_cast: WeakKeyDictionary[nn.Module, tuple[Any, dict[str, Tensor]]] = WeakKeyDictionary()  # part -> (version, its weights in another dtype)


class ForeignDecoder(Decoder):
    """A causal language model of transformers as a decoder: the same members, each row by itself.

    module    the model as transformers has it, always in evaluation mode
    remark    why it is not decoded here, for people
    """

    def __init__(self, module: Any, compute: torch.dtype | None = None, remark: str = "") -> None:
        nn.Module.__init__(self)
        self.config, self.compute, self.remark = sizes(module), compute, remark
        self.version, self.plain, self.shareable = 0, True, False
        self.adapter, self.checkpointing, self.heads = None, False, nn.ParameterDict()
        self.module = module.eval()
        inputs, outputs = module.get_input_embeddings().weight, module.get_output_embeddings().weight
        self.embed, self.untied = inputs, None if outputs is inputs else outputs

    def forward(self, layout: Layout) -> Tensor:
        """Hidden states [N, D] of padded rows, after the final norm. Raises PromptTooLong."""
        assert layout.grid is not None, "a foreign model takes rows"
        self.check_length(int(layout.positions.max()) + 1)
        tokens = torch.as_tensor(layout.tokens, device=self.device).view(layout.grid)
        hidden: Tensor = self.call(self.module.base_model, input_ids=tokens, use_cache=False).last_hidden_state
        return hidden.reshape(len(layout), -1)

    @property
    def blocks(self) -> list[Layer]:
        """Raises BadConfig: what changes the decoder's own layers (adapters, quantising) does not reach these."""
        raise BadConfig(f"{self.remark}; adapters and quantised weights are only for models that are decoded here")

    def call(self, part: nn.Module, **inputs: Any) -> Any:
        """What a part of the module (or all of it) says, computed in the decoder's dtype."""
        return part(**inputs) if self.dtype == self.embed.dtype else functional_call(part, self.cast(part), (), inputs)

    def cast(self, part: nn.Module, without: str = "\0") -> dict[str, Tensor]:
        """A part's parameters as it computes with them, but for those whose names begin with `without`; for decoding made once a version."""
        make = lambda: {n: self.weight(p) for n, p in part.named_parameters(remove_duplicate=False) if not n.startswith(without)}
        if torch.is_grad_enabled():
            return make()
        found = _cast.get(part)
        if found is None or found[0] != (self.version, self.dtype):
            found = _cast[part] = ((self.version, self.dtype), make())
        return found[1]

    def logits(self, hidden: Tensor) -> Tensor:
        """[M, V] from hidden states [M, D], by the module's own head, whatever it does to logits (caps, scales, biases)."""
        body = self.module.base_model
        body.forward = lambda *_, **__: _Given(hidden[None])
        try:
            inputs = {"input_ids": torch.zeros(1, len(hidden), dtype=torch.long, device=hidden.device), "use_cache": False}
            return functional_call(self.module, self.cast(self.module, f"{self.module.base_model_prefix}."), (), inputs).logits[0]
        finally:
            del body.forward

    def token_logprobs(self, hidden: Tensor, targets: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
        """As Decoder's; never holds [M, V] at once: chunks of rows, recomputed in the backward pass."""
        wide = torch.float64 if self.dtype == torch.float64 else torch.float32
        scale, targets = (1 / temperature.to(wide)).to(self.device), targets.to(self.device)

        def part(h: Tensor, t: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
            logps = (self.logits(h).to(wide) * s[:, None]).log_softmax(-1)
            return logps.gather(1, t[:, None])[:, 0], -(logps.exp() * logps).sum(-1)

        rows = max(1, CHUNK // self.config.vocabulary)
        cut = [x.split(rows) for x in (hidden, targets, scale)]
        parts = [checkpoint(part, *c, use_reentrant=False, preserve_rng_state=False) for c in zip(*cut)]
        return torch.cat([logp for logp, _ in parts]), torch.cat([entropy for _, entropy in parts])

    def save(self, folder: Path, dtype: torch.dtype | None = None) -> None:
        """Write config.json and the weights as transformers does."""
        module = self.module if dtype in (None, self.embed.dtype) else copy.deepcopy(self.module).to(dtype)
        with quiet():
            module.save_pretrained(folder)


class _Given:
    """Stands for what the body returns: the hidden states, and None for all else that a head may ask about."""

    def __init__(self, hidden: Tensor) -> None:
        self.last_hidden_state = hidden

    def __getitem__(self, i: int) -> Tensor:
        return self.last_hidden_state

    def __getattr__(self, name: str) -> None:
        return None


def sizes(module: Any) -> DecoderConfig:
    """What the learner may ask about a module; a size that its kind does not have is 0."""
    text = module.config.get_text_config()
    found: dict[str, Any] = {ours: getattr(text, theirs, None) or 0 for ours, theirs in SIZES.items()}
    vocabulary, width = module.get_output_embeddings().weight.shape
    tied = module.get_output_embeddings().weight is module.get_input_embeddings().weight
    context = getattr(text, "max_position_embeddings", None) or 1 << 20  # a recurrent model names none
    return DecoderConfig(vocabulary=vocabulary, width=width, context=context, tied=tied, **found)


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and remarks of transformers on the terminal."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def load_foreign(folder: Path, reason: str, compute: torch.dtype | None = None, dtype: torch.dtype = torch.float32) -> ForeignDecoder:
    """The model of a folder as transformers runs it; `reason` says why the decoder does not. Raises MissingExtra, BadModel."""
    try:
        import transformers
    except ImportError as error:
        raise MissingExtra("transformers", "hf", f"{folder} ({reason})") from error
    if not (any(folder.glob("*.safetensors")) or (folder / "model.safetensors.index.json").is_file()):
        raise BadModel(f"{folder} has no model.safetensors; weights must be safetensors (pickle files are never loaded)")
    known = {"dtype": dtype, "use_safetensors": True, "trust_remote_code": False, "local_files_only": True}
    told = {"output_loading_info": True, "ignore_mismatched_sizes": True}  # what does not fit is refused below, by name
    try:
        with quiet():
            loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(str(folder), **known, **told)
    except Exception as error:  # whatever a config or a file may be wrong about
        raise BadModel(f"{folder} ({reason}): transformers cannot load it: {type(error).__name__} {error}") from error
    module, found = loaded
    wrong = {key: f"{list(has)}, config.json asks for {list(wants)}" for key, has, wants in found["mismatched_keys"]}
    for key in sorted(wrong):
        raise BadModel(f"{folder} ({reason}): {key} has shape {wrong[key]}")
    for key in sorted(found["missing_keys"]):
        raise BadModel(f"{folder} ({reason}): the weights lack {key!r}; the file does not match config.json")
    return ForeignDecoder(module, compute, f"{reason}: it runs through transformers, rows padded, prefixes not shared")


def as_foreign(model: Any) -> ForeignDecoder:
    """A model of ours as transformers runs it, by way of its saved folder; the weights are copies."""
    with tempfile.TemporaryDirectory() as scratch:
        model.save(Path(scratch) / "model", merge=True)
        masters = model.decoder.embed.dtype
        return load_foreign(Path(scratch) / "model", "by request", model.decoder.compute, masters).to(model.decoder.device)
