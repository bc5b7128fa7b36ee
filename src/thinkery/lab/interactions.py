"""Whether methods add up: what two bring together, beside what each brings alone."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Protocol

from .statistics import ALPHA, Difference, holm, paired


class Seen(Protocol):
    """What was measured of an arm with one seed; `scores` are its problems', in order (None: failed), `tokens` were sampled in training."""

    @property
    def accuracy(self) -> float: ...
    @property
    def scores(self) -> Sequence[float | None]: ...
    @property
    def tokens(self) -> int: ...


@dataclass(frozen=True)
class Interaction:
    """Methods a and b in one recipe, against the first arm, in accuracy.

    alone      what a and b gain, each by itself
    together   what both gain
    beyond     together minus both gains: above 0 they help each other, below 0 they are in each other's way
    adjusted   p of `beyond` after Holm's correction for all combinations
    idle       the method without which the combination learns the same, in every seed: what it changes is not read there
    """

    a: str
    b: str
    alone: tuple[float, float]
    together: Difference
    beyond: Difference
    adjusted: float
    idle: str | None = None

    @property
    def kind(self) -> str:
        """In words."""
        if self.idle is not None:
            return f"{self.idle} changes nothing beside {self.b if self.idle == self.a else self.a}"
        if self.adjusted >= ALPHA:
            return "not told apart from adding up"
        return "more than their sum" if self.beyond.mean > 0 else "less than their sum"


def pairs_of(methods: Sequence[str]) -> list[str]:
    """Every two of the methods after the first, combined; what is a combination already stays as it is."""
    single = [m for m in methods[1:] if "+" not in m]
    return [f"{a}+{b}" for a, b in combinations(single, 2) if f"{a}+{b}" not in methods and f"{b}+{a}" not in methods]


def interactions(first: str, arms: Mapping[str, Mapping[int, Seen]]) -> list[Interaction]:
    """All combinations of two arms that were measured alone, too. `arms`: name -> seed -> what was measured."""
    found: list[Interaction] = []
    for name, seeds in arms.items():
        a, _, b = name.partition("+")
        if not b or "+" in b or any(x not in arms for x in (first, a, b)):
            continue
        four = [(arms[name][s], arms[a][s], arms[b][s], arms[first][s]) for s in seeds if all(s in arms[x] for x in (first, a, b))]
        if four:
            alike = lambda i, four=four: all(f[0].scores == f[i].scores and f[0].tokens == f[i].tokens for f in four)
            idle = b if alike(1) else a if alike(2) else None
            found.append(Interaction(a, b, _gains(four), _together(four), _beyond(four), 1.0, idle))
    return [replace(x, adjusted=p) for x, p in zip(found, holm([x.beyond.p for x in found]))]


def _gains(four: Sequence[Sequence[Seen]]) -> tuple[float, float]:
    mean = lambda i: statistics.fmean(f[i].accuracy - f[3].accuracy for f in four)
    return mean(1), mean(2)


def _together(four: Sequence[Sequence[Seen]]) -> Difference:
    return paired([f[0].accuracy for f in four], [f[3].accuracy for f in four], _noise([(f[0], f[3]) for f in four], (1, -1)))


def _beyond(four: Sequence[Sequence[Seen]]) -> Difference:
    signs = (1, -1, -1, 1)
    contrast = [sum(sign * x.accuracy for sign, x in zip(signs, f)) for f in four]
    return paired(contrast, [0.0] * len(contrast), _noise(four, signs))


def _noise(seeds: Sequence[Sequence[Seen]], signs: Sequence[int]) -> float:
    """The standard deviation that a finite number of problems gives the signed sum of accuracies; root mean square over seeds."""
    squares = []
    for arms in seeds:
        rows = [r for r in zip(*(x.scores for x in arms), strict=True) if None not in r]
        sums = [sum(sign * float(score) for sign, score in zip(signs, row)) for row in rows]
        squares.append(statistics.pvariance(sums) / len(sums) if sums else 0.0)
    return math.sqrt(statistics.fmean(squares))
