"""Where methods and ways of thinking belong: by when they think harder, who thinks, and which side of the model they change; and what each cell costs.

Ke et al. 2025, "A survey of frontiers in LLM reasoning: inference scaling, learning to reason, and agentic systems" (arXiv:2504.09037).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, NamedTuple

from ..core.errors import BadData, InputError, UnknownName
from ..core.records import Rollout
from ..engines.local import LocalEngine
from ..engines.session import Sampling
from ..learning.collect import Collector, Unit
from ..learning.loop import Learning
from ..learning.recipe import Recipe, Setting
from ..models.model import find, load_model
from ..solvers import Solver, solver
from ..tasks import Task
from . import catalogue
from .evaluation import wilson
from .fitness import check
from .recipes import recipe_for

INFERENCE, TRAINING = "inference", "training"
REGIMES = (INFERENCE, TRAINING)
ARCHITECTURES = ("standalone", "agent", "agents")
SIDES = ("input", "output")


class Place(NamedTuple):
    """regime         more thought for each answer, or learning
    architecture   a model by itself, an agent with tools or a memory, or several agents
    side           what the model is given (prompts, what it reads, data), or what it puts out (samples, search, rewards)
    """

    regime: str
    architecture: str
    side: str

    def __str__(self) -> str:
        return "/".join(self)


PLACES = tuple(Place(*p) for p in product(REGIMES, ARCHITECTURES, SIDES))

# "@NAME" is a way of thinking, "ID" a method, "ID@NAME" a method that learns to think so. The first of a place stands for it in the bench,
# where all have the same task; each method and each way of thinking has one place.
GRID: dict[Place, tuple[str, ...]] = {
    Place(INFERENCE, "standalone", "input"): ("@plan_then_solve", "@chain"),
    Place(INFERENCE, "standalone", "output"): (
        "@majority", "@best_of_n", "@beam", "@tree_search", "@scored", "@confident", "@thinking", "@mot",
    ),
    Place(INFERENCE, "agent", "input"): ("@memory:piece=64,room=16", "@environment"),
    Place(INFERENCE, "agent", "output"): ("@calculate", "@react", "@program", "@querying"),
    Place(INFERENCE, "agents", "input"): ("@debate",),
    Place(INFERENCE, "agents", "output"): ("@roles",),
    Place(TRAINING, "standalone", "input"): (
        "sft", "complexity_ood", "g1_graphs", "reward_pretraining", "saturn", "synlogic", "ra3",
    ),
    Place(TRAINING, "standalone", "output"): (
        "grpo", "reinforce", "reinforce_pp", "rloo", "cispo", "dapo", "dr_grpo", "gspo", "ppo", "raft", "dpo", "orpo", "ttrl", "best_of_n",
        "autothink", "drqa", "dynamic_rw", "laser", "noisy_rewards", "open_rs", "rlcr", "traac", "mot", "frontiers", "efficient_lrm",
    ),
    Place(TRAINING, "agent", "input"): ("grpo@memory:piece=64,room=16", "mem1"),
    Place(TRAINING, "agent", "output"): ("grpo@calculate", "reex_sql"),
    Place(TRAINING, "agents", "input"): ("grpo@debate", "opd"),
    Place(TRAINING, "agents", "output"): ("grpo@roles", "libra_rm"),
}  # fmt: skip


def place_of(entry: str) -> Place:
    """Where a method ("grpo") or a way of thinking ("@majority") belongs; settings do not matter. Raises UnknownName."""
    bare = {name_of(e): place for place, entries in GRID.items() for e in entries}
    if name_of(entry) not in bare:
        raise UnknownName("method or way of thinking", entry, sorted(bare))
    return bare[name_of(entry)]


def name_of(entry: str) -> str:
    """An entry without the settings of its way of thinking."""
    return entry.partition(":")[0]


@dataclass(frozen=True)
class Trait:
    """What an entry asks for and does.

    learns     the roles that a recipe trains; none where only more is thought
    verifies   whether what it samples to learn from is verified
    """

    place: Place
    entry: str
    learns: tuple[str, ...]
    verifies: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the place as text."""
        return {**asdict(self), "place": str(self.place)}


