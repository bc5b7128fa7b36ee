"""Trials: one arm of a claim, trained once with one seed and measured. Starts and trials are kept by content in the cache folder."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..core.errors import BadData
from ..core.reading import loads
from ..core.records import Rollout
from ..engines.session import Sampling
from ..learning.checkpoint import storage, write_json
from ..learning.collect import Collector, Unit
from ..learning.loop import Learning
from ..learning.recipe import Recipe, Setting, Stage, WarmStart, imitation
from ..models.model import Model
from ..tasks import Task
from .beside import Tick
from .breakdown import by_part
from .evaluation import sample_record
from .loading import load_model
from .metrics import auroc, brier, ece, hypervolume, pass_at_k
from .parts import NUMERICS, code_in, described, digest
from .run import versions

VARIABLE = "THINKERY_CACHE"
POINTS = 25  # of a curve that is kept
CURVES = ("accuracy", "reward", "length")
SAMPLES = 8  # of a problem, for the gates
TELL_S = 1.0  # between two ticks
TRIES = (1, 2, 3, 4, 8, 16, 32, 64, 128, 256)  # k of pass@k, as far as there are samples


def cache_folder() -> Path:
    """Where starts and trials are kept: the variable THINKERY_CACHE, else the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get(VARIABLE) or Path(home) / "thinkery")


@cache
def _machine() -> dict[str, str]:
    return versions()


def warm_start(start: WarmStart) -> Path:
    """The folder of a warm start, made if it is not in the cache: supervised fine-tuning of the base, the same for every arm and seed."""
    about = described(start)
    key = digest([NUMERICS, about, code_in(about), _machine()])
    folder = cache_folder() / "starts" / key
    if (folder / "config.json").is_file():
        return folder
    model = load_model(start.base, "cpu")
    learning = Learning(Recipe((imitation(start.steps, start.styles),)), Setting(start.task), model)
    try:
        while not learning.done:
            learning.step()
    finally:
        learning.leave()
    model.save(folder)
    return folder


def started(setting: Setting) -> Model:
    """A model of one's own, from the setting's start."""
    start = setting.start
    return load_model(warm_start(start) if isinstance(start, WarmStart) else start, "cpu")


@dataclass(frozen=True)
class Trial:
    """What came of one arm and seed.

    metrics   after training, on the test split, greedy; hypervolume: of accuracy and of the share of a reply's room that is left; pass@k and
              mixed are sampled
    before    the same before, with pass@1, pass@8 and the share of mixed groups, sampled; only of a baseline
    curves    at most POINTS means over the steps, by metric
    """

    metrics: Mapping[str, float]
    before: Mapping[str, float]
    curves: Mapping[str, Sequence[float]]
    steps: int
    tokens: int
    cpu_s: float


@dataclass(frozen=True)
class Sizes:
    """How much is measured: `problems` and `samples` as a claim says; `gates`: the start, too."""

    problems: int
    samples: int
    gates: bool


def place(recipe: Recipe, setting: Setting, sizes: Sizes) -> Path:
    """Where a trial lies in the cache, by its content."""
    what = [described(recipe), described(setting)]
    about = [NUMERICS, what, code_in(*what), sizes.problems, *([sizes.samples] if sizes.samples else []), sizes.gates, _machine()]
    return cache_folder() / "trials" / f"{digest(about)}.json"


def trial(recipe: Recipe, setting: Setting, sizes: Sizes, tick: Tick) -> Trial:
    """Train and measure, or take it from the cache, where it lies by its content: recipe, setting, the code of both, sizes, versions.

    `tick` hears how far it is, about once a second: {share, step, sample}, as in `events`. Raises what training raises, and
    BadData for a reply that could not be measured.
    """
    path = place(recipe, setting, sizes)
    if path.is_file():
        try:
            return Trial(**loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise BadData(path, f"not a trial ({error}); delete it") from error
    found = _trial(recipe, setting, sizes, tick)
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, vars(found))
    return found


