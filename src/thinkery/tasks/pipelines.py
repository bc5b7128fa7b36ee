"""Write the program of a row of operations, each of which means another block of lines for a number than for a list."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED
from .generated import Generated, posed, span
from .mini_python import Fault, Machine

NUMBER, LIST = "n", "l"
INPUTS: dict[str, tuple[Any, ...]] = {NUMBER: (3, 8, 14, 27, 45), LIST: ([6], [4, 1], [2, 9, 5], [7, 3, 8, 6], [5, 2, 8, 1, 9])}
BLOCKS: dict[str, tuple[str, ...]] = {  # operation and type before it -> type after it, lines
    "an": (NUMBER, "y=x+x", "x=y+1"),
    "al": (LIST, "y=[]", "for a in x:", " y+=[a+1]", "x=y"),
    "bn": (LIST, "y=x%5", "x=[x,y]"),
    "bl": (NUMBER, "y=len(x)", "x=x[0]+y"),
    "cn": (NUMBER, "y=x%7", "x=y*3"),
    "cl": (NUMBER, "y=0", "for a in x:", " y+=a", "x=y"),
    "dn": (LIST, "y=x//2", "x=[y,3]"),
    "dl": (LIST, "y=x[0]", "x=x+[y]"),
    "en": (NUMBER, "y=9-x", "if y<0:", " y=x", "x=y"),
    "el": (LIST, "y=[]", "for a in x:", " y=[a]+y", "x=y"),
    "fn": (LIST, "y=[]", "for a in range(3):", " y+=[a+x]", "x=y"),
    "fl": (NUMBER, "y=max(x)", "x=y+2"),
    "gn": (NUMBER, "y=x*x", "x=y%10"),
    "gl": (NUMBER, "y=min(x)", "x=y*2"),
    "hn": (LIST, "y=[x]", "x=y+[1]+y"),
    "hl": (LIST, "y=sum(x)", "x=[y]+x"),
}
OPERATIONS = "abcdefgh"
MARK = ";"  # begins a comment
COMMENT = re.compile(f"{MARK}[^\n]*")
SAID, RIGHT = 4, 4  # "loose" has a comment before one line in SAID; all but one in RIGHT name the block
DISTINCT = 3  # results, at least, that tell programs apart
MOST = 800  # characters of a program with its comments


@dataclass(frozen=True)
class Spec:
    """operations   in a row, all different, from and to"""

    operations: tuple[int, int] = (3, 5)

    def __post_init__(self) -> None:
        object.__setattr__(self, "operations", span("operations", self.operations, 1, len(OPERATIONS)))


class Pipelines(Generated[Spec]):
    """Prompt `l:cb`, reply `\\ny=0\\nfor a in x:\\n y+=a\\nx=y\\ny=x%5\\nx=[x,y]`: a program that does operations c and b to a list x.

    It is run on five values: any program with the right results is right. What follows MARK on a line is a comment: "noted" says before each
    block which operation comes and what it meets (`;cl`, on the line before), "random" any other's name, "loose" something before some lines, not
    always rightly. Difficulty counts
    operations. Family: the prompt.
    """

    name = "pipelines"
    default = Spec()
    styles = ("code", "noted", "loose", "random", CORRUPTED)
    instruction = "Write a Python program that applies the operations to x, a number n or a list l, in their order. End with "  # " and the whole program."

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        room = max(sum(len(line) + len(f"\n{MARK}al") for line in lines) for _, *lines in BLOCKS.values())
        self.max_tokens = self.spec.operations[1] * room + 1

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem | None]:
        """See Generated. Results are not the inputs, nor what doing it twice gives, and mostly differ."""
        count = stream.between(*spec.operations)
        while True:
            begin, row = stream.choice((NUMBER, LIST)), stream.sample(OPERATIONS, count)
            names = named(begin, row)
            program = "\n".join(lines_of(names))
            want = results(program, begin)
            if want is None or len({repr(w) for w in want}) < DISTINCT or want in (INPUTS[begin], results(f"{program}\n{program}", begin)):
                yield None
                continue
            prompt = f"{begin}:{''.join(row)}"
            yield posed(prompt, laid(names), prompt, count, (names, want))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        if reply.truncated:
            return Verdict(0.0, reason="cut off at the token limit")
        names, want = problem.data
        tail = reply.text[reply.text.rfind("#") + 1 :]
        lines = (line.rstrip() for line in COMMENT.sub("", tail).split("\n"))
        program = "\n".join(filter(None, lines)) if len(tail) <= MOST else ""
        got = results(program, names[0][1]) if program else None
        if got is None:
            return Verdict(0.0, reason="no program of this language that runs on its inputs")
        return Verdict(float(got == want), program, reason="right" if got == want else f"it gives {list(got)}, not {list(want)}")

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "corrupted" has the block of another operation, or of another type, somewhere."""
        names, want = problem.data
        if style == "code":
            return laid(names)
        if style == CORRUPTED:
            wrong = list(names)
            while results("\n".join(lines_of(wrong)), names[0][1]) in (want, None):
                wrong = list(names)
                wrong[stream.below(len(names))] = stream.choice(list(BLOCKS))
            return laid(wrong)
        if style == "random":
            return laid(names, comments=[stream.choice(list(BLOCKS)) for _ in names])
        return laid(names, stream) if style == "loose" else laid(names, comments=names)


def named(begin: str, row: Sequence[str]) -> tuple[str, ...]:
    """The blocks of a row of operations, from the type that it begins with."""
    names: list[str] = []
    for operation in row:
        names.append(operation + begin)
        begin = BLOCKS[names[-1]][0]
    return tuple(names)


def lines_of(names: Sequence[str]) -> list[str]:
    """The lines of blocks."""
    return list(chain.from_iterable(BLOCKS[name][1:] for name in names))


def laid(names: Sequence[str], stream: Stream | None = None, comments: Sequence[str] = ()) -> str:
    """The lines, each behind a line break; with comments, one before each block, or with a stream before lines as it comes."""
    out = []
    for name, said in zip_longest(names, comments, fillvalue=""):
        for i, line in enumerate(BLOCKS[name][1:]):
            comment = said if i == 0 else ""
            if stream is not None:
                drawn = name if stream.below(RIGHT) else stream.choice(list(BLOCKS))
                comment = "" if stream.below(SAID) else drawn
            out.append((f"{MARK}{comment}" if comment else "") + "\n" + line)
    return "".join(out)


def results(program: str, begin: str) -> tuple[Any, ...] | None:
    """What x is after the program, for each of the inputs; None where it does not run."""
    found = []
    for value in INPUTS[begin]:
        machine = Machine()
        try:
            machine.run(f"x={value}\n{program}".replace(", ", ","))
        except Fault:
            return None
        found.append(machine.names["x"])
    return tuple(found)
