"""Complexity out of distribution: what was learnt on simple problems, asked of problems that need twice as many steps.

Paper    "Bridging reasoning to learning: unmasking illusions using complexity out of distribution generalization" (2025).
Problem  A model that is right on problems like those it learnt from may have learnt answers, not how to get them; longer prompts, new words and
         new compositions are other tests, which it may pass or fail for other reasons.
New      A test split in three: known, as simple as what was learnt from; long, no more complex than that, but as long as the far ones; far, with
         twice the steps, counted in the fewest of a problem's own steps that settle its answer. Here: supervised learning from worked traces
         (`trace`), which is what the paper recommends; any method can enter by the tasks beyond_chain, beyond_circuits, beyond_functions,
         beyond_grid and beyond_hops.
Formula  c(x) = fewest steps of x that settle its answer;  far: c(x) > max c over training;  kept = far / known
Setup    measures = counts of objects and relations, counts of steps (paper); experiments = none, it is a framework (paper).
Differs  The measures are counts of steps of five families of problems, not description length; nothing is claimed about other primitives or
         wording. Length is controlled by steps and lines that do not matter, most closely in chains, circuits and hops.
"""

from __future__ import annotations

from dataclasses import replace

from thinkery.core.records import Card
from thinkery.lab.claims import Claim, Gates, difference, more, not_worse
from thinkery.learning.recipe import Recipe, Setting, default, imitation
from thinkery.tasks.complexity import FILLER, Beyond

CARD = Card(
    id="complexity_ood",
    number=7,
    family="tasks",
    title="Complexity out-of-distribution generalisation",
    year=2025,
    changes=("source", "losses", "reward", "optimizer"),
)


def supervised(setting: Setting, style: str) -> Recipe:
    """Imitation of demonstrations in one style. Raises BadConfig in use for a task that cannot write it."""
    (base,) = default(setting).flat()
    return Recipe((imitation(3 * base.steps, {style: 1.0}, shards=base.shards),))


def recipe(setting: Setting) -> Recipe:
    """Supervision of the work: traces where the task can write them, else what it writes first."""
    return supervised(setting, "trace" if "trace" in setting.task.styles else setting.task.styles[0])


# ---- the claim's other arms


def answers(setting: Setting) -> Recipe:
    """Supervision of answers alone."""
    return supervised(setting, "direct")


def filler(setting: Setting) -> Recipe:
    """As many tokens as a trace, with nothing in them: whether it is the work, or only the room for it."""
    return supervised(setting, FILLER)


def rewarded(setting: Setting) -> Recipe:
    """Traces for half of the steps, then rewards for right answers to problems no more complex."""
    (taught,) = recipe(setting).flat()
    (base,) = default(setting).flat()
    return Recipe((replace(taught, steps=taught.steps // 2), replace(base, steps=max(1, taught.steps // 6))))


CLAIM = Claim(
    primary=more(
        "far", "trace", "answers", by=difference(0.15), why="the card: of traces at least 60 points are kept, of answers at most 45"
    ),
    secondary=(
        not_worse("long", "trace", "answers", margin=0.1, why="length alone is not complexity: it must not cost what the work gains"),
        not_worse("far", "rewarded", "trace", margin=0.1, why="rewards on simple problems must not spoil what carries over"),
    ),
    arms={"answers": answers, "trace": recipe, "filler": filler, "rewarded": rewarded},
    baseline="answers",
    method="trace",
    must_move="filler",
    placebo=None,
    setting=Setting(Beyond("circuits")),
    gates=Gates(greedy=(0.0, 1.0), lift=-1.0, mixed=0.0),  # nothing is sampled to learn from
    problems=600,
)
