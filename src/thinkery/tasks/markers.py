"""Where in a reply its answer stands: behind a marker."""

from __future__ import annotations

import re
from collections.abc import Iterator

ENDINGS = 16  # markers looked at, from the last
NAMED = r"\banswer(?:\s{0,3}:|\s{1,3}is\b\s{0,3}:?)|\\boxed\s?\{"
MARKER = re.compile(rf"#++|{NAMED}", re.IGNORECASE)
BRACE = re.compile("[{}]")


def tails(text: str, marker: re.Pattern[str] = MARKER) -> Iterator[str]:
    """What stands behind each marker, from the last one on; in a box only if no other marker follows it."""
    markers = list(marker.finditer(text))[-ENDINGS:]
    for m in reversed(markers):
        if not m[0].endswith("{"):
            yield text[m.end() :]
        elif markers[-1].start() < (end := closing(text, m.end())):
            yield text[m.end() : end]


def closing(text: str, start: int) -> int:
    """Where the brace that was opened just before `start` closes, or the end of the text."""
    depth = 1
    for m in BRACE.finditer(text, start):
        depth += 1 if m[0] == "{" else -1
        if depth == 0:
            return m.start()
    return len(text)
