"""RA3: mid-training on code in whose lines a model has learnt to write, by reinforcement, what makes the next line likely.

Paper    Zhang et al. 2025, "Learning to reason as action abstractions with scalable mid-training RL" (arXiv:2509.25810).
Problem  Next-token prediction on expert code learns each line by itself from all that stands before it. What several lines have in common, the
         intent behind them, is written nowhere.
New      Two steps in turn. E: before each of the expert's lines the model writes z, a line break (go on) or a comment first (a new intent), and is
         rewarded by what a fixed copy of it finds the lines from there on to be worth (`ToGo`), less `COST` for a comment. M: next-token loss on the
         corpus with sampled z written in. Then reinforcement on unit tests.
Formula  r_t = log fixed(a_t | s_t, z_t) - c [z_t is a comment],  A_t = sum over u >= t of r_u - its mean over samples of the snippet at line t
         M: loss = -sum over t of log policy(z_t | s_t) + log policy(a_t | s_t, z_t)
Setup    c = 0.05, z shorter than 6 tokens on fewer than 40 % of lines (notes on the paper).
Differs  Comments begin with ";", because "#" is where a reply's answer begins. The corpus is drawn, operations whose lines depend on the type met; the
         start has seen loose comments, as a model of the open web has. Each round's M-step is a pass of snippets with one z a line, where what
         is neither break nor comment is read as a break. Whether z comes or not is paid for by c alone: the prior's share alpha has no term of its own.
         The claim is measured after mid-training, not after the reinforcement that follows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from thinkery.core.context import Context, Turn
from thinkery.core.records import Card, Rollout
from thinkery.core.rng import rng
from thinkery.engines.base import Engine
from thinkery.lab.claims import Claim, difference, more
from thinkery.learning import advantages, rewards
from thinkery.learning.batch import Array, Batch, statistics
from thinkery.learning.recipe import Optimizer, Recipe, Repeat, Setting, Stage, WarmStart, default, imitation
from thinkery.learning.select import Groups
from thinkery.learning.signals import logprobs_of
from thinkery.solvers.between import BREAK, between, comments_on, goes_on
from thinkery.tasks.pipelines import Pipelines

CARD = Card(
    id="ra3",
    number=2,
    family="objectives",
    title="Reasoning as action abstractions",
    year=2025,
    paper="arXiv:2509.25810",
    changes=("source", "solver", "reward", "advantage", "estimates", "select", "losses", "optimizer"),
)

ROUNDS = 2
COST = 0.05  # of a comment, nats
READ = 64  # snippets in a step of reading
FIXED = "fixed"  # the estimate: log-probabilities under the policy as the E-step began
SLOW = Optimizer(lr=1e-4)  # of E: at ten times that comments are gone in eight steps
GENTLE = Optimizer(kind="muon", lr=1e-3, warmup=5)


# ---- E: what is written before a line


def comments(rollouts: Sequence[Rollout]) -> list[Array]:
    """Per turn: -1 for what was written before a line and is no bare break, 0 for breaks and lines."""
    return [np.array([-float(not t.forced and not goes_on(t.text)) for t in r.turns]) for r in rollouts]


@dataclass(frozen=True)
class ToGo:
    """The advantage of z: what it and the rest of the snippet earn beside other samples at the same line, [B]; of the expert's lines 0.

    Leaves in `batch.reward` what was earned from each line on.

    horizon    lines that are counted, None: to the end
    shuffled   what was earned goes to other samples of the group
    """

    horizon: int | None = None
    shuffled: bool = False

    def __call__(self, batch: Batch) -> Array:
        z, line = np.asarray(batch.sampled.any(1)), batch.turn // 2  # turns take turns: z, and the line it stands before
        key = batch.group * (1 + line.max(initial=0)) + line
        earned = np.where(z, batch.reward, (batch.extra[FIXED] * batch.mask).sum(1))
        table = np.zeros((batch.rollout.max(initial=-1) + 1, line.max(initial=-1) + 1))
        np.add.at(table, (batch.rollout, line), earned)
        togo = np.cumsum(table[:, ::-1], axis=1)[:, ::-1]
        if self.horizon is not None:
            togo[:, : -self.horizon] -= togo[:, self.horizon :].copy()
        batch.reward = togo[batch.rollout, line]
        if self.shuffled:
            batch.reward = among(batch.reward, key, z)
        return np.asarray((batch.reward - statistics(batch.reward, key, batch.rollout)[0]) * z)


def among(values: Array, group: Array, counted: Array) -> Array:
    """The counted values permuted within groups, by an address that hangs on them."""
    out = values.copy()
    for key in np.unique(group):
        rows = np.flatnonzero((group == key) & counted).tolist()
        moved = list(rows)
        rng("among", *(repr(float(values[i])) for i in rows)).shuffle(moved)
        out[rows] = values[moved]
    return out


# ---- M: reading what was written


async def readable(groups: Groups) -> list[Rollout]:
    """The snippets as text to be read: what is neither break nor comment is a break in it."""
    return [msgspec.structs.replace(r, turns=forced(r)) for group in groups for r in group]


def forced(rollout: Rollout) -> list[Turn]:
    """The turns of a rollout of `between`, nothing in them sampled, what was written before lines readable."""
    context, turns = rollout.turns[0].context, list[Turn]()
    for t in rollout.turns:
        ids = t.ids if t.forced or goes_on(t.text) or comments_on(t.text) else context.codec.encode(BREAK)
        turns.append(Turn(context, t.role, t.writer, 1.0, "said", ids))
        context = broken(context + ids, t.forced)
    return turns


def broken(context: Context, line: bool) -> Context:
    """The context behind a line; behind what stands before one with the break that it may lack."""
    return context if line or context.text.endswith(BREAK) else context + BREAK


# ---- recipes


def midtrained(setting: Setting, cost: float = COST, advantage: ToGo = ToGo(), explores: bool = True) -> Recipe:
    """Rounds of E and M. Without exploring, z is what the model writes anyway."""
    (base,) = default(setting).flat()
    explore = replace(
        base,
        name="explore",
        steps=max(1, base.steps // (2 * ROUNDS)),
        source="demonstrations",
        solver=between,
        reward=rewards.Reward((("comments", cost, comments),), verifies=False),
        advantage=advantage,
        estimates={FIXED: logprobs_of("reference")},
        optimizer=SLOW,
    )
    write = replace(
        explore,
        name="write",
        steps=max(1, base.steps // ROUNDS),
        problems=READ,
        samples=1,
        reward=rewards.NOTHING,
        advantage=advantages.group_mean,
        estimates={},
        select=readable,
    )
    read = replace(reading(setting), source=("stage", write.name), styles={})
    return Recipe((Repeat((explore, write, read) if explores else (write, read), ROUNDS),))


def reading(setting: Setting, style: str | None = None) -> Stage:
    """A round's pass over the corpus as it is, in one of the task's styles."""
    (base,) = default(setting).flat()
    stage = imitation(max(1, base.steps // ROUNDS), {} if style is None else {style: 1.0}, READ, base.shards)
    return replace(stage, name="read", optimizer=GENTLE)


def recipe(setting: Setting) -> Recipe:
    """As published: mid-training, then reinforcement on the task's verifier."""
    return Recipe((*midtrained(setting).stages, *default(setting).stages))


