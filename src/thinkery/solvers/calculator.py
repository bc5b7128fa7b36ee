"""A tool loop with a calculator: the model writes an expression and "=", the calculator writes the value, the model goes on."""

from __future__ import annotations

from typing import Any

from ..core.errors import InputError
from ..core.records import Question, Reply
from ..engines.session import Session
from ..tools import calculator

CALLS = 4  # at most so many calculations in one reply
CALL, BACK = "=", ";"  # the model ends an expression with CALL; the tool's text ends with BACK


async def calculate(model: Session, question: Question, tools: Any = None) -> Reply:
    """The reply is all that was written, the calculator's values included; the values are context, never trained."""
    context, text = model.context(question), ""
    for _ in range(CALLS):
        turn = await model.ask(context, stop=(CALL,))
        text += turn.text
        if turn.ended == "length" or not turn.text.endswith(CALL):
            return Reply(text, turn.ended == "length")
        value = answer(turn.text) + BACK
        text += value
        context = context + turn + value
    turn = await model.ask(context)
    return Reply(text + turn.text, turn.ended == "length")


def answer(written: str) -> str:
    """What the calculator says to the expression before the last CALL: its value, or "?" with nothing to be had."""
    expression = written.removesuffix(CALL).rsplit(BACK, 1)[-1].rsplit("#", 1)[-1]
    try:
        return calculator.calculate(expression)
    except InputError:
        return "?"
