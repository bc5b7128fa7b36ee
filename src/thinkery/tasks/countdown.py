"""Countdown: reach a target with all the numbers given, by + - *. Many solutions; every valid one counts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..core.errors import BadConfig
from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED
from .generated import Generated, posed, span

STEP = re.compile(r"([0-9]{1,12})([+\-*])([0-9]{1,12})=([0-9]{1,12})(?::[0-9 ]{0,99})?")
LONGEST = 1000  # characters of an answer
FAILED = 2  # attempts that "verbose" shows at most before the one that works

Step = tuple[int, str, int, int]  # a, operation, b, result


@dataclass(frozen=True)
class Spec:
    """numbers   how many, from and to
    largest   number given
    targets   the least and the largest
    """

    numbers: tuple[int, int] = (3, 3)
    largest: int = 12
    targets: tuple[int, int] = (1, 99)

    def __post_init__(self) -> None:
        object.__setattr__(self, "numbers", span("numbers", self.numbers, 2, 6))
        object.__setattr__(self, "targets", span("targets", self.targets, 0, 9999))
        if type(self.largest) is not int or not 2 <= self.largest <= 99:
            raise BadConfig(f"largest is {self.largest!r}; give a whole number within 2..99")


class Countdown(Generated[Spec]):
    """Prompt `3,4,5>7:`, reply `3*4=12,12-5=7#7`: each number and each result is used once, none is negative, the last is the target.

    "trace" also notes the numbers left after each step, `3*4=12:5 12`. Attempts before the last ";" do not count.
    Difficulty counts numbers. Family: the numbers given, in any order.
    """

    name = "countdown"
    default = Spec()
    instruction = (
        'Reach the number behind ">" from the numbers before it, each used exactly once, by +, - and * with no negative result. '
        'End with ";", the steps, separated by commas, "#" and the number reached: for 3,4,5>7 that is ;3*4=12,12-5=7#7'
    )

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        most, digits = self.spec.numbers[1], len(str(self.spec.largest ** self.spec.numbers[1]))
        step = 2 * digits + 4  # the digits of a and b together are at most one more than those of the largest product
        left = digits + 2 * most + 1
        self.max_tokens = (most - 1) * max((1 + FAILED) * step, step + left) + 6

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem | None]:
        """See Generated."""
        while True:
            numbers = [stream.between(1, spec.largest) for _ in range(stream.between(*spec.numbers))]
            steps = attempt(numbers, stream)
            target = steps[-1][3]
            if not spec.targets[0] <= target <= spec.targets[1]:
                yield None
                continue
            prompt = f"{','.join(map(str, numbers))}>{target}:"
            family = ",".join(map(str, sorted(numbers)))
            yield posed(prompt, f"{row(steps)}#{target}", family, len(numbers), (tuple(numbers), target, steps))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task. `parsed` is the last attempt with what it claims to reach."""
        if reply.truncated:
            return Verdict(0.0, reason="cut off at the token limit")
        work, mark, claim = reply.text.rpartition("#")
        claim = claim.strip()
        last = work[work.rfind(";") + 1 :].strip().replace("\n", ",")
        if not mark or len(last) > LONGEST or not re.fullmatch("[0-9]{1,12}", claim):
            return Verdict(0.0, reason="no steps and number around the last #")
        steps = [STEP.fullmatch(s.strip()) for s in last.removesuffix(",").split(",")]
        if None in steps:
            return Verdict(0.0, reason="a step is not of the form a+b=c")
        numbers, target, _ = problem.data
        fault = check([(int(s[1]), s[2], int(s[3]), int(s[4])) for s in steps if s], numbers, target)
        if not fault and int(claim) != target:
            fault = f"reaches {target} but says {claim}"
        parsed = f"{last}#{claim}"
        return Verdict(0.0, parsed, reason=fault) if fault else Verdict(1.0, parsed, reason="right")

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "verbose" shows attempts that fail first; "corrupted" forces the last result to the target."""
        numbers, target, steps = problem.data
        if style == "structured":
            return f"{row(steps)}#{target}".replace(",", "\n").replace("#", "\n#")
        if style == "trace":
            return f"{','.join(noted(steps, numbers))}#{target}"
        if style == "direct":
            return problem.answer
        failed = (a for a in iter(lambda: attempt(numbers, stream), None) if a[-1][3] != target)
        if style == "verbose":
            return "".join(f"{row(next(failed))};" for _ in range(stream.between(1, FAILED))) + problem.answer
        assert style == CORRUPTED
        *steps, (a, o, b, _) = next(failed)
        return f"{row([*steps, (a, o, b, target)])}#{target}"


def attempt(numbers: tuple[int, ...] | list[int], stream: Stream) -> list[Step]:
    """Random steps that use all the numbers; a subtraction takes the smaller from the larger."""
    pool, steps = list(numbers), []
    while len(pool) > 1:
        a, b = (pool.pop(stream.below(len(pool))) for _ in range(2))
        o = "+-*"[stream.below(3)]
        a, b = (b, a) if o == "-" and a < b else (a, b)
        steps.append((a, o, b, result(a, o, b)))
        pool.append(steps[-1][3])
    return steps


def result(a: int, o: str, b: int) -> int:
    """a o b."""
    return a + b if o == "+" else a - b if o == "-" else a * b


def check(steps: list[Step], numbers: tuple[int, ...], target: int) -> str:
    """What is wrong with the steps, or "" if they reach the target with every number used once."""
    pool = list(numbers)
    for a, o, b, c in steps:
        for x in (a, b):
            if x not in pool:
                return f"{x} is not there to be used in {a}{o}{b}={c}"
            pool.remove(x)
        if result(a, o, b) != c:
            return f"{a}{o}{b} is not {c}"
        pool.append(c)
    if len(pool) > 1:
        return f"the numbers {' '.join(map(str, pool))} are left"
    return "" if pool == [target] else f"{pool[0]} is not {target}"


def row(steps: list[Step]) -> str:
    """Steps as text: a*b=c,d-c=e."""
    return ",".join(f"{a}{o}{b}={c}" for a, o, b, c in steps)


def noted(steps: list[Step], numbers: tuple[int, ...]) -> list[str]:
    """Each step with the numbers left after it: a*b=c:d c."""
    pool, lines = list(numbers), []
    for a, o, b, c in steps:
        pool.remove(a)
        pool.remove(b)
        pool.append(c)
        lines.append(f"{a}{o}{b}={c}:{' '.join(map(str, pool))}")
    return lines
