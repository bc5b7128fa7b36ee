"""Thoughts apart from answers, and thinking within a budget of tokens."""

from __future__ import annotations

from typing import Any

from ..core.context import Turn
from ..core.errors import InputError
from ..core.records import Question, Reply
from ..engines.session import Session


def reply_of(model: Session, *turns: Turn) -> Reply:
    """The answer of what was written in one go, maybe with a thought that was closed in between; `data["thought"]` holds the thought.

    A thought that is never closed leaves no answer and counts as cut off.
    """
    last, chat = turns[-1], model.chat(turns[0].role)
    whole = Reply(last.text if len(turns) == 1 else "".join(t.text for t in turns), last.ended == "length")
    if chat is None or chat.thinks is None:
        return whole
    split = chat.split(turns[0].context.ids, (*last.context.ids[turns[0].context.n :], *last.ids))
    if split.thought is None:
        return whole
    return Reply(split.answer, whole.truncated or not split.closed, {"thought": split.thought})


async def thinking(model: Session, question: Question, tools: Any = None, budget: int | None = None) -> Reply:
    """Think for at most `budget` tokens, then answer; by default both have the room that a reply has.

    A thought still open by then is closed for the model: the closing tag is context, so it is not trained. Raises InputError for a
    model whose chat template knows no thoughts.
    """
    chat = model.chat()
    if chat is None or chat.thinks is None:
        raise InputError("the solver 'thinking' needs a model whose chat template knows thoughts; use the solver 'single'")
    thought = await model.ask(question, budget)
    if thought.ended != "length":
        return reply_of(model, thought)
    context = thought.context + thought
    if chat.thought_open(context.ids):
        context += chat.thought_end
    return reply_of(model, thought, await model.ask(context))
