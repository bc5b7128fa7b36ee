"""The Python front door: load_model, load_task, train, compare, check, evaluate, demo. The commands are thin calls of these."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..learning.checkpoint import write_json
from ..tasks import Task, load_task
from .answering import address as is_address
from .answering import answering, tell_engine
from .compare import Comparison, compare
from .evaluation import Evaluation, evaluate_model
from .events import Listener, silent
from .evidence import check
from .loading import Model, load_model, task_of
from .memory import Memory
from .plan import Plan
from .recipes import recipe_of
from .report import write_report
from .text import one_line
from .training import RunResult, examine, plan, train

__all__ = [
    "Comparison", "DemoResult", "Evaluation", "Memory", "Model", "Plan", "RunResult", "check", "compare", "demo", "evaluate", "examine", "load_model",
    "load_task", "plan", "recipe_of", "train",
]  # fmt: skip

REMARK = (
    "What was seen: the model learnt when to think, not a new skill. Its warm start already held worked replies that mostly "
    "come out right, and short guesses that mostly do not; the reward made it choose the former."
)


def evaluate(
    model: str | Path | Model,
    task: str | Task | None,
    *,
    n: int = 500,
    seed: int = 0,
    split: str = "test",
    solver: str = "single",
    samples: int = 1,
    temperature: float = 0.0,
    thinking: str = "auto",
    system: str = "",
    engine: str = "auto",
    served: str | None = None,
    listen: Listener | None = None,
) -> Evaluation:
    """Accuracy of a model on a task with a 95 % interval; `thinking`, `system` and `engine` as in `train`.

    model may be the address of an OpenAI-compatible server (http://HOST:PORT/v1); `served` names one of the models there.
    Raises InputError for bad input.
    """
    who = model if isinstance(model, Model) or is_address(model) else load_model(model)
    asked = answering(who, served, thinking, system, engine)
    found = evaluate_model(
        asked, task_of(task), n=n, seed=seed, split=split, solver=solver, samples=samples, temperature=temperature, listen=listen or silent
    )
    tell_engine(asked.model, engine, listen or silent)
    return found


@dataclass(frozen=True)
class DemoResult:
    """Accuracies before and after on n problems, the report's path, and lines for people: three problems, what was seen."""

    before: float
    after: float
    n: int
    report: Path
    story: tuple[str, ...]


def demo(out: str | Path | None = None, seed: int = 0, listen: Listener | None = None, n: int = 500) -> DemoResult:
    """The main job on the embedded default: the tiny model learns to add from verifiable rewards alone."""
    folder = Path(out) if out is not None else Path("runs") / f"demo-{time.strftime('%Y%m%d-%H%M%S')}"
    result = train("grpo", task="addition", seed=seed, out=folder, evaluate=n, config=DEMO, listen=listen)
    assert result.before is not None and result.after is not None
    about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    write_json(folder / "run.json", about | {"remarks": [REMARK]})
    return DemoResult(
        result.before.accuracy, result.after.accuracy, result.after.n, write_report(folder), _story(result.before, result.after)
    )


def _story(before: Evaluation, after: Evaluation) -> tuple[str, ...]:
    """Three problems that changed from wrong to right, before and after, and the remark."""
    lines = ["three problems, before and after:"]
    changed = [(b, a) for b, a in zip(before.samples, after.samples) if not b["score"] and a["score"]]
    for b, a in changed[:3]:
        lines += [f"  {one_line(b['prompt'])}   (answer {one_line(b['gold'])})"]
        lines += [f"    before: {one_line(b['reply'])}   wrong", f"    after:  {one_line(a['reply'])}   right"]
    return (*lines, REMARK)


DEMO: dict[str, Any] = {"steps": 100, "problems": 8, "samples": 16}
