"""Working in a notation that is named first: a proof in words, a program that is run, the rows of a truth table; and voting over several."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import Any

from ..core.context import Turn
from ..core.records import Question, Reply
from ..engines.session import Session
from ..tasks.mini_python import TEXT, Fault, Machine
from ..tasks.theories import CODE, NL, NOTATIONS, TABLE, VOTES
from ..tools.python import run
from .majority import final
from .thinking import reply_of

WARMTH = 0.7  # temperature of a vote
DEFINES = re.compile(r"\b(?:def|class|import)\b")
FENCE = re.compile(r"```\w*")
HOW = {
    NL: "Reason in plain words, step by step, then write </nl>.",
    CODE: "Write a Python program that works it out from what is given and prints nothing but the answer, then write </code>.",
    TABLE: "Name the atomic statements, list only the rows of their truth table that violate no premise, then write </tt>.",
}
LAST = 'After that write "#" and the answer alone.'


async def noted(model: Session, question: Question, tools: Any = None, notations: Sequence[str] = NOTATIONS, runs: bool = True) -> Reply:
    """A reply in one of the notations, by a coin. What a program prints is its answer, whatever the reply states; unless `runs` is False.

    `data["notation"]` names it; `data["closed"]` says whether it was closed once, and a program defines something and got to its end. The tag that
    opens it is context, so it is not trained.
    """
    notation = notations[model.rng("notation").below(len(notations))]
    return await read(model, await begun(model, question, notation), notation, runs)


async def voted(model: Session, question: Question, tools: Any = None, notations: Sequence[str] = NOTATIONS, runs: bool = True) -> Reply:
    """The first of the replies, one in each notation, that has the commonest answer; of equally common ones the one met first.

    What was cut off, or has no answer, does not vote. `data["votes"]` are the notations with their answers, None where there is none.
    """
    asked = [begun(model.branch(i), question, n, WARMTH) for i, n in enumerate(notations)]
    replies = [await read(model, await turn, n, runs) for n, turn in zip(notations, asked)]
    votes = [(n, None if r.truncated or "#" not in r.text else final(r.text) or None) for n, r in zip(notations, replies)]
    counted = Counter(said for _, said in votes if said is not None)
    best = counted.most_common(1)[0][0] if counted else votes[0][1]
    chosen = next(r for r, (_, said) in zip(replies, votes) if said == best)
    return Reply(chosen.text, chosen.truncated, {**chosen.data, VOTES: votes})


def begun(model: Session, question: Question, notation: str, temperature: float | None = None) -> Awaitable[Turn]:
    """What the model writes after the question and the tag that opens the notation."""
    how = f"{question.instruction} {HOW[notation]} {LAST}".strip()
    return model.ask(model.context(replace(question, instruction=how)) + f"<{notation}>", temperature=temperature)


async def read(model: Session, turn: Turn, notation: str, runs: bool) -> Reply:
    """The reply of what was written in a notation. A program that fails leaves it without an answer."""
    said = reply_of(model, turn)
    work, end, _ = said.text.partition(f"</{notation}>")
    closed = bool(end) and not said.truncated and said.text.count(end) == 1
    data = {**said.data, "notation": notation, "closed": closed}
    if notation != CODE or not runs:
        return Reply(said.text, said.truncated, data)
    found = await printed(work) if closed else None
    data["closed"] = found is not None and DEFINES.search(work) is not None
    return Reply(f"{work}{end}#{found or ''}", said.truncated, data)


async def printed(program: str) -> str | None:
    """The last line that a program prints; None if it prints nothing or fails. Texts of the house's characters are `mini_python`'s, others Python."""
    if TEXT.fullmatch(program):
        machine = Machine()
        try:
            machine.run(program)
        except Fault:
            return None
        lines = machine.output
    else:
        result = await asyncio.to_thread(run, FENCE.sub("", program))
        lines = result.output.strip().splitlines() if result.ended == "done" else []
    return lines[-1].strip() or None if lines else None
