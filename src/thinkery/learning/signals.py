"""Signals: row-valued tensors beside the batch, for references, second conditionings and teachers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..core.errors import BadConfig
from ..models.decoder import Decoder
from .batch import Array, Batch
from .forward import divergence, logprobs
from .gradient import Learner, Signal
from .recipe import Stage


@dataclass(frozen=True)
class Asks:
    """A signal that says which frozen model it asks, None: no one."""

    model: str | None
    signal: Signal

    def __call__(self, learner: Learner, batch: Batch, rows: Array, upto: Array) -> Tensor:
        return self.signal(learner, batch, rows, upto)


def wants_reference(stage: Stage) -> bool:
    """Whether some signal may ask for the policy as the stage began, which costs a copy; one that does not say may."""
    used = (*stage.signals.values(), *stage.estimates.values())
    return any(not isinstance(s, Asks) or s.model == "reference" for s in used)


def logprobs_of(name: str) -> Signal:
    """Log-probabilities [r, T] of the rows' tokens under a frozen model: "reference" is the policy as the stage began, else a role of the cast."""

    def signal(learner: Learner, batch: Batch, rows: Array, upto: Array) -> Tensor:
        with torch.no_grad():
            return logprobs(_frozen(learner, name), batch, rows, upto, learner.shared).logp

    return Asks(name, signal)


def exact_kl(name: str) -> Signal:
    """KL(policy || frozen model) of the next token's distribution before each of the rows' tokens, [r, T], with gradient: for `losses.mean_of`."""

    def signal(learner: Learner, batch: Batch, rows: Array, upto: Array) -> Tensor:
        return divergence(learner.decoder, _frozen(learner, name), batch, rows, upto, learner.shared)

    return Asks(name, signal)


def _frozen(learner: Learner, name: str) -> Decoder:
    if name not in learner.frozen:
        known = ", ".join(sorted(learner.frozen)) or "none"
        raise BadConfig(f"no frozen model {name!r} with the policy's tokenizer; there is {known}: name one in the stage's cast")
    return learner.frozen[name]


def logprobs_under(tips: str, nodes: str, grad: bool = False) -> Signal:
    """Log-probabilities [r, T] of the same tokens after another context: `extra[tips]` [B] and `extra[nodes]` [B, T] place them in the tree."""

    def signal(learner: Learner, batch: Batch, rows: Array, upto: Array) -> Tensor:
        moved = replace(batch, tip=batch.extra[tips], node=batch.extra[nodes])
        with torch.set_grad_enabled(grad):
            return logprobs(learner.decoder, moved, rows, upto, learner.shared).logp

    return Asks(None, signal)


def head(name: str) -> Signal:
    """What one of the stage's heads says before each of the rows' tokens, [r, T]. As an estimate: losses have it anyway, by its name."""

    def signal(learner: Learner, batch: Batch, rows: Array, upto: Array) -> Tensor:
        found = logprobs(learner.decoder, batch, rows, upto, learner.shared).heads
        if name not in found:
            raise BadConfig(f"the stage has no head {name!r}; it has {', '.join(found) or 'none'}")
        return found[name]

    return Asks(None, signal)
