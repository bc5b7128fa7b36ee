"""The Python front door: load_model, load_task, train, compare, check, evaluate, audit, examine, plan, demo. The commands are thin calls of these."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..learning.select import Select
from ..tasks import Task, load_task
from . import audit as auditing
from .answering import address as is_address
from .answering import answering, tell_engine
from .audit import Audit
from .compare import Comparison, compare
from .demo import DemoResult, demo
from .evaluation import Evaluation, evaluate_model, problems_of
from .events import Listener, begin
from .evidence import check
from .kept import Kept, identity
from .loading import Model, load_model, task_of
from .memory import Memory
from .notebook import shown
from .plan import Plan
from .recipes import recipe_of
from .replay import Replay, replay
from .traces import Traces
from .training import RunResult, examine, plan, train
from .trial import cache_folder

__all__ = [
    "Audit", "Comparison", "DemoResult", "Evaluation", "Memory", "Model", "Plan", "Replay", "RunResult", "audit", "check", "compare", "demo", "evaluate",
    "examine", "load_model", "load_task", "plan", "recipe_of", "replay", "train",
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
    budget: int | None = None,
    trace: str | Path | None = None,
    select: str | Select = "all",
    listen: Listener | None = None,
) -> Evaluation:
    """Accuracy of a model on a task with a 95 % interval; `thinking`, `system` and `engine` as in `train`.

    model may be the address of an OpenAI-compatible server (http://HOST:PORT/v1); `served` names one of the models there.
    Interrupted, the same call goes on: finished replies are kept in the cache until it is complete. `budget`: tokens that a server may
    bill, prompts included, before nothing more is asked. `trace`: a JSONL file for the whole rollouts that `select` keeps (all, solved, mixed, best, or a
    Select of your own). Raises InputError for bad input, BudgetSpent.
    """
    who = model if isinstance(model, Model) or is_address(model) else load_model(model)
    asked, the_task = answering(who, served, thinking, system, engine, budget), task_of(task)
    tell = shown(listen)
    problems_of(the_task, split, n, samples, temperature)
    traces = None if trace is None else Traces(trace, select)
    if trace is None and select != "all":
        raise InputError("a selection is of traces: name a file for them with --trace FILE")
    tell(begin("eval", f"{asked.model.name} on {the_task.name}"))
    how: dict[str, Any] = {"seed": seed, "split": split, "solver": solver, "samples": samples, "temperature": temperature}
    kept = None
    if not isinstance(model, Model):  # one that is in memory alone is not known again
        about = {"model": [*identity(model), asked.model.name], "thinking": thinking, "system": system, "engine": engine}
        kept = Kept(cache_folder() / "evaluations", the_task, about | how, traces is not None)
    found = evaluate_model(asked, the_task, n=n, listen=tell, kept=kept, traces=traces, **how)
    tell_engine(asked.model, engine, tell)
    return found


def audit(task: str | Task, *, n: int = auditing.PROBLEMS, seed: int = 0) -> Audit:
    """How often the task's verifier errs, on n of its problems: right answers refused, wrong ones paid, and what breaks it.

    Raises InputError for a task without problems.
    """
    return auditing.audit(task_of(task), n=n, seed=seed)
