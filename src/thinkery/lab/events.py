"""What a run tells while it works: one event type, listened to by the terminal, files and tests alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Event:
    """kind: stage, preview, finding, step, sample, evaluation, checkpoint, warning, note, saved, done, standings, arm, trial or verdict; data: plain values."""

    kind: str
    data: dict[str, Any] = field(default_factory=dict)


Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """Listens to nothing."""
