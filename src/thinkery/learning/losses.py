"""Losses: what is minimised over the rows of a step, as named sums of weight x term / denominator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from .batch import Array, Batch, Rows


@dataclass
class Policy:
    """What a loss may see of the model, for the rows of one forward pass: tensors [r, T], nats, at the rows' temperature.

    logp        log-probability of each token now, with gradient
    old         the learner's own before this step's first update, detached; with one update per collection it is logp itself
    behaviour   as sampled
    entropy     of the distribution each token was drawn from, with gradient
    signals     by name: references, values, second conditionings, teachers
    """

    logp: Tensor
    old: Tensor
    behaviour: Tensor
    entropy: Tensor
    signals: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def ratio(self) -> Tensor:
        """exp(logp - old), [r, T]."""
        return (self.logp - self.old).exp()

    def kl(self, signal: str = "ref") -> Tensor:
        """KL(policy || signal) token by token, by the low-variance estimator e^d - 1 - d, d = signal - logp (Schulman 2020), [r, T]."""
        d = self.signals[signal] - self.logp
        return d.exp() - 1 - d


def tokens(batch: Batch) -> float:
    """The number of output tokens of the step: each token counts the same."""
    return max(1.0, float(batch.mask.sum()))


def rollouts(batch: Batch) -> float:
    """The number of rollouts of the step."""
    return max(1.0, float(len(np.unique(batch.rollout))))


@dataclass(frozen=True)
class Loss:
    """sum over rows and tokens of weight * term / denominator.

    weight       batch -> [B, T] or [B, 1]; known before the forward pass, not 0 wherever the term counts (it decides what is computed)
    term         (policy, rows) -> [r, T]
    denominator  batch -> number, over the whole step, fixed before anything is skipped or cut
    couples      what a term sees at once, beyond its own token: "row", "rollout", "group", "pair", "batch"; never cut apart, and
                 computed whole wherever the loss weighs a token of it
    """

    name: str
    weight: Callable[[Batch], Array]
    term: Callable[[Policy, Rows], Tensor]
    denominator: Callable[[Batch], float] = tokens
    couples: tuple[str, ...] = ()


def _advantage(batch: Batch) -> Array:
    a = batch.advantage
    return np.abs(a if a.ndim == 2 else a[:, None]) * batch.sampled


def policy_gradient(denominator: Callable[[Batch], float] = tokens) -> Loss:
    """-A * ratio, whose gradient on-policy is REINFORCE's, -A * grad logp (Williams 1992)."""
    return Loss("policy", _advantage, lambda p, rows: -p.ratio * rows.wide("advantage").sign(), denominator)


def clipped(low: float = 0.2, high: float | None = None, denominator: Callable[[Batch], float] = tokens) -> Loss:
    """PPO's clipped surrogate (Schulman et al. 2017, eq. 7): -min(ratio * A, clip(ratio, 1 - low, 1 + high) * A)."""
    top = low if high is None else high

    def term(p: Policy, rows: Rows) -> Tensor:
        sign, ratio = rows.wide("advantage").sign(), p.ratio
        return -(ratio * sign).minimum(ratio.clamp(1 - low, 1 + top) * sign)

    return Loss("policy", _advantage, term, denominator)


def cross_entropy(denominator: Callable[[Batch], float] | None = None) -> Loss:
    """-logp of forced tokens, by their weights: supervised fine-tuning."""
    return Loss(
        "sft",
        lambda b: b.weight * (b.mask & ~b.sampled),
        lambda p, rows: -p.logp,
        denominator or (lambda b: max(1e-9, float((b.weight * (b.mask & ~b.sampled)).sum(dtype=np.float64)))),
    )


def kl_penalty(beta: float, signal: str = "ref", denominator: Callable[[Batch], float] = tokens) -> Loss:
    """beta * KL(policy || signal) on sampled tokens; needs the signal (`logprobs_of("reference")`)."""
    return Loss("kl", lambda b: beta * b.sampled.astype(np.float64), lambda p, rows: p.kl(signal), denominator)


def entropy_bonus(scale: float, denominator: Callable[[Batch], float] = tokens) -> Loss:
    """-scale * entropy on sampled tokens."""
    return Loss("entropy", lambda b: scale * b.sampled.astype(np.float64), lambda p, rows: -p.entropy, denominator)
