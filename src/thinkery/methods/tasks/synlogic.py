"""SynLogic: many families of checkable logic problems, each at the level at which the model is neither always nor never right.

Paper    Liu et al. 2025, "SynLogic: synthesizing verifiable reasoning data at scale for learning logical reasoning and beyond" (arXiv:2505.19641).
Problem  Checkable data are mathematics and code almost alone; and what is always or never solved teaches nothing.
New      `calibrated`: each family of the mixture at a level of its own, raised when nearly all fresh replies are right and lowered when nearly
         none are. Reward 1 for the right answer in the right form; clip-higher, mixed groups, tokens that count alike, no KL penalty (DAPO).
Differs  The level follows the learner while it trains, where the paper sets bounds once for each family, by the pass rates of other models.
         Families are small variants: the 34 that the repository names, of the 35 that the paper counts; no mathematics or code beside
         them. At most `REFILL` further collections a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from thinkery.core.errors import BadConfig
from thinkery.core.records import Card, Rollout
from thinkery.lab.claims import Claim, difference, more
from thinkery.learning import advantages, curriculum, losses, select
from thinkery.learning.memory import State
from thinkery.learning.recipe import Recipe, Setting, WarmStart, default
from thinkery.tasks.mixture import Mixture
from thinkery.tasks.synlogic import synlogic
from thinkery.tasks.synlogic.family import LEVELS, Family

CARD = Card(
    id="synlogic",
    number=48,
    family="tasks",
    title="Synthesized logic problems at calibrated difficulty",
    year=2025,
    paper="arXiv:2505.19641",
    changes=("curriculum", "advantage", "losses", "select", "refill"),
)

LOW, HIGH = 0.1, 0.8  # shares of right replies between which a family stays at its level
EVERY = 16  # fresh problems of a family between two looks
CLIP = (0.2, 0.28)
REFILL = 2


def families(setting: Setting) -> int:
    """How many families are mixed. Raises BadConfig for a task that is no mixture of SynLogic's families."""
    task = setting.task
    if not isinstance(task, Mixture) or not all(isinstance(t, Family) for t in task.tasks):
        raise BadConfig(f"synlogic mixes families that have levels, which the task {task.name!r} does not; use the task 'synlogic'")
    return len(task.tasks)


def moved(level: int, share: float, way: int = 1) -> int:
    """The level after a look at the share of right replies."""
    step = way if share > HIGH else -way if share < LOW else 0
    return min(LEVELS, max(1, level + step))


def levelled(count: int, way: int = 1) -> curriculum.Curriculum:
    """The training split in order, in which the families take turns; each at its level, begun at 1."""

    def pick(state: State, step: int, n: int) -> list[curriculum.Pick]:
        return [(i, {"level": state["levels"][i % count]}) for i in range(state["next"], state["next"] + n)]

    def update(state: State, step: int, rollouts: Sequence[Rollout]) -> State:
        groups: dict[int, list[float]] = {}
        for r in rollouts:
            groups.setdefault(r.index, []).extend([] if r.verdict is None else [r.verdict.score])
        levels, seen = list(state["levels"]), [list(s) for s in state["seen"]]
        for index, scores in sorted(groups.items()):
            if scores:
                seen[index % count].append(sum(scores) / len(scores))
        for family, shares in enumerate(seen):
            if len(shares) >= EVERY:
                levels[family], seen[family] = moved(levels[family], sum(shares) / len(shares), way), []
        return {"next": state["next"] + len(groups), "levels": levels, "seen": seen}

    return curriculum.Curriculum(lambda: {"next": 0, "levels": [1] * count, "seen": [[] for _ in range(count)]}, pick, update)


def met(setting: Setting, order: curriculum.Curriculum) -> Recipe:
    """DAPO's objective without its punishment of length, on problems in an order."""
    return default(setting).rl(
        curriculum=order,
        advantage=advantages.group_normalised,
        losses=(losses.clipped(*CLIP),),
        select=select.Where((select.Differs(),)),
        refill=REFILL,
    )


def recipe(setting: Setting) -> Recipe:
    return met(setting, levelled(families(setting)))


# ---- the claim's other arms


def uniform(setting: Setting) -> Recipe:
    """All levels of all families equally often."""
    count = families(setting)

    def pick(state: State, step: int, n: int) -> list[curriculum.Pick]:
        return [(i, {"level": 1 + i // count % LEVELS}) for i in range(state["next"], state["next"] + n)]

    ordered = curriculum.in_order()
    return met(setting, curriculum.Curriculum(ordered.init, pick, ordered.update))


def against(setting: Setting) -> Recipe:
    """Harder where nearly nothing is solved, easier where nearly all is."""
    return met(setting, levelled(families(setting), way=-1))


HELD_OUT = ("cipher", "dyck_language_errors", "futoshiki", "web_of_lies")
mixed = partial(synlogic, without=HELD_OUT)
TASK = mixed(level=(1, LEVELS))
START = mixed(level=(1, 2))

CLAIM = Claim(
    primary=more("accuracy", "calibrated", "uniform", by=difference(0.04), why="the card: 4 points at equal steps"),
    arms={"uniform": uniform, "calibrated": recipe, "against": against},
    baseline="uniform",
    method="calibrated",
    must_move="against",
    placebo="shuffled reward",
    setting=Setting(TASK, WarmStart(START, {"direct": 1.0}, steps=1000), max_tokens=48),
    config={"steps": 150, "problems": 16, "samples": 8, "lr": 1e-3},
    paper="6 points on BBEH above the distilled 32B model.",
)
