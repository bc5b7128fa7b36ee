"""Queries on a database of a few rows that is made for one question. What a query may do is bounded so tightly that it runs here.

~ stands for the quotation mark, which the built-in models' characters lack: `name=~lemu~`. SQLite's own ~ is not to be had.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from ..core.errors import InputError
from .sql import Rows

QUOTE = "~"
ROWS = 200  # of an answer
LONGEST = 400  # characters of a query
STEPS = 200  # hundreds of SQLite's instructions, some milliseconds
KEPT = 16384  # answers that are kept: the samples of a group mostly ask the same
FUNCTIONS = {"abs", "avg", "count", "length", "like", "lower", "max", "min", "round", "substr", "sum", "total", "upper"}
LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 10_000,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: LONGEST,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 50,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 5,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 50,
}
ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ}
HIDDEN = re.compile("sqlite|pragma", re.IGNORECASE)  # tables that SQLite has of its own


@dataclass(frozen=True)
class SmallDatabase:
    """A database as the statements that make it, ";" between them."""

    statements: str

    def asked(self, text: str) -> tuple[list[str], Rows]:
        """The names of the columns and the rows that one SELECT gives.

        Raises InputError, in words that a model may be shown, for what is no query, does more than read, or costs too much.
        """
        names, rows, wrong = answered(self.statements, text) if len(text) <= LONGEST else ((), (), "the query is too long")
        if wrong:
            raise InputError(wrong)
        return list(names), list(rows)


Answer = tuple[tuple[str, ...], tuple[tuple[object, ...], ...], str]


@lru_cache(maxsize=KEPT)
def answered(statements: str, text: str) -> Answer:
    """Names, rows, and what was wrong."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(statements)
        for limit, value in LIMITS.items():
            connection.setlimit(limit, value)
        steps = iter(range(STEPS))
        connection.set_authorizer(allowed)
        connection.set_progress_handler(lambda: next(steps, None) is None, 100)
        try:
            cursor = connection.execute(text.replace(QUOTE, "'"))
            rows = tuple(islice(cursor, ROWS + 1))
        except (sqlite3.Error, sqlite3.Warning, ValueError, UnicodeError, MemoryError) as error:
            return (), (), str(error) or "it costs too much"
        if len(rows) > ROWS:
            return (), (), f"more than {ROWS} rows"
        if cursor.description is None:
            return (), (), "no query"
        return tuple(d[0] for d in cursor.description), rows, ""


def allowed(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """SQLite's authorizer: reading the tables, and a few functions."""
    if action == sqlite3.SQLITE_FUNCTION:
        return sqlite3.SQLITE_OK if second in FUNCTIONS else sqlite3.SQLITE_DENY
    if action not in ALLOWED or (action == sqlite3.SQLITE_READ and HIDDEN.match(first or "")):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK
