"""A task whose demonstrations go through their work again for nothing, for models that are to learn to leave that out."""

from __future__ import annotations

from typing import Any

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import Task
from .generated import Generated

MOST = 4  # re-checks in one reply


class Rechecked(Task):
    """A house task's problems; work in the style "trace" is followed by 0 to MOST copies of itself, `w;w;w#7`: the larger of two even draws."""

    def __init__(self, task: Generated[Any]) -> None:
        self.task, self.name, self.styles, self.stop = task, f"{task.name} rechecked", ("trace", "direct"), task.stop
        self.max_tokens = -(-task.max_tokens * (1 + MOST) // 2)  # the task's own holds two copies

    def size(self, split: str) -> int | None:
        """See Task."""
        return self.task.size(split)

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        """See Task."""
        return self.task.problem(index, split, seed, **spec)

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        return self.task.verify(problem, reply, rollout)

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        """See Task."""
        work, _, answer = self.task.demonstration(problem, style, rng).rpartition("#")
        again = max(rng.below(1 + MOST), rng.below(1 + MOST)) if work else 0
        return ";".join([work] * (1 + again)) + "#" + answer
