"""Find the operators that make an equation true. Any that do are right."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED
from .countdown import result
from .generated import Generated, checked, laid_out, posed, span, whole

EQUATION = re.compile("[0-9]{1,3}(?:[+*-][0-9]{1,3}){1,7}=[0-9]{1,20}")
OPERATORS = "+-*"
FAILED = 2  # attempts that "verbose" shows at most before the one that works


@dataclass(frozen=True)
class Spec:
    """numbers   to put operators between, from and to
    largest   number
    """

    numbers: tuple[int, int] = (3, 5)
    largest: int = 9

    def __post_init__(self) -> None:
        object.__setattr__(self, "numbers", span("numbers", self.numbers, 2, 8))
        whole("largest", self.largest, 2, 99)


class Operators(Generated[Spec]):
    """Prompt `3?4?2=11`, reply `4*2=8,3+8=11#3+4*2=11`: + - * for each `?`, products first.

    Difficulty counts numbers: there are 3 to the power of one less fillings. Family: the numbers, in any order.
    """

    name = "operators"
    default = Spec()
    instruction = (
        "Put +, - or * for each ? so that the equation holds; products come before sums and differences. "
        'End with "#" and the whole equation, as in #3+4*2=11.'
    )

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        most, digits = self.spec.numbers[1], len(str(self.spec.largest ** self.spec.numbers[1]))
        self.max_tokens = (1 + FAILED) * (most - 1) * (2 * digits + 6) + most * len(str(self.spec.largest)) + most + digits + 2

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem | None]:
        """See Generated. What is to come out is not negative."""
        count = stream.between(*spec.numbers)
        while True:
            numbers = [stream.between(1, spec.largest) for _ in range(count)]
            filling = filled(count, stream)
            target = worked(numbers, filling)[1]
            if target < 0:
                yield None
                continue
            prompt = f"{'?'.join(map(str, numbers))}={target}"
            family = ",".join(map(str, sorted(numbers)))
            yield posed(prompt, equation(numbers, filling, target), family, count, (tuple(numbers), target, filling))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        numbers, target, _ = problem.data

        def fault(tail: str) -> str:
            filling = "".join(re.findall(r"[+*-]", tail))
            if len(filling) != len(numbers) - 1 or tail != equation(numbers, filling, target):
                return f"{tail} is not {problem.question.prompt} with operators"
            got = worked(numbers, filling)[1]
            return "" if got == target else f"the left side is {got}, not {target}"

        return checked(reply, EQUATION, "equation", fault)

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "verbose" shows attempts that fail first; "corrupted" forces the last result of one to the target."""
        numbers, target, filling = problem.data
        lines = worked(numbers, filling)[0]
        failed = (f for f in iter(lambda: filled(len(numbers), stream), None) if worked(numbers, f)[1] != target)
        if style == "verbose":
            tries = [worked(numbers, next(failed))[0] for _ in range(stream.between(1, FAILED))]
            return laid_out([";".join(map(",".join, [*tries, lines]))], problem.answer, "trace")
        if style == CORRUPTED:
            wrong = next(failed)
            *lines, last = worked(numbers, wrong)[0]
            return laid_out([*lines, f"{last.split('=')[0]}={target}"], equation(numbers, wrong, target), style)
        return laid_out(lines, problem.answer, style)


def filled(count: int, stream: Stream) -> str:
    """Operators for so many numbers."""
    return "".join(stream.choice(OPERATORS) for _ in range(count - 1))


def worked(numbers: Sequence[int], filling: str) -> tuple[list[str], int]:
    """Each step, a*b=c, products first; and what comes out."""
    left, operators, lines = list(numbers), list(filling), []
    while operators:
        at = operators.index("*") if "*" in operators else 0
        o, a, b = operators.pop(at), left[at], left.pop(at + 1)
        left[at] = result(a, o, b)
        lines.append(f"{a}{o}{b}={left[at]}")
    return lines, left[0]


def equation(numbers: Sequence[int], filling: str, target: int) -> str:
    """The equation with its operators."""
    return "".join(f"{n}{o}" for n, o in zip(numbers, filling)) + f"{numbers[-1]}={target}"
