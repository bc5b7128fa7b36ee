"""Judging as a task of its own: is this reply right? The one who judges never sees the gold answer."""

from __future__ import annotations

import re
from typing import Any

from ..core.errors import BadConfig
from ..core.records import Problem, Question, Reply, Rollout, Verdict
from ..core.rng import Stream, rng
from .base import CORRUPTED, Task, check_style, digest
from .generated import Generated, judged

RIGHT, WRONG = "right", "wrong"
LABEL = re.compile(f"{RIGHT}|{WRONG}")
STYLES = ("trace", "direct", CORRUPTED)
ASKED = 'Is this reply right? Check it. End with "#right" or "#wrong".'


class Judging(Task):
    """Prompt `123+456=#578?`, reply `3+6+0:9,2+5+0:7,1+4+0:5:579#wrong`: another task's question with a reply to it, worked anew and compared.

    Of every question a right reply and a wrong one are judged, so a label by itself tells nothing. A wrong one is what the task's corrupted
    worked reply ends in, which is a near miss; `work` shows the work, too. Family and difficulty are the question's.
    """

    styles = STYLES

    def __init__(self, task: Generated[Any], work: bool = False) -> None:
        if CORRUPTED not in task.styles or "trace" not in task.styles:
            raise BadConfig(f"the task {task.name!r} has no right and wrong worked replies to judge; use a generated one, such as addition")
        self.task, self.work, self.name = task, work, f"{task.name} judged"
        self.max_tokens = task.max_tokens + len(f":#{WRONG}") + 1

    def size(self, split: str) -> int | None:
        """See Task."""
        found = self.task.size(split)
        return None if found is None else 2 * found

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        """See Task: two problems for each question."""
        inner = self.task.problem(index // 2, split, seed, **spec)
        draws = rng(seed, "judging", split, index // 2)
        right = draws.below(2) == index % 2  # which of the two comes first is a coin
        reply = self.task.demonstration(inner, "trace" if right else CORRUPTED, draws)
        prompt = f"{inner.question.prompt}{reply if self.work else reply[reply.rfind('#') :]}?"
        label = RIGHT if right else WRONG
        return Problem(digest(prompt).hex(), Question(prompt, instruction=ASKED), label, inner.family, inner.difficulty, inner)

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        return judged(reply, problem.answer, LABEL, f"{RIGHT} or {WRONG}")

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        """See Task. "corrupted" comes to the other verdict."""
        check_style(self, style)
        label = problem.answer if style != CORRUPTED else WRONG if problem.answer == RIGHT else RIGHT
        if style == "direct":
            return f"#{label}"
        return f"{self.task.demonstration(problem.data, 'trace', rng).replace('#', ':')}#{label}"


def asked_of(question: Question, reply: str) -> Question:
    """The question whether a reply is right, as the task puts it."""
    return Question(f"{question.prompt}{reply[reply.rfind('#') :] if '#' in reply else reply}?", instruction=ASKED)


def approves(reply: str) -> bool | None:
    """What a judge's reply says; None where it cannot be read."""
    tail = reply[reply.rfind("#") + 1 :].strip()
    return {RIGHT: True, WRONG: False}.get(tail)
