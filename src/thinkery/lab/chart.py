"""Curves as inline SVG: axes, ticks, units, a thin line as measured and a bold one as its running mean. No scripts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

from markupsafe import Markup

WIDTH, HEIGHT = 360, 210  # small on purpose: at a phone's width one unit is one pixel, so labels stay readable
LEFT, RIGHT, TOP, BOTTOM = 54, 16, 12, 34
MOST = 300  # points drawn per curve; longer ones are averaged in bins
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Curve:
    """A named series of (x, value), and maybe the (x, low, high) that it lies in; what has no finite value is left out."""

    name: str
    points: Points
    band: Sequence[tuple[float, float, float]] = ()


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
    near = [points[max(0, i - half) : i + half + 1] for i in range(len(points))]
    return [(x, sum(y for _, y in part) / len(part)) for (x, _), part in zip(points, near)]


def chart(curves: Sequence[Curve], *, unit: str, bounds: tuple[float, float] | None = None, over: str = "step") -> Markup:
    """The curves as one <svg>, or nothing where no curve has a finite value.

    unit     what the vertical axis counts
    over     what the horizontal axis counts
    bounds   what the vertical axis shows at least; by default what the data span
    """
    kept = [Curve(c.name, binned([(x, y) for x, y in c.points if isfinite(y)]), c.band) for c in curves]
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
