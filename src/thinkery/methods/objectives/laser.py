"""LASER: a step of reward for right replies that are short enough.

Paper    Liu et al. 2025, "Learn to reason efficiently with adaptive length-based reward shaping" (arXiv:2505.15612), section 3.
Problem  Reinforcement for right answers lets replies grow; punishing length makes a model give up on what needs many steps.
New      `graded`, 1 for right and -0.5 for wrong, and `short`: 0.5 more for a right reply of at most `target` tokens, whatever else it is.
Formula  R = C + lambda S,  C = 1 if right, else -0.5;  lambda = 1 if right, else 0;  S = 0.5 if length <= target, else 0
Setup    clip = 0.2 below, 0.28 above (repository); KL weight = 1e-3 (repository); entropy weight = 1e-3 (repository);
         temperature = 0.6 (repository); learning rate = 1e-6 (repository); batch = 128 (repository).
Differs  The fixed target alone, LASER; LASER-D and -DE, which set a target for each difficulty from a monitored set, are not here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from thinkery.core.records import Card, Rollout
from thinkery.lab.claims import Claim, less, not_worse, ratio
from thinkery.learning import advantages, losses, rewards
from thinkery.learning.recipe import Recipe, Setting, WarmStart, default
from thinkery.tasks.chain import Chain

CARD = Card(
    id="laser",
    number=73,
    family="objectives",
    title="Length-based adaptive step reward shaping",
    year=2025,
    paper="arXiv:2505.15612",
    changes=("reward", "advantage", "losses"),
)

WRONG = -0.5
BONUS = 0.5
LOW, HIGH = 0.2, 0.28
TARGET = 0.5  # of the longest reply


def graded(rollouts: Sequence[Rollout]) -> list[float]:
    """1 for a right reply, -0.5 for a wrong one; between for a score between."""
    return [WRONG + (1 - WRONG) * score for score in rewards.correct(rollouts)]


@dataclass(frozen=True)
class Short:
    """1 for a right reply of at most `target` sampled tokens, else 0; of a wrong one too if not `only_right`."""

    target: int
    only_right: bool = True

    def __call__(self, rollouts: Sequence[Rollout]) -> list[float]:
        return [(c if self.only_right else 1.0) * (r.tokens <= self.target) for r, c in zip(rollouts, rewards.correct(rollouts))]


def shaped(setting: Setting, **parts: tuple[float, rewards.Part]) -> Recipe:
    return default(setting).rl(
        reward=rewards.weighted(correct=0.0, graded=graded, **parts),
        advantage=advantages.group_normalised,
        losses=(losses.clipped(LOW, HIGH),),
    )


def target(setting: Setting) -> int:
    """The longest length that is rewarded."""
    return max(1, round(TARGET * setting.longest))


def recipe(setting: Setting) -> Recipe:
    return shaped(setting, short=(BONUS, Short(target(setting))))


# ---- the claim's other arms


def plain(setting: Setting) -> Recipe:
    """The same without a word on length."""
    return shaped(setting)


def short_alone(setting: Setting) -> Recipe:
    """Shortness is paid for whether the reply is right or wrong, and twice as well as rightness."""
    return default(setting).rl(
        reward=rewards.weighted(correct=0.5, short=(1.0, Short(target(setting), only_right=False))),
        advantage=advantages.group_normalised,
        losses=(losses.clipped(LOW, HIGH),),
    )


TASK = Chain(steps=(3, 6))

CLAIM = Claim(
    primary=not_worse("accuracy", "laser", "plain", margin=0.03, why="the paper gains accuracy while it shortens"),
    mechanism=(less("tokens", "laser", "plain", by=ratio(0.75), why="length is rewarded; the paper saves 63 % of tokens"),),
    arms={"plain": plain, "laser": recipe, "short alone": short_alone},
    baseline="plain",
    method="laser",
    must_move="short alone",
    placebo="shuffled reward",
    setting=Setting(TASK, WarmStart(TASK, {"direct": 0.55, "trace": 0.01, "verbose": 0.44})),
    config={"steps": 100},
    paper="+6.1 points on AIME 2024 with 63 % fewer tokens (LASER-D, 1.5B model).",
)
