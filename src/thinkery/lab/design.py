"""What a comparison is to be: its settings, which methods can run in them, what it will need, and which differences it can find."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..core.errors import BadConfig, BadData, BadModel, InputError
from ..core.reading import loads
from ..learning.recipe import Recipe, Setting
from ..tasks import Task
from . import catalogue, fitness
from .comparison import SAMPLES, SPREAD, START, Arm, Comparison, Measured, assumed, finite, smallest
from .interactions import pairs_of
from .loading import task_of
from .manner import settings_of
from .memory import Memory, job_of
from .plan import GIB, Plan, fit
from .plan import plan as plan_of
from .recipes import recipe_for
from .statistics import seeds_needed
from .store import metrics_of, seconds_of
from .text import duration

SAMPLED = 64  # problems with several replies at temperature 1, at most


@dataclass(frozen=True, kw_only=True)
class Design:
    """What is compared, how, and on what.

    methods      ids, files, or several joined with "+"; the differences are to the first
    seeds        runs of each, with the seeds 0, 1, …
    steps        of the last stage; budget: tokens to sample at most in a run's training
    n            test problems
    out          folder of everything; by default runs/compare-TASK. What is done there already is not done again
    stop         "early": an arm that is surely worse than the leader gets no further seeds
    pairs        every two methods after the first are combined, too, where they can be: whether they add up
    skip_unfit   leave out methods that cannot run in this setting, instead of refusing

    The rest is as `train` has it.
    """

    methods: tuple[str, ...]
    task: str | Task | None = None
    model: str | Path = "tiny"
    seeds: int = 3
    steps: int | None = None
    budget: int | None = None
    n: int = 200
    out: str | Path | None = None
    stop: str | None = None
    pairs: bool = False
    skip_unfit: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)
    size: str = "tiny"
    workers: int | str = "auto"
    solver: str | None = None
    device: str = "auto"
    dtype: str | None = None
    memory: Memory = field(default_factory=Memory)
    thinking: str = "auto"
    system: str = ""
    engine: str = "auto"
    doctor_stops: bool = True

    def __post_init__(self) -> None:
        for name in ("seeds", "n", "budget", "steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BadConfig(f"{name} is {value}; give at least 1")
        if self.stop not in (None, "early"):
            raise BadConfig(f"stop {self.stop!r}: choose early, or leave it out")


@dataclass(frozen=True)
class Prepared:
    """A design whose methods were found fit. skipped: those left out, with the reason; recipes, estimates: of one run of each arm."""

    design: Design
    task: Task
    folder: Path
    arms: tuple[str, ...]
    skipped: Mapping[str, str]
    recipes: Mapping[str, Recipe]
    estimates: Mapping[str, Plan | None]

    @property
    def sampled(self) -> int:
        """Problems with several replies."""
        return min(self.n, SAMPLED)

    @property
    def n(self) -> int:
        """Test problems: what is asked for, or what there are."""
        return min(self.design.n, self.task.size("test") or self.design.n)

    @property
    def about(self) -> dict[str, Any]:
        """What all runs share; a folder holds one such."""
        d = self.design
        config = dict(d.config) | d.memory.settings() | settings_of(d.thinking, d.system)
        spec = getattr(self.task, "spec", None)
        about = {
            "task": self.task.name,
            "difficulty": None if spec is None else str(spec),
            "model": str(d.model),
            "n": self.n,
            "sampled_n": self.sampled,
            "steps": d.steps,
        }
        return about | {"budget": d.budget, "size": d.size, "solver": d.solver, "config": config}

    def place(self, arm: str, seed: int) -> Path:
        """Where a run of an arm lies."""
        return self.folder / label(arm) / f"seed-{seed}"

    def tokens(self, plan: Plan) -> int:
        """Tokens that training with a plan samples at most: a budget ends it with the step in which it is spent."""
        budget = self.design.budget
        return plan.tokens if budget is None else min(plan.tokens, budget + plan.tokens // max(1, plan.steps))

    def plan(self) -> ComparisonPlan:
        """What it will need, and what it can find."""
        seeds, names = self.design.seeds, self.arms
        left = {a: sum(not (self.place(a, s) / "measured.json").is_file() for s in range(seeds)) for a in names}
        known = [(left[a], p) for a, p in self.estimates.items() if p is not None]
        hours = sum(k * p.hours * (self.tokens(p) / p.tokens if p.tokens else 1) for k, p in known)
        before = self._measured_spread()
        return ComparisonPlan(
            arms=tuple(map(label, names)),
            seeds=seeds,
            done=len(names) * seeds - sum(left.values()),
            tokens=sum(k * self.tokens(p) for k, p in known),
            answers=sum(left.values()) * (self.n + SAMPLES * self.sampled),
            hours=hours,
            bytes=max((p.total for _, p in known), default=0.0),
            estimated=len(known) == len(names),
            spread=before or assumed(self.n),
            spread_from="measured between the seeds that are done"
            if before
            else f"assumed: {self.n} problems half of which are solved, and {100 * SPREAD:.0f} points between the seeds of an arm",
            detectable=smallest(before or assumed(self.n), seeds, len(names)),
            needed={d: seeds_needed(d, len(names)) for d in (0.2, 0.5, 1.0)} if self.design.stop else {},
            skipped=self.skipped,
            steps={label(a): sum(s.steps for s in r.flat()) for a, r in self.recipes.items() if a in names},
            budget=self.design.budget,
        )

    def _measured_spread(self) -> float | None:
        """The spread of what is done already."""
        arms = [a for a in (self.arm(a) for a in self.arms) if a.seeds]
        return Comparison({}, Arm(START, {}), tuple(arms), "").spread() if len(arms) > 1 else None

    def arm(self, name: str, note: str = "") -> Arm:
        """An arm with all its seeds that are done."""
        seeds = {s: m for s in range(self.design.seeds) if (m := read(self.place(name, s) / "measured.json")) is not None}
        return Arm(label(name), seeds, {s: c for s in seeds if (c := curve(self.place(name, s)))}, note)


@dataclass(frozen=True)
class ComparisonPlan:
    """What a comparison will need at most, and the smallest difference that it finds four times in five (infinite with one seed).

    tokens, hours   of training in the runs that are left; answers: replies to test problems besides
    bytes           memory of the largest run; estimated: whether that is known of every arm
    spread          standard deviation of a paired difference, and where it comes from
    needed          seeds until an arm that is worse by so much in every seed is dropped
    steps           of a run of each arm, unless the budget of sampled tokens ends it before
    """

    arms: tuple[str, ...]
    seeds: int
    done: int
    tokens: int
    answers: int
    hours: float
    bytes: float
    estimated: bool
    spread: float
    spread_from: str
    detectable: float
    needed: Mapping[float, int]
    skipped: Mapping[str, str]
    steps: Mapping[str, int]
    budget: int | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values; an infinite difference is None."""
        needed = {str(k): v for k, v in self.needed.items()}
        return asdict(self) | {"detectable": finite(self.detectable), "needed": needed, "skipped": dict(self.skipped)}

    def lines(self) -> list[str]:
        """For people."""
        runs = len(self.arms) * self.seeds
        rows = [f"left out: {name}: {reason}" for name, reason in self.skipped.items()]
        rows.append(
            f"{runs} runs: {len(self.arms)} methods ({', '.join(self.arms)}) with {self.seeds} seeds each; {self.done} done already"
        )
        ends = f", or with the step in which {self.budget:,} tokens are sampled" if self.budget else ""
        rows.append(f"a run ends after its steps ({', '.join(f'{arm} {n}' for arm, n in self.steps.items())}){ends}")
        rows.append(
            f"at most {self.tokens:,} tokens sampled in training, about {duration(3600 * self.hours)}; {self.answers:,} answers to test problems besides"
        )
        rows.append(f"memory: about {self.bytes / GIB:.1f} GiB at a time")
        if not self.estimated:
            rows.append("some methods or this model are beyond the estimate, and not in these numbers")
        if self.seeds == 1:
            rows.append("with one seed no interval can be given, and no difference called real")
        elif self.detectable >= 1:
            rows.append(f"too few seeds or problems to find any difference reliably (spread {self.spread_from})")
        else:
            rows.append(f"finds a true difference of {100 * self.detectable:.1f} points four times in five (spread {self.spread_from})")
        if self.needed:
            told = ", ".join(f"{100 * d:.0f} points: {n}" for d, n in self.needed.items())
            rows.append(f"seeds until an arm is dropped that is worse in every one by {told}")
            if min(self.needed.values()) > self.seeds:
                rows.append(f"so nothing can be dropped within {self.seeds} seeds")
        return rows


