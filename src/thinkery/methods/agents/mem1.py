"""MEM1: an agent writes its memory anew in every turn, and all else is erased, so that its context stays as long however long the task is.

Paper    Zhou et al. 2025, "MEM1: learning to synergize memory and reasoning for efficient long-horizon agents" (arXiv:2506.15841).
Problem  An agent that keeps all it has seen pays for it with every token, runs out of context, and does worse where there is more to look up than
         it was trained on.
New      `erasing`: before each turn all is erased but the question, the last turn (memory and query) and what was found; the turns left are told.
         Reward is the number of questions with the right answer (`matched`). A turn is trained in the very context that it was written in.
Formula  turn t ~ policy(. | question, turn t-1, found t-1, turns left),  reward = sum over questions of [answer = gold]
Setup    questions = 2 in training, up to 16 in tests (repository); turns = 6 in training (repository); PPO, actor 1e-6, critic 1e-5, KL 1e-3,
         batch 128, temperature = 1 (repository).
Differs  Group-normalised advantages in place of a critic, and no KL. Turns are rows of their own, in place of one stitched sequence with a mask
         of two dimensions: the released mask hides the last memory from a turn, and its positions run on over what was erased. Turns are three
         for each question. What is asked and answered stands in every context, so the peak still grows with it. At most eight questions: of
         sixteen, all that was found would not fit into the smallest model. Its start has seen single turns of up to eight, in both ways of
         keeping things, since it does not go beyond the lengths it has seen; reinforcement alone is at two.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from thinkery.core.errors import BadConfig
from thinkery.core.records import Card, Rollout
from thinkery.lab.claims import Claim, Gates, less, more, ratio
from thinkery.learning import advantages, losses, rewards
from thinkery.learning.curriculum import in_order
from thinkery.learning.recipe import Recipe, Setting, WarmStart, default
from thinkery.solvers import Solver
from thinkery.solvers.erasing import erasing
from thinkery.tasks.mixture import Mixture
from thinkery.tasks.objectives import Farther, Objectives
from thinkery.tasks.recited import Recited, Told

CARD = Card(
    id="mem1",
    number=61,
    family="agents",
    title="MEM1: a memory written anew every turn",
    year=2025,
    paper="arXiv:2506.15841",
    changes=("solver", "reward", "advantage", "losses"),
)

CLIP = 0.2
TAUGHT, TESTED = 2, (2, 8)  # questions


def matched(rollouts: Sequence[Rollout]) -> list[float]:
    """The number of questions with the right answer."""
    return [n * r.verdict.parts[f"right{n}"] for r in rollouts if r.verdict is not None for n in (int(r.problem.difficulty),)]


def acting(setting: Setting, solver: Solver) -> Recipe:
    """Reinforcement of a way of keeping things. Raises BadConfig for a task where nothing is looked up."""
    if not isinstance(setting.task, Objectives):
        raise BadConfig(f"mem1 looks answers up to several questions, of which the task {setting.task.name!r} has none; use 'objectives'")
    return default(setting).rl(
        solver=solver,
        reward=rewards.weighted(0.0, matched=matched),
        advantage=advantages.group_normalised,
        losses=(losses.clipped(CLIP),),
    )


def recipe(setting: Setting) -> Recipe:
    """As published."""
    return acting(setting, erasing)


# ---- the claim's other arms


def whole(setting: Setting) -> Recipe:
    """All that was written and found is kept."""
    return acting(setting, partial(erasing, forgets=False))


def longer(setting: Setting) -> Recipe:
    """The same, trained on as many questions as it is tested on: no place in its context is new to it."""
    return whole(setting).rl(curriculum=in_order(questions=(TAUGHT, TESTED[-1])))


def blank(setting: Setting) -> Recipe:
    """The memory is erased, too: of a turn only its query is kept."""
    return acting(setting, partial(erasing, keeps=False))


TASK = Farther(TESTED, questions=TAUGHT)

CLAIM = Claim(
    primary=more("right8", "mem1", "whole", by=ratio(1.5), why="the card's threshold; the paper has 3.5 times as much with 16 questions"),
    secondary=(
        less("peak8", "mem1", "whole", by=ratio(0.4), why="the card's threshold; the paper needs 3.7 times less memory"),
        less("peak8", "mem1", "longer", by=ratio(0.4), why="nor is it that the other one was not trained on as many"),
    ),
    arms={"whole": whole, "mem1": recipe, "longer": longer, "blank": blank},
    baseline="whole",
    method="mem1",
    must_move="blank",
    placebo="shuffled reward",
    setting=Setting(
        TASK, WarmStart(Mixture((Recited(Objectives(questions=(1, TESTED[-1]))), Told())), {"trace": 1.0}, steps=4000, base="random:tiny")
    ),
    config={"lr": 3e-4, "max_tokens": 48},
    gates=Gates(greedy=(0.0, 0.6), lift=0.05, mixed=0.05),  # a reply is right if all of up to eight answers are, and that is not the metric
    paper="With 16 questions at once, 3.5 times the exact matches of Qwen2.5-14B-Instruct at 3.7 times less memory.",
)
