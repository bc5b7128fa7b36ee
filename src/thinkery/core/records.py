"""The records that everything passes around: Question, Problem, Reply, Verdict, Rollout, Card.

Those made for every rollout are msgspec structs, which cost a sixth of a dataclass to make.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from .context import Turn

CALLS = "calls"  # where a reply keeps what its solver asked of tools (`tools.tool.Toolbox.record`)


@dataclass(frozen=True, slots=True)
class Question:
    """What a solver may see of a problem: the prompt, and whatever else the task shows. Never the answer.

    instruction   how to work and to answer; only models with a chat template are told
    """

    prompt: str
    shown: Mapping[str, Any] = field(default_factory=dict)
    instruction: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem.

    id           unique within its task, stable between runs
    answer       the gold answer as text; a reply that says just this scores 1. Empty: only the verifier knows what is right
    family       what must not stand on both sides of a split (a template, a set of entities, a range)
    difficulty   larger is harder; the task says what it counts
    data         what only the task itself may see (for its verifier and its demonstrations)
    """

    id: str
    question: Question
    answer: str
    family: str = ""
    difficulty: float = 0.0
    data: Any = None


class Reply(msgspec.Struct, frozen=True):
    """What a solver hands in. `truncated` says that a token limit cut it off."""

    text: str
    truncated: bool = False
    data: Mapping[str, Any] = msgspec.field(default_factory=dict)

    @classmethod
    def of(cls, turn: Turn) -> Reply:
        """A turn's text as the reply."""
        return cls(turn.text, turn.ended == "length")


class Verdict(msgspec.Struct, frozen=True):
    """What a verifier found: a score in [0, 1], the answer it read (None: unparsable), named parts, a reason in words."""

    score: float
    parsed: str | None = None
    parts: Mapping[str, float] = msgspec.field(default_factory=dict)
    reason: str = ""


class Rollout(msgspec.Struct):
    """One sample of one problem: every token that was written, and what came of it. The one record of training, evaluation and traces.

    index        the problem's index in its split; `k` numbers the samples of one problem in one step
    turns        trunk first, then each branch, in the order they were asked
    reply        what the solver handed in; None when `error` says why not
    verdict      None until a reward or metric asks for it
    rewards      named parts, filled by the stage's reward
    """

    step: int
    index: int
    k: int
    problem: Problem
    turns: list[Turn] = msgspec.field(default_factory=list)
    reply: Reply | None = None
    verdict: Verdict | None = None
    rewards: dict[str, float] = msgspec.field(default_factory=dict)
    error: str | None = None

    @property
    def calls(self) -> list[Mapping[str, str]]:
        """The tool calls in order, each with tool, arguments, text and error ("" if it was answered), as far as the solver records them."""
        return list(self.reply.data.get(CALLS, ())) if self.reply is not None else []

    @property
    def tokens(self) -> int:
        """Tokens sampled (forced ones do not count)."""
        return sum([len(t._ids) for t in self.turns if not t.forced])


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a method is: read by AST, so listing needs no import. All values are literals.

    id           the file's name; `number` is the paper's in the catalogue, None for baselines
    family       where the novelty sits: objectives, tasks, agents, …
    changes      the slots of the default recipe that the method replaces
    """

    id: str
    family: str
    title: str
    changes: tuple[str, ...]
    number: int | None = None
    year: int | None = None
    paper: str = ""