def _trial(recipe: Recipe, setting: Setting, sizes: Sizes, tick: Tick) -> Trial:
    began, model = time.process_time(), started(setting)
    learning, history = Learning(recipe, setting, model), list[dict[str, float]]()
    last = recipe.flat()[-1]
    before: dict[str, float] = {}
    try:
        if sizes.gates:
            before = measured(rollouts_of(learning, last, sizes.problems))
            before |= passes(rollouts_of(learning, last, sizes.problems // 2, SAMPLES))
        told = -math.inf
        while not learning.done:
            stage, step = learning.stage, learning.state.step
            history.append(learning.step())
            if time.monotonic() - told > TELL_S:
                told = time.monotonic()
                tick(_tick(learning, stage, step, history))
    finally:
        learning.leave()
    metrics = measured(rollouts_of(learning, last, sizes.problems))
    room = last.max_tokens or setting.longest
    metrics["hypervolume"] = hypervolume([(metrics["accuracy"], 1 - metrics["tokens"] / room)], (0.0, 0.0))
    if sizes.samples:
        metrics |= passes(rollouts_of(learning, last, sizes.problems // 2, sizes.samples))
    curves = {name: thinned([m[name] for m in history if name in m]) for name in CURVES}
    return Trial(metrics, before, curves, len(history), learning.state.tokens, time.process_time() - began)


def _tick(learning: Learning, stage: Stage, step: int, history: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """What is told of a step."""
    done, of = len(history), learning.steps
    at = {"stage": stage.name, "step": step + 1, "steps": stage.steps, "total": done, "total_steps": of}
    sample = sample_record(learning.rollouts[0]) if learning.rollouts else None
    return {"share": done / of, "step": {**history[-1], **at}, "sample": sample}


def rollouts_of(learning: Learning, stage: Stage, problems: int, samples: int = 1) -> list[Rollout]:
    """Replies to test problems in the stage's way of thinking, greedy, or sampled at its temperature. Raises SolverError, VerifierError."""
    task: Task = learning.setting.task
    temperature = 0.0 if samples == 1 else stage.temperature
    sampling = Sampling(stage.max_tokens or task.max_tokens, temperature, stop=tuple(task.stop))
    collector = Collector(task, learning.sampler(), stage.solver, sampling, learning.setting.seed, "evaluate", "test")
    found: list[Rollout] = []
    for at in range(0, problems, 128):
        found += collector.collect(0, [Unit(i, k) for i in range(at, min(problems, at + 128)) for k in range(samples)])
    for r in found:
        if r.error is not None:
            raise BadData(f"problem {r.problem.id}", f"could not be measured: {r.error}")
    return found


def score(r: Rollout) -> float:
    """The verdict's score."""
    assert r.verdict is not None
    return r.verdict.score


def measured(found: Sequence[Rollout]) -> dict[str, float]:
    """accuracy, tokens, truncated; the mean of each part that verdicts have, over those that have it; where a confidence was stated also stated
    (share), ece, brier, auroc, each where it is defined."""
    out = {name: mean for name, (mean, _) in by_part(found).items()} | {
        "accuracy": sum(map(score, found)) / len(found),
        "tokens": sum(r.tokens for r in found) / len(found),
        "truncated": sum(r.reply is not None and r.reply.truncated for r in found) / len(found),
    }
    said = [(r.reply.data.get("confidence"), score(r)) for r in found if r.reply is not None and "confidence" in r.reply.data]
    sure = [(float(q), c) for q, c in said if q is not None]
    if not sure:
        return out
    q, right = [x for x, _ in sure], [c for _, c in sure]
    out |= {"stated": len(sure) / len(found), "ece": ece(q, right), "brier": brier(q, right)}
    area = auroc(q, [c >= 1 for c in right])
    return out | ({} if area is None else {"auroc": area})


def passes(found: Sequence[Rollout]) -> dict[str, float]:
    """pass@k for the k of TRIES that there are samples for, and the share of problems that some samples solve and some do not."""
    groups: dict[int, list[float]] = {}
    for r in found:
        groups.setdefault(r.index, []).append(score(r))
    mean = lambda values: sum(values) / len(groups)
    fewest = min(map(len, groups.values()))
    passed = {f"pass@{k}": mean([pass_at_k(len(g), sum(x >= 1 for x in g), k) for g in groups.values()]) for k in TRIES if k <= fewest}
    return passed | {"mixed": mean([float(min(g) < max(g)) for g in groups.values()])}


def thinned(values: Sequence[float]) -> list[float]:
    """At most POINTS means of consecutive values."""
    size = max(1, -(-len(values) // POINTS))
    return [round(sum(values[i : i + size]) / len(values[i : i + size]), 4) for i in range(0, len(values), size)]
