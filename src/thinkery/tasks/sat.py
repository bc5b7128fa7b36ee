"""Boolean satisfiability: find an assignment under which every clause holds. Any that does is right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import log2
from typing import Any

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED
from .generated import Generated, checked, laid_out, one_of, posed, span, whole
from .logic import LETTERS, opposite
from .shapes import shape

NONE = "none"  # says that no assignment will do; no assignment is spelt like that, for it names one letter twice
ASSIGNMENT = re.compile("(?:~?[a-z]){1,26}")

Clause = tuple[str, ...]  # literals, a or ~a, one of which must hold


@dataclass(frozen=True)
class Spec:
    """clauses     m, from and to
    variables   n, to draw from
    width       k, literals of a clause
    planted     draw clauses around an assignment that satisfies them all; if not, some formulas have none, and "none" is right
    dead_ends   of the search for an assignment, at most: formulas that need more are left out
    """

    clauses: tuple[int, int] = (4, 8)
    variables: int = 5
    width: int = 3
    planted: bool = True
    dead_ends: int = 8

    def __post_init__(self) -> None:
        object.__setattr__(self, "clauses", span("clauses", self.clauses, 1, 99))
        whole("variables", self.variables, 1, 20)
        whole("width", self.width, 1, min(5, self.variables))
        one_of("planted", self.planted, (True, False))
        whole("dead_ends", self.dead_ends, 0, 64)


class Sat(Generated[Spec]):
    """Prompt `a|~b|c;~a|b|~d?`, reply `ab~cd`: an assignment of every variable there is, or `none`.

    A trace is the search: the literals held and the clause that they break, `a~b:~a|b`, then those under which all clauses hold.
    Difficulty counts clauses; `hardness` is the measure of Saturn. Family: the formula with its letters and its order taken away.
    """

    name = "sat"
    default = Spec()
    instruction = (
        "Given are clauses between semicolons; of each at least one part must hold (a: a is true, ~a: a is false). Find truth values. "
        'End with "#" and every letter once, with ~ before the false ones, as in #ab~c; or with #none if there are no such values.'
    )

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        s = self.spec
        self.max_tokens = 2 * (s.dead_ends + 1) * (2 * s.variables + 3 * s.width + 2) + 2 * max(s.variables, len(NONE)) + 2

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem | None]:
        """See Generated."""
        count = stream.between(*spec.clauses)
        while True:
            letters = sorted(stream.sample(LETTERS, spec.variables))
            model = {x if stream.below(2) else "~" + x for x in letters} if spec.planted else set()
            clauses: dict[frozenset[str], Clause] = {}
            for _ in range(4 * count):
                clause = tuple(stream.choice(("", "~")) + x for x in stream.sample(letters, spec.width))
                if len(clauses) < count and (not spec.planted or model.intersection(clause)):
                    clauses.setdefault(frozenset(clause), clause)
            drawn = tuple(clauses.values())
            lines: list[str] = []
            held = search(drawn, (), lines, spec.dead_ends)
            if len(drawn) < count or len(lines) > spec.dead_ends + (held is not None):
                yield None
                continue
            prompt = ";".join(map("|".join, drawn)) + "?"
            yield posed(prompt, NONE if held is None else spelt(held, drawn), family(drawn), count, (drawn, tuple(lines)))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        clauses, _ = problem.data

        def fault(tail: str) -> str:
            if tail == NONE:
                return "" if problem.answer == NONE else "there is an assignment"
            held = re.findall("~?[a-z]", tail)
            if sorted(x[-1] for x in held) != variables(clauses):
                return f"{tail} does not name every variable once"
            return next((f"{'|'.join(c)} does not hold" for c in clauses if not set(c).intersection(held)), "")

        return checked(reply, ASSIGNMENT, "assignment", fault)

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "corrupted" gives an assignment that breaks a clause."""
        clauses, lines = problem.data
        answer = problem.answer
        if style == CORRUPTED:
            broken = stream.choice(clauses)
            others = [stream.choice((x, "~" + x)) for x in variables(clauses) if x not in broken and "~" + x not in broken]
            answer = spelt(others + [opposite(x) for x in broken], clauses)
        return laid_out(lines, answer, style)


def hardness(width: int, variables: int, clauses: int) -> float:
    """How hard formulas of k literals a clause, n variables and m clauses are: log2 n + 2 log2 m - k + n / k (arXiv:2505.16368)."""
    return log2(variables) + 2 * log2(clauses) - width + variables / width


def search(clauses: tuple[Clause, ...], start: tuple[str, ...], lines: list[str], most: int) -> tuple[str, ...] | None:
    """Literals that satisfy the clauses, or None (Davis, Logemann & Loveland 1962: forced literals first, then both cases).

    `lines` takes what is held at each dead end with the clause that breaks, and at the end. More than `most` dead ends end the search.
    """
    held = start
    while True:
        left = [(c, [x for x in c if opposite(x) not in held]) for c in clauses if not set(c).intersection(held)]
        if broken := next((c for c, rest in left if not rest), None):
            lines.append(f"{''.join(held)}:{'|'.join(broken)}")
            return None
        if not left:
            lines.append("".join(held))
            return held
        forced = next((rest[0] for _, rest in left if len(rest) == 1), None)
        if forced is None:
            break
        held = (*held, forced)
    first = left[0][1][0]
    for case in (first, opposite(first)):
        found = search(clauses, (*held, case), lines, most) if len(lines) <= most else None
        if found is not None:
            return found
    return None


def variables(clauses: tuple[Clause, ...]) -> list[str]:
    """The variables that occur, sorted."""
    return sorted({x[-1] for c in clauses for x in c})


def spelt(held: tuple[str, ...] | list[str], clauses: tuple[Clause, ...]) -> str:
    """Literals in the order of their letters; variables that nothing forces are true."""
    return "".join("~" + x if "~" + x in held else x for x in variables(clauses))


def family(clauses: tuple[Clause, ...]) -> str:
    """The formula's shape: clauses are things, too, so that the order within one does not matter."""
    return shape((x[:-1] + "in", x[-1], str(i)) for i, c in enumerate(clauses) for x in c)
