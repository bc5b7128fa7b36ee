"""What is learnt from: whole groups by tests, the best of a group, and full steps; a refill that drew other samples, or skipped problems,
would change what a method is without a sign."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.support import Sums, start_of, weights_of
from thinkery.core.errors import BadConfig
from thinkery.core.records import Reply, Rollout
from thinkery.learning import select
from thinkery.learning.curriculum import Curriculum
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Optimizer, Recipe, Setting, Stage
from thinkery.models.model import Model

SMALL = Stage(steps=1, problems=6, samples=4, shards=2, optimizer=Optimizer(lr=1e-3), select=select.mixed, refill=3)


def group(*rewards: float, index: int = 0, overlong: float = 0.0) -> list[Rollout]:
    problem = Sums().problem(index)
    out = [Rollout(0, index, k, problem, reply=Reply(str(k))) for k in range(len(rewards))]
    for k, (r, reward) in enumerate(zip(out, rewards)):
        r.rewards = {"correct": reward, "overlong": overlong * k}
    return out


def kept(chosen: select.Select, groups: Sequence[Sequence[Rollout]]) -> list[tuple[int, int]]:
    return [(r.index, r.k) for r in asyncio.run(chosen(groups))]


def test_mixed_groups_are_kept_whole() -> None:
    groups = [group(1, 1), group(1, 0, 1, index=1), group(0, 0, index=2)]
    assert kept(select.mixed, groups) == [(1, 0), (1, 1), (1, 2)]


def test_a_part_of_the_reward_can_be_left_out() -> None:
    """Replies that are all right and of other lengths are no mixed group for DAPO."""
    groups = [group(1, 1, overlong=-0.5)]
    assert kept(select.mixed, groups) == [(0, 0), (0, 1)]
    assert kept(select.Where((select.Differs(without=("overlong",)),)), groups) == []


def test_tests_join() -> None:
    groups = [group(1, 0), group(1, 0, 0, index=1), group(0, 0, 0, index=2)]
    large = lambda g: len(g) > 2
    assert kept(select.Where((*select.mixed.tests, large)), groups) == kept(select.Where((large, *select.mixed.tests)), groups)
    assert kept(select.Where((*select.mixed.tests, large)), groups) == [(1, 0), (1, 1), (1, 2)]


def test_the_best_of_a_group() -> None:
    groups = [group(0.5, 0.7, 0.7), group(0.1, 0.9, index=1)]
    groups[1][1].reply = Reply("cut off", truncated=True)
    best = select.Best(lambda r: r.rewards["correct"])
    assert kept(best, groups) == [(0, 1), (1, 0)]
    groups[1][0].reply = Reply("cut off", truncated=True)
    assert kept(best, groups) == [(0, 1), (1, 1)]


# ---- refill


def run(model: Model, stage: Stage, workers: int = 1) -> tuple[list[dict[str, float]], Learning]:
    learning = Learning(Recipe((stage,)), Setting(Sums()), start_of(model), workers)
    metrics = []
    while not learning.done:
        metrics.append(learning.step())
    return metrics, learning


def mixed_problems(rollouts: Sequence[Rollout]) -> list[int]:
    groups = select.by_index(rollouts)
    return [g[0].index for g in groups if len({r.rewards["correct"] for r in g}) > 1]


def test_a_step_is_filled_with_mixed_groups(warm: Model) -> None:
    """Its samples are those of one large collection, cut where enough groups are mixed."""
    (once,), _ = run(warm, replace(SMALL, refill=0))
    assert once["rollouts"] == 24
    (filled,), learning = run(warm, SMALL)
    found = mixed_problems(learning.rollouts)
    assert len(mixed_problems(learning.rollouts[: -6 * 4])) < 6 <= len(found), "no more collections than were needed"
    assert filled["mixed"] == 1.0
    assert filled["trained_tokens"] == sum(t.n for r in learning.rollouts if r.index in found[:6] for t in r.turns)
    _, large = run(warm, replace(SMALL, refill=0, problems=len(learning.rollouts) // 4))
    ids = lambda rollouts: [(r.index, r.k, [t.ids for t in r.turns]) for r in rollouts]
    assert ids(learning.rollouts) == ids(large.rollouts)


def test_refills_are_bounded_and_billed(warm: Model) -> None:
    async def none(groups: Any) -> list[Rollout]:
        return []

    (metrics,), learning = run(warm, replace(SMALL, select=none, refill=2))
    assert metrics["rollouts"] == 3 * 24
    assert metrics["idle"] == 1.0
    assert learning.state.tokens == sum(r.tokens for r in learning.rollouts)


def test_every_problem_is_met_once(warm: Model) -> None:
    """The curriculum goes on after the problems that were collected, not after those that might have been."""
    learning = Learning(Recipe((replace(SMALL, steps=3, problems=2),)), Setting(Sums()), start_of(warm))
    met: list[int] = []
    while not learning.done:
        learning.step()
        met += dict.fromkeys(r.index for r in learning.rollouts)
    assert met == list(range(len(met)))


def test_refills_are_the_same_with_workers(warm: Model) -> None:
    (a, x), (b, y) = run(warm, replace(SMALL, steps=2)), run(warm, replace(SMALL, steps=2), 2)
    assert a == b
    assert weights_of(x.model) == weights_of(y.model) != weights_of(warm)


def test_a_curriculum_that_cannot_refill_is_told(warm: Model) -> None:
    again = Curriculum(lambda: {}, lambda state, step, n: [(i % 6, {}) for i in range(n)])
    with pytest.raises(BadConfig, match="the curriculum picked a problem twice in one step"):
        run(warm, replace(SMALL, curriculum=again))
    with pytest.raises(BadConfig, match="refill is -1, must be 0 or more"):
        Stage(refill=-1)
