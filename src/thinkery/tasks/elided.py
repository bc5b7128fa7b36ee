"""A task that may be answered at once or after work, and the demonstrations from which a model learns both behind a mark."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import Task, digest
from .generated import Generated

MARK = "~"  # stands behind the prompt where both are allowed
WORKED = "trace"


class Elided(Task):
    """A house task's problems; where a reply can be read and its `data["think"]` is known, verdicts have the parts "think" and "think D", D the difficulty: 1 for
    work, 0 for none. Demonstrations are worked."""

    def __init__(self, task: Generated[Any]) -> None:
        self.task, self.name, self.styles, self.stop = task, f"{task.name} elided", (WORKED,), task.stop
        self.max_tokens = task.max_tokens

    def size(self, split: str) -> int | None:
        """See Task."""
        return self.task.size(split)

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        """See Task."""
        return self.task.problem(index, split, seed, **spec)

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        found, think = self.task.verify(problem, reply, rollout), reply.data.get("think")
        if think is None or found.parsed is None:
            return found
        return Verdict(
            found.score, found.parsed, {**found.parts, "think": float(think), f"think {problem.difficulty:g}": float(think)}, found.reason
        )

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        """See Task."""
        return self.task.demonstration(problem, style, rng)


class Marked(Elided):
    """Problem 2i is the task's problem i, whose demonstrations are worked in any style; problem 2i + 1 the same with MARK, where the style counts."""

    def __init__(self, task: Generated[Any]) -> None:
        super().__init__(task)
        self.name, self.styles = f"{task.name} marked", (WORKED, "direct")

    def size(self, split: str) -> int | None:
        """See Task."""
        size = self.task.size(split)
        return None if size is None else 2 * size

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        """See Task."""
        found = self.task.problem(index // 2, split, seed, **spec)
        if index % 2 == 0:
            return found
        prompt = found.question.prompt + MARK
        return replace(found, id=digest(prompt).hex(), question=replace(found.question, prompt=prompt))

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        """See Task."""
        return super().demonstration(problem, style if problem.question.prompt.endswith(MARK) else WORKED, rng)
