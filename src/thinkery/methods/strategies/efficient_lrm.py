"""Efficient reasoning: four ways to the same answers with half of the tokens, from one start and by one meter.

Paper    Liu et al. 2025, "Efficient inference for large reasoning models: a survey" (arXiv:2503.23077).
Problem  Work that is written out costs tokens, many of them of no use to the answer. Ways to save them are published one by one, with their own
         models, tasks and counts of what they cost.
New      `recipe` compresses (TokenSkip): of the model's own right work what matters least for the answer is left out, down to a share that stands
         in the question, and the model learns to write it so. `internalised` learns to leave out the beginning, a little more at every stage, so
         that it is done unseen; `rewarded` pays brevity of right replies; `models.merging` mixes the weights of a brief and a wordy model.
Formula  worth of a piece = log p(answer | all of the work) - log p(answer | the work without it);  the worthiest pieces up to ratio * length
         brevity: R = 1 - lambda * length / mean length of the right ones, for right replies;  merged = (1 - lambda) brief + lambda wordy
Setup    ratio = 0.5 to 1 (paper, of TokenSkip); optimiser = begun anew at every stage (paper, of internalising).
Differs  Work is the model's own at its start, of right replies. Worth is the policy's own, not another model's. A piece is a number or a word. Of
         implicit ways internalising stands here alone: thoughts without tokens need inputs that are no tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from thinkery.core.records import Card, Rollout
from thinkery.lab.claims import Claim, Gates, difference, less, more, not_worse, ratio
from thinkery.learning import advantages, losses, rewards
from thinkery.learning.batch import Array, Batch
from thinkery.learning.recipe import Optimizer, Recipe, Setting, Stage, WarmStart, default
from thinkery.learning.select import Groups, nothing
from thinkery.solvers import Solver, single
from thinkery.solvers.shortened import compressed, compressing, inward
from thinkery.tasks.addition import Addition
from thinkery.tasks.rechecked import Rechecked

CARD = Card(
    id="efficient_lrm",
    number=19,
    family="strategies",
    title="Efficient inference for reasoning models",
    year=2025,
    paper="arXiv:2503.23077",
    changes=("solver", "select", "losses", "source", "optimizer"),
)

GATHERED = 0.15  # of the steps, in which work is gathered
LONGER = 3  # times more steps to learn it
READ = 64  # replies in a step of learning
SHARES = (0.15, 0.3, 0.45, 0.6)  # of the work, left out at the beginning, stage by stage
ASKED, MORE = 0.3, 0.6  # of the work, asked for after learning
PENALTY = 0.5
CLIP = 0.2
IMITATES = Optimizer(lr=1e-3)


# ---- parts


async def said_again(groups: Groups) -> list[Rollout]:
    """Of right replies what was said again, alone: the work it came from is not learnt anew."""
    found = [r for g in groups for r in g if r.reply is not None and r.rewards.get("correct", 0) >= 1 and r.turns[-1].forced]
    for r in found:
        r.turns = r.turns[-1:]
    return found


def none(batch: Batch) -> Array:
    """No token: what is gathered waits."""
    return np.zeros(batch.mask.shape)


def brevity(rollouts: Sequence[Rollout], penalty: float = PENALTY) -> list[float]:
    """1 - penalty * tokens / mean tokens of right replies, for a right one; 0 for others."""
    right = [score >= 1 for score in rewards.correct(rollouts)]
    lengths = [r.tokens for r, good in zip(rollouts, right) if good]
    mean = sum(lengths) / max(1, len(lengths))
    return [1 - penalty * r.tokens / mean if good else 0.0 for r, good in zip(rollouts, right)]


def gathering(base: Stage, name: str, solver: Solver) -> Stage:
    """A stage that keeps what a way of saying work again makes of the model's own, and learns nothing."""
    steps = max(1, round(GATHERED * base.steps))
    return replace(base, name=f"gather {name}", steps=steps, solver=solver, select=said_again, losses=(losses.likelihood(none),))


