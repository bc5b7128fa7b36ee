"""A task whose demonstrations end in a stated confidence, for models that must learn to state one before a reward can shape it."""

from __future__ import annotations

from typing import Any

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import Task

MARK = "%"  # stands between an answer and how sure of it its writer is
TENTHS = 2  # most tokens of a confidence: 0 to 10


class Stated(Task):
    """Another task's problems; a demonstration is one of its own, MARK and a number from 0 to 10 drawn evenly: form, not knowledge."""

    def __init__(self, task: Task) -> None:
        self.task, self.name, self.styles, self.stop = task, f"{task.name} stated", task.styles, task.stop
        self.max_tokens = task.max_tokens + len(MARK) + TENTHS

    def size(self, split: str) -> int | None:
        """See Task."""
        return self.task.size(split)

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        """See Task."""
        return self.task.problem(index, split, seed, **spec)

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task: of what stands before MARK."""
        return self.task.verify(problem, Reply(reply.text.rpartition(MARK)[0] or reply.text, reply.truncated, reply.data), rollout)

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        """See Task."""
        return f"{self.task.demonstration(problem, style, rng)}{MARK}{rng.below(11)}"
