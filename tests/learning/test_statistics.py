"""Group statistics, advantages and losses are the papers' numbers; a mean over rows instead of rollouts would favour whoever asks often."""

from __future__ import annotations

from dataclasses import replace
from math import log, sqrt

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.support import SOLVERS, Sums, draws, model_of, rollouts_of
from thinkery.core.context import Context, Turn
from thinkery.core.records import Rollout
from thinkery.engines.local import LocalEngine
from thinkery.engines.tree import Tree
from thinkery.learning import losses
from thinkery.learning.advantages import batch_mean, group_mean, group_normalised, leave_one_out, raw
from thinkery.learning.batch import Batch, Rows, build, pad, segment_sum, statistics
from thinkery.learning.losses import Loss, Policy
from thinkery.models.tokenizer import character_tokenizer

A = lambda *x: np.array(x, float)
ALL = (raw, batch_mean, group_mean, group_normalised, leave_one_out)

# ---- goldens, worked by hand. Two groups: rewards 1, 0, 0 and 4, 2.
REWARD, KEY, ROLLOUT = A(1, 0, 0, 4, 2), np.array([7, 7, 7, 3, 3]), np.arange(5)
GOLD = Batch.scored(REWARD, KEY)


def test_statistics_by_hand() -> None:
    """Group 7: mean 1/3, variance (4/9 + 1/9 + 1/9) / 3 = 2/9. Group 3: mean 3, variance 1."""
    mean, std, n = statistics(REWARD, KEY, ROLLOUT)
    assert mean == pytest.approx([1 / 3] * 3 + [3] * 2)
    assert std == pytest.approx([sqrt(2) / 3] * 3 + [1] * 2)
    assert n.tolist() == [3, 3, 3, 2, 2]


def test_advantages_by_hand() -> None:
    s = sqrt(2) / 3 + 1e-4
    assert raw(GOLD).tolist() == REWARD.tolist()
    assert batch_mean(GOLD) == pytest.approx([-0.4, -1.4, -1.4, 2.6, 0.6])  # mean 7 / 5
    assert group_mean(GOLD) == pytest.approx([2 / 3, -1 / 3, -1 / 3, 1, -1])
    assert group_normalised(GOLD) == pytest.approx([2 / 3 / s, -1 / 3 / s, -1 / 3 / s, 1 / 1.0001, -1 / 1.0001])
    assert leave_one_out(GOLD) == pytest.approx([1, -0.5, -0.5, 2, -2])  # 1 - 0, 0 - 1/2, …, 4 - 2, 2 - 4


def test_a_rollout_with_many_turns_counts_once() -> None:
    """Rollout 0 has three turns of reward 1, rollout 1 one of reward 0: the mean is 1/2, not 3/4."""
    reward, key, rollout = A(1, 1, 1, 0), np.zeros(4, int), np.array([0, 0, 0, 1])
    mean, std, n = statistics(reward, key, rollout)
    assert (mean.tolist(), std.tolist(), n.tolist()) == ([0.5] * 4, [0.5] * 4, [2] * 4)
    batch = Batch.scored(reward, key, rollout)
    assert group_mean(batch).tolist() == [0.5, 0.5, 0.5, -0.5]
    assert leave_one_out(batch).tolist() == [1, 1, 1, -1]
    assert batch_mean(batch).tolist() == [0.5, 0.5, 0.5, -0.5]


def test_turns_of_other_rewards_count_by_their_mean() -> None:
    """Rollout 0 has turns of reward 1 and 0 under key 0, so it counts 1/2 there; rollout 1 counts 1: mean 3/4."""
    mean, _, n = statistics(A(1, 0, 1, 5), np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]))
    assert mean.tolist() == [0.75, 0.75, 0.75, 5]
    assert n.tolist() == [2, 2, 2, 1]


def test_nothing_at_all() -> None:
    none = Batch.scored(np.zeros(0), np.zeros(0, int))
    for advantage in ALL:
        assert len(advantage(none)) == 0


# ---- limits

reward_lists = st.lists(st.integers(-5, 5).map(lambda x: x / 10), min_size=1, max_size=12)


