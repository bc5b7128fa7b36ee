"""What a command looks like while it works: a live screen on a terminal, plain lines elsewhere, one JSON event a line, or warnings alone."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping
from math import isfinite
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..lab.events import Event
from ..lab.text import duration, one_line, percent
from .screen import STOPPING, Screen, evaluated, figures

EVERY_S = 2.0  # between two plain lines of progress
REFRESH = 4  # times a second
QUIET = ("warning", "finding", "interrupted")  # told in any case


class View:
    """A listener that shows events; use as a context manager.

    mode   "live" on a terminal, "plain" elsewhere, "json" for one event a line, "quiet" for warnings alone
    """

    def __init__(self, mode: str = "auto") -> None:
        self.console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
        lively = self.console.is_terminal and not self.console.is_dumb_terminal
        self.mode = ("live" if lively else "plain") if mode == "auto" else mode
        self.screen = Screen()
        self.live: Live | None = None
        self.last = 0.0
        self.untold = False  # that it stops, in JSON

    def __enter__(self) -> View:
        if self.mode == "live":
            self.live = Live(get_renderable=lambda: self.screen, console=self.console, refresh_per_second=REFRESH, transient=True)
            self.live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.live is not None:
            self.live.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if event.kind == "stopping":
            self._stopping()
            return
        if self.mode == "json":
            self._json(event)
            return
        self.screen.hear(event)
        if self.mode != "quiet" or event.kind in QUIET:
            getattr(self, f"_{event.kind}", self._ignore)(event.data)

    def say(self, text: str, style: str = "") -> None:
        """A line that stays; text is shown as it is, never as markup."""
        self.console.print(Text(text, style=style))

    def _json(self, event: Event) -> None:
        if self.untold:
            self.untold = False
            self._json(Event("stopping"))
        print(json.dumps({"event": event.kind, **_finite(event.data)}, ensure_ascii=True, default=str), flush=True)

    def _stopping(self) -> None:
        """Ctrl-C was pressed: called by a signal's handler, maybe in the middle of a line that is being written."""
        self.screen.stopping = self.untold = True
        if self.live is None:
            with contextlib.suppress(OSError):
                os.write(2, f"{STOPPING}\n".encode())

    def _due(self) -> bool:
        """Whether a plain line of progress may be written."""
        due = self.mode == "plain" and time.monotonic() - self.last > EVERY_S
        self.last = time.monotonic() if due else self.last
        return due

    def _ignore(self, d: dict[str, Any]) -> None:
        return None

    def _begin(self, d: dict[str, Any]) -> None:
        if self.mode == "plain":
            self.say(one_line(d["title"], 300), "bold")

    def _stage(self, d: dict[str, Any]) -> None:
        if self.mode == "plain" or not self.screen.race:
            self.say(f"stage {d['name']} ({d['index'] + 1} of {d['of']}): {d['steps']} steps", "bold")

    def _preview(self, d: dict[str, Any]) -> None:
        table = Table(title="Before the first step: prompts, replies, what was read, verdicts", title_justify="left", show_edge=False)
        for name in ("prompt", "reply", "parsed", "verdict"):
            table.add_column(name, overflow="fold")
        for s in d["samples"]:
            score = "—" if s["score"] is None else f"{s['score']:g}"
            cells = (
                one_line(s["rendered"], 48),
                one_line(s["reply"], 48),
                one_line(str(s["parsed"]), 16),
                f"{score} {one_line(s['reason'], 40)}",
            )
            table.add_row(*(Text(c) for c in cells))
        self.console.print(table)

    def _step(self, d: dict[str, Any]) -> None:
        if self.mode == "plain" and (d["step"] == d["steps"] or time.monotonic() - self.last > EVERY_S):
            self.last = time.monotonic()
            self.say(figures(d))

    def _progress(self, d: dict[str, Any]) -> None:
        if self._due():
            self.say(evaluated(d))

    def _finding(self, d: dict[str, Any]) -> None:
        if d["level"] in ("warning", "fatal"):
            advice = f"\n  {one_line(d['advice'], 400)}" if d["advice"] else ""
            self.say(f"doctor: {d['check']}: {one_line(d['seen'], 400)}{advice}", "yellow" if d["level"] == "warning" else "red")

    def _evaluation(self, d: dict[str, Any]) -> None:
        if self.mode == "plain" or not self.screen.race:
            interval = f"{100 * d['low']:.1f} to {100 * d['high']:.1f}"
            self.say(f"{d['label']}: accuracy {percent(d['accuracy'])} (95 % interval {interval}, n={d['n']})", "bold")

    def _checkpoint(self, d: dict[str, Any]) -> None:
        if self.mode == "plain":
            self.say(f"checkpoint at step {d['step']}: {d['path']}")

    def _warning(self, d: dict[str, Any]) -> None:
        self.say(f"warning: {one_line(d['text'], 300)}", "yellow")

    def _note(self, d: dict[str, Any]) -> None:
        self.say(one_line(d["text"], 300))

    def _arm(self, d: dict[str, Any]) -> None:
        race = self.screen.race
        if race is not None and self._due():
            self.say(f"{race.figures()} · now: {race.now()}")

    def _trial(self, d: dict[str, Any]) -> None:
        race = self.screen.race
        if race is not None and self.mode == "plain" and (not d["kept"] or self._due()):
            shown = [f"{k} {d['metrics'][k]:.3g}" for k in race.metrics if k in d["metrics"]]
            self.say(" · ".join([f"seed {d['seed']} of {d['of']}", one_line(d["arm"]), *shown, race.figures()]))

    def _standings(self, d: dict[str, Any]) -> None:
        """The race so far: a row for each arm; on a live screen it stands there already."""
        if self.mode != "plain":
            return
        table = Table(title=f"after seed {d['seed']} of {d['of']}", title_justify="left", show_edge=False)
        for name in ("method", "seeds", "accuracy", "95 % interval"):
            table.add_column(name, justify="left" if name == "method" else "right")
        for row in d["rows"]:
            table.add_row(*(Text(one_line(cell)) for cell in row))
        self.console.print(table)

    def _saved(self, d: dict[str, Any]) -> None:
        self.say(f"{d['what']}: {d['path']}")

    def _interrupted(self, d: dict[str, Any]) -> None:
        self.say(f"{d['text']}\ngo on with: {d['again']}")

    def _done(self, d: dict[str, Any]) -> None:
        self.say(f"done: {d['steps']} steps, {d['tokens']:,} tokens sampled, {duration(d['seconds'])}")


def _finite(value: Any) -> Any:
    """The value without the numbers that JSON lacks."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, (list, tuple)) else value
