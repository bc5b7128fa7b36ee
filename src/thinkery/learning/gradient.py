"""The gradient of a step: losses, skipping and cutting settled for the whole step, then one forward and backward pass a part."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from ..models.decoder import Decoder
from .batch import Array, Batch, Rows
from .forward import logprobs, needed
from .losses import Loss, Policy
from .recipe import Combine, Stage


@dataclass
class Plan:
    """What is computed for a batch.

    weights [losses][B, T], denominators [losses]; upto int [B]; parts: rows of each pass, by shard
    """

    weights: list[Array]
    denominators: list[float]
    upto: Array
    parts: dict[int, list[Array]]


def plan(batch: Batch, stage: Stage) -> Plan:
    """Weights and denominators over the whole batch, how far each row is needed, and the cut."""
    shape = batch.mask.shape
    weights = [np.broadcast_to(loss.weight(batch), shape) * batch.mask for loss in stage.losses]
    denominators = [loss.denominator(batch) for loss in stage.losses]
    upto = needed(weights)
    for loss, weight in zip(stage.losses, weights):
        if loss.couples:
            upto = np.maximum(upto, joined(batch, loss.couples, weight))
    label = components(batch, {c for loss in stage.losses for c in loss.couples})
    shard = batch.shard[label]  # rows that may not be separated go where the first of them is
    parts = {s: cut(batch, np.flatnonzero((shard == s) & (upto > 0)), label, upto, stage.cells) for s in range(stage.shards)}
    return Plan(weights, denominators, upto, parts)


def joined(batch: Batch, couples: Sequence[str], weight: Array) -> Array:
    """How far a loss that couples rows needs each, int [B]: whole, if it weighs any token of what is coupled."""
    label = components(batch, set(couples))
    weighed = np.bincount(label, (weight != 0).any(1), len(batch)) > 0
    return np.where(weighed[label], batch.mask.sum(1), 0)


def components(batch: Batch, couples: set[str]) -> Array:
    """For each row the first row it may not be separated from, int [B]."""
    label = np.arange(len(batch))
    while True:
        before = label
        for key in sorted(couples - {"row"}):
            by = np.zeros(len(batch), np.int64) if key == "batch" else getattr(batch, key)
            first = np.full(int(by.max()) + 1 if len(by) else 0, len(batch))
            np.minimum.at(first, by, label)
            label = first[by]
        if (label == before).all():
            return label


def cut(batch: Batch, rows: Array, label: Array, upto: Array, cells: int) -> list[Array]:
    """The rows in parts of at most `cells` distinct tokens, components whole; within a part by group, as `forward` takes them, else in record order."""
    if not len(rows):
        return []
    rows = rows[np.argsort(label[rows], kind="stable")]
    part = _cut(batch.parent, batch.node, batch.tip, upto, rows, label, cells)
    whole = (rows[part == p] for p in range(int(part[-1]) + 1))
    return [r[np.argsort(batch.group[r], kind="stable")] for r in whole]


@njit(cache=True)
def _cut(parent, node, tip, upto, rows, label, cells):  # type: ignore[no-untyped-def]
    stamp = np.full(parent.shape[0], -1, np.int32)
    part = np.empty(rows.shape[0], np.int32)
    current, count, i = 0, 0, 0
    while i < rows.shape[0]:
        j, added = i, 0
        while j < rows.shape[0] and label[rows[j]] == label[rows[i]]:
            r = rows[j]
            at = node[r, upto[r] - 2] if upto[r] > 1 else tip[r]
            while at > 0 and stamp[at] != current:
                stamp[at] = current
                added += 1
                at = parent[at]
            j += 1
        if count > 0 and count + added > cells:
            current, count = current + 1, 0
            continue  # count this component again, in a part of its own
        part[i:j] = current
        count += added
        i = j
    return part


def trained(decoder: Decoder) -> dict[str, torch.nn.Parameter]:
    """The parameters that learn, by name: all, or an adapter's alone."""
    return {name: p for name, p in decoder.named_parameters() if p.requires_grad}


def snapshot(decoder: Decoder) -> Decoder:
    """The decoder as it is now, frozen; what does not learn is shared, so an adapted model costs one more adapter."""
    fixed = [t for t in (*decoder.parameters(), *decoder.buffers()) if not t.requires_grad]
    return copy.deepcopy(decoder, {id(t): t for t in fixed}).requires_grad_(False)


@dataclass
class Learner:
    """What a shard's gradient needs: the decoder that learns, and frozen ones by name."""

    decoder: Decoder
    frozen: Mapping[str, Decoder]
    shared: bool = True  # False: every row by itself

    @property
    def parameters(self) -> list[torch.nn.Parameter]:
        return list(trained(self.decoder).values())


