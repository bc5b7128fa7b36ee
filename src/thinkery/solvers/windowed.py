"""Reading through a window: a few characters of the prompt at a time, and a note after each that is all one keeps of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..core.records import Question, Reply
from ..engines.session import Session
from ..tasks.noted import END, pieces
from .thinking import reply_of

JOIN = "|"  # between the note and what is read next
ROOM = 8  # tokens of a note, its END included


async def windowed(model: Session, question: Question, tools: Any = None, window: int = 16, keeps: bool = True) -> Reply:
    """The reply is what is written after the last piece. A note goes up to END or as far as there is room; unless `keeps`, it is lost."""
    *first, last = pieces(question.prompt, window) or [""]
    note = ""
    for piece in first:
        turn = await model.ask(replace(question, prompt=f"{note}{JOIN}{piece}"), ROOM, stop=(END,))
        note = turn.text.removesuffix(END) if keeps else ""
    return reply_of(model, await model.ask(replace(question, prompt=f"{note}{JOIN}{last}")))
