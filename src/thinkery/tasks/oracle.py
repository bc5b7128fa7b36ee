"""A task whose solvers may ask its verifier: an upper bound of what choosing can reach, never a score of the model alone."""

from __future__ import annotations

from typing import Any

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import Task

FINDING = (
    "the solver may ask the verifier of {}, which knows the right answer: the scores say what an oracle would choose, not what the model "
    "knows; compare them with nothing but another oracle's"
)


class Checker:
    """One problem's verifier, lent to a solver."""

    def __init__(self, task: Task, problem: Problem) -> None:
        self.task, self.problem = task, problem

    def score(self, reply: Reply) -> float:
        """The reply's score, in [0, 1]."""
        return self.task.verify(self.problem, reply).score


class Oracle(Task):
    """Another task's problems, and for every rollout a `Checker` instead of that task's own tools. Its findings say so."""

    def __init__(self, task: Task) -> None:
        self.task, self.name = task, f"{task.name} with its verifier as an oracle"
        self.styles, self.stop, self.max_tokens = task.styles, task.stop, task.max_tokens
        self.findings = (FINDING.format(task.name), *task.findings)

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

    def tools(self, problem: Problem, rng: Stream) -> Checker:
        """See Task."""
        return Checker(self.task, problem)
