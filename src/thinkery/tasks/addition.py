"""Addition of two numbers, worked column by column from the right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED
from .generated import Generated, judged, laid_out, posed, span

NUMBER = re.compile("[0-9]{1,40}")


@dataclass(frozen=True)
class Spec:
    """digits   of each of the two numbers, from and to"""

    digits: tuple[int, int] = (3, 5)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digits", span("digits", self.digits, 1, 30))


class Addition(Generated[Spec]):
    """Prompt `123+456=`, reply `3+6+0:9,2+5+0:7,1+4+0:5#579`: digit + digit + carry : sum. Difficulty counts digits.

    Family: the two numbers in either order.
    """

    name = "addition"
    default = Spec()
    instruction = 'Work out the sum. End with "#" and the number alone, as in #579.'

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        self.max_tokens = 19 * self.spec.digits[1] + 4  # verbose: twice up to nine characters and a separator, then the sum

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem]:
        """See Generated."""
        while True:
            digits = stream.between(*spec.digits)
            low, high = 10 ** (digits - 1), 10**digits - 1
            a, b = stream.between(low, high), stream.between(low, high)
            yield posed(f"{a}+{b}=", str(a + b), f"{min(a, b)}+{max(a, b)}", digits, (a, b))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        return judged(reply, problem.answer, NUMBER, "number")

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "corrupted" misses one column's sum and carries that on."""
        a, b = problem.data
        wrong = stream.below(len(str(a))) if style == CORRUPTED else -1
        lines, carry, total = [], 0, 0
        for i, (x, y) in enumerate(zip(reversed(str(a)), reversed(str(b)))):
            column = int(x) + int(y) + carry
            if i == wrong:
                column = (column + 1 + stream.below(19)) % 20  # any other sum that a column can have: the total moves with it
            lines.append(f"{x}+{y}+{carry}:{column}")
            carry, total = column // 10, total + column % 10 * 10**i
        return laid_out(lines, str(total + carry * 10 ** len(lines)), style)
