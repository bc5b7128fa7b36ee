"""Advantages: from rewards to what each row's log-probability is pushed by, float64 [B], or [B, T] token by token.

An advantage reads the batch: `reward`, `group`, `rollout`, and in `extra` what the stage's estimates found. It may leave further
[B, T] arrays in `extra` for losses (a critic's targets).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .batch import Array, Batch, statistics

Advantage = Callable[[Batch], Array]


def raw(batch: Batch) -> Array:
    """The reward itself: REINFORCE without a baseline (Williams 1992)."""
    return batch.reward.copy()


def batch_mean(batch: Batch) -> Array:
    """r - mean over the step's rollouts."""
    return batch.reward - statistics(batch.reward, np.zeros_like(batch.group), batch.rollout)[0]


def group_mean(batch: Batch) -> Array:
    """r - mean of the group (Liu et al. 2025, Dr. GRPO)."""
    return batch.reward - statistics(batch.reward, batch.group, batch.rollout)[0]


def group_normalised(batch: Batch) -> Array:
    """(r - mean) / (std + 1e-4) of the group (Shao et al. 2024, GRPO)."""
    mean, std, _ = statistics(batch.reward, batch.group, batch.rollout)
    return np.where(std > 0, (batch.reward - mean) / (std + 1e-4), 0.0)


def leave_one_out(batch: Batch) -> Array:
    """r - mean of the group's other samples (Ahmadian et al. 2024, RLOO); 0 for a group of one."""
    mean, _, n = statistics(batch.reward, batch.group, batch.rollout)
    return np.where(n > 1, (batch.reward - mean) * n / np.maximum(n - 1, 1), 0.0)