def traits(task: Task, model: str = "tiny") -> list[Trait]:
    """Of every entry; those of a method by its recipe for the task, or for its own claim's where it takes no other."""
    found = []
    for place, entries in GRID.items():
        for entry in entries:
            method = entry.partition("@")[0]
            stages = _recipe_anywhere(method, task, model).flat() if method else []
            learns = tuple(dict.fromkeys(role for s in stages for role in s.trains))
            sees = any(s.source == "task" and s.reward.verifies for s in stages)
            found.append(Trait(place, entry, learns, sees))
    return found


def _recipe_anywhere(method: str, task: Task, model: str) -> Recipe:
    """A method's recipe for a task, or for its own claim's setting where it takes no other."""
    module = catalogue.load(method)
    try:
        found: Recipe = module.recipe(Setting(task, model))
    except InputError:
        found = module.recipe(module.CLAIM.setting)
    return found


# ---- the bench


@dataclass(frozen=True)
class Account:
    """What an entry reached on test problems and what it cost.

    asks, sampled, read, calls   a test problem: turns, tokens written, tokens that stood before each turn, tool calls
    trained     tokens that were sampled, or said, in training; `seconds` of everything
    """

    place: Place
    entry: str
    accuracy: float
    low: float
    high: float
    n: int
    asks: float
    sampled: float
    read: float
    calls: float
    trained: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the place as text."""
        return {**asdict(self), "place": str(self.place)}

    def __str__(self) -> str:
        name = f"{self.place!s:28} {self.entry:22}"
        cost = f"{self.sampled:8.1f} written, {self.read:8.1f} read, {self.calls:4.1f} calls a problem; {self.trained:,} tokens of training"
        return f"{name} {self.accuracy:6.1%} ({self.low:.1%} to {self.high:.1%})  {cost}; {self.seconds:.0f} s"


def bench(task: Task, model: str = "tiny", n: int = 200, steps: int | None = None, seed: int = 0) -> Iterator[Account]:
    """Each place's first entry on the same task and test problems, from the same model, as each is done. Raises InputError where one cannot run."""
    for place, entries in GRID.items():
        yield account(place, entries[0], task, model, n, steps, seed)


def account(place: Place, entry: str, task: Task, model: str, n: int, steps: int | None = None, seed: int = 0) -> Account:
    """One entry, trained if it is a method, then asked n test problems, greedy unless it samples by itself. Raises InputError, BadData."""
    method, _, thinks = entry.partition("@")
    began, trained, policy = time.monotonic(), 0, load_model(find(model))
    how: Solver = solver(thinks) if thinks else solver("single")
    if method:
        setting = Setting(task, str(model), seed=seed)
        recipe = recipe_for(method, setting, {}, steps, thinks or None)
        check(recipe, task, model)
        learning = Learning(recipe, setting, policy)
        try:
            while not learning.done:
                learning.step()
                trained += sum(len(t.ids) for r in learning.rollouts for t in r.turns)
        finally:
            learning.leave()
        how = recipe.flat()[-1].solver
    sampling = Sampling(task.max_tokens, 0.0, stop=tuple(task.stop))
    made = Collector(task, LocalEngine(policy), how, sampling, seed, "evaluate", "test").collect(0, [Unit(i, 0) for i in range(n)])
    return tally(place, entry, made, trained, time.monotonic() - began)


def tally(place: Place, entry: str, rollouts: list[Rollout], trained: int, seconds: float) -> Account:
    """The account of test rollouts. Raises BadData for one that failed: an error is no wrong answer."""
    for r in rollouts:
        if r.error is not None or r.verdict is None:
            raise BadData(f"{entry}, problem {r.problem.id}", f"could not be measured: {r.error}")
    n, turns = len(rollouts), [t for r in rollouts for t in r.turns]
    score = sum(r.verdict.score for r in rollouts if r.verdict is not None)
    low, high = wilson(score, n)
    per = lambda total: total / n
    sampled, read = per(sum(r.tokens for r in rollouts)), per(sum(t.context.n for t in turns))
    return Account(
        place, entry, per(score), low, high, n, per(len(turns)), sampled, read, per(sum(len(r.calls) for r in rollouts)), trained, seconds
    )
