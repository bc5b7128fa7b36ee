"""Open-RS: small models learn from few problems, if easy ones stand among the hard and length is paid for by a cosine.

Paper    Dang & Ngo 2025, "Reinforcement learning for reasoning in small LLMs: what works and what doesn't" (arXiv:2503.16219).
Problem  A small model under a short limit gains fast on hard problems alone, then its replies run into the limit, and it falls again.
New      `cosine` in place of the right-or-wrong reward: short right replies are worth more than long ones, long wrong ones cost less than short
         ones; and problems of the task's whole range in place of its hard end. `formatted` pays for a reply that can be read.
Formula  v(L) = v_max + (v_0 - v_max)/2 (1 + cos(pi L / L_max)),  L tokens of at most L_max
         right: v_0 = 1, v_max = 0.5;  wrong: v_0 = -1, v_max = -0.5;  R = 2 v(L) + 1[can be read]
Setup    weights = 2 cosine, 1 format (repository); learning rate = 1e-6, cosine decay to a tenth (repository); samples = 6 (repository);
         temperature = 0.7 (repository); limit = 3,584 tokens (repository); steps = 500 (repository); problems = 7,000 (paper).
Differs  The range is that of the task's first difficulty key; a task without one, or a file, is met as it is. The learning rate falls to 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from thinkery.core.records import Card, Rollout
from thinkery.lab.claims import Claim, difference, less, more, not_worse, ratio
from thinkery.learning import advantages, curriculum, losses, rewards
from thinkery.learning.recipe import Recipe, Setting, WarmStart, default
from thinkery.tasks.chain import Chain
from thinkery.tasks.generated import Generated
from thinkery.tasks.rechecked import Rechecked

CARD = Card(
    id="open_rs",
    number=43,
    family="objectives",
    title="Reinforcement learning for reasoning in small language models",
    year=2025,
    paper="arXiv:2503.16219",
    changes=("reward", "advantage", "losses", "optimizer"),
)

RIGHT, WRONG = (1.0, 0.5), (-1.0, -0.5)  # what a reply of no length is worth, and one of the greatest
TOP = 1 / 3  # of the range of difficulty is its hard end


def value(right: float, tokens: int, longest: int) -> float:
    """What a reply is worth; between right and wrong for a score between."""
    share = (1 + math.cos(math.pi * min(1.0, tokens / longest))) / 2
    good, bad = (end + (start - end) * share for start, end in (RIGHT, WRONG))
    return right * good + (1 - right) * bad


def cosine(rollouts: Sequence[Rollout], longest: int) -> list[float]:
    """`value` of each reply by its sampled tokens."""
    return [value(score, r.tokens, longest) for r, score in zip(rollouts, rewards.correct(rollouts))]


def formatted(rollouts: Sequence[Rollout]) -> list[float]:
    """1 for a reply in which an answer could be read, else 0."""
    return [float(r.verdict is not None and r.verdict.parsed is not None) for r in rollouts]


def rewarded(setting: Setting, **parts: tuple[float, rewards.Part]) -> Recipe:
    """GRPO with a learning rate that falls, paid by these parts and for replies that can be read."""
    (base,) = default(setting).flat()
    return default(setting).rl(
        reward=rewards.weighted(correct=0.0, **parts, formatted=(1.0, formatted)),
        advantage=advantages.group_normalised,
        losses=(losses.clipped(),),
        optimizer=replace(base.optimizer, decay="cosine"),
    )


def recipe(setting: Setting) -> Recipe:
    """The third experiment: the whole range of difficulty, the cosine."""
    return rewarded(setting, cosine=(2.0, partial(cosine, longest=setting.longest)))


# ---- the claim's other arms


def mixed(setting: Setting) -> Recipe:
    """The second experiment: the whole range of difficulty, right or wrong."""
    return rewarded(setting, accuracy=(1.0, rewards.correct))


def hard(setting: Setting) -> Recipe:
    """The first experiment: the hard end alone, right or wrong."""
    return mixed(setting).rl(curriculum=curriculum.in_order(**hardest(setting.task)))


def narrow(setting: Setting) -> Recipe:
    """The hard end alone, with the cosine."""
    return recipe(setting).rl(curriculum=curriculum.in_order(**hardest(setting.task)))


def hardest(task: Any) -> dict[str, Any]:
    """The task's first range of difficulty, cut to its hard end; nothing for a task without ranges."""
    inner = getattr(task, "task", task)
    keys = asdict(inner.spec) if isinstance(inner, Generated) else {}
    for key, found in keys.items():
        if isinstance(found, tuple) and len(found) == 2 and all(isinstance(x, int) for x in found):
            low, high = found
            return {key: (high - round((high - low) * TOP), high)}
    return {}


TASK = Rechecked(Chain(steps=(2, 8)))

CLAIM = Claim(
    primary=more("accuracy", "open_rs", "hard", by=difference(0.03), why="the card: hard problems alone lose 3 points from their best"),
    secondary=(
        less("truncated", "open_rs", "mixed", by=ratio(0.5), why="the card: the cosine halves what is cut off"),
        not_worse("accuracy", "open_rs", "mixed", margin=0.01, why="and that at equal accuracy"),
    ),
    mechanism=(less("tokens", "open_rs", "mixed", by=difference(0.0), why="it is paid for"),),
    arms={"hard": hard, "mixed": mixed, "hard, cosine": narrow, "open_rs": recipe},
    baseline="hard",
    method="open_rs",
    must_move="hard, cosine",
    placebo="shuffled reward",
    setting=Setting(TASK, WarmStart(TASK, {"direct": 0.6, "trace": 0.4}, steps=600), max_tokens=96),
    config={"steps": 150, "problems": 16, "lr": 1e-3},
    paper="AMC23 63 to 80 %, AIME24 46.7 %, from 7,000 problems for 42 dollars (1.5B model).",
)
