"""Beam search over steps: several ways to go on from each of the best beginnings, of which again the best are kept.

Xie et al. 2023, "Self-evaluation guided beam search for reasoning" (arXiv:2305.00633). What beginnings have in common is computed once: they
are branches of one context.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, replace
from typing import Any

from ..core.context import Context, Turn
from ..core.errors import EngineError
from ..core.records import Question, Reply
from ..engines.session import Session
from ..tasks.generated import whole
from .best_of_n import confidence
from .scored import MOST, Score, begun, named, rank
from .thinking import reply_of

LIKELIHOOD = "likelihood"
CHAT, PLAIN = ("\n",), ("\n", ";", ",")  # what ends a step: with a chat template, and in the house's notation


@dataclass(frozen=True)
class Path:
    """A beginning of a reply, step by step.

    end     "" while it can go on, "stop" once the model ended it, "length" where there is no more room
    score   what it is ranked by; None: unknown
    """

    context: Context
    turns: tuple[Turn, ...] = ()
    end: str = ""
    score: float | None = None

    @property
    def order(self) -> tuple[bool, float]:
        """What is better is larger: whatever was not cut off, then the higher score."""
        return self.end != "length", rank(self.score)

    def reply(self, model: Session) -> Reply:
        """All steps as one reply; one that has not ended counts as cut off."""
        said = reply_of(model, *self.turns)
        return Reply(said.text, said.truncated or self.end != "stop", {**said.data, "score": self.score})


@dataclass(frozen=True)
class Search:
    """A question with what searches its steps: what ends a step, and a score (None: likelihood)."""

    model: Session
    question: Question
    tools: Any
    ends: tuple[str, ...]
    score: Score | None

    def begun(self, shots: str) -> Path:
        """The empty beginning."""
        return Path(self.model.context(begun(self.model, self.question, shots)))

    async def onward(self, branch: Session, path: Path) -> Path:
        """The beginning with a step more, sampled and scored."""
        return await self._grown(branch, path, self.ends)

    async def finished(self, branch: Session, path: Path) -> Path:
        """The beginning with all that is missing."""
        return await self._grown(branch, path, ())

    async def _grown(self, branch: Session, path: Path, ends: tuple[str, ...]) -> Path:
        sampling = branch.sampling
        room = sampling.max_tokens - sum(t.n for t in path.turns)
        turn = await branch.ask(path.context, room, stop=(*ends, *sampling.stop), temperature=sampling.temperature or 1.0)
        turns = (*path.turns, turn)
        end = turn.ended
        if end == "stop" and has(turn.text, ends) and not has("".join(t.text for t in turns), sampling.stop):
            end = "" if turn.n < room else "length"
        return replace(path, context=path.context + turn, turns=turns, end=end, score=await self.value(branch, turns))

    async def value(self, branch: Session, turns: tuple[Turn, ...]) -> float | None:
        """What a beginning is ranked by: by default the mean log-probability of its tokens, nats."""
        if self.score is not None:
            return await self.score(branch, self.question, reply_of(self.model, *turns), self.tools)
        found = confidence(turns)
        if math.isnan(found):
            raise EngineError("the server gives text and no log-probabilities to rank by; use another score, as in score=grade")
        return found


def has(text: str, parts: tuple[str, ...]) -> bool:
    """Whether one of the parts stands in the text."""
    return any(part in text for part in parts)


def search(model: Session, question: Question, tools: Any, score: str) -> Search:
    """A search by a score's name. Raises UnknownName, InputError."""
    return Search(model, question, tools, PLAIN if model.chat() is None else CHAT, None if score == LIKELIHOOD else named(score, tools))


async def beam(
    model: Session, question: Question, tools: Any = None, width: int = 4, expand: int = 2, score: str = LIKELIHOOD, shots: str = ""
) -> Reply:
    """The best of `width` replies, grown by steps: from each, `expand` ways to go on are sampled; of all, the `width` best are kept.

    score   "likelihood", the mean log-probability of all tokens so far; or "approval", "grade", "verifier", as in `scored`, of each beginning
    shots   as in `scored`

    A step ends with a line, and in the house's notation with "," or ";" as well; all steps together have the room of one reply. Sampled at
    temperature 1 where greedy replies were asked for. Raises as `scored`.
    """
    whole("width", width, 1, MOST)
    whole("expand", expand, 1, MOST)
    looked = search(model, question, tools, score)
    paths, depth = [looked.begun(shots)], 0
    while open_ := [p for p in paths if not p.end]:
        ways = [p for p in open_ for _ in range(expand if depth else width)]
        level = model.branch(depth)
        grown = await asyncio.gather(*(looked.onward(level.branch(i), p) for i, p in enumerate(ways)))
        found = {(p.context, p.end): p for p in [*(p for p in paths if p.end), *grown]}  # the same steps: one beginning
        paths = sorted(found.values(), key=lambda p: p.order, reverse=True)[:width]
        depth += 1
    return paths[0].reply(model)