# ---- the claim's other arms


def ntp(setting: Setting) -> Recipe:
    """Next-token prediction on as much code."""
    return Recipe((Repeat((reading(setting),), ROUNDS),))


def unrelated(setting: Setting) -> Recipe:
    """The same with comments that have nothing to do with the lines: NTP for whatever else a comment does."""
    return Recipe((Repeat((reading(setting, "random"),), ROUNDS),))


def unexplored(setting: Setting) -> Recipe:
    return midtrained(setting, explores=False)


def one_line(setting: Setting) -> Recipe:
    """Each z is rewarded by the line it stands before."""
    return midtrained(setting, advantage=ToGo(horizon=1))


def misled(setting: Setting) -> Recipe:
    return midtrained(setting, advantage=ToGo(shuffled=True))


# ---- whether z tells what comes


def surprise(engine: Engine, rollouts: Sequence[Rollout], turned: int = 0) -> float:
    """Nats a token of the expert's lines alone, given what the rollouts of `between` have before them; turned: that of a rollout so many on."""
    total, count = 0.0, 0
    for i, r in enumerate(rollouts):
        other, context = forced(rollouts[(i + turned) % len(rollouts)])[::2], r.turns[0].context
        for n, line in enumerate(r.turns[1::2]):
            context = broken(context + other[n % len(other)].ids, False)
            found = engine.score(context, line.ids)
            total, count = total - float(found.sum()), count + len(found)
            context += line.ids
    return total / count


TASK = Pipelines(operations=(2, 3))

CLAIM = Claim(
    primary=more("accuracy", "ra3", "ntp", by=difference(0.04), why="the card's threshold; the paper gains 4.5 to 4.9 points"),
    secondary=(
        more("accuracy", "ra3", "random comments", by=difference(0.0), why="or any comments would do it"),
        more("accuracy", "ra3", "one line", by=difference(0.0), why="an intent serves more than the line it stands before"),
    ),
    arms={
        "ntp": ntp,
        "ra3": midtrained,
        "unexplored": unexplored,
        "random comments": unrelated,
        "one line": one_line,
        "shuffled reward": misled,
    },
    baseline="ntp",
    method="ra3",
    must_move="unexplored",
    placebo="shuffled reward",
    setting=Setting(TASK, WarmStart(TASK, {"code": 0.5, "loose": 0.5}, steps=400)),
    paper="Mean pass@1 of code benchmarks from 41.7 (next-token prediction) to 46.6 %, Qwen2.5-1.5B; 25.3 to 29.8 %, Llama-3.2-1B.",
)
