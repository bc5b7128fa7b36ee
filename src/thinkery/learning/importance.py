"""Truncated importance weights: for tokens that another engine drew, whose probabilities differ from the learner's.

Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training": each token's term is multiplied with
min(old / behaviour, cap), the ratio of the learner's probability before the step's first update to the one it was drawn with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from ..core.errors import InputError
from ..core.records import Rollout
from .batch import Batch, Rows
from .losses import Loss, Policy
from .recipe import Recipe, Repeat, Stage

CAP = 2.0


def weights(policy: Policy, rows: Rows, cap: float = CAP) -> Tensor:
    """min(old / behaviour, cap) of each sampled token and 1 of each forced one, [r, T]; no gradient passes."""
    ratio = (policy.old - policy.behaviour).exp().clamp(max=cap)
    return ratio.detach().where(rows.sampled, 1.0)


def truncated(loss: Loss, cap: float = CAP) -> Loss:
    """The loss with each token's term times its truncated importance weight."""
    term: Callable[[Policy, Rows], Tensor] = lambda policy, rows: loss.term(policy, rows) * weights(policy, rows, cap)
    return replace(loss, term=term)


def check_known(batch: Batch, rollouts: Sequence[Rollout]) -> None:
    """Raises InputError where a token that was drawn has no log-probability: unknown is not 0."""
    unknown = np.isnan(batch.behaviour).any(1)
    if unknown.any():
        row = int(np.argmax(unknown))
        turn = rollouts[int(batch.rollout[row])].turns[int(batch.turn[row])]
        raise InputError(
            f"{turn.writer[0]} gave no log-probabilities with what it wrote as {turn.role!r}, so it cannot be trained on. A chat server "
            "never does; vLLM does if a solver asks without top_p and top_k"
        )


def corrected(recipe: Recipe, cap: float = CAP) -> Recipe:
    """The recipe with importance weights around the policy's loss in every stage that learns from what is sampled.

    Other losses (a critic's, preferences, imitation) hold for any text, whoever drew it.
    """

    def change(stage: Stage) -> Stage:
        losses = tuple(truncated(loss, cap) if loss.name == "policy" else loss for loss in stage.losses)
        return replace(stage, losses=losses) if stage.source == "task" else stage

    return Recipe(tuple(replace(s, stages=tuple(map(change, s.stages))) if isinstance(s, Repeat) else change(s) for s in recipe.stages))
