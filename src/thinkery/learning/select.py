"""Selection between collecting and learning: filter, cap, relabel, rewrite, pair, mine. The output is what is learnt from, and saved."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from ..core.records import Rollout

Groups = Sequence[Sequence[Rollout]]
Select = Callable[[Groups], Coroutine[Any, Any, list[Rollout]]]


async def everything(groups: Groups) -> list[Rollout]:
    """All rollouts."""
    return [r for g in groups for r in g]


async def mixed(groups: Groups) -> list[Rollout]:
    """Groups whose samples differ in reward; the others carry no gradient under a group baseline."""
    total = lambda r: tuple(sorted(r.rewards.items()))
    return [r for g in groups if len({total(r) for r in g if r.error is None}) > 1 for r in g]


async def solved(groups: Groups) -> list[Rollout]:
    """Rollouts that score 1: rejection sampling (RAFT, STaR)."""
    return [r for g in groups for r in g if r.verdict is not None and r.verdict.score >= 1]


def by_index(rollouts: Sequence[Rollout]) -> list[list[Rollout]]:
    """Groups of one problem's samples, in order of first appearance."""
    groups: dict[int, list[Rollout]] = {}
    for r in rollouts:
        groups.setdefault(r.index, []).append(r)
    return list(groups.values())
