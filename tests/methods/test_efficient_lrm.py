"""Only what was said again of right replies is learnt, every stage from what was gathered for it, and brevity pays right replies alone."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from tests.learning.steps import start
from tests.support import Sums, rollouts_of
from thinkery.core.records import Problem, Question, Reply, Rollout, Verdict
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling
from thinkery.lab import catalogue
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Setting
from thinkery.learning.select import nothing
from thinkery.solvers.shortened import compressing

efficient = catalogue.load("efficient_lrm")
CLAIM = efficient.CLAIM


class Long(Rollout):
    """A rollout that is so many tokens long."""

    @property
    def tokens(self) -> int:  # type: ignore[override]
        return self.step


def rollout(length: int, score: float) -> Rollout:
    return Long(length, 0, 0, Problem("p", Question("q"), "1"), [], Reply("1"), Verdict(score))


def test_brevity_pays_right_replies_by_their_share_of_the_mean() -> None:
    """Mean length of the right ones: 30."""
    found = efficient.brevity([rollout(20, 1.0), rollout(40, 1.0), rollout(10, 0.0), rollout(30, 1.0)])
    assert found == pytest.approx([1 - 0.5 * 20 / 30, 1 - 0.5 * 40 / 30, 0.0, 0.5])
    assert efficient.brevity([rollout(10, 0.0), rollout(20, 0.0)]) == [0.0, 0.0]


def test_only_what_is_said_again_of_right_replies_is_kept() -> None:
    found = rollouts_of(LocalEngine(start()), compressing, problems=4, samples=4, sampling=Sampling(max_tokens=24))
    for i, r in enumerate(found):
        r.rewards = {"correct": float(i % 2)}
    whole = [r for r in found if r.reply is not None and not r.reply.truncated and r.rewards["correct"]]
    kept = asyncio.run(efficient.said_again([found]))
    assert kept == whole and kept
    assert all(len(r.turns) == 1 and r.turns[0].forced for r in kept)


@pytest.mark.parametrize("arm", CLAIM.arms)
def test_every_arm_gathers_before_it_learns(arm: str) -> None:
    stages = CLAIM.arms[arm](CLAIM.setting).flat()
    kept = {s.name for s in stages if s.source == "task"}
    for s in stages:
        if isinstance(s.source, tuple):
            assert s.source[1] in kept and s.source[1] == f"gather {s.name.removeprefix('learn ')}"
    assert len({s.name for s in stages}) == len(stages)


def test_all_that_imitate_learn_as_long() -> None:
    learnt = lambda arm: sum(s.steps for s in CLAIM.arms[arm](CLAIM.setting).flat() if isinstance(s.source, tuple))
    assert learnt("whole") == learnt("compressed") == learnt("at random") == learnt("internalised") > 0


def test_more_is_left_out_at_every_stage_with_an_optimiser_of_its_own() -> None:
    stages = efficient.internalised(CLAIM.setting).flat()
    shares = [s.solver.keywords["share"] for s in stages if s.source == "task"]
    assert shares == sorted(shares) == list(efficient.SHARES)
    assert [s.name for s in stages[len(shares) :]] == [f"learn {x:g}" for x in shares]


def test_compression_is_asked_for_the_smallest_share_afterwards() -> None:
    last = efficient.recipe(CLAIM.setting).flat()[-1]
    assert last.select is nothing and last.solver.keywords == {"ratio": efficient.ASKED}
    assert CLAIM.arms["asked for more"](CLAIM.setting).flat()[-1].solver.keywords["ratio"] > efficient.ASKED


def test_a_step_of_learning_reads_the_shortened_work() -> None:
    recipe = efficient.taught(Setting(Sums(), max_tokens=12), partial(compressing, ratio=0.5), partial(compressing, ratio=0.5))
    recipe = recipe.stage("gather work", steps=1, problems=4, samples=8).stage("learn work", steps=1, problems=2)
    right = recipe.flat()[0].reward
    recipe = recipe.stage("gather work", reward=type(right)((("correct", 1.0, lambda rollouts: [1.0] * len(rollouts)),), right.verifies))
    learning = Learning(recipe, Setting(Sums(), max_tokens=12), start())
    learning.step()
    before = [p.detach().clone() for p in learning.model.decoder.parameters()]
    learning.step()
    assert learning.learnt is not None
    rollouts, batch = learning.learnt
    assert not batch.sampled.any() and all("50%:" in r.turns[0].context.text for r in rollouts)
    assert any(not bool((a == b).all()) for a, b in zip(before, learning.model.decoder.parameters()))
    learning.leave()
