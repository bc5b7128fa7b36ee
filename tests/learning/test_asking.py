"""Selections that ask: what they add is learnt from like what was sampled, whoever collected it; draws or log-probabilities that hung on how the step
was worked would show here."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import Sums, start_of, weights_of
from thinkery.core.errors import PromptTooLong
from thinkery.core.records import Reply, Rollout, Verdict
from thinkery.learning import checkpoint, rewards, select
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Optimizer, Recipe, Setting, Stage
from thinkery.learning.select import Asking, Groups, Selecting
from thinkery.learning.workers import Processes
from thinkery.models.model import Model

Choose = Callable[[Groups, Selecting], Any]


async def again(rollout: Rollout, ctx: Selecting) -> Rollout:
    """The same problem with a beginning that stands in for the sampled one, and an end that is asked for."""
    session = ctx.session(rollout, "again")
    context = session.context(rollout.problem.question)
    head = ctx.adopted(context, rollout.turns[0].ids[:1] + session.context("1").segment)
    tail = await session.ask(context + head, 3)
    return ctx.made(rollout, [head, tail], Reply(head.text + tail.text))


async def doubled(groups: Groups, ctx: Selecting) -> list[Rollout]:
    """All rollouts, and one more of each, in an order that is drawn."""
    made = await asyncio.gather(*(again(r, ctx) for g in groups for r in g))
    ctx.metrics["made"] = float(len(made))
    out = [*(r for g in groups for r in g), *made]
    ctx.rng(out[0]).shuffle(out)
    return out


NOTED = rewards.weighted(even=(0.25, lambda rollouts: [sum(map(sum, (t.ids for t in r.turns))) % 2 for r in rollouts]))
STAGE = Stage(
    steps=3, problems=4, samples=3, shards=2, max_tokens=6, reward=NOTED, select=Asking(doubled), optimizer=Optimizer(lr=1e-3, warmup=1)
)


def learning_of(model: Model, choose: Choose = doubled, task: Sums | None = None, workers: int = 1, **changes: Any) -> Learning:
    stage = replace(STAGE, select=Asking(choose), **changes)
    return Learning(Recipe((stage,)), Setting(task or Sums()), start_of(model), workers)


def outcome(learning: Learning) -> tuple[list[dict[str, float]], list[Any], bytes]:
    metrics, learnt = [], []
    try:
        while not learning.done:
            metrics.append(learning.step())
            assert learning.learnt is not None
            learnt.append([(r.index, r.k, r.reply, r.rewards, [(t.ids, t.logp.tobytes()) for t in r.turns]) for r in learning.learnt[0]])
    finally:
        learning.leave()
    return metrics, learnt, weights_of(learning.model)


def test_what_is_made_is_learnt_from(warm: Model) -> None:
    learning = learning_of(warm)
    metrics = learning.step()
    assert learning.learnt is not None
    kept, batch = learning.learnt
    assert len(learning.rollouts) == 12 and len(kept) == 24 and metrics["select/made"] == 12
    made = [r for r in kept if not any(r is x for x in learning.rollouts)]
    assert all(r.verdict is not None and set(r.rewards) == {"correct", "even"} for r in made)
    assert [r.verdict.score for r in made if r.verdict] == [Sums().verify(r.problem, r.reply).score for r in made if r.reply]
    assert batch.sampled[batch.mask].all() and len(batch) == 12 + 2 * 12, "what was adopted counts as drawn"
    assert metrics["drift"] < 1e-5, "its log-probabilities are the learner's"
    asked = sum(r.turns[1].n for r in made)
    assert metrics["select/tokens"] == asked and learning.state.tokens == asked + metrics["tokens"]
    without = learning_of(warm)
    without.recipe = without.recipe.rl(select=select.everything)
    without.step()
    assert weights_of(learning.model) != weights_of(without.model)
    learning.leave(), without.leave()


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_adopted_tokens_have_the_probabilities_they_would_be_drawn_with(temperature: float, warm: Model) -> None:
    found = []

    async def whole(groups: Groups, ctx: Selecting) -> list[Rollout]:
        for r in (r for g in groups for r in g):
            turn = ctx.adopted(r.turns[0].context, r.turns[0].ids)
            found.append((turn.logp, r.turns[0].logp, turn.temperature, turn.forced))
        return []

    outcome(learning_of(warm, whole, temperature=temperature, steps=1))
    assert len(found) == 12
    for mine, drawn, at, forced in found:
        np.testing.assert_allclose(mine, drawn, atol=2e-5)
        assert at == temperature and not forced


def test_the_same_twice_resumed_and_with_workers(warm: Model, tmp_path: Path) -> None:
    straight = outcome(learning_of(warm))
    assert outcome(learning_of(warm)) == straight
    assert outcome(learning_of(warm, workers=2)) == straight
    first = learning_of(warm)
    first.step()
    folder = checkpoint.save(first, tmp_path)
    first.leave()
    resumed = learning_of(warm)
    checkpoint.load(resumed, folder)
    assert outcome(resumed) == (straight[0][1:], straight[1][1:], straight[2])


def test_a_dead_worker_changes_nothing(warm: Model) -> None:
    straight = outcome(learning_of(warm))
    learning = learning_of(warm, workers=2)
    learning.enter()
    assert isinstance(learning.executor, Processes)
    (child,) = learning.executor.children
    os.kill(child.pid, signal.SIGKILL)
    child.join(5)
    assert outcome(learning) == straight


def test_each_rollout_and_each_name_draws_apart(warm: Model) -> None:
    found: dict[tuple[Any, ...], list[float]] = {}

    async def drawn(groups: Groups, ctx: Selecting) -> list[Rollout]:
        for r in (r for g in groups for r in g):
            for name in ("a", "b"):
                found[ctx.step, r.index, r.k, name] = [ctx.rng(r, name).random(), ctx.session(r, name).rng().random()]
        return []

    outcome(learning_of(warm, drawn, steps=2))
    values = [x for pair in found.values() for x in pair]
    assert len(found) == 48 and len(set(values)) == len(values)


def test_what_cannot_be_verified_is_left_out_and_errors_are_raised(warm: Model) -> None:
    class Fussy(Sums):
        def verify(self, problem: Any, reply: Reply, rollout: Rollout | None = None) -> Verdict:
            if rollout is not None and len(rollout.turns) == 2 and rollout.index % 2:
                raise ValueError("no")
            return super().verify(problem, reply, rollout)

    learning = learning_of(warm, task=Fussy())
    metrics = learning.step()
    assert learning.learnt is not None and metrics["errors"] == 0
    assert sorted(r.index for r in learning.learnt[0] if len(r.turns) == 2) == [0, 0, 0, 2, 2, 2]
    learning.leave()

    async def long(groups: Groups, ctx: Selecting) -> list[Rollout]:
        ctx.adopted(groups[0][0].turns[0].context, (5,) * 200)
        return []

    learning = learning_of(warm, long)
    with pytest.raises(PromptTooLong):
        learning.step()
    learning.leave()


def test_it_fills_steps(warm: Model) -> None:
    async def few(groups: Groups, ctx: Selecting) -> list[Rollout]:
        return [await again(r, ctx) for g in groups if g[0].index % 3 == 0 for r in g]

    (one, two) = (outcome(learning_of(warm, few, refill=2, workers=n, steps=1)) for n in (1, 2))
    assert one == two
    assert {index for index, *_ in one[1][0]} == {0, 3, 6, 9}
