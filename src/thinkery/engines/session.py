"""What a solver calls `model`: one rollout's asks, addressed and recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.context import Context, Ids, Turn
from ..core.errors import EngineError
from ..core.records import Question
from ..core.rng import Stream, address, name_hash
from ..models.chat import Chat
from .base import Engine


@dataclass(frozen=True)
class Sampling:
    """How asks draw unless they say otherwise. temperature 0 is greedy; top_k 0 and top_p 1 cut nothing."""

    max_tokens: int = 64
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    stop: tuple[str, ...] = ()


class Session:
    """One rollout's view of the cast.

    Draws are addressed by (base, branch path, context, role, how often this was asked in this branch), so neither the timing of
    tools nor other rollouts change them. Work that runs concurrently goes through `branch(i)`.

    script   what the model is to write, in order: asks of the trunk recite it instead of sampling, each up to its stop string or
             else to the end. So a demonstration runs through the solver itself, and tool text stays context.
    """

    __slots__ = ("_asked", "_branches", "_nth", "base", "cast", "engine", "sampling", "script")

    def __init__(
        self, engine: Engine, base: int, sampling: Sampling, cast: Mapping[str, Engine] | None = None, script: str | None = None
    ) -> None:
        self.engine, self.base, self.sampling, self.cast, self.script = engine, base, sampling, cast, script
        self._nth: dict[tuple[int, int], int] = {}
        self._asked: list[Any] = []
        self._branches: dict[int, Session] = {}

    def _of(self, role: str) -> Engine:
        return self.engine if self.cast is None else self.cast.get(role, self.engine)

    def context(self, x: str | Question | Context, role: str = "policy") -> Context:
        """A question or text as the start of a context of its own."""
        engine = self._of(role)
        return engine.model.context(engine.root, x)

    def chat(self, role: str = "policy") -> Chat | None:
        """How the role's model puts messages; None: it has no chat template."""
        chat: Chat | None = self._of(role).model.tokenizer.chat
        return chat

    def follow(self, context: Context, text: str, author: str = "user", role: str = "policy") -> Context:
        """A context that ends in a turn, with the next message: a user's or a tool's. Plain text where there is no chat template."""
        chat = self.chat(role)
        return context + (text if chat is None else chat.follow(context.ids, [{"role": author, "content": text}]))

    def ask(
        self,
        context: str | Question | Context,
        max_tokens: int | None = None,
        stop: Sequence[str] | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        role: str = "policy",
    ) -> Awaitable[Turn]:
        """Have `role` write after the context: an awaitable Turn."""
        s, engine = self.sampling, self.engine if self.cast is None else self._of(role)
        if self.script is not None:
            return self._recite(context, s.stop if stop is None else tuple(stop), role)
        model = engine.model
        place = context if type(context) is Context else model.context(engine.root, context)
        if place.codec is not model.tokenizer and not model.tokenizer.same(place.codec):
            raise EngineError(
                f"the context was written for another tokenizer than that of {role!r}: start from model.context(text, role={role!r})"
            )
        kind = name_hash(role)
        key = (place.hash, kind)
        nth = self._nth.get(key, 0)
        self._nth[key] = nth + 1
        answer = engine.ask(
            place,
            s.max_tokens if max_tokens is None else max_tokens,
            s.stop if stop is None else tuple(stop),
            s.temperature if temperature is None else temperature,
            s.top_p if top_p is None else top_p,
            s.top_k if top_k is None else top_k,
            role,
            (self.base, kind, nth),
        )
        self._asked.append(answer)
        return answer

    def say(
        self,
        context: str | Question | Context,
        text: str | Ids,
        role: str = "policy",
        end: bool = True,
        weight: float | NDArray[np.float32] = 1.0,
    ) -> Turn:
        """Record `text` (or tokens) as written by `role`, with the end token unless `end` is False: forced output, for supervision.

        weight: one number, or one for each token, by which supervised losses count it.
        """
        engine = self._of(role)
        place = self.context(context, role)
        ids = engine.model.tokenizer.encode(text) if isinstance(text, str) else text
        ids += (engine.model.tokenizer.end,) if end else ()
        engine.check_prompt(place, len(ids))
        weights = np.broadcast_to(np.asarray(weight, np.float32), (len(ids),))
        turn = Turn(place, role, engine.model.writer, 1.0, "said", ids, None, weights)
        self._asked.append(turn)
        return turn

    def _recite(self, context: str | Question | Context, stop: tuple[str, ...], role: str) -> Awaitable[Turn]:
        """The next piece of the script as a forced turn. It is an answer: a thought that the chat template opens is closed first."""
        assert self.script is not None
        ends = [self.script.index(s) + len(s) for s in stop if s in self.script]
        cut = min(ends, default=len(self.script))
        piece, self.script = self.script[:cut], self.script[cut:]
        answer = asyncio.get_running_loop().create_future()
        place, chat, ids = self.context(context, role), self.chat(role), self._of(role).model.tokenizer.encode(piece)
        if chat is not None and chat.thought_open(place.ids):
            ids = chat.thought_end + ids
        answer.set_result(self.say(place, ids, role, end=not ends))
        return answer

    def score(self, context: str | Question | Context, text: str, role: str = "policy") -> NDArray[np.float32]:
        """Log-probability of each token of `text` after the context, in nats, float32 [n]. Not recorded."""
        engine = self._of(role)
        return engine.score(self.context(context, role), engine.model.tokenizer.encode(text))

    def look(self, context: str | Question | Context, what: Sequence[str], role: str = "policy") -> dict[str, torch.Tensor]:
        """Values inside the model over a context: "hidden" [n, D], "logprobs" [n, V], the last position's "attention" [layers, n].

        Raises EngineError for what it lacks.
        """
        return self._of(role).look(self.context(context, role), what)

    def branch(self, i: int) -> Session:
        """A child with its own address and its own place in the record: one for each concurrent piece of work."""
        found = self._branches.get(i)
        if found is None:
            found = self._branches[i] = Session(self.engine, address(self.base, "branch", i), self.sampling, self.cast)
        return found

    def rng(self, *parts: int | str) -> Stream:
        """Draws of the solver's own, addressed within this branch."""
        return Stream(address(self.base, "solver", *parts))

    def close(self) -> list[Turn]:
        """What was written: the trunk in the order asked, then each branch; without asks that never came back.

        What is still being written is cancelled: how far it came by the end of the others' work would depend on them.
        """
        turns: list[Turn] = []
        for asked in self._asked:
            turn = asked if type(asked) is Turn else asked.turn
            if turn is None:
                asked.cancel()
            else:
                turns.append(turn)
        for i in sorted(self._branches):
            turns += self._branches[i].close()
        return turns
