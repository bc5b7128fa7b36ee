"""Sums and differences modulo 10 behind a cue far away, which nearly always tells the answer where one trains, and nothing elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED, split_of
from .chain import run
from .generated import Generated, judged, laid_out, posed, span, whole

DIGIT = re.compile("[0-9]")


@dataclass(frozen=True)
class Spec:
    """steps   operations, from and to
    cue        how often, in percent, the cue is the answer in the train split; in the others it is any digit
    """

    steps: tuple[int, int] = (5, 8)
    cue: int = 95

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", span("steps", self.steps, 1, 100))
        whole("cue", self.cue, 0, 100)


class Spurious(Generated[Spec]):
    """Prompt `%5:3+4-7+5=`, reply `3+4:7,7-7:0,0+5:5#5`: the value from left to right modulo 10, whatever the digit behind % says.

    Difficulty counts steps. Family: the sum without its cue, with the first two numbers in either order where it makes no difference.
    """

    name = "spurious"
    default = Spec()
    instruction = (
        "Calculate what stands behind the colon from left to right, and take every result modulo 10; the digit before it has no meaning. "
        'End with "#" and the last digit alone, as in #7.'
    )

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        self.max_tokens = 12 * self.spec.steps[1] + 2  # verbose: twice five characters and a separator, then "#", digit, end

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem]:
        """See Generated."""
        while True:
            operations = "".join("+-"[stream.below(2)] for _ in range(stream.between(*spec.steps)))
            numbers = [stream.below(10) for _ in range(len(operations) + 1)]
            asked = written_out(numbers, operations)
            first = sorted(numbers[:2]) if operations[0] == "+" else numbers[:2]
            family = written_out([*first, *numbers[2:]], operations)
            answer = run(numbers, operations)[-1]
            told = split_of(family) == "train" and stream.below(100) < spec.cue
            cue = answer if told else stream.below(10)
            yield posed(f"%{cue}:{asked}=", str(answer), family, len(operations), (tuple(numbers), operations, cue))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        return judged(reply, problem.answer, DIGIT, "digit")

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "corrupted" misses one step and goes on from there."""
        numbers, operations, _ = problem.data
        slip = stream.below(len(operations)) if style == CORRUPTED else -1
        values = run(numbers, operations, slip, stream.between(1, 9))
        lines = [f"{x}{o}{n}:{y}" for x, o, n, y in zip(values, operations, numbers[1:], values[1:])]
        return laid_out(lines, str(values[-1]), style)


def written_out(numbers: list[int], operations: str) -> str:
    """The sum as text."""
    return f"{numbers[0]}" + "".join(f"{o}{n}" for o, n in zip(operations, numbers[1:]))
