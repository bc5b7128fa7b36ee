"""Dynamic reward weighting: what several objectives weigh is learnt while training, from what still widens the front or from their gradients.

Paper    Lu et al. 2025, "Learning to optimize multi-objective alignment through dynamic reward weighting" (arXiv:2509.11452).
Problem  Fixed weights reach a part of the Pareto front alone, and what is soon learnt keeps its weight to the end.
New      `guided`: a weighted sum of objectives times m, which is large after steps that added hypervolume on a validation set. `by_gradient`:
         a gradient for each objective, in passes of their own, and weights that grow for an objective whose gradient agrees with the others'.
Formula  m = 0.5 + 1.5 tanh(dHV),  dHV what the validation vector adds to the volume that the kept vectors dominate above the first one
         s_k = sum over j of <g_k, g_j>;  w <- softmax(log w + eta s / max |s|);  update with sum over k of w_k g_k
Setup    m = 0.5 + 1.5 tanh(dHV) (paper); mu = 1e-5 (paper); learning rate = 1e-6 (paper); estimators = GRPO, REINFORCE, RLOO (paper).
Differs  The objectives: right, shorter than the running mean, work on lines of its own. Validation every 5 steps on 32 problems instead of every
         step; m stays in between. The step of the weights is 0.1 of the largest influence, for lr / mu belongs to a large model; gradients are
         those of all layers. No division by the group's deviation, in which a factor common to the batch would cancel. One preset of weights and one
         estimator; the claim's hypervolume is that of the last point's accuracy and of the room its replies leave, not of a run's front. What
         counts as concise moves with the mean, so the vectors that `guided` keeps are not strictly of one scale.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from thinkery.core.records import Card, Rollout
from thinkery.lab.claims import Claim, difference, less, more, not_worse, ratio
from thinkery.lab.metrics import hypervolume
from thinkery.learning import advantages, rewards
from thinkery.learning.batch import Array, Batch, Rows
from thinkery.learning.losses import Loss, Policy
from thinkery.learning.memory import Seen, State
from thinkery.learning.recipe import Combine, Probe, Recipe, Setting, WarmStart, default
from thinkery.tasks.chain import Chain

CARD = Card(
    id="dynamic_rw",
    number=81,
    family="objectives",
    title="Dynamic reward weighting",
    year=2025,
    paper="arXiv:2509.11452",
    changes=("reward", "advantage", "losses", "combine"),
)

WEIGHTS = {"accuracy": 0.5, "concise": 0.25, "clear": 0.25}
EVERY, VALIDATED = 5, 32  # steps between validations, and their problems
KEPT = 0.9  # of the running mean of lengths, a step
RATE = 0.1  # of the weights


# ---- objectives


def brief(rollouts: Sequence[Rollout], mean: float | None) -> list[float]:
    """1 for a reply of fewer sampled tokens than the running mean, else 0; 0 for all in the first step, which has none."""
    return [float(mean is not None and r.tokens < mean) for r in rollouts]


def clear(rollouts: Sequence[Rollout]) -> list[float]:
    """1 for a reply of two lines or more, else 0: its work does not run on."""
    return [float(r.reply is not None and sum(map(bool, map(str.strip, r.reply.text.splitlines()))) > 1) for r in rollouts]


def averaged(mean: float | None, rollouts: Sequence[Rollout]) -> float | None:
    """The running mean of lengths after a step."""
    lengths = [r.tokens for r in rollouts if r.error is None]
    if not lengths:
        return mean
    now = sum(lengths) / len(lengths)
    return now if mean is None else KEPT * mean + (1 - KEPT) * now


def vectors(rollouts: Sequence[Rollout], mean: float | None) -> list[tuple[float, ...]]:
    """The objectives of each rollout, in the order of WEIGHTS."""
    return list(zip(rewards.correct(rollouts), brief(rollouts, mean), clear(rollouts)))


def parts() -> dict[str, tuple[float, rewards.Part]]:
    """The objectives as parts of a reward, with their weights."""
    running = rewards.Stateful(
        lambda: {"mean": None},
        lambda rollouts, state: brief(rollouts, state["mean"]),
        lambda state, seen: {"mean": averaged(state["mean"], seen.rollouts)},
    )
    found: dict[str, rewards.Part] = {"accuracy": rewards.correct, "concise": running, "clear": clear}
    return {name: (WEIGHTS[name], part) for name, part in found.items()}


# ---- guided by hypervolume


def scalarised(rollouts: Sequence[Rollout], state: State) -> list[float]:
    """m times the weighted sum of the objectives."""
    return [state["m"] * sum(w * v for w, v in zip(WEIGHTS.values(), vector)) for vector in vectors(rollouts, state["mean"])]


def widened(state: State, seen: Seen) -> State:
    """After a validation: m by what its mean vector adds to the front, and the front with it, if it adds anything."""
    state = state | {"mean": averaged(state["mean"], seen.rollouts)}
    found = [r for r in seen.probes.get("validate", ()) if r.verdict is not None]
    if not found:
        return state
    now = [sum(column) / len(found) for column in zip(*vectors(found, state["mean"]))]
    if state["reference"] is None:
        return state | {"reference": now, "m": 0.5}
    gain = hypervolume([*state["front"], now], state["reference"]) - hypervolume(state["front"], state["reference"])
    return state | {"m": 0.5 + 1.5 * math.tanh(gain), "front": [*state["front"], now] if gain > 0 else state["front"]}


def guided(setting: Setting) -> Recipe:
    """Weights of the user, and a factor by hypervolume."""
    part = rewards.Stateful(lambda: {"mean": None, "reference": None, "front": [], "m": 1.0}, scalarised, widened)
    validate = Probe(EVERY, VALIDATED, name="validate", split="validation")
    return default(setting).rl(reward=rewards.weighted(correct=0.0, guided=part), probes=(validate,))


# ---- weights by gradients


def apart(batch: Batch) -> Array:
    """Leaves the advantage of each objective in `extra`; gives their weighted sum."""
    total = 0.0 * batch.reward
    for name, weight in WEIGHTS.items():
        batch.extra[f"advantage/{name}"] = advantages.group_mean(replace(batch, reward=batch.extra[f"reward/{name}"]))
        total += weight * batch.extra[f"advantage/{name}"]
    return total


def objective(name: str) -> Loss:
    """Policy gradient by one objective's advantage."""

    def weight(batch: Batch) -> Array:
        return abs(batch.extra[f"advantage/{name}"])[:, None] * batch.sampled

    def term(p: Policy, rows: Rows) -> Tensor:
        return -p.ratio * rows.wide(f"advantage/{name}").sign()

    return Loss(name, weight, term)


