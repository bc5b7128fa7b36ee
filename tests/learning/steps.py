"""Every method's stages, each with its first step as it was collected by a tiny random model: what a step's gradient is worked out from."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.support import TINY, Sums, draws, model_of, tool_loop, twin
from thinkery.core.errors import BadConfig
from thinkery.core.records import Rollout
from thinkery.lab import catalogue
from thinkery.learning.batch import Batch
from thinkery.learning.gradient import Learner, Plan, own, plan, total_gradient
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Recipe, Setting, Stage
from thinkery.learning.rewards import Stateful
from thinkery.learning.select import everything
from thinkery.learning.workers import Inline
from thinkery.models.decoder import Decoder
from thinkery.models.model import Model
from thinkery.solvers import single

UNTRAINED: dict[str, str] = {}  # methods without a gradient of their own: why
METHODS = sorted(name for name, entry in catalogue.methods().items() if entry.module.startswith("thinkery.") and name not in UNTRAINED)
LONGEST = 12  # tokens of a reply


@dataclass(frozen=True)
class Tossed:
    """A part of a reward that pays by lot, as many numbers as the part itself: else a model that knows nothing would have nothing to learn from."""

    name: str
    part: Callable[..., Any]

    def __call__(self, rollouts: Sequence[Rollout], *state: Any) -> list[Any]:
        lots = lambda r, like: draws("tossed", self.name, r.index, r.k).random(np.shape(like))
        return [lots(r, like) if np.ndim(like) else float(lots(r, like)) for r, like in zip(rollouts, self.part(rollouts, *state))]


def small(stage: Stage) -> Stage:
    """The stage as one small step that pays by lot, takes two turns where one would do, and learns from all that was sampled."""
    tossed = lambda name, part: replace(part, score=Tossed(name, part.score)) if isinstance(part, Stateful) else Tossed(name, part)
    reward = replace(stage.reward, parts=tuple((name, weight, tossed(name, part)) for name, weight, part in stage.reward.parts))
    solver = tool_loop if stage.solver is single and stage.source == "task" else stage.solver
    sizes = {"steps": 1, "problems": 3, "samples": min(4, stage.samples), "max_tokens": LONGEST}
    return replace(stage, solver=solver, reward=reward, select=everything, refill=0, probes=(), **sizes)


@dataclass(eq=False)
class Step:
    """The first step of one stage of a method.

    policy, frozen   the models as they were when it was collected, by name
    memory           what the stage's parts remembered
    """

    method: str
    number: int
    batch: Batch
    policy: Decoder
    frozen: dict[str, Decoder]
    memory: dict[str, Any]

    @property
    def stage(self) -> Stage:
        return stages(self.method)[self.number]

    def __str__(self) -> str:
        return f"{self.method} {self.stage.name}"


@dataclass(frozen=True)
class Cut:
    """One way to work out a step's gradient.

    order, shard     numbers of the draws that say in which order the rollouts stand, and which of the shards a row belongs to
    shared, plain    one tree or padded rows; torch's own operations instead of compiled ones
    """

    shards: int = 1
    cells: int = 1
    order: int = 0
    shard: int = 0
    shared: bool = False
    plain: bool = True


ALONE = Cut()  # every row by itself, as a padded sequence, on torch's own operations


@cache
def module(method: str) -> ModuleType:
    return catalogue.load(method)


def setting(method: str) -> Setting:
    """Where a method is tried: on sums, or where it takes no other on the task of its own claim."""
    plain = Setting(Sums(), max_tokens=LONGEST)
    try:
        module(method).recipe(plain)
    except BadConfig:
        return replace(plain, task=module(method).CLAIM.setting.task)
    return plain


@cache
def stages(method: str) -> list[Stage]:
    """A method's stages, each of one small step."""
    return [small(s) for s in module(method).recipe(setting(method)).flat()]


def start() -> Model:
    """A random model whose replies share beginnings and now and then end before they must."""
    model = model_of(TINY, seed=2, sharp=14.0)
    with torch.no_grad():
        model.decoder.embed[model.tokenizer.end] *= 6
    return model


@cache
def steps(method: str) -> list[Step]:
    """The first step of each stage, played in order."""
    return first_steps(method, start())


def first_steps(method: str, model: Model, engine: str = "auto") -> list[Step]:
    """The same, sampled by an engine from a model, which learns on the way."""
    learning = Learning(Recipe(tuple(stages(method))), setting(method), model, engine=engine)
    collecting = gc.isenabled()
    gc.disable()  # else every step ends with a full collection
    try:
        return list(played(method, learning))
    finally:
        if collecting:
            gc.enable()