Signal = Callable[[Learner, Batch, Array, Array], Tensor]  # (learner, batch, rows, upto) -> [r, T]


def own(learner: Learner, batch: Batch, rows: Array, upto: Array) -> Tensor:
    """The learner's own log-probabilities as it is now."""
    return logprobs(learner.decoder, batch, rows, upto, learner.shared).logp


def estimate(learner: Learner, signal: Signal, batch: Batch, upto: Array, cells: int, dtype: torch.dtype) -> Tensor:
    """A signal over the whole batch, without gradient, [B, T], in passes of at most `cells` tokens."""
    out = torch.zeros(batch.mask.shape, dtype=dtype)
    with torch.no_grad():
        for part in cut(batch, np.flatnonzero(upto > 0), np.arange(len(batch)), upto, cells):
            out[torch.as_tensor(part)] = signal(learner, batch, part, upto).to(out)
    return out


def shard_gradient(learner: Learner, stage: Stage, batch: Batch, p: Plan, shard: int, old: Tensor | None, out: Tensor) -> dict[str, float]:
    """Write one shard's gradient to out [1 or losses, parameters]; returns sums of metrics.

    `old` [B, T]: the learner's log-probabilities before the first update; None: they are the forward pass itself.
    """
    if not p.parts[shard]:
        out.zero_()
    sums: dict[str, float] = {}
    for n, rows in enumerate(p.parts[shard]):
        parts, found = _losses(learner, stage, batch, p, rows, old)
        for k, v in found.items():
            sums[k] = sums.get(k, 0.0) + v
        if stage.combine is None:
            _put(out[0], learner.parameters, torch.autograd.grad(sum(parts), learner.parameters, allow_unused=True), n > 0)  # type: ignore[arg-type]
        else:
            for i, part in enumerate(parts):
                grads = torch.autograd.grad(part, learner.parameters, retain_graph=i + 1 < len(parts), allow_unused=True)
                _put(out[i], learner.parameters, grads, n > 0)
    return sums


def _put(flat: Tensor, parameters: Sequence[Tensor], grads: Sequence[Tensor | None], add: bool) -> None:
    """Write the gradients to the flat tensor one after another, or add them to it."""
    at = 0
    for p, g in zip(parameters, grads):
        place = flat[at : at + p.numel()]
        if add and g is not None:
            place += g.reshape(-1)
        elif not add:
            place.copy_(g.reshape(-1)) if g is not None else place.zero_()
        at += p.numel()


def _losses(
    learner: Learner, stage: Stage, batch: Batch, p: Plan, rows: Array, old: Tensor | None
) -> tuple[list[Tensor], dict[str, float]]:
    logp, entropy, heads, counts = logprobs(learner.decoder, batch, rows, p.upto, learner.shared)
    view = Rows(batch, rows, logp)
    before = logp.detach() if old is None else old[torch.as_tensor(rows)].to(logp)
    signals = {name: signal(learner, batch, rows, p.upto) for name, signal in stage.signals.items()}
    policy = Policy(logp, before, view.behaviour, entropy, signals | heads)
    tensor = lambda w: torch.as_tensor(w[rows], dtype=logp.dtype, device=logp.device)
    parts = [(tensor(w) * loss.term(policy, view)).sum() / d for loss, w, d in zip(stage.losses, p.weights, p.denominators)]
    used = (torch.arange(logp.shape[1], device=logp.device) < torch.as_tensor(p.upto[rows], device=logp.device)[:, None]) & view.mask
    found: dict[str, float] = {k: float(v) for k, v in counts.items()}
    found |= {f"loss/{loss.name}": float(part.detach()) for loss, part in zip(stage.losses, parts)}
    found["entropy_sum"] = float((entropy.detach() * used).sum())
    found["drift_sum"] = float(((logp.detach() - view.behaviour).abs() * (used & view.sampled)).sum())
    found["trained_tokens"] = float(used.sum())
    return parts, found


def total_gradient(stage: Stage, gradients: Tensor, losses: Sequence[Loss], memory: dict[str, Any] | None = None) -> Tensor:
    """The step's gradient [parameters] from the shards' [shards, 1 or losses, parameters], added in shard order into the first.

    `memory`: the stage's, in which a Combine keeps its state.
    """
    total = gradients[0]
    for g in gradients[1:]:
        total += g
    if stage.combine is None:
        return total[0]
    by_name, combined = {loss.name: g for loss, g in zip(losses, total)}, stage.combine
    if isinstance(combined, Combine):
        assert memory is not None
        found, memory["combine"] = combined.step(by_name, memory["combine"])
    else:
        found = combined(by_name)
    assert isinstance(found, Tensor)
    return found
