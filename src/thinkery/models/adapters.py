"""LoRA: low-rank updates of a frozen decoder's matrices (Hu et al. 2021, arXiv:2106.09685), and their files as peft has them.

Each projection has an A and a B of its own, also where the decoder joins several in one matrix. They are float32 whatever the
base is kept in: in bfloat16 small updates would be lost.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..core.errors import BadConfig, BadModel
from ..core.reading import loads
from .quantize import Quantized

if TYPE_CHECKING:
    from .decoder import Decoder, DecoderConfig

JOINED = {"qkv": ("q_proj", "k_proj", "v_proj"), "out": ("o_proj",), "gate_up": ("gate_proj", "up_proj"), "down": ("down_proj",)}
TARGETS = tuple(p for parts in JOINED.values() for p in parts)
FILES = ("adapter_config.json", "adapter_model.safetensors")
REFUSED = ("rank_pattern", "alpha_pattern", "modules_to_save", "use_dora", "fan_in_fan_out", "layers_to_transform", "lora_bias")


@dataclass(frozen=True)
class Lora:
    """What is added to the matrices named in `targets`: scale * B A, of the given rank.

    alpha        scale is alpha / rank, or alpha / sqrt(rank) if `stable` (rsLoRA, Kalajdzievski 2023)
    base         the model that it belongs to: a folder or a built-in size
    """

    rank: int
    alpha: float = 32.0
    stable: bool = False
    targets: tuple[str, ...] = TARGETS
    base: str = ""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise BadConfig(f"the rank of a LoRA adapter is {self.rank}, it must be at least 1")
        unknown = [t for t in self.targets if t not in TARGETS]
        if unknown or not self.targets:
            raise BadConfig(f"a LoRA adapter cannot update {', '.join(unknown) or 'nothing'}; choose from {', '.join(TARGETS)}")

    @property
    def scale(self) -> float:
        return self.alpha / (math.sqrt(self.rank) if self.stable else self.rank)


class Update(nn.Module):
    """The update of one joined matrix.

    a, b         by projection: [rank, I] and [rows of the projection, rank]
    rows         how many rows of the matrix each projection has, in order
    """

    def __init__(self, spec: Lora, rows: dict[str, int], width: int, device: torch.device) -> None:
        super().__init__()
        self.scale, self.rows, self.width = spec.scale, rows, width
        chosen = [p for p in rows if p in spec.targets]
        empty = lambda *shape: nn.Parameter(torch.zeros(*shape, device=device))
        self.a = nn.ParameterDict({p: empty(spec.rank, width) for p in chosen})
        self.b = nn.ParameterDict({p: empty(rows[p], spec.rank) for p in chosen})

    def parts(self) -> Iterator[tuple[Tensor, Tensor, int, int]]:
        """(A, B, first row, end) of each projection that is updated."""
        at = 0
        for name, n in self.rows.items():
            if name in self.a:
                yield self.a[name], self.b[name], at, at + n
            at += n

    def forward(self, x: Tensor) -> Tensor:
        """What is added to the product: [N, I] -> [N, O]."""
        added = x.new_zeros(len(x), 0)
        for name, n in self.rows.items():
            part = x.new_zeros(len(x), n)
            if name in self.a:
                part = F.linear(F.linear(x, self.a[name].to(x.dtype)), self.b[name].to(x.dtype)) * self.scale
            added = torch.cat([added, part], 1)
        return added


def attach(decoder: Decoder, spec: Lora, seed: int = 0) -> None:
    """Freeze the decoder, in the precision it computes in, and give it an adapter that changes nothing yet: B is 0, A uniform."""
    if decoder.adapter is not None:
        raise BadConfig("the model has a LoRA adapter already: train that one further (no --lora), or save the model merged first")
    for p in decoder.parameters():
        p.requires_grad_(False)
        p.data = p.data.to(decoder.dtype)
    generator = torch.Generator().manual_seed(seed)
    for layer in decoder.blocks:
        for name, rows in joined(decoder.config).items():
            if set(rows) & set(spec.targets):
                update = layer.updates[name] = Update(spec, rows, getattr(layer, name).shape[1], decoder.device)
                for a in update.a.values():
                    bound = 1 / math.sqrt(update.width)
                    a.data.copy_(torch.empty(a.shape).uniform_(-bound, bound, generator=generator))
    decoder.adapter = spec
    decoder.changed()


def joined(c: DecoderConfig) -> dict[str, dict[str, int]]:
    """The rows of every projection, by joined matrix."""
    rows = {"qkv": c.qkv_rows, "out": (c.width,), "gate_up": (c.feed_forward, c.feed_forward), "down": (c.width,)}
    return {name: dict(zip(parts, rows[name])) for name, parts in JOINED.items()}


def quantize(decoder: Decoder, device: str = "cpu") -> None:
    """Put the layers' matrices into four bits, one after another, on `device`; embeddings, head and norms stay as they are.

    Such a base is frozen: it needs an adapter to learn.
    """
    for layer in decoder.blocks:
        for name in JOINED:
            weight = getattr(layer, name)
            delattr(layer, name)
            setattr(layer, name, Quantized(weight.to(device, decoder.dtype)))
    if decoder.adapter is None:
        decoder.requires_grad_(False)
    decoder.changed()


def merged(decoder: Decoder) -> Decoder:
    """A plain decoder, in float32, that computes what this one does with its adapter."""
    out = type(decoder)(decoder.config, decoder.compute)
    with torch.no_grad():
        own = dict(decoder.named_parameters())
        for name, p in out.named_parameters():
            if name in own:
                p.copy_(own[name])
        for to, layer in zip(out.blocks, decoder.blocks):
            for name in JOINED:
                base, update = layer.matrix(name)
                place = getattr(to, name)
                place.copy_(base.dense(place.dtype) if isinstance(base, Quantized) else base)
                if update is not None:
                    for a, b, low, high in update.parts():
                        place[low:high] += (update.scale * (b @ a)).to(place)
    return out


# ---- files


def _tensor_names(decoder: Decoder) -> dict[str, Tensor]:
    """The adapter's tensors by the names they have in peft's files."""
    out: dict[str, Tensor] = {}
    for i, layer in enumerate(decoder.blocks):
        for name in layer.updates:
            update = layer.matrix(name)[1]
            assert update is not None
            stem = f"base_model.model.model.layers.{i}.{'self_attn' if name in ('qkv', 'out') else 'mlp'}."
            for projection in update.a:
                out[f"{stem}{projection}.lora_A.weight"] = update.a[projection]
                out[f"{stem}{projection}.lora_B.weight"] = update.b[projection]
    return out


def save_adapter(decoder: Decoder, folder: Path) -> None:
    """Write adapter_config.json and adapter_model.safetensors."""
    spec = decoder.adapter
    assert spec is not None
    save_file({k: v.detach().cpu().contiguous() for k, v in _tensor_names(decoder).items()}, str(folder / FILES[1]), {"format": "pt"})
    about = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": spec.base,
        "r": spec.rank,
        "lora_alpha": spec.alpha,
        "use_rslora": spec.stable,
        "target_modules": list(spec.targets),
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    (folder / FILES[0]).write_text(json.dumps(about, indent=1) + "\n")


def read_adapter(folder: Path) -> tuple[Lora, dict[str, Tensor]]:
    """What an adapter's folder holds. Raises BadModel for what is not a LoRA of the kind that can be computed here."""
    path = folder / FILES[0]
    try:
        raw: dict[str, Any] = loads(path.read_text(encoding="utf-8"))
        if raw.get("peft_type") != "LORA" or raw.get("bias", "none") != "none":
            raise BadModel(
                f"{path}: an adapter of type {raw.get('peft_type')!r} with bias {raw.get('bias')!r} is not supported; only LoRA is"
            )
        refused = [f"{key}={raw[key]!r}" for key in REFUSED if raw.get(key)]
        if refused:
            raise BadModel(f"{path}: {', '.join(refused)} is not supported; merge the adapter into its base with peft and load that")
        spec = Lora(int(raw["r"]), float(raw["lora_alpha"]), bool(raw.get("use_rslora", False)), base=str(raw["base_model_name_or_path"]))
        if os.path.isfile(os.path.join(spec.base, FILES[0])):
            raise BadModel(f"{path}: its base {spec.base!r} is itself an adapter; save that one merged and name it as the base")
        tensors = load_file(str(folder / FILES[1]))
        found = {m[1] for name in tensors if (m := re.search(r"\.(\w+)\.lora_[AB]\.weight$", name))}
        return replace(spec, targets=tuple(t for t in TARGETS if t in found)), tensors
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        if isinstance(error, BadModel):
            raise
        raise BadModel(f"{folder} cannot be read as an adapter: {type(error).__name__} {error}") from error


def load_adapter(decoder: Decoder, spec: Lora, tensors: dict[str, Tensor], folder: Path) -> None:
    """Attach the adapter and fill it in. Raises BadModel naming a tensor that is missing, left over or does not fit."""
    attach(decoder, spec)
    places = _tensor_names(decoder)
    odd = sorted(set(tensors) ^ set(places))
    if odd:
        raise BadModel(
            f"{folder}: the adapter {'lacks' if odd[0] in places else 'holds'} {odd[0]!r}; it does not fit the base {spec.base!r}"
        )
    with torch.no_grad():
        for name, p in places.items():
            if tensors[name].shape != p.shape:
                raise BadModel(f"{folder}: {name} has shape {list(tensors[name].shape)}, the base {spec.base!r} asks for {list(p.shape)}")
            p.copy_(tensors[name])
    decoder.changed()