@given(values=reward_lists, groups=st.integers(1, 4))
def test_identities(values: list[float], groups: int) -> None:
    reward, rollout = np.array(values), np.arange(len(values))
    key = rollout % groups
    _, std, n = statistics(reward, key, rollout)
    batch = Batch.scored(reward, key)
    centred = group_mean(batch)
    assert leave_one_out(batch) == pytest.approx(np.where(n > 1, centred * n / np.maximum(n - 1, 1), 0))
    assert group_normalised(batch) * (std + 1e-4) == pytest.approx(np.where(std > 0, centred, 0), abs=1e-9)
    assert batch_mean(batch) == pytest.approx(group_mean(Batch.scored(reward, np.zeros_like(key))))
    for g in range(groups):
        assert abs(centred[key == g].sum()) < 1e-9
    assert all((a(batch)[n == 1] == 0).all() for a in (group_mean, group_normalised, leave_one_out))


@given(value=st.floats(-1e6, 1e6), n=st.integers(1, 20), turns=st.lists(st.integers(1, 5), min_size=20, max_size=20))
def test_equal_rewards_have_exactly_no_advantage(value: float, n: int, turns: list[int]) -> None:
    rollout = np.repeat(np.arange(n), turns[:n])
    reward = np.full(len(rollout), value)
    for advantage in (batch_mean, group_mean, group_normalised, leave_one_out):
        assert (advantage(Batch.scored(reward, rollout * 0, rollout)) == 0).all()


@given(values=reward_lists, shift=st.sampled_from([-3.0, 7.0]), scale=st.sampled_from([0.5, 4.0]))
def test_baselines_forget_shifts(values: list[float], shift: float, scale: float) -> None:
    reward = np.array(values)
    of = lambda r: Batch.scored(r, np.arange(len(values)) % 2)
    for advantage in (batch_mean, group_mean, leave_one_out):
        assert advantage(of(scale * reward + shift)) == pytest.approx(scale * advantage(of(reward)), abs=1e-9)
    assert group_normalised(of(reward + shift)) == pytest.approx(group_normalised(of(reward)), abs=1e-6)
    assert (np.abs(group_normalised(of(100 * reward))) <= np.sqrt(len(values))).all(), "z-scores, whatever the scale"


# ---- losses against closed forms. One row of two sampled tokens, one of a sampled and a missing token.
LOGP = torch.tensor([[log(0.75), log(0.5)], [log(0.25), 0.0]], dtype=torch.float64)
OLD = torch.tensor([[log(0.5), log(0.5)], [log(0.5), 0.0]], dtype=torch.float64)  # ratios 1.5, 1 and 0.5
REF = torch.tensor([[log(0.25), log(0.5)], [log(0.5), 0.0]], dtype=torch.float64)


def batch_by_hand(advantage: np.ndarray) -> Batch:
    mask = np.array([[True, True], [True, False]])
    zeros = np.zeros((2, 2))
    ints = np.arange(2)
    return Batch(
        rollout=ints, turn=ints * 0, role=ints * 0, group=ints * 0, pair=ints, mask=mask, sampled=mask, weight=zeros, behaviour=zeros,
        node=np.zeros((2, 2), np.int32), tip=np.zeros(2, np.int32), temperature=np.ones(2, np.float32), parent=np.zeros(1, np.int32),
        token=np.zeros(1, np.int32), depth=np.zeros(1, np.int32), roles=("policy",), advantage=advantage,
    )  # fmt: skip


def value(loss: Loss, advantage: np.ndarray, old: Tensor = OLD, batch: Batch | None = None) -> float:
    batch = batch or batch_by_hand(advantage)
    policy = Policy(LOGP, old, OLD, torch.tensor([[0.6, 0.4], [0.5, 9.0]], dtype=torch.float64), {"ref": REF})
    weight = torch.as_tensor(np.broadcast_to(loss.weight(batch), batch.mask.shape) * batch.mask)
    return float((weight * loss.term(policy, Rows(batch, np.arange(2), LOGP))).sum() / loss.denominator(batch))


UP_DOWN = A(1, -2)


def test_policy_gradient_by_hand() -> None:
    """-(1 * 1.5 + 1 * 1 - 2 * 0.5) / 3 tokens, or / 2 rollouts."""
    assert value(losses.policy_gradient(), UP_DOWN) == pytest.approx(-1.5 / 3)
    assert value(losses.policy_gradient(losses.rollouts), UP_DOWN) == pytest.approx(-1.5 / 2)
    assert value(losses.policy_gradient(), np.array([[1.0, 0], [-2, 5]])) == pytest.approx(-(1.5 - 1) / 3)


