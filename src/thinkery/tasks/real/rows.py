"""Rows of published files: JSON, JSON lines, tab-separated text, bAbI stories, Boxoban levels. One reader per format."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ...core.errors import BadData

Row = dict[str, Any]  # values by column; numbers stay as they are written


def read(path: Path) -> Iterator[Row]:
    """The file's rows, in its order. Raises BadData where it cannot be read."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise BadData(path, error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise BadData(path, "not UTF-8; fetch the file again, as its publisher has it") from None
    yield from READERS[path.suffix](path, text)


def parsed(path: Path, text: str, line: int | None = None) -> Any:
    """The value of a JSON text, with numbers as they are written."""
    try:
        return json.loads(text, parse_float=str, parse_int=str)
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadData(path, f"broken JSON ({error}); fetch the file again", line) from None


def table(path: Path, values: Iterable[Any]) -> Iterator[Row]:
    """The rows, if they are all objects."""
    for number, row in enumerate(values, 1):
        if not isinstance(row, dict):
            raise BadData(path, f"row {number} is a {type(row).__name__}, not an object")
        yield row


def json_lines(path: Path, text: str) -> Iterator[Row]:
    """One object a line."""
    yield from table(path, (parsed(path, source, line) for line, source in enumerate(text.split("\n"), 1) if source.strip()))


def json_rows(path: Path, text: str) -> Iterator[Row]:
    """A list of objects, alone or under "examples"; or objects one a line, whatever the file is called."""
    if text.lstrip()[:1] == "{" and "\n{" in text.strip():
        yield from json_lines(path, text)
        return
    value = parsed(path, text)
    rows = value.get("examples") if isinstance(value, dict) else value
    if not isinstance(rows, list):
        raise BadData(path, 'neither a list of rows nor an object with one under "examples"')
    yield from table(path, rows)


def tabbed(path: Path, text: str) -> Iterator[Row]:
    """Columns 0, 1, 2; the two characters \\n stand for a line's end within a cell."""
    for source in text.split("\n"):
        if source.strip():
            yield {str(i): cell.replace("\\n", "\n") for i, cell in enumerate(source.split("\t"))}


STORY = re.compile(r"([0-9]+) ([^\t]*)(?:\t([^\t]*)\t([0-9 ]*))?$")


def stories(path: Path, text: str) -> Iterator[Row]:
    """bAbI: numbered sentences and questions with answer and supporting sentences. A row is one question with all sentences before it."""
    told: dict[str, str] = {}
    for line, source in enumerate(text.split("\n"), 1):
        if not source.strip():
            continue
        found = STORY.match(source.rstrip("\r"))
        if found is None:
            raise BadData(path, f"{source[:60]!r} is no numbered sentence", line)
        number, said, answer, support = found.groups()
        if number == "1":
            told = {}
        if answer is None:
            told[number] = said.strip()
        else:
            facts = [told[n] for n in support.split() if n in told]
            yield {"story": list(told.values()), "question": said.strip(), "answer": answer, "facts": facts}


def levels(path: Path, text: str) -> Iterator[Row]:
    """Boxoban: "; n" and ten lines of ten characters."""
    for block in re.split(r"^; [0-9]+$", text, flags=re.MULTILINE)[1:]:
        yield {"level": block.strip("\n").rstrip()}


def plain(path: Path, text: str) -> Iterator[Row]:
    """A .txt file by its first character: levels open with ";", stories with a number."""
    opening = text.lstrip()[:1]
    reader: Callable[[Path, str], Iterator[Row]] | None = levels if opening == ";" else stories if opening.isdigit() else None
    if reader is None:
        raise BadData(path, "neither numbered stories (bAbI) nor levels (Boxoban)")
    yield from reader(path, text)


READERS: dict[str, Callable[[Path, str], Iterator[Row]]] = {
    ".json": json_rows,
    ".jsonl": json_lines,
    ".tsv": tabbed,
    ".txt": plain,
}
