"""Evaluation: the same collecting as in training, on the test split, with an interval."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..core.context import Turn
from ..core.errors import BudgetSpent, InputError
from ..core.records import Rollout
from ..engines.base import Engine
from ..engines.choice import engine_of
from ..engines.openai import OpenAIEngine
from ..engines.session import Sampling
from ..learning.collect import Collector, Unit
from ..models.model import Model
from ..solvers import solver as solver_named
from ..tasks import Task
from .again import same
from .breakdown import by_difficulty, by_part
from .events import Event, Listener, silent
from .kept import Kept, Key
from .notebook import grid, interval, paragraphs, replies, sheet
from .text import percent
from .traces import Traces, turns_again

AT_ONCE = 256  # problems collected together
TELL_S = 1.0  # between two events of progress


@dataclass(frozen=True)
class Evaluation:
    """Accuracy over n problems with its 95 % interval; `samples` are {prompt, gold, reply, parsed, score, reason} of each.

    levels   accuracy and tokens by difficulty, see `by_difficulty`; parts: means of the parts of verdicts, each with how many have it
    """

    accuracy: float
    low: float
    high: float
    n: int
    samples_per_problem: int
    tokens_per_reply: float
    truncated: float
    unparsed: float
    errors: int
    seconds: float
    task: str
    split: str
    solver: str
    temperature: float
    levels: list[dict[str, Any]] = field(default_factory=list, repr=False)
    parts: dict[str, list[float]] = field(default_factory=dict, repr=False)
    samples: list[dict[str, Any]] = field(default_factory=list, repr=False)

    def to_dict(self, samples: bool = False) -> dict[str, Any]:
        """Plain values, with or without the samples."""
        return {k: v for k, v in vars(self).items() if samples or k != "samples"}

    def __repr__(self) -> str:
        failed = f", {self.errors} failed and are not counted" if self.errors else ""
        return f"{self.task}: accuracy {interval(self)}, {self.tokens_per_reply:.1f} tokens a reply{failed}"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        levels = [[" to ".join(f"{d:g}" for d in dict.fromkeys(x["difficulty"])), str(x["n"]), percent(x["accuracy"])] for x in self.levels]
        about = f"{percent(self.truncated)} cut off, {percent(self.unparsed)} unreadable; solver {self.solver}, split {self.split}"
        return sheet(repr(self), paragraphs([about]), grid([["difficulty", "replies", "accuracy"], *levels]), replies(self.samples))


def wilson(successes: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a proportion (Wilson 1927)."""
    if n == 0:
        return 0.0, 1.0
    p, q = successes / n, z * z / n
    centre, half = p + q / 2, z * math.sqrt(p * (1 - p) / n + q / (4 * n))
    return max(0.0, (centre - half) / (1 + q)), min(1.0, (centre + half) / (1 + q))


def sample_record(r: Rollout) -> dict[str, Any]:
    """A rollout as people read it; `confidence` where the solver says one (None: it could not be read)."""
    v = r.verdict
    stated = {"confidence": r.reply.data["confidence"]} if r.reply is not None and "confidence" in r.reply.data else {}
    return {
        "prompt": r.problem.question.prompt,
        "gold": r.problem.answer,
        "reply": r.reply.text if r.reply is not None else "",
        "parsed": None if v is None else v.parsed,
        "score": None if v is None else v.score,
        "reason": r.error or ("" if v is None else v.reason),
        "truncated": r.reply is not None and r.reply.truncated,
        **stated,
    }


@dataclass(frozen=True)
class Telling(Collector):
    """A collector that tells of each rollout as it ends."""

    told: Callable[[Rollout], None] = lambda r: None

    def _close(self, rollout: Rollout, reply: Any) -> None:
        super()._close(rollout, reply)
        self.told(rollout)


