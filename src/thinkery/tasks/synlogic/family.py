"""What the families share: a level in, a problem out, and a verifier that looks for faults instead of comparing with one solution."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from ...core.records import Problem, Reply, Rollout, Verdict
from ...core.rng import Stream
from ..base import CORRUPTED
from ..generated import Generated, checked, laid_out, posed, span

PREFIX = "synlogic:"
LEVELS = 4
TRIES = 1000  # changes of an answer before it is called unspoilable


@dataclass(frozen=True)
class Spec:
    """level   1 (easy) to 4, from and to; what it means is the family's"""

    level: tuple[int, int] = (1, 2)

    def __post_init__(self) -> None:
        object.__setattr__(self, "level", span("level", self.level, 1, LEVELS))


@dataclass(frozen=True)
class Made:
    """prompt   what is asked
    answer    a right one, there may be others
    same      what problems have in common that differ in names alone: they fall on one side of a split
    facts     what the verifier reads
    work      steps to the answer; none where an answer is filled in at once
    """

    prompt: str
    answer: str
    same: str
    facts: Any
    work: tuple[str, ...] = ()


class Family(Generated[Spec]):
    """A family of problems. The answer follows the last "#".

    form   matches anything that can be an answer; `what` says it in words
    """

    default = Spec()
    form: ClassVar[re.Pattern[str]]
    what: ClassVar[str]

    @abstractmethod
    def make(self, level: int, stream: Stream) -> Made | None:
        """A problem of that level, or None where the draw came to nothing."""

    @abstractmethod
    def fault(self, facts: Any, answer: str) -> str:
        """What is wrong with an answer that has the form, or ""."""

    @abstractmethod
    def room(self, level: int) -> int:
        """Characters of the longest work and answer of that level."""

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        self.max_tokens = 2 * max(self.room(level) for level in range(self.spec.level[0], self.spec.level[1] + 1)) + 3  # "verbose": twice

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem | None]:
        """See Generated."""
        level = stream.between(*spec.level)
        while True:
            made = self.make(level, stream)
            yield posed(made.prompt, made.answer, made.same, level, (made.facts, made.work)) if made else None

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        facts, _ = problem.data
        return checked(reply, self.form, self.what, lambda tail: self.fault(facts, tail))

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "corrupted" changes one character of the answer, so that a rule is broken."""
        facts, work = problem.data
        answer = self.spoilt(facts, problem.answer, stream) if style == CORRUPTED else problem.answer
        return laid_out(work, answer, style)

    def spoilt(self, facts: Any, answer: str, stream: Stream) -> str:
        """The answer with one character changed for another that occurs in such answers, so that it is wrong and can be read."""
        known = sorted(set("0123456789") if set(answer) & set("0123456789") else set(answer) | set(self.others(facts)))
        for _ in range(TRIES):
            at = stream.below(len(answer))
            wrong = answer[:at] + stream.choice(known) + answer[at + 1 :]
            if self.form.fullmatch(wrong) and self.fault(facts, wrong):
                return wrong
        raise AssertionError(f"no change of {answer} is wrong")

    def others(self, facts: Any) -> str:
        """Characters that answers may have beside those of the right one."""
        return ""


class Only(Family):
    """A family whose problems have one answer, which is all that the verifier needs."""

    def fault(self, facts: Any, answer: str) -> str:
        """See Family."""
        return "" if answer == facts else f"{answer} is not {facts}"


def renamed(text: str, names: str) -> str:
    """The text with the characters in `names` numbered in the order in which they come."""
    seen: dict[str, str] = {}
    return "".join(seen.setdefault(c, chr(ord("A") + len(seen))) if c in names else c for c in text)
