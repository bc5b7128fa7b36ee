"""Programs of eight signs: write one that does what is asked. Any that does it for all its inputs is right.

The language (Urban Mueller 1993): a tape of cells, one of them at hand; > and < move, + and - change the cell by 1 modulo 256, "." writes it,
"," reads the next byte into it (0 when there is none), [ goes behind its ] if the cell is 0, and ] back to its [ if it is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream, rng
from .base import CORRUPTED
from .generated import Generated, checked, laid_out, posed, span

PROGRAM = re.compile(r"[-+<>.,\[\]]{1,400}")
KINDS = ("emit", "add", "copy", "reverse", "until")  # by level, from 1
CELLS, STEPS = 64, 5000  # of the tape; and most signs that are carried out
INPUTS = 4  # that a program is run on

Part = tuple[str, str]  # what it is for, and the piece of program


@dataclass(frozen=True)
class Spec:
    """level   what is asked, from and to: 1 emit, 2 add, 3 copy, 4 reverse, 5 until"""

    level: tuple[int, int] = (1, 4)

    def __post_init__(self) -> None:
        object.__setattr__(self, "level", span("level", self.level, 1, len(KINDS)))


class Brainfuck(Generated[Spec]):
    """Prompt `copy 2 3?`, reply `1:,+++.,2:,+++.#,+++.,+++.`: a program that reads two bytes and writes each of them, raised by 3.

    emit a b     write a, then b            copy n c      read n bytes, write each of them raised by c
    add n c      write the sum of n + c     reverse n c   the same, from the last to the first
    until c d    for each byte before a 0: write it raised by c, and then by d more

    Difficulty counts levels. Family: the prompt. A program runs on several inputs, of bytes from 1 to 99, 5000 signs each at most.
    """

    name = "brainfuck"
    default = Spec()
    max_tokens = 320
    instruction = (
        "Write a Brainfuck program on 64 cells of 8 bits. emit a b: write the bytes a and b. add n c: read n bytes, write their sum plus c. "
        "copy n c: read n bytes, write each plus c. reverse n c: the same, from the last to the first. until c d: read bytes until a 0; for "
        'each write it plus c, then it plus c plus d. End with "#" and the program, as in #,+++.'
    )

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem]:
        """See Generated."""
        level = stream.between(*spec.level)
        kind = KINDS[level - 1]
        most, least = (30, 1) if kind == "emit" else (9, 0)
        while True:
            first = stream.between(1 if kind == "copy" else 2, 6) if kind in ("add", "copy", "reverse") else stream.between(least, most)
            asked = (kind, first, stream.between(least, most))
            prompt = "{} {} {}?".format(*asked)
            yield posed(prompt, "".join(code for _, code in parts(*asked)), prompt, level, asked)

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        kind, first, second = problem.data

        def fault(program: str) -> str:
            for given in inputs(kind, first, problem.id):
                want = wanted(kind, first, second, given)
                got = run(program, given, len(want))
                if got != want:
                    return got if isinstance(got, str) else f"writes {got[: len(want) + 1]} for {given}, not {want}"
            return ""

        return checked(reply, PROGRAM, "program", fault)

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "corrupted" writes one byte that is too large by 1."""
        found = parts(*problem.data)
        if style == CORRUPTED:
            at = stream.choice([i for i, (_, code) in enumerate(found) if "." in code])
            found[at] = (found[at][0], found[at][1].replace(".", "+.", 1))
        return laid_out([":".join(part) for part in found], "".join(code for _, code in found), style)


def parts(kind: str, first: int, second: int) -> list[Part]:
    """A program that does what is asked, in pieces."""
    up = "+" * second
    if kind == "emit":
        step = second - first
        return [(str(first), "+" * first + "."), (str(second), ("+" * step if step > 0 else "-" * -step) + ".")]
    if kind == "add":
        return [("1", ","), *((str(i), ">,[<+>-]<") for i in range(2, first + 1)), ("sum", up + ".")]
    if kind == "copy":
        return [(str(i), f",{up}.") for i in range(1, first + 1)]
    if kind == "reverse":
        return [("read", "," + ">," * (first - 1)), *((str(i), "<" * (i < first) + up + ".") for i in range(first, 0, -1))]
    return [("read", ",["), ("write", "+" * first + "." + up + "."), ("next", ",]")]


def inputs(kind: str, first: int, name: str) -> list[list[int]]:
    """What a problem's programs are run on, the same each time."""
    stream = rng("brainfuck", name)
    length = lambda: {"emit": 0, "until": stream.between(1, 6)}.get(kind, first)
    return [[stream.between(1, 99) for _ in range(length())] for _ in range(1 if kind == "emit" else INPUTS)]


def wanted(kind: str, first: int, second: int, given: Sequence[int]) -> list[int]:
    """The bytes to be written."""
    if kind == "emit":
        return [first, second]
    if kind == "add":
        return [(sum(given) + second) % 256]
    if kind == "until":
        return [x + raised for x in given for raised in (first, first + second)]
    return [x + second for x in (given if kind == "copy" else given[::-1])]


def matched(program: str) -> dict[int, int] | None:
    """The place of each bracket's partner; None if one has none."""
    partner, opened = dict[int, int](), list[int]()
    for i, sign in enumerate(program):
        if sign == "[":
            opened.append(i)
        elif sign == "]":
            if not opened:
                return None
            partner[i] = opened.pop()
            partner[partner[i]] = i
    return None if opened else partner


def run(program: str, given: Sequence[int], most: int) -> list[int] | str:
    """The bytes that a program writes, one more than `most` at most; or what went wrong, in words."""
    partner = matched(program)
    if partner is None:
        return "a bracket has no partner"
    tape, at, place, read, out = [0] * CELLS, 0, 0, iter(given), list[int]()
    for _ in range(STEPS):
        if place == len(program) or len(out) > most:
            return out
        sign = program[place]
        if sign in "<>":
            at += 1 if sign == ">" else -1
            if not 0 <= at < CELLS:
                return "leaves the tape"
        elif sign in "+-":
            tape[at] = (tape[at] + (1 if sign == "+" else -1)) % 256
        elif sign == ".":
            out.append(tape[at])
        elif sign == ",":
            tape[at] = next(read, 0)
        elif (tape[at] == 0) == (sign == "["):
            place = partner[place]
        place += 1
    return f"is not done after {STEPS} signs"
