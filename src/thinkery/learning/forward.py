"""Log-probabilities of a batch's rows: each distinct node once, gathered to rows; autograd sums rows into nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..models.decoder import Decoder
from ..models.layout import Layout, preorder, rectangle
from .batch import Array, Batch

CHUNK = 512  # rows of logits held at once


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


class Values(NamedTuple):
    """What a forward pass gives for r rows: tensors [r, T], 0 where not computed.

    logp, entropy   of each token, and of the distribution it was drawn from, at the row's temperature, in nats
    heads           by name: what the decoder's heads say before each token
    counts          cells (tokens in the forward pass), values (distinct outputs)
    """

    logp: Tensor
    entropy: Tensor
    heads: dict[str, Tensor]
    counts: dict[str, int]


def logprobs(decoder: Decoder, batch: Batch, rows: Array, upto: Array, shared: bool = True) -> Values:
    """The values of the rows' first upto[row] tokens.

    `shared` False computes every row by itself: the oracle, and the lane for models whose prefixes cannot be shared.
    """

    def of(packed: _Packed) -> list[Tensor]:
        hidden = _states(decoder, packed)
        found = decoder.token_logprobs(hidden, torch.as_tensor(packed.targets), torch.as_tensor(packed.temperature))
        return [*found, *decoder.head_values(hidden).values()]

    (logp, entropy, *heads), counts = _gathered(decoder, batch, rows, upto, shared, of)
    return Values(logp, entropy, dict(zip(decoder.heads, heads)), counts)


def divergence(decoder: Decoder, other: Decoder, batch: Batch, rows: Array, upto: Array, shared: bool = True) -> Tensor:
    """KL(decoder || other) of the next token's distribution before each token, exact, [r, T] nats, with gradient for `decoder`.

    A pass of its own through both; logits [M, V] in chunks, computed again in the backward pass. Tokens that only one of them has
    do not count.
    """
    size = min(decoder.config.vocabulary, other.config.vocabulary)
    wide = torch.promote_types(decoder.dtype, torch.float32)

    def kl(mine: Tensor, theirs: Tensor, scale: Tensor) -> Tensor:
        p, q = ((d.logits(h)[:, :size].to(wide) * scale).log_softmax(-1) for d, h in ((decoder, mine), (other, theirs)))
        return (p.exp() * (p - q)).sum(-1)

    def of(packed: _Packed) -> list[Tensor]:
        mine = _states(decoder, packed)
        with torch.no_grad():
            theirs = _states(other, packed)
        scale = (1 / torch.as_tensor(packed.temperature, device=decoder.device).to(wide))[:, None]
        chunks = zip(mine.split(CHUNK), theirs.split(CHUNK), scale.split(CHUNK))
        return [torch.cat([checkpoint(kl, *chunk, use_reentrant=False, preserve_rng_state=False) for chunk in chunks])]  # type: ignore[list-item]

    return _gathered(decoder, batch, rows, upto, shared, of)[0][0]


def _states(decoder: Decoder, packed: _Packed) -> Tensor:
    """The hidden states that the values come from, [values, D]."""
    return decoder(packed.layout)[torch.as_tensor(packed.sources, device=decoder.device)]  # type: ignore[no-any-return]


def _gathered(
    decoder: Decoder, batch: Batch, rows: Array, upto: Array, shared: bool, of: Callable[[_Packed], list[Tensor]]
) -> tuple[list[Tensor], dict[str, int]]:
    """What `of` says of each distinct output, [values] each, spread to the rows, [r, T] each; and counts."""
    done: list[tuple[Array, list[Tensor]]] = []
    counts = {"cells": 0, "values": 0}
    used = np.flatnonzero(upto[rows] > 0)
    for packed, mine in _lanes(decoder, batch, rows[used], upto, shared):
        index = torch.as_tensor(np.where(packed.index < 0, len(packed.targets), packed.index), device=decoder.device)
        done.append((mine, [torch.cat([v, v.new_zeros(1)])[index] for v in of(packed)]))
        counts["cells"], counts["values"] = counts["cells"] + len(packed.layout), counts["values"] + len(packed.targets)
    if len(done) == 1 and len(used) == len(rows):
        return done[0][1], counts
    at = np.full(len(rows), len(used))  # rows that nothing needs get zeros
    at[used[np.concatenate([mine for mine, _ in done])]] = np.arange(len(used))
    back = torch.as_tensor(at, device=decoder.device)
    zero = lambda parts: parts[0].new_zeros(1, parts[0].shape[1])
    return [torch.cat([*parts, zero(parts)])[back] for parts in zip(*[found for _, found in done])], counts


@dataclass(frozen=True)
class _Packed:
    """Rows ready for one forward pass: where in the layout each value comes from, its target and temperature, and index [r, T] into the values."""

    layout: Layout
    sources: Array
    targets: Array
    temperature: Array
    index: Array


def _lanes(decoder: Decoder, batch: Batch, rows: Array, upto: Array, shared: bool) -> list[tuple[_Packed, Array]]:
    """The forward passes that compute the rows (all of them needed), each with the positions of its rows.

    Compiled attention costs the sum of path lengths, so all rows are one tree. Elsewhere a tree is a mask of tokens by tokens:
    then every group has a tree of its own, and one that shares too little is computed as rows.
    """
    everything = np.arange(len(rows))
    if not (shared and decoder.shareable):
        return [(_rows(batch, rows, upto), everything)]
    if decoder.compiled:
        return [(_tree(batch, rows, upto), everything)]
    trees, plain = [], []
    for g in np.unique(batch.group[rows]):
        mine = np.flatnonzero(batch.group[rows] == g)
        tree = _tree(batch, rows[mine], upto)
        lengths = batch.depth[batch.tip[rows[mine]]] + upto[rows[mine]]
        if _cost(decoder, len(tree.layout), len(tree.layout)) <= _cost(decoder, len(lengths) * int(lengths.max()), int(lengths.max())):
            trees.append((tree, mine))
        else:
            plain.append(mine)
    out = [(_joined([t for t, _ in trees]), np.concatenate([m for _, m in trees]))] if trees else []
    if plain:
        rest = np.concatenate(plain)
        out.append((_rows(batch, rows[rest], upto), rest))
    return out


def _cost(decoder: Decoder, cells: int, keys: int) -> float:
    """Operations of a forward pass over `cells` tokens that each meet `keys` others."""
    c = decoder.config
    return cells * (2.0 * (c.matrices + c.embeddings) + 4.0 * c.heads * c.head_width * c.layers * keys)


def _joined(packed: list[_Packed]) -> _Packed:
    """Several trees side by side."""
    at = np.cumsum([0] + [len(p.layout) for p in packed])
    values = np.cumsum([0] + [len(p.targets) for p in packed])
    over = lambda f: np.concatenate([f(p, int(a), int(v)) for p, a, v in zip(packed, at, values)])
    layout = Layout(
        over(lambda p, a, v: p.layout.tokens),
        over(lambda p, a, v: p.layout.positions),
        over(lambda p, a, v: p.layout.first + np.int32(a)),
        over(lambda p, a, v: np.where(p.layout.parents < 0, -1, p.layout.parents + a).astype(np.int32)),
    )
    return _Packed(
        layout,
        over(lambda p, a, v: p.sources + a),
        over(lambda p, a, v: p.targets),
        over(lambda p, a, v: p.temperature),
        over(lambda p, a, v: np.where(p.index < 0, -1, p.index + v)),
    )


def _tree(batch: Batch, rows: Array, upto: Array) -> _Packed:
    order, parent, sources, targets, kinds, index = _collect(
        batch.parent, batch.token, batch.depth, batch.node, batch.tip, _kinds(batch.temperature), rows, upto
    )
    layout, place = preorder(parent, batch.token[order].astype(np.int64), batch.depth[order].astype(np.int64))
    return _Packed(layout, place[sources], targets, np.unique(batch.temperature)[kinds], index)


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


def _rows(batch: Batch, rows: Array, upto: Array) -> _Packed:
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
    return _Packed(layout, np.array(sources), np.array(targets, np.int64), np.array(temperature, np.float32), index)
