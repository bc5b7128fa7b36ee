"""What a notebook shows: progress in one place, and results as small pages.

What a model wrote is hostile: it is cleaned of what no person can read, and escaped. Nothing here runs a script or loads anything.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from .chart import Curve, chart
from .events import Event, Listener, silent
from .text import duration, one_line, percent

EVERY_S = 0.25  # between two drawings of progress
WIDTH, LONG = 120, 1_000  # characters of a cell, of a sentence
SHOWN = 5  # replies of an evaluation
METRICS = (("reward", "reward", "{:.3f}"), ("accuracy", "accuracy", "{:.3f}"), ("length", "tokens a reply", "{:.0f}"))
STYLE = Markup(  # colours that a light and a dark page can both bear
    "<style>.thinkery svg{display:block;width:100%;max-width:28em;height:auto}"
    ".thinkery svg text{fill:currentColor;font:11px system-ui,sans-serif}.thinkery .axis{stroke:currentColor;fill:none}"
    ".thinkery .grid{stroke:currentColor;opacity:.15}.thinkery .raw,.thinkery .mean{fill:none}.thinkery .raw{opacity:.35}"
    ".thinkery .mean{stroke-width:2}.thinkery .c0{stroke:#2f7fd0}.thinkery .c1{stroke:#d0782f}.thinkery .mean.c1{stroke-dasharray:5 3}</style>"
)


# ---- results


def sheet(title: str, *parts: Markup) -> str:
    """A result as HTML: its title, then its parts."""
    return str(Markup('<div class="thinkery"><p><strong>{}</strong></p>{}</div>').format(line(title, LONG), Markup("").join(parts)))


def paragraphs(lines: Iterable[str]) -> Markup:
    """Sentences, each a paragraph."""
    return Markup("").join(Markup("<p>{}</p>").format(line(text, LONG)) for text in lines)


def grid(rows: Sequence[Sequence[str]]) -> Markup:
    """A table whose first row is its head; nothing without a second row."""
    if len(rows) < 2:
        return Markup("")
    across = lambda cell, row: Markup("<tr>{}</tr>").format(Markup("").join(cell.format(line(text)) for text in row))
    body = Markup("\n").join(across(Markup("<td>{}</td>"), row) for row in rows[1:])
    return Markup("\n<table><thead>{}</thead><tbody>\n{}</tbody></table>\n").format(across(Markup("<th>{}</th>"), rows[0]), body)


def replies(samples: Sequence[Mapping[str, Any]], most: int = SHOWN) -> Markup:
    """The first replies of an evaluation with their verdicts."""
    score = lambda s: "not counted" if s["score"] is None else f"{s['score']:g}"
    rows = [[s["prompt"], s["reply"], score(s), s["reason"]] for s in samples[:most]]
    return grid([["prompt", "reply", "score", "reason"], *rows])


def curves(metrics: Sequence[Mapping[str, Any]], names: Sequence[str] = ("reward", "accuracy")) -> Markup:
    """Metrics of a run over its steps, and which line is which; nothing where none was measured."""
    found = [Curve(name, [(m["step"], m[name]) for m in metrics if name in m]) for name in names]
    found = [c for c in found if c.points]
    drawn = chart(found, unit=", ".join(names), bounds=(0.0, 1.0))
    strokes = ("blue", "orange, dashed")
    legend = ", ".join(f"{c.name} {stroke}" for c, stroke in zip(found, strokes)) if len(found) > 1 else ""
    return Markup("{}{}{}").format(STYLE, drawn, paragraphs([legend] if legend else []))


def interval(found: Any) -> str:
    """An accuracy in words; `found` has accuracy, low, high, n."""
    return f"{percent(found.accuracy)} (95 % interval {100 * found.low:.1f} to {100 * found.high:.1f}, n={found.n})"


def line(text: str, width: int = WIDTH) -> str:
    """Text of any origin on one line, without what no person can read."""
    return one_line(str(text), width)


# ---- progress


def shown(listen: Listener | None) -> Listener:
    """Who listens: who was asked to; else a notebook's cell, where there is one."""
    return listen or (Progress() if in_notebook() else silent)


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook, not a terminal."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


