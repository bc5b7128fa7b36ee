"""Engine: what sessions, collecting and the loop need of whatever writes tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.context import Context
from ..core.errors import InputError, PromptTooLong
from ..core.records import Question
from .tree import Tree
from .work import Answer, Decoding


class Writer(Protocol):
    """Who an engine writes for: a Model, or what stands for one that only a server has."""

    name: str
    tokenizer: Any

    @property
    def writer(self) -> tuple[str, int]: ...
    def context(self, root: Context, x: str | Question | Context) -> Context: ...


class Engine(Decoding, Protocol):
    """Decodes for any number of concurrent asks.

    root, tree   where this step's contexts begin, and their tokens as nodes; `reset` makes them anew with the weights as they are now
    busy, step   whether a decode step would do anything, and one such step; an engine whose work is done elsewhere is never busy
    stats        counters since the last reset: asks, tokens, cancelled, and what else there is to count
    """

    model: Any
    root: Context
    tree: Tree
    stats: dict[str, int]

    def reset(self) -> None: ...
    def drop(self, answer: Answer) -> None: ...
    def check_prompt(self, context: Context, tokens: int = 0) -> None: ...
    def score(self, context: Context, ids: Sequence[int]) -> NDArray[np.float32]: ...
    def look(self, context: Context, what: Sequence[str]) -> dict[str, torch.Tensor]: ...

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
    ) -> Answer: ...


def check_setting(max_tokens: int, temperature: float, top_p: float, top_k: int) -> None:
    """Raises InputError for a setting out of range."""
    for name, value, fits, range_ in (
        ("max_tokens", max_tokens, max_tokens >= 1, "at least 1"),
        ("temperature", temperature, 0 <= temperature < np.inf, "0 (greedy) or positive"),
        ("top_p", top_p, 0 < top_p <= 1, "above 0 and at most 1"),
        ("top_k", top_k, top_k >= 0, "0 (no limit) or positive"),
    ):
        if not fits:
            raise InputError(f"{name} is {value}; it must be {range_}")


def check_begun(context: Context) -> None:
    """Raises InputError for a context without tokens."""
    if not context.n:
        raise InputError("the prompt is empty and the model has no begin token, so there is nothing to continue: give it some text")


def too_long(context: Context, holds: int) -> PromptTooLong:
    """The error of a prompt after which nothing fits in a model that holds so many tokens."""
    return PromptTooLong(
        f"the prompt has {context.n} tokens, the model's context holds {holds}: "
        f"shorten the prompt or use a model with a longer context ({context.text[:60]!r}…)"
    )
