"""Two models of one origin as one, between them: their weights averaged.

Wortsman et al. 2022, "Model soups" (arXiv:2203.05482); of a brief and a wordy reasoner, Kimi Team 2025, "Kimi k1.5" (arXiv:2501.12599), section 2.4.
"""

from __future__ import annotations

import torch

from ..core.errors import BadConfig, BadModel
from .model import Model


def merged(first: Model, second: Model, share: float) -> Model:
    """(1 - share) of the first model's weights and `share` of the second's, with the first one's tokenizer; neither is changed.

    Raises BadConfig for a share outside [0, 1], BadModel for models of other sizes or tokenizers, and for adapters.
    """
    if not 0 <= share <= 1:
        raise BadConfig(f"a share lies in [0, 1]; got {share:g}")
    if not first.tokenizer.same(second.tokenizer):
        raise BadModel(
            f"{first.name} and {second.name} have different tokenizers: a token would mean two things; merge models of one origin"
        )
    mine, other = first.decoder.state_dict(), second.decoder.state_dict()
    if {k: v.shape for k, v in mine.items()} != {k: v.shape for k, v in other.items()}:
        raise BadModel(f"{first.name} and {second.name} have different weights; merge models of one origin, adapters written out before")
    found = type(first.decoder)(first.decoder.config)
    found.load_state_dict({k: mixed(v, other[k], share) for k, v in mine.items()})
    found.changed()
    return Model(found, first.tokenizer, f"{first.name}+{second.name}", first.origin)


def mixed(a: torch.Tensor, b: torch.Tensor, share: float) -> torch.Tensor:
    """The weighted mean; numbers that are counted are the first one's."""
    return torch.lerp(a, b.to(a), share) if a.is_floating_point() else a
