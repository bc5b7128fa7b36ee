"""What a model must know before it can answer several questions: the form of one turn, and how to read off facts what is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..core.records import Problem, Question, Reply, Rollout, Verdict
from ..core.rng import Stream, rng
from .base import Task, digest
from .logic import LETTERS
from .objectives import BETWEEN, MEMORY, QUERIES, Facts, Objectives, before, follows, turns

LEFT = 99  # turns at most


class Recited(Task):
    """Problem i is a turn of the task's problem i, its prompt being what stands before that turn: of one half of all the last memory and what
    was found, of the others all queries and all that was found. How many turns are left is drawn, so that nothing is read off it,
    and how many facts stand beside, up to what the task has.
    Demonstrations are of the style "trace", and say the turn.
    """

    styles = ("trace",)

    def __init__(self, task: Objectives) -> None:
        self.task, self.name, self.max_tokens = task, f"{task.name} recited", task.max_tokens

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        """See Task."""
        found, stream = self.task.problem(index, split, seed, **spec), rng(seed, "recited", split, index)
        forgets = bool(stream.below(2))
        said = turns(found, MEMORY if forgets else QUERIES)
        world, beside = found.data
        at, facts, so_far = stream.below(len(said)), Facts(world, stream.between(0, beside), found.id), ""
        left = stream.between(len(said) - at, LEFT)
        for i, turn in enumerate(said[:at]):
            so_far = follows(so_far, left + at - i, turn, facts.find(turn[-3:-1]), forgets)
        prompt = found.question.prompt + before(left, so_far)
        return replace(found, id=digest(prompt).hex(), question=replace(found.question, prompt=prompt), answer=said[at])

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task: 1 for the turn itself."""
        return said_so(problem, reply)

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        """See Task."""
        return problem.answer


class Told(Task):
    """Prompt `k2;b3\nqb,am,fk\n7?`, reply `kf;bq`: as the end of a reply to `objectives`, but all that is asked about is told at once, up to
    `most` facts. It makes a model look where a letter stood before, which it learns slowly from a fact or two at a time.
    """

    styles = ("trace",)
    name = "told"

    def __init__(self, most: int = 8) -> None:
        self.most, self.max_tokens = most, 3 * most

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        """See Task."""
        stream = rng(seed, "task", self.name, split, index)
        facts = [thing + stream.choice(LETTERS) for thing in stream.shuffle(list(LETTERS))[: stream.between(2, self.most)]]
        asked, answer = BETWEEN.join(f"{fact[0]}{stream.between(1, 4)}" for fact in facts), BETWEEN.join(facts)
        prompt = asked + before(stream.between(1, LEFT), ",".join(fact[::-1] for fact in stream.shuffle(facts)) + "\n")
        return Problem(digest(prompt).hex(), Question(prompt), answer)

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        return said_so(problem, reply)

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        """See Task."""
        return problem.answer


def said_so(problem: Problem, reply: Reply) -> Verdict:
    """1 for a reply that is the answer."""
    right = not reply.truncated and reply.text == problem.answer
    return Verdict(float(right), reply.text, reason="right" if right else f"not {problem.answer}")
