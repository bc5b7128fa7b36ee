"""What a live terminal shows below the lines that stay: how far it is, curves, arms side by side, the latest reply.

Events only change what is known; rich's own thread draws it, four times a second, however many events there are.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from ..lab.events import Event
from ..lab.text import duration, one_line, percent

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 30  # of a sparkline
MEAN = 24  # columns of a mean with its interval
CURVES = (  # metric, what it is called, how it is written
    ("reward", "reward", "{:.3f}"),
    ("accuracy", "accuracy", "{:.3f}"),
    ("length", "length", "{:.0f} tokens a reply"),
    ("mixed", "signal", "{:.0%} of the groups"),
    ("loss/sft", "loss", "{:.3f}"),
)
SHARES = ("reward", "accuracy", "mixed")  # drawn between 0 and 1
STOPPING = "stopping after this step; Ctrl-C again stops at once"


class Curve:
    """A metric's course in at most 2 * WIDTH means, however long it gets."""

    def __init__(self) -> None:
        self.means: list[float] = []
        self.size, self.open = 1, list[float]()  # values in a mean; those of the next

    def add(self, value: float) -> None:
        """The next value."""
        self.open.append(value)
        if len(self.open) < self.size:
            return
        means = [*self.means, sum(self.open) / self.size]
        self.open = []
        if len(means) == 2 * WIDTH:
            means = [(a + b) / 2 for a, b in zip(means[::2], means[1::2])]
            self.size *= 2
        self.means = means  # at once: another thread draws


