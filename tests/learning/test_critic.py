"""Token by token, over all turns of a rollout: what is earned sums to the reward, a critic's advantages are Schulman's, and its head lives
where the policy's weights live; a turn that began anew, or a head that a checkpoint or a worker forgot, would still learn something."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.learning import oracle
from tests.learning.test_gradient import distance, policy, stage_of, step
from tests.support import SOLVERS, Sums, model_of, start_of, weights_of
from thinkery.core.errors import BadConfig
from thinkery.learning import advantages, checkpoint, critic, losses, rewards, signals
from thinkery.learning.batch import Batch
from thinkery.learning.critic import Sequences, backwards
from thinkery.learning.gradient import Learner, estimate, plan, total_gradient
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Optimizer, Recipe, Setting, Stage
from thinkery.learning.workers import Inline
from thinkery.models.layout import rectangle
from thinkery.models.model import Model

HEADED = Stage(
    steps=3, problems=4, samples=6, shards=2, optimizer=Optimizer(lr=1e-3), epochs=2, heads=("value",),
    estimates={"value_before": signals.head("value")}, advantage=critic.gae("value"),
    losses=(losses.clipped(), losses.clipped_value("value", 0.1, 0.2)),
)  # fmt: skip
PARITY = rewards.weighted(correct=0.0, parity=lambda rollouts: [sum(map(sum, (t.ids for t in r.turns))) % 2 for r in rollouts])


def two_turns(rewards: tuple[float, float, float]) -> Batch:
    """Rollout 5 with turns of 2 and 3 tokens, of which the middle one was forced; rollout 2 with one token. Rows out of order."""
    batch = Batch.scored(np.array([rewards[1], rewards[2], rewards[0]]), np.zeros(3, int), np.array([5, 2, 5]))
    batch.turn = np.array([1, 0, 0])
    batch.mask = np.array([[1, 1, 1], [1, 0, 0], [1, 1, 0]], bool)
    batch.sampled = batch.mask & ~np.array([[0, 1, 0], [0, 0, 0], [0, 0, 0]], bool)
    batch.behaviour = np.zeros((3, 3))
    return batch


def test_what_is_earned_sums_to_the_reward() -> None:
    batch = two_turns((1.0, 1.0, 3.0))
    s = Sequences(batch)
    assert s.rows(s.earned(batch.reward)).tolist() == [[0, 0, 1], [3, 0, 0], [0, 0, 0]], "one reward: at the very end"
    batch = two_turns((1.0, 0.25, 3.0))
    s = Sequences(batch)
    earned = s.earned(batch.reward)
    assert s.rows(earned).tolist() == [[0, 0, 0.25], [3, 0, 0], [0, 0.75, 0]], "the first turn earned the difference"
    assert s.rows(backwards(earned, 1.0)).tolist() == [[0.25, 0, 0.25], [3, 0, 0], [1, 1, 0]]


def test_gae_by_hand() -> None:
    """Rollout 5: values 0.5, 0.2 | 0.4, 0.1, reward 1; gamma 0.9, lambda 0.5. Errors back to front: 0.9, -0.31, 0.16, -0.32."""
    batch = two_turns((1.0, 1.0, 3.0))
    batch.reward = np.array([1.0, 3.0, 1.0])
    batch.extra = {"value_before": np.array([[0.4, 7, 0.1], [2, 7, 7], [0.5, 0.2, 7]])}
    found = critic.gae("value", 0.9, 0.5, white=False)(batch)
    a4 = 1 - 0.1
    a3 = (0.9 * 0.1 - 0.4) + 0.45 * a4
    a2 = (0.9 * 0.4 - 0.2) + 0.45 * a3
    a1 = (0.9 * 0.2 - 0.5) + 0.45 * a2
    assert found == pytest.approx(np.array([[a3, 0, a4], [1, 0, 0], [a1, a2, 0]]))
    assert batch.extra["value_target"] == pytest.approx(np.array([[a3 + 0.4, 0, 1], [3, 0, 0], [a1 + 0.5, a2 + 0.2, 0]]))


@given(seed=st.integers(0, 10**6), gamma=st.floats(0.5, 1), lam=st.floats(0, 1))
def test_gae_is_its_definition(seed: int, gamma: float, lam: float) -> None:
    """The sum of (gamma lambda)^k errors, term by term (Schulman et al. 2016, eq. 16), over rollouts of several turns."""
    g = np.random.default_rng(seed)
    batch = Batch.scored(np.zeros(6), np.zeros(6, int), np.array([0, 0, 0, 1, 1, 2]))
    batch.turn, of_rollout = np.array([0, 1, 2, 0, 1, 0]), g.standard_normal(3)
    batch.mask = np.arange(5) < g.integers(1, 6, 6)[:, None]
    batch.sampled, batch.reward = batch.mask, of_rollout[batch.rollout]
    batch.extra = {"value_before": g.standard_normal((6, 5))}
    found = critic.gae("value", gamma, lam, white=False)(batch)
    for r in range(3):
        here = [(i, t) for i in np.flatnonzero(batch.rollout == r) for t in range(5) if batch.mask[i, t]]
        v = [batch.extra["value_before"][x] for x in here] + [0.0]
        errors = [(of_rollout[r] if n == len(here) - 1 else 0.0) + gamma * v[n + 1] - v[n] for n in range(len(here))]
        for n, x in enumerate(here):
            assert found[x] == pytest.approx(sum((gamma * lam) ** k * e for k, e in enumerate(errors[n:])), abs=1e-9)


@pytest.mark.parametrize("solver", ["single", "tool_loop", "fork"])
def test_without_a_critic_gae_is_reinforce(solver: str) -> None:
    """gamma = lambda = 1 and values of 0: every token is pushed by its rollout's reward."""
    batch = replace(step(solver).batch)
    batch.reward = batch.rollout % 3 * 1.0
    batch.extra = {"value_before": np.zeros(batch.mask.shape)}
    assert critic.gae("value", 1.0, 1.0, white=False)(batch) == pytest.approx(advantages.raw(batch)[:, None] * batch.sampled)


