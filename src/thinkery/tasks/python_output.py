"""What does a small Python program print?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED
from .generated import Generated, judged, laid_out, posed, span
from .mini_python import Fault, Machine, statements, term

PRINTED = re.compile(r"-?[0-9]{1,12}|\[-?[0-9]{1,12}(?:, -?[0-9]{1,12}){0,20}\]")
ROOM = 12  # characters of a trace for each line of the program


@dataclass(frozen=True)
class Spec:
    """lines   of the program before it prints, from and to"""

    lines: tuple[int, int] = (2, 5)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lines", span("lines", self.lines, 1, 30))


class PythonOutput(Generated[Spec]):
    """Prompt `a=3\\nb=a+4\\nb-=2\\nprint(b)\\n?`, reply `a=3,b=7,b=5#5`: each variable as it changes, then what is printed.

    Assignments, if, for, lists and functions. Difficulty counts the lines before print. Family: the program.
    """

    name = "python_output"
    default = Spec()
    instruction = 'Work out what the Python program prints. End with "#" and just that, as in #5 or #[1, 2].'

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        self.max_tokens = (2 * ROOM + ROOM) * (self.spec.lines[1] + 1)

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem | None]:
        """See Generated."""
        count = stream.between(*spec.lines)
        while True:
            program = program_of(count, stream)
            machine = Machine()
            try:
                machine.run(program)
            except Fault:
                yield None
                continue
            if len(",".join([*machine.steps, machine.output[0]])) > ROOM * count:
                yield None
                continue
            yield posed(program + "\n?", machine.output[0], program, count, tuple(machine.steps))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        return judged(reply, problem.answer, PRINTED, "number or list")

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "corrupted" is off by a little in the end."""
        steps, answer = problem.data, problem.answer
        if style == CORRUPTED:
            numbers = re.findall("-?[0-9]+", answer)
            wrong = str(int(numbers[-1]) + stream.choice((-2, -1, 1, 2)))
            answer = answer[: answer.rindex(numbers[-1])] + wrong + "]" * answer.endswith("]")
            steps = (*steps[:-1], steps[-1].split("=")[0] + "=" + answer.replace(" ", ""))
        return laid_out(steps, answer, style)


def program_of(count: int, stream: Stream) -> str:
    """A program of so many lines and a print; the first line always makes a number."""
    fresh = list("abcdegh")
    names, printed = [fresh.pop(0)], ""
    lines = [f"{names[0]}={stream.below(10)}"]
    kind = stream.below(4)
    if kind == 0 and count >= 4:  # a function of one line, called once
        body = statements(count - 4, names, fresh, stream)
        lines += [*body, "def f(x):", f" return {term(['x'], stream)}", f"y=f({stream.choice(names)})"]
        printed = "y"
    elif kind == 1 and count >= 3:  # a list that grows
        body = statements(count - 3, names, fresh, stream)
        lines += [f"l=[{stream.below(10)},{stream.choice(names)}]", *body, f"l.append({stream.choice(names)})"]
        printed = stream.choice(("l", "l", "sum(l)", "max(l)", "l[1]"))
    else:
        lines += statements(count - 1, names, fresh, stream)
        printed = next(line.strip()[0] for line in reversed(lines) if not line.endswith(":"))
    return "\n".join([*lines, f"print({printed})"])
