"""Answering again after others have: what a model must have seen before its agents can debate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..core.errors import BadConfig
from ..core.records import Problem, Question, Reply, Rollout, Verdict
from ..core.rng import Stream, rng
from .base import CORRUPTED, Task, digest
from .generated import Generated

MOST = 4  # answers heard


class Debated(Task):
    """Prompt `3+4*2-7=#7,#9?`: another task's question and what up to MOST agents answered, some of it right, as the solver `debate` puts it. Styles,
    replies and verdicts are the task's own. A wrong answer is what a corrupted worked reply ends in, a near miss.
    """

    def __init__(self, task: Generated[Any]) -> None:
        if CORRUPTED not in task.styles or "trace" not in task.styles:
            raise BadConfig(f"the task {task.name!r} has no right and wrong worked replies to hear; use a generated one, such as addition")
        self.task, self.name, self.styles, self.stop, self.max_tokens = (
            task,
            f"{task.name} debated",
            task.styles,
            task.stop,
            task.max_tokens,
        )

    def size(self, split: str) -> int | None:
        """See Task."""
        return self.task.size(split)

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        """See Task. As often as not each answer is right, drawn by itself."""
        found, draws = self.task.problem(index, split, seed, **spec), rng(seed, "debated", split, index)
        said = [self.task.demonstration(found, "trace" if draws.below(2) else CORRUPTED, draws) for _ in range(draws.between(1, MOST))]
        prompt = f"{found.question.prompt}{','.join(s[s.rfind('#') :] for s in said)}?"
        return replace(found, id=digest(prompt).hex(), question=Question(prompt, instruction=found.question.instruction))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        return self.task.verify(problem, reply, rollout)

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        """See Task."""
        return self.task.demonstration(problem, style, rng)
