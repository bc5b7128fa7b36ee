"""SATURN: satisfiability problems in order of difficulty, harder ones once the easier are learnt.

Paper    Liu et al. 2025, "SATURN: SAT-based reinforcement learning to unleash language model reasoning" (arXiv:2505.16368).
Problem  Hard problems alone are never solved, so nothing is learnt from them; easy ones alone teach nothing new.
New      `climbed`: formulas at one level until the share solved on fresh ones, corrected for guessing, passes a gate; then the next level.
         A reply without an answer costs 1. Difficulty D = log2 k + 2 log2 l - n + k / n, of n literals a clause, k variables, l clauses.
Formula  D(n, k, l) = log2 k + 2 log2 l - n + k / n
         R = 1 for an assignment that satisfies the formula, 0 for another, -1 for none
Setup    starts = (3, 5, 5) for 1.5B, (3, 5, 13) for 7B (paper); gate = pass@1 above 0.5 for 1.5B, 0.75 for 7B (paper); looked at
         every = 250 samples (paper); group size = 8 (repository); temperature = 0.8 (repository); learning rate = 5e-7 (repository);
         KL weight = 1e-3 (repository).
Differs  The gate looks at the share solved while training, on problems that are met once and before they are learnt from, where the paper
         holds a validation set of its own; it is corrected for chance, because a random assignment solves a third of the easy formulas. An
         assignment names its letters; one that leaves a variable out is unread, where the released verifier takes it for false.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from thinkery.core.errors import BadConfig
from thinkery.core.records import Card, Rollout
from thinkery.lab.claims import Claim, difference, more
from thinkery.lab.metrics import chance_corrected
from thinkery.learning import advantages, curriculum, losses, rewards
from thinkery.learning.recipe import Recipe, Setting, WarmStart, default
from thinkery.learning.signals import logprobs_of
from thinkery.tasks.mixture import Mixture
from thinkery.tasks.sat import Sat, hardness

CARD = Card(
    id="saturn",
    number=22,
    family="tasks",
    title="SAT-based reinforcement learning with a curriculum of difficulty",
    year=2025,
    paper="arXiv:2505.16368",
    changes=("curriculum", "reward", "advantage", "losses", "signals"),
)

Level = tuple[int, int, int]  # n literals a clause, k variables, l clauses

LEVELS: tuple[Level, ...] = ((2, 3, 4), (3, 4, 8), (3, 5, 8), (3, 5, 13), (3, 5, 20), (3, 6, 20), (3, 6, 26))
GATE = 0.6  # of what is to be learnt above chance
EVERY = 64  # problems between two looks
KL = 1e-3


def keys(level: Level) -> dict[str, Any]:
    """The level as difficulty keys of the task."""
    width, variables, clauses = level
    return {"width": width, "variables": variables, "clauses": clauses}


def chance(level: Level) -> float:
    """How often an assignment drawn at random satisfies a formula of clauses drawn at random: (1 - 2^-n)^l."""
    width, _, clauses = level
    return (1 - 2.0**-width) ** clauses


def mastered(ordered: Sequence[Level], gate: float, at: int, solved: float) -> bool:
    """Whether the share solved of a level, with chance as 0 and all as 1, lies above the gate."""
    return chance_corrected(solved, chance(ordered[at])) > gate


def unread(rollouts: Sequence[Rollout]) -> list[float]:
    """-1 for a reply in which no answer can be read."""
    return [-float(r.verdict is None or r.verdict.parsed is None) for r in rollouts]


def levels(setting: Setting) -> tuple[Level, ...]:
    """The levels that are not harder than the setting's task, in order of difficulty. Raises BadConfig for a task without levels."""
    if not isinstance(setting.task, Sat):
        raise BadConfig(f"saturn climbs levels of satisfiability, which the task {setting.task.name!r} has not; use the task 'sat'")
    spec = setting.task.spec
    most = hardness(spec.width, spec.variables, spec.clauses[1])
    return tuple(x for x in sorted(LEVELS, key=lambda x: hardness(*x)) if hardness(*x) <= most) or LEVELS[:1]


def met(setting: Setting, order: curriculum.Curriculum) -> Recipe:
    """GRPO on problems in an order."""
    return default(setting).rl(
        curriculum=order,
        reward=rewards.weighted(correct=1.0, unread=unread),
        advantage=advantages.group_normalised,
        losses=(losses.clipped(), losses.kl_penalty(KL)),
        signals={"ref": logprobs_of("reference")},
    )


def climbed(setting: Setting, ordered: Sequence[Level]) -> Recipe:
    """One level after another, each to the gate."""
    return met(setting, curriculum.ladder([keys(x) for x in ordered], partial(mastered, ordered, GATE), EVERY))


def recipe(setting: Setting) -> Recipe:
    return climbed(setting, levels(setting))


# ---- the claim's other arms


def hard(setting: Setting) -> Recipe:
    """The task's own problems, the hardest, from the start."""
    return met(setting, curriculum.in_order())


def uniform(setting: Setting) -> Recipe:
    """All levels equally often."""
    return met(setting, curriculum.spread([keys(x) for x in levels(setting)]))


def falling(setting: Setting) -> Recipe:
    """From the hardest level down."""
    return climbed(setting, levels(setting)[::-1])


TASK = Sat(clauses=(8, 13), variables=5, width=3)  # levels 3 and 4; harder ones are beyond a tiny model's first guesses
START = Mixture([Sat(**keys(level)) for level in LEVELS[:4]])

CLAIM = Claim(
    primary=more("pass@3", "saturn", "hard only", by=difference(0.1), why="the card's threshold; the paper gains 14 points over its base"),
    secondary=(more("pass@3", "saturn", "uniform", by=difference(0.03), why="an order must be worth more than a mixture"),),
    arms={"hard only": hard, "uniform": uniform, "saturn": recipe, "falling": falling},
    baseline="hard only",
    method="saturn",
    must_move="falling",
    placebo="shuffled reward",
    setting=Setting(TASK, WarmStart(START, {"direct": 1.0}, steps=1000)),
    config={"steps": 150, "problems": 16, "samples": 8, "lr": 1e-3},
    samples=12,
    paper="pass@3 on unseen harder formulas 10.1 to 24.2 (1.5B model) and 36.1 to 64.2 (7B).",
)
