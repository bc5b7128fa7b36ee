"""Functions of digit strings, alone and one within the other: learn the atoms, then meet compositions that were never seen."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any

from ..core.errors import BadConfig
from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED
from .generated import Generated, judged, laid_out, posed, span

DEEPEST, LONGEST = 20, 20
DIGITS = re.compile(f"[0-9]{{1,{DEEPEST + LONGEST}}}")
NEXT, DOUBLE, FLIP = (str.maketrans("0123456789", to) for to in ("1234567890", "0246802468", "9876543210"))

ATOMS: dict[str, Callable[[str], str]] = {  # of digits, none at all among them
    "reverse": lambda x: x[::-1],
    "left": lambda x: x[1:] + x[:1],  # the first digit goes to the end
    "right": lambda x: x[-1:] + x[:-1],
    "swap": lambda x: x[-1] + x[1:-1] + x[0] if len(x) > 1 else x,  # the first and the last digit change places
    "pairs": lambda x: "".join(x[i : i + 2][::-1] for i in range(0, len(x), 2)),  # neighbours change places
    "halves": lambda x: x[(len(x) + 1) // 2 :] + x[: (len(x) + 1) // 2],  # the first half, the longer one, goes to the end
    "sort": lambda x: "".join(sorted(x)),
    "evens": lambda x: "".join(sorted(x, key=lambda digit: int(digit) % 2)),  # even digits first, else in order
    "next": lambda x: x.translate(NEXT),  # digit by digit, modulo 10
    "double": lambda x: x.translate(DOUBLE),  # digit by digit, modulo 10
    "flip": lambda x: x.translate(FLIP),  # digit by digit, from 9
    "sums": lambda x: "".join(map(str, accumulate(map(int, x), lambda a, b: (a + b) % 10))),  # of the digits so far, modulo 10
    "drop": lambda x: x[1:],
    "cut": lambda x: x[:-1],
    "echo": lambda x: x[:1] + x,
    "unique": lambda x: "".join(dict.fromkeys(x)),  # each digit where it comes first
}
PROBES = ("27182818284590452353602", "314159265358979302384626")  # every digit, an odd and an even number of them, more than DEEPEST


@dataclass(frozen=True)
class Spec:
    """depth   functions one within the other, from and to
    atoms    functions to draw from
    length   of the digits they begin with, from and to
    """

    depth: tuple[int, int] = (1, 3)
    atoms: tuple[str, ...] = tuple(ATOMS)
    length: tuple[int, int] = (4, 6)

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", span("depth", self.depth, 1, DEEPEST))
        atoms = tuple(self.atoms) if isinstance(self.atoms, (tuple, list)) else (self.atoms,)
        if not atoms or len(set(map(str, atoms))) < len(atoms) or not all(a in tuple(ATOMS) for a in atoms):
            raise BadConfig(f"atoms is {self.atoms!r}; give some of {', '.join(ATOMS)}, each once")
        object.__setattr__(self, "atoms", atoms)
        object.__setattr__(self, "length", span("length", self.length, 2, LONGEST))


class Functions(Generated[Spec]):
    """Prompt `reverse(sort(3142))=`, reply `sort(3142):1234,reverse(1234):4321#4321`: the functions from the inside out.

    Difficulty counts functions. Family: the digits where there is one function; else the composition, by what it does, so that test has
    compositions that train never shows, not even in another wording. Train at depth 1, then at 2, test at 3: atoms, composing, depth.
    """

    name = "functions"
    default = Spec()
    instruction = (
        "Work out the functions of digits from the inside out. left moves the first digit to the end, right the last to the front; swap "
        "exchanges the first and the last, pairs each two neighbours; halves moves the first half (the longer) to the end; evens puts "
        "even digits first; next adds 1 to each digit, double doubles it (both modulo 10), flip takes it from 9; sums has the sums so "
        "far modulo 10; drop leaves out the first digit, cut the last; echo repeats the first; unique keeps each digit once. "
        'End with "#" and just the digits, as in #4321.'
    )

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        depth, longest = self.spec.depth[1], max(map(len, self.spec.atoms))
        digits = self.spec.length[1] + (depth if "echo" in self.spec.atoms else 0)
        self.max_tokens = 2 * depth * (longest + 2 * digits + 4) + digits + 2  # verbose: reverse(3142):2413 and a separator, twice each

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem | None]:
        """See Generated. None where no digits are left on the way."""
        depth = stream.between(*spec.depth)
        while True:
            digits = "".join(str(stream.below(10)) for _ in range(stream.between(*spec.length)))
            names = tuple(stream.choice(spec.atoms) for _ in range(depth))
            values = run(digits, names)
            made = posed(spelt(digits, names), values[-1], family(digits, names), depth, (digits, names))
            yield made if all(values) else None

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        return judged(reply, problem.answer, DIGITS, "digits")

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "corrupted" errs in one digit of one function's value and goes on from there."""
        digits, names = problem.data
        values = run(digits, names)
        if style == CORRUPTED:
            at, place, by = stream.below(len(names)), stream.random(), stream.between(1, 9)
            values = run(digits, names, at, place, by)
            if values[-1] in ("", problem.answer):  # the slip was lost on the way, so slip at the end
                values = run(digits, names, len(names) - 1, place, by)
        lines = [f"{name}({x}):{y}" for name, x, y in zip(names, values, values[1:])]
        return laid_out(lines, values[-1], style)


def spelt(digits: str, names: tuple[str, ...]) -> str:
    """reverse(sort(3142))= for 3142 and (sort, reverse)."""
    return "(".join(reversed(names)) + f"({digits}" + ")" * len(names) + "="


def read(prompt: str) -> tuple[str, tuple[str, ...]]:
    """Digits and functions of what `spelt` wrote."""
    *names, digits = prompt.rstrip("=)").split("(")
    return digits, tuple(reversed(names))


def run(digits: str, names: tuple[str, ...], slip: int = -1, place: float = 0.0, by: int = 0) -> list[str]:
    """The values on the way, the digits included; of function `slip` a digit, `place` of the way along, comes out too large by `by`."""
    values = [digits]
    for i, name in enumerate(names):
        value = ATOMS[name](values[-1])
        if i == slip:
            at = int(place * len(value))
            value = f"{value[:at]}{(int(value[at]) + by) % 10}{value[at + 1 :]}"
        values.append(value)
    return values


def family(digits: str, names: tuple[str, ...]) -> str:
    """See Functions."""
    return digits if len(names) == 1 else behaviour(names)


@lru_cache(maxsize=65536)
def behaviour(names: tuple[str, ...]) -> str:
    """What a composition makes of the probes: equal for compositions that are the same function, such as next(left(x)) and left(next(x))."""
    return ",".join(run(probe, names)[-1] for probe in PROBES)