def test_penalised_returns_by_hand() -> None:
    """Rollout 5: drifts 0.1, -0.2 | 0.3, 0.4 at beta 2 leave 1 - 2 * (what is to come); rollout 2: 3 - 2 * 0.5."""
    batch = two_turns((1.0, 1.0, 3.0))
    batch.extra = {"ref": -np.array([[0.3, 9, 0.4], [0.5, 9, 9], [0.1, -0.2, 9]])}
    to_come = {(2, 0): 0.6, (2, 1): 0.5, (0, 0): 0.7, (0, 2): 0.4, (1, 0): 0.5}
    returns = {k: (3 if k[0] == 1 else 1) - 2 * v for k, v in to_come.items()}
    mean, std = np.mean(list(returns.values())), np.std(list(returns.values()))
    found = critic.penalised_returns(2.0)(batch)
    for k, v in returns.items():
        assert found[k] == pytest.approx((v - mean) / std, rel=1e-6)
    assert (found[~batch.sampled] == 0).all()


def test_equal_returns_are_no_advantage() -> None:
    batch = two_turns((0.1, 0.1, 0.1))
    batch.extra = {"ref": np.zeros((3, 3)), "value_before": np.zeros((3, 3))}
    assert not critic.penalised_returns(0.1)(batch).any()
    assert not critic.gae("value", 1.0, 1.0)(batch).any()


# ---- the head


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("solver", ["single", "tool_loop", "fork"])
def test_a_heads_gradient_equals_turn_by_turn(solver: str, shared: bool) -> None:
    """Through the head and through the body, in parts of 40 tokens."""
    s = step(solver)
    decoder = policy(torch.float64, False, 0.0)
    decoder.equip(["value"])
    with torch.no_grad():
        decoder.heads["value"].copy_(torch.linspace(-1, 1, len(decoder.heads["value"]), dtype=torch.float64))
    try:
        batch = replace(s.batch, shard=s.batch.group % 3)
        upto = batch.mask.sum(1)
        before = estimate(Learner(decoder, {}, shared), signals.head("value"), batch, upto, 40, torch.float64)
        batch.extra = {"value_before": before.numpy() + 0.1, "value_target": np.broadcast_to(batch.advantage[:, None], batch.mask.shape)}
        stage = stage_of((losses.clipped_value("value", 0.7, 0.2),), 3, 40)
        inline = Inline(stage, Learner(decoder, {}, shared), None)  # type: ignore[arg-type]
        got = total_gradient(stage, inline.gradients(batch, plan(batch, stage), None)[0], stage.losses)
        parts, place = [], 0
        for r in s.rollouts:
            for turn in r.turns:
                ids = (*turn.context.ids, *turn.ids)
                hidden = decoder(rectangle([ids[:-1]]))[turn.context.n - 1 :]
                v = hidden @ decoder.heads["value"][:-1] + decoder.heads["value"][-1]
                near = (before[place, : turn.n] + 0.1) + (v - before[place, : turn.n] - 0.1).clamp(-0.2, 0.2)
                assert v.detach() == pytest.approx(before[place, : turn.n], abs=1e-12)
                error = lambda x, a=float(batch.advantage[place]): (x - a) ** 2
                parts.append(torch.maximum(error(v), error(near)).sum() / 2)
                place += 1
        want = oracle.gradient(decoder, 0.7 * torch.stack(parts).sum() / batch.mask.sum())
        assert want[-len(decoder.heads["value"]) :].any()
        assert distance(got, want) < 1e-12
    finally:
        decoder.equip(())