class Tally:
    """Counts replies as they end, writes them down, and tells about once a second how far it has come."""

    def __init__(self, label: str, n: int, samples: int, engine: Engine, listen: Listener, kept: Kept | None) -> None:
        self.label, self.n, self.samples, self.engine, self.listen, self.kept = label, n, samples, engine, listen, kept
        self.scores: dict[int, list[float]] = {}
        self.ended: dict[int, int] = {}
        self.old = self.tokens = self.owed = 0  # replies of an earlier start; tokens written since, and those billed but not written
        self.began = self.last = time.monotonic()
        self.billed: dict[str, int] = {}
        self.seen: dict[str, int] = {}  # the engine's counters as they were

    def resume(self, old: Mapping[Key, Rollout]) -> None:
        """Count what is kept."""
        for r in old.values():
            self._count(r)
        self.old = len(old)
        if old:
            self.listen(Event("note", {"text": f"{self.done} of {self.n} problems were done before, and are kept"}))

    def add(self, r: Rollout) -> None:
        """A reply ended."""
        self._count(r)
        tokens = r.tokens
        if isinstance(self.engine, OpenAIEngine):
            self.owed += self._bill()
            tokens = self.owed if r.error is None else 0  # a bill may come before the reply that it is for, and others between
            self.owed -= tokens
        self.tokens += tokens
        if self.kept is not None:
            try:
                self.kept.add(r, tokens)
            except OSError as error:
                self.kept = None
                self.listen(Event("warning", {"text": f"replies cannot be kept for going on after an interruption: {error}"}))
        now = time.monotonic()
        if now - self.last > TELL_S:
            self.last = now
            self.listen(Event("progress", self.progress()))
            self.listen(Event("sample", sample_record(r)))

    def _count(self, r: Rollout) -> None:
        self.ended[r.index] = self.ended.get(r.index, 0) + 1
        if r.error is None and r.verdict is not None:
            self.scores.setdefault(r.index, []).append(r.verdict.score)

    def _bill(self) -> int:
        """What a server counted since the last reply: its tokens stand on the bill alone."""
        now = {k: self.engine.stats.get(k, 0) for k in ("tokens", "prompt_tokens")}
        new = {k: v - self.seen.get(k, 0) if v >= self.seen.get(k, 0) else v for k, v in now.items()}  # the counters begin anew at times
        self.seen = now
        self.billed = {k: self.billed.get(k, 0) + v for k, v in new.items()}
        return new["tokens"]

    @property
    def done(self) -> int:
        """Problems all of whose replies have ended."""
        return sum(k >= self.samples for k in self.ended.values())

    @property
    def reached(self) -> str:
        """How far it came, in words."""
        accuracy, low, high = self._accuracy()
        found = f", accuracy so far {100 * accuracy:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f})" if self.scores else ""
        return f"{len(self.scores)} of {self.n} problems are answered{found}"

    def _accuracy(self) -> tuple[float, float, float]:
        total = sum(sum(s) / len(s) for s in self.scores.values())
        return total / max(1, len(self.scores)), *wilson(total, len(self.scores))

    def progress(self) -> dict[str, Any]:
        """The data of a `progress` event."""
        (accuracy, low, high), seconds, ended = self._accuracy(), time.monotonic() - self.began, sum(self.ended.values())
        found: dict[str, Any] = {"label": self.label, "done": self.done, "of": self.n, "accuracy": accuracy, "low": low, "high": high}
        found["tokens_per_s"] = self.tokens / max(seconds, 1e-9)
        found["seconds_left"] = seconds / max(1, ended - self.old) * (self.n * self.samples - ended)
        return found | ({"billed": self.billed} if self.billed else {})


def evaluate_model(
    model: Model | Engine,
    task: Task,
    *,
    n: int = 500,
    seed: int = 0,
    split: str = "test",
    solver: str = "single",
    samples: int = 1,
    temperature: float = 0.0,
    max_tokens: int | None = None,
    label: str = "evaluation",
    listen: Listener = silent,
    kept: Kept | None = None,
    traces: Traces | None = None,
) -> Evaluation:
    """Accuracy of a model, or of what an engine asks, on `n` problems (or all there are), greedy unless `temperature` is given.

    Errors are counted apart, never as zeros. `kept` has the replies of an earlier start, and takes those of this one; `traces` takes
    whole rollouts in the end. Raises BudgetSpent where an engine's budget ended it; what is kept then goes on under a larger one.
    """
    n = problems_of(task, split, n, samples, temperature)
    sampling = Sampling(max_tokens or task.max_tokens, temperature, stop=tuple(task.stop))
    engine = engine_of(model) if isinstance(model, Model) else model
    tally = Tally(label, n, samples, engine, listen, kept)
    collector = Telling(task, engine, solver_named(solver), sampling, seed, "evaluate", split, told=tally.add)
    old = _old(kept, collector, n)
    tally.resume(old)
    rollouts = _kept(collector, n, samples, old, tally)
    spent = next((r.error for r in rollouts if r.error and BudgetSpent.__name__ in r.error), None)
    if spent is not None:
        raise BudgetSpent(f"{spent.partition(': ')[2]}; {tally.reached}" + ("; they are kept: give more, and it goes on" if kept else ""))
    if traces is not None:
        about = {"split": split, "solver": solver, "samples": samples, "temperature": temperature, "seed": seed}
        lines = traces.write(rollouts, engine, task.name, about)
        listen(Event("saved", {"path": str(traces.path), "what": f"{lines} rollouts"}))
    result = summarise(rollouts, n, samples, task.name, split, solver, temperature, time.monotonic() - tally.began)
    if isinstance(engine, OpenAIEngine):  # its tokens stand on the bill alone
        billed = tally.tokens + tally.owed + sum(r.tokens for r in old.values())
        result = replace(result, tokens_per_reply=billed / len(rollouts))
    listen(Event("evaluation", {"label": label, "accuracy": result.accuracy, "low": result.low, "high": result.high, "n": n}))
    return result


