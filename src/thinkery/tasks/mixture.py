"""Several tasks as one, in turn: what the built-in models are warmed up on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..core.errors import BadConfig
from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import Task


class Mixture(Task):
    """Problem i is problem i // n of task i % n. Its styles are those that all tasks have."""

    def __init__(self, tasks: Sequence[Task], name: str = "") -> None:
        if not tasks:
            raise BadConfig("a mixture of no tasks has no problems: name at least one")
        self.tasks = tuple(tasks)
        self.name = name or "+".join(t.name for t in tasks)
        self.max_tokens = max(t.max_tokens for t in tasks)
        self.styles = tuple(s for s in tasks[0].styles if all(s in t.styles for t in tasks))

    def size(self, split: str) -> int | None:
        """See Task: as far as every task has problems."""
        sizes = [n for n in (t.size(split) for t in self.tasks) if n is not None]
        return min(sizes) * len(self.tasks) if sizes else None

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        """See Task."""
        which = index % len(self.tasks)
        inner = self.tasks[which].problem(index // len(self.tasks), split, seed, **spec)
        return replace(inner, data=(which, inner))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        task, inner = self._part(problem)
        return task.verify(inner, reply, rollout)

    def has_demonstration(self, problem: Problem) -> bool:
        """See Task."""
        task, inner = self._part(problem)
        return task.has_demonstration(inner)

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        """See Task."""
        task, inner = self._part(problem)
        return task.demonstration(inner, style, rng)

    def _part(self, problem: Problem) -> tuple[Task, Problem]:
        which: int = problem.data[0]
        return self.tasks[which], problem.data[1]
