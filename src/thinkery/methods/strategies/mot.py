"""MoT: a model teaches itself to reason in three notations at once, and answers by the vote of all three.

Paper    Zheng et al. 2025, "Learning to reason via mixture-of-thought for logical reasoning" (arXiv:2505.15817).
Problem  Self-training keeps a model to one notation, mostly words. Words leave branches out and make steps up; programs and truth tables fail too,
         but elsewhere, so that what one of them gets wrong another may get right.
New      `recipe`: in each of three rounds the model writes rationales in words, as programs and as truth tables; the first in each notation that
         comes to the label is kept (`first_right`), what a program prints being its answer; and the model goes on from where it stands with all
         of them together. It answers by a vote of one sample in each notation (`solver`).
Formula  kept = {first z of (x, m): closed(z), answer(z) = y},  loss = -sum log policy(z | x, m)
         answer = the commonest of those in nl, code, tt; the first of equals
Setup    rounds = 3 (repository); samples = 10 (repository); temperature = 1, top-p = 0.9, top-k = 50 (repository); seed problems = 1000 (repository);
         epochs = 2 to 6 (repository).
Differs  A sample's notation is a coin's choice, so a problem has about as many of each. Problems are new in every round. Nothing is cut off from
         the distribution. In place of examples in the prompt the start has seen worked replies in all notations. The claim's problems are
         formulas over facts, known or not, worked from left to right: the smallest model does not learn to tell the rules of `theories` apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations

import numpy as np

from thinkery.core.errors import BadConfig
from thinkery.core.records import Card, Rollout
from thinkery.lab.claims import Claim, Gates, difference, more
from thinkery.learning import losses, rewards
from thinkery.learning.batch import Array, Batch
from thinkery.learning.recipe import Optimizer, Recipe, Repeat, Setting, Stage, WarmStart, default
from thinkery.learning.select import Groups
from thinkery.solvers.notations import noted, voted
from thinkery.tasks.files import STYLE as SOLUTION
from thinkery.tasks.formulas import Formulas
from thinkery.tasks.theories import CODE, NL, NOTATIONS, TABLE, VOTES

CARD = Card(
    id="mot",
    number=1,
    family="strategies",
    title="Mixture of thought",
    year=2025,
    paper="arXiv:2505.15817",
    changes=("solver", "select", "losses", "source", "reward", "optimizer"),
)

ROUNDS = 3
BEST = TABLE  # the notation that the start of the claim is best in
WIDER = 2  # times more problems in a step of sampling
READ = 64  # rationales in a step of learning: some four passes over what was kept
IMITATES = Optimizer(lr=3e-4)

solver = voted


# ---- what is kept


async def first_right(groups: Groups) -> list[Rollout]:
    """Of each problem the first rationale in each notation that is rewarded, and closed as it should be."""
    return [r for group in groups for r in {notation(r): r for r in reversed(group) if kept(r)}.values()]


def notation(rollout: Rollout) -> str:
    """The notation that a reply was asked for in."""
    assert rollout.reply is not None
    return str(rollout.reply.data["notation"])


def kept(rollout: Rollout) -> bool:
    """Whether a rationale may be learnt from."""
    return rollout.reply is not None and bool(rollout.reply.data["closed"]) and rollout.rewards["correct"] >= 1


def nothing(batch: Batch) -> Array:
    """No token: what is sampled waits until the round's sampling is over."""
    return np.zeros(batch.mask.shape)


# ---- recipes


