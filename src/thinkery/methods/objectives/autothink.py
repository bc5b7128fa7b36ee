"""AutoThink: after an ellipsis the model thinks or does not, and learns by three stages of rewards when it is worth it.

Paper    Tu et al. 2025, "Learning when to think: shaping adaptive reasoning in R1-style models via multi-stage RL" (arXiv:2505.10832).
Problem  Reasoning models think as long about what they know as about what they have to work out.
New      A thought that is begun with dots is sometimes closed at once. Not to think pays twice if right and costs if wrong (`table`). At first
         what the step has too much of is paid less (`balanced`), lest one way dies out; in the end short right replies and long wrong ones are
         paid a little more (`brief`).
Formula  r = 1 think and right, 0 think and wrong, 2 no thought and right, -1 no thought and wrong, 0 unreadable
         balance: r <- (1 - d) r + d t,  d = clip(2 (z - 0.5), 0, 1) for thoughts, z their share of the step, t = 0 right, -1 wrong;
                  d = clip(2 (0.5 - z), 0, 1) without thought, t = 1 right, -2 wrong
         brief:   r <- r + exp(-0.05 y) - 1 if right, r + 1 - exp(-0.05 y) if wrong,  y the z-score of the length among the prompt's replies
                  that are as right
Setup    balance = 0.5, slope 2 (repository); length = 0.05 (repository); group size = 8 (repository); KL weight = 0 (repository);
         clip = 0.2 (repository); learning rate = 1e-6 (repository); temperature = 0.6 (repository).
Differs  Stages are of equal length and have the same room for a reply. The tiny model is taught both ways behind a mark in place of the dots. The
         share and the z-scores are those of replies that can be read. Temperature 1; a larger learning rate. Six problems in ten can be answered
         at a glance, and their worked steps are as long as the others'.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from thinkery.core.records import Card, Rollout
from thinkery.lab.claims import Claim, Gates, difference, less, not_worse, ratio
from thinkery.learning import advantages, losses, rewards
from thinkery.learning.recipe import Optimizer, Recipe, Setting, Stage, WarmStart, default
from thinkery.solvers.ellipsis import ellipsis
from thinkery.solvers.single import single
from thinkery.tasks.elided import Elided, Marked
from thinkery.tasks.round_sums import RoundSums

CARD = Card(
    id="autothink",
    number=60,
    family="objectives",
    title="Learning when to think by multi-stage reinforcement",
    year=2025,
    paper="arXiv:2505.10832",
    changes=("solver", "reward", "advantage", "losses"),
)

Paid = Mapping[tuple[bool, bool], float]  # (think, right) -> reward
Score = Callable[..., list[float]]

PAID: Paid = {(True, True): 1.0, (True, False): 0.0, (False, True): 2.0, (False, False): -1.0}
EQUAL: Paid = {(True, True): 1.0, (True, False): 0.0, (False, True): 1.0, (False, False): 0.0}
TARGET: Paid = {(True, True): 0.0, (True, False): -1.0, (False, True): 1.0, (False, False): -2.0}
GAMMA, SLOPE = 0.5, 2.0
LENGTH = 0.05
SAMPLES, LR = 8, 3e-4


def kinds(rollouts: Sequence[Rollout]) -> list[tuple[bool, bool] | None]:
    """(think, right) for each reply, None for one that cannot be read."""
    right = rewards.correct(rollouts)
    read = [r.reply is not None and r.verdict is not None and r.verdict.parsed is not None for r in rollouts]
    think = [r.reply.data.get("think") if ok and r.reply is not None else None for r, ok in zip(rollouts, read)]
    return [None if t is None else (t, c >= 1) for t, c in zip(think, right)]


def table(rollouts: Sequence[Rollout], paid: Paid = PAID) -> list[float]:
    """What the kind of each reply is paid; 0 for one that cannot be read."""
    return [0.0 if kind is None else paid[kind] for kind in kinds(rollouts)]


def balanced(rollouts: Sequence[Rollout], paid: Paid = PAID) -> list[float]:
    """`table`, where the kind that the step has more of moves towards TARGET."""
    found = kinds(rollouts)
    thoughts = [kind[0] for kind in found if kind is not None]
    excess = sum(thoughts) / len(thoughts) - GAMMA if thoughts else 0.0
    delta = {think: min(1.0, max(0.0, SLOPE * (excess if think else -excess))) for think in (True, False)}
    return [0.0 if k is None else (1 - delta[k[0]]) * paid[k] + delta[k[0]] * TARGET[k] for k in found]


def apart(rollouts: Sequence[Rollout], paid: Paid = PAID) -> list[float]:
    """`balanced` by the shares within each prompt's group."""
    groups: dict[int, list[int]] = {}
    for i, r in enumerate(rollouts):
        groups.setdefault(r.index, []).append(i)
    values = [0.0] * len(rollouts)
    for members in groups.values():
        for i, value in zip(members, balanced([rollouts[i] for i in members], paid)):
            values[i] = value
    return values


