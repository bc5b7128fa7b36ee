"""One shot: ask once, hand in what was written."""

from __future__ import annotations

from typing import Any

from ..core.records import Question, Reply
from ..engines.session import Session


async def single(model: Session, question: Question, tools: Any = None) -> Reply:
    """The reply is the one turn's text."""
    return Reply.of(await model.ask(question))
