"""Write a small Python function that passes the tests given. Whatever passes them is right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED
from .generated import Generated, checked, laid_out, posed, span
from .mini_python import Fault, Machine, statements
from .python_fix import FUNCTION, INPUTS, LAST, WIDEST, fault, mutated

UNSEEN = (1, 3, 4, 6, 8)  # inputs that are not among those of the tests
LARGEST = 999  # number on the way


@dataclass(frozen=True)
class Spec:
    """lines   of the function drawn, between its first and its return, from and to"""

    lines: tuple[int, int] = (2, 3)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lines", span("lines", self.lines, 2, 12))


class PythonSynth(Generated[Spec]):
    """Prompt `f(2)=7;f(0)=1;f(5)=16;f(9)=28;f(7)=22?`, reply `2>6>7,0>0>1,5>15>16,9>27>28,7>21>22#def f(x):\\n x=x*3\\n x+=1\\n return x`:
    how each input becomes its output, and a function that does so.

    It is run on the tests: any function that passes is right, one that only tabulates them, too; `Verdict.parts["unseen"]` is the share
    of other inputs where it does what the function drawn does. Difficulty counts lines. Family: the tests, in any order.
    """

    name = "python_synth"
    default = Spec()
    instruction = 'Write a Python function f of one number for which all the tests hold. End with "#" and the whole function.'

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        most = self.spec.lines[1]
        self.max_tokens = 2 * len(INPUTS) * 5 * (2 * most + 1) + WIDEST * (most + 2)  # verbose: twice each test's numbers, `-999>`

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem | None]:
        """See Generated."""
        count = stream.between(*spec.lines)
        while True:
            program = "\n".join(["def f(x):", *(" " + line for line in statements(count, ["x"], [], stream)), LAST])
            try:
                ways = {x: way(program, x) for x in stream.sample(INPUTS, len(INPUTS)) + list(UNSEEN)}
            except Fault:
                yield None
                continue
            tests = tuple((x, done[-1]) for x, done in ways.items())
            seen = tests[: len(INPUTS)]
            trivial = all(x == y for x, y in seen) or len({y for _, y in seen}) == 1
            if trivial or max(abs(n) for done in ways.values() for n in done) > LARGEST:
                yield None
                continue
            asked = ";".join(f"f({x})={y}" for x, y in seen)
            lines = tuple(">".join(map(str, ways[x])) for x, _ in seen)
            yield posed(asked + "?", program, ";".join(sorted(asked.split(";"))), count, (seen, tests[len(INPUTS) :], lines))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        seen, unseen, _ = problem.data
        verdict = checked(reply, FUNCTION, "function", lambda tail: fault(tail, seen))
        if verdict.parsed is None:
            return verdict
        held = [not fault(verdict.parsed, (test,)) for test in unseen]
        return msgspec.structs.replace(verdict, parts={"unseen": sum(held) / len(held)})

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "corrupted" gives a function with one wrong token."""
        seen, _, lines = problem.data
        answer = problem.answer
        while style == CORRUPTED and not fault(answer, seen):
            answer = mutated(problem.answer, stream)
        return laid_out(lines, answer, style)


def way(program: str, x: int) -> list[int]:
    """The values that x takes in f, from the input to what is returned, if f changes nothing but x. Raises Fault."""
    machine = Machine()
    machine.run(program)
    machine.call("f", x)
    return [x, *(int(step.partition("=")[2]) for step in machine.steps)]
