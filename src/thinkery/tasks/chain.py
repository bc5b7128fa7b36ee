"""Chains of + - * from left to right, modulo 10: every step needs the one before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED
from .generated import Generated, judged, laid_out, posed, span

DIGIT = re.compile("[0-9]")


@dataclass(frozen=True)
class Spec:
    """steps   operations, from and to"""

    steps: tuple[int, int] = (5, 8)

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", span("steps", self.steps, 1, 100))


class Chain(Generated[Spec]):
    """Prompt `3+4*2-7=`, reply `3+4:7,7*2:4,4-7:7#7`: each step is taken modulo 10. Difficulty counts steps.

    Family: the chain, with the first two numbers in either order where the order makes no difference.
    """

    name = "chain"
    default = Spec()
    instruction = (
        "Calculate strictly from left to right, without precedence, and take every result modulo 10. "
        'End with "#" and the last digit alone, as in #7.'
    )

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        self.max_tokens = 12 * self.spec.steps[1] + 2  # verbose: twice five characters and a separator, then "#", digit, end

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem]:
        """See Generated."""
        while True:
            numbers = [stream.below(10)]
            operations = ""
            for _ in range(stream.between(*spec.steps)):
                operations += "+-*"[stream.below(3)]
                numbers.append(stream.below(10))
            rest = "".join(f"{o}{n}" for o, n in zip(operations[1:], numbers[2:]))
            a, o, b = numbers[0], operations[0], numbers[1]
            first = f"{min(a, b)}{o}{max(a, b)}" if o != "-" else f"{a}-{b}"
            yield posed(f"{a}{o}{b}{rest}=", str(run(numbers, operations)[-1]), first + rest, len(operations), (tuple(numbers), operations))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        return judged(reply, problem.answer, DIGIT, "digit")

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "corrupted" misses one step and goes on from there."""
        numbers, operations = problem.data
        values = run(numbers, operations)
        if style == CORRUPTED:
            right, at, by = values, stream.below(len(operations)), stream.between(1, 9)
            values = run(numbers, operations, at, by)
            if values[-1] == right[-1]:  # the slip was lost on the way (times 0), so slip at the end
                values = run(numbers, operations, len(operations) - 1, by)
        lines = [f"{x}{o}{n}:{y}" for x, o, n, y in zip(values, operations, numbers[1:], values[1:])]
        return laid_out(lines, str(values[-1]), style)


def run(numbers: tuple[int, ...] | list[int], operations: str, slip: int = -1, by: int = 0) -> list[int]:
    """The values on the way, the first number included; step `slip` comes out too large by `by`."""
    values = [numbers[0]]
    for i, (o, n) in enumerate(zip(operations, numbers[1:])):
        x = values[-1]
        y = x + n if o == "+" else x - n if o == "-" else x * n
        values.append((y + (by if i == slip else 0)) % 10)
    return values
