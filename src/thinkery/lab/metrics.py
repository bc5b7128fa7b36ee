"""What is read off many answers: pass@k, majority, calibration, ranking, diversity, and the area under a trade-off."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

from ..core.errors import InputError

A = TypeVar("A", bound=Hashable)


def pass_at_k(n: int, c: int, k: int) -> float:
    """The chance that one of k samples is right, estimated without bias from c right ones among n (Chen et al. 2021)."""
    if not (0 <= c <= n and 1 <= k <= n):
        raise InputError(f"pass@{k} of {c} right among {n} samples: k lies in 1..n and c in 0..n")
    return 1 - math.comb(n - c, k) / math.comb(n, k)


def majority(answers: Sequence[A | None]) -> tuple[A | None, float]:
    """The most frequent answer (of equals the earliest) and its share of all; None is unreadable, has no vote, but counts in the share."""
    votes = Counter(a for a in answers if a is not None)
    if not votes:
        return None, 0.0
    answer, count = votes.most_common(1)[0]
    return answer, count / len(answers)


def _checked(confidence: Sequence[float], correct: Sequence[float]) -> None:
    if not confidence or len(confidence) != len(correct):
        raise InputError(f"{len(confidence)} confidences for {len(correct)} outcomes: as many of the one as of the other, at least one")
    if not all(0 <= c <= 1 for c in (*confidence, *correct)):
        raise InputError("confidences and outcomes lie in [0, 1]")


def ece(confidence: Sequence[float], correct: Sequence[float], bins: int = 10) -> float:
    """The expected calibration error over equally wide bins (Guo et al. 2017): 0 is calibrated, 1 is always wrong and sure of it."""
    _checked(confidence, correct)
    gaps = [0.0] * bins
    for c, right in zip(confidence, correct, strict=True):
        gaps[min(bins - 1, int(c * bins))] += c - right
    return sum(map(abs, gaps)) / len(confidence)


def brier(confidence: Sequence[float], correct: Sequence[float]) -> float:
    """The mean squared distance of confidence from outcome (Brier 1950): 0 is perfect, always saying a half is 0.25."""
    _checked(confidence, correct)
    return statistics.fmean((c - right) ** 2 for c, right in zip(confidence, correct, strict=True))


def auroc(confidence: Sequence[float], correct: Sequence[bool]) -> float | None:
    """The chance that a right answer has more confidence than a wrong one, equals counting half; None if all are right or all wrong."""
    _checked(confidence, [float(c) for c in correct])
    right = [c for c, ok in zip(confidence, correct, strict=True) if ok]
    wrong = [c for c, ok in zip(confidence, correct, strict=True) if not ok]
    if not right or not wrong:
        return None
    return sum((r > w) + (r == w) / 2 for r in right for w in wrong) / (len(right) * len(wrong))


def distinct(items: Sequence[Hashable]) -> float:
    """How many different items there are, as a share of all: 1 if none repeats."""
    if not items:
        raise InputError("there is nothing to count different items of")
    return len(set(items)) / len(items)


def chance_corrected(accuracy: float, chance: float) -> float:
    """Accuracy on a scale where guessing is 0 and always right is 1; below 0 is worse than guessing."""
    if not 0 <= chance < 1:
        raise InputError(f"a chance of {chance}: guessing is right with a probability in [0, 1)")
    return (accuracy - chance) / (1 - chance)


def hypervolume(points: Iterable[Sequence[float]], reference: Sequence[float]) -> float:
    """The volume above `reference` that points dominate, every coordinate being better when greater (Zitzler & Thiele 1998); any dimension.

    A cost enters with its sign turned. Points that are nowhere above the reference add nothing. Slices along the last coordinate: for tens of
    points and a few objectives, not for more.
    """
    above = [tuple(p) for p in points if all(x > r for x, r in zip(p, reference, strict=True))]
    if len(reference) == 1:
        return max((p[0] for p in above), default=reference[0]) - reference[0]
    volume, levels = 0.0, sorted({p[-1] for p in above}, reverse=True)
    for level, below in zip(levels, [*levels[1:], reference[-1]]):
        volume += (level - below) * hypervolume([p[:-1] for p in above if p[-1] >= level], reference[:-1])
    return volume
