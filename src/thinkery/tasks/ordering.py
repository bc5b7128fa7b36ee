"""Put things in order: the one order in which every constraint holds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED
from .generated import Generated, judged, laid_out, posed, span, whole
from .logic import LETTERS
from .shapes import shape

ORDER = re.compile("[a-z]{1,26}")
KINDS = {"before": "{0}<{1}", "next": "{0}+1={1}", "at": "{0}={1}", "not": "{0}!{1}"}

Constraint = tuple[str, str, str]  # a kind, a thing, and another thing or a place


@dataclass(frozen=True)
class Spec:
    """items     to put in order, from and to
    dead_ends   of the search for the order, at most: problems that need more are left out
    """

    items: tuple[int, int] = (4, 5)
    dead_ends: int = 16

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", span("items", self.items, 3, 7))
        whole("dead_ends", self.dead_ends, 2, 64)


class Ordering(Generated[Spec]):
    """Prompt `abcd:a<c;b=1;d=4?`, reply `a:b=1,bacd#bacd`: orders begun and what they break, then the one that fits.

    a<c: a stands before c; c+1=d: c right before d; b=1: b at place 1; b!1: not there. Each constraint excludes some order that those
    before it allow. Difficulty counts items. Family: the constraints with the letters and their order taken away.
    """

    name = "ordering"
    default = Spec()
    instruction = (
        "Put the letters before : in the one order that fits: a<c says that a stands before c, c+1=d that c stands right before d, "
        'b=1 that b stands at place 1, b!1 that it does not. End with "#" and the order, as in #bacd.'
    )

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        most = self.spec.items[1]
        self.max_tokens = 2 * (self.spec.dead_ends * (most + 7) + most + 1) + most + 2

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem | None]:
        """See Generated."""
        count = stream.between(*spec.items)
        while True:
            items = sorted(stream.sample(LETTERS, count))
            order = "".join(stream.sample(items, count))
            constraints = unique(order, items, stream)
            lines = list(searched("", items, constraints))
            if len(lines) > spec.dead_ends + 1:
                yield None
                continue
            relations = [(kind, x, y) if y.isalpha() else (kind + y, x) for kind, x, y in constraints]
            prompt = f"{''.join(items)}:{';'.join(map(text, constraints))}?"
            yield posed(prompt, order, shape([*relations, *(("item", x) for x in items)]), count, tuple(lines))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        return judged(reply, problem.answer, ORDER, "order")

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "corrupted" puts two that stand side by side the wrong way round."""
        lines, answer = problem.data, problem.answer
        if style == CORRUPTED:
            at = stream.below(len(answer) - 1)
            answer = answer[:at] + answer[at + 1] + answer[at] + answer[at + 2 :]
            lines = (*lines[:-1], answer)
        return laid_out(lines, answer, style)


def unique(order: str, items: Sequence[str], stream: Stream) -> list[Constraint]:
    """Constraints that hold in this order and in no other; each rules out some order that those before it allow."""
    left = ["".join(p) for p in permutations(items)]
    chosen: list[Constraint] = []
    while len(left) > 1:
        at, other = stream.sample(range(len(order)), 2)
        low, high = sorted((at, other))
        constraint = stream.choice(
            (
                ("before", order[low], order[high]),
                ("next", order[low], order[low + 1]),
                ("at", order[at], str(at + 1)),
                ("not", order[at], str(other + 1)),
            )
        )
        fitting = [p for p in left if holds(constraint, p)]
        if len(fitting) < len(left):
            left = fitting
            chosen.append(constraint)
    return chosen


def holds(constraint: Constraint, order: str) -> bool:
    """Whether a constraint holds, or still can, in an order or in its beginning."""
    kind, x, y = constraint
    at = order.find(x)
    if kind in ("at", "not"):
        there = order[int(y) - 1 : int(y)]
        return there != x if kind == "not" else (there in ("", x) and at in (-1, int(y) - 1))
    after = order.find(y)
    if kind == "before":
        return after < 0 or 0 <= at < after
    return after == at + 1 if after >= 0 and at >= 0 else after < 0 and at in (-1, len(order) - 1)


def searched(begun: str, items: Sequence[str], constraints: Sequence[Constraint]) -> Iterator[str]:
    """Depth first: each beginning that breaks a constraint, with it, and at last the order that breaks none."""
    if len(begun) == len(items):
        yield begun
        return
    for item in items:
        if item in begun:
            continue
        broken = next((c for c in constraints if not holds(c, begun + item)), None)
        if broken:
            yield f"{begun}{item}:{text(broken)}"
            continue
        for line in searched(begun + item, items, constraints):
            yield line
            if ":" not in line:
                return


def text(constraint: Constraint) -> str:
    """A constraint as a prompt shows it."""
    kind, x, y = constraint
    return KINDS[kind].format(x, y)