def reweighted(gradients: Mapping[str, Any], state: State, turned: int = 0) -> tuple[Tensor, State]:
    """Mirror descent on the weights, then the gradient that they weigh. `turned`: each objective has the influence of the one so many places on."""
    g = torch.stack([gradients[name] for name in WEIGHTS])
    influence = (g.double() @ g.double().sum(0)).roll(-turned).tolist()
    largest = max(map(abs, influence)) or 1.0
    raised = [w * math.exp(RATE * s / largest) for w, s in zip(state["weights"], influence)]
    weights = [w / sum(raised) for w in raised]
    return torch.tensor(weights, dtype=g.dtype, device=g.device) @ g, {"weights": weights}


def recipe(setting: Setting) -> Recipe:
    """Weights by the objectives' gradients."""
    return default(setting).rl(
        reward=rewards.weighted(correct=0.0, **parts()),
        advantage=apart,
        losses=tuple(map(objective, WEIGHTS)),
        combine=Combine(lambda: {"weights": list(WEIGHTS.values())}, reweighted),
    )


# ---- the claim's other arms


def fixed(setting: Setting) -> Recipe:
    """The same objectives, with weights that stay."""
    return default(setting).rl(reward=rewards.weighted(correct=0.0, **parts()))


def validated(setting: Setting) -> Recipe:
    """The factor of another moment: m is what the step's number says, not what the front gained."""
    part = guided(setting).flat()[0].reward.parts[0][2]
    assert isinstance(part, rewards.Stateful)
    return guided(setting).rl(reward=rewards.weighted(correct=0.0, guided=replace(part, update=alternating)))


def alternating(state: State, seen: Seen) -> State:
    """m between its ends, whatever was gained."""
    return widened(state, seen) | {"m": 0.5 + 1.5 * (seen.step // EVERY % 2)}


def misled(setting: Setting) -> Recipe:
    """Weights that follow another objective's influence."""
    (stage,) = recipe(setting).flat()
    assert isinstance(stage.combine, Combine)
    return recipe(setting).rl(combine=replace(stage.combine, step=partial(reweighted, turned=1)))


def alone(setting: Setting) -> Recipe:
    """Right answers alone."""
    return default(setting)


TASK = Chain(steps=(2, 5))

CLAIM = Claim(
    primary=more("hypervolume", "by gradient", "fixed", by=ratio(1.05), why="the card: 5 % above fixed weights"),
    secondary=(
        more("hypervolume", "guided", "fixed", by=ratio(1.05), why="the card: 5 % above fixed weights"),
        more("hypervolume", "guided", "m alternates", by=difference(0.0), why="or any change of the factor does it"),
        not_worse("accuracy", "by gradient", "fixed", margin=0.03, why="the front must not be widened at the cost of what counts most"),
    ),
    mechanism=(less("tokens", "fixed", "accuracy alone", by=ratio(0.9), why="objectives must pull apart, or weights do not matter"),),
    arms={
        "fixed": fixed,
        "by gradient": recipe,
        "misled": misled,
        "guided": guided,
        "m alternates": validated,
        "accuracy alone": alone,
    },
    baseline="fixed",
    method="by gradient",
    must_move="misled",
    placebo="shuffled reward",
    setting=Setting(TASK, WarmStart(TASK, {"direct": 0.5, "trace": 0.15, "verbose": 0.2, "structured": 0.15}, steps=400)),
    config={"steps": 120, "problems": 16, "lr": 1e-3},
    paper="Pareto-dominates fixed weights with fewer steps for three estimators.",
)
