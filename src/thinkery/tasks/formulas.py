"""Formulas over facts of which some are not known, worked out as a proof, as a program, or as the rows of a truth table.

What a formula says may be known although a fact is not: whatever `u` is, `u&f` is false. Each fact stands there once, so working with three values
finds all that the truth table does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED
from .generated import Generated, judged, posed, span
from .theories import CODE, LABEL, LABELS, NL, NOTATIONS, TABLE, VOTES, noted_votes

VALUES = {"t": 1, "f": -1, "u": 0}
LETTER = {value: letter for letter, value in VALUES.items()}
UNKNOWN = 2  # facts that are not known, at most
DEEP = 5  # operations, from which on a formula is deep


@dataclass(frozen=True)
class Spec:
    """steps   operations, from and to"""

    steps: tuple[int, int] = (3, 6)

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", span("steps", self.steps, 3, 20))


class Formula(NamedTuple):
    """Facts t, f or u, and the operations & and | between them, worked from left to right."""

    facts: str
    operations: str


class Formulas(Generated[Spec]):
    """Prompt `t&u|f=`; answer 1 if the formula is true, -1 if it is false, 0 if that hangs on what is not known. Difficulty counts operations.

    Demonstrations, the tag included: `<nl>t&u:u,u|f:u</nl>#0`, with three values; `<tt>0:100,1:111</tt>#0`, for each way that the unknown facts may
    be (0, 1) the values on the way; `<code>` with a program that prints the answer. Verdicts have the part "deep" from DEEP operations on, and those
    of votes (see `theories`). Family: the formula, with its first two facts in either order.
    """

    name = "formulas"
    default = Spec()
    styles = (*NOTATIONS, "direct", CORRUPTED)
    instruction = (
        "Given is a formula of facts that are true (t), false (f) or unknown (u, each another one), with & for and, | for or. Work "
        "strictly from left to right, without precedence. End with #1 if it is true, #-1 if it is false, #0 if neither is sure."
    )

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        self.max_tokens = 52 + 13 * self.spec.steps[1]  # of a program

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem | None]:
        """See Generated. The label is drawn once, so the rejected do not upset the balance."""
        label, steps = stream.choice(LABELS), stream.between(*spec.steps)
        while True:
            facts = "".join(stream.choice("tfu") for _ in range(steps + 1))
            formula = Formula(facts, "".join("&|"[stream.below(2)] for _ in range(steps)))
            if not 1 <= len(unknown(formula)) <= UNKNOWN or str(run(formula)[-1]) != label:
                yield None
                continue
            first = formula.operations[0].join(sorted(facts[:2]))
            rest = "".join(o + x for o, x in zip(formula.operations[1:], facts[2:]))
            yield posed(facts[0] + formula.operations[0] + facts[1] + rest + "=", label, first + rest, steps, formula)

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        found = judged(reply, problem.answer, LABEL, "1, -1 or 0")
        parts = noted_votes(reply.data.get(VOTES, ()), problem.answer)
        if problem.difficulty >= DEEP:
            parts["deep"] = found.score
        return Verdict(found.score, found.parsed, parts, found.reason)

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "corrupted" comes to another value in the last step of a proof."""
        formula, answer = problem.data, problem.answer
        if style == "direct":
            return f"#{answer}"
        if style == CORRUPTED:
            wrong = stream.choice([label for label in LABELS if label != answer])
            return f"<{NL}>{proof(formula)[:-1]}{LETTER[int(wrong)]}</{NL}>#{wrong}"
        return f"<{style}>{WRITERS[style](formula)}</{style}>#{answer}"


def unknown(formula: Formula) -> list[int]:
    """Where the facts stand that are not known."""
    return [i for i, fact in enumerate(formula.facts) if fact == "u"]


def run(formula: Formula) -> list[int]:
    """The values on the way, the first fact's included (Kleene's strong logic)."""
    values = [VALUES[formula.facts[0]]]
    for operation, fact in zip(formula.operations, formula.facts[1:]):
        values.append((min if operation == "&" else max)(values[-1], VALUES[fact]))
    return values


def proof(formula: Formula) -> str:
    """Each operation with what it comes to."""
    steps = zip(run(formula), formula.operations, formula.facts[1:], run(formula)[1:])
    return ",".join(f"{LETTER[x]}{operation}{fact}:{LETTER[y]}" for x, operation, fact, y in steps)


def program(formula: Formula) -> str:
    """A program that knows true, false and unknown as 1, -1 and 0, and prints what the formula comes to."""
    lines = [f" v={'min' if o == '&' else 'max'}(v,{VALUES[fact]})" for o, fact in zip(formula.operations, formula.facts[1:])]
    return "\n".join(["def f(v):", *lines, " return v", f"print(f({VALUES[formula.facts[0]]}))"])


def rows(formula: Formula) -> list[tuple[str, str]]:
    """For each way that the unknown facts may be: their digits, and the values on the way, the first fact's included."""
    places, found = unknown(formula), []
    for bits in product("01", repeat=len(places)):
        facts = list(formula.facts)
        for i, bit in zip(places, bits):
            facts[i] = "ft"[int(bit)]
        values = run(Formula("".join(facts), formula.operations))
        found.append(("".join(bits), "".join("1" if v == 1 else "0" for v in values)))
    return found


def says(found: Sequence[tuple[str, str]]) -> str:
    """The label that rows come to: their last digit is 1 in all of them, in none, or in some."""
    last = {values[-1] for _, values in found}
    return "0" if len(last) > 1 else "1" if last == {"1"} else "-1"


def table(formula: Formula) -> str:
    """The rows that agree with what is known."""
    return ",".join(f"{bits}:{values}" for bits, values in rows(formula))


WRITERS = {NL: proof, CODE: program, TABLE: table}
