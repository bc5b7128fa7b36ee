"""Writing and reading a run's record (`schema`): once a step, in one transaction, by a thread beside the step's learning."""

from __future__ import annotations

import json
import math
import re
import sqlite3
import sys
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ..core.errors import BadData, InputError, StorageError
from ..core.records import Rollout
from ..learning.batch import Batch
from .events import Event
from .schema import COLUMNS, FILE, INDICES, KEPT, SEARCH, TABLES, VERSION, made

CALL = ("tool", "arguments", "text", "error")  # of a call
BUSY_S = 30.0  # how long a writer waits for a reader that is in its way
Row = tuple[Any, ...]
JSON, LARGEST = msgspec.json.Encoder(), sys.float_info.max


def _rows(table: str, values: str, rows: str = "", otherwise: str = "") -> str:
    """The statement that adds rows which have arrived as a JSON array of arrays; $n is the n-th value of one."""
    made = re.sub(r"\$(\d+)", r"json_extract(value, '$[\1]')", values)
    return f"INSERT {otherwise} INTO {table} SELECT {made} FROM json_each(NEW.{rows or table})"


ARRIVING = ("step", "stage", "seconds", "last_rollout", "last_context", "metrics", "problems", "contexts", "rollouts", "rewards", "calls",
            "turns", "ids", "logp", "entropy", "advantage", "stride", "whole")  # fmt: skip
STATEMENTS = (
    "INSERT INTO steps VALUES (NEW.step, NEW.stage, NEW.seconds)",
    _rows("metrics", "NEW.step, $0, $1"),
    _rows("problems", "$0, $1, $2, $3, $4", otherwise="OR IGNORE"),
    _rows("contexts", "NEW.last_context + 1 + $0, NEW.step, $1"),
    _rows("rollouts", "NEW.last_rollout + 1 + $0, NEW.step, NEW.stage, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11"),
    _rows("rewards", "NEW.last_rollout + 1 + $0, $1, $2"),
    _rows("calls", "NEW.last_rollout + 1 + $0, $1, $2, $3, $4, $5"),
    _rows(
        "turns",
        "NEW.last_rollout + 1 + $0, $1, $2, $3, NEW.last_context + 1 + $4, $5, $6, $7, $8, $9, "
        "substr(NEW.ids, 4 * $10 + 1, 4 * $9), CASE WHEN $7 THEN NULL ELSE substr(NEW.logp, 4 * $11 + 1, 4 * $9) END, "
        "CASE WHEN $13 THEN NULL ELSE substr(NEW.entropy, 4 * $11 + 1, 4 * $9) END, CASE WHEN $12 < 0 THEN NULL "
        "ELSE substr(NEW.advantage, NEW.stride * $12 + 1, CASE WHEN NEW.whole THEN 4 ELSE 4 * $9 END) END",
    ),
)
# One statement writes a step: each return from SQLite has to get the interpreter back from whoever computes meanwhile, which costs both more
# than the writing.
ARRIVE = f"INSERT INTO arriving VALUES ({', '.join(f':{name}' for name in ARRIVING)})"


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Turn SQLite's refusals into one clear message."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StorageError(f"cannot write {path}: {error}; free some space, check permissions, or choose another --out") from error
    except sqlite3.DatabaseError as error:
        raise BadData(path, f"cannot be read: {error}") from error


