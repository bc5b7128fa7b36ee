"""Recipe, Stage, Setting: what is to be learnt, how, from where.

A method is its difference from the default recipe, which is plain policy gradient with a group-mean baseline. Differences name
the slots they change, so methods that change different slots combine; a clash is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..core.errors import BadConfig, InputError
from ..solvers import Solver, single
from ..tasks import Task
from . import advantages, losses, rewards, select
from .batch import Key, by_problem, by_rollout
from .curriculum import Curriculum, in_order
from .losses import Loss
from .memory import State


@dataclass(frozen=True)
class WarmStart:
    """A start made by supervised fine-tuning of `base` on a task's demonstrations: {style: share}. Built once, cached by content."""

    task: Task
    styles: Mapping[str, float]
    steps: int = 300
    base: str = "tiny"


@dataclass(frozen=True)
class Setting:
    """Where a recipe is to work.

    start    a checkpoint (folder or built-in size) or a WarmStart
    size     the one dial: tiny, small or medium; scales steps and batch
    budget   tokens to sample at most, None: as the recipe says
    max_tokens   of a reply, where it is not as the task says
    """

    task: Task
    start: str | Path | WarmStart = "tiny"
    size: str = "tiny"
    budget: int | None = None
    seed: int = 0
    tools: tuple[str, ...] = ()
    max_tokens: int | None = None

    @property
    def longest(self) -> int:
        """Most tokens of a reply."""
        return self.max_tokens or self.task.max_tokens


@dataclass(frozen=True)
class Optimizer:
    """AdamW (Loshchilov & Hutter 2019) for all parameters, or Muon (Jordan et al. 2024) for the matrices and AdamW for the rest.

    kind          adamw; adamw8bit (its moments in 8 bits, Dettmers et al. 2022); muon
    lr, muon_lr   peak learning rates; decay "linear" and "cosine" go to 0 at the stage's end, after `warmup` steps
    clip          largest norm of the gradient
    """

    kind: str = "adamw"
    lr: float = 3e-4
    muon_lr: float = 0.02
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.0
    warmup: int = 5
    decay: str = "linear"
    clip: float = 1.0

    def __post_init__(self) -> None:
        for name, known in (("kind", ("adamw", "adamw8bit", "muon")), ("decay", ("none", "linear", "cosine"))):
            if getattr(self, name) not in known:
                raise BadConfig(f"optimizer {name} {getattr(self, name)!r}: choose {' or '.join(known)}")


@dataclass(frozen=True)
class Probe:
    """A measurement every so many steps, billed apart: its score is the metric "probe/NAME"; stateful parts see its rollouts.

    samples       of each problem, at the temperature (0: greedy)
    split         validation, or train: problems from the split's beginning
    """

    every: int
    problems: int = 64
    solver: Solver = single
    name: str = "greedy"
    samples: int = 1
    temperature: float = 0.0
    split: str = "validation"


