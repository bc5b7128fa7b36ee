"""Runs as things to keep: listed, tagged, deleted, taken elsewhere as files."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import BadConfig, BadData, InputError, MissingExtra, UnknownName
from ..core.reading import loads
from ..learning.checkpoint import storage, write_json
from .report import read_run
from .schema import FILE, TABLES
from .store import opened, query, reading
from .text import duration

TAGS = "tags.json"
IDLE_S = 120.0  # without a word, before a run that is said to run is doubted
FORMS = ("jsonl", "parquet")
NUMBERS = {"ids": "<i4", "logp": "<f4", "entropy": "<f4", "advantage": "<f4"}  # columns that hold arrays
AT_ONCE = 10_000  # rows in memory


def listed(folder: Path, tag: str | None = None) -> list[dict[str, Any]]:
    """A row for each run in a folder, newest first; those with a tag, if one is given. `now`: how far one is that is at work."""
    rows = []
    for path in sorted(folder.glob("*/run.json"), key=lambda p: p.stat().st_mtime, reverse=True):
        try:
            about = read_run(path.parent)
        except BadData:
            about = {"status": "unreadable"}  # one broken run must not hide the others
        tags, scores = tags_of(path.parent), about.get("evaluations") or {}
        if tag is None or tag in tags:
            rows.append(
                {
                    "run": str(path.parent),
                    "method": about.get("method"),
                    "task": about.get("task"),
                    "status": about.get("status"),
                    "now": _now(path.parent, about) if about.get("status") == "running" else None,
                    "before": scores.get("before", {}).get("accuracy"),
                    "after": scores.get("after", {}).get("accuracy"),
                    "tags": ", ".join(tags),
                }
            )
    return rows


def _now(run: Path, about: Mapping[str, Any]) -> str:
    """How far a run is that says it is running, in words; or that nothing is written any more."""
    written = max(p.stat().st_mtime for p in (run / "run.json", run / FILE, run / f"{FILE}-wal") if p.exists())
    try:
        ((done, mean),) = query(run, "SELECT count(*), avg(seconds) FROM steps")[1]
    except InputError:  # it has just begun
        done, mean = 0, None
    idle, steps = time.time() - written, sum(int(s.get("steps", 0)) for s in about.get("stages") or ())
    if idle > max(IDLE_S, 5 * (mean or 0.0)):
        return f"nothing written for {duration(idle)}: was it killed? --resume goes on"
    left = f", {duration(mean * (steps - done))} left" if mean and done < steps else ""
    return f"step {done} of {steps}{left}"


def tags_of(run: Path) -> list[str]:
    """A run's tags, in alphabetical order; none where they cannot be read."""
    try:
        found = loads((run / TAGS).read_text("utf-8"))
    except (OSError, ValueError):
        return []
    return sorted({str(t) for t in found}) if isinstance(found, list) else []


def tag(run: Path, tags: Sequence[str], remove: bool = False) -> list[str]:
    """Add tags to a run, or take them away; returns those that it has then. Raises BadData for what is no run."""
    read_run(run)
    for name in tags:
        if not name.strip() or "," in name:
            raise InputError(f"the tag {name!r}: give a word without a comma")
    now = set(tags_of(run)) - set(tags) if remove else set(tags_of(run)) | {t.strip() for t in tags}
    write_json(run / TAGS, sorted(now))
    return sorted(now)


def delete(run: Path, force: bool = False) -> int:
    """Delete a run's folder; returns the bytes that it took. Raises BadData for what is no run, BadConfig for one that goes on."""
    if read_run(run).get("status") == "running" and not force:
        raise BadConfig(f"{run} says that it is still running; if it is not (it was killed, say), delete it with --force")
    size = sum(p.stat().st_size for p in run.rglob("*") if p.is_file() and not p.is_symlink())
    with storage(run):
        shutil.rmtree(run)
    return size


def export(run: Path, form: str, out: Path) -> list[Path]:
    """Write each table of a run's record as a file of its own, tokens and log-probabilities as lists. Raises UnknownName, MissingExtra, BadConfig."""
    if form not in FORMS:
        raise UnknownName("form", form, FORMS)
    if out.exists() and any(out.iterdir()):
        raise BadConfig(f"{out} is not empty; choose another --out")
    with storage(out):
        out.mkdir(parents=True, exist_ok=True)
        return [_written(run, table, form, out / f"{table}.{form}") for table in TABLES]


def _written(run: Path, table: str, form: str, path: Path) -> Path:
    """One table as a file."""
    if form == "jsonl":
        with path.open("w", encoding="utf-8") as f:
            for rows in _rows(run, table):
                f.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        return path
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise MissingExtra("pyarrow", "data", "writing Parquet files") from error
    kinds = {"INTEGER": arrow.int64(), "REAL": arrow.float64(), "TEXT": arrow.string()}
    lists = {"<i4": arrow.list_(arrow.int32()), "<f4": arrow.list_(arrow.float32())}
    schema = arrow.schema([(n, lists[NUMBERS[n]] if n in NUMBERS else kinds[kind.split()[0]]) for n, (kind, _) in TABLES[table][1].items()])
    with parquet.ParquetWriter(path, schema) as writer:
        for rows in _rows(run, table):
            writer.write_table(arrow.Table.from_pylist(rows, schema))
    return path


def _rows(run: Path, table: str) -> Iterator[list[dict[str, Any]]]:
    """A table's rows, some at a time, in the order of their keys."""
    names = list(TABLES[table][1])
    with reading(run), closing(opened(run)) as connection:
        cursor = connection.execute(f"SELECT {', '.join(names)} FROM {table} ORDER BY 1, 2")
        while found := cursor.fetchmany(AT_ONCE):
            yield [{n: _value(run, n, v) for n, v in zip(names, row)} for row in found]


def _value(run: Path, name: str, value: Any) -> Any:
    """What a file says of a column; arrays as lists."""
    if not isinstance(value, bytes):
        return value
    if name not in NUMBERS or len(value) % 4:
        raise BadData(run / FILE, f"{name} holds {len(value)} bytes, which are no numbers")
    return np.frombuffer(value, NUMBERS[name]).tolist()
