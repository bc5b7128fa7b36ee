"""Circuits of bitwise gates: work out what the last one gives, and leave alone what does not matter."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED
from .generated import Generated, judged, laid_out, posed, span, whole
from .logic import LETTERS
from .shapes import shape

BITS = re.compile("[01]{1,8}")
OPERATIONS = "&|+"

Gate = tuple[str, str, str, str]  # name, first wire, operation, second wire


@dataclass(frozen=True)
class Spec:
    """gates   that the answer hangs on, from and to
    spare   gates that it does not hang on, from and to
    inputs  wires that are given
    bits    of a wire
    """

    gates: tuple[int, int] = (2, 4)
    spare: tuple[int, int] = (0, 1)
    inputs: int = 3
    bits: int = 4

    def __post_init__(self) -> None:
        object.__setattr__(self, "gates", span("gates", self.gates, 1, 12))
        object.__setattr__(self, "spare", span("spare", self.spare, 0, 10))
        whole("inputs", self.inputs, 2, 4)
        whole("bits", self.bits, 3, 8)


class Circuits(Generated[Spec]):
    """Prompt `a=0110;b=1010;c=a&b;d=c+a;d?`, reply `c:0110&1010=0010,d:0010+0110=0100#0100`: each gate that d hangs on, in order.

    & and | work bit by bit, + gives 1 where the bits differ. Difficulty counts the gates that the answer hangs on. Family: the circuit and its
    inputs, with the names of wires, the order of lines and of a gate's two wires taken away.
    """

    name = "circuits"
    default = Spec()
    instruction = (
        "Each line gives a wire its bits, or makes it of two wires, bit by bit: & is 1 where both are 1, | where either is, + where they "
        'differ. Which bits has the wire before the question mark? End with "#" and the bits, as in #0110.'
    )

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        self.max_tokens = 2 * self.spec.gates[1] * (3 * self.spec.bits + 5) + self.spec.bits + 2

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem]:
        """See Generated. Each gate takes the one before and any wire before that; spare gates stand anywhere after their wires."""
        while True:
            count, spare = stream.between(*spec.gates), stream.between(*spec.spare)
            names = stream.sample(LETTERS, spec.inputs + count + spare)
            given = {names.pop(): "".join(str(stream.below(2)) for _ in range(spec.bits)) for _ in range(spec.inputs)}
            wires, gates = list(given), list[Gate]()
            last = stream.choice(wires)
            for _ in range(count):
                other = stream.choice([w for w in wires if w != last])
                gates.append((names.pop(), *ordered(last, stream.choice(OPERATIONS), other, stream)))
                last = gates[-1][0]
                wires.append(last)
            for name in names:
                at = stream.below(len(gates))
                before = [*given, *(g[0] for g in gates[:at])]
                a, b = stream.sample(before, 2)
                gates.insert(at, (name, a, stream.choice(OPERATIONS), b))
            lines = [f"{w}={bits}" for w, bits in given.items()] + [f"{x}={a}{o}{b}" for x, a, o, b in gates]
            prompt = f"{';'.join(lines)};{last}?"
            yield posed(prompt, values(given, gates)[last], family(given, gates, last), count, (given, tuple(gates), last))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        return judged(reply, problem.answer, BITS, "bits")

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "corrupted" errs in one bit of one gate and goes on from there."""
        given, gates, last = problem.data
        needed = [g for g in gates if g[0] in cone(gates, last)]
        found = values(given, needed)
        if style == CORRUPTED:
            at, bit = stream.below(len(needed)), stream.below(len(problem.answer))
            found = values(given, needed, at, bit)
            if found[last] == problem.answer:  # the slip was lost on the way, so slip at the end
                found = values(given, needed, len(needed) - 1, bit)
        return laid_out([f"{x}:{found[a]}{o}{found[b]}={found[x]}" for x, a, o, b in needed], found[last], style)


def ordered(a: str, operation: str, b: str, stream: Stream) -> tuple[str, str, str]:
    """The two wires of a gate in either order."""
    return (b, operation, a) if stream.below(2) else (a, operation, b)


def gate(a: str, operation: str, b: str) -> str:
    """What one gate gives."""
    worked = {"&": lambda x, y: x & y, "|": lambda x, y: x | y, "+": lambda x, y: x ^ y}[operation]
    return f"{worked(int(a, 2), int(b, 2)):0{len(a)}b}"


def values(given: Mapping[str, str], gates: Sequence[Gate], slip: int = -1, bit: int = 0) -> dict[str, str]:
    """The bits of every wire; gate number `slip` comes out with one bit wrong."""
    found = dict(given)
    for i, (x, a, o, b) in enumerate(gates):
        found[x] = gate(found[a], o, found[b])
        if i == slip:
            found[x] = f"{int(found[x], 2) ^ (1 << bit):0{len(found[x])}b}"
    return found


def cone(gates: Sequence[Gate], last: str) -> set[str]:
    """The gates that a wire hangs on, itself among them."""
    made = {g[0]: g for g in gates}
    todo, met = [last], set[str]()
    while todo:
        name = todo.pop()
        if name in made and name not in met:
            met.add(name)
            todo += (made[name][1], made[name][3])
    return met


def family(given: Mapping[str, str], gates: Sequence[Gate], last: str) -> str:
    """The name-free name of a circuit with its inputs."""
    wires = [("feeds", w, g[0]) for g in gates for w in (g[1], g[3])]
    return shape([*((f"is {bits}", w) for w, bits in given.items()), *((f"gate {g[2]}", g[0]) for g in gates), *wires, ("asked", last)])
