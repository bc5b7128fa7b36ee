"""Reward-based pretraining: reinforcement from random weights, instead of imitation first and reinforcement after.

Paper    Han, Pari, Gershman & Agrawal 2025, "General reasoning requires learning to reason from the get-go" (arXiv:2502.19402); a position.
Problem  Who first imitates explores what was imitated: a bias of the demonstrations stays where rewards alone could have led elsewhere.
New      A start of random weights ("random:tiny") that is rewarded from the first step, and `arm`, which puts together what is compared:
         imitation before or not, reinforcement or not, an order of problems or the whole range, all of a text or a window and a memory.
Formula  RPT: E[R(y) (log pi)'] from pi_0 random;  SPT, then RL: max E_demo[log pi], then the same from there
Setup    evidence = board games and a token task of orthogonal vectors (paper); numbers for language models = none (paper).
Differs  The board is three in a row on five columns and four rows, whose every value is known. A move is one token behind a "#" that is
         given, for random weights would not find where to write it; so sampled tokens count moves, and are the same in all arms that are
         rewarded. All of these hold entropy up by the same bonus. The opponent is perfect: a move is right by its value, not by games won.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from thinkery.core.errors import BadConfig
from thinkery.core.records import Card, Question, Reply
from thinkery.engines.session import Session
from thinkery.lab.claims import Claim, Gates, difference, more
from thinkery.learning import losses
from thinkery.learning.curriculum import Curriculum, in_order
from thinkery.learning.recipe import Recipe, Setting, default, imitation
from thinkery.solvers import Solver, single
from thinkery.tasks.connect3 import MEDIOCRE, OPTIMAL, Connect3, Played

CARD = Card(
    id="reward_pretraining",
    number=8,
    family="tasks",
    title="Reward-based pretraining",
    year=2025,
    paper="arXiv:2502.19402",
    changes=("solver", "losses"),
)

MARK = "#"
ENTROPY = 0.05  # weight: without it random weights settle on the middle column before they read the board
IMITATED = 400  # steps of imitation, of 64 demonstrations each


async def pointed(model: Session, question: Question, tools: Any = None) -> Reply:
    """One token behind MARK, which is given and not trained; so a demonstration has no MARK."""
    turn = await model.ask(model.context(question) + MARK, 1)
    return Reply(MARK + turn.text)


def arm(
    setting: Setting,
    shown: Mapping[str, float] | None = None,
    rewarded: bool = True,
    order: Curriculum | None = None,
    solver: Solver = single,
) -> Recipe:
    """Imitation of demonstrations `shown` as {style: share}, if any; then reinforcement, unless not `rewarded`, in an order of problems.

    Both through the same solver: whether the model meets all of a text is a matter of the solver. Raises BadConfig where neither is done.
    """
    if not (shown or rewarded):
        raise BadConfig("nothing is learnt: show demonstrations, or reward")
    stages = [replace(imitation(IMITATED, shown), solver=solver)] if shown else []
    if rewarded:
        held = (losses.policy_gradient(), losses.entropy_bonus(ENTROPY))
        stages += default(setting).rl(solver=solver, curriculum=order or in_order(), losses=held).flat()
    return Recipe(tuple(stages))


def positions(setting: Setting) -> Setting:
    """The setting, if its task is a board with players to imitate. Raises BadConfig."""
    if not isinstance(setting.task, (Connect3, Played)):
        raise BadConfig(f"reward_pretraining learns to play 'connect3', not the task {setting.task.name!r}; use that, or `arm` for another")
    return setting


def recipe(setting: Setting) -> Recipe:
    """Reward alone: pretraining, if the setting starts from random weights."""
    return arm(positions(setting), solver=pointed)


# ---- the claim's other arms


def imitated(setting: Setting, player: str) -> Recipe:
    """A player is imitated first."""
    return arm(positions(setting), {player: 1.0}, solver=pointed)


def unrewarded(setting: Setting) -> Recipe:
    """The mediocre player is imitated, and nothing is rewarded."""
    return arm(positions(setting), {MEDIOCRE: 1.0}, rewarded=False, solver=pointed)


CLAIM = Claim(
    primary=more("accuracy", "RPT", "SPT, then RL", by=difference(0.05), why="the card: 5 points of best moves on unseen positions"),
    secondary=(
        more("accuracy", "optimal SPT, then RL", "RPT", by=difference(0.05), why="or it is imitation that harms, not what was imitated"),
        more("accuracy", "SPT, then RL", "SPT", by=difference(0.05), why="or reinforcement does nothing for who has imitated"),
    ),
    arms={
        "SPT, then RL": partial(imitated, player=MEDIOCRE),
        "RPT": recipe,
        "optimal SPT, then RL": partial(imitated, player=OPTIMAL),
        "SPT": unrewarded,
    },
    baseline="SPT, then RL",
    method="RPT",
    must_move="SPT",
    placebo="shuffled reward",
    setting=Setting(Played(), "random:tiny"),
    config={"steps": 400, "problems": 64, "kind": "muon", "muon_lr": 3e-3},
    gates=Gates(
        greedy=(0.0, 0.2), lift=0.05, mixed=0.05
    ),  # random weights answer nothing greedily; chance must find something in eight tries
    minutes=45.0,
    paper="A position: no number of its own.",
)
