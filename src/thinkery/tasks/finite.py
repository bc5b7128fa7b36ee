"""Tasks whose problems can be counted: those of a file or of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ..core.errors import BadConfig, InputError
from ..core.records import Problem
from ..core.rng import rng
from .base import Task, check_split


class Finite(Task):
    """`problems` by split, in an order that is fixed. What kind of task it is, `kind`, stands in messages."""

    kind: str
    problems: dict[str, list[Problem]]

    def size(self, split: str) -> int:
        """How many problems the split has."""
        check_split(split)
        return len(self.problems[split])

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        """See Task. Each run through the split has an order of its own; the test split is run through once, so `index` is below its size."""
        if spec:
            raise BadConfig(f"the {self.kind} {self.name!r} has no difficulty keys, so not {next(iter(spec))!r} either")
        n = self.size(split)
        if n == 0:
            raise InputError(self.emptiness(split))
        if index < 0 or (split == "test" and index >= n):
            raise InputError(f"{self.name!r}: no problem {index} in the {split} split; it has {n}, counted from 0")
        epoch, place = divmod(index, n)
        return self.problems[split][order(n, seed, split, epoch)[place]]

    def emptiness(self, split: str) -> str:
        """Why the split has no problems, and what to do."""
        total = sum(map(len, self.problems.values()))
        return f"{self.name!r}: none of its {total} questions fell into the {split} split; a file needs some hundred"


@lru_cache(maxsize=8)
def order(n: int, seed: int, split: str, epoch: int) -> Sequence[int]:
    """The order in which an epoch meets n problems."""
    return tuple(rng(seed, "file", split, epoch).shuffle(list(range(n))))
