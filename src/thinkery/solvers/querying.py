"""Asking a database on the way to a query: alone, with nothing coming back, again after a failure, in samples that vote, or in a tree.

A turn that ends with `</sql>` is run, read-only, and what comes back, or why nothing does, is context; any other turn is the answer. The
database is the task's, or the file that the question names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..core.context import Context
from ..core.errors import InputError
from ..core.records import CALLS, Question, Reply
from ..engines.session import Session
from ..tasks.checkers.sql import query_of
from ..tasks.databases import BACK, BEGIN, END, RESULT, given
from ..tools.small_sql import SmallDatabase
from ..tools.sql import Rows, asked
from .react import writable

MOST = 3  # queries on the way
TRIES = 3  # answers, if they cannot be run
PATHS = 8  # samples that vote
WIDTH = 3  # turns that are tried from each place of a tree
ABOUT = (
    f"\n\nTo ask the database first, at most {MOST} times, write {BEGIN}SELECT ...{END}. What it gives follows. Then go on, and answer.\n"
)


class Source:
    """The database of a question. Raises InputError where there is none."""

    def __init__(self, question: Question, tools: Any) -> None:
        self.small, self.question = tools if isinstance(tools, SmallDatabase) else None, question
        self.path = question.shown.get("database", "")
        if self.small is None and not self.path:
            raise InputError("queries need a database: use a task that has one (databases, spider), or another solver")

    def begun(self, model: Session) -> Path:
        """Where a path begins. Only questions on a database of their own say by themselves that it may be asked."""
        q = self.question
        return Path(model.context(q if self.small is not None else replace(q, prompt=q.prompt + writable(model, ABOUT))))

    async def rows(self, query: str) -> tuple[list[str], Rows]:
        """Names and rows. Raises InputError."""
        return self.small.asked(query) if self.small is not None else await asyncio.to_thread(asked, self.path, query)

    async def told(self, query: str) -> dict[str, str]:
        """The call as a reply keeps it: tool, arguments, text, error."""
        try:
            return {"tool": "sql", "arguments": query, "text": given(*await self.rows(query)), "error": ""}
        except InputError as error:
            return {"tool": "sql", "arguments": query, "text": f"{RESULT}{str(error).replace(BACK, '')}{BACK}", "error": str(error)}

    async def vote(self, text: str) -> str | None:
        """What the answer of a reply gives, whatever the order of its rows; None where it cannot be run."""
        try:
            return repr(sorted((await self.rows(query_of(text)))[1], key=repr))
        except InputError:
            return None


@dataclass(frozen=True)
class Path:
    """What was written on the way to a place, the queries run and where it goes on. `truncated`: it went on too long."""

    context: Context
    text: str = ""
    calls: tuple[dict[str, str], ...] = ()
    done: bool = False
    truncated: bool = False

    def reply(self) -> Reply:
        """As a reply: all that the model wrote, without what came back."""
        return Reply(self.text, self.truncated, {CALLS: list(self.calls)})


async def onward(model: Session, source: Source, path: Path, blind: bool = False, temperature: float | None = None) -> Path:
    """The path one turn further. `blind`: nothing comes back."""
    turn = await model.ask(path.context, stop=(END,), temperature=temperature)
    text, cut = path.text + turn.text, turn.ended == "length"
    if cut or not turn.text.endswith(END) or len(path.calls) == MOST:
        return Path(path.context, text, path.calls, True, cut)
    call = await source.told(turn.text.removesuffix(END).partition(BEGIN)[2])
    context = model.follow(path.context + turn, writable(model, RESULT + BACK if blind else call["text"]))
    return Path(context, text, (*path.calls, call))


async def walked(model: Session, question: Question, tools: Any, blind: bool = False, temperature: float | None = None) -> Path:
    """A path to its end."""
    source = Source(question, tools)
    path = source.begun(model)
    while not path.done:
        path = await onward(model, source, path, blind, temperature)
    return path


async def querying(model: Session, question: Question, tools: Any = None) -> Reply:
    """The reply is all that was written, without what came back; `data["calls"]` has the queries asked on the way, at most MOST."""
    return (await walked(model, question, tools)).reply()


async def withheld(model: Session, question: Question, tools: Any = None) -> Reply:
    """As `querying`, but an empty result comes back from every query."""
    return (await walked(model, question, tools, blind=True)).reply()


async def retrying(model: Session, question: Question, tools: Any = None) -> Reply:
    """An answer at once, and another, sampled, while it cannot be run: at most TRIES."""
    source, turn = Source(question, tools), await model.ask(question)
    for i in range(1, TRIES):
        if turn.ended != "length" and await source.vote(turn.text) is not None:
            break
        turn = await model.branch(i).ask(question, temperature=model.sampling.temperature or 1.0)
    return Reply.of(turn)


async def voting(model: Session, question: Question, tools: Any = None) -> Reply:
    """PATHS replies of `querying`, of which the first with the commonest result of its answer is handed in (self-consistency)."""
    warmth = model.sampling.temperature or 1.0
    paths = await asyncio.gather(*(walked(model.branch(i), question, tools, temperature=warmth) for i in range(PATHS)))
    return await chosen(Source(question, tools), [(path, 1 / PATHS) for path in paths])


async def branching(model: Session, question: Question, tools: Any = None) -> Reply:
    """A tree: from each place WIDTH turns; those whose queries gave the same are one place, which counts as all of them; the answers at its
    ends vote by their results. What was written before is shared.
    """
    warmth = model.sampling.temperature or 1.0
    source, ends = Source(question, tools), list[Place]()
    places = [(source.begun(model), 1.0)]
    for depth in range(MOST + 1):
        tried = [(path, share / WIDTH) for path, share in places for _ in range(WIDTH)]
        asked_for = [onward(model.branch(depth).branch(i), source, path, temperature=warmth) for i, (path, _) in enumerate(tried)]
        found = list(zip(await asyncio.gather(*asked_for), (share for _, share in tried)))
        ends += [place for place in found if place[0].done]
        places = merged([place for place in found if not place[0].done])
    return await chosen(source, ends)


Place = tuple[Path, float]  # and the share of all paths that it stands for


def merged(places: Sequence[Place]) -> list[Place]:
    """Those with the same results before them as one, the first, with their shares together."""
    first: dict[tuple[str, ...], Path] = {}
    share: dict[tuple[str, ...], float] = {}
    for path, part in places:
        key = tuple(call["text"] for call in path.calls)
        first.setdefault(key, path)
        share[key] = share.get(key, 0.0) + part
    return [(path, share[key]) for key, path in first.items()]


async def chosen(source: Source, places: Sequence[Place]) -> Reply:
    """The first reply whose answer has the result with the largest share; the first of all, if none can be run."""
    share: dict[str, float] = {}
    votes = [None if path.truncated else await source.vote(path.text) for path, _ in places]
    for vote, (_, part) in zip(votes, places):
        if vote is not None:
            share[vote] = share.get(vote, 0.0) + part
    if not share:
        return places[0][0].reply()
    best = max(share, key=lambda vote: share[vote])
    return next(path for vote, (path, _) in zip(votes, places) if vote == best).reply()