def sparkline(values: list[float], width: int = WIDTH, share: bool = True) -> str:
    """The values, binned to at most `width` characters, between their extremes, or at least 0 and 1 for a share."""
    if not values:
        return ""
    size = max(1, -(-len(values) // width))
    means = [sum(values[i : i + size]) / len(values[i : i + size]) for i in range(0, len(values), size)]
    low, high = (min(0.0, *means), max(1.0, *means)) if share else (min(means), max(means))
    return "".join(BARS[min(7, int(8 * (m - low) / (high - low)))] if high > low else BARS[3] for m in means)


def bar(share: float, width: int) -> Text:
    """A bar that is full to a share."""
    full = min(width, max(0, round(share * width)))
    return Text("━" * full, style="green") + Text("─" * (width - full), style="dim")


def figures(d: dict[str, Any]) -> str:
    """An event of a step in one line."""
    parts = [f"{d['stage']} {d['step']}/{d['steps']}"]
    for key, shown in (("reward", "{:.3f}"), ("accuracy", "{:.3f}"), ("length", "{:.0f} tokens"), ("loss/sft", "{:.3f}")):
        if key in d and (key != "accuracy" or abs(d.get("reward", -1.0) - d["accuracy"]) > 1e-9):
            parts.append(f"{key.removeprefix('loss/')} {shown.format(d[key])}".replace("sft", "loss"))
    if "mixed" in d:
        parts.append(f"groups with signal {100 * d['mixed']:.0f} %")
    return " · ".join([*parts, *pace(d)])


def evaluated(d: dict[str, Any]) -> str:
    """An event of an evaluation's progress in one line."""
    so_far = f"accuracy so far {percent(d['accuracy'])} (95 % interval {100 * d['low']:.1f} to {100 * d['high']:.1f})"
    return " · ".join([f"{d['label']}: {d['done']} of {d['of']} problems", so_far, *pace(d)])


def pace(d: dict[str, Any]) -> list[str]:
    """Speed, what a server bills, and the time left, where they are known."""
    out = [f"{d['tokens_per_s']:,.0f} tokens/s"] if d.get("tokens_per_s") else []
    if "billed" in d:
        out.append(f"billed {d['billed'].get('prompt_tokens', 0):,} tokens read, {d['billed'].get('tokens', 0):,} written")
    return [*out, f"{duration(d['seconds_left'])} left"] if "seconds_left" in d else out


class Race:
    """Arms side by side: seeds that are done, the share of the one at work, running means."""

    def __init__(self, d: dict[str, Any]) -> None:
        self.seeds, self.metrics = int(d["seeds"]), list(d["metrics"])
        self.done = {arm: set[int]() for arm in d["arms"]}
        self.share = dict.fromkeys(d["arms"], 0.0)
        self.means: dict[str, dict[str, Any]] = {arm: {} for arm in d["arms"]}
        self.kept = 0  # runs that were there already
        self.began = time.monotonic()

    def arm(self, d: dict[str, Any]) -> None:
        """A run goes on."""
        self.share[d["arm"]] = d["share"]

    def trial(self, d: dict[str, Any]) -> None:
        """A run is done."""
        arm = d["arm"]
        self.done[arm].add(d["seed"])
        self.kept += d["kept"]
        self.means[arm], self.share[arm] = d["means"], 0.0

    def figures(self) -> str:
        """How far the whole is, and the time that is left at the pace of this start."""
        runs, done = self.seeds * len(self.done), sum(map(len, self.done.values()))
        made = done - self.kept + sum(self.share.values())
        left = (time.monotonic() - self.began) / made * (runs - self.kept - made) if made > 0.05 else None
        return f"{done} of {runs} runs" + (f" · about {duration(left)} left" if left is not None and done < runs else "")

    def now(self) -> str:
        """What runs."""
        return ", ".join(f"{one_line(arm, 30)} {100 * share:.0f} %" for arm, share in list(self.share.items()) if share)

    def table(self, width: int) -> Table:
        """A row for each arm."""
        out = Table(box=None, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
        shown = self.metrics[: max(1, min(3, (width - 28) // MEAN))]
        room = max(8, min(30, width - 8 - MEAN * len(shown)))
        out.add_column("arm", no_wrap=True, overflow="ellipsis")
        out.add_column("seeds", no_wrap=True)
        for name in shown:
            out.add_column(name, no_wrap=True, overflow="ellipsis")
        for arm in self.done:
            at = f"{len(self.done[arm])}/{self.seeds}"
            out.add_row(Text(one_line(arm, room)), at, *(Text(_mean(self.means[arm].get(name))) for name in shown))
        return out


def _mean(found: list[float | None] | None) -> str:
    """A mean with its interval."""
    if found is None:
        return ""
    mean, low, high = found
    shown = "{:.0f}" if mean is not None and abs(mean) >= 20 else "{:.3f}"
    interval = "" if low is None or high is None else f" ({shown.format(low)} to {shown.format(high)})"
    return ("" if mean is None else shown.format(mean)) + interval


class Screen:
    """All that is known, as a renderable."""

    def __init__(self) -> None:
        self.title = self.what = self.stage = ""
        self.whose = ""  # the arm whose steps are shown
        self.step: dict[str, Any] = {}
        self.evaluation: dict[str, Any] = {}
        self.curves: dict[str, Curve] = {}
        self.sample: dict[str, Any] = {}
        self.race: Race | None = None
        self.stopping = False

    def hear(self, event: Event) -> None:
        """Take note of an event."""
        d = event.data
        match event.kind:
            case "begin":
                self.title, self.what = d["title"], d["what"]
            case "stage":
                self.stage = f"stage {d['name']}" + (f" ({d['index'] + 1} of {d['of']})" if d["of"] > 1 else "")
                self.step, self.evaluation, self.curves = {}, {}, {}
            case "step" if self._shown(d):
                self.step, self.evaluation = d, {}
                for name, _, _ in CURVES:
                    if name in d:
                        self.curves.setdefault(name, Curve()).add(d[name])
            case "progress":
                self.evaluation = d
            case "evaluation":
                self.evaluation = {}
            case "sample" if self._shown(d):
                self.sample = d
            case "arms":
                self.race = Race(d)
            case "arm" if self.race is not None:
                self.race.arm(d)
            case "trial" if self.race is not None:
                self.race.trial(d)
                if self.whose == d["arm"]:
                    self.whose, self.step, self.curves = "", {}, {}

    def _shown(self, d: dict[str, Any]) -> bool:
        """Whether a step or sample is of the run that is shown: of several beside each other, one until it is done."""
        self.whose = self.whose or d.get("arm", "")
        return d.get("arm", "") in ("", self.whose)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The lines, each cut to the width."""
        width = options.max_width
        for line in self._lines(width):
            if isinstance(line, Text):
                line.no_wrap, line.overflow = True, "ellipsis"
            yield line

    def _lines(self, width: int) -> Iterable[Text | Table]:
        if self.title:
            yield Text(one_line(self.title, width), style="bold")
        race = self.race
        if race is not None:
            yield Text(race.figures())
            yield race.table(width)
            if now := race.now():
                yield Text(f"now: {now}")
        if self.evaluation:
            yield from _evaluation_lines(self.evaluation, width)
        elif self.step:
            yield from self._step_lines(self.step, width)
        elif race is None:
            yield Text("working" if self.title else "loading", style="dim")
        if self.sample:
            yield from _sample_lines(self.sample, width)
        said = one_line(STOPPING if self.stopping else _keys(self.what), max(4, width - 3))  # the terminal writes ^C behind it
        yield Text(said, style="yellow" if self.stopping else "dim")

    def _step_lines(self, d: dict[str, Any], width: int) -> Iterable[Text]:
        whose = f"{one_line(d['arm'], 30)}, seed {d['seed']}: " if "arm" in d else ""
        stage = self.stage or f"stage {d['stage']}"
        yield Text(" · ".join([f"{whose}{stage}", f"step {d['step']} of {d['steps']}", *pace(d)]))
        if "total_steps" in d:
            yield bar(d["total"] / max(1, d["total_steps"]), min(width, 2 * WIDTH))
        for name, called, shown in CURVES:
            curve = self.curves.get(name)
            if curve is not None and name in d:
                line = sparkline(curve.means or [d[name]], min(WIDTH, max(8, width - 24)), name in SHARES)
                yield Text(f"{called:9}") + Text(line, style="cyan") + Text(f" {shown.format(d[name])}")


def _evaluation_lines(d: dict[str, Any], width: int) -> Iterable[Text]:
    whose = f"{one_line(d['arm'], 30)}, seed {d['seed']}: " if "arm" in d else ""
    yield Text(" · ".join([f"{whose}{d['label']}: {d['done']} of {d['of']} problems", *pace(d)]))
    yield bar(d["done"] / max(1, d["of"]), min(width, 2 * WIDTH))
    yield Text(f"accuracy so far {percent(d['accuracy'])} (95 % interval {100 * d['low']:.1f} to {100 * d['high']:.1f})")


def _sample_lines(d: dict[str, Any], width: int) -> Iterable[Text]:
    """The latest reply; what a model wrote is cleaned of all that acts on a terminal."""
    room = max(10, width - 9)
    yield Text("prompt   ", style="dim") + Text(one_line(d["prompt"], room))
    yield Text("reply    ", style="dim") + Text(one_line(d["reply"], room))
    score = "not verified" if d["score"] is None else f"{d['score']:g}"
    style = "" if d["score"] is None else "green" if d["score"] >= 1 else "red"
    yield Text("verdict  ", style="dim") + Text(score, style=style) + Text(f" {one_line(d['reason'], room)}" if d["reason"] else "")


def _keys(what: str) -> str:
    """What Ctrl-C does."""
    return {
        "train": "Ctrl-C finishes this step, keeps it and stops; twice stops at once",
        "compare": "Ctrl-C finishes this step, keeps all and stops; twice stops at once",
        "eval": "Ctrl-C stops and keeps the problems that are done",
        "check": "Ctrl-C stops and keeps the runs that are done",
    }.get(what, "Ctrl-C stops")
