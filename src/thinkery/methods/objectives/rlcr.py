"""RLCR: reward calibrated confidence, not only the right answer.

Paper    Damani et al. 2025, "Beyond binary rewards: training LMs to reason about their uncertainty" (arXiv:2507.16806).
Problem  A binary reward never punishes a confident guess, so what a model says of its own certainty means less and less.
New      `brier`: the answer comes with a confidence q, and the reward is correct - (q - correct)^2, a proper score, in which
         saying the true probability of being right is the best reply. No division by the group's deviation.
Formula  R = c - (q - c)^2,  c = 1 if the answer is right, else 0;  q in [0, 1] as stated
         E[R] = p^2 - (q - p)^2,  p the probability of being right: largest at q = p, and growing with p
Setup    group size = 32 (repository); temperature = 0.7 (repository); KL weight = 0 (repository); division by the group's
         deviation = none (repository); learning rate = 5e-6 mathematics, 1e-6 HotpotQA (repository); reward weights = 0.5 format,
         0.5 correct, 0.5 Brier (repository); replies that are cut off = masked (repository).
Differs  q is one of 0, 0.1, …, 1, asked for in a turn of its own; there is no written analysis before it. The tiny model is taught the
         form during warm start with q drawn at random; the paper's models know it. A q that cannot be read costs 1, the most.
"""

from __future__ import annotations

from collections.abc import Sequence

from thinkery.core.records import Card, Rollout
from thinkery.core.rng import rng
from thinkery.lab.claims import Claim, difference, less, more, not_worse, ratio
from thinkery.learning import rewards
from thinkery.learning.recipe import Recipe, Setting, WarmStart, default
from thinkery.solvers.confident import confident
from thinkery.tasks.addition import Addition
from thinkery.tasks.stated import Stated

CARD = Card(
    id="rlcr",
    number=26,
    family="objectives",
    title="Reinforcement learning with calibration rewards",
    year=2025,
    paper="arXiv:2507.16806",
    changes=("reward", "solver"),
)


def stated(rollouts: Sequence[Rollout]) -> list[float | None]:
    """The confidence that each reply states, None where none can be read."""
    return [None if r.reply is None else r.reply.data.get("confidence") for r in rollouts]


def penalty(q: Sequence[float | None], rollouts: Sequence[Rollout]) -> list[float]:
    """-(q - correct)^2 (section 3, eq. 2), in [-1, 0]; -1 where there is no q."""
    return [-1.0 if p is None else -((p - c) ** 2) for p, c in zip(q, rewards.correct(rollouts))]


def brier(rollouts: Sequence[Rollout]) -> list[float]:
    """The Brier score of the stated confidence, to be had."""
    return penalty(stated(rollouts), rollouts)


def recipe(setting: Setting) -> Recipe:
    return default(setting).rl(reward=rewards.weighted(correct=1.0, brier=brier), solver=confident)


# ---- the claim's other arms


def rlvr(setting: Setting) -> Recipe:
    """The same way of thinking, rewarded for the right answer alone."""
    return default(setting).rl(solver=confident)


def another(rollouts: Sequence[Rollout]) -> list[float]:
    """`brier` of a confidence that another rollout of the step stated: what is rewarded is no longer what was said."""
    q = stated(rollouts)
    rng("another", *(x for r in rollouts for x in (r.step, r.problem.id, r.k))).shuffle(q)
    return penalty(q, rollouts)


def ignored(setting: Setting) -> Recipe:
    return default(setting).rl(reward=rewards.weighted(correct=1.0, brier=another), solver=confident)


TASK = Addition(digits=(2, 3))  # answered at once: two digits are mostly known, three mostly a guess

CLAIM = Claim(
    primary=less("ece", "rlcr", "rlvr", by=ratio(0.5), why="the paper more than halves it"),
    secondary=(
        not_worse("accuracy", "rlcr", "rlvr", margin=0.03, why="the paper loses 0.9 points on HotpotQA"),
        more("auroc", "rlcr", "rlvr", by=difference(0.1), why="a confidence that is the same for all problems would have a low ECE, too"),
    ),
    mechanism=(less("brier", "rlcr", "rlvr", by=difference(0.05), why="it is the reward"),),
    arms={"rlvr": rlvr, "rlcr": recipe, "q ignored": ignored},
    baseline="rlvr",
    method="rlcr",
    must_move="q ignored",
    placebo="shuffled reward",
    setting=Setting(TASK, WarmStart(Stated(TASK), {"direct": 1.0}, steps=200)),
    config={"steps": 100, "problems": 32, "lr": 1e-3},
    paper="ECE 0.37 to 0.03 on HotpotQA at an accuracy of 63.0 to 62.1 %, 7B model; miniature and paper are not the same quantity.",
)
