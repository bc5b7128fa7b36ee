"""An expert's lines, and what the model writes before each of them."""

from __future__ import annotations

from typing import Any

from ..core.errors import SolverError
from ..core.records import Question, Reply
from ..engines.session import Session
from ..tasks.pipelines import MARK

ROOM = 6  # most tokens before a line, the break among them
BREAK = "\n"


async def between(model: Session, question: Question, tools: Any = None) -> Reply:
    """The session's script line by line, each behind what the model writes up to a line break: the break alone to go on, or a comment first.

    Turns take turns: one asked, one said. The model sees the lines before, never the one to come. A comment that is cut off is broken off for it:
    that break is context, so it is not trained.
    Raises SolverError without a script: there is no expert.
    """
    if not (model.script or "").strip():
        raise SolverError(
            "the solver 'between' writes between the lines of a demonstration, and there is none; use source='demonstrations'"
        )
    assert model.script is not None
    lines, model.script = model.script.strip(BREAK).split(BREAK), None
    context, text = model.context(question), ""
    for n, line in enumerate(lines, 1):
        z = await model.ask(context, max_tokens=ROOM, stop=(BREAK,))
        broken = "" if z.text.endswith(BREAK) else BREAK
        context = context + z + broken
        context += model.say(context, line, end=n == len(lines))
        text += f"{z.text}{broken}{line}"
    return Reply(text)


def goes_on(text: str) -> bool:
    """Whether what stands before a line is nothing but a break."""
    return text == BREAK


def comments_on(text: str) -> bool:
    """Whether it is a comment, or the beginning of one."""
    return text.startswith(MARK)
