"""Many problems at once, equal to the bit to those drawn one by one.

Since draws are addressed, those of many problems can be made in whole columns, and the same candidates are refused by the same families.
Addition, chain and functions have columns; any other task goes problem by problem.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.records import Problem, Question
from ..core.rng import address, addresses, uniforms
from . import addition, chain, functions
from .base import Task, check_split, digest, split_of
from .generated import PATIENCE, Generated

CHUNK = 1 << 13  # problems drawn together: their columns stay in the cache
WIDEST = 18  # digits of a number that fits 64 bits

Numbers = NDArray[np.int64]
Made = tuple[str, str, float]  # prompt, answer, difficulty


class Streams:
    """Many `rng.Stream`s side by side, drawing alike. `rows` tells which of those there were at first are left."""

    def __init__(self, bases: NDArray[np.uint64]) -> None:
        self.bases, self.positions = bases, np.zeros(len(bases), np.int64)
        self.rows = np.arange(len(bases))

    def below(self, n: Numbers | int) -> Numbers:
        """An integer in 0..n-1 for each."""
        drawn = (uniforms(self.bases, self.positions) * n).astype(np.int64)
        self.positions = self.positions + 1
        return drawn

    def between(self, low: Numbers | int, high: Numbers | int) -> Numbers:
        """An integer in low..high for each, both included."""
        return low + self.below(high - low + 1)

    def blocks(self, counts: Numbers) -> NDArray[np.float64]:
        """The next counts[i] draws of stream i, then whatever follows them, [streams, the largest count]; only counts[i] are used up."""
        at = self.positions[:, None] + np.arange(counts.max(initial=0))
        self.positions = self.positions + counts
        return uniforms(self.bases[:, None], at)

    def keep(self, which: NDArray[np.bool_]) -> None:
        """Go on with these alone."""
        self.bases, self.positions, self.rows = self.bases[which], self.positions[which], self.rows[which]


class Candidates(NamedTuple):
    """One candidate of each stream: its family, and what makes the i-th, None where it comes to nothing."""

    families: list[str]
    make: Callable[[int], Made | None]


@dataclass(frozen=True)
class Columns:
    """How a task draws in columns: its `candidates` for many streams, what `Problem.data` is, read off a prompt, and for which specs."""

    candidates: Callable[[Any, Streams], Iterator[Candidates]]
    data: Callable[[str], Any]
    fits: Callable[[Any], bool] = lambda _: True


@dataclass(frozen=True)
class Batch(Sequence[Problem]):
    """Problems as columns; a Problem is made when it is asked for."""

    prompts: list[str]
    answers: list[str]
    families: list[str]
    difficulties: list[float]
    problem: Callable[[int], Problem] = field(repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.prompts)

    @overload
    def __getitem__(self, i: int) -> Problem: ...
    @overload
    def __getitem__(self, i: slice) -> list[Problem]: ...
    def __getitem__(self, i: int | slice) -> Problem | list[Problem]:
        which = range(len(self))[i]
        return self.problem(which) if isinstance(which, int) else [self.problem(k) for k in which]


def bulk(task: Task, n: int, seed: int = 0, split: str = "train", first: int = 0) -> Batch:
    """Problems first..first+n-1 of a split: `bulk(task, n, seed, split)[i] == task.problem(i, split, seed)`.

    Raises what `Task.problem` raises, and InputError for a count below 0.
    """
    check_split(split)
    if n < 0 or first < 0:
        raise InputError(f"{n} problems from index {first}: neither may be below 0")
    columns = COLUMNS.get(type(task))
    if not isinstance(task, Generated) or columns is None or not columns.fits(task.spec):
        return listed([task.problem(i, split, seed) for i in range(first, first + n)])
    chunks = (range(begin, min(begin + CHUNK, first + n)) for begin in range(first, first + n, CHUNK))
    rows = [row for chunk in chunks for row in drawn(task, columns, chunk, seed, split)]

    def problem(i: int) -> Problem:
        family, (prompt, answer, difficulty) = rows[i]
        question = Question(prompt, instruction=task.instruction)
        return Problem(digest(prompt).hex(), question, answer, family, difficulty, columns.data(prompt))

    prompts, answers, difficulties = [m[0] for _, m in rows], [m[1] for _, m in rows], [m[2] for _, m in rows]
    return Batch(prompts, answers, [family for family, _ in rows], difficulties, problem)


def listed(problems: list[Problem]) -> Batch:
    """Problems that are there already as a batch."""
    return Batch(
        [p.question.prompt for p in problems],
        [p.answer for p in problems],
        [p.family for p in problems],
        [p.difficulty for p in problems],
        problems.__getitem__,
    )


def drawn(task: Generated[Any], columns: Columns, indices: range, seed: int, split: str) -> list[tuple[str, Made]]:
    """These problems, each with its family: a candidate for each, another for those whose candidate is refused, and so on."""
    streams = Streams(addresses(address(seed, "task", task.name, split), np.arange(indices.start, indices.stop)))
    found: dict[int, tuple[str, Made]] = {}
    for candidates in islice(columns.candidates(task.spec, streams), PATIENCE):
        refused = np.ones(len(streams.rows), np.bool_)
        for i, (row, family) in enumerate(zip(streams.rows.tolist(), candidates.families)):
            if split_of(family) == split and (made := candidates.make(i)) is not None:
                found[row], refused[i] = (family, made), False
        streams.keep(refused)
        if not len(streams.rows):
            return [found[k] for k in range(len(indices))]
    task.problem(indices[int(streams.rows[0])], split, seed)  # says that there is none
    raise AssertionError("a column and the problem itself are drawn alike")


# ---- the tasks


def additions(spec: addition.Spec, streams: Streams) -> Iterator[Candidates]:
    """Addition.candidates."""
    while True:
        digits = streams.between(*spec.digits)
        least = 10 ** (digits - 1)
        a, b = (streams.between(least, 10 * least - 1).tolist() for _ in range(2))
        sizes = digits.tolist()
        families = [f"{x}+{y}" if x < y else f"{y}+{x}" for x, y in zip(a, b)]
        yield Candidates(families, lambda i, a=a, b=b, sizes=sizes: (f"{a[i]}+{b[i]}=", str(a[i] + b[i]), sizes[i]))  # type: ignore[misc]


def chains(spec: chain.Spec, streams: Streams) -> Iterator[Candidates]:
    """Chain.candidates; texts are rows of characters."""
    while True:
        first, steps = streams.below(10), streams.between(*spec.steps)
        draws = streams.blocks(2 * steps)
        kinds, numbers = (draws[:, 0::2] * 3).astype(np.int64), (draws[:, 1::2] * 10).astype(np.int64)
        value = first
        for k in range(kinds.shape[1]):
            x, kind = numbers[:, k], kinds[:, k]
            value = np.where(k < steps, np.choose(kind, (value + x, value - x, value * x)) % 10, value)
        text = np.empty((len(first), 2 * kinds.shape[1] + 1), np.uint8)
        text[:, 0], text[:, 1::2], text[:, 2::2] = first + ord("0"), np.frombuffer(b"+-*", np.uint8)[kinds], numbers + ord("0")
        prompts = sliced(text, 2 * steps + 1)
        turned = (kinds[:, 0] != 1) & (first > numbers[:, 0])
        text[turned, 0], text[turned, 2] = text[turned, 2], text[turned, 0]
        answers, sizes = value.tolist(), steps.tolist()
        make = lambda i, prompts=prompts, answers=answers, sizes=sizes: (f"{prompts[i]}=", str(answers[i]), sizes[i])
        yield Candidates(sliced(text, 2 * steps + 1), make)


def compositions(spec: functions.Spec, streams: Streams) -> Iterator[Candidates]:
    """Functions.candidates."""
    depths = streams.between(*spec.depth)
    while True:
        depth, length = depths[streams.rows], streams.between(*spec.length)
        digits = sliced((streams.blocks(length) * 10).astype(np.uint8) + np.uint8(ord("0")), length)
        atoms = (streams.blocks(depth) * len(spec.atoms)).astype(np.int64).tolist()
        names = [tuple(spec.atoms[k] for k in ks[:d]) for ks, d in zip(atoms, depth.tolist())]
        make = lambda i, digits=digits, names=names: composed(digits[i], names[i])
        yield Candidates(list(map(functions.family, digits, names)), make)


def composed(digits: str, names: tuple[str, ...]) -> Made | None:
    """What is made of a composition, None where no digits are left on the way."""
    values = functions.run(digits, names)
    return (functions.spelt(digits, names), values[-1], len(names)) if all(values) else None


def sliced(text: NDArray[np.uint8], lengths: Numbers) -> list[str]:
    """The first lengths[i] characters of each row, ASCII."""
    whole, width = text.tobytes().decode("ascii"), text.shape[1]
    return [whole[at : at + length] for at, length in zip(range(0, len(whole), width), lengths.tolist())]


def chain_data(prompt: str) -> tuple[tuple[int, ...], str]:
    """Numbers and operations."""
    return tuple(map(int, prompt[0:-1:2])), prompt[1:-1:2]


COLUMNS: dict[type[Task], Columns] = {
    addition.Addition: Columns(
        additions, lambda prompt: tuple(map(int, prompt[:-1].split("+"))), lambda spec: bool(spec.digits[1] <= WIDEST)
    ),
    chain.Chain: Columns(chains, chain_data),
    functions.Functions: Columns(compositions, functions.read),
}