@dataclass(frozen=True)
class Combine:
    """A combination of gradients that learns: step(gradients by loss, state) -> (gradient, state), from init(); at every update."""

    init: Callable[[], State]
    step: Callable[[Mapping[str, Any], State], tuple[Any, State]]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One phase of learning; every field is a slot that a method may change.

    source      "task": sample problems and let the solver reply; "demonstrations": say worked replies in `styles`;
                ("file", path) or ("stage", name): replay saved rollouts
    refill      at most so many further collections of new problems, until `select` keeps `problems` of them
    group, pair what a row is compared with: numbers of the rows (see `batch`, `pairs`)
    cast        role -> frozen model (a folder); a role not named here is the policy. `trains` names what learns
    heads       numbers that the model learns to say at every token, by name (a critic); new as the stage begins
    estimates   name -> signal, computed once a collection without gradient, for advantages and losses: `batch.extra`
    combine     what becomes of the losses' gradients, by name; None: they are added. With a memory: `Combine`
    signals     name -> row-valued tensors beside the batch, computed with every pass (see `signals`)
    shards      the fixed number of parts a step is cut into by problem; gradients add in their order
    cells       most tokens of one forward and backward pass
    """

    name: str = "rl"
    steps: int = 100
    problems: int = 8
    samples: int = 16
    source: str | tuple[str, str] = "task"
    styles: Mapping[str, float] = field(default_factory=dict)
    solver: Solver = single
    temperature: float = 1.0
    max_tokens: int | None = None
    reward: rewards.Reward = rewards.CORRECT
    group: Key = by_problem
    pair: Key = by_rollout
    advantage: advantages.Advantage = advantages.group_mean
    losses: tuple[Loss, ...] = field(default_factory=lambda: (losses.policy_gradient(),))
    combine: Callable[[Mapping[str, Any]], Any] | Combine | None = None
    select: select.Select = select.everything
    refill: int = 0
    curriculum: Curriculum = field(default_factory=in_order)
    cast: Mapping[str, str] = field(default_factory=dict)
    trains: tuple[str, ...] = ("policy",)
    heads: tuple[str, ...] = ()
    estimates: Mapping[str, Any] = field(default_factory=dict)
    signals: Mapping[str, Any] = field(default_factory=dict)
    probes: tuple[Probe, ...] = ()
    epochs: int = 1
    minibatches: int = 1
    optimizer: Optimizer = Optimizer()
    shards: int = 2
    cells: int = 16384

    def __post_init__(self) -> None:
        for name in ("steps", "problems", "samples", "epochs", "minibatches", "shards", "cells"):
            if getattr(self, name) < 1:
                raise BadConfig(f"stage {self.name!r}: {name} is {getattr(self, name)}, must be at least 1")
        if self.refill < 0:
            raise BadConfig(f"stage {self.name!r}: refill is {self.refill}, must be 0 or more")
        names = [loss.name for loss in self.losses]
        for name in names:
            if names.count(name) > 1:
                raise BadConfig(f"stage {self.name!r}: two losses are named {name!r}; metrics and `combine` tell them apart by name")
        if len({p.name for p in self.probes}) < len(self.probes):
            raise BadConfig(f"stage {self.name!r}: two probes have the same name; metrics and rewards tell them apart by it")
        if self.temperature <= 0 and self.source == "task":
            raise BadConfig(f"stage {self.name!r}: temperature {self.temperature} samples nothing to learn from; use a positive one")


@dataclass(frozen=True)
class Repeat:
    """Stages played for a number of rounds, or until `until(metrics of the last stage)`: STaR, EM, alternation."""

    stages: tuple[Stage, ...]
    rounds: int
    until: Callable[[Mapping[str, float]], bool] | None = None


@dataclass(frozen=True)
class Recipe:
    """What is done, in order."""

    stages: tuple[Stage | Repeat, ...]

    def stage(self, name: str, **changes: Any) -> Recipe:
        """The recipe with slots of one stage changed. An unknown slot is an error."""
        known = {f.name for f in fields(Stage)}
        unknown = set(changes) - known
        if unknown:
            raise BadConfig(f"unknown setting {sorted(unknown)[0]!r} of a stage; known: {', '.join(sorted(known))}")
        if not any(s.name == name for s in self.flat()):
            raise BadConfig(f"the recipe has no stage {name!r}; it has {', '.join(dict.fromkeys(s.name for s in self.flat()))}")
        change = lambda s: replace(s, **changes) if s.name == name else s
        return Recipe(tuple(replace(s, stages=tuple(map(change, s.stages))) if isinstance(s, Repeat) else change(s) for s in self.stages))

    def rl(self, **changes: Any) -> Recipe:
        """The recipe with slots of the stage "rl" changed."""
        return self.stage("rl", **changes)

    def flat(self) -> list[Stage]:
        """All stages once, in order."""
        return [t for s in self.stages for t in (s.stages if isinstance(s, Repeat) else (s,))]


SIZES: dict[str, dict[str, int]] = {
    "tiny": {"steps": 100, "problems": 8, "samples": 16, "shards": 2},
    "small": {"steps": 300, "problems": 16, "samples": 16, "shards": 4},
    "medium": {"steps": 500, "problems": 32, "samples": 16, "shards": 8},
}


def default(setting: Setting) -> Recipe:
    """Plain policy gradient with a group-mean baseline, at the setting's size."""
    if setting.size not in SIZES:
        raise BadConfig(f"unknown size {setting.size!r}; choose {', '.join(SIZES)}")
    return Recipe((Stage(**SIZES[setting.size]),))  # type: ignore[arg-type]


def imitation(steps: int, styles: Mapping[str, float], problems: int = 64, shards: int = 2) -> Stage:
    """Supervised fine-tuning on a task's demonstrations, {style: share}, as methods, warm starts and the built-in models have it.

    Muon for the matrices, because it needs a third of the steps on small models.
    """
    return Stage(
        name="sft",
        steps=steps,
        problems=problems,
        samples=1,
        source="demonstrations",
        styles=styles,
        reward=rewards.NOTHING,
        losses=(losses.cross_entropy(),),
        optimizer=Optimizer(kind="muon", lr=3e-3, warmup=20),
        shards=shards,
    )


