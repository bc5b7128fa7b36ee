"""One shot: ask once, hand in what was written."""

from __future__ import annotations

from typing import Any

from ..core.records import Question, Reply
from ..engines.session import Session
from .thinking import reply_of


async def single(model: Session, question: Question, tools: Any = None) -> Reply:
    """The reply is the one turn's text, without the thought where the model's template knows thoughts."""
    return reply_of(model, await model.ask(question))
