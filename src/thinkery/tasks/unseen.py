"""One task to learn from and another to be tested on: is what was learnt there where it never was asked for?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import Task, check_split
from .functions import Functions


class Unseen(Task):
    """Train and validation problems of `known`, test problems of `unseen`, which is the same kind of task at another difficulty."""

    def __init__(self, name: str, known: Task, unseen: Task) -> None:
        self.name, self.known, self.unseen = name, known, unseen
        self.max_tokens = max(known.max_tokens, unseen.max_tokens)
        self.styles, self.stop = known.styles, known.stop

    def of(self, split: str) -> Task:
        """Where the split's problems come from."""
        check_split(split)
        return self.unseen if split == "test" else self.known

    def size(self, split: str) -> int | None:
        """See Task."""
        return self.of(split).size(split)

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        """See Task."""
        found = self.of(split).problem(index, split, seed, **spec)
        return replace(found, data=(split == "test", found))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        unseen, inner = problem.data
        return (self.unseen if unseen else self.known).verify(inner, reply, rollout)

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        """See Task."""
        unseen, inner = problem.data
        return (self.unseen if unseen else self.known).demonstration(inner, style, rng)


def composition() -> Unseen:
    """Functions of functions: two at a time to learn from, three to be tested on.

    A model that was warmed up on single ones (`functions:depth=1`) knows every atom and no composition.
    """
    return Unseen("composition", Functions(depth=2), Functions(depth=3))
