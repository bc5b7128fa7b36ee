"""Answering, and having the answer judged by somebody who does not know the right one."""

from __future__ import annotations

from typing import Any

from ..core.records import Question, Reply
from ..engines.session import Session
from ..tasks.judging import approves, asked_of

VERDICTS = 4


async def judged(model: Session, question: Question, tools: Any = None) -> Reply:
    """The answer as the reply; `reply.data["judged"]` is the share of VERDICTS samples of the role "judge" that call it right.

    A verdict that cannot be read counts as half a one; None if none can be, or if the answer was cut off. A judge that is not in the cast is
    the policy itself.
    """
    turn = await model.ask(question)
    if turn.ended == "length":
        return Reply(turn.text, True, {"judged": None})
    put = model.context(asked_of(question, turn.text), role="judge")
    asked = [model.branch(i).ask(put, role="judge", temperature=1.0) for i in range(VERDICTS)]
    said = [approves((await a).text) for a in asked]
    share = None if all(s is None for s in said) else sum(0.5 if s is None else float(s) for s in said) / VERDICTS
    return Reply(turn.text, False, {"judged": share})


async def blunt(model: Session, question: Question, tools: Any = None) -> Reply:
    """The answer without any work: the "#" that begins it is given, as context."""
    turn = await model.ask(model.context(question) + "#")
    return Reply(f"#{turn.text}", turn.ended == "length")
