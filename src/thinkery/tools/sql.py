"""Queries that a model wrote, on a SQLite database that they can only read. What a query may cost is bounded, and counted, not timed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from ..core.errors import BadData, InputError

Rows = list[tuple[Any, ...]]

ROWS = 50_000
LARGEST = 1_000_000  # bytes of a value
WEIGHT = 50_000_000  # bytes of an answer, roughly
LONGEST = 20_000  # characters of a query
STEPS = 5_000  # thousands of SQLite's instructions, some seconds
ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
DENIED = {"random", "randomblob", "load_extension", "readfile", "writefile", "edit", "fts3_tokenizer", "sqlite_log"}
LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: LARGEST,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: LONGEST,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
}


def opened(database: str | Path) -> sqlite3.Connection:
    """A connection that can only read. Raises BadData where there is no database."""
    path = Path(database)
    if not path.is_file():
        raise BadData(path, "no such database")
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False)
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    connection.execute("PRAGMA trusted_schema = 0")
    for limit, value in LIMITS.items():
        connection.setlimit(limit, value)
    return connection


def query(database: str | Path, text: str) -> Rows:
    """The rows that one SELECT gives.

    Raises InputError, in words that a model may be shown, for what is no query, does more than read, draws random numbers, or costs
    too much; BadData where there is no database.
    """
    with closing(opened(database)) as connection:
        steps = iter(range(STEPS))
        connection.set_authorizer(allowed)
        connection.set_progress_handler(lambda: next(steps, None) is None, 1000)
        try:
            return fetched(connection.execute(text))
        except (sqlite3.Error, sqlite3.Warning, ValueError, UnicodeError, MemoryError) as error:
            if isinstance(error, InputError):
                raise
            reason = "it takes too long" if str(error) == "interrupted" else str(error) or type(error).__name__
            raise InputError(f"the query failed: {reason}") from None


def allowed(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """SQLite's authorizer: reading, and functions whose answer is fixed."""
    if action not in ALLOWED or (action == sqlite3.SQLITE_FUNCTION and second in DENIED):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def fetched(cursor: sqlite3.Cursor) -> Rows:
    """All rows. Raises InputError when they are too many."""
    rows: Rows = []
    weight = 0
    for row in cursor:
        rows.append(row)
        weight += sum(len(v) if isinstance(v, (str, bytes)) else 8 for v in row)
        if len(rows) > ROWS or weight > WEIGHT:
            raise InputError(f"the query gives too much: more than {ROWS} rows or {WEIGHT // 10**6} MB")
    return rows
