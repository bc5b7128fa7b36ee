"""Evaluation: the same collecting as in training, on the test split, with an interval."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..core.errors import InputError
from ..core.records import Rollout
from ..engines.base import Engine
from ..engines.choice import engine_of
from ..engines.openai import OpenAIEngine
from ..engines.session import Sampling
from ..learning.collect import Collector, Unit
from ..models.model import Model
from ..solvers import solver as solver_named
from ..tasks import Task
from .breakdown import by_difficulty, by_part
from .events import Event, Listener, silent

AT_ONCE = 256  # problems collected together


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
) -> Evaluation:
    """Accuracy of a model, or of what an engine asks, on `n` problems (or all there are), greedy unless `temperature` is given.

    Errors are counted apart, never as zeros.
    """
    if n < 1 or samples < 1:
        raise InputError(f"n is {n} and samples is {samples}: both must be at least 1")
    if samples > 1 and temperature == 0:
        raise InputError("several samples at temperature 0 are all the same: give --temperature")
    size = task.size(split)
    n = n if size is None else min(n, size)
    if n == 0:
        raise InputError(f"the split {split!r} of {task.name} is empty: it needs more rows")
    sampling = Sampling(max_tokens or task.max_tokens, temperature, stop=tuple(task.stop))
    engine = engine_of(model) if isinstance(model, Model) else model
    collector = Collector(task, engine, solver_named(solver), sampling, seed, "evaluate", split)
    began, rollouts, billed = time.monotonic(), list[Rollout](), 0
    for start in range(0, n, AT_ONCE):
        units = [Unit(i, k) for i in range(start, min(n, start + AT_ONCE)) for k in range(samples)]
        rollouts += collector.collect(0, units)
        billed += engine.stats["tokens"]
        if n > AT_ONCE:
            listen(Event("progress", {"label": label, "done": min(n, start + AT_ONCE), "of": n}))
    result = summarise(rollouts, n, samples, task.name, split, solver, temperature, time.monotonic() - began)
    if isinstance(engine, OpenAIEngine):  # its tokens stand on the bill alone
        result = replace(result, tokens_per_reply=billed / len(rollouts))
    listen(Event("evaluation", {"label": label, "accuracy": result.accuracy, "low": result.low, "high": result.high, "n": n}))
    return result


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
