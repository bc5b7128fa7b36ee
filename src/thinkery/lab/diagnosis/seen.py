"""Samples as columns, and what several checks need of them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.records import Reply
from ...tasks.verifiers import verifier
from ..dumps import Sample
from ..finding import ENOUGH, Finding
from ..text import one_line

Array = NDArray[np.float64]
Check = Callable[["Seen"], "Finding | None"]
LONG = 1_000_000  # characters of a reply that are looked at


class Seen:
    """Samples as columns, and what several checks need."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = list(samples)
        self.n = len(self.samples)
        self.reward = np.array([math.nan if s.reward is None else s.reward for s in self.samples])
        self.length = np.array([float(s.tokens if s.tokens is not None else len(s.text)) for s in self.samples])
        self.step = np.array([-1 if s.step is None else s.step for s in self.samples])

    @cached_property
    def groups(self) -> list[NDArray[np.int64]]:
        """Samples of one problem in one step; those of two and more."""
        found = defaultdict(list)
        for i, s in enumerate(self.samples):
            found[s.step, s.group].append(i)
        return [np.array(g) for g in found.values() if len(g) > 1]

    @cached_property
    def right(self) -> NDArray[np.bool_] | None:
        """Whether each reply ends in the gold answer, by our own reading; None where fewer than `ENOUGH` have one."""
        if sum(1 for s in self.samples if s.gold not in (None, "", "None", "nan")) < ENOUGH:
            return None
        return np.array([is_right(s) for s in self.samples])

    @cached_property
    def least(self) -> float:
        """The lowest reward."""
        return float(np.nanmin(self.reward)) if np.isfinite(self.reward).any() else 0.0

    @cached_property
    def cut(self) -> NDArray[np.bool_]:
        """Which replies were cut off at a limit: as the file says, or many that are exactly as long as the longest."""
        told = [s.truncated for s in self.samples]
        if any(t is not None for t in told):
            return np.array([bool(t) for t in told])
        most = self.length.max()
        counted = any(s.tokens is not None for s in self.samples)
        at = (self.length >= most) if counted else np.zeros(self.n, bool)
        return at if at.sum() >= max(3, 0.1 * self.n) else np.zeros(self.n, bool)

    def text(self, i: Any) -> str:
        return str(self.samples[i].text[:LONG])

    def share(self, test: Callable[[Sample], Any]) -> float:
        return sum(1 for s in self.samples if test(s)) / self.n

    def example(self, i: int) -> str:
        """A reply in short, with where it stands."""
        return f"{one_line(self.text(int(i)), 80)!r} ({self.samples[int(i)].where})"

    def with_gold(self, i: int) -> str:
        """A reply in short, and the answer that it should end in."""
        return f"{self.example(i)}, gold {one_line(str(self.samples[i].gold), 40)!r}"

    def halves(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
        """The first and the last quarter of the steps; None of fewer than four."""
        steps = np.unique(self.step[self.step >= 0])
        if len(steps) < 4:
            return None
        quarter = max(1, len(steps) // 4)
        return np.isin(self.step, steps[:quarter]), np.isin(self.step, steps[-quarter:])


def is_right(s: Sample) -> bool:
    """Whether a reply ends in the gold answer, read as a number or as text."""
    if not s.gold:
        return False
    names = ("number", "exact") if any(c.isdigit() for c in s.gold) else ("exact", "choice")
    return any(verifier(name)(s.gold, Reply(s.text[-20_000:])).score == 1 for name in names)


def varies(x: Array) -> bool:
    """Whether the numbers that there are differ."""
    x = x[np.isfinite(x)]
    return bool(len(x)) and bool(x.max() - x.min() > 1e-9)


def agreement(right: NDArray[np.bool_], reward: Array) -> float:
    """How often right replies are paid more than the middle between least and most, and wrong ones less."""
    high = reward > (np.nanmin(reward) + np.nanmax(reward)) / 2
    return float((high == right).mean())


def mentions(x: Sample) -> bool:
    """Whether the gold answer stands in the reply at all."""
    return bool(x.gold) and str(x.gold).strip().casefold() in x.text.casefold()


def within(x: Array, groups: Sequence[NDArray[np.int64]]) -> Array:
    """Values less their group's mean."""
    return np.concatenate([x[g] - x[g].mean() for g in groups]) if groups else np.zeros(0)


def inside(x: Any, s: Sample) -> Array:
    """Values of tokens in the loss."""
    return np.asarray(x[s.mask] if s.mask is not None and len(s.mask) == len(x) else x, float)
