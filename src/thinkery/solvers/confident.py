"""Answering, then saying how sure one is: a number of tenths from 0 to 10, in a turn of its own."""

from __future__ import annotations

import re
from typing import Any

from ..core.records import Question, Reply
from ..engines.session import Session
from ..tasks.stated import MARK, TENTHS

ASKED = "How sure are you that this answer is right? Say a whole number alone, from 0 (surely wrong) to 10 (surely right)."
STATED = re.compile(r"10|[0-9]")


async def confident(model: Session, question: Question, tools: Any = None) -> Reply:
    """The answer as the reply; `reply.data["confidence"]` is q in [0, 1], None where it cannot be read.

    A model with a chat template is asked by a message; one without writes MARK behind its answer, or is given it.
    """
    chat = model.chat() is not None
    turn = await model.ask(question, stop=() if chat else (MARK,))
    cut = turn.ended == "length"
    if cut:
        return Reply(turn.text, True, {"confidence": None})
    text = turn.text.removesuffix(MARK)
    asked = turn.context + turn
    if chat or text == turn.text:
        asked = model.follow(asked, ASKED if chat else MARK)
    said = await model.ask(asked, max_tokens=TENTHS)
    found = STATED.fullmatch(said.text.strip())
    return Reply(text, False, {"confidence": None if found is None else int(found[0]) / 10})