def _kept(collector: Collector, n: int, samples: int, old: Mapping[Key, Rollout], tally: Tally) -> list[Rollout]:
    """All rollouts; what stops before it has them says what is kept."""
    kept, listen, complete = tally.kept, tally.listen, False
    if kept is None:
        return _answers(collector, n, samples, old)
    try:
        rollouts = _answers(collector, n, samples, old)
        complete = not any(r.error for r in rollouts)
        if not complete:
            listen(Event("note", {"text": "some replies failed; the same command tries these again, and keeps the others"}))
        return rollouts
    except KeyboardInterrupt:
        listen(Event("interrupted", {"text": f"{tally.reached}; they are kept", "again": same()}))
        raise
    except Exception:
        if tally.scores:
            listen(Event("note", {"text": f"{tally.reached}; they are kept, and the same command goes on from there"}))
        raise
    finally:
        kept.close(complete)


def problems_of(task: Task, split: str, n: int, samples: int, temperature: float) -> int:
    """How many problems an evaluation has: n, or all there are. Raises InputError for what cannot be evaluated."""
    if n < 1 or samples < 1:
        raise InputError(f"n is {n} and samples is {samples}: both must be at least 1")
    if samples > 1 and temperature == 0:
        raise InputError("several samples at temperature 0 are all the same: give --temperature")
    size = task.size(split)
    n = n if size is None else min(n, size)
    if n == 0:
        raise InputError(f"the split {split!r} of {task.name} is empty: it needs more rows")
    return n


def _old(kept: Kept | None, c: Collector, n: int) -> dict[Key, Rollout]:
    """What an earlier start has kept of the first n problems. Of its turns the number of tokens alone is known."""
    if kept is None:
        return {}
    none, how = np.zeros(0, np.float32), (c.engine.model.writer, c.sampling.temperature, "kept")
    counted = lambda row: [Turn(c.engine.root, "policy", *how, (0,) * row["tokens"], none)]
    turns = (lambda row: turns_again(row["turns"], c.engine.root)) if kept.whole else counted
    found = kept.rollouts(lambda index: c.task.problem(index, c.split, c.seed), turns)
    return {at: r for at, r in found.items() if at[0] < n}


def _answers(collector: Collector, n: int, samples: int, old: Mapping[Key, Rollout]) -> list[Rollout]:
    """A rollout for each problem and sample, in order; what is there already is not made again."""
    found: list[Rollout] = []
    for start in range(0, n, AT_ONCE):
        places = [(i, k) for i in range(start, min(n, start + AT_ONCE)) for k in range(samples)]
        units = [Unit(*at) for at in places if at not in old]
        some = len(units) < len(places)  # where some are done, all others may fail
        made = iter(collector.attempt(0, units) if some else collector.collect(0, units))
        found += [old[at] if at in old else next(made) for at in places]
    return found


def summarise(
    rollouts: Sequence[Rollout], n: int, samples: int, task: str, split: str, solver: str, temperature: float, seconds: float
) -> Evaluation:
    """The evaluation of rollouts. The interval counts problems, not samples."""
    valid = [r for r in rollouts if r.error is None]
    scores: dict[int, list[float]] = {}
    for r in valid:
        scores.setdefault(r.index, []).append(r.verdict.score if r.verdict is not None else 0.0)
    total = sum(sum(s) / len(s) for s in scores.values())
    low, high = wilson(total, len(scores))
    many = max(1, len(valid))
    return Evaluation(
        accuracy=total / max(1, len(scores)),
        low=low,
        high=high,
        n=n,
        samples_per_problem=samples,
        tokens_per_reply=sum(r.tokens for r in valid) / many,
        truncated=sum(r.reply is not None and r.reply.truncated for r in valid) / many,
        unparsed=sum(r.verdict is not None and r.verdict.parsed is None for r in valid) / many,
        errors=len(rollouts) - len(valid),
        seconds=seconds,
        task=task,
        split=split,
        solver=solver,
        temperature=temperature,
        levels=by_difficulty(valid),
        parts={name: [mean, count] for name, (mean, count) in by_part(valid).items()},
        samples=[sample_record(r) for r in rollouts],
    )
