"""Optimizers and learning-rate schedules, with state that saves exactly."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..core.errors import MissingExtra
from ..models.decoder import Decoder
from .gradient import trained
from .recipe import Optimizer


def build(spec: Optimizer, decoder: Decoder) -> list[torch.optim.Optimizer]:
    """AdamW for all that learns, or Muon for the hidden matrices and AdamW for the rest. Raises MissingExtra."""
    named = list(trained(decoder).items())
    hidden = [p for n, p in named if p.dim() == 2 and "layers." in n] if spec.kind == "muon" else []
    ids = {id(p) for p in hidden}
    rest = [p for _, p in named if id(p) not in ids]
    kind, more = (_adamw8bit(), {}) if spec.kind == "adamw8bit" else (torch.optim.AdamW, {"fused": True})
    adam = [kind(rest, lr=spec.lr, betas=spec.betas, weight_decay=spec.weight_decay, **more)] if rest else []
    muon = [torch.optim.Muon(hidden, lr=spec.muon_lr, weight_decay=spec.weight_decay, momentum=0.95)] if hidden else []
    return [*adam, *muon]


def _adamw8bit() -> Any:
    try:
        from bitsandbytes.optim.adamw import AdamW8bit
    except ImportError as error:
        raise MissingExtra("bitsandbytes", "bits", "the optimizer adamw8bit") from error
    return AdamW8bit


def rate(spec: Optimizer, step: int, steps: int) -> float:
    """The learning rate of step 0..steps-1 as a share of the peak."""
    warm = min(1.0, (step + 1) / max(1, spec.warmup))
    left = 1 - step / max(1, steps)
    return warm * {"none": 1.0, "linear": left, "cosine": 0.5 * (1 + math.cos(math.pi * (1 - left)))}[spec.decay]


def apply(spec: Optimizer, optimizers: list[torch.optim.Optimizer], decoder: Decoder, gradient: Tensor, share: float) -> dict[str, float]:
    """One update from the flat gradient, clipped to `spec.clip`; the decoder's version rises. Returns gradient norm and learning rate."""
    norm = float(torch.linalg.vector_norm(gradient, dtype=torch.float64))
    if not math.isfinite(norm):
        return {"gradient_norm": norm, "skipped": 1.0}
    if norm > spec.clip:
        gradient = gradient * (spec.clip / norm)
    at, learnt = 0, list(trained(decoder).values())
    for p in learnt:
        p.grad = gradient[at : at + p.numel()].view_as(p)
        at += p.numel()
    for optimizer in optimizers:
        peak = spec.muon_lr if isinstance(optimizer, torch.optim.Muon) else spec.lr
        for group in optimizer.param_groups:
            group["lr"] = peak * share
        optimizer.step()
    for p in learnt:
        p.grad = None
    decoder.changed()
    return {"gradient_norm": norm, "lr": spec.lr * share}


def state_tensors(optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """All state of the optimizers as named tensors."""
    out = {}
    for i, optimizer in enumerate(optimizers):
        for j, p in enumerate(_parameters(optimizer)):
            for k, v in optimizer.state[p].items():
                out[f"{i}.{j}.{k}"] = v.detach().clone() if isinstance(v, Tensor) else torch.tensor(v)
    return out


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def load_state(optimizers: list[torch.optim.Optimizer], tensors: dict[str, Tensor]) -> None:
    """Put the named tensors back."""
    for name, v in tensors.items():
        i, j, k = name.split(".", 2)
        p = _parameters(optimizers[int(i)])[int(j)]
        count = v.dim() == 0 and not v.is_floating_point()  # 8-bit AdamW counts its steps by a Python number
        optimizers[int(i)].state[p][k] = v.item() if count else v.to(p.device, copy=True)