def test_clipped_by_hand() -> None:
    """Up: min(1.5, 1.2) = 1.2 and 1; down: -2 max(0.5, 0.8) = -1.6, so -(1.2 + 1 - 1.6) / 3."""
    assert value(losses.clipped(0.2), UP_DOWN) == pytest.approx(-0.6 / 3)
    assert value(losses.clipped(0.2, 0.28), UP_DOWN) == pytest.approx(-(1.28 + 1 - 1.6) / 3)  # DAPO's higher ceiling
    assert value(losses.clipped(0.1, 0.28), UP_DOWN) == pytest.approx(-(1.28 + 1 - 1.8) / 3)
    # the other signs are where clipping must not help: down at ratio 1.5, up at ratio 0.5
    assert value(losses.clipped(0.2), A(-1, 2)) == pytest.approx(-(-1.5 - 1 + 1) / 3)


def test_clipping_limits() -> None:
    assert value(losses.clipped(0.2, 0.2), UP_DOWN) == value(losses.clipped(0.2), UP_DOWN)
    assert value(losses.clipped(1e9), UP_DOWN) == value(losses.policy_gradient(), UP_DOWN)
    assert value(losses.clipped(0.2), UP_DOWN, old=LOGP) == pytest.approx(0.0)  # ratio 1: -(1 + 1 - 2) / 3
    for loss in (losses.clipped(0.2), losses.policy_gradient()):
        logp = LOGP.clone().requires_grad_()
        batch = batch_by_hand(UP_DOWN)
        policy = Policy(logp, LOGP, LOGP, LOGP)
        term = torch.as_tensor(loss.weight(batch)) * loss.term(policy, Rows(batch, np.arange(2), LOGP))
        (slope,) = torch.autograd.grad(term.sum(), logp)
        assert slope.tolist() == [[-1, -1], [2, 0]], "on-policy the gradient is REINFORCE's: minus the advantage"


def test_kl_and_entropy_by_hand() -> None:
    """p_ref / p - 1 - log(p_ref / p): ratios 1/3, 1 and 2."""
    by_hand = (1 / 3 - 1 + log(3)) + 0 + (2 - 1 - log(2))
    assert value(losses.kl_penalty(0.5), UP_DOWN) == pytest.approx(0.5 * by_hand / 3)
    assert value(losses.entropy_bonus(0.1), UP_DOWN) == pytest.approx(-0.1 * 1.5 / 3)
    assert float(Policy(LOGP, OLD, OLD, OLD).ratio[0, 0]) == pytest.approx(1.5)


def test_cross_entropy_by_hand() -> None:
    """Weights 0.5 and 1 on forced tokens of probability 0.75 and 0.5; a sampled row is left alone."""
    batch = batch_by_hand(UP_DOWN)
    batch = replace(batch, sampled=np.array([[False, False], [True, False]]), weight=np.array([[0.5, 1.0], [1.0, 0.0]], np.float32))
    assert value(losses.cross_entropy(), UP_DOWN, batch=batch) == pytest.approx(-(0.5 * log(0.75) + log(0.5)) / 1.5)
    assert value(losses.cross_entropy(lambda b: 2.0), UP_DOWN, batch=batch) == pytest.approx(-(0.5 * log(0.75) + log(0.5)) / 2)
    assert value(losses.policy_gradient(), UP_DOWN, batch=batch) == pytest.approx(2 * 0.5 / 3)


def test_nothing_to_divide_by() -> None:
    batch = batch_by_hand(UP_DOWN).take(np.zeros(0, int))
    assert losses.tokens(batch) == losses.rollouts(batch) == 1.0
    assert losses.cross_entropy().denominator(batch) > 0


# ---- batches


