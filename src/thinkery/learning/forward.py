"""Log-probabilities of a batch's rows: each distinct node once, gathered to rows; autograd sums rows into nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from ..models.decoder import Decoder
from ..models.layout import preorder, rectangle
from .batch import Array, Batch


def needed(weights: list[Array]) -> Array:
    """How far each row is needed, int [B]: up to its last position that any loss weighs.

    A position counts although its own weight is 0 when a later one of its row does not; dropping nodes whose advantages
    cancel would be wrong, since clipping treats the two signs differently.
    """
    any_weight: Array = np.zeros(weights[0].shape, bool)
    for w in weights:
        any_weight |= w != 0
    _, width = any_weight.shape
    return np.where(any_weight.any(1), width - np.argmax(any_weight[:, ::-1], axis=1), 0)


def logprobs(decoder: Decoder, batch: Batch, rows: Array, upto: Array, shared: bool = True) -> tuple[Tensor, Tensor, dict[str, int]]:
    """Log-probabilities and entropies of the rows' first upto[row] tokens, at each row's temperature, in nats.

    Two tensors [r, T], 0 where not computed; and counts: cells (tokens in the forward pass), values (distinct outputs).
    `shared` False computes every row by itself: the oracle, and the lane for models whose prefixes cannot be shared.
    """
    if shared and decoder.shareable:
        layout, sources, targets, temperature, index = _tree(batch, rows, upto)
    else:
        layout, sources, targets, temperature, index = _rows(batch, rows, upto)
    hidden = decoder(layout)[torch.as_tensor(sources, device=decoder.device)]
    logp, entropy = decoder.token_logprobs(hidden, torch.as_tensor(targets), torch.as_tensor(temperature))
    at = torch.as_tensor(np.where(index < 0, len(targets), index), device=decoder.device)
    spread = lambda v: torch.cat([v, v.new_zeros(1)])[at]
    return spread(logp), spread(entropy), {"cells": len(layout), "values": len(targets)}


def _tree(batch: Batch, rows: Array, upto: Array) -> tuple[Any, ...]:
    order, parent, sources, targets, kinds, index = _collect(
        batch.parent, batch.token, batch.depth, batch.node, batch.tip, _kinds(batch.temperature), rows, upto
    )
    layout, place = preorder(parent, batch.token[order].astype(np.int64), batch.depth[order].astype(np.int64))
    return layout, place[sources], targets, np.unique(batch.temperature)[kinds], index


def _kinds(temperature: Array) -> Array:
    """Rows by temperature: rows of different temperature share nodes, not values."""
    _, inverse = np.unique(temperature, return_inverse=True)
    return inverse.astype(np.int32)


@njit(cache=True)
def _collect(parent, token, depth, node, tip, kind, rows, upto):  # type: ignore[no-untyped-def]
    """Inputs in order of first appearance in the record, so that the layout never depends on how the tree grew."""
    place = np.full(parent.shape[0], -1, np.int32)
    kinds = kind.max() + 1 if kind.shape[0] else 1
    value = np.full(parent.shape[0] * kinds, -1, np.int32)
    total = 0
    for r in rows:
        total += upto[r]
    order, above = np.empty(parent.shape[0], np.int32), np.empty(parent.shape[0], np.int32)
    sources, targets, of_kind = np.empty(total, np.int32), np.empty(total, np.int64), np.empty(total, np.int32)
    index = np.full((rows.shape[0], node.shape[1]), -1, np.int64)
    path = np.empty(depth.max() + 1, np.int32)
    count, values = 0, 0
    for i in range(rows.shape[0]):
        r = rows[i]
        n = upto[r]
        if n == 0:
            continue
        last = node[r, n - 2] if n > 1 else tip[r]
        at, length = last, 0
        while at > 0 and place[at] < 0:
            path[length] = at
            length += 1
            at = parent[at]
        for j in range(length - 1, -1, -1):
            at = path[j]
            place[at] = count
            order[count] = at
            above[count] = place[parent[at]] if parent[at] > 0 else -1
            count += 1
        for t in range(n):
            out = node[r, t]
            key = out * kinds + kind[r]
            if value[key] < 0:
                value[key] = values
                sources[values], targets[values], of_kind[values] = place[parent[out]], token[out], kind[r]
                values += 1
            index[i, t] = value[key]
    return order[:count], above[:count], sources[:values], targets[:values], of_kind[:values], index


def _rows(batch: Batch, rows: Array, upto: Array) -> tuple[Any, ...]:
    """Every row as a sequence of its own, padded to a rectangle."""
    index = np.full((len(rows), batch.node.shape[1]), -1, np.int64)
    sequences: list[list[int]] = []
    sources: list[int] = []
    targets: list[int] = []
    temperature: list[float] = []
    used = [i for i, r in enumerate(rows.tolist()) if upto[r]]
    for i in used:
        r = int(rows[i])
        path, at = [], int(batch.tip[r])
        while at > 0:
            path.append(int(batch.token[at]))
            at = int(batch.parent[at])
        sequences.append(path[::-1] + batch.token[batch.node[r, : upto[r]]].tolist())
    length = max(len(s) for s in sequences) - 1
    for row, (i, s) in enumerate(zip(used, sequences)):
        n = int(upto[rows[i]])
        index[i, :n] = np.arange(len(targets), len(targets) + n)
        sources += range(row * length + len(s) - 1 - n, row * length + len(s) - 1)
        targets += s[len(s) - n :]
        temperature += [float(batch.temperature[rows[i]])] * n
    layout = rectangle([s[:-1] for s in sequences])
    return layout, np.array(sources), np.array(targets, np.int64), np.array(temperature, np.float32), index
