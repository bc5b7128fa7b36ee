"""Repair a small Python function in which one token is wrong. Whatever passes the tests is right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED
from .generated import Generated, checked, laid_out, posed, span
from .mini_python import TEXT, Fault, Machine, statements

INPUTS = (0, 2, 5, 7, 9)  # of the tests, always the same: so a prompt tells its family
TOKEN = re.compile(r"(?<=x)[+\-*%](?=[=x0-9i])|[<>]|[0-9]+")
SWAPS = {"+": "-*", "-": "+*", "*": "+-", "%": "+*", "<": ">", ">": "<"}
WIDEST = 24  # characters of a line, its end included
LAST = " return x"
FUNCTION = re.compile("def " + TEXT.pattern)

Tests = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Spec:
    """lines   of the function between its first and its return, from and to"""

    lines: tuple[int, int] = (2, 4)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lines", span("lines", self.lines, 2, 12))


class PythonFix(Generated[Spec]):
    """Prompt `def f(x):\\n x+=1\\n x=x+3\\n return x\\nf(2)=9;f(0)=3;f(9)=30;f(5)=18;f(7)=24?`, reply
    `x=x+3>x=x*3#def f(x):\\n x+=1\\n x=x*3\\n return x`: the line that is wrong, the line that is right, and the function repaired.

    It is run on the tests: any function that passes is right. Difficulty counts lines. Family: the tests, in any order.
    """

    name = "python_fix"
    default = Spec()
    instruction = 'One token of the Python function is wrong: change it so that all the tests hold. End with "#" and the whole function.'

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        self.max_tokens = WIDEST * (self.spec.lines[1] + 2) + 8 * WIDEST

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem | None]:
        """See Generated."""
        count = stream.between(*spec.lines)
        while True:
            program = "\n".join(["def f(x):", *(" " + line for line in statements(count, ["x"], [], stream)), LAST])
            broken = mutated(program, stream)
            try:
                tests = tuple((x, value(program, x)) for x in stream.sample(INPUTS, len(INPUTS)))
            except Fault:
                yield None
                continue
            if not fault(broken, tests) or any(abs(y) > 999 for _, y in tests):
                yield None
                continue
            asked = [f"f({x})={y}" for x, y in tests]
            yield posed(f"{broken}\n{';'.join(asked)}?", program, ";".join(sorted(asked)), count, (broken, tests))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        return checked(reply, FUNCTION, "function", lambda tail: fault(tail, problem.data[1]))

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "verbose" first tells what the broken function gives; "corrupted" changes a token without mending it."""
        broken, tests = problem.data
        answer = problem.answer
        if style == CORRUPTED:
            tries = (mutated(broken, stream) for _ in range(9))
            answer = next((t for t in tries if t != broken and fault(t, tests)), broken)
        lines = [f"{a.strip()}>{b.strip()}" for a, b in zip(broken.split("\n"), answer.split("\n")) if a != b]
        if style == "verbose":
            return laid_out([fault(broken, tests).replace(" ", ""), *lines], answer, "trace")
        return laid_out(lines, answer, style)


def mutated(program: str, stream: Stream) -> str:
    """The program with one operator, comparison or number changed."""
    token = stream.choice(list(TOKEN.finditer(program)))
    old = token[0]
    new = stream.choice(SWAPS[old]) if old in SWAPS else stream.choice([str(n) for n in range(2, 10) if str(n) != old])
    return program[: token.start()] + new + program[token.end() :]


def value(program: str, x: int) -> int:
    """f(x) of the program that defines f. Raises Fault."""
    machine = Machine()
    machine.run(program)
    found = machine.call("f", x)
    if type(found) is not int:
        raise Fault("f gives no number")
    return found


def fault(program: str, tests: Tests) -> str:
    """What is wrong with a program that should define f, or "" if every test holds."""
    for x, wanted in tests:
        try:
            found = value(program, x)
        except Fault as error:
            return f"f({x}): {error}"
        if found != wanted:
            return f"f({x}) is {found}, not {wanted}"
    return ""
