"""What an ask costs beside the forward pass, whether the engine stays busy while solvers wait for tools, and how fast --help is.

Overhead is wall time less the time in the decode plan's `extend`, by ask; asks write one token, so it holds coroutines, contexts,
admission, the draw and the turn. Shared: 16 solvers ask after the same question; new: each brings a question of its own.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import common
import torch
from common import Report

from thinkery.core.rng import address
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling, Session
from thinkery.engines.work import run as run_solvers
from thinkery.models.model import Model, load_model

SHARED, NEW, LONELY, MANY = 30, 70, 400, 100  # microseconds an ask may cost, and from how many on
TOOL = 0.005  # seconds that a tool takes


class Timed:
    """Adds up the time spent in a method of an object, which it replaces."""

    def __init__(self, owner: Any, name: str) -> None:
        self.inner, self.seconds = getattr(owner, name), 0.0
        setattr(owner, name, self)

    def __call__(self, *args: Any) -> Any:
        begin = time.perf_counter()
        try:
            return self.inner(*args)
        finally:
            self.seconds += time.perf_counter() - begin


def questions(n: int) -> list[str]:
    """Different questions."""
    task = common.addition()
    return [task.problem(i).question.prompt for i in range(n)]


async def once(session: Session, question: str) -> None:
    """The least a solver can do."""
    await session.ask(question, max_tokens=1)


async def patient(session: Session, question: str) -> None:
    """Ask, wait for a tool, go on with what it said; four times."""
    context = session.context(question)
    for _ in range(4):
        turn = await session.ask(context, max_tokens=6)
        await asyncio.sleep(TOOL)
        context = context + turn + ";"


def run(engine: LocalEngine, solver: Any, asked: list[str], repetition: int) -> float:
    """Wall time of solvers side by side, in seconds."""
    engine.reset()
    sessions = [Session(engine, address(repetition, i), Sampling()) for i in range(len(asked))]

    begin = time.perf_counter()
    results = run_solvers([solver(s, q) for s, q in zip(sessions, asked)], [engine])
    took = time.perf_counter() - begin
    for error in (r for r in results if isinstance(r, BaseException)):
        raise error
    return took


def overhead(report: Report, model: Model, n: int, kind: str, distinct: int) -> None:
    """Microseconds by ask beside the forward pass."""
    engine, times = LocalEngine(model), max(3, min(30, 20_000 // n))
    texts = questions(distinct)
    asked, extend = [texts[i % distinct] for i in range(n)], Timed(engine.plan, "extend")
    numbers = count()

    def once_more() -> float:
        extend.seconds = 0.0
        return (run(engine, once, asked, next(numbers)) - extend.seconds) / n * 1e6

    cost = median(report.rounds(once_more, times))
    limit = (SHARED if kind == "shared" else NEW) if n >= MANY else LONELY if n == 1 else None
    bound = "" if limit is None else f"at most {limit}"
    met = None if limit is None else cost <= limit
    report.add("overhead of an ask", cost, "us", f"{n} solvers, {kind} contexts, {common.size(model)}", bound, met)


def waiting(report: Report, model: Model, n: int, times: int) -> None:
    """The engine's share of the wall time while every solver waits for its tool after each ask."""
    engine = LocalEngine(model)
    texts, step, numbers = questions(n), Timed(engine, "step"), count()

    def once_more() -> tuple[float, float]:
        step.seconds = 0.0
        wall = run(engine, patient, texts, next(numbers))
        return wall, step.seconds / wall

    walls, shares = zip(*report.rounds(once_more, times, 1))
    about = f"{n} solvers that wait {TOOL * 1e3:.0f} ms for a tool after each of 4 asks, {common.size(model)}"
    share = 100 * median(shares)
    report.add("engine busy", share, "%", about, "at least 80", share >= 80)
    report.add("wall time of all", median(walls) * 1e3, "ms", about)


def help_time(report: Report) -> None:
    """Wall time of `thinkery --help`, each time in a new process."""
    script = shutil.which("thinkery", path=str(Path(sys.executable).parent))
    command = [script] if script else [sys.executable, "-c", "from thinkery.cli.main import main; main()"]
    go = lambda: subprocess.run([*command, "--help"], check=True, stdout=subprocess.DEVNULL)
    report.add("thinkery --help", report.median(go, 5, 1) * 1e3, "ms", "a new process, median of 5")


def main() -> None:
    parser = common.options(__doc__ or "")
    parser.add_argument("--most", type=int, default=10_000, help="solvers at once, at most")
    parser.add_argument("--times", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    report, model = Report(), load_model(common.checkpoint("warm"))
    for n in (n for n in (1, 10, 100, 1_000, 10_000) if n <= args.most):
        for kind, distinct in (("shared", max(1, n // 16)), ("new", n)):
            overhead(report, model, n, kind, distinct)
    for state in ("warm", "high entropy"):
        waiting(report, load_model(common.checkpoint(state)), 1_000, args.times)
    help_time(report)
    report.close(args.json)


if __name__ == "__main__":
    main()
