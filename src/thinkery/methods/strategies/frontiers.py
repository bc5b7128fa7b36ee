"""Frontiers: learning and more thought for each answer, apart and together, for the same number of tokens.

Paper    Ke et al. 2025, "A survey of frontiers in LLM reasoning: inference scaling, learning to reason, and agentic systems" (arXiv:2504.09037).
Problem  Thinking more for each answer and learning from rewards are studied apart, on other tasks and with other budgets; agents that talk to each
         other are compared with one that says nothing more.
New      The survey's grid, regime by architecture by side, in which every method and way of thinking here has its place (`lab.taxonomy`), with one
         bench for one of each. `recipe` splits a budget: half of the tokens are learnt from, half are spent on votes.
Formula  T = steps * problems * samples + n * votes,  the same for all: (s, 1), (0, v), (s/2, v/2)
Differs  Which place a method has is our reading. Budgets are counted in replies, which are about as long in all arms, over as many test problems
         as the claim has. Debate hears final answers only, since the smallest model has no room for others' work, and has practised that.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from thinkery.core.records import Card
from thinkery.lab.claims import Claim, Gates, difference, more
from thinkery.learning import advantages, losses
from thinkery.learning.recipe import Recipe, Setting, Stage, WarmStart, default
from thinkery.learning.select import nothing
from thinkery.solvers import Solver, single
from thinkery.solvers.debate import debate
from thinkery.solvers.majority import majority
from thinkery.tasks.chain import Chain
from thinkery.tasks.debated import Debated
from thinkery.tasks.mixture import Mixture

CARD = Card(
    id="frontiers",
    number=13,
    family="strategies",
    title="Inference scaling and learning to reason",
    year=2025,
    paper="arXiv:2504.09037",
    changes=("advantage", "losses", "select"),
)

PROBLEMS = 500  # of the test split, that votes are spent on
CLIP = 0.2


def spent(stage: Stage) -> int:
    """Replies that a stage samples."""
    return stage.steps * stage.problems * stage.samples


def votes(stage: Stage, share: float, problems: int = PROBLEMS) -> int:
    """For how many votes on each test problem a share of a stage's replies lasts."""
    return max(1, round(share * spent(stage) / problems))


def split(setting: Setting, learnt: float) -> Recipe:
    """A share of the budget is learnt from by GRPO; for the rest the model votes on each answer. Budget: what the default recipe samples."""
    (base,) = default(setting).rl(advantage=advantages.group_normalised, losses=(losses.clipped(CLIP),)).flat()
    learn = replace(base, steps=max(1, round(learnt * base.steps)))
    return thinking(learn, partial(majority, samples=votes(base, 1 - learnt)) if learnt < 1 else single, learnt > 0)


def thinking(base: Stage, solver: Solver, learns: bool) -> Recipe:
    """What a stage learns, if it does, and a way of thinking after it, of which nothing is learnt."""
    after = replace(base, name="think", steps=1, problems=1, samples=2, solver=solver, select=nothing)
    return Recipe((base, after) if learns else (after,))


def recipe(setting: Setting) -> Recipe:
    """Half and half."""
    return split(setting, 0.5)


# ---- the claim's other arms


def fixed(setting: Setting, solver: Solver) -> Recipe:
    """The start in a way of thinking."""
    (base,) = default(setting).flat()
    return thinking(base, solver, learns=False)


TASK = Chain()
FEW = 6  # replies: 2 agents that hear each other twice

CLAIM = Claim(
    primary=more("accuracy", "frontiers", "learning", by=difference(0.02), why="the card's threshold, against the better of the two"),
    secondary=(
        more("accuracy", "frontiers", "votes", by=difference(0.02), why="the card's threshold, against the other"),
        more("accuracy", "debate", "few votes", by=difference(0.0), why="the card: its sign at equal tokens, whatever it is"),
    ),
    arms={
        "learning": partial(split, learnt=1.0),
        "votes": partial(split, learnt=0.0),
        "frontiers": recipe,
        "few votes": partial(fixed, solver=partial(majority, samples=FEW)),
        "debate": partial(fixed, solver=partial(debate, agents=2, rounds=FEW // 2 - 1)),
    },
    baseline="learning",
    method="frontiers",
    must_move="votes",
    placebo="shuffled reward",
    setting=Setting(TASK, WarmStart(Mixture((TASK, Debated(TASK))), {"trace": 0.3, "direct": 0.7}, steps=200)),
    problems=PROBLEMS,
    gates=Gates(),
    paper="A survey: no number of its own.",
)
