"""Selection between collecting and learning: filter, cap, relabel, rewrite, pair, mine. The output is what is learnt from, and saved."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.records import Rollout

Groups = Sequence[Sequence[Rollout]]
Select = Callable[[Groups], Coroutine[Any, Any, list[Rollout]]]


async def everything(groups: Groups) -> list[Rollout]:
    """All rollouts."""
    return [r for g in groups for r in g]


@dataclass(frozen=True)
class Where:
    """Whole groups that pass every test. As each test sees one group, two such selections join in any order."""

    tests: tuple[Callable[[Sequence[Rollout]], bool], ...]

    async def __call__(self, groups: Groups) -> list[Rollout]:
        return [r for g in groups if all(test(g) for test in self.tests) for r in g]


@dataclass(frozen=True)
class Differs:
    """Whether a group's samples differ in some part of the reward, those named apart."""

    without: tuple[str, ...] = ()

    def __call__(self, group: Sequence[Rollout]) -> bool:
        seen = {tuple(sorted((k, v) for k, v in r.rewards.items() if k not in self.without)) for r in group if r.error is None}
        return len(seen) > 1


mixed = Where((Differs(),))  # the other groups carry no gradient under a group baseline


@dataclass(frozen=True)
class Best:
    """Each group's rollout of the highest score, a cut-off one only if all are; the earliest of equals."""

    score: Callable[[Rollout], float]

    async def __call__(self, groups: Groups) -> list[Rollout]:
        whole = lambda r: r.reply is not None and not r.reply.truncated
        return [max(g, key=lambda r: (whole(r), self.score(r))) for g in groups]


async def solved(groups: Groups) -> list[Rollout]:
    """Rollouts that score 1: rejection sampling (RAFT, STaR)."""
    return [r for g in groups for r in g if r.verdict is not None and r.verdict.score >= 1]


def by_index(rollouts: Sequence[Rollout]) -> list[list[Rollout]]:
    """Groups of one problem's samples, in order of first appearance."""
    groups: dict[int, list[Rollout]] = {}
    for r in rollouts:
        groups.setdefault(r.index, []).append(r)
    return list(groups.values())
