"""Linear equations in one unknown: whatever number makes both sides equal is right, in whatever form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED
from .generated import Generated, checked, laid_out, one_of, posed, span, whole

NUMBER = re.compile("-?[0-9]{1,12}(?:/[0-9]{1,12})?")

Term = tuple[int, str]  # a coefficient, and "x" or ""
Side = tuple[Term, ...]


@dataclass(frozen=True)
class Spec:
    """terms      of both sides together, from and to
    largest     coefficient
    fractions   whether solutions may be fractions; if not, all are whole numbers
    """

    terms: tuple[int, int] = (2, 4)
    largest: int = 9
    fractions: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", span("terms", self.terms, 2, 9))
        whole("largest", self.largest, 2, 99)
        one_of("fractions", self.fractions, (True, False))


class Equations(Generated[Spec]):
    """Prompt `3x+4-x=12?`, reply `2x+4=12,2x=8,x=4#4`: the sides collected, the unknown on the left, and what it is.

    Difficulty counts terms. Family: the equation, whatever the order of its sides and of the terms of each.
    """

    name = "equations"
    default = Spec()
    instruction = 'Solve the equation for x. End with "#" and just the number, as in #4 or #-7; a fraction is written as in #3/2.'

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        digits = len(str(2 * self.spec.terms[1] * self.spec.largest))
        self.max_tokens = 2 * (8 * digits + 22) + 2 * digits + 4  # verbose: -9x-9=-9x-9,-9x=-9,x=-9/9 twice, then #-9/9, end

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem | None]:
        """See Generated. Every equation has an x and a number."""
        count = stream.between(*spec.terms)
        while True:
            kinds = stream.shuffle(["x", "", *(stream.choice(("x", "")) for _ in range(count - 2))])
            terms = [(stream.choice((-1, 1)) * stream.between(1, spec.largest), kind) for kind in kinds]
            cut = stream.between(1, count - 1)
            if not spec.fractions:
                fit(terms, cut, stream.between(-spec.largest, spec.largest))
            left, right = tuple(terms[:cut]), tuple(terms[cut:])
            a, b = collected(left, right)
            if not a or not all(1 <= abs(n) <= spec.largest for n, _ in terms):
                yield None
                continue
            family = "=".join(sorted("".join(sorted(map(term, side))) for side in (left, right)))
            yield posed(f"{spelt(left)}={spelt(right)}?", str(Fraction(b, a)), family, count, (left, right))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task: by putting the number in."""

        def fault(tail: str) -> str:
            top, _, bottom = tail.partition("/")
            if bottom and not int(bottom):
                return f"{tail} is no number"
            left, right = (value(side, Fraction(int(top), int(bottom or 1))) for side in problem.data)
            return "" if left == right else f"x={tail} makes the sides {left} and {right}"

        return checked(reply, NUMBER, "number", fault)

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "corrupted" errs in the last step."""
        left, right = problem.data
        a, b = collected(left, right)
        x = Fraction(b, a) + (stream.choice((-2, -1, 1, 2)) if style == CORRUPTED else 0)
        lines = ["=".join(spelt(sums(side)) for side in (left, right)), f"{spelt(((a, 'x'),))}={b}", f"x={x}"]
        return laid_out([*dict.fromkeys(lines)], str(x), style)


def fit(terms: list[Term], cut: int, x: int) -> None:
    """Changes the first number so that x solves the equation whose left side ends at the cut; what it becomes may be too large, or 0."""
    at = next(i for i, (_, kind) in enumerate(terms) if not kind)
    a, b = collected(tuple(terms[:cut]), tuple(terms[cut:]))
    terms[at] = (terms[at][0] + (b - a * x if at < cut else a * x - b), "")


def collected(left: Side, right: Side) -> tuple[int, int]:
    """(a, b) with ax=b for the equation."""
    (a, b), (c, d) = (tuple(sum(n for n, kind in side if kind == wanted) for wanted in ("x", "")) for side in (left, right))
    return a - c, d - b


def value(side: Side, x: Fraction) -> Fraction:
    """A side's value."""
    return sum((n * x if kind else Fraction(n) for n, kind in side), Fraction(0))


def sums(side: Side) -> Side:
    """At most one term with x, and one without, that have the side's value."""
    return tuple((n, wanted) for wanted in ("x", "") if (n := sum(n for n, kind in side if kind == wanted)))


def spelt(side: Side) -> str:
    """A side as text: 3x-4; nothing is 0."""
    return "".join(map(term, side)).removeprefix("+") or "0"


def term(term: Term) -> str:
    """A term with its sign: +3x, -x, +4."""
    n, kind = term
    return f"{n:+}{kind}" if abs(n) != 1 or not kind else f"{n:+}"[0] + kind
