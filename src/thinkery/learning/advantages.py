"""Advantages: from rewards to what each row's log-probability is pushed by. All take (reward [B], key [B], rollout [B]) -> [B]."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .batch import Array, statistics

Advantage = Callable[[Array, Array, Array], Array]


def raw(reward: Array, key: Array, rollout: Array) -> Array:
    """The reward itself: REINFORCE without a baseline (Williams 1992)."""
    return reward.copy()


def batch_mean(reward: Array, key: Array, rollout: Array) -> Array:
    """r - mean over the step's rollouts."""
    return reward - statistics(reward, np.zeros_like(key), rollout)[0]


def group_mean(reward: Array, key: Array, rollout: Array) -> Array:
    """r - mean of the group (Liu et al. 2025, Dr. GRPO)."""
    return reward - statistics(reward, key, rollout)[0]


def group_normalised(reward: Array, key: Array, rollout: Array) -> Array:
    """(r - mean) / (std + 1e-4) of the group (Shao et al. 2024, GRPO)."""
    mean, std, _ = statistics(reward, key, rollout)
    return np.where(std > 0, (reward - mean) / (std + 1e-4), 0.0)


def leave_one_out(reward: Array, key: Array, rollout: Array) -> Array:
    """r - mean of the group's other samples (Ahmadian et al. 2024, RLOO); 0 for a group of one."""
    mean, _, n = statistics(reward, key, rollout)
    return np.where(n > 1, (reward - mean) * n / np.maximum(n - 1, 1), 0.0)
