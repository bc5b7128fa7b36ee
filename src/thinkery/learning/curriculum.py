"""Which problems a step meets. A curriculum is a pair (init, step) with explicit, saved state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.records import Rollout
from .memory import State

Pick = tuple[int, Mapping[str, Any]]  # index in the training split, difficulty keys


@dataclass(frozen=True)
class Curriculum:
    """init() -> state; pick(state, step, n) -> n problems; update(state, step, rollouts) -> state."""

    init: Callable[[], State]
    pick: Callable[[State, int, int], Sequence[Pick]]
    update: Callable[[State, int, Sequence[Rollout]], State] = field(default=lambda state, step, rollouts: state)


def in_order(**spec: Any) -> Curriculum:
    """The training split from its beginning, each problem once; `spec` fixes difficulty keys."""

    def pick(state: State, step: int, n: int) -> list[Pick]:
        return [(state["next"] + i, spec) for i in range(n)]

    def update(state: State, step: int, rollouts: Sequence[Rollout]) -> State:
        return {"next": state["next"] + sum(r.k == 0 for r in rollouts)}  # a replay may bring several rollouts of one problem

    return Curriculum(lambda: {"next": 0}, pick, update)
