"""What a run looks like in a terminal: one live line of figures, or plain lines, or one JSON event a line, or nothing."""

from __future__ import annotations

import json
import sys
import time
from math import isfinite
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..lab.events import Event
from ..lab.text import duration, one_line, percent

BARS = "▁▂▃▄▅▆▇█"
EVERY_S = 2.0  # between two plain lines of progress
WIDTH = 30  # of the sparkline


def sparkline(values: list[float]) -> str:
    """The last values, binned to WIDTH characters, between 0 and 1 or their own extremes."""
    if not values:
        return ""
    size = max(1, -(-len(values) // WIDTH))
    means = [sum(values[i : i + size]) / len(values[i : i + size]) for i in range(0, len(values), size)]
    low, high = min(0.0, *means), max(1.0, *means)
    return "".join(BARS[min(7, int(8 * (m - low) / (high - low)))] for m in means)


class View:
    """A listener that shows events; use as a context manager.

    mode   "live" on a terminal, "plain" elsewhere, "json" for one event a line, "quiet" for warnings alone
    """

    def __init__(self, mode: str = "auto") -> None:
        self.console = Console(highlight=False, soft_wrap=mode == "auto" and not sys.stdout.isatty())
        self.mode = ("live" if self.console.is_terminal else "plain") if mode == "auto" else mode
        self.live: Live | None = None
        self.curve: list[float] = []
        self.sample = ""
        self.last = 0.0
        self.began = time.monotonic()

    def __enter__(self) -> View:
        if self.mode == "live":
            self.live = Live(Text("loading"), console=self.console, refresh_per_second=4, transient=True)
            self.live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.live is not None:
            self.live.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if self.mode == "json":
            data = {k: None if isinstance(v, float) and not isfinite(v) else v for k, v in event.data.items()}  # JSON has no NaN
            print(json.dumps({"event": event.kind, **data}, ensure_ascii=True, default=str), flush=True)
        elif self.mode != "quiet" or event.kind == "warning":
            getattr(self, f"_{event.kind}", self._ignore)(event.data)

    def say(self, text: str, style: str = "") -> None:
        """A line that stays; text is shown as it is, never as markup."""
        self.console.print(Text(text, style=style))

    def _ignore(self, d: dict[str, Any]) -> None:
        return None

    def _stage(self, d: dict[str, Any]) -> None:
        self.curve = []
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

    def _figures(self, d: dict[str, Any]) -> str:
        parts = [f"{d['stage']} {d['step']}/{d['steps']}"]
        for key, shown in (("reward", "{:.3f}"), ("accuracy", "{:.3f}"), ("length", "{:.0f} tokens"), ("loss/sft", "{:.3f}")):
            if key in d and (key != "accuracy" or abs(d.get("reward", -1.0) - d["accuracy"]) > 1e-9):
                parts.append(f"{key.removeprefix('loss/')} {shown.format(d[key])}".replace("sft", "loss"))
        if "mixed" in d:
            parts.append(f"groups with signal {100 * d['mixed']:.0f} %")
        if "tokens_per_s" in d:
            parts.append(f"{d['tokens_per_s']:,.0f} tokens/s")
        if "seconds_left" in d:
            parts.append(f"{duration(d['seconds_left'])} left")
        return " · ".join(parts)

    def _step(self, d: dict[str, Any]) -> None:
        if "reward" in d:
            self.curve.append(d["reward"])
        if self.live is not None:
            self.live.update(Text(f"{self._figures(d)}\n{sparkline(self.curve)}\n{self.sample}"))
        elif time.monotonic() - self.last > EVERY_S or d["step"] == d["steps"]:
            self.last = time.monotonic()
            self.say(self._figures(d))

    def _sample(self, d: dict[str, Any]) -> None:
        score = "—" if d["score"] is None else f"{d['score']:g}"
        self.sample = f"{score}  {one_line(d['prompt'], 40)} {one_line(d['reply'], 80)}"

    def _finding(self, d: dict[str, Any]) -> None:
        if d["level"] in ("warning", "fatal"):
            advice = f"\n  {d['advice']}" if d["advice"] else ""
            self.say(f"doctor: {d['check']}: {d['seen']}{advice}", "yellow" if d["level"] == "warning" else "red")

    def _progress(self, d: dict[str, Any]) -> None:
        text = f"{d['label']}: {d['done']} of {d['of']} problems"
        if self.live is not None:
            self.live.update(Text(text))
        elif time.monotonic() - self.last > EVERY_S:
            self.last = time.monotonic()
            self.say(text)

    def _evaluation(self, d: dict[str, Any]) -> None:
        interval = f"{100 * d['low']:.1f} to {100 * d['high']:.1f}"
        self.say(f"{d['label']}: accuracy {percent(d['accuracy'])} (95 % interval {interval}, n={d['n']})", "bold")

    def _checkpoint(self, d: dict[str, Any]) -> None:
        if self.mode == "plain":
            self.say(f"checkpoint at step {d['step']}: {d['path']}")

    def _warning(self, d: dict[str, Any]) -> None:
        self.say(f"warning: {one_line(d['text'], 300)}", "yellow")

    def _note(self, d: dict[str, Any]) -> None:
        self.say(one_line(d["text"], 300))

    def _standings(self, d: dict[str, Any]) -> None:
        """The race so far: a row for each arm."""
        table = Table(title=f"after seed {d['seed']} of {d['of']}", title_justify="left", show_edge=False)
        for name in ("method", "seeds", "accuracy", "95 % interval"):
            table.add_column(name, justify="left" if name == "method" else "right")
        for row in d["rows"]:
            table.add_row(*(Text(one_line(cell)) for cell in row))
        self.console.print(table)

    def _saved(self, d: dict[str, Any]) -> None:
        self.say(f"{d['what']}: {d['path']}")

    def _done(self, d: dict[str, Any]) -> None:
        self.say(f"done: {d['steps']} steps, {d['tokens']:,} tokens sampled, {duration(d['seconds'])}")
