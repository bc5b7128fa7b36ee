"""Curves and intervals as inline SVG, with axes, ticks and units and without scripts; curves also as columns for a page that draws them itself.

A curve is a thin line as measured and a bold one as its running mean; an interval a dot with its two ends, below its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil, floor, isfinite, log10
from typing import Any

from markupsafe import Markup

WIDTH, HEIGHT = 360, 210  # small on purpose: at a phone's width one unit is one pixel, so labels stay readable
LEFT, RIGHT, TOP, BOTTOM = 54, 16, 12, 34
MOST = 300  # points drawn per curve; longer ones are averaged in bins
CLOSE = 1200  # points per curve where one can look closer
ROW, INSET = 32, 12  # height of an interval with its name; what stands free at both sides of them
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Curve:
    """A named series of (x, value), and maybe the (x, low, high) that it lies in; what has no finite value is left out."""

    name: str
    points: Points
    band: Sequence[tuple[float, float, float]] = ()


@dataclass(frozen=True, slots=True)
class Range:
    """A named value with the ends of its interval, if it has one; `said` is the value in words, `colour` that of the curve it belongs to."""

    name: str
    value: float
    ends: tuple[float, float] | None
    said: str
    colour: int | None = None


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers that cover low..high, at steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / most
    power = 10.0 ** floor(log10(rough))
    step = next(k * power for k in (1, 2, 5, 10) if k * power >= rough * 0.999999)
    return [k * step for k in range(floor(low / step + 1e-9), ceil(high / step - 1e-9) + 1)]


def label(value: float) -> str:
    """A tick's number, short: 0.25, 12, 1.5k, 2M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size and (size > 1e3 or abs(value) >= 1e4):
            return f"{value / size:g}{letter}"
    return f"{round(value, 10):g}"


def binned(points: Points, most: int = MOST) -> list[tuple[float, float]]:
    """At most `most` points: means over equal runs of neighbours."""
    size = ceil(len(points) / most) or 1
    runs = [points[i : i + size] for i in range(0, len(points), size)]
    return [(sum(x for x, _ in run) / len(run), sum(y for _, y in run) / len(run)) for run in runs]


def running_mean(points: Points, half: int) -> list[tuple[float, float]]:
    """Each point's mean with the `half` points before and after it (fewer at the ends)."""
    if half == 0:
        return list(points)
    sums, n = [0.0, *accumulate(y for _, y in points)], len(points)
    ends = [(max(0, i - half), min(n, i + half + 1)) for i in range(n)]
    return [(x, (sums[right] - sums[left]) / (right - left)) for (x, _), (left, right) in zip(points, ends)]


def settled(curves: Sequence[Curve], most: int = MOST) -> list[Curve]:
    """The curves as they are drawn: what has no finite value left out, at most `most` points each."""
    return [Curve(c.name, binned([(x, y) for x, y in c.points if isfinite(y)], most), c.band) for c in curves]


def columns(curves: Sequence[Curve]) -> dict[str, Any]:
    """The curves over one ascending x, for a page that draws them: numbers of four digits, None where a curve has none.

    A curve is its `name`, `y`, the running `mean` where it is long enough for one to differ, and `low` and `high` where it has a band.
    """
    kept = settled(curves, CLOSE)
    xs = [x for c in kept for x, *_ in (*c.points, *c.band)]
    digits = 4 - floor(log10((max(xs) - min(xs)) or 1)) if xs else 0
    exact = lambda points: {round(x, digits): float(f"{y:.4g}") for x, y in points}
    made = []
    for c in kept:
        half = len(c.points) // 30
        made.append({"y": exact(c.points)} | ({"mean": exact(running_mean(c.points, half))} if half else {}))
        if len(c.band) > 1:
            made[-1] |= {"low": exact([(x, low) for x, low, _ in c.band]), "high": exact([(x, high) for x, _, high in c.band])}
    across = sorted({x for its in made for column in its.values() for x in column})
    told = [{"name": c.name} | {k: [column.get(x) for x in across] for k, column in its.items()} for c, its in zip(kept, made)]
    return {"x": across, "curves": told}


def chart(curves: Sequence[Curve], *, unit: str, bounds: tuple[float, float] | None = None, over: str = "step") -> Markup:
    """The curves as one <svg>, or nothing where no curve has a finite value.

    unit     what the vertical axis counts
    over     what the horizontal axis counts
    bounds   what the vertical axis shows at least; by default what the data span
    """
    kept = settled(curves)
    if not any(c.points for c in kept):
        return Markup("")
    xs = [x for c in kept for x, _ in c.points]
    ys = [y for c in kept for _, y in c.points] + [y for c in kept for _, *ends in c.band for y in ends]
    low, high = min([*ys, *(bounds or ())]), max([*ys, *(bounds or ())])
    across = [x for x in ticks(*_apart(min(xs), max(xs))) if x == int(x) or over != "step"]
    up = ticks(*_apart(low, high))
    frame = _Frame(*_apart(min(xs), max(xs)), up[0], up[-1])
    body = Markup("").join((*_grid(frame, across, up, unit, over), *_lines(frame, kept)))
    title = f"{', '.join(c.name for c in kept)} ({unit}) over {'training steps' if over == 'step' else over}"
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>{}</svg>').format(WIDTH, HEIGHT, title, title, body)


