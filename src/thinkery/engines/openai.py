"""Models behind any OpenAI-compatible server (chat completions): to be measured, not trained, since text alone comes back.

A context is text: its tokens are UTF-8 bytes, and a byte more that closes each reply. What the model wrote becomes messages of the
assistant, everything else messages of the user.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.context import Context, Ids, Turn
from ..core.errors import BadConfig, BudgetSpent, EngineError
from ..core.records import Question
from .base import check_begun, check_setting
from .remote import AT_ONCE, Call, Garbled, Remote, Server, seed_of
from .work import Answer

END = 256  # closes a reply


Completion = tuple[str, str, dict[str, int]]  # text, how it ended, what it adds to the bill


class Bytes:
    """The codec of a model whose tokenizer is not here: ids are UTF-8 bytes, `end` closes a reply."""

    start: Ids = ()
    end = END
    chat = None  # its template stands on the server
    ends = frozenset({END})
    size = 257

    def encode(self, text: str) -> Ids:
        return tuple(text.encode("utf-8", "replace"))

    def decode(self, ids: Ids) -> str:
        return bytes(i for i in ids if i < END).decode("utf-8", "replace")

    def same(self, other: object) -> bool:
        """Whether another codec gives the same tokens."""
        return isinstance(other, Bytes)


class Served:
    """A model that only its server has."""

    def __init__(self, name: str) -> None:
        self.name, self.tokenizer = name, Bytes()

    @property
    def writer(self) -> tuple[str, int]:
        return self.name, 0

    def context(self, root: Context, x: str | Question | Context) -> Context:
        """A question's prompt as the first message, how to answer it below."""
        if isinstance(x, Context):
            return x
        return root + (x if isinstance(x, str) else f"{x.prompt}\n\n{x.instruction}" if x.instruction else x.prompt)


def messages(context: Context) -> list[dict[str, str]]:
    """A context as chat messages: what ends in the end byte is the assistant's, runs of other text are the user's."""
    segments = [c.segment for c in context.chain() if c.segment]
    out = []
    for reply, group in groupby(segments, key=lambda s: s[-1] == END):
        parts = list(group)
        texts = [context.codec.decode(p) for p in parts] if reply else [context.codec.decode(tuple(b for p in parts for b in p))]
        out += [{"role": "assistant" if reply else "user", "content": text} for text in texts]
    return out


class OpenAIEngine(Remote):
    """Asks a chat server; satisfies `Engine`.

    served   the model's name there; None: the only one that the server lists
    system   a message before every conversation
    stats    asks, tokens and prompt_tokens as the server bills them, unbilled (replies without a bill), cancelled
    budget   tokens that may be billed, prompts included, before further asks raise BudgetSpent; those under way come to their end
    spent    tokens billed since it was made
    """

    def __init__(
        self,
        url: str,
        served: str | None = None,
        system: str = "",
        at_once: int = AT_ONCE,
        server: Server | None = None,
        budget: int | None = None,
    ) -> None:
        server = server or Server(url)
        super().__init__(server, Served(served or _only(server)), at_once)
        self.budget, self.spent = budget, 0
        self.first = [{"role": "system", "content": system}] if system else []
        self.limit = "max_tokens"

    def reset(self) -> None:
        """A new step."""
        self.begin()

    def ask(
        self,
        context: Context,
        max_tokens: int,
        stop: tuple[str, ...],
        temperature: float,
        top_p: float,
        top_k: int,
        role: str,
        place: tuple[int, int, int],
    ) -> Answer:
        """A turn written after `context`, in due time; its log-probabilities are not known (nan). Raises InputError.

        Stop strings are looked for here: a server does not say which one it met, nor give its text.
        """
        check_setting(max_tokens, temperature, top_p, top_k)
        check_begun(context)
        body: dict[str, Any] = {"model": self.model.name, "messages": self.first + messages(context), "temperature": temperature}
        body |= {"top_p": top_p, "seed": seed_of(context, place)} | ({"top_k": top_k} if top_k else {})

        def work(call: Call) -> tuple[Turn, dict[str, int]]:
            if self.budget is not None and self.spent >= self.budget:
                raise BudgetSpent(f"{self.spent:,} tokens are billed, of {self.budget:,} allowed")
            text, ended, counted = self._complete(body, max_tokens, call)
            with self.lock:
                self.spent += counted.get("tokens", 0) + counted.get("prompt_tokens", 0)
            cut = min((text.index(s) + len(s) for s in stop if s in text), default=None)
            text, ended = (text, ended) if cut is None else (text[:cut], "stop")
            ids = (*context.codec.encode(text), END)
            return Turn(context, role, self.model.writer, temperature, ended, ids, np.full(len(ids), np.nan, np.float32)), counted

        return self.submit(work)

    def _complete(self, body: dict[str, Any], max_tokens: int, call: Call) -> Completion:
        try:
            return self._call(body | {self.limit: max_tokens}, call)
        except EngineError as error:
            if "max_completion_tokens" not in str(error) or self.limit != "max_tokens":
                raise
            self.limit = "max_completion_tokens"  # the name that newer models of OpenAI insist on
            return self._call(body | {self.limit: max_tokens}, call)

    def _call(self, body: dict[str, Any], call: Call) -> Completion:
        found: Completion = self.server.call("/v1/chat/completions", body, call, partial(reply_of, where=self.server.url))
        return found

    def check_prompt(self, context: Context, tokens: int = 0) -> None:
        """Raises InputError for an empty context; how much fits, the server alone knows."""
        check_begun(context)

    def score(self, context: Context, ids: Sequence[int]) -> NDArray[np.float32]:
        """Raises EngineError: there are no log-probabilities."""
        self._lacks()

    def look(self, context: Context, what: Sequence[str]) -> dict[str, torch.Tensor]:
        """Raises EngineError: nothing inside the model is seen."""
        self._lacks()

    def _lacks(self) -> NoReturn:
        raise EngineError(
            f"{self.model.name} at {self.server.url} gives text and no log-probabilities; load the model here, or use --engine vllm"
        )


def reply_of(found: Any, where: str) -> Completion:
    """The text of a completion, how it ended, and what it adds to the bill. Raises Garbled for what is none, EngineError where it was broken off."""
    try:
        choice, usage = found["choices"][0], found.get("usage") or {}
        text, reason = choice["message"].get("content"), choice.get("finish_reason")
        counted = {name: int(usage.get(kind) or 0) for name, kind in (("tokens", "completion_tokens"), ("prompt_tokens", "prompt_tokens"))}
        if not isinstance(text, str | None) or not isinstance(reason, str) or min(counted.values()) < 0:
            raise TypeError
    except (TypeError, KeyError, IndexError, AttributeError, ValueError, OverflowError) as error:
        raise Garbled(f"{where} answered with something that is no chat completion: {str(found)[:120]}") from error
    if reason not in ("stop", "length"):
        raise EngineError(f"{where} broke a reply off: finish_reason {reason!r}")
    return text or "", reason, counted if "completion_tokens" in usage else {"unbilled": 1}


def _only(server: Server) -> str:
    """The name of the one model that a server lists. Raises BadConfig where there is no such."""
    listed = server.call("/v1/models")
    try:
        names = [str(m["id"]) for m in listed["data"]]
    except (TypeError, KeyError) as error:
        raise BadConfig(f"{server.url} does not say which models it serves; name one with --served") from error
    if len(names) != 1:
        raise BadConfig(f"{server.url} serves {', '.join(names) or 'no model'}; name one with --served")
    return names[0]