def learning(base: Stage, name: str, steps: int) -> Stage:
    """A stage that imitates what such a stage has kept, with an optimiser of its own."""
    return Stage(
        name=f"learn {name}",
        steps=max(1, steps),
        problems=READ,
        samples=1,
        source=("stage", f"gather {name}"),
        reward=rewards.NOTHING,
        losses=(losses.cross_entropy(),),
        optimizer=IMITATES,
        shards=base.shards,
    )


def asked(base: Stage, solver: Solver) -> Stage:
    """A way of thinking for afterwards, of which nothing is learnt."""
    return replace(base, name="think", steps=1, problems=1, samples=2, solver=solver, select=nothing)


# ---- recipes


def taught(setting: Setting, solver: Solver, after: Solver) -> Recipe:
    """Work is gathered in one form and learnt; then the model is asked in a way of thinking."""
    (base,) = default(setting).flat()
    return Recipe((gathering(base, "work", solver), learning(base, "work", LONGER * base.steps), asked(base, after)))


def recipe(setting: Setting) -> Recipe:
    """Compression, asked for the smallest share."""
    return taught(setting, compressing, partial(compressed, ratio=ASKED))


def internalised(setting: Setting) -> Recipe:
    """All stages' work is gathered from the start; then each is learnt in turn."""
    (base,) = default(setting).flat()
    gather = [gathering(base, f"{share:g}", partial(inward, share=share)) for share in SHARES]
    learn = [learning(base, f"{share:g}", LONGER * base.steps // len(SHARES)) for share in SHARES]
    return Recipe((*gather, *learn))


def rewarded(setting: Setting) -> Recipe:
    """Reinforcement of brevity."""
    reward = rewards.weighted(correct=0.0, brevity=brevity)
    return default(setting).rl(reward=reward, advantage=advantages.group_normalised, losses=(losses.clipped(CLIP),))


# ---- the claim's other arms


def whole(setting: Setting) -> Recipe:
    """The model's own work as it is, learnt as long."""
    return taught(setting, partial(inward, share=0.0), single)


def asked_more(setting: Setting) -> Recipe:
    """Compression, asked for a larger share."""
    return taught(setting, compressing, partial(compressed, ratio=MORE))


def at_random(setting: Setting) -> Recipe:
    """What is left out is drawn."""
    return taught(setting, partial(compressing, at_random=True), partial(compressed, ratio=ASKED))


TASK = Rechecked(Addition(digits=(3, 3)))

CLAIM = Claim(
    primary=less("tokens", "compressed", "whole", by=ratio(0.5), why="the card: half of the cost"),
    secondary=(
        not_worse("accuracy", "compressed", "whole", margin=0.05, why="the card: 95 % of the accuracy"),
        more("accuracy", "compressed", "at random", by=difference(0.05), why="or it does not matter what is left out"),
        less("tokens", "internalised", "whole", by=ratio(0.5), why="the card: an implicit way, too"),
        not_worse("accuracy", "internalised", "whole", margin=0.05, why="the card: 95 % of the accuracy"),
        less("tokens", "rewarded", "whole", by=ratio(0.5), why="the card: rewards halve the tokens"),
        not_worse("accuracy", "rewarded", "whole", margin=0.02, why="the card: for 2 points at most"),
    ),
    mechanism=(more("tokens", "asked for more", "compressed", by=difference(2.0), why="what is asked for is what is written"),),
    arms={
        "whole": whole,
        "compressed": recipe,
        "at random": at_random,
        "asked for more": asked_more,
        "internalised": internalised,
        "rewarded": rewarded,
    },
    baseline="whole",
    method="compressed",
    must_move="asked for more",
    placebo=None,
    setting=Setting(TASK, WarmStart(TASK, {"trace": 1.0}, steps=300)),
    gates=Gates(greedy=(0.9, 1.0), lift=0.0, mixed=0.0),  # it is about what can be done already
    paper="A survey: no number of its own.",
)
