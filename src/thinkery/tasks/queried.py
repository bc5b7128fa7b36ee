"""The turns of replies that ask a database on the way, each as a problem of its own: what comes back is never learnt to be said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream, rng
from ..tools.small_sql import SmallDatabase
from .base import Task, digest
from .databases import BEGIN, END, Databases, given

ANSWERS = 0.6  # of the turns of replies that look; they are harder than queries


class Queried(Task):
    """Problem i is a turn of the task's problem i: of a share of them, `looking`, one that asks the database, or more often the answer when
    all is asked, the prompt being followed by what was asked before and what came back; of the others the answer, at once. Demonstrations
    are of the style "trace", and say the turn.
    """

    styles = ("trace",)

    def __init__(self, task: Databases, looking: float) -> None:
        self.task, self.looking, self.name, self.max_tokens = task, looking, f"{task.name} queried", task.max_tokens

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        """See Task."""
        found, stream = self.task.problem(index, split, seed, **spec), rng(seed, "queried", split, index)
        facts, before = found.data, ""
        turns = [*(f"{BEGIN}{look}{END}" for look in facts.looks), f"#{found.answer}"]
        at, last = len(turns), len(turns) - 1
        if stream.random() < self.looking:
            at = last if stream.random() < ANSWERS else stream.below(last)
        for turn, look in zip(turns[:at], facts.looks) if at < len(turns) else ():
            before += turn + given(*SmallDatabase(facts.statements).asked(look))
        prompt = found.question.prompt + before
        said = turns[min(at, last)]
        return replace(found, id=digest(prompt + said).hex(), question=replace(found.question, prompt=prompt), data=(facts, said))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task: as the task verifies an answer."""
        return self.task.verify(replace(problem, data=problem.data[0]), reply, rollout)

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        """See Task."""
        said: str = problem.data[1]
        return said
