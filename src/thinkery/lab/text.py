"""Text that a model wrote, made safe to show to a person.

A reply may hold terminal escapes, text that runs backwards, or characters that no terminal can print. Records keep it as it is;
whatever shows it calls `clean` or `one_line` first, and then escapes for its own medium (rich markup, HTML).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[@-Z\\-_])|\x9b[0-?]*[ -/]*[@-~]")
JOINERS = "\u200c\u200d"  # invisible, yet scripts and emoji need them
BAR = re.compile(r"(?<!\\)\|")
HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn"}


def clean(text: str) -> str:
    """`text` without terminal escapes, control, bidirectional and other invisible characters; newlines and tabs stay."""
    text = ESCAPE.sub("", text.replace("\r\n", "\n")).replace("\u2028", "\n").replace("\u2029", "\n")
    return "".join(c for c in text if c in "\n\t" or c in JOINERS or unicodedata.category(c) not in HIDDEN)


def one_line(text: str, width: int = 80) -> str:
    """`text` cleaned, on one line of at most `width` characters; line ends show as ⏎, and … stands for what was cut."""
    line = clean(text[: 4 * width]).strip().replace("\n", "⏎").replace("\t", " ")
    return line if len(line) <= width and len(text) <= 4 * width else line[: width - 1] + "…"


def duration(seconds: float) -> str:
    """A time in words: 0.4 s, 12 s, 3 min 20 s, 2 h 05 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def percent(share: float | None) -> str:
    """A share in [0, 1] as a percentage with one decimal; an em dash where it was not measured."""
    return "—" if share is None else f"{100 * share:.1f} %"


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table as lines of Markdown; a bar in a cell is escaped, unless it is already."""
    line = lambda cells: "| " + " | ".join(BAR.sub(r"\|", cell) for cell in cells) + " |"
    return [line(heads), line(["---"] * len(heads)), *map(line, rows)]