def test_rows_of_a_batch_are_the_turns() -> None:
    engine = LocalEngine(model_of())
    rollouts = rollouts_of(engine, SOLVERS["spoken"], problems=3, samples=2)
    rollouts[1].error = "solver: failed"
    batch = build(rollouts, engine.tree)
    turns = [(i, j, t) for i, r in enumerate(rollouts) if i != 1 for j, t in enumerate(r.turns)]
    assert len(batch) == len(turns) == 10
    for row, (i, j, turn) in enumerate(turns):
        n = turn.n
        assert (batch.rollout[row], batch.turn[row], batch.group[row]) == (i, j, i // 2)
        assert batch.mask[row].tolist() == [k < n for k in range(batch.mask.shape[1])]
        assert batch.sampled[row, :n].tolist() == turn.sampled.tolist()
        assert (batch.behaviour[row, :n] == turn.logp).all()
        assert batch.token[batch.node[row, :n]].tolist() == list(turn.ids)
        weight = np.ones(n) if turn.weight is None else turn.weight
        assert (batch.weight[row, :n] == weight).all()
        path, at = [], int(batch.tip[row])
        while at > 0:
            path.append(int(batch.token[at]))
            at = int(batch.parent[at])
        assert tuple(path[::-1]) == turn.context.ids
        assert batch.depth[batch.tip[row]] == turn.context.n - 1
    assert not batch.weight[~batch.mask].any()


def test_only_what_a_stage_trains() -> None:
    engine, judge = LocalEngine(model_of()), LocalEngine(model_of(seed=5))
    rollouts = rollouts_of(engine, SOLVERS["triple"], cast={"judge": judge})
    assert judge.stats["asks"] == 16
    assert [t.role for t in rollouts[0].turns] == ["proposer", "solver", "judge"]
    batch = build(rollouts, engine.tree, ("solver", "proposer"))
    assert batch.roles == ("proposer", "solver")
    assert np.bincount(batch.role).tolist() == [16, 16]
    assert batch.turn.tolist() == [0, 1] * 16
    assert len(build(rollouts, engine.tree, ("solver",))) == 16
    assert len(build(rollouts, engine.tree)) == 0


def test_a_batch_is_the_same_in_another_tree() -> None:
    """Turns that came from elsewhere (a file, a worker) are placed by content."""
    engine = LocalEngine(model_of())
    rollouts = rollouts_of(engine, SOLVERS["fork"])
    own, other = build(rollouts, engine.tree), build(rollouts, Tree())
    for name in ("rollout", "turn", "group", "mask", "behaviour", "temperature"):
        assert (getattr(own, name) == getattr(other, name)).all()
    where = np.where(own.mask, own.token[own.node], -1)
    assert (where == np.where(other.mask, other.token[other.node], -1)).all()


def test_taking_rows() -> None:
    engine = LocalEngine(model_of())
    batch = build(rollouts_of(engine, SOLVERS["tool_loop"]), engine.tree)
    batch.extra = {"score": np.arange(len(batch)) * 1.0}
    batch.advantage = draws("take").standard_normal(batch.mask.shape)
    rows = np.array([5, 2, 9])
    taken = batch.take(rows)
    assert len(taken) == 3
    for name in ("rollout", "group", "node", "tip", "mask", "advantage", "temperature", "weight"):
        assert (getattr(taken, name) == getattr(batch, name)[rows]).all()
    assert (taken.extra["score"] == rows).all()
    assert taken.parent is batch.parent
    assert (Rows(taken, np.array([1]), torch.zeros(1)).score == 2).all()


def test_sums_over_what_rows_share() -> None:
    assert segment_sum(torch.tensor([1.0, 2, 4]), np.array([1, 0, 1])).tolist() == [2, 5]
    batch = batch_by_hand(UP_DOWN)
    batch.rollout = np.array([4, 4])
    rows = Rows(batch, np.arange(2), LOGP)
    assert rows.total(torch.tensor([1.0, 2.0])).tolist() == [3, 3]
    assert rows.total(torch.tensor([1.0, 2.0]), "pair").tolist() == [1, 2]
    assert rows.wide("advantage").tolist() == [[1], [-2]]
    assert rows.advantage.dtype == torch.float64
    mask = np.arange(4) < np.array([[2], [3]])
    assert pad([np.arange(2), np.arange(3)], -1, np.int64, mask).tolist() == [[0, 1, -1, -1], [0, 1, 2, -1]]


def test_greedy_turns_are_weighed_at_temperature_one() -> None:
    codec = character_tokenizer()
    turn = Turn(Context.of("1", codec), "policy", ("m", 0), 0.0, "stop", (5, 6), np.zeros(2, np.float32))
    batch = build([Rollout(0, 0, 0, Sums().problem(0), [turn])], Tree())
    assert batch.temperature.tolist() == [1.0]
