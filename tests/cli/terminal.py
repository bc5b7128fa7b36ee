"""A command in a terminal of its own, and what a person would see there."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

SOURCE = str(Path(__file__).resolve().parents[2] / "src")
ROOT = str(Path(__file__).resolve().parents[2])
ENV = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "COLORTERM")} | {
    "PYTHONPATH": f"{SOURCE}:{ROOT}",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "TERM": "xterm",
}
SEQUENCE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])")


class Display:
    """What a terminal of so many rows and columns shows, with all that scrolled away. Knows what the view needs, and refuses the rest."""

    def __init__(self, rows: int, columns: int) -> None:
        self.rows, self.columns = rows, columns
        self.lines, self.row, self.column = [""], 0, 0
        self.cursor = True
        self.wrapped = 0  # lines that were too long
        self.styles: set[str] = set()
        self.rest = ""

    def feed(self, text: str) -> None:
        text, self.rest = self.rest + text, ""
        at = 0
        while at < len(text):
            if text[at] == "\x1b":
                found = SEQUENCE.match(text, at)
                if found is None:
                    assert re.fullmatch(r"\x1b(\[[0-9;?]*)?", text[at:]), f"unknown escape {text[at : at + 12]!r}"
                    self.rest = text[at:]
                    return
                self._sequence(*found.groups())
                at = found.end()
                continue
            self._character(text[at])
            at += 1

    def _sequence(self, given: str, kind: str) -> None:
        n = int(given) if given.isdigit() else 1
        match kind:
            case "m":
                self.styles |= set(given.split(";"))
            case "A":
                self.row = max(0, len(self.lines) - self.rows, self.row - n)
            case "K":
                self.lines[self.row] = "" if given == "2" else self.lines[self.row][: self.column]
            case "h" | "l" if given == "?25":
                self.cursor = kind == "h"
            case _:
                raise AssertionError(f"unknown sequence {given}{kind}")

    def _character(self, c: str) -> None:
        if c == "\r":
            self.column = 0
        elif c == "\n":
            self.row += 1
            if self.row == len(self.lines):
                self.lines.append("")
        else:
            assert c.isprintable(), f"unprintable {c!r}"
            if self.column == self.columns:
                self.wrapped += 1
                self._character("\r")
                self._character("\n")
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + c + line[self.column + 1 :]
            self.column += 1

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


class Command:
    """`thinkery WORDS` in a terminal."""

    def __init__(self, *words: object, cwd: Path, rows: int = 40, columns: int = 100, **env: str) -> None:
        self.display, self.decode = Display(rows, columns), codecs.getincrementaldecoder("utf-8")().decode
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "thinkery", *map(str, words)],
            cwd=cwd, env=ENV | env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(slave)

    def _read(self, wait: float) -> bool:
        """Show what was written; False at its end."""
        if not select.select([self.master], [], [], wait)[0]:
            return True
        try:
            found = os.read(self.master, 65536)
        except OSError:  # the other end is closed
            return False
        self.display.feed(self.decode(found))
        return bool(found)

    def until(self, seen: Callable[[str], object], seconds: float = 60.0) -> str:
        """Watch until something is seen."""
        end = time.monotonic() + seconds
        while not seen(self.display.text):
            assert time.monotonic() < end, f"not seen:\n{self.display.text}"
            assert self._read(0.05), f"it ended:\n{self.display.text}"
        return self.display.text

    def sees(self, *said: str) -> str:
        """Watch until all of it stands there at once."""
        return self.until(lambda text: all(words in text for words in said))

    def press(self) -> None:
        """Ctrl-C."""
        os.write(self.master, b"\x03")

    def end(self, seconds: float = 60.0) -> int:
        """Watch to the end; the exit status."""
        limit = time.monotonic() + seconds
        while self._read(0.05):
            assert time.monotonic() < limit, f"it does not end:\n{self.display.text}"
        os.close(self.master)
        return self.process.wait(10)

    def __enter__(self) -> Command:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
