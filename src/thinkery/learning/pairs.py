"""Pairs: a better and a worse rollout of one problem, for losses that learn from preferences. Which is better, the rewards say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.records import Rollout
from .batch import Array, Batch, Rows, statistics
from .losses import Loss, Policy, likelihood

SURE = 1e-7  # nats: a reply of probability 1 has no finite odds


def extremes(batch: Batch, rollouts: Sequence[Rollout]) -> Array:
    """The best and the worst rollout of each group, the earliest of equals; every other one by itself. A key for `Stage.pair`."""
    pair = batch.rollout + int(batch.group.max(initial=-1)) + 1
    reward = _worth(batch)
    for g in np.unique(batch.group):
        rows = np.flatnonzero(batch.group == g)
        best, worst = rows[np.argmax(reward[rows])], rows[np.argmin(reward[rows])]
        if reward[best] > reward[worst]:
            pair[np.isin(batch.rollout, batch.rollout[[best, worst]]) & (batch.group == g)] = g
    return pair


def side(batch: Batch) -> Array:
    """+1 for rows of a pair's better rollout, -1 for its worse one's, 0 for what is not of a pair or of equal reward, [B]."""
    reward = _worth(batch)
    mean, std, n = statistics(reward, batch.pair, batch.rollout)
    return np.where((n == 2) & (std > 0), np.sign(reward - mean), 0.0)


def _worth(batch: Batch) -> Array:
    """The reward of each row's rollout, [B]: the mean over its rows."""
    return statistics(batch.reward, batch.rollout, batch.rollout)[0]


def _once(batch: Batch) -> Array:
    """1 at the first token of each pair's first row, [B, T]: a pair counts once."""
    out = np.zeros(batch.mask.shape)
    rows = np.flatnonzero(side(batch))
    out[rows[np.unique(batch.pair[rows], return_index=True)[1]], 0] = 1
    return out


def _margin(batch: Batch, rows: Rows, of: Tensor) -> Tensor:
    """For each row its pair's difference of `of` [r], summed over a rollout's rows: better less worse, [r]."""
    sides = torch.as_tensor(side(batch)[rows.rows], dtype=of.dtype, device=of.device)
    return rows.total(sides * of, "pair")


def _pairs(batch: Batch) -> float:
    return max(1.0, float(_once(batch).sum()))


def preference(beta: float, signal: str = "ref") -> Loss:
    """-log sigmoid(beta * margin), a mean over pairs; the margin is that of log policy - log reference, summed over a reply (Rafailov et al. 2023, eq. 7)."""

    def term(p: Policy, rows: Rows) -> Tensor:
        gain = ((p.logp - p.signals[signal]) * rows.mask).sum(1)
        return -F.logsigmoid(beta * _margin(rows.batch, rows, gain))[:, None].expand_as(p.logp)

    return Loss("preference", _once, term, _pairs, ("rollout", "pair"))


def odds_ratio(scale: float) -> Loss:
    """-scale * log sigmoid(log odds of the better reply - of the worse), a mean over pairs (Hong et al. 2024, eq. 7).

    The odds of a reply are p / (1 - p), p = exp(mean of its tokens' logp).
    """

    def term(p: Policy, rows: Rows) -> Tensor:
        counted = rows.mask.to(p.logp)
        n = rows.total(counted.sum(1)).clamp_min(1)
        mean = (rows.total((p.logp * counted).sum(1)) / n).clamp_max(-SURE)
        odds = mean - (-torch.expm1(mean)).log()
        turns = rows.total(torch.ones_like(odds))
        return -F.logsigmoid(_margin(rows.batch, rows, odds / turns))[:, None].expand_as(p.logp)

    return Loss("odds", lambda b: scale * _once(b), term, _pairs, ("rollout", "pair"))


def imitate_better() -> Loss:
    """-logp of the better replies' tokens, a mean over them."""
    return likelihood(lambda b: (b.mask & (side(b) > 0)[:, None]).astype(np.float64))