def prepare(design: Design) -> Prepared:
    """Find methods and task, and what does not fit. Raises InputError naming each method that cannot run, and what does not fit in memory."""
    task = task_of(design.task)
    made = pairs_of(design.methods) if design.pairs else []
    methods = [*design.methods, *made]
    names = [label(m) for m in methods]
    for name in names:
        if names.count(name) > 1 or name == START:
            raise InputError(f"two arms would be named {name!r}; name each method once, and give files of your own other names")
    recipes, unfit = dict[str, Recipe](), dict[str, str]()
    for method in methods:
        for part in method.split("+"):
            catalogue.load(part)  # a wrong name is a mistake, whatever may be left out
        try:
            recipes[method] = recipe_for(method, _setting(design, task), design.config, design.steps, design.solver)
            fitness.check(recipes[method], task, design.model)
        except InputError as error:
            unfit[label(method)] = str(error)
    arms = tuple(m for m in methods if label(m) not in unfit)
    told = "".join(f"\n  {name}: {reason}" for name, reason in unfit.items())
    if not design.skip_unfit and any(label(m) in unfit for m in design.methods):
        raise InputError(f"these methods cannot run in this setting:{told}\nGive what they need, or leave them out with --skip-unfit")
    if len(arms) < 2:
        raise InputError(
            f"a comparison needs at least two methods that can run; there {'is' if arms else 'are'} {', '.join(arms) or 'none'}{told}"
        )
    if task.size("test") == 0:
        raise InputError(f"the split 'test' of {task.name} is empty: it needs more rows")
    folder = Path(design.out) if design.out is not None else Path("runs") / f"compare-{task.name}"
    found = Prepared(design, task, folder, arms, unfit, recipes, {a: _estimate(design, task, a, recipes[a]) for a in arms})
    _matching(found)
    return found


