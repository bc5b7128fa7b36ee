"""Queries that a model wrote, on a SQLite database that they can only read.

What a query may cost is bounded, and counted, not timed, so that the same query always ends the same way. Some of SQLite's functions
can spend hours or gigabytes within one counted step; therefore queries run in the processes of `tools.workers`, where they can be
stopped.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from ..core.errors import BadData, InputError
from .text import cut
from .workers import CheckFailed, call

Rows = list[tuple[Any, ...]]

ROWS = 50_000
LARGEST = 1_000_000  # bytes of a value
WEIGHT = 50_000_000  # bytes of an answer, roughly
LONGEST = 20_000  # characters of a query
STEPS = 100_000  # thousands of SQLite's instructions, some seconds
SECONDS = 30.0  # for what its instructions do not count
MEMORY = 256 << 20
SHOWN = 50  # rows that a model is shown
WIDE = 200  # characters of a value that it is shown
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
    connection = sqlite3.connect(f"{existing(database).as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False)
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    connection.execute("PRAGMA trusted_schema = 0")
    for limit, value in LIMITS.items():
        connection.setlimit(limit, value)
    return connection


def existing(database: str | Path) -> Path:
    """Where it is. Raises BadData where there is none."""
    path = Path(database)
    if not path.is_file():
        raise BadData(path, "no such database")
    return path.resolve()


def query(database: str | Path, text: str) -> Rows:
    """The rows that one SELECT gives.

    Raises InputError, in words that a model may be shown, for what is no query, does more than read, draws random numbers, or costs
    too much; BadData where there is no database.
    """
    return asked(database, text)[1]


def asked(database: str | Path, text: str) -> tuple[list[str], Rows]:
    """The names of the columns and the rows. Raises as `query` does."""
    path = existing(database)
    try:
        text.encode()
        names, rows, wrong = call("thinkery.tools.sql:answered", str(path), text, seconds=SECONDS)
    except UnicodeError:
        raise InputError("the query failed: it holds what is no character") from None
    except CheckFailed as error:
        if error.how == "raised":
            raise
        reason = "it takes too long" if error.how == "time" else "it takes too much memory"
        raise InputError(f"the query failed: {reason}") from None
    if wrong:
        raise InputError(wrong)
    return names, [tuple(row) for row in rows]


def answered(database: str, text: str) -> tuple[list[str], Rows, str]:
    """`asked`'s other end: names, rows, and what was wrong."""
    with closing(opened(database)) as connection:
        steps = iter(range(STEPS))
        connection.execute(f"PRAGMA hard_heap_limit = {MEMORY}")
        connection.execute("PRAGMA temp_store = 2")  # in memory
        connection.set_authorizer(allowed)
        connection.set_progress_handler(lambda: next(steps, None) is None, 1000)
        try:
            cursor = connection.execute(text)
            return [d[0] for d in cursor.description or ()], fetched(cursor), ""
        except InputError as error:
            return [], [], str(error)
        except (sqlite3.Error, sqlite3.Warning, ValueError, UnicodeError, MemoryError) as error:
            told = {"interrupted": "it takes too long", "": "it takes too much memory"}
            return [], [], f"the query failed: {told.get(str(error), str(error))}"


class Database:
    """A database as two tools, `tables` and `sql`, for a solver's toolbox. Raises BadData where there is no such file."""

    def __init__(self, path: str | Path) -> None:
        self.path = existing(path)

    def tables(self) -> str:
        """The tables of the database, with their columns, types, keys and what they refer to."""
        return schema(self.path)

    def sql(self, query: str) -> str:
        """Ask the database one SELECT in SQLite's SQL, and read the rows it gives.

        Args:
            query: the SELECT
        """
        return table(*asked(self.path, query))


def table(names: list[str], rows: Rows) -> str:
    """Rows as text: a line each under their columns' names, the first SHOWN of them, and how many there are."""
    lines = [" | ".join(map(value_text, names)), *(" | ".join(map(value_text, row)) for row in rows[:SHOWN])]
    more = f", the first {SHOWN} shown" if len(rows) > SHOWN else ""
    return "\n".join([*lines, f"({len(rows)} row{'' if len(rows) == 1 else 's'}{more})"])


def value_text(value: Any) -> str:
    """A value in one line."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    return cut(" ".join(str(value).split()), WIDE)


def schema(database: str | Path) -> str:
    """The tables as text, a line each: `pets(id INT key, owner INT -> people.id)`. Raises BadData for what is no database."""
    with closing(opened(database)) as connection:
        try:
            named = connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'")
            return "\n".join(f"{name}({', '.join(columns(connection, name))})" for (name,) in named.fetchall())
        except sqlite3.DatabaseError as error:
            raise BadData(database, str(error)) from None


def columns(connection: sqlite3.Connection, name: str) -> list[str]:
    """A table's columns: name, type, whether of the key, what they refer to."""
    keys = connection.execute('SELECT "from", "table", "to" FROM pragma_foreign_key_list(?)', (name,)).fetchall()
    refers = {column.lower(): f" -> {other}" + (f".{to}" if to else "") for column, other, to in keys}
    listed = connection.execute("SELECT name, type, pk FROM pragma_table_info(?)", (name,)).fetchall()
    return [f"{c} {kind}".rstrip() + (" key" if pk else "") + refers.get(c.lower(), "") for c, kind, pk in listed]


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
