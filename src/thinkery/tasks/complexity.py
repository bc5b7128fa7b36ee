"""How complex a problem is, which is not how long it is; and tasks whose test is more complex than anything learnt from.

Complexity counts the fewest of a problem's own steps that a derivation can do with. Steps that change nothing, or whose result is thrown away,
make a problem long and leave it as simple as it was. After "Bridging reasoning to learning" (2025), section on operational proxies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from typing import Any

import msgspec

from ..core.errors import BadConfig
from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream, rng
from . import circuits, functions
from .base import CORRUPTED, Task, check_split
from .chain import Chain
from .circuits import Circuits
from .functions import Functions
from .generated import Generated
from .grid import Grid
from .hops import Hops, walked

LIMIT = 4  # steps of what is learnt from; the far problems need twice as many
TRIES = 2000
BINS = ("known", "long", "far")
FILLER = "filler"  # the style whose work has the trace's length and says nothing

Complexity = tuple[int, int]  # things that must be represented, steps that must be worked out


# ---- what a problem cannot do without


def chain(problem: Problem) -> Complexity:
    """Numbers and operations that count: nothing before the last times 0, no plus 0, minus 0 or times 1."""
    numbers, operations = problem.data
    steps = list(zip(operations, numbers[1:]))
    zeros = [i for i, step in enumerate(steps) if step == ("*", 0)]
    kept = [step for step in steps[zeros[-1] + 1 if zeros else 0 :] if step not in (("+", 0), ("-", 0), ("*", 1))]
    return len(kept) + 1, len(kept)


def composed(problem: Problem) -> Complexity:
    """Digits, and the fewest of the functions that, in their order, do the same to any digits."""
    digits, names = problem.data
    return len(digits), fewest(names)


@lru_cache(maxsize=10_000)
def fewest(names: tuple[str, ...]) -> int:
    """The least number of these functions that does what all of them do."""
    does = lambda some: [functions.run(digits, some)[-1] for digits in probes()]
    whole = does(names)
    return next(n for n in range(len(names) + 1) for some in combinations(names, n) if does(some) == whole)


@lru_cache
def probes() -> tuple[str, ...]:
    """Digits of many lengths, with and without repetition: functions that do the same to all of these are taken for the same."""
    stream = rng("complexity", "probes")
    return tuple("".join(str(stream.below(10)) for _ in range(length)) for length in range(2 * LIMIT, 4 * LIMIT) for _ in range(2))


def circuit(problem: Problem) -> Complexity:
    """Wires and gates of the smallest part that settles the answer: all zeros settle an &, all ones an |, whatever the other wire has."""
    given, gates, last = problem.data
    found, made = circuits.values(given, gates), {g[0]: g for g in gates}
    settled = {"&": "0" * len(found[last]), "|": "1" * len(found[last])}

    def proofs(wire: str) -> set[frozenset[str]]:
        if wire not in made:
            return {frozenset()}
        _, a, operation, b = made[wire]
        alone = [side for side in (a, b) if found[side] == settled.get(operation)]
        if alone:
            return {p | {wire} for side in alone for p in proofs(side)}
        return {p | q | {wire} for p in proofs(a) for q in proofs(b)}

    least = min(proofs(last), key=len)
    return len({w for g in gates if g[0] in least for w in g[:2] + g[3:]}), len(least)


def hops(problem: Problem) -> Complexity:
    """Nodes, and look-ups of a node and a type that find something."""
    lines = [line.partition(":") for line in walked(*problem.data)]
    useful = {(asked, found) for asked, _, found in lines if found}
    return len({node for asked, found in useful for node in asked[0] + found}), len({asked for asked, _ in useful})


def maze(problem: Problem) -> Complexity:
    """Free cells, and steps of the shortest way."""
    return len(problem.data[0].free), len(problem.answer)


@dataclass(frozen=True)
class Kind:
    """A task at three difficulties: to learn from, as long as the far ones but no more complex, and twice as complex; and its measure."""

    known: Generated[Any]
    long: Generated[Any]
    far: Generated[Any]
    measure: Callable[[Problem], Complexity]
    traced: bool = True  # there is one way to write the work, so that a right answer's work can be checked


NAMES = ("chain", "circuits", "functions", "grid", "hops")  # of the kinds, which are made when they are asked for


@lru_cache
def kinds() -> Mapping[str, Kind]:
    """The tasks by name."""
    few, many = (1, LIMIT), 2 * LIMIT
    return {
        "chain": Kind(Chain(steps=few), Chain(steps=many), Chain(steps=many), chain),
        "circuits": Kind(Circuits(gates=few), Circuits(gates=few, spare=(LIMIT, 5)), Circuits(gates=many), circuit),
        "functions": Kind(Functions(depth=few), Functions(depth=few, length=(9, 12)), Functions(depth=(many, many + 2)), composed),
        "grid": Kind(Grid(steps=few, size=5), Grid(steps=few, size=7), Grid(steps=many, size=5), maze, traced=False),
        "hops": Kind(Hops(hops=(1, 2)), Hops(hops=(1, 2), edges=28), Hops(hops=(3, 5)), hops),
    }


class Beyond(Task):
    """Train and validation problems of at most 4 steps; test problems in turn known, long (no more complex) and far (8 steps).

    A verdict's parts are its score under the name of its kind, and `worked`: whether the answer and the work before it are right, where that can
    be told. The style "filler" has dots for work, as many as the trace has characters.
    """

    styles = ("trace", "direct", FILLER, CORRUPTED)

    def __init__(self, name: str) -> None:
        self.kind = kind = kinds()[name]
        self.name = f"beyond_{name}"
        self.max_tokens = max(t.max_tokens for t in (kind.known, kind.long, kind.far))
        self.stop = kind.known.stop

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        """See Task. `data` holds the kind and the task's own problem; difficulty counts the steps it needs."""
        check_split(split)
        if spec:
            raise BadConfig(f"the task {self.name!r} has no difficulty keys, so not {next(iter(spec))!r} either")
        place, which = divmod(index, len(BINS)) if split == "test" else (index, 0)
        source: Generated[Any] = getattr(self.kind, BINS[which])
        for k in range(TRIES):
            found = source.problem(place * TRIES + k, split, seed)
            steps = self.kind.measure(found)[1]
            if steps == 2 * LIMIT if BINS[which] == "far" else 1 <= steps <= LIMIT:
                return replace(found, difficulty=float(steps), data=(BINS[which], found))
        raise BadConfig(f"{self.name}: none of {TRIES} problems is {BINS[which]}")

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        name, inner = problem.data
        found = self.kind.known.verify(inner, reply, rollout)
        parts = {name: found.score}
        if self.kind.traced:
            parts["worked"] = found.score * (reply.text.strip() == self.demonstration(problem, "trace", rng("worked")))
        return msgspec.structs.replace(found, parts=parts)

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        """See Task."""
        if style != FILLER:
            return self.kind.known.demonstration(problem.data[1], style, rng)
        work, _, answer = self.kind.known.demonstration(problem.data[1], "trace", rng).rpartition("#")
        return "." * len(work) + "#" + answer
