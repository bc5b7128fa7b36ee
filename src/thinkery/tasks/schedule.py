"""Scheduling on one machine: when does each job start? Any schedule without needless waits that keeps windows and orders is right."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED
from .generated import Generated, checked, laid_out, posed, span, whole
from .logic import LETTERS
from .shapes import shape

STARTS = re.compile("[a-z][0-9]{1,3}(?: [a-z][0-9]{1,3}){0,25}")
GAP = 2  # idle hours between two jobs of the schedule that the windows are drawn around, at most


class Job(NamedTuple):
    """A job takes some hours, none before `opens` and none after `closes`."""

    name: str
    hours: int
    opens: int
    closes: int

    def __str__(self) -> str:
        return f"{self.name}{self.hours} {self.opens}-{self.closes}"


Order = tuple[str, str]  # the first is done before the second starts


@dataclass(frozen=True)
class Spec:
    """jobs      from and to
    longest     of a job, in hours
    slack       hours that a window is wider than need be at either end, at most
    dead_ends   of the search for a schedule, at most: problems that need more are left out
    """

    jobs: tuple[int, int] = (3, 4)
    longest: int = 4
    slack: int = 5
    dead_ends: int = 12

    def __post_init__(self) -> None:
        object.__setattr__(self, "jobs", span("jobs", self.jobs, 2, 7))
        whole("longest", self.longest, 1, 9)
        whole("slack", self.slack, 0, 20)
        whole("dead_ends", self.dead_ends, 0, 64)


class Schedule(Generated[Spec]):
    """Prompt `a3 0-9;b2 0-4;c4 2-9;b<c?`, reply `a0 b3:b2 0-4,a0 c3:b<c,b0 a2 c5#b0 a2 c5`: beginnings that break something, and what fits.

    Job b takes 2 hours between 0 and 4 and is done before c starts. Each starts as soon as it can after the one before it, so all there
    is to find is what follows what. Difficulty counts jobs.
    Family: the jobs with their letters and their order taken away.
    """

    name = "schedule"
    default = Spec()
    instruction = (
        "Given are jobs: a3 0-9 says that a takes 3 hours, starts at 0 or later and is done by 9; a<b says that a is done before b starts. "
        "Only one job runs at a time, and each starts as soon as the one before it is done and its own time has come. When is that? "
        'End with "#" and the starts, as in #b0 a2 c5.'
    )

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        most = self.spec.jobs[1]
        self.max_tokens = 2 * (self.spec.dead_ends + 1) * (4 * most + 10) + 4 * most + 2

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem | None]:
        """See Generated. Windows and orders are drawn around a schedule, so that there is one."""
        count = stream.between(*spec.jobs)
        while True:
            jobs, orders = planted(stream.sample(LETTERS, count), spec, stream)
            lines = list(searched({}, jobs, orders))
            if len(lines) > spec.dead_ends + 1:
                yield None
                continue
            prompt = ";".join([*map(str, jobs), *map("<".join, orders)]) + "?"
            relations = [(str(job)[1:], job.name) for job in jobs] + [("before", *order) for order in orders]
            yield posed(prompt, lines[-1], shape(relations), count, (jobs, orders, tuple(lines)))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        jobs, orders, _ = problem.data

        def fault(tail: str) -> str:
            starts = {item[0]: int(item[1:]) for item in tail.split()}
            if sorted(item[0] for item in tail.split()) != [job.name for job in jobs]:
                return f"{tail} does not name every job once"
            return broken(starts, jobs, orders) or late(starts, jobs)

        return checked(reply, STARTS, "starts", fault)

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "corrupted" ends in a schedule with one start that breaks something."""
        jobs, orders, lines = problem.data
        answer = problem.answer
        if style == CORRUPTED:
            starts = {item[0]: int(item[1:]) for item in answer.split()}
            wrong = starts
            while not broken(wrong, jobs, orders):
                wrong = starts | {stream.choice(jobs).name: stream.below(max(job.closes for job in jobs))}
            answer = text(wrong)
            lines = (*lines[:-1], answer)
        return laid_out(lines, answer, style)


def planted(names: Sequence[str], spec: Spec, stream: Stream) -> tuple[list[Job], list[Order]]:
    """Jobs by name, and orders among some of them; they can be done in the order of the names."""
    now, jobs = 0, []
    for name in names:
        start = now + stream.below(GAP + 1)
        now = start + stream.between(1, spec.longest)
        opens = max(0, start - stream.below(spec.slack + 1))
        jobs.append(Job(name, now - start, opens, now + stream.below(spec.slack + 1)))
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    return sorted(jobs), sorted(stream.sample(pairs, stream.below(len(names))))


def broken(starts: Mapping[str, int], jobs: Sequence[Job], orders: Sequence[Order]) -> str:
    """What starts of some jobs break, or "": a window, an order, or that one job runs at a time."""
    ends = {job.name: starts[job.name] + job.hours for job in jobs if job.name in starts}
    for job in jobs:
        if job.name in starts and not (job.opens <= starts[job.name] and ends[job.name] <= job.closes):
            return str(job)
    for a, b in orders:
        if b in starts and not (a in starts and ends[a] <= starts[b]):
            return f"{a}<{b}"
    row = sorted(starts, key=lambda name: starts[name])
    return next((f"{a} and {b} at once" for a, b in pairwise(row) if ends[a] > starts[b]), "")


def late(starts: Mapping[str, int], jobs: Sequence[Job]) -> str:
    """What starts later than it could after the one before it, in words, or ""."""
    now = 0
    for job in sorted(jobs, key=lambda job: starts[job.name]):
        if starts[job.name] > max(now, job.opens):
            return f"{job.name} could start sooner"
        now = starts[job.name] + job.hours
    return ""


def searched(starts: Mapping[str, int], jobs: Sequence[Job], orders: Sequence[Order]) -> Iterator[str]:
    """Depth first over what runs next: each beginning that breaks something, with it, and at last the schedule that breaks nothing."""
    if len(starts) == len(jobs):
        yield text(starts)
        return
    now = max((starts[job.name] + job.hours for job in jobs if job.name in starts), default=0)
    for job in jobs:
        if job.name in starts:
            continue
        begun = {**starts, job.name: max(now, job.opens)}
        if what := broken(begun, jobs, orders):
            yield f"{text(begun)}:{what}"
            continue
        for line in searched(begun, jobs, orders):
            yield line
            if ":" not in line:
                return


def text(starts: Mapping[str, int]) -> str:
    """Starts as a reply gives them."""
    return " ".join(f"{name}{start}" for name, start in starts.items())
