"""A report as a document: a title, sections, and in them a few kinds of blocks; as one HTML file that opens anywhere, as Markdown, as JSON.

The HTML has no scripts and needs no network; it is light and dark, readable on a phone, and prints. All text is cleaned by whoever
makes the blocks, and escaped here for its medium.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from ..core.errors import StorageError, UnknownName
from .telling import Telling
from .text import markdown_table

TEMPLATE = Path(__file__).with_name("report.html")
FORMS = ("html", "md", "json")
Rows = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Words:
    """Paragraphs; `soft`: remarks on what stands before."""

    kind: ClassVar[str] = "words"
    lines: Sequence[str]
    soft: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    kind: ClassVar[str] = "bullets"
    lines: Sequence[str]


@dataclass(frozen=True)
class Scores:
    """Figures that are meant to be seen first: (label, figure, what it holds for)."""

    kind: ClassVar[str] = "scores"
    items: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Table:
    """Rows of cells, the head first; a note on how to read them."""

    kind: ClassVar[str] = "table"
    rows: Rows
    note: str = ""

    @property
    def texts(self) -> list[bool]:
        """Which columns hold words, rather than figures."""
        return [any(cell[:1].isalpha() for cell in column) for column in zip(*self.rows[1:])]


@dataclass(frozen=True)
class Figure:
    """A drawing, the names of its curves in order (none where the drawing names them itself), and what it shows."""

    svg: Markup
    names: Sequence[str]
    caption: str


@dataclass(frozen=True)
class Figures:
    """Drawings, a note on how to read them, and a table that says in Markdown what they show."""

    kind: ClassVar[str] = "figures"
    items: Sequence[Figure]
    note: str = ""
    rows: Rows = ()
    about: str = ""  # the table


@dataclass(frozen=True)
class Replies:
    """Problems with replies."""

    kind: ClassVar[str] = "replies"
    items: Sequence[Telling]


@dataclass(frozen=True)
class Facts:
    """Names and values."""

    kind: ClassVar[str] = "facts"
    items: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Code:
    """Text as it is; folded under its title, if it has one."""

    kind: ClassVar[str] = "code"
    text: str
    title: str = ""


Block = Words | Bullets | Scores | Table | Figures | Replies | Facts | Code


@dataclass(frozen=True)
class Section:
    """A heading with blocks."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Document:
    """What a report says; `notices` stand before all else, and sections without blocks are left out."""

    title: str
    subtitle: str
    sections: Sequence[Section]
    notices: Sequence[str] = field(default_factory=tuple)


@cache
def _template() -> Template:
    env = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return env.from_string(TEMPLATE.read_text("utf-8"))


def html(document: Document) -> str:
    """The document as one HTML page."""
    return _template().render(it=document)


def markdown(document: Document) -> str:
    """The document as Markdown; drawings are tables there."""
    lines = [f"# {plain(document.title)}", plain(document.subtitle), *(f"**{plain(line)}**" for line in document.notices)]
    for section in document.sections:
        if section.blocks:
            lines += [f"## {plain(section.title)}", *(part for block in section.blocks for part in _parts(block))]
    return "\n\n".join(line for line in lines if line) + "\n"


def _parts(block: Block) -> list[str]:
    """A block as paragraphs of Markdown."""
    match block:
        case Words():
            return [plain(line) for line in block.lines]
        case Bullets():
            return ["\n".join(f"- {plain(line)}" for line in block.lines)]
        case Scores():
            return [_table([("", "", ""), *block.items])]
        case Table():
            return [_table(block.rows), plain(block.note)]
        case Figures():
            return [plain(block.about), _table(block.rows)] if block.rows else []
        case Replies():
            return [part for telling in block.items for part in _telling(telling)]
        case Facts():
            return ["\n".join(f"- {plain(name)}: {plain(value)}" for name, value in block.items)]
        case Code():
            return [f"{plain(block.title)}:" if block.title else "", fenced(block.text)]


def _telling(it: Telling) -> list[str]:
    """A problem with its replies."""
    parts = [f"### {plain(it.kind)}", plain(it.why), fenced(it.prompt), f"Correct answer: {plain(it.gold)}" if it.gold else ""]
    for side in it.sides:
        why = f"; {plain(side.reason)}" if side.reason and not side.solved else ""
        parts += [f"{plain(side.label)}: {plain(side.verdict)}{plain(side.paid)}{why}", fenced(side.reply or "(empty)")]
    return parts


def _table(rows: Rows) -> str:
    head, *rest = [[plain(cell) for cell in row] for row in rows]
    return "\n".join(markdown_table(head, rest))


def fenced(text: str) -> str:
    """Text as a block of Markdown that nothing in it can end."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}\n{text}\n{fence}"


def plain(text: str) -> str:
    """Text in a line of Markdown, with what would be markup escaped."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))


def form_of(path: Path) -> str:
    """The form that a file's name asks for. Raises UnknownName."""
    form = path.suffix.removeprefix(".")
    if form not in FORMS:
        raise UnknownName("form of a report", path.name, [f"*.{f}" for f in FORMS])
    return form


def put(path: Path, page: str) -> Path:
    """Write a report, all of it or nothing; returns the path. Raises StorageError."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(page, "utf-8")
        os.replace(part, path)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}; choose another place") from error
    return path


def dumps(value: Any) -> str:
    """A report as JSON; a number that JSON has no word for is null."""
    return json.dumps(_finite(value), ensure_ascii=False, indent=1) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not isfinite(value) else value
