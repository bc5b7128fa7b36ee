"""Batch: a step's turns as rows, and sums over what the rows share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.records import Rollout
from ..engines.tree import Tree

Array = NDArray[Any]


@dataclass
class Batch:
    """B turns of at most T output tokens; contexts live in the tree. Numpy arrays; losses get `Rows`, the torch view of some rows.

    rollout, turn, role, group, pair   int [B]; `turn` numbers within the rollout, `role` indexes `roles`; the rollouts of a pair are
                      a better and a worse one, told apart by their rewards
    mask, sampled     bool [B, T]: a token is there; the policy drew it (not forced)
    weight            float32 [B, T]: how much a forced token counts in supervised losses
    behaviour         float32 [B, T]: log-probability as sampled, at the row's temperature, nats
    node, tip         int32 [B, T], [B]: nodes of the outputs (-1: none) and of the context's last token
    temperature       float32 [B]
    reward, advantage float64 [B]; an advantage may also be [B, T]
    shard             int [B]: the fixed part of the step that a row belongs to
    extra             [B] or [B, T] by name: the parts of a reward that has several ("reward/NAME", without their weights), and what the
                      stage's estimates and its advantage leave for losses
    """

    rollout: Array
    turn: Array
    role: Array
    group: Array
    pair: Array
    mask: Array
    sampled: Array
    weight: Array
    behaviour: Array
    node: Array
    tip: Array
    temperature: Array
    parent: Array  # the tree, as arrays: [nodes]
    token: Array
    depth: Array
    roles: tuple[str, ...]
    reward: Array = field(default_factory=lambda: np.zeros(0))
    advantage: Array = field(default_factory=lambda: np.zeros(0))
    shard: Array = field(default_factory=lambda: np.zeros(0, np.int64))
    extra: dict[str, Array] = field(default_factory=dict)

    @classmethod
    def scored(cls, reward: Array, group: Array, rollout: Array | None = None) -> Batch:
        """A batch of rewards alone, a row a turn of no text: for advantages worked by hand. Arrays [B]; by default each row is a rollout."""
        b = len(reward)
        of = np.arange(b) if rollout is None else np.asarray(rollout)
        none, wide = np.zeros(b, np.int64), np.zeros((b, 1))
        return cls(
            rollout=of, turn=none, role=none, group=np.asarray(group), pair=of, mask=wide == 0, sampled=wide == 0, weight=wide,
            behaviour=wide, node=wide.astype(np.int32), tip=none, temperature=np.ones(b), parent=none, token=none, depth=none,
            roles=("policy",), reward=np.asarray(reward, np.float64),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.rollout)

    def take(self, rows: Array) -> Batch:
        """The batch with these rows only; the tree stays whole."""
        b = len(self)
        kept: dict[str, Any] = {
            k: v[rows] for k, v in vars(self).items() if isinstance(v, np.ndarray) and k not in ("parent", "token", "depth") and len(v) == b
        }
        return replace(self, **kept, extra={k: v[rows] for k, v in self.extra.items()})


class Rows:
    """Torch tensors of some rows of a batch: any array of it, by name, restricted to the rows."""

    def __init__(self, batch: Batch, rows: Array, like: Tensor) -> None:
        self.batch, self.rows, self.like = batch, rows, like

    def __getattr__(self, name: str) -> Tensor:
        array = self.batch.extra[name] if name in self.batch.extra else getattr(self.batch, name)
        x = torch.as_tensor(array[self.rows], device=self.like.device)
        return x.to(self.like.dtype) if x.is_floating_point() else x

    def wide(self, name: str) -> Tensor:
        """A [B] or [B, T] array as [r, T] or [r, 1]."""
        x: Tensor = getattr(self, name)
        return x if x.dim() == 2 else x[:, None]

    def total(self, x: Tensor, by: str = "rollout") -> Tensor:
        """For each row, the sum of x [r] over all rows with the same key."""
        _, inverse = np.unique(getattr(self.batch, by)[self.rows], return_inverse=True)
        return segment_sum(x, inverse)[torch.as_tensor(inverse, device=x.device)]


def segment_sum(x: Tensor, by: Array) -> Tensor:
    """Sums of x [B] over equal keys; by int [B], 0..n-1 -> [n]."""
    n = int(by.max()) + 1 if len(by) else 0
    return torch.zeros(n, dtype=x.dtype, device=x.device).index_add(0, torch.as_tensor(by, device=x.device), x)


def pad(rows: Sequence[Array], fill: Any, dtype: Any, mask: Array) -> Array:
    """Rows of different lengths as one array [B, T]; `mask` says where they have something."""
    out = np.full(mask.shape, fill, dtype)
    if rows:
        out[mask] = np.concatenate(rows)
    return out


def build(rollouts: Sequence[Rollout], tree: Tree, trains: Sequence[str] = ("policy",)) -> Batch:
    """The batch of all turns that a trained role wrote, in record order; without rollouts that failed."""
    problems = {key: n for n, key in enumerate(dict.fromkeys(r.index for r in rollouts))}
    of = [
        (i, problems[r.index], j, t)
        for i, r in enumerate(rollouts)
        if r.error is None
        for j, t in enumerate(r.turns)
        if t.role in trains and t.n
    ]
    rollout, group, turn, turns = ([*column] for column in zip(*of)) if of else ([], [], [], [])
    node = tree.nodes(turns, max([t.n for t in turns], default=1))
    mask = node >= 0
    roles = tuple(sorted({t.role for t in turns}))
    number = {r: i for i, r in enumerate(roles)}
    forced = np.array([t.forced for t in turns], bool)
    n = len(tree)
    return Batch(
        rollout=np.array(rollout, np.int64),
        turn=np.array(turn, np.int64),
        role=np.array([number[t.role] for t in turns], np.int64),
        group=np.array(group, np.int64),
        pair=np.array(rollout, np.int64),
        mask=mask,
        sampled=mask & ~forced[:, None],
        weight=pad([t.weight if t.weight is not None else np.ones(t.n) for t in turns], 0, np.float32, mask)
        if forced.any()
        else mask.astype(np.float32),
        behaviour=pad([t.logp for t in turns], 0, np.float32, mask),
        node=node,
        tip=np.array([tree.place(t.context) for t in turns], np.int32),
        temperature=np.array([t.temperature if t.temperature > 0 else 1.0 for t in turns], np.float32),
        parent=tree.parent[:n].copy(),
        token=tree.token[:n].copy(),
        depth=tree.depth[:n].copy(),
        roles=roles,
    )


def statistics(reward: Array, key: Array, rollout: Array) -> tuple[Array, Array, Array]:
    """Mean, standard deviation (population) and count of rewards by key, for each row: three [B].

    Over distinct (key, rollout) pairs, so that a rollout with many turns does not count many times; where a rollout's rows
    differ in reward under one key, they count by their mean.
    """
    if not len(key):
        return np.zeros(0), np.zeros(0), np.zeros(0)
    pairs, inverse = np.unique(np.stack([key, rollout]), axis=1, return_inverse=True)
    inverse = inverse.reshape(-1)
    value, _ = _means(reward, inverse)
    keys, of = np.unique(pairs[0], return_inverse=True)
    mean, n = _means(value, of)
    std = np.sqrt(np.bincount(of, (value - mean[of]) ** 2) / n)
    at = np.searchsorted(keys, key)
    return mean[at], std[at], n[at]


def _means(x: Array, by: Array) -> tuple[Array, Array]:
    """Means and counts by key 0..n-1; where all are equal their mean is they, to the bit, so that nothing seems to differ."""
    n = np.bincount(by)
    low = np.full(len(n), np.inf)
    np.minimum.at(low, by, x)
    return low + np.bincount(by, x - low[by]) / n, n


Key = Callable[[Batch, Sequence[Rollout]], Array]  # -> int [B]: rows of one number belong together


def by_problem(batch: Batch, rollouts: Sequence[Rollout]) -> Array:
    """The samples of one problem form a group."""
    return batch.group


def by_rollout(batch: Batch, rollouts: Sequence[Rollout]) -> Array:
    """Every rollout by itself: nothing is paired."""
    return batch.rollout