class Store:
    """The writing side: one thread does what is asked, in order, so that a step need not wait for its record.

    What fails there is raised by the next call: StorageError where the file cannot be written, BadData where it is no record of a run.
    """

    def __init__(self, folder: Path) -> None:
        self.path, self.step = folder / FILE, 0
        self.hand: ThreadPoolExecutor | None = None
        self.asked: Future[None] | None = None
        with refusals(self.path):
            self.connection = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self.connection.close()
                raise

    def _prepare(self) -> None:
        self.connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")
        (version,) = self.connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, VERSION):
            raise BadData(self.path, f"has version {version}, this one writes {VERSION}; choose another --out")
        with self._whole() as do:
            for table in TABLES:
                do(made(table))
            for table, columns in INDICES.items():
                do(f"CREATE INDEX IF NOT EXISTS {table}_by ON {table} ({columns})")
            do(f"PRAGMA user_version = {VERSION}")
            do(f"CREATE TEMP VIEW arriving ({', '.join(ARRIVING)}) AS SELECT {', '.join(['NULL'] * len(ARRIVING))}")
            do(f"CREATE TEMP TRIGGER arrive INSTEAD OF INSERT ON arriving BEGIN {'; '.join(STATEMENTS)}; END")
        self._count()

    def _count(self) -> None:
        """The last numbers given."""
        last = lambda table: self.connection.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0]
        self.last = {"last_rollout": last("rollouts"), "last_context": last("contexts")}

    def _ask(self, work: Callable[..., None], *given: Any) -> None:
        """Have the thread do something after all else that it was asked; if something failed, raise that."""
        before = self.asked
        if before is not None and before.done():
            before.result()

        def do() -> None:
            if before is not None:
                before.result()  # nothing is written after what failed
            with refusals(self.path):
                work(*given)

        self.hand = self.hand or ThreadPoolExecutor(1, "record")
        self.asked = self.hand.submit(do)

    def flush(self) -> None:
        """Wait until all is written that was asked. The thread ends, to be started when needed: a process with threads is no good to fork."""
        if self.hand is not None:
            self.hand.shutdown()
            self.hand = None
        if self.asked is not None:
            self.asked.result()

    @contextmanager
    def _whole(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        """One transaction: all of it is written, or nothing."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection.execute
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    def trim(self, steps: int) -> None:
        """Forget what came after so many steps: a resumed run writes it again."""
        self._ask(self._trim, steps)
        self.step = steps

    def _trim(self, steps: int) -> None:
        with self._whole() as do:
            for table in ("rewards", "calls", "turns"):
                do(f"DELETE FROM {table} WHERE rollout IN (SELECT id FROM rollouts WHERE step > ?)", (steps,))
            for table in ("steps", "metrics", "rollouts", "contexts", "events"):
                do(f"DELETE FROM {table} WHERE step > ?", (steps,))
        self._count()

    def write(
        self,
        step: int,
        stage: str,
        metrics: Mapping[str, float],
        seconds: float,
        rollouts: Sequence[Rollout] = (),
        learnt: tuple[Sequence[Rollout], Batch] | None = None,
    ) -> None:
        """A step is done: its figures, what it sampled, and what of that it learnt from, with its batch."""
        self.step = step
        figures_of = encoded([(name, figure(x)) for name, x in metrics.items()])
        self._ask(self._write, {"step": step, "stage": stage, "seconds": seconds, "metrics": figures_of, **packed(rollouts, learnt)})

    def _write(self, given: Mapping[str, Any]) -> None:
        self.connection.execute(ARRIVE, {**given, **self.last})
        self.last = {name: n + given["many"][name] for name, n in self.last.items()}

    def listen(self, event: Event) -> None:
        """Record an event, if it is of a kind that is kept."""
        if event.kind in KEPT:
            self._ask(self._event, (self.step, time.time(), event.kind, json.dumps(event.data, ensure_ascii=True, default=str)))

    def _event(self, row: Row) -> None:
        self.connection.execute("INSERT INTO events (step, at, kind, data) VALUES (?, ?, ?, ?)", row)

    def close(self) -> None:
        """All in one file, so that a copy of the folder is whole. A step that was not done leaves nothing."""
        try:
            self.flush()
            with refusals(self.path):
                self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self.connection.close()


def packed(rollouts: Sequence[Rollout], learnt: tuple[Sequence[Rollout], Batch] | None) -> dict[str, Any]:
    """What arrives of rollouts: the rows of each table as JSON, beside them in one piece what is no text, and how many numbers they take.

    Columns first, then rows, and SQLite does the rest, for which it does not need the interpreter: a tenth of the time that rows one by one take.
    """
    turns = [t for r in rollouts for t in r.turns]
    counts = np.array([len(r.turns) for r in rollouts], np.int64)
    of = np.repeat(np.arange(len(rollouts)), counts)
    nth = np.arange(len(turns)) - np.repeat(np.cumsum(counts) - counts, counts)
    ids, forced = [t.ids for t in turns], np.array([t.forced for t in turns], bool)
    lengths, keys = list(map(len, ids)), list(map(id, ids))
    kinds = dict(zip(keys, ids))  # samples that agree share their tokens
    begins = dict(zip(kinds, accumulate(map(len, kinds.values()), initial=0)))
    row, reward, advantage = pushed(rollouts, learnt)
    contexts = {id(t.context): t.context for t in turns}
    order = dict(zip(contexts, range(len(contexts))))
    written = zip(
        of.tolist(), nth.tolist(), [t.role for t in turns], [t.writer[0] for t in turns], [order[id(t.context)] for t in turns],
        [t.text for t in turns], [t.ended for t in turns], forced.astype(int).tolist(), [t.temperature for t in turns], lengths,
        [begins[k] for k in keys], accumulate(lengths, initial=0), row, [int(t.entropy is None) for t in turns],
    )  # fmt: skip
    tokens = np.bincount(of, np.where(forced, 0, lengths), len(rollouts)).astype(int).tolist()
    scores = figures([v and v.score for v in (r.verdict for r in rollouts)])
    samples = [
        (i, r.index, r.k, r.problem.id, a and a.text, v and v.parsed, s, v and v.reason, r.error, int(a is not None and a.truncated), n, x)
        for i, (r, a, v, s, n, x) in enumerate(
            zip(rollouts, [r.reply for r in rollouts], [r.verdict for r in rollouts], scores, tokens, reward)
        )
    ]
    parts = [(i, name, x) for i, r in enumerate(rollouts) for name, x in r.rewards.items()]
    named = [(i, name, x) for (i, name, _), x in zip(parts, figures([x for _, _, x in parts]))]
    problems = {r.problem.id: r.problem for r in rollouts}.values()
    entropy = [np.zeros(t.n, "<f4") if t.entropy is None else t.entropy for t in turns]
    return {
        "problems": encoded([(p.id, p.question.prompt, p.answer, p.family, p.difficulty) for p in problems]),
        "contexts": encoded([(i, c.text) for i, c in enumerate(contexts.values())]),
        "rollouts": encoded(samples),
        "rewards": encoded(named),
        "calls": encoded([(i, n, *(c[k] for k in CALL)) for i, r in enumerate(rollouts) for n, c in enumerate(r.calls)]),
        "turns": encoded(list(written)),
        "ids": array("i", list(chain.from_iterable(kinds.values()))).tobytes(),
        "logp": joined([t.logp for t in turns]),
        "entropy": joined(entropy),
        "advantage": advantage.tobytes(),
        "stride": advantage[:1].nbytes,
        "whole": int(advantage.ndim == 1),
        "many": {"last_rollout": len(rollouts), "last_context": len(contexts)},
    }


def joined(pieces: Sequence[Any]) -> bytes:
    """Arrays one after another, as little-endian float32."""
    return np.concatenate(pieces, dtype="<f4").tobytes() if pieces else b""


def pushed(rollouts: Sequence[Rollout], learnt: tuple[Sequence[Rollout], Batch] | None) -> tuple[list[int], list[Any], Any]:
    """Each turn's row in the batch (-1: not learnt from), each rollout's reward, of its first such turn, and the batch's advantages."""
    starts = np.cumsum([0, *(len(r.turns) for r in rollouts)])
    row, reward = np.full(starts[-1], -1), np.full(len(rollouts), np.nan)
    if learnt is None or not len(learnt[1]):
        return row.tolist(), [None] * len(rollouts), np.zeros(0, "<f4")
    kept, batch = learnt
    place = dict(zip(map(id, rollouts), range(len(rollouts))))
    of = np.array([place.get(id(r), -1) for r in kept])[batch.rollout]  # a rewritten one was not sampled
    known = np.flatnonzero(of >= 0)[::-1]  # backwards, so that the first turn has the last word
    row[starts[of[known]] + batch.turn[known]] = known
    reward[of[known]] = batch.reward[known]
    return row.tolist(), figures(reward.tolist()), np.asarray(batch.advantage, "<f4")


def encoded(rows: Sequence[Row]) -> str:
    """Rows as JSON that SQLite reads as it was meant: half of a surrogate pair becomes a question mark, NUL its picture."""
    try:
        found = JSON.encode(rows)
        if b"\\u0000" not in found:
            return found.decode()
    except UnicodeEncodeError:
        pass
    return JSON.encode([[text(x) if isinstance(x, str) else x for x in row] for row in rows]).decode()


def number(x: Any) -> float | None:
    """A number that SQLite keeps as it is; nan is none."""
    return x if type(x) is float and x == x else None if x is None or math.isnan(x) else float(x)


def figure(x: Any) -> float | msgspec.Raw | None:
    """A number for JSON, in which SQLite reads what is too large as infinite."""
    if type(x) is float and -LARGEST <= x <= LARGEST:
        return x
    x = number(x)
    return x if x is None or abs(x) <= LARGEST else msgspec.Raw(b"9e999" if x > 0 else b"-9e999")


def figures(numbers: list[Any]) -> list[Any]:
    """`figure` of each; most often they are what it would make of them."""
    usual = all(type(x) is float for x in numbers) and bool(np.isfinite(numbers).all())
    return numbers if usual else list(map(figure, numbers))


def text(x: str) -> str:
    """Text that a record can hold."""
    return x.encode("utf-8", "replace").decode("utf-8").replace("\0", "␀")


# ---- reading


def opened(run: Path) -> sqlite3.Connection:
    """A connection that only reads, also while the run goes on, and from a folder that cannot be written. Raises BadData."""
    path = Path(run) / FILE
    if not path.is_file():
        raise BadData(run, f"holds no {FILE}; 'thinkery list runs' names the runs there are")
    live = path.with_name(f"{FILE}-wal").exists()
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro{'' if live else '&immutable=1'}", uri=True, timeout=BUSY_S)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)  # a query must not write elsewhere either
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        columns = set(connection.execute(COLUMNS))
    except sqlite3.DatabaseError as error:
        connection.close()
        raise BadData(path, f"cannot be read: {error}") from error
    lacks = sorted({(table, name) for table, (_, names) in TABLES.items() for name in names} - columns)
    if version != VERSION or lacks:
        connection.close()
        why = f"it lacks {'.'.join(lacks[0])}" if version == VERSION else f"it has version {version}, not {VERSION}"
        raise BadData(path, f"is no record of a run that this version reads ({why})")
    return connection


@contextmanager
def reading(run: Path) -> Iterator[None]:
    """Turn what SQLite says of a file that is broken into one clear message."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise BadData(Path(run) / FILE, f"cannot be read: {error}") from error


def query(run: Path, sql: str, given: Sequence[Any] = ()) -> tuple[list[str], list[Row]]:
    """Columns and rows of a query on a run's record. Raises InputError for what SQLite refuses; nothing can be changed by it."""
    with closing(opened(run)) as connection:
        try:
            cursor = connection.execute(sql, given)
            return [c[0] for c in cursor.description or ()], cursor.fetchall()
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise InputError(f"the query failed: {error}; the tables: {', '.join(TABLES)}") from error


def metrics_of(run: Path) -> list[dict[str, Any]]:
    """Each step's number, stage and metrics, in order; nothing where there is no record yet."""
    if not (Path(run) / FILE).exists():
        return []
    found: dict[int, dict[str, Any]] = {}
    sql = "SELECT s.step, s.stage, m.name, m.value FROM steps s LEFT JOIN metrics m ON m.step = s.step ORDER BY 1, 3"  # at one moment
    for step, stage, name, value in query(run, sql)[1]:
        metrics = found.setdefault(step, {"step": step, "stage": stage})
        if name is not None:
            metrics[name] = math.nan if value is None else value
    return list(found.values())


def seconds_of(run: Path) -> dict[int, float]:
    """How long each step took; nothing where there is no record yet."""
    return dict(query(run, "SELECT step, seconds FROM steps WHERE seconds IS NOT NULL")[1]) if (Path(run) / FILE).exists() else {}


def search(run: Path, words: str, limit: int = 20) -> list[dict[str, Any]]:
    """Rollouts whose prompt, reply, reason or error has all the words, newest first. Raises BadData, InputError.

    The index is made at the first search, beside the record (in memory where the folder cannot be written), and again when there is more.
    """
    wanted = " ".join('"' + w.replace('"', '""') + '"' for w in words.split())
    if not wanted:
        raise InputError("nothing to search for: give a word")
    with reading(run), closing(opened(run)) as connection, closing(_index(Path(run), connection)) as index:
        found = [i for (i,) in index.execute("SELECT rowid FROM texts WHERE texts MATCH ? ORDER BY rowid DESC LIMIT ?", (wanted, limit))]
        sql = (
            "SELECT r.id, r.step, r.number, r.k, p.prompt, r.reply, r.score, r.reason, r.error "
            "FROM rollouts r JOIN problems p ON p.id = r.problem WHERE r.id = ?"
        )
        names = ("id", "step", "number", "k", "prompt", "reply", "score", "reason", "error")
        return [dict(zip(names, row)) for i in found for row in connection.execute(sql, (i,))]


def _index(run: Path, record: sqlite3.Connection) -> sqlite3.Connection:
    """The index of all texts, brought up to the record."""
    (last,) = record.execute("SELECT coalesce(max(id), 0) FROM rollouts").fetchone()
    try:
        index = sqlite3.connect(run / SEARCH, timeout=BUSY_S)
        index.execute("CREATE VIRTUAL TABLE IF NOT EXISTS texts USING fts5 (prompt, reply, reason, error)")
        (done,) = index.execute("SELECT coalesce(max(rowid), 0) FROM texts").fetchone()
    except sqlite3.Error:
        index, done = sqlite3.connect(":memory:"), 0
        index.execute("CREATE VIRTUAL TABLE texts USING fts5 (prompt, reply, reason, error)")
    if done > last:  # of a run that was cut back
        index.execute("DELETE FROM texts")
        done = 0
    rows = record.execute(
        "SELECT r.id, p.prompt, r.reply, r.reason, r.error FROM rollouts r JOIN problems p ON p.id = r.problem WHERE r.id > ? ORDER BY r.id",
        (done,),
    )
    with index:
        index.executemany("INSERT INTO texts (rowid, prompt, reply, reason, error) VALUES (?, ?, ?, ?, ?)", rows)
    return index
