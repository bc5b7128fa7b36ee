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
from .batch import GroupKey, by_problem
from .curriculum import Curriculum, in_order
from .losses import Loss


@dataclass(frozen=True)
class WarmStart:
    """A start made by supervised fine-tuning on a task's demonstrations: {style: share}. Built once, cached by content."""

    styles: Mapping[str, float]
    steps: int = 300
    base: str = "tiny"


@dataclass(frozen=True)
class Setting:
    """Where a recipe is to work.

    start    a checkpoint (folder or built-in size) or a WarmStart
    size     the one dial: tiny, small or medium; scales steps and batch
    budget   tokens to sample at most, None: as the recipe says
    """

    task: Task
    start: str | Path | WarmStart = "tiny"
    size: str = "tiny"
    budget: int | None = None
    seed: int = 0
    tools: tuple[str, ...] = ()


@dataclass(frozen=True)
class Optimizer:
    """AdamW (Loshchilov & Hutter 2019) for all parameters, or Muon (Jordan et al. 2024) for the matrices and AdamW for the rest.

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
        for name, known in (("kind", ("adamw", "muon")), ("decay", ("none", "linear", "cosine"))):
            if getattr(self, name) not in known:
                raise BadConfig(f"optimizer {name} {getattr(self, name)!r}: choose {' or '.join(known)}")


@dataclass(frozen=True)
class Probe:
    """A measurement every so many steps, on problems of the validation split; billed apart."""

    every: int
    problems: int = 64
    solver: Solver = single


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One phase of learning; every field is a slot that a method may change.

    source      "task": sample problems and let the solver reply; "demonstrations": say worked replies in `styles`;
                ("file", path) or ("stage", name): replay saved rollouts
    cast        role -> frozen model (a folder); a role not named here is the policy. `trains` names what learns
    signals     name -> row-valued tensors beside the batch (see `signals`)
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
    group: GroupKey = by_problem
    advantage: advantages.Advantage = advantages.group_mean
    losses: tuple[Loss, ...] = field(default_factory=lambda: (losses.policy_gradient(),))
    combine: Callable[[Mapping[str, Any]], Any] | None = None
    select: select.Select = select.everything
    curriculum: Curriculum = field(default_factory=in_order)
    cast: Mapping[str, str] = field(default_factory=dict)
    trains: tuple[str, ...] = ("policy",)
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
        names = [loss.name for loss in self.losses]
        for name in names:
            if names.count(name) > 1:
                raise BadConfig(f"stage {self.name!r}: two losses are named {name!r}; metrics and `combine` tell them apart by name")
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


def combine(setting: Setting, recipes: Mapping[str, Recipe]) -> Recipe:
    """Several methods as one recipe: each contributes the slots of the stage "rl" that it changes.

    Raises InputError when two change the same slot, or when a method is more than a change of that stage.
    """
    base = default(setting).flat()[0]
    changes: dict[str, tuple[str, Any]] = {}
    for name, recipe in recipes.items():
        stages = recipe.flat()
        if len(stages) != 1 or stages[0].name != base.name:
            raise InputError(f"{name} has stages of its own ({', '.join(s.name for s in stages)}) and cannot be combined; run it alone")
        for f in fields(Stage):
            value = getattr(stages[0], f.name)
            if not _same(value, getattr(base, f.name)):
                if f.name in changes and not _same(changes[f.name][1], value):
                    raise InputError(f"{changes[f.name][0]} and {name} both change {f.name!r}; they cannot be combined")
                changes[f.name] = (name, value)
    return default(setting).rl(**{slot: value for slot, (_, value) in changes.items()})


def _same(a: Any, b: Any) -> bool:
    """Equal, or functions made by the same code: factories return a new closure at each call."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if type(a) is not type(b):
        return False
    if hasattr(a, "__dataclass_fields__"):
        return all(_same(getattr(a, f), getattr(b, f)) for f in a.__dataclass_fields__)
    if hasattr(a, "__code__"):
        held = lambda f: (*(c.cell_contents for c in f.__closure__ or ()), f.__defaults__, *sorted((f.__kwdefaults__ or {}).items()))
        return a.__code__ is b.__code__ and _same(held(a), held(b))
    if isinstance(a, partial):
        return _same((a.func, a.args, *sorted(a.keywords.items())), (b.func, b.args, *sorted(b.keywords.items())))
    return bool(a == b)
