"""A query that writes, reaches another file, or costs without end must be refused: the database is shared by all rollouts."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from pathlib import Path

import pytest

from thinkery.core.errors import BadData, InputError
from thinkery.tools import sql
from thinkery.tools.sql import Database, query, schema, table
from thinkery.tools.tool import Toolbox

ROOT = Path(__file__).resolve().parents[2]
PLACES = [Path(p) for p in (os.environ.get("THINKERY_DATA"), ROOT.parent / "shared" / "data") if p]
DATA = next((p for p in PLACES if (p / "spider" / "dev.json").is_file()), None)
real = pytest.mark.skipif(DATA is None, reason="no folder with spider's databases: set THINKERY_DATA")

BIG = "hex(zeroblob(499999))"

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
    "COMMIT",
    "SAVEPOINT s",
    "ANALYZE",
    "VACUUM",
    "DETACH DATABASE main",
    "ALTER TABLE t ADD COLUMN c",
    "REPLACE INTO t VALUES (1, 'y')",
    "DROP TABLE IF EXISTS t",
    "CREATE TEMP TABLE u AS SELECT * FROM t",
    "CREATE VIRTUAL TABLE u USING fts5(a)",
    "CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t; END",
    "UPDATE sqlite_master SET sql = ''",
    "INSERT INTO t SELECT * FROM t RETURNING a",
    "WITH x AS (SELECT 1) DELETE FROM t",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA hard_heap_limit = 1",
    "SELECT * FROM pragma_database_list",
    "SELECT * FROM pragma_table_info('t')",
    "SELECT * FROM json_each('[1]')",
    "SELECT * FROM dbstat",
    "SELECT readfile('/etc/passwd')",
    "SELECT writefile('copy.db', 'x')",
    "SELECT edit('x')",
    "SELECT fts3_tokenizer('x')",
    "SELECT sqlite_log(1, 'x')",
    "SELECT a FROM t /* */; ATTACH 'other.db' AS o",
    "SELECT 1;;SELECT 2",
    "SELECT count(*) FROM " + ", ".join(f"t t{i}" for i in range(30)),
    "SELECT * FROM " + ", ".join(f"t t{i}" for i in range(64)) + ", t",
    "SELECT " + " UNION SELECT ".join(["1"] * 100),
    "SELECT " + "+".join(["1"] * 5000),
    "SELECT " + ", ".join(["1"] * 3000),
    "WITH RECURSIVE r(x) AS (SELECT 'x' UNION ALL SELECT x || x FROM r) SELECT length(x) FROM r",
    "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT a.x FROM r a, r b",
    f"SELECT {BIG} || {BIG}",
    f"SELECT replace({BIG}, '0', '00')",
    f"WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 5000) SELECT n FROM r ORDER BY {BIG} || n",
    f"WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 5000) SELECT group_concat({BIG}) FROM r",
    f"WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 5000) SELECT {BIG} || n FROM r",
    f"WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 5000) SELECT count(DISTINCT {BIG} || n) FROM r",
    f"WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 5000) "
    f"SELECT sum(instr({BIG}, replace(hex(zeroblob(200000)), '00', '0') || n)) FROM r",
    "SELECT '" + "%" * 10_000 + "' LIKE '" + "%a" * 4000 + "'",
    "SELECT a FROM t WHERE b REGEXP '(a+)+$'",
    "SELECT a, count(*) OVER (PARTITION BY missing) FROM t",
    "\u202eSELECT 1",
    "",
    "-- nothing",
]
HARMLESS = {
    "REINDEX": [],  # there is nothing to be made anew
    "SELECT printf('%1000000000d', 1)": [(None,)],
    "SELECT '1; DROP TABLE t; --'": [("1; DROP TABLE t; --",)],
    "SELECT length(zeroblob(999999))": [(999999,)],
    "EXPLAIN QUERY PLAN SELECT 1": [(1, 0, 0, "SCAN CONSTANT ROW")],
    "SELECT x'00ff', 1e999, NULL, 9223372036854775807, -1.5": [(b"\x00\xff", float("inf"), None, 2**63 - 1, -1.5)],
}


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
def test_what_does_more_than_read_is_refused_in_words(database: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "SECONDS", 2.0)
    if text in ("", "-- nothing") or " LIKE " in text:
        assert query(database, text) in ([], [(0,)])  # nothing was asked, or it was answered quickly
        return
    before, began = database.read_bytes(), time.monotonic()
    with pytest.raises(InputError, match="query"):
        query(database, text)
    assert time.monotonic() - began < 20
    assert database.read_bytes() == before
    assert [p.name for p in database.parent.iterdir()] == ["t.sqlite"]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_looks_worse_than_it_is_is_answered(database: Path, text: str) -> None:
    if text.startswith("EXPLAIN"):
        assert len(query(database, text)) == 1
    else:
        assert query(database, text) == HARMLESS[text]


def test_a_query_may_join_tables_of_some_thousand_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (a INTEGER)")
        connection.executemany("INSERT INTO t VALUES (?)", [(i,) for i in range(2000)])
    connection.close()
    assert query(path, "SELECT max((SELECT count(*) FROM t b WHERE b.a <= t.a)) FROM t") == [(2000,)]


def test_a_hostile_schema_is_not_run(tmp_path: Path) -> None:
    """A view may hide a function that costs or reaches out: it is held to the same list."""
    path = tmp_path / "t.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE VIEW v AS SELECT randomblob(10) AS x")
        connection.execute("CREATE TABLE t (a TEXT, b TEXT GENERATED ALWAYS AS (upper(a)))")
    connection.close()
    with pytest.raises(InputError, match="randomblob"):
        query(path, "SELECT * FROM v")
    assert schema(path) == "v(x)\nt(a TEXT)"


@pytest.mark.parametrize("content", [b"no database", b"", b"SQLite format 3\x00" + b"\xff" * 500])
def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.sqlite"
    path.write_bytes(content)
    with pytest.raises(InputError, match="query failed"):
        query(path, "SELECT * FROM t")
    assert path.read_bytes() == content


def test_a_model_reads_rows_and_tables_as_text(database: Path) -> None:
    async def talk() -> list[str]:
        own = Database(database)
        box = Toolbox([own.tables, own.sql])
        asked = [("tables", "{}"), ("sql", '{"query": "SELECT * FROM t LIMIT 2"}'), ("sql", '{"query": "DROP TABLE t"}')]
        return [(await box.call(name, arguments)).text for name, arguments in asked]

    assert asyncio.run(talk()) == [
        "t(a INTEGER, b TEXT)",
        "a | b\n1 | x\n2 | y\n(2 rows)",
        "error: the query failed: not authorized",
    ]
    rows = [(i, "two\nlines", b"\x00" * 5, None) for i in range(60)]
    text = table(["n", "a\nb", "c", "d"], rows)
    assert text.startswith("n | a b | c | d\n0 | two lines | <5 bytes> | NULL\n")
    assert text.endswith("\n(60 rows, the first 50 shown)")
    assert len(table(["x"], [("y" * 10**6,)])) < 300


@real
def test_real_databases_answer_their_gold_queries() -> None:
    assert DATA is not None
    items = json.loads((DATA / "spider" / "dev.json").read_text(encoding="utf-8"))[::20]
    for item in items:
        place = DATA / "spider" / "database" / f"{item['db_id']}.sqlite"
        assert isinstance(query(place, item["query"]), list)
    pets = DATA / "spider" / "database" / "pets_1.sqlite"
    assert "Has_Pet(StuID INTEGER -> Student.StuID, PetID INTEGER -> Pets.PetID)" in schema(pets)
    assert query(pets, "SELECT count(*) FROM Student") == [(34,)]


@real
def test_the_classic_databases_show_their_tables_and_keep_them() -> None:
    assert DATA is not None
    for name, wanted in (("Chinook", "Album(AlbumId INTEGER key"), ("geography", "state("), ("restaurants", "restaurant(")):
        place = DATA / "text2sql_classic" / f"{name}.sqlite"
        before = place.stat()
        assert wanted.lower() in schema(place).lower()
        with pytest.raises(InputError, match="not authorized"):
            query(place, "CREATE TABLE mine (a)")
        assert place.stat().st_mtime_ns == before.st_mtime_ns


def test_a_missing_database_is_the_files_fault(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="no such database"):
        query(tmp_path / "none.sqlite", "SELECT 1")
    assert not list(tmp_path.iterdir())
