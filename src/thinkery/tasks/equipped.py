"""A task whose solvers may call tools that the task itself does not know."""

from __future__ import annotations

from typing import Any

from ..core.errors import InputError
from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from ..tools.kit import Kit
from ..tools.tool import Toolbox
from .base import Task


class Equipped(Task):
    """Another task's problems, and a toolbox for every rollout, to which the task's own tools belong, if it lends a toolbox.

    Raises InputError for a task that lends something else.
    """

    def __init__(self, task: Task, kit: Kit) -> None:
        self.task, self.kit, self.name = task, kit, f"{task.name} with {kit.label}"
        self.verifier = " ".join([str(getattr(task, "verifier", "")), *kit.names])  # replies that were kept are told apart by it
        self.styles, self.stop, self.max_tokens, self.findings = task.styles, task.stop, task.max_tokens, task.findings

    def size(self, split: str) -> int | None:
        """See Task."""
        return self.task.size(split)

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        """See Task."""
        return self.task.problem(index, split, seed, **spec)

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        return self.task.verify(problem, reply, rollout)

    def has_demonstration(self, problem: Problem) -> bool:
        """See Task."""
        return self.task.has_demonstration(problem)

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        """See Task."""
        return self.task.demonstration(problem, style, rng)

    def tools(self, problem: Problem, rng: Stream) -> Toolbox:
        """See Task."""
        own, lent = self.task.tools(problem, rng), self.kit.toolbox()
        if own is None:
            return lent
        if not isinstance(own, Toolbox):
            raise InputError(f"{self.task.name} is acted in by a solver of its own: it takes no --tools and no --mcp")
        return Toolbox([*own.values(), *lent.values()])