def combine(setting: Setting, recipes: Mapping[str, Recipe]) -> Recipe:
    """Several methods as one recipe: each contributes what it changes of the stage "rl".

    Where a slot has named parts (rewards, losses, signals, …) the parts are what methods change; selections of whole groups join.
    Raises InputError when two change the same, or when a method is more than a change of that stage.
    """
    base = default(setting).flat()[0]
    changes: dict[str, dict[Any, tuple[str, Any]]] = {}
    verifies = {}
    for name, recipe in recipes.items():
        stages = recipe.flat()
        if len(stages) != 1 or stages[0].name != base.name:
            raise InputError(f"{name} has stages of its own ({', '.join(s.name for s in stages)}) and cannot be combined; run it alone")
        for slot in (f.name for f in fields(Stage)):
            before, after = _parts(slot, getattr(base, slot)), _parts(slot, getattr(stages[0], slot))
            mine = {k: after.get(k) for k in {**before, **after} if k not in before or k not in after or not same(before[k], after[k])}
            _join(slot, changes.setdefault(slot, {}), mine, name)
            if mine and slot == "reward":
                verifies[name] = stages[0].reward.verifies
    removed, advantage = changes.get("losses", {}).get("policy"), changes.get("advantage", {}).get(WHOLE)
    if removed is not None and removed[1] is None and advantage is not None and advantage[0] != removed[0]:
        raise InputError(
            f"{advantage[0]} changes 'advantage', which only the loss 'policy' reads, and {removed[0]} takes that out; they cannot be combined"
        )
    slots = {}
    for slot, changed in changes.items():
        if changed:
            parts = _parts(slot, getattr(base, slot)) | {k: v for k, (_, v) in changed.items()}
            for key, (name, _) in changed.items():
                if slot == "losses" and isinstance(key, tuple) and parts[key[0]] is None:
                    raise InputError(f"{name} changes the loss {key[0]!r}, which {changed[key[0]][0]} has not; they cannot be combined")
            slots[slot] = _whole(slot, {k: v for k, v in parts.items() if v is not None}, any(verifies.values()))
    return default(setting).rl(**slots)


def _join(slot: str, changed: dict[Any, tuple[str, Any]], mine: Mapping[Any, Any], name: str) -> None:
    """Add one method's changes of a slot to those of others. Raises InputError where they clash."""
    for key, value in mine.items():
        theirs = changed.get(key)
        if theirs is None and slot == "select" and changed and WHOLE in {key, *changed}:
            theirs = next(iter(changed.values()))  # what selects single rollouts joins with nothing
        if theirs is not None and not same(theirs[1], value):
            part = "" if key is WHOLE or slot == "select" else f" ({key[0] if isinstance(key, tuple) else key})"
            raise InputError(f"{theirs[0]} and {name} both change {slot!r}{part}; they cannot be combined")
        changed.setdefault(key, (name, value))


WHOLE = ""  # the only part of a slot that has no parts


def _parts(slot: str, value: Any) -> dict[Any, Any]:
    """What a slot's value is made of, by name; `_whole` makes it again."""
    if slot == "reward":
        return {name: (weight, part) for name, weight, part in value.parts}
    if slot == "losses":
        return {x.name: x.core or x for x in value} | {(x.name, layer): layer for x in value for layer in x.layers}
    if slot == "select":
        if isinstance(value, select.Where):
            return {test: test for test in value.tests}
        return {} if value is select.everything else {WHOLE: value}
    if slot == "heads":
        return dict.fromkeys(value, True)
    return dict(value) if isinstance(value, Mapping) else {WHOLE: value}


def _whole(slot: str, parts: dict[Any, Any], verifies: bool) -> Any:
    """A slot's value from its parts."""
    if slot == "reward":
        return rewards.Reward(tuple((name, *part) for name, part in parts.items()), verifies)
    if slot == "losses":
        made = {k: v for k, v in parts.items() if isinstance(v, Loss)}
        for key, layer in parts.items():
            if isinstance(key, tuple):
                made[key[0]] = losses.wrapped(made[key[0]], layer)
        return tuple(made.values())
    if slot == "select":
        return parts[WHOLE] if WHOLE in parts else select.Where(tuple(parts))
    if slot == "heads":
        return tuple(parts)
    return parts.get(WHOLE, parts)


def same(a: Any, b: Any) -> bool:
    """Equal, or functions made by the same code: factories return a new closure at each call."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if type(a) is not type(b):
        return False
    if hasattr(a, "__dataclass_fields__"):
        return all(same(getattr(a, f), getattr(b, f)) for f in a.__dataclass_fields__)
    if hasattr(a, "__code__"):
        held = lambda f: (*(c.cell_contents for c in f.__closure__ or ()), f.__defaults__, *sorted((f.__kwdefaults__ or {}).items()))
        return a.__code__ is b.__code__ and same(held(a), held(b))
    if isinstance(a, partial):
        return same((a.func, a.args, *sorted(a.keywords.items())), (b.func, b.args, *sorted(b.keywords.items())))
    return bool(a == b)
