"""Rewards: named parts with weights. A part sees all rollouts of a step; `correct` is the verifier's score."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..core.errors import RewardError
from ..core.records import Rollout
from ..core.rng import rng
from .batch import Array
from .memory import Seen, State


@dataclass(frozen=True)
class Stateful:
    """A part that learns from what it sees: score(rollouts, state) -> values; after each step update(state, seen) -> state, from init()."""

    init: Callable[[], State]
    score: Callable[[Sequence[Rollout], State], Any]
    update: Callable[[State, Seen], State]


Part = Callable[[Sequence[Rollout]], Any] | Stateful  # -> one number a rollout, or for each rollout one number a turn


def correct(rollouts: Sequence[Rollout]) -> list[float]:
    """The verifier's score, in [0, 1]. Raises ValueError where nothing was verified: that is no 0."""
    for r in rollouts:
        if r.verdict is None:
            raise ValueError(
                f"problem {r.problem.id} has no verdict (demonstrations and records without a score are not verified): use reward=NOTHING"
            )
    return [r.verdict.score for r in rollouts if r.verdict is not None]


@dataclass(frozen=True)
class Reward:
    """The weighted sum of named parts. `verifies` says that the parts read verdicts, so that verification runs."""

    parts: tuple[tuple[str, float, Part], ...]
    verifies: bool = True

    def init(self) -> dict[str, State]:
        """The states of the stateful parts as a stage begins, by name."""
        return {name: part.init() for name, _, part in self.parts if isinstance(part, Stateful)}

    def update(self, states: Mapping[str, State], seen: Seen) -> dict[str, State]:
        """The states after a step. Raises RewardError."""
        out = {}
        for name, _, part in self.parts:
            if isinstance(part, Stateful):
                try:
                    out[name] = part.update(states[name], seen)
                except Exception as error:
                    raise RewardError(f"the update of the reward part {name!r} raised {type(error).__name__}: {error}") from error
        return out

    def score(self, rollouts: Sequence[Rollout], states: Mapping[str, State] | None = None) -> list[tuple[float, list[Any]]]:
        """(weight, values) of every part; fills `rewards` of each rollout (a per-turn part by its sum). No states: those a stage begins with."""
        scores, states = list[tuple[float, list[Any]]](), self.init() if states is None else states
        for name, weight, part in self.parts:
            state = (states[name],) if isinstance(part, Stateful) else ()
            values = self._values(name, part.score if isinstance(part, Stateful) else part, rollouts, *state)
            for r, v in zip(rollouts, values):
                r.rewards[name] = v if type(v) is float else float(np.sum(v))
            scores.append((weight, values))
        return scores

    @staticmethod
    def rows(scores: list[tuple[float, list[Any]]], rollout: Array, turn: Array) -> Array:
        """The total reward of each row, float64 [B]: parts per rollout go to all its rows, parts per turn to their turn."""
        total = np.zeros(len(rollout))
        for weight, values in scores:
            if values and isinstance(values[0], np.ndarray):
                total += weight * np.array([values[i][j] for i, j in zip(rollout.tolist(), turn.tolist())])
            elif len(rollout):
                total += weight * np.asarray(values, float)[rollout]
        return total

    @staticmethod
    def _values(name: str, part: Callable[..., Any], rollouts: Sequence[Rollout], *state: State) -> list[Any]:
        try:
            raw = list(part(rollouts, *state))
        except Exception as error:
            raise RewardError(f"the reward part {name!r} raised {type(error).__name__}: {error}") from error
        if len(raw) != len(rollouts):
            raise RewardError(f"the reward part {name!r} returned {len(raw)} values for {len(rollouts)} rollouts")
        if all(type(v) is float for v in raw) and np.isfinite(raw).all():  # what most parts return
            return raw
        out = [float(v) if isinstance(v, (int, float)) or not np.ndim(v) else np.asarray(v, float) for v in raw]
        for r, v in zip(rollouts, out):
            if not (math.isfinite(v) if type(v) is float else np.all(np.isfinite(v))):
                raise RewardError(
                    f"the reward part {name!r} gave {v} for problem {r.problem.id}, sample {r.k}: rewards must be finite numbers"
                )
        return out


def weighted(correct: float = 1.0, **parts: tuple[float, Part] | Part) -> Reward:
    """`correct` (the verifier's score) times its weight, plus further parts: name=function or name=(weight, function)."""
    own: list[tuple[str, float, Part]] = [("correct", correct, globals()["correct"])] if correct else []
    for name, part in parts.items():
        weight, function = part if isinstance(part, tuple) else (1.0, part)
        own.append((name, weight, function))
    return Reward(tuple(own))


@dataclass(frozen=True)
class Overlong:
    """Soft punishment of length (Yu et al. 2025, eq. 13): 0 up to limit - margin sampled tokens, from there linearly down to -1 at the limit."""

    limit: int
    margin: int

    def __call__(self, rollouts: Sequence[Rollout]) -> list[float]:
        return [-min(1.0, max(0.0, (r.tokens - (self.limit - self.margin)) / self.margin)) for r in rollouts]


def majority(rollouts: Sequence[Rollout]) -> list[float]:
    """1 for the answer that most samples of the problem gave, else 0 (Zuo et al. 2025, TTRL); the earliest of equals; unparsed ones have no vote.

    Verdicts are read for the answers that they parsed, never for their scores.
    """
    answers = [None if r.verdict is None else r.verdict.parsed for r in rollouts]
    votes: dict[int, Counter[str]] = {}
    for r, answer in zip(rollouts, answers):
        votes.setdefault(r.index, Counter()).update([answer] if answer is not None else [])
    label = {index: count.most_common(1)[0][0] for index, count in votes.items() if count}
    return [float(answer is not None and answer == label[r.index]) for r, answer in zip(rollouts, answers)]


@dataclass(frozen=True)
class Shuffled:
    """A part whose values go to other rollouts of the step, by an address that hangs on the step's problems: the placebo of a reward.

    All parts of a step move alike. Numbers a rollout alone: per-turn parts raise ValueError.
    """

    part: Callable[..., Any]

    def __call__(self, rollouts: Sequence[Rollout], *state: State) -> list[float]:
        values = list(self.part(rollouts, *state))
        if any(np.ndim(v) for v in values):
            raise ValueError("a part that gives numbers per turn cannot be shuffled among rollouts")
        order = list(range(len(values)))
        rng("shuffled", *(x for r in rollouts for x in (r.step, r.problem.id, r.k))).shuffle(order)
        return [values[i] for i in order]


def shuffled(reward: Reward) -> Reward:
    """The reward with its values permuted among the step's rollouts: the same numbers, telling nothing."""
    moved = lambda part: replace(part, score=Shuffled(part.score)) if isinstance(part, Stateful) else Shuffled(part)
    return Reward(tuple((name, weight, moved(part)) for name, weight, part in reward.parts), reward.verifies)


CORRECT = Reward((("correct", 1.0, correct),))
NOTHING = Reward((), verifies=False)
