"""Dates and times: what day it is after some days, weeks and months, on which weekday, how many days lie between, and the clock."""

from __future__ import annotations

import re
from calendar import isleap, monthrange
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED
from .generated import Generated, judged, laid_out, one_of, posed, span

KINDS = ("date", "weekday", "days", "time")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ANSWER = re.compile(rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}|{'|'.join(WEEKDAYS)}|[0-9]{{2}}:[0-9]{{2}}|[0-9]{{1,5}}")
UNITS = {"date": (("d", 40), ("w", 6), ("m", 12)), "time": (("m", 120), ("h", 20))}  # what a step counts in, and the most of it
APART = 60  # days between two dates at most
DAY = 24 * 60

Move = tuple[int, str]


@dataclass(frozen=True)
class Spec:
    """steps   from one date or time to the next, from and to
    kind    date, weekday, days, time, or any of them
    years   of the first date, from and to
    """

    steps: tuple[int, int] = (1, 3)
    kind: str = "any"
    years: tuple[int, int] = (2000, 2039)

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", span("steps", self.steps, 1, 9))
        one_of("kind", self.kind, ("any", *KINDS))
        object.__setattr__(self, "years", span("years", self.years, 1600, 2400))


class Calendar(Generated[Spec]):
    """Prompt `2024-02-27+3d-2w=date?`, reply `2024-03-01,2024-02-16#2024-02-16`: each date on the way, and the last.

    `tue 2024-02-27+1m=weekday?` asks for the weekday, `22:45+95m-2h=time?` for the time of day (there, m are minutes), and
    `2024-02-27>2024-03-01>2024-02-25=days?` for all the days gone through, forward or back. Difficulty counts steps.
    Family: kind, start and steps, whatever the year is as long as it is a leap year or none, and the order of steps of a clock.
    """

    name = "calendar"
    default = Spec()
    instruction = (
        "Work out what is asked for. In 2024-02-27+3d-2w+1m d are days, w weeks and m months (a day that the month lacks becomes "
        "its last), done in this order; date asks for the date reached, weekday for its weekday (mon, tue, wed, thu, fri, sat, sun). "
        "In 22:45+95m-2h m are minutes and h hours; time asks for the time of day. "
        "a>b>c=days asks for the days from a to b and those from b to c together, "
        'whichever is earlier. End with "#" and just the answer, as in #2024-02-16, #tue, #20:20 or #8.'
    )

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        self.max_tokens = 2 * self.spec.steps[1] * 26 + 13  # verbose: twice each 2024-02-27>2024-03-01:60, then #2024-03-01, end

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem]:
        """See Generated."""
        count = stream.between(*spec.steps)
        while True:
            kind = stream.choice(KINDS) if spec.kind == "any" else spec.kind
            start = date(stream.between(*spec.years), 1, 1) + timedelta(stream.below(365))
            yield (clock if kind == "time" else apart if kind == "days" else moved)(kind, start, count, stream)

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        return judged(reply, problem.answer, ANSWER, "date, weekday, time or number")

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "corrupted" is off by a little in the end."""
        (*lines, last), wrong = problem.data
        answer = problem.answer
        if style == CORRUPTED:
            last, answer = stream.choice(wrong)
        return laid_out([*lines, last], answer, style)


def moved(kind: str, start: date, count: int, stream: Stream) -> Problem:
    """The date, or the weekday, after some steps. Its data: the lines of a trace, and wrong last lines with their answers."""
    name: Callable[[date], str] = weekday if kind == "weekday" else str
    shown: Callable[[date], str] = (lambda day: f"{weekday(day)} {day}") if kind == "weekday" else str
    moves = drawn("date", count, stream)
    days = [start]
    for move in moves:
        days.append(after(days[-1], move))
    wrong = [(shown(day), name(day)) for off in (-2, -1, 1, 2) for day in [days[-1] + timedelta(off)]]
    family = f"{start:%m-%d} {isleap(start.year)}{spelt(moves)}={kind}"
    return posed(f"{shown(start)}{spelt(moves)}={kind}?", name(days[-1]), family, count, ([*map(shown, days[1:])], wrong))


def apart(kind: str, start: date, count: int, stream: Stream) -> Problem:
    """The days between dates. Its data: see `moved`."""
    days, total, lines = [start], 0, []
    for _ in range(count):
        gap = stream.between(1, APART)
        days.append(days[-1] + timedelta(stream.choice((-1, 1)) * gap))
        total += gap
        lines.append(f"{days[-2]}>{days[-1]}:{gap}")
    wrong = [(f"{days[-2]}>{days[-1]}:{gap + off}", str(total + off)) for off in (-1, 1, 2) if gap + off > 0]
    way = [f"{day:%m-%d} {isleap(day.year)}" for day in days]
    return posed(f"{'>'.join(map(str, days))}=days?", str(total), ">".join(min(way, way[::-1])), count, (lines, wrong))


def clock(kind: str, start: date, count: int, stream: Stream) -> Problem:
    """The time of day after some steps. Its data: see `moved`."""
    moves = drawn("time", count, stream)
    times = [stream.below(DAY // 5) * 5]
    for n, unit in moves:
        times.append((times[-1] + n * (60 if unit == "h" else 1)) % DAY)
    wrong = [(time, time) for off in (-60, -10, 10, 60) for time in [of_day(times[-1] + off)]]
    family = f"{of_day(times[0])}{spelt(sorted(moves))}=time"
    return posed(f"{of_day(times[0])}{spelt(moves)}=time?", of_day(times[-1]), family, count, ([*map(of_day, times[1:])], wrong))


def drawn(what: str, count: int, stream: Stream) -> list[Move]:
    """Steps, forward or back."""
    units = [stream.choice(UNITS[what]) for _ in range(count)]
    return [(stream.choice((-1, 1)) * stream.between(1, most), unit) for unit, most in units]


def spelt(moves: list[Move]) -> str:
    """Steps as text: +3d-2w."""
    return "".join(f"{n:+}{unit}" for n, unit in moves)


def after(day: date, move: Move) -> date:
    """The date a step on; a day that its month lacks becomes the month's last."""
    n, unit = move
    if unit != "m":
        return day + timedelta(n * (7 if unit == "w" else 1))
    year, month = divmod(12 * day.year + day.month - 1 + n, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def weekday(day: date) -> str:
    """The date's weekday in three letters."""
    return WEEKDAYS[day.weekday()]


def of_day(minutes: int) -> str:
    """A time of day: 09:05."""
    return "{:02}:{:02}".format(*divmod(minutes % DAY, 60))
