"""Optimizers and learning-rate schedules, with state that saves exactly."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..models.decoder import Decoder
from .recipe import Optimizer


def build(spec: Optimizer, decoder: Decoder) -> list[torch.optim.Optimizer]:
    """AdamW for all, or Muon for the hidden matrices and AdamW for the rest."""
    named = list(decoder.named_parameters())
    hidden = [p for n, p in named if p.dim() == 2 and n.startswith("layers.")] if spec.kind == "muon" else []
    ids = {id(p) for p in hidden}
    rest = [p for _, p in named if id(p) not in ids]
    adam = torch.optim.AdamW(rest, lr=spec.lr, betas=spec.betas, weight_decay=spec.weight_decay, fused=True)
    if not hidden:
        return [adam]
    return [adam, torch.optim.Muon(hidden, lr=spec.muon_lr, weight_decay=spec.weight_decay, momentum=0.95)]


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
    at = 0
    for p in decoder.parameters():
        p.grad = gradient[at : at + p.numel()].view_as(p)
        at += p.numel()
    for optimizer, peak in zip(optimizers, (spec.lr, spec.muon_lr)):
        for group in optimizer.param_groups:
            group["lr"] = peak * share
        optimizer.step()
    for p in decoder.parameters():
        p.grad = None
    decoder.changed()
    return {"gradient_norm": norm, "lr": spec.lr * share}


def state_tensors(optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """All state of the optimizers as named tensors."""
    out = {}
    for i, optimizer in enumerate(optimizers):
        for j, entries in optimizer.state_dict()["state"].items():
            for k, v in entries.items():
                out[f"{i}.{j}.{k}"] = v.detach().clone() if isinstance(v, Tensor) else torch.tensor(v)
    return out


def load_state(optimizers: list[torch.optim.Optimizer], tensors: dict[str, Tensor]) -> None:
    """Put the named tensors back."""
    states: list[dict[int, dict[str, Any]]] = [{} for _ in optimizers]
    for name, v in tensors.items():
        i, j, k = name.split(".", 2)
        states[int(i)].setdefault(int(j), {})[k] = v.clone()
    for optimizer, state in zip(optimizers, states):
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
