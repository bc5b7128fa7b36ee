"""What parts of a stage remember from step to step: explicit, made of plain JSON values, saved with the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.records import Rollout

State = dict[str, Any]  # plain JSON values


@dataclass(frozen=True)
class Seen:
    """What a part may learn from after a step.

    step       steps done before this one, over all stages
    rollouts   of the step, failed ones too
    probes     rollouts of the stage's probes that were due after this step, by name
    metrics    of the step
    """

    step: int
    rollouts: Sequence[Rollout]
    probes: Mapping[str, Sequence[Rollout]] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
