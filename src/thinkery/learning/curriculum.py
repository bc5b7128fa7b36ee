"""Which problems a step meets. A curriculum is a pair (init, step) with explicit, saved state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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


def spread(levels: Sequence[Mapping[str, Any]]) -> Curriculum:
    """All levels equally often: the training split in order, its problems at one level after another."""

    def pick(state: State, step: int, n: int) -> list[Pick]:
        return [(i, levels[i % len(levels)]) for i in range(state["next"], state["next"] + n)]

    return replace(in_order(), pick=pick)


def ladder(levels: Sequence[Mapping[str, Any]], passed: Callable[[int, float], bool], every: int) -> Curriculum:
    """One level after another: on to the next when `passed(level, mean score)` of its last `every` fresh problems, looked at so often.

    Each problem is met once and scored before it is learnt from, so the mean estimates what a new problem would score. The last level stays.
    """

    def pick(state: State, step: int, n: int) -> list[Pick]:
        return [(state["next"] + i, levels[state["level"]]) for i in range(n)]

    def update(state: State, step: int, rollouts: Sequence[Rollout]) -> State:
        groups: dict[int, list[float]] = {}
        for r in rollouts:
            groups.setdefault(r.index, [])
            if r.verdict is not None:
                groups[r.index].append(r.verdict.score)
        seen = [*state["seen"], *(sum(g) / len(g) for g in groups.values() if g)]
        level = state["level"]
        if len(seen) >= every:
            level, seen = level + (level + 1 < len(levels) and passed(level, sum(seen) / len(seen))), []
        return {"next": state["next"] + len(groups), "level": level, "seen": seen}

    return Curriculum(lambda: {"next": 0, "level": 0, "seen": []}, pick, update)
