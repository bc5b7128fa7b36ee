"""A query that writes, reaches another file, or costs without end must be refused: the database is shared by all rollouts."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from thinkery.core.errors import BadData, InputError
from thinkery.tools.sql import query

HOSTILE = [
    "DROP TABLE t",
    "DELETE FROM t",
    "INSERT INTO t VALUES (9, 'x')",
    "UPDATE t SET a = 0",
    "CREATE TABLE u (a)",
    "PRAGMA writable_schema = 1",
    "ATTACH DATABASE 'other.db' AS o",
    "VACUUM INTO 'copy.db'",
    "SELECT load_extension('x')",
    "SELECT randomblob(10)",
    "SELECT random()",
    "SELECT 1; DROP TABLE t",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r",
    "SELECT zeroblob(1000000000)",
    "SELECT " + "(" * 500 + "1" + ")" * 500,
    "SELECT '" + "x" * 50_000 + "'",
    "nonsense",
    "SELECT a FROM missing",
    "\x00",
    "SELECT '\ud800'",
    "BEGIN",
]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "t.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (a INTEGER, b TEXT)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(1, "x"), (2, "y"), (3, "x")])
    connection.close()
    return path


def test_rows_come_back(database: Path) -> None:
    assert query(database, "SELECT b, count(*) FROM t GROUP BY b ORDER BY b") == [("x", 2), ("y", 1)]
    assert query(database, "SELECT a FROM t WHERE a > 5") == []


@pytest.mark.parametrize("text", HOSTILE)
def test_what_does_more_than_read_is_refused_in_words(database: Path, text: str) -> None:
    before, began = database.read_bytes(), time.monotonic()
    with pytest.raises(InputError, match="query"):
        query(database, text)
    assert time.monotonic() - began < 10
    assert database.read_bytes() == before
    assert [p.name for p in database.parent.iterdir()] == ["t.sqlite"]


def test_a_missing_database_is_the_files_fault(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="no such database"):
        query(tmp_path / "none.sqlite", "SELECT 1")
    assert not list(tmp_path.iterdir())
