"""Looking things up with a memory that is all one keeps: after every turn what came before it is erased.

Zhou et al. 2025, "MEM1" (arXiv:2506.15841). A turn is `memory?query:` or ends in an answer; the next one is written after the question, that
turn and what was found, at positions counted anew. Turns are contexts of their own, so that they are learnt from as they were written.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from ..core.errors import InputError, PromptTooLong
from ..core.records import CALLS, Question, Reply
from ..engines.session import Session
from ..tasks.generated import whole
from ..tasks.objectives import ASK, END, before, follows

MOST = 1000  # turns


@runtime_checkable
class Finder(Protocol):
    """Where things are looked up."""

    def find(self, query: str) -> str:
        """What is known about the query, as text. Raises InputError for one that cannot be read."""


async def erasing(model: Session, question: Question, tools: Any = None, turns: int = 6, forgets: bool = True, keeps: bool = True) -> Reply:
    """The reply is the last turn; `data["calls"]` has what was looked up. One that no longer fits into the model's context is cut off.

    turns     at most, the answer's included, where the question does not say; each is told how many are left
    forgets   False: every turn follows all that was written and found before it
    keeps     False: the memory is erased too, of a turn only its query is kept

    Raises InputError where nothing can be looked up.
    """
    whole("turns", turns, 1, MOST)
    if not isinstance(tools, Finder):
        raise InputError("erasing looks things up: use a task whose tools can `find`, or another solver")
    so_far, calls = "", list[dict[str, str]]()
    for left in range(question.shown.get("turns", turns), 0, -1):
        try:
            turn = await model.ask(replace(question, prompt=question.prompt + before(left, so_far)), stop=(END,))
        except PromptTooLong:
            if not calls:
                raise
            return Reply(turn.text, True, {CALLS: calls})
        if turn.ended == "length" or not turn.text.endswith(END):
            break
        query = turn.text.removesuffix(END).rpartition(ASK)[2]
        call = found(tools, query)
        calls.append(call)
        said = turn.text if keeps else f"{ASK}{query}{END}"
        so_far = follows(so_far, left, said, call["text"], forgets)
    return Reply(turn.text, turn.ended == "length", {CALLS: calls})


def found(tools: Finder, query: str) -> dict[str, str]:
    """The call as a reply keeps it: tool, arguments, text, error."""
    try:
        return {"tool": "find", "arguments": query, "text": tools.find(query), "error": ""}
    except InputError as error:
        return {"tool": "find", "arguments": query, "text": "", "error": str(error)}
