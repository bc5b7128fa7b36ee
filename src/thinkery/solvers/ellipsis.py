"""A thought begun with an ellipsis, which the model may close at once or go on with (Tu et al. 2025, AutoThink)."""

from __future__ import annotations

from typing import Any

from ..core.errors import InputError
from ..core.records import Question, Reply
from ..engines.session import Session
from ..tasks.elided import MARK
from .thinking import reply_of

DOTS = "...\n"
ANSWER = "#"  # begins the answer where there is no chat template


async def ellipsis(model: Session, question: Question, tools: Any = None) -> Reply:
    """The reply to a thought that is begun, as context; `data["think"]`: whether it was gone on with, None for a reply that was cut off.

    Without a chat template the context is MARK, and work is what stands before "#". Raises InputError for a template that knows no thoughts.
    """
    chat, context = model.chat(), model.context(question)
    if chat is None:
        turn = await model.ask(context + MARK)
        cut = turn.ended == "length"
        return Reply(turn.text, cut, {"think": None if cut else bool(turn.text.rpartition(ANSWER)[0].strip())})
    if chat.thinks is None:
        raise InputError("the solver 'ellipsis' needs a model whose chat template knows thoughts; use the solver 'single'")
    opener = "" if chat.thought_open(context.ids) else f"{chat.thinks.tags[0]}\n"
    context += chat.controls.encode(opener + DOTS)
    turn = await model.ask(context)
    said = reply_of(model, turn)
    return Reply(said.text, said.truncated, {**said.data, "think": None if said.truncated else bool(said.data["thought"])})
