"""What a run may be asked from outside while it learns: a checkpoint now, or to stop as after one Ctrl-C.

The run says in its folder that it listens, and under which name this start of it goes; who asks writes that name into the request. So a
request reaches the start that it was meant for or none: not a later one that resumes, and not a run elsewhere to which the folder was copied.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..core.errors import BadConfig, UnknownName
from ..core.reading import loads
from ..learning.checkpoint import write_json

LISTENS, REQUEST = "listens.json", "request.json"
CHECKPOINT, STOP = "checkpoint", "stop"
KINDS = (CHECKPOINT, STOP)


class Control:
    """The side of the run: what is asked of this start of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.start = f"{os.getpid()}-{time.time_ns()}"

    @contextmanager
    def listening(self) -> Iterator[Control]:
        """Say inside that requests are obeyed; what was asked before or is left over afterwards is dropped."""
        (self.folder / REQUEST).unlink(missing_ok=True)
        write_json(self.folder / LISTENS, {"start": self.start, "folder": str(self.folder)})
        try:
            yield self
        finally:
            for name in (LISTENS, REQUEST):
                with suppress(OSError):
                    (self.folder / name).unlink(missing_ok=True)

    def asked(self) -> str:
        """What is asked of this start, once: checkpoint, stop, or nothing (the empty string)."""
        path = self.folder / REQUEST
        if not path.exists():
            return ""
        found = _read(path)
        with suppress(OSError):
            path.unlink()
        if path.exists():  # what cannot be dropped would be obeyed at every step
            return ""
        return str(found["ask"]) if found.get("start") == self.start and found.get("ask") in KINDS else ""


def ask(run: Path, kind: str) -> None:
    """Ask a run that learns for a checkpoint or to stop. Raises UnknownName, and BadConfig where no run listens."""
    if kind not in KINDS:
        raise UnknownName("request", kind, KINDS)
    start = listens(run)
    if not start:
        raise BadConfig(f"{run.name} does not listen: it is not learning now, or it was started elsewhere")
    if pending(run) == STOP:
        return  # a checkpoint is written then anyway
    write_json(run / REQUEST, {"ask": kind, "start": start})


def pending(run: Path) -> str:
    """What was asked of a run and not obeyed yet; the empty string where it is nothing."""
    found = _read(run / REQUEST)
    return str(found.get("ask", "")) if found and found.get("start") == listens(run) else ""


def listens(run: Path) -> str:
    """The name of the start that listens in this folder; the empty string where none does."""
    found = _read(run / LISTENS)
    return str(found.get("start", "")) if found.get("folder") == str(run.resolve()) and _alive(str(found.get("start", ""))) else ""


def _alive(start: str) -> bool:
    """Whether the process of a start is there; one that was killed leaves its word behind."""
    process = start.partition("-")[0]
    if not process.isdecimal():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _read(path: Path) -> dict[str, Any]:
    """A JSON object; an empty one where there is none."""
    try:
        found = loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