class Progress:
    """A listener that draws what it hears in one place of a notebook; what is left at the end is the title, warnings and what was done."""

    def __init__(self) -> None:
        self.title = self.what = self.end = ""
        self.now: dict[str, Any] = {}  # of the step or evaluation at work
        self.sample: dict[str, Any] = {}
        self.arms: dict[str, list[str]] = {}  # name -> seeds done, running mean
        self.runs = self.done = 0
        self.kept: list[str] = []  # lines that stay
        self.last = 0.0
        self.place: Any = None  # a handle of what is displayed

    def __call__(self, event: Event) -> None:
        """Take note of an event, and draw where it is due."""
        d = event.data
        match event.kind:
            case "begin":
                self.title, self.what = d["title"], d["what"]
            case "step" | "progress":
                self.now = d
            case "sample":
                self.sample = d
            case "warning":
                self._keep(f"warning: {d['text']}")
            case "finding" if d["level"] in ("warning", "fatal"):
                self._keep(f"doctor: {d['check']}: {d['seen']}; {d['advice']}".rstrip("; "))
            case "arms":
                self.arms, self.runs = {arm: ["0", ""] for arm in d["arms"]}, d["seeds"] * len(d["arms"])
            case "trial":
                self._trial(d)
            case _:
                self._ends(event)
        if self.end or event.kind in ("begin", "arms", "trial") or time.monotonic() - self.last > EVERY_S:
            self.draw()

    def _keep(self, text: str) -> None:
        """A line that stays, once: all runs of a comparison may say the same."""
        if text not in self.kept:
            self.kept.append(text)

    def _trial(self, d: Mapping[str, Any]) -> None:
        """An arm's run is done; a check says nothing after its last."""
        mean = next(iter(d["means"].values()), [None])[0]
        self.arms[d["arm"]] = [str(d["seed"]), "" if mean is None else f"{mean:.3f}"]
        self.done += 1
        self.end = f"done: {self.done} runs" if self.what == "check" and self.done == self.runs else ""

    def _ends(self, event: Event) -> None:
        """What was done, where it is the last thing that is told."""
        d = event.data
        if event.kind == "done":
            self.end = f"done: {d['steps']} steps, {d['tokens']:,} tokens sampled"
        elif event.kind == "interrupted":
            self.end = f"{d['text']}; go on by calling the same again"
        elif (event.kind, self.what) == ("evaluation", "eval"):
            self.end = f"done: {d['n']} problems"
        elif (event.kind, self.what) == ("saved", "compare"):
            self.end = f"done: {self.done} runs"

    def draw(self) -> None:
        """Draw it in its place, now."""
        self.last = time.monotonic()
        page = importlib.import_module("IPython.display")
        if self.place is None:
            self.place = page.display(page.HTML(self.html()), display_id=True)
        else:
            self.place.update(page.HTML(self.html()))

    def html(self) -> str:
        """All that is known."""
        return sheet(self.title, paragraphs(self.kept), *((paragraphs([self.end]),) if self.end else self._at_work()))

    def _at_work(self) -> Iterable[Markup]:
        d = self.now
        if self.arms:
            names = [["", "seeds done", "mean so far"], *([arm, *cells] for arm, cells in self.arms.items())]
            yield paragraphs([f"{self.done} of {self.runs} runs"])
            yield grid(names)
        if d:
            at, of = (d["step"], d["steps"]) if "step" in d else (d["done"], d["of"])
            whose = f"{d['arm']}, seed {d['seed']}: " if "arm" in d else ""
            parts = [f"{whose}{d['stage']}, step {at} of {of}" if "step" in d else f"{d['label']}: {at} of {of} problems"]
            parts += [f"{called} {form.format(d[name])}" for name, called, form in METRICS if name in d]
            parts += [f"{duration(d['seconds_left'])} left"] if "seconds_left" in d else []
            yield Markup('<progress value="{}" max="{}"></progress>').format(at, of)
            yield paragraphs([" · ".join(parts)])
        if self.sample:
            yield replies([self.sample])