def learning_of(model: Model, workers: int = 1, **changes: Any) -> Learning:
    return Learning(Recipe((replace(HEADED, **changes),)), Setting(Sums()), start_of(model), workers)


def finish(learning: Learning) -> tuple[list[dict[str, float]], bytes]:
    metrics = []
    while not learning.done:
        metrics.append(learning.step())
    return metrics, weights_of(learning.model)


def test_a_critic_learns_what_to_expect(warm: Model) -> None:
    """Where every reply earns 1, the value before each token goes to 1."""
    always = rewards.weighted(correct=0.0, one=lambda rollouts: [1.0] * len(rollouts))
    learning = learning_of(
        warm, steps=13, reward=always, advantage=critic.gae("value", white=False), optimizer=Optimizer(lr=3e-3, warmup=1)
    )
    metrics = [learning.step()["loss/value"] for _ in range(12)]
    assert metrics[-1] < 0.15 * metrics[0]


def test_heads_are_gone_after_their_stage(warm: Model) -> None:
    plain = replace(HEADED, heads=(), estimates={}, advantage=advantages.raw, losses=(losses.clipped(),))
    learning = Learning(Recipe((HEADED, plain)), Setting(Sums()), start_of(warm))
    learning.step()
    assert list(learning.model.decoder.heads) == ["value"]
    assert learning.model.decoder.heads["value"].any()
    finish(learning)
    assert not learning.model.decoder.heads
    assert len(list(learning.model.decoder.parameters())) == len(list(warm.decoder.parameters()))


@pytest.mark.parametrize("stop", [0, 1, 2])
def test_a_head_is_resumed_exactly(stop: int, warm: Model, tmp_path: Path) -> None:
    metrics, weights = finish(learning_of(warm))
    first = learning_of(warm)
    for _ in range(stop):
        first.step()
    folder = checkpoint.save(first, tmp_path)
    first.leave()
    again = learning_of(model_of(seed=9))
    checkpoint.load(again, folder)
    assert finish(again) == (metrics[stop:], weights)


def test_heads_learn_the_same_with_workers(warm: Model) -> None:
    assert finish(learning_of(warm, 2)) == finish(learning_of(warm, 1))


def test_a_head_that_is_not_there_is_named(warm: Model) -> None:
    with pytest.raises(BadConfig, match="the stage has no head 'value'; it has none"):
        learning_of(warm, heads=()).step()


def test_turns_of_a_tool_loop_make_one_sequence(warm: Model) -> None:
    """PPO runs where rollouts have several turns and branches."""
    for solver in ("tool_loop", "fork", "spoken"):
        metrics, weights = finish(learning_of(warm, solver=SOLVERS[solver], steps=1, reward=PARITY))
        assert np.isfinite(metrics[0]["loss/value"])
        assert weights != weights_of(warm)


def test_a_reference_is_kept_only_where_it_may_be_asked(warm: Model) -> None:
    """A copy of the weights is dear."""
    reference, teacher = signals.logprobs_of("reference"), signals.logprobs_of("teacher")
    own = lambda learner, batch, rows, upto: None
    for wanted, stage in (
        (False, HEADED),
        (False, Stage(signals={"t": teacher})),
        (True, Stage(signals={"t": teacher, "ref": reference})),
        (True, Stage(estimates={"ref": reference})),
        (True, Stage(signals={"x": own})),
    ):
        assert signals.wants_reference(stage) == wanted
    learning = learning_of(warm)
    learning.enter()
    assert not learning.frozen
    learning.leave()
