"""What a way of thinking costs a question: measured on the built-in model and a house task, and kept beside this file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ..engines.local import LocalEngine
from ..engines.session import Sampling
from ..learning.checkpoint import storage
from ..learning.collect import Collector, Unit
from ..models.model import load_model
from ..solvers import SOLVERS, solver
from ..tasks import load_task

KEPT = Path(__file__).with_suffix(".json")
MODEL, PROBLEMS, SEED = "tiny", 8, 0
TASK = "addition"
TASKS = {"memory": "facts", "querying": "databases", "react": "facts_search"}  # where a solver needs another
SETTINGS = {"memory": "piece=64,room=16"}  # for prompts of the house's length
NEEDS = {"environment": "an environment", "thinking": "a chat template that knows thoughts"}  # what no house task or built-in model has


@dataclass(frozen=True)
class Cost:
    """Means for a question.

    asks       turns that the model wrote
    sampled    tokens that it wrote
    read       tokens that stood before each turn, all turns together: what a server bills as prompts
    computed   tokens that went through the model, each prefix once, a scorer's included: what it takes here
    """

    solver: str
    task: str
    asks: float
    sampled: float
    read: float
    computed: float


def measure(name: str) -> Cost | None:
    """A solver's cost, greedy unless it samples by itself; None where it needs what is not there (NEEDS)."""
    if name in NEEDS:
        return None
    asked = f"{name}:{SETTINGS[name]}" if name in SETTINGS else name
    task, engine = load_task(TASKS.get(name, TASK)), LocalEngine(load_model(MODEL))
    sampling = Sampling(task.max_tokens, 0.0, stop=tuple(task.stop))
    rollouts = Collector(task, engine, solver(asked), sampling, SEED, "evaluate", "test").collect(0, [Unit(i, 0) for i in range(PROBLEMS)])
    mean = lambda total: round(total / PROBLEMS, 1)
    turns = [t for r in rollouts for t in r.turns]
    read = sum(t.context.n for t in turns)
    return Cost(asked, task.name, mean(len(turns)), mean(sum(r.tokens for r in rollouts)), mean(read), mean(engine.stats["nodes"]))


def costs() -> dict[str, Cost]:
    """The costs as they were measured, by solver."""
    return {name: Cost(**found) for name, found in json.loads(KEPT.read_text("utf-8")).items()}


def about() -> str:
    """How the costs came about, in words."""
    said = f"Costs are means of {PROBLEMS} questions of the task, asked of the built-in model {MODEL!r}"
    settings = "; ".join(f"{name} with {keys}" for name, keys in SETTINGS.items())
    needs = ", ".join(f"{name} ({what})" for name, what in NEEDS.items())
    return f"{said}; {settings}. Not measured, for what they need: {needs}."


def write_costs(path: Path) -> int:
    """Measure all of them and write them as JSON; how many. Raises StorageError where that cannot be done."""
    found = {name: asdict(cost) for name in sorted(SOLVERS) if (cost := measure(name)) is not None}
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return len(found)