def taught(setting: Setting, notations: Sequence[str] = NOTATIONS, vote: Sequence[str] = NOTATIONS, runs: bool = True) -> Recipe:
    """Rounds of sampling and of learning what was kept. Fewer notations: as many samples, of more problems, so that as many rationales are kept.

    Raises BadConfig for a task whose worked replies are in other notations: a model that learnt those writes none of these.
    """
    task, (base,) = setting.task, default(setting).flat()
    if task.styles not in ((), (SOLUTION,)) and not set(NOTATIONS) <= set(task.styles):
        raise BadConfig(
            f"mot learns from {', '.join(NOTATIONS)}, and the worked replies of the task {task.name!r} are in none of them; take 'formulas' "
            "or 'theories', or a data set such as 'folio' and a model that follows instructions"
        )
    wider = len(NOTATIONS) // len(notations)
    sampling = max(1, base.steps // (4 * ROUNDS))
    gather = replace(
        base,
        name="gather",
        steps=sampling,
        problems=WIDER * base.problems * wider,
        samples=max(1, base.samples // wider),
        solver=partial(noted, notations=notations, runs=runs),
        select=first_right,
        losses=(losses.likelihood(nothing),),
    )
    learn = Stage(
        name="learn",
        steps=max(1, base.steps // ROUNDS - sampling),
        problems=READ,
        samples=1,
        source=("stage", gather.name),
        solver=partial(voted, notations=vote, runs=runs),
        reward=rewards.NOTHING,
        losses=(losses.cross_entropy(),),
        optimizer=IMITATES,
        shards=base.shards,
    )
    return Recipe((Repeat((gather, learn), ROUNDS),))


def recipe(setting: Setting) -> Recipe:
    """As published."""
    return taught(setting)


# ---- the claim's other arms


def alone(setting: Setting) -> Recipe:
    """Self-training in the best notation alone, and a vote of three samples in it (STaR, with self-consistency)."""
    return taught(setting, (BEST,), (BEST,) * len(NOTATIONS))


def one_voice(setting: Setting) -> Recipe:
    """Taught in all three, but a vote of three samples in one."""
    return taught(setting, vote=(BEST,) * len(NOTATIONS))


def stated(setting: Setting) -> Recipe:
    """The same without running programs: what a reply states behind one is its answer."""
    return taught(setting, runs=False)


def shuffled(setting: Setting) -> Recipe:
    """The same, but what is kept of the rationales has nothing to do with whether they are right."""
    (rounds,) = recipe(setting).stages
    assert isinstance(rounds, Repeat)
    gather, learn = rounds.stages
    return Recipe((replace(rounds, stages=(replace(gather, reward=rewards.shuffled(gather.reward)), learn)),))


# ---- whether the notations are more than three tags


def overlap(found: Sequence[Rollout]) -> Mapping[str, float]:
    """Of replies that were voted, by pair of votes ("nl/code"; the mean where a pair comes more than once), what their errors have in common: the
    problems that both get wrong, as a share of those that either does. Lower for two notations than for two samples of one, if they differ.
    """
    shares: dict[str, list[float]] = {}
    voted = [(r.problem.answer, r.reply.data[VOTES]) for r in found if r.reply is not None]
    for i, j in combinations(range(len(voted[0][1])), 2):
        wrong = [{n for n, (answer, votes) in enumerate(voted) if votes[k][1] != answer} for k in (i, j)]
        pair = f"{voted[0][1][i][0]}/{voted[0][1][j][0]}"
        shares.setdefault(pair, []).append(len(wrong[0] & wrong[1]) / max(1, len(wrong[0] | wrong[1])))
    return {pair: sum(values) / len(values) for pair, values in shares.items()}


TASK = Formulas()
TAUGHT = {NL: 0.5, CODE: 1.1, TABLE: 1.8}  # so that the start is about as good in each

CLAIM = Claim(
    primary=more("accuracy", "mot", "star", by=difference(0.03), why="the card's threshold; the paper gains 7 points over such a vote"),
    secondary=(
        more(BEST, "mot", "star", by=difference(0.03), why="the card: taught together, the best notation by itself gains, too"),
        more(
            "accuracy",
            "mot",
            "one notation",
            by=difference(0.02),
            why="the card: of the same model, a vote of three notations gains 2 points",
        ),
        more("deep", "mot", "one notation", by=difference(0.02), why="the card: most of it on deep problems"),
    ),
    mechanism=(more(CODE, "mot", "stated", by=difference(0.0), why="programs are run, or it would not matter what they print"),),
    arms={
        "star": alone,
        "mot": recipe,
        "one notation": one_voice,
        "stated": stated,
        "shuffled reward": shuffled,
    },
    baseline="star",
    method="mot",
    must_move="one notation",
    placebo="shuffled reward",
    setting=Setting(TASK, WarmStart(TASK, TAUGHT, steps=500)),
    gates=Gates(greedy=(0.4, 0.75)),  # guessing is right a third of the time
    paper="On FOLIO and ProofWriter, Gemma-2-9B: 67.8 % for the vote of three samples in one notation, 74.8 % for three notations.",
)
