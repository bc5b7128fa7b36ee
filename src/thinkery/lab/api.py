"""The Python front door: load_model, load_task, train, compare, check, evaluate, demo. The commands are thin calls of these."""

from __future__ import annotations

from pathlib import Path

from ..tasks import Task, load_task
from .answering import address as is_address
from .answering import answering, tell_engine
from .compare import Comparison, compare
from .demo import DemoResult, demo
from .evaluation import Evaluation, evaluate_model
from .events import Listener, silent
from .evidence import check
from .loading import Model, load_model, task_of
from .memory import Memory
from .plan import Plan
from .recipes import recipe_of
from .training import RunResult, examine, plan, train

__all__ = [
    "Comparison", "DemoResult", "Evaluation", "Memory", "Model", "Plan", "RunResult", "check", "compare", "demo", "evaluate", "examine", "load_model",
    "load_task", "plan", "recipe_of", "train",
]  # fmt: skip


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