def brief(rollouts: Sequence[Rollout], paid: Paid = PAID) -> list[float]:
    """`table`, and a little more for right replies that are shorter, and wrong ones that are longer, than the prompt's others."""
    found, lengths = kinds(rollouts), dict[tuple[int, bool], list[int]]()
    for r, kind in zip(rollouts, found):
        if kind is not None:
            lengths.setdefault((r.index, kind[1]), []).append(r.tokens)
    values = table(rollouts, paid)
    for i, (r, kind) in enumerate(zip(rollouts, found)):
        if kind is not None:
            gain = math.exp(-LENGTH * standing(r.tokens, lengths[r.index, kind[1]])) - 1
            values[i] += gain if kind[1] else -gain
    return values


def standing(value: int, among: Sequence[int]) -> float:
    """The z-score of a value; 0 where all are the same."""
    mean = sum(among) / len(among)
    deviation = math.sqrt(sum((x - mean) ** 2 for x in among) / len(among))
    return (value - mean) / deviation if deviation else 0.0


def stage(setting: Setting, name: str, score: Score) -> Stage:
    """One of the stages: twice as many replies a step as by default, in groups of SAMPLES, and half as many steps again.

    One way of replying takes over at first; the other comes back where it pays, if there is time.
    """
    (base,) = default(setting).flat()
    return replace(
        base,
        name=name,
        steps=3 * base.steps // 2,
        problems=2 * base.problems * base.samples // SAMPLES,
        samples=SAMPLES,
        solver=ellipsis,
        reward=rewards.weighted(correct=0.0, paid=score),
        advantage=advantages.group_normalised,
        losses=(losses.clipped(),),
        optimizer=Optimizer(lr=LR),
    )


def staged(setting: Setting, first: Score = balanced, paid: Paid = PAID) -> Recipe:
    """The three stages; `first` is the first one's reward."""
    scores = {"balance": first, "table": table, "rl": brief}
    return Recipe(tuple(stage(setting, name, score if paid is PAID else partial(score, paid=paid)) for name, score in scores.items()))


def recipe(setting: Setting) -> Recipe:
    """Balanced, by the table, and with an eye on length."""
    return staged(setting)


# ---- the claim's other arms


def forced(setting: Setting) -> Recipe:
    """The same stages without the ellipsis, so that the model thinks as it was taught, rewarded for the right answer alone."""
    return Recipe(tuple(replace(s, solver=single, reward=rewards.CORRECT) for s in recipe(setting).flat()))


def equal(setting: Setting) -> Recipe:
    """An answer without thought is worth no more than one with it, and no less."""
    return staged(setting, paid=EQUAL)


def unbalanced(setting: Setting) -> Recipe:
    """The first stage without its balance."""
    return staged(setting, first=table)


def plain(setting: Setting) -> Recipe:
    """The same stages and the same choice to think or not, rewarded for the right answer alone."""
    return Recipe(tuple(replace(s, reward=rewards.CORRECT) for s in recipe(setting).flat()))


def shuffled(setting: Setting) -> Recipe:
    """All stages with rewards that tell nothing."""
    return Recipe(tuple(replace(s, reward=rewards.shuffled(s.reward)) for s in recipe(setting).flat()))


SUMS = RoundSums(digits=5)

CLAIM = Claim(
    primary=less("tokens", "autothink", "forced", by=ratio(0.55), why="the card's threshold; the paper saves 52 %"),
    secondary=(
        not_worse("accuracy", "autothink", "forced", margin=0.03, why="what is saved must not be paid for by mistakes"),
        less("think 0", "autothink", "plain", by=difference(0.2), why="what can be seen at a glance is thought about less often"),
        not_worse("think 5", "autothink", "plain", margin=0.1, why="what has to be worked out is still thought about"),
    ),
    arms={
        "forced": forced,
        "autothink": recipe,
        "plain": plain,
        "equal": equal,
        "unbalanced": unbalanced,
        "shuffled reward": shuffled,
    },
    baseline="forced",
    method="autothink",
    must_move="plain",
    placebo="shuffled reward",
    setting=Setting(Elided(SUMS), WarmStart(Marked(SUMS), {"trace": 0.5, "direct": 0.5}, steps=2000)),
    gates=Gates(greedy=(0.2, 1.0), lift=-1.0, mixed=0.0),  # thoughts may be right from the start: when to have them is what is learnt
    paper="-52 % tokens and +6.4 % relative accuracy on DeepSeek-R1-Distill-Qwen-1.5B.",
)