def _setting(design: Design, task: Task, seed: int = 0) -> Setting:
    return Setting(task, str(design.model), design.size, design.budget, seed)


def _estimate(design: Design, task: Task, arm: str, recipe: Recipe) -> Plan | None:
    """What a run of the arm needs; None for a model whose parts are not known. Raises InputError for what cannot fit."""
    try:
        job = job_of(design.model, recipe, task, design.memory, design.device, design.dtype, design.workers)
    except BadModel:  # transformers may know it; what is wrong with it loading will say
        return None
    found = plan_of(job)
    try:
        if design.memory.fit:
            fit(job)
        else:
            found.check()
    except InputError as error:
        raise InputError(f"{arm}: {error}") from error
    return found


def _matching(p: Prepared) -> None:
    """Raises BadConfig where the folder holds a comparison made otherwise."""
    path = p.folder / "setting.json"
    if not path.is_file():
        if p.folder.is_dir() and any(p.folder.iterdir()):
            raise BadConfig(f"{p.folder} is not empty and holds no comparison; choose another --out")
        return
    try:
        before = loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadData(path, f"not valid JSON ({error}); the comparison cannot go on") from error
    for key, value in json.loads(json.dumps(p.about)).items():
        if before.get(key) != value:
            raise BadConfig(f"{p.folder} was started with {key} {before.get(key)!r}, not {value!r}; give the same, or choose another --out")


def label(method: str) -> str:
    """What an arm is called: files of one's own by their names."""
    return "+".join(Path(part).stem if part.endswith(".py") else part for part in method.split("+"))


def read(path: Path) -> Measured | None:
    """What was measured, if it was. Raises BadData for a file that cannot be read."""
    try:
        return Measured(**loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise BadData(path, f"cannot be read ({error}); delete it, and the run is done again") from error


def curve(run: Path) -> list[tuple[float, float, float]]:
    """Training accuracy over a run: tokens sampled and seconds by then, accuracy of the step."""
    tokens = seconds = 0.0
    spent = seconds_of(run)
    out = []
    for m in metrics_of(run):
        tokens, seconds = tokens + m["tokens"], seconds + spent.get(m["step"], 0.0)
        if m.get("accuracy") is not None:
            out.append((tokens, seconds, float(m["accuracy"])))
    return out
