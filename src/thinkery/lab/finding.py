"""What the doctor says: one finding."""

from __future__ import annotations

from dataclasses import dataclass

ENOUGH = 8  # rollouts below which nothing is said about shares


@dataclass(frozen=True)
class Finding:
    """check: its name; level: fine, note, warning or fatal; seen: the facts; advice: what to do."""

    check: str
    level: str
    seen: str
    advice: str = ""

    @property
    def text(self) -> str:
        """In one line."""
        return f"{self.check}: {self.seen}{' -> ' + self.advice if self.advice else ''}"


def fatal(check: str, seen: str, advice: str) -> Finding:
    """A finding without whose repair nothing is learnt, or the wrong thing."""
    return Finding(check, "fatal", seen, advice)


def warning(check: str, seen: str, advice: str) -> Finding:
    """A finding that costs much."""
    return Finding(check, "warning", seen, advice)
