"""Losses: what is minimised over the rows of a step, as named sums of weight x term / denominator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

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


def at_most(limit: int) -> Callable[[Batch], float]:
    """As many tokens as the step's rollouts could have had, `limit` each: long ones are not let off (Liu et al. 2025)."""
    return lambda batch: limit * rollouts(batch)


def share(batch: Batch, counted: Array) -> Array:
    """1 / the number of counted tokens [B, T] of the row's rollout, [B, 1]: so each rollout counts the same."""
    _, of = np.unique(batch.rollout, return_inverse=True)
    return (1 / np.maximum(np.bincount(of, counted.sum(1)), 1))[of][:, None] if len(batch) else np.zeros((0, 1))


@dataclass(frozen=True)
class Loss:
    """sum over rows and tokens of weight * term / denominator.

    weight       batch -> [B, T] or [B, 1]; known before the forward pass, not 0 wherever the term counts (it decides what is computed)
    term         (policy, rows) -> [r, T]
    denominator  batch -> number, over the whole step, fixed before anything is skipped or cut
    couples      what a term sees at once, beyond its own token: "row", "rollout", "group", "pair", "batch"; never cut apart, and
                 computed whole wherever the loss weighs a token of it
    layers       what was put around the loss `core`, innermost first (see `wrapped`)
    """

    name: str
    weight: Callable[[Batch], Array]
    term: Callable[[Policy, Rows], Tensor]
    denominator: Callable[[Batch], float] = tokens
    couples: tuple[str, ...] = ()
    layers: tuple[Callable[[Loss], Loss], ...] = ()
    core: Loss | None = None


def wrapped(loss: Loss, layer: Callable[[Loss], Loss]) -> Loss:
    """layer(loss), remembering both: so a method that changes how a loss weighs combines with one that changes the loss."""
    return replace(layer(loss), layers=(*loss.layers, layer), core=loss.core or loss)


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


def sequence_clipped(low: float, high: float) -> Loss:
    """The clipped surrogate with one ratio for a rollout, exp(mean of logp - old over its sampled tokens) (Zheng et al. 2025, eq. 5 and 7).

    A mean over rollouts; within one its tokens weigh alike.
    """

    def term(p: Policy, rows: Rows) -> Tensor:
        counted = rows.sampled.to(p.logp)
        n = rows.total(counted.sum(1)).clamp_min(1)
        ratio = (rows.total(((p.logp - p.old) * counted).sum(1)) / n).exp()[:, None]
        sign = rows.wide("advantage").sign()
        return -(ratio * sign).minimum(ratio.clamp(1 - low, 1 + high) * sign).expand_as(p.logp)

    return Loss("policy", lambda b: _advantage(b) * share(b, b.sampled), term, rollouts, ("rollout",))


def clipped_weight(high: float) -> Loss:
    """-A * logp, weighed by the ratio, cut off at 1 + high and without gradient (MiniMax 2025, eq. 4 and 5): no token loses its gradient."""

    def term(p: Policy, rows: Rows) -> Tensor:
        return -p.ratio.detach().clamp_max(1 + high) * rows.wide("advantage").sign() * p.logp

    return Loss("policy", _advantage, term)


def likelihood(weight: Callable[[Batch], Array] | None = None) -> Loss:
    """-logp of sampled tokens, a mean over them: to imitate what was selected. `weight` [B, T] chooses others."""
    of = weight or (lambda b: b.sampled.astype(np.float64))
    return Loss("likelihood", of, lambda p, rows: -p.logp, lambda b: max(1e-9, float(of(b).sum())))


def reverse_kl(teacher: str) -> Loss:
    """KL(policy || teacher) token by token on the policy's own samples: the advantage of a token is log teacher - log policy.

    Its expected gradient is that of the next token's KL at each context met (Agarwal et al. 2024, on-policy and reverse).
    """

    def term(p: Policy, rows: Rows) -> Tensor:
        return (p.logp.detach() - p.signals[teacher]) * p.ratio

    return Loss("distil", lambda b: b.sampled.astype(np.float64), term)


def mean_of(name: str, signal: str) -> Loss:
    """A signal's mean over sampled tokens, as the loss `name`: an exact divergence, say."""
    return Loss(name, lambda b: b.sampled.astype(np.float64), lambda p, rows: p.signals[signal])


def clipped_value(head: str, scale: float, clip: float) -> Loss:
    """scale / 2 * max((v - R)^2, (clip(v, old - clip, old + clip) - R)^2) on sampled tokens: a critic's error (Schulman et al. 2017's code).

    v is the head's value; `extra` holds old as f"{head}_before" and the target R as f"{head}_target" (see `critic`).
    """

    def term(p: Policy, rows: Rows) -> Tensor:
        v, before, target = p.signals[head], getattr(rows, f"{head}_before"), getattr(rows, f"{head}_target")
        near = v.maximum(before - clip).minimum(before + clip)
        return 0.5 * (v - target).square().maximum((near - target).square())

    return Loss("value", lambda b: scale * b.sampled.astype(np.float64), term)


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
