"""Additions of which some can be answered at a glance, though their worked steps are as long as the others'."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..core.records import Problem
from ..core.rng import Stream
from .addition import Addition
from .generated import posed, span, whole


@dataclass(frozen=True)
class Spec:
    """Difficulty of a sum.

    digits   how many both numbers have, 2 to 30
    glance   how many problems in ten add a round number, such as 30000, 0 to 10
    """

    digits: tuple[int, int] = (4, 5)
    glance: int = 6

    def __post_init__(self) -> None:
        object.__setattr__(self, "digits", span("digits", self.digits, 2, 30))
        whole("glance", self.glance, 0, 10)


class RoundSums(Addition):
    """As `addition`, but the second number of some problems is a digit and zeros, and no column carries: prompt `42713+30000=`.

    Difficulty counts digits, and is 0 where the sum can be seen at a glance. Family: the two numbers in either order.
    """

    name = "round_sums"
    default = Spec()  # type: ignore[assignment]

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem]:  # type: ignore[override]
        """See Generated."""
        while True:
            digits = stream.between(*spec.digits)
            low, unit = 10 ** (digits - 1), 10 ** (digits - 1)
            if stream.below(10) < spec.glance:
                first = stream.between(1, 8)
                a, b, difficulty = first * unit + stream.below(unit), stream.between(1, 9 - first) * unit, 0
            else:
                a, b, difficulty = stream.between(low, 10 * low - 1), stream.between(low, 10 * low - 1), digits
            yield posed(f"{a}+{b}=", str(a + b), f"{min(a, b)}+{max(a, b)}", difficulty, (a, b))
