"""Returns and advantages token by token: all sampled tokens of a rollout are one sequence, turn after turn, forced text left out.

A row's reward is the return from its turn on. So with one reward for a whole rollout nothing is earned before its last token; where
turns have rewards of their own, the end of a turn earns the difference to the next one's.
"""

from __future__ import annotations

import numpy as np

from .advantages import Advantage
from .batch import Array, Batch


class Sequences:
    """The sampled tokens of a batch by rollout: grids are [rollouts, tokens + 1], the last column 0."""

    def __init__(self, batch: Batch) -> None:
        _, of = np.unique(batch.rollout, return_inverse=True)
        order = np.lexsort((batch.turn, of))
        n = batch.sampled.sum(1)[order]
        before = np.cumsum(n) - n
        start = np.empty(len(batch), np.int64)
        start[order] = before - before[np.searchsorted(of[order], of[order])]
        self.row, self.token = np.nonzero(batch.sampled)
        self.of = of[self.row]
        self.place = (start[:, None] + np.cumsum(batch.sampled, 1) - 1)[self.row, self.token]
        self.shape = batch.mask.shape
        self.size = (int(of.max(initial=-1)) + 1, int(self.place.max(initial=-1)) + 2)

    def grid(self, x: Array) -> Array:
        """x [B, T] as a grid."""
        out = np.zeros(self.size)
        out[self.of, self.place] = x[self.row, self.token]
        return out

    def rows(self, grid: Array) -> Array:
        """A grid as [B, T], 0 where nothing was sampled."""
        out = np.zeros(self.shape)
        out[self.row, self.token] = grid[self.of, self.place]
        return out

    def earned(self, reward: Array) -> Array:
        """What each token earns, a grid: at the end of each turn, so that from a turn's first token on the sum is the row's reward [B]."""
        returns = self.grid(np.broadcast_to(reward[:, None], self.shape))
        return returns - following(returns)


def following(grid: Array) -> Array:
    """The next token's value at each place of a grid."""
    return np.pad(grid[:, 1:], ((0, 0), (0, 1)))


def backwards(gain: Array, factor: float) -> Array:
    """x_t = gain_t + factor * x_(t+1) along a grid."""
    out = gain.copy()
    for t in range(out.shape[1] - 2, -1, -1):
        out[:, t] += factor * out[:, t + 1]
    return out


def whitened(batch: Batch, x: Array) -> Array:
    """(x - mean) / (std + 1e-8) over the step's sampled tokens, [B, T]; 0 where all are equal."""
    known = x[batch.sampled]
    if not len(known) or known.min() == known.max():
        return np.zeros(x.shape)
    return np.where(batch.sampled, (x - known.mean()) / (known.std() + 1e-8), 0.0)


def gae(head: str, gamma: float = 1.0, lam: float = 0.95, white: bool = True) -> Advantage:
    """Generalised advantages (Schulman et al. 2016, eq. 16) under a critic, whitened over the step's tokens if `white`.

    Reads the estimate f"{head}_before"; leaves advantage + value, the critic's target, in `extra` as f"{head}_target".
    """

    def advantage(batch: Batch) -> Array:
        s = Sequences(batch)
        value = s.grid(batch.extra[f"{head}_before"])
        found = backwards(s.earned(batch.reward) + gamma * following(value) - value, gamma * lam)
        batch.extra[f"{head}_target"] = s.rows(found + value)
        return whitened(batch, s.rows(found)) if white else s.rows(found)

    return advantage


def penalised_returns(beta: float, reference: str = "ref") -> Advantage:
    """Returns with beta * (log policy - log reference) taken off at each token, whitened over the step's tokens (Hu 2025, section 3).

    Reads the estimate `reference`. No groups and no critic.
    """

    def advantage(batch: Batch) -> Array:
        s = Sequences(batch)
        drift = s.grid(batch.behaviour - batch.extra[reference])
        return whitened(batch, s.rows(backwards(s.earned(batch.reward) - beta * drift, 1.0)))

    return advantage