def played(method: str, learning: Learning) -> Iterator[Step]:
    """Each stage's first step as it is done."""
    while not learning.done:
        learning.enter()
        assert isinstance(learning.executor, Inline)
        learner, number = learning.executor.learner, learning.state.position
        kept = (copy.deepcopy(learner.decoder), dict(learner.frozen), copy.deepcopy(learning.memory))
        learning.step()
        assert learning.learnt is not None
        yield Step(method, number, learning.learnt[1], *kept)


def moved(decoder: Decoder, by: float, seed: int) -> Decoder:
    """The decoder a little further on; its heads, which begin as 0, say something."""
    other, noise = twin(decoder, torch.float32), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in other.named_parameters():
            p += (0.1 if name.startswith("heads.") else by * p.abs().mean()) * torch.randn(p.shape, generator=noise)
    return other


def divided(step: Step, cut: Cut) -> tuple[Stage, Batch]:
    """Stage and batch with the cut's sizes, order and shards; rows that may not be separated find each other by themselves."""
    _, of = np.unique(step.batch.rollout, return_inverse=True)
    place = draws("order", cut.order).permutation(of.max() + 1) if cut.order else np.arange(of.max() + 1)
    batch = step.batch.take(np.argsort(place[of], kind="stable"))
    batch.shard = draws("shard", cut.shard).integers(cut.shards, size=len(batch))
    return replace(step.stage, shards=cut.shards, cells=cut.cells), batch


def learner(step: Step, cut: Cut, dtype: torch.dtype, epoch: int) -> Learner:
    """The models in a precision; from the second epoch (1) on the policy has moved."""
    policy = moved(step.policy, 0.02 if epoch else 0.0, 1)
    frozen = {name: twin(d, dtype, cut.plain) for name, d in step.frozen.items()}
    return Learner(twin(policy, dtype, cut.plain), frozen, cut.shared)


def ready(step: Step, cut: Cut, dtype: torch.dtype, epoch: int) -> tuple[Inline, Batch, Plan, Tensor | None]:
    """All that the gradient of an epoch is worked out from: what was estimated as the step was collected, advantages, `old` and the plan."""
    stage, batch = divided(step, cut)
    before = Inline(stage, learner(step, cut, dtype, 0), None)  # type: ignore[arg-type]
    for name, signal in stage.estimates.items():
        batch.extra[name] = before.estimate(signal, batch, batch.mask.sum(1), dtype).numpy()
    batch.advantage = stage.advantage(batch)
    p = plan(batch, stage)
    if not epoch:
        return before, batch, p, None
    now = Inline(stage, learner(step, cut, dtype, epoch), None)  # type: ignore[arg-type]
    return now, batch, p, before.estimate(own, batch, p.upto, dtype)


def total(step: Step, inline: Inline, gradients: Tensor) -> Tensor:
    """The step's gradient from the shards'."""
    return total_gradient(inline.stage, gradients, inline.stage.losses, copy.deepcopy(step.memory)).clone()


def gradient(step: Step, cut: Cut = ALONE, dtype: torch.dtype = torch.float64, epoch: int = 0) -> Tensor:
    """What the loop would hand to the optimizer in an epoch (0: the first), [parameters]."""
    inline, batch, p, old = ready(step, cut, dtype, epoch)
    return total(step, inline, inline.gradients(batch, p, old)[0])


def distance(a: Tensor, b: Tensor) -> float:
    """How far a is from b, relative to b's norm; where b is 0, a's own norm."""
    return float((a.double() - b.double()).norm() / (b.double().norm() or 1.0))


@cache
def truth(method: str, stage: int, epoch: int) -> Tensor:
    """The gradient of a method's stage in double precision, worked out row by row."""
    return gradient(steps(method)[stage], ALONE, epoch=epoch)


@cache
def rounding(method: str, stage: int, epoch: int) -> dict[Cut, float]:
    """How far padded rows in single precision are from it: one by one and all at once, with torch's operations and with compiled ones.

    Where a policy is sharp the rounding of one exponent decides, so one of them alone is a matter of luck.
    """
    padded = [Cut(cells=cells, plain=plain) for plain in (True, False) for cells in (1, 10**6)]
    return {c: distance(gradient(steps(method)[stage], c, torch.float32, epoch), truth(method, stage, epoch)) for c in padded}
