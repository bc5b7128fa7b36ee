"""Signals: row-valued tensors beside the batch, for references, second conditionings and teachers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ..core.errors import BadConfig
from .batch import Array, Batch
from .forward import logprobs
from .gradient import Learner

Signal = Callable[[Learner, Batch, Array, Array], Tensor]


def logprobs_of(name: str) -> Signal:
    """Log-probabilities [r, T] of the rows' tokens under a frozen model: "reference" is the policy as the stage began."""

    def signal(learner: Learner, batch: Batch, rows: Array, upto: Array) -> Tensor:
        if name not in learner.frozen:
            raise BadConfig(f"no frozen model {name!r}; there is {', '.join(sorted(learner.frozen)) or 'none'}")
        with torch.no_grad():
            return logprobs(learner.frozen[name], batch, rows, upto, learner.shared)[0]

    return signal


def logprobs_under(tips: str, nodes: str, grad: bool = False) -> Signal:
    """Log-probabilities [r, T] of the same tokens after another context: `extra[tips]` [B] and `extra[nodes]` [B, T] place them in the tree."""

    def signal(learner: Learner, batch: Batch, rows: Array, upto: Array) -> Tensor:
        moved = replace(batch, tip=batch.extra[tips], node=batch.extra[nodes])
        with torch.set_grad_enabled(grad):
            return logprobs(learner.decoder, moved, rows, upto, learner.shared)[0]

    return signal