def intervals(rows: Sequence[Range], *, unit: str, zero: float | None = None) -> Markup:
    """The values one below the other as one <svg>, or nothing where there are none. `zero`: where a line is drawn to tell them from."""
    rows = [r for r in rows if isfinite(r.value)]
    if not rows:
        return Markup("")
    ends = [x for r in rows for x in (r.value, *(r.ends or ())) if isfinite(x)] + ([] if zero is None else [zero])
    left, right = _apart(min(ends), max(ends))
    across, bottom = [v for v in ticks(left, right) if left <= v <= right], TOP + ROW * len(rows)
    x = lambda value: round(INSET + (min(max(value, left), right) - left) / (right - left) * (WIDTH - 2 * INSET), 1)
    parts = [Markup('<line class="grid" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(x(v), TOP, bottom) for v in across]
    parts += [Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(x(v), bottom + 14, label(v)) for v in across]
    if zero is not None:
        parts.append(Markup('<line class="zero" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(x(zero), TOP, bottom))
    parts += [_range(row, x, TOP + ROW * i) for i, row in enumerate(rows)]
    parts.append(Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(WIDTH - INSET, bottom + 29, unit))
    said = f"{unit}: {'; '.join(f'{r.name} {r.said}' for r in rows)}"
    head = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>{}</svg>')
    return head.format(WIDTH, bottom + BOTTOM, said, said, Markup("").join(parts))


def _range(row: Range, x: Callable[[float], float], top: float) -> Markup:
    """One interval with its name above it."""
    colour, y = "axis" if row.colour is None else f"c{row.colour}", top + 23
    out = Markup('<text class="name" x="{}" y="{}">{}</text>').format(INSET, top + 13, row.name)
    out += Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(WIDTH - INSET, top + 13, row.said)
    if row.ends is not None:
        low, high = map(x, row.ends)
        out += Markup('<path class="mean {}" d="M{} {}H{}M{} {}v8M{} {}v8"/>').format(colour, low, y, high, low, y - 4, high, y - 4)
    return out + Markup('<circle class="{}" cx="{}" cy="{}" r="3.5"/>').format(colour, x(row.value), y)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where data coordinates lie on the drawing."""

    left: float
    right: float
    low: float
    high: float

    def x(self, value: float) -> float:
        return LEFT + (value - self.left) / (self.right - self.left) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self.low) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM)


def _apart(low: float, high: float) -> tuple[float, float]:
    """The two ends, moved apart where they coincide."""
    return (low, high) if high > low else (low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1))


def _grid(frame: _Frame, across: Sequence[float], up: Sequence[float], unit: str, over: str) -> Iterator[Markup]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for value in up:
        y = round(frame.y(value), 1)
        yield Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(LEFT, right, y, y)
        yield Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(LEFT - 5, round(y + 4, 1), label(value))
    for value in across:
        if frame.left <= value <= frame.right:
            x = round(frame.x(value), 1)
            yield Markup('<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(x, x, bottom, bottom + 4)
            yield Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(x, bottom + 16, label(value))
    yield Markup('<path class="axis" d="M{} {}V{}H{}"/>').format(LEFT, TOP, bottom, right)
    yield Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(right, HEIGHT - 5, over)
    middle = (TOP + bottom) / 2
    yield Markup('<text transform="translate(11 {}) rotate(-90)" text-anchor="middle">{}</text>').format(middle, unit)


def _lines(frame: _Frame, curves: Sequence[Curve]) -> Iterator[Markup]:
    for i, curve in enumerate(curves):
        half = len(curve.points) // 30
        if len(curve.band) > 1:
            there = [f"{frame.x(x):.1f} {frame.y(high):.1f}" for x, _, high in curve.band]
            back = [f"{frame.x(x):.1f} {frame.y(low):.1f}" for x, low, _ in reversed(curve.band)]
            yield Markup('<path class="band c{}" d="M{}Z"/>').format(i, "L".join(there + back))
        for kind, points in (("raw", curve.points), ("mean", running_mean(curve.points, half))):
            if len(points) == 1:
                yield Markup('<circle class="c{}" cx="{:.1f}" cy="{:.1f}" r="3"/>').format(i, frame.x(points[0][0]), frame.y(points[0][1]))
            elif points and (kind == "mean" or half > 0):
                path = "L".join(f"{frame.x(x):.1f} {frame.y(y):.1f}" for x, y in points)
                yield Markup('<path class="{} c{}" d="M{}"/>').format(kind, i, path)
