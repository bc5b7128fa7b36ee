"""Program-aided: the model writes a program, and what it prints is the answer.

Gao et al. 2022, "PAL: program-aided language models" (arXiv:2211.10435); Chen et al. 2022, "Program of thoughts prompting" (arXiv:2211.12588).
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import Any

from ..core.errors import SolverError
from ..core.records import Question, Reply
from ..engines.session import Session
from ..tasks.generated import whole
from ..tools.python import Result, run
from .react import writable
from .scored import MOST, begun
from .thinking import reply_of

ASKED = "Write a Python program that prints the answer and nothing else, in one block that begins with ```python."
FAILED = "The program failed:\n{said}\n\nWrite the whole program again, mended."
BLOCK = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)


async def program(model: Session, question: Question, tools: Any = None, rounds: int = 0, shots: str = "") -> Reply:
    """What the model's program prints, or the value of its last expression; `data["program"]` has it.

    rounds   how often a program that failed may be written again, when the model has been told why
    shots    worked examples before the question, for models without a chat template

    A program that still fails, or that is cut off, is no answer: an empty reply with `data["error"]`. Raises SolverError for one that needs
    what no sandbox here has, which is no fault of the model's.
    """
    whole("rounds", rounds, 0, MOST)
    turn = await model.ask(begun(model, replace(question, instruction=ASKED), shots))
    while True:
        reply = reply_of(model, turn)
        code = block(reply.text)
        found = Result("limit", error="cut off") if reply.truncated else await asyncio.to_thread(run, code)
        if found.ended == "unsupported":
            raise SolverError(f"a program needs what no sandbox here has: {found.error}")
        if found.ended == "done":
            said = found.output.strip() or ("" if found.value is None else str(found.value))
            return Reply(said, False, {**reply.data, "program": code})
        if reply.truncated or not rounds:
            return Reply("", reply.truncated, {**reply.data, "program": code, "error": found.error})
        rounds -= 1
        told = f"?{found.error}\n" if model.chat() is None else FAILED.format(said=found.error)
        turn = await model.ask(model.follow(turn.context + turn, writable(model, told)))


def block(text: str) -> str:
    """The last fenced block of a reply, or all of it."""
    blocks: list[str] = BLOCK.findall(text)
    return blocks[-1] if blocks else text
