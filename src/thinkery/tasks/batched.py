"""Several questions in one prompt: one question in its company, a whole prompt of them, and chains to be graded by how they came about.

A chain is what a reply says to one question. In company a model says less to each, above all to the easy ones; these tasks pose what it takes to
measure that on any model, and write worked replies in which it is so by construction, for models that are too small to show it by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..core.errors import BadConfig
from ..core.records import Problem, Question, Reply, Rollout, Verdict
from ..core.rng import Stream, rng
from .base import CORRUPTED, Task, check_style, digest
from .generated import Generated, judged, whole
from .rechecked import Rechecked

BETWEEN = "||"  # chains in one reply, and questions in one prompt
ORDER = f'Answer each of the questions, in order, and separate the replies with "{BETWEEN}".'
MOST = 16  # questions in one prompt

CONCISE, VERBOSE, WRONG = "a", "b", "c"
LABEL = re.compile(f"[{CONCISE}{VERBOSE}{WRONG}]")
GRADE = (
    f"Grade this reply: {CONCISE} if it is right and says no more than it needs, {VERBOSE} if it is right and says more, {WRONG} if it is wrong. "
    f'Check it. End with "#" and the letter.'
)


def chains(text: str, n: int, truncated: bool = False) -> list[str | None]:
    """The chain of each of n questions in a reply; None for one that is missing, empty or cut off, and for all if there are more than n."""
    pieces: list[str | None] = [piece.strip() or None for piece in text.split(BETWEEN)]
    if len(pieces) > n:
        return [None] * n
    if truncated:
        pieces[-1] = None
    return pieces + [None] * (n - len(pieces))


def together(questions: Sequence[Question]) -> Question:
    """Several questions as one prompt."""
    return Question(BETWEEN.join(q.prompt for q in questions), instruction=f"{questions[0].instruction} {ORDER}".strip())


def grade_of(question: Question, chain: str) -> Question:
    """The question which label a chain deserves."""
    return Question(f"{question.prompt}{chain}?", instruction=GRADE)


class Batched(Task):
    """A house task's questions, alone as `Rechecked` has them. With the difficulty key `batch` = m a question is shown the company it comes in.

    Problem i is the same with and without. `shown` then holds the prompt of all m ("batch"), how many these are ("of") and which it is ("place"),
    and what a chain to be graded is drawn from ("company"), a coin. Verdicts have the part "hard" where difficulty is at least `hard`.
    """

    def __init__(self, task: Generated[Any], hard: float) -> None:
        if BETWEEN in task.instruction:
            raise BadConfig(f"the task {task.name!r} uses {BETWEEN!r}, which separates questions here")
        self.task, self.hard, self.alone = task, hard, Rechecked(task)
        self.name, self.styles, self.stop, self.max_tokens = f"{task.name} batched", self.alone.styles, task.stop, self.alone.max_tokens

    def size(self, split: str) -> int | None:
        """See Task."""
        return self.task.size(split)

    def problem(self, index: int, split: str = "train", seed: int = 0, batch: int = 1, **spec: Any) -> Problem:
        """See Task."""
        whole("batch", batch, 1, MOST)
        asked = self.task.problem(index, split, seed, **spec)
        if batch == 1:
            return asked
        first, place = index - index % batch, index % batch
        batched = together([self.task.problem(i, split, seed, **spec).question for i in range(first, first + batch)])
        shown = {"batch": batched, "of": batch, "place": place, "company": rng(seed, "batched", split, index).below(2) == 1}
        q = asked.question
        return Problem(asked.id, Question(q.prompt, shown, q.instruction), asked.answer, asked.family, asked.difficulty, asked.data)

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        found = self.task.verify(problem, reply, rollout)
        return Verdict(found.score, found.parsed, {"hard": found.score} if problem.difficulty >= self.hard else {}, found.reason)

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        """See Task."""
        return self.alone.demonstration(problem, style, rng)

    def in_company(self, problem: Problem, style: str, rng: Stream) -> str:
        """A worked chain as it is in company: the work once, and once more where the question is hard."""
        work, _, answer = self.task.demonstration(problem, style, rng).rpartition("#")
        return ";".join([work] * (1 + (bool(work) and problem.difficulty >= self.hard))) + "#" + answer


class Several(Task):
    """Prompt `3+4=||7*2-9=`, reply `3+4:7#7||7*2:4,4-9:5#5`: m questions of a batched task in one prompt. The score is the share that is right."""

    def __init__(self, task: Batched, m: int) -> None:
        whole("m", m, 2, MOST)
        self.task, self.m = task, m
        self.name, self.styles = f"{m} of {task.name}", task.styles
        self.max_tokens = m * (task.max_tokens + len(BETWEEN))

    def size(self, split: str) -> int | None:
        """See Task."""
        found = self.task.size(split)
        return None if found is None else found // self.m

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        """See Task. Family and difficulty are those of the hardest question."""
        inner = [self.task.problem(i, split, seed, **spec) for i in range(index * self.m, (index + 1) * self.m)]
        question, hardest = together([p.question for p in inner]), max(inner, key=lambda p: p.difficulty)
        answer = BETWEEN.join(p.answer for p in inner)
        return Problem(digest(question.prompt).hex(), question, answer, hardest.family, hardest.difficulty, inner)

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        found = [None if c is None else self.task.verify(p, Reply(c)) for p, c in self._said(problem, reply)]
        right = [v is not None and v.score >= 1 for v in found]
        parsed = BETWEEN.join("" if v is None or v.parsed is None else v.parsed for v in found)
        return Verdict(sum(right) / self.m, parsed if any(found) else None, reason=f"{sum(right)} of {self.m} right")

    def _said(self, problem: Problem, reply: Reply) -> list[tuple[Problem, str | None]]:
        return list(zip(problem.data, chains(reply.text, self.m, reply.truncated)))

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        """See Task."""
        return BETWEEN.join(self.task.in_company(p, style, rng) for p in problem.data)


class Graded(Task):
    """Prompt `3+4=3+4:7;3+4:7#7?`, reply `3+4:7:7#b`: a worked chain of a batched task, and which label it deserves, worked anew.

    As often a chain in company as one alone, half of each wrong: neither length nor provenance gives "c" away. Where a right chain in company is no
    shorter than one alone may be, the label is what it came from, as it is for a model's own chains.
    """

    def __init__(self, task: Batched) -> None:
        self.task, self.name, self.styles = task, f"{task.name} graded", ("trace", "direct", CORRUPTED)
        self.max_tokens = task.task.max_tokens + len(f":#{WRONG}") + 1

    def size(self, split: str) -> int | None:
        """See Task."""
        found = self.task.size(split)
        return None if found is None else 4 * found

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        """See Task: four problems for each question, in any order."""
        asked = self.task.problem(index // 4, split, seed, **spec)
        draws = rng(seed, "graded", split, index // 4)
        kinds = [(style, company) for style in ("trace", CORRUPTED) for company in (False, True)]
        draws.shuffle(kinds)
        style, company = kinds[index % 4]
        chain = self._chain(asked, style, company, draws)
        label = WRONG if style == CORRUPTED else CONCISE if company else VERBOSE
        question = grade_of(asked.question, chain)
        return Problem(digest(question.prompt).hex(), question, label, asked.family, asked.difficulty, asked)

    def _chain(self, problem: Problem, style: str, company: bool, rng: Stream) -> str:
        return self.task.in_company(problem, style, rng) if company else self.task.demonstration(problem, style, rng)

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        return judged(reply, problem.answer, LABEL, f"{CONCISE}, {VERBOSE} or {WRONG}")

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        """See Task. "corrupted" comes to another label."""
        check_style(self, style)
        others = [x for x in (CONCISE, VERBOSE, WRONG) if x != problem.answer]
        label = others[rng.below(2)] if style == CORRUPTED else problem.answer
        if style == "direct":
            return f"#{label}"
        return f"{self.task.task.demonstration(problem.data, 'trace', rng).replace('#', ':')}#{label}"
