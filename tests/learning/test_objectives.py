"""Losses are the papers' numbers and TRL's, their gradients those worked out turn by turn, and a token that does not count gets none; a
ratio taken per token instead of per reply, or a denominator that a cut changes, would still learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import exp, log

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.learning import oracle
from tests.learning.test_gradient import distance, gradient, policy, reference, stage_of, step, truth
from tests.support import Sums
from thinkery.core.context import Turn
from thinkery.core.records import Rollout, Verdict
from thinkery.learning import losses, pairs, rewards
from thinkery.learning.batch import Batch, Rows
from thinkery.learning.losses import Loss, Policy
from thinkery.learning.signals import exact_kl, logprobs_of
from thinkery.models.layout import rectangle

# ---- against TRL 1.16: GRPOTrainer._compute_loss on these tensors (train mode, one accumulation step), and its gradient by logp

LOGP = torch.tensor([[-0.3, -1.2, -0.7], [-0.9, -0.4, -2.0], [-1.5, -0.2, 0], [-0.6, 0, 0]], dtype=torch.float64)
OLD = torch.tensor([[-0.7, -1.1, -0.7], [-0.5, -0.9, -1.6], [-1.4, -0.6, 0], [-0.8, 0, 0]], dtype=torch.float64)
REF = torch.tensor([[-0.5, -1.0, -0.9], [-0.8, -0.5, -1.8], [-1.0, -0.3, 9], [-0.9, 9, 9]], dtype=torch.float64)
MASK = np.array([[1, 1, 1], [1, 1, 1], [1, 1, 0], [1, 0, 0]], bool)
ADVANTAGE = np.array([1.5, -0.5, -1.0, 0.8])


def batch_of(reward: np.ndarray = ADVANTAGE, rollout: np.ndarray | None = None) -> Batch:
    """Four replies in two groups, of 3, 3, 2 and 1 tokens."""
    batch = Batch.scored(reward, np.array([0, 0, 1, 1]), rollout)
    batch.mask = batch.sampled = MASK
    batch.weight, batch.behaviour, batch.advantage = MASK * np.float32(1), OLD.numpy(), ADVANTAGE
    batch.pair = batch.group
    return batch


def value(loss: Loss, batch: Batch, logp: Tensor = LOGP, old: Tensor = OLD, **signals: Tensor) -> tuple[float, Tensor]:
    """A loss and its gradient by logp."""
    logp = logp.clone().requires_grad_()
    policy = Policy(logp, old, old, logp * 0, {"ref": REF, **signals})
    weight = torch.as_tensor(np.broadcast_to(loss.weight(batch), MASK.shape) * batch.mask)
    total = (weight * loss.term(policy, Rows(batch, np.arange(len(batch)), logp))).sum() / loss.denominator(batch)
    return float(total.detach()), torch.autograd.grad(total, logp)[0]


OF_TRL: dict[str, tuple[Loss, float, list[list[float]]]] = {
    "bnpo": (
        losses.clipped(0.2),
        -0.17735926400296062,
        [[0, -0.150806236339, -0.166666666667], [0, 0.09159562615, 0], [0.100537490893, 0.165758299738, 0], [0, 0, 0]],
    ),
    "dapo": (
        losses.clipped(0.2, 0.28),
        -0.19259506472830903,
        [[0, -0.150806236339, -0.166666666667], [0, 0.09159562615, 0], [0.100537490893, 0.165758299738, 0], [-0.108569134059, 0, 0]],
    ),
    "dr_grpo": (  # max_completion_length 5
        losses.clipped(0.2, denominator=losses.at_most(5)),
        -0.07981166880133228,
        [[0, -0.067862806353, -0.075], [0, 0.041218031768, 0], [0.045241870902, 0.074591234882, 0], [0, 0, 0]],
    ),
    "gspo": (  # importance_sampling_level "sequence", loss_type "grpo"
        losses.sequence_clipped(3e-4, 4e-4),
        -0.15980893931792914,
        [[0, 0, 0], [0, 0, 0], [0.145229280341, 0.145229280341, 0], [0, 0, 0]],
    ),
    "gspo, wide": (
        losses.sequence_clipped(0.2, 0.2),
        -0.2508758563418021,
        [[-0.138146364759] * 3, [0.037701559085] * 3, [0.145229280341, 0.145229280341, 0], [0, 0, 0]],
    ),
    "cispo": (  # epsilon_high is the bound itself there: 5, and 1.3
        losses.clipped_weight(4.0),
        0.10877471142736495,
        [
            [-0.248637449607, -0.150806236339, -0.166666666667],
            [0.037240002558, 0.09159562615, 0.037240002558],
            [0.100537490893, 0.165758299738, 0],
            [-0.108569134059, 0, 0],
        ],
    ),
    "cispo, cut": (
        losses.clipped_weight(0.3),
        0.11119560917511029,
        [
            [-0.216666666667, -0.150806236339, -0.166666666667],
            [0.037240002558, 0.072222222222, 0.037240002558],
            [0.100537490893, 0.144444444444, 0],
            [-0.108569134059, 0, 0],
        ],
    ),
}


@pytest.mark.parametrize("name", OF_TRL)
def test_equal_to_trl(name: str) -> None:
    loss, golden, slope = OF_TRL[name]
    got, grad = value(loss, batch_of())
    assert got == pytest.approx(golden, rel=1e-12)
    np.testing.assert_allclose(grad.numpy(), slope, atol=1e-11)


def test_odds_ratio_equal_to_trl() -> None:
    """ORPOTrainer.odds_ratio_loss at beta 0.1 on the mean log-probabilities; replies 0 and 3 chosen; its float32."""
    batch = batch_of(np.array([1.0, 0, 0, 1]))
    assert value(pairs.odds_ratio(0.1), batch)[0] == pytest.approx((0.04317044839262962 + 0.04785193130373955) / 2, rel=1e-6)


# ---- by hand


def test_preference_by_hand() -> None:
    """Gains over the reference: -0.2 + 0.2 - -0.2 …; summed by reply 0.2, -0.2, -0.4, 0.3. Margins 0.4 and 0.7."""
    batch = batch_of(np.array([1.0, 0, 0, 1]))
    gains = [((LOGP - REF).numpy()[i] * MASK[i]).sum() for i in range(4)]
    assert gains == pytest.approx([0.2, -0.2, -0.4, 0.3])
    by_hand = sum(log(1 + exp(-0.5 * m)) for m in (0.4, 0.7)) / 2
    got, slope = value(pairs.preference(0.5), batch)
    assert got == pytest.approx(by_hand)
    pull = [0.5 / 2 / (1 + exp(0.5 * m)) for m in (0.4, 0.7)]  # beta * sigmoid(-beta * margin) / pairs
    np.testing.assert_allclose(slope.numpy(), np.array([-pull[0], pull[0], pull[1], -pull[1]])[:, None] * MASK, atol=1e-12)


def test_equal_rewards_prefer_nothing() -> None:
    batch = batch_of(np.array([1.0, 1, 0, 1]))
    assert (pairs.side(batch) == [0, 0, -1, 1]).all()
    got, slope = value(pairs.preference(0.5), batch)
    assert got == pytest.approx(log(1 + exp(-0.5 * 0.7)))
    assert not slope[:2].any()


def test_distillation_by_hand() -> None:
    """On-policy the loss is the mean of log policy - log teacher, and its gradient that difference at each token."""
    got, slope = value(losses.reverse_kl("ref"), batch_of(), old=LOGP)
    gap = (LOGP - REF).numpy() * MASK
    assert got == pytest.approx(gap.sum() / 9)
    np.testing.assert_allclose(slope.numpy(), gap / 9, atol=1e-12)


def test_likelihood_by_hand() -> None:
    got, slope = value(losses.likelihood(), batch_of())
    assert got == pytest.approx(-(LOGP.numpy() * MASK).sum() / 9)
    np.testing.assert_allclose(slope.numpy(), MASK / -9)
    forced = replace(batch_of(), sampled=MASK & (np.arange(4) > 0)[:, None])
    assert value(losses.likelihood(), forced)[0] == pytest.approx(-(LOGP.numpy() * MASK)[1:].sum() / 6)


def test_clipped_values_by_hand() -> None:
    """v 1, before 0, target 2: clipped to 0.2, so max(1, 1.8^2) / 2; target 0.1: max(0.9^2, 0.1^2) / 2."""
    batch = batch_of().take(np.array([3, 3]))
    batch.extra = {"value_before": np.zeros((2, 3)), "value_target": np.full((2, 3), [[2.0], [0.1]])}
    v = torch.ones(2, 3, dtype=torch.float64)
    loss = losses.clipped_value("value", 0.5, 0.2)
    term = loss.term(Policy(v, v, v, v, {"value": v}), Rows(batch, np.arange(2), v))
    assert term[:, 0].tolist() == pytest.approx([1.8**2 / 2, 0.9**2 / 2])
    assert (loss.weight(batch) == 0.5 * batch.sampled).all()


# ---- limits


def test_equal_clips_make_dapo_grpo() -> None:
    assert value(losses.clipped(0.2, 0.2), batch_of())[0] == value(losses.clipped(0.2), batch_of())[0]


def test_on_replies_of_one_token_the_sequence_ratio_is_the_tokens() -> None:
    batch = batch_of()
    batch.mask = batch.sampled = MASK & (np.arange(3) == 0)
    (a, x), (b, y) = value(losses.sequence_clipped(0.2, 0.28), batch), value(losses.clipped(0.2, 0.28, losses.rollouts), batch)
    assert a == pytest.approx(b, rel=1e-14)
    np.testing.assert_allclose(x.numpy(), y.numpy(), atol=1e-15)


@pytest.mark.parametrize("loss", [losses.clipped(0.2), losses.clipped_weight(4.0), losses.sequence_clipped(0.2, 0.2)])
def test_on_policy_all_are_reinforce(loss: Loss) -> None:
    batch = batch_of()
    per_token = losses.share(batch, batch.sampled) / 4 if loss.couples else 1 / 9
    want = -ADVANTAGE[:, None] * MASK * per_token
    np.testing.assert_allclose(value(loss, batch, old=LOGP)[1].numpy(), want, atol=1e-15)


def test_a_constant_denominator_is_blind_to_length() -> None:
    """A token of a long reply counts as much as one of a short reply, whatever else was sampled."""
    loss = losses.clipped(0.2, denominator=losses.at_most(7))
    short = batch_of().take(np.array([0, 1]))
    assert loss.denominator(batch_of()) == 28
    assert loss.denominator(short) == 14


# ---- what does not count gets exactly no gradient

EVERY = {
    "clipped": losses.clipped(),
    "sequence": losses.sequence_clipped(3e-4, 4e-4),
    "cispo": losses.clipped_weight(4.0),
    "distil": losses.reverse_kl("ref"),
    "likelihood": losses.likelihood(),
    "preference": pairs.preference(0.1),
    "odds": pairs.odds_ratio(0.1),
    "better": pairs.imitate_better(),
}


@pytest.mark.parametrize("name", EVERY)
def test_what_is_not_there_has_no_gradient(name: str) -> None:
    batch = batch_of(np.array([1.0, 0, 0, 1]))
    _, slope = value(EVERY[name], batch)
    assert slope.any()
    assert (slope.numpy()[~MASK] == 0).all()
    if name not in ("preference", "odds", "better"):  # those learn from texts of any origin
        batch.sampled = MASK & (np.arange(3) != 1)
        assert (value(EVERY[name], batch)[1].numpy()[~batch.sampled] == 0).all()


# ---- the tree, the cut and the shards against turn by turn

Case = tuple[tuple[Loss, ...], Callable[[list[oracle.Row]], Tensor]]
CASES: dict[str, Case] = {
    "sequence": ((losses.sequence_clipped(0.01, 0.02),), lambda r: oracle.gspo_by_rollout(r, 0.01, 0.02)),
    "cispo": ((losses.clipped_weight(0.01),), lambda r: oracle.cispo(r, 0.01)),
    "distil": ((losses.reverse_kl("ref"),), oracle.distil),
    "likelihood": ((losses.likelihood(),), oracle.likelihood),
    "preference": ((pairs.preference(0.1),), lambda r: oracle.dpo(r, 0.1)),
    "odds": ((pairs.imitate_better(), pairs.odds_ratio(0.3)), lambda r: oracle.orpo(r, 0.3)),
}


@pytest.mark.parametrize("solver", ["single", "tool_loop", "fork"])
@pytest.mark.parametrize("case", CASES)
def test_gradients_equal_turn_by_turn(case: str, solver: str) -> None:
    s, (chosen, formula) = step(solver), CASES[case]
    batch = replace(s.batch, reward=s.batch.advantage)  # a third of the groups has none, so no pair
    batch.pair = pairs.extremes(batch, s.rollouts)
    want = truth(s, formula, 0.02)
    for shards, cells, shared in ((2, 10**6, True), (5, 40, True), (3, 10**6, False)):
        stage = replace(stage_of(chosen, shards, cells), signals={"ref": logprobs_of("reference")})
        assert distance(gradient(batch, stage, 0.02, shared=shared)[0], want) < 1e-12


# ---- reward parts


def rollouts(*answers: str | None, index: int = 0, score: float = 0.0) -> list[Rollout]:
    problem = Sums().problem(index)
    return [Rollout(0, index, k, problem, verdict=Verdict(score, a)) for k, a in enumerate(answers)]


def test_majority_by_hand() -> None:
    """The most frequent answer; the earliest of equals; unparsed replies have no vote, and score 0 also where nobody has one."""
    assert rewards.majority(rollouts("7", "8", "7", None)) == [1, 0, 1, 0]
    assert rewards.majority(rollouts("8", "7", "7", "8")) == [1, 0, 0, 1]
    assert rewards.majority(rollouts(None, None, "3")) == [0, 0, 1]
    assert rewards.majority(rollouts(None, None)) == [0, 0]
    both = [*rollouts("1", "2", "2"), *rollouts("1", "1", "2", index=1)]
    assert rewards.majority(both) == [0, 1, 1, 1, 1, 0]
    assert rewards.majority(rollouts("7", "8", "7", score=1.0)) == rewards.majority(rollouts("7", "8", "7")), "scores are not read"


def test_overlong_by_hand() -> None:
    """Limit 10, margin 4: nothing up to 6 tokens, then a quarter each, -1 from 10 on."""

    class Long:
        def __init__(self, tokens: int) -> None:
            self.tokens = tokens

    part = rewards.Overlong(10, 4)
    assert part([Long(n) for n in (0, 6, 7, 8, 10, 12)]) == [0, 0, -0.25, -0.5, -1, -1]  # type: ignore[list-item]


@pytest.mark.parametrize("solver", ["single", "fork"])
def test_exact_divergence_equals_turn_by_turn(solver: str) -> None:
    """Over the whole vocabulary, at each row's temperature; its gradient goes through the policy alone."""
    s = step(solver)
    stage = replace(stage_of((losses.mean_of("distil", "kl"),), 3, 40), signals={"kl": exact_kl("reference")})
    decoder, other = policy(torch.float64, True, 0.02), reference(torch.float64, True)

    def divergence(turn: Turn) -> Tensor:
        ids = (*turn.context.ids, *turn.ids)
        logits = [d.logits(d(rectangle([ids[:-1]]))[turn.context.n - 1 :]) / float(np.float32(turn.temperature)) for d in (decoder, other)]
        p, q = (x.log_softmax(-1) for x in logits)
        return torch.nn.functional.kl_div(q.detach(), p, reduction="none", log_target=True).sum()

    turns = [t for r in s.rollouts for t in r.turns]
    want = oracle.gradient(decoder, torch.stack([divergence(t) for t in turns]).sum() / sum(t.n for t in turns))
    for shared in (True, False):
        assert distance(gradient(s.batch, stage, 0.02, shared=shared)[0], want) < 1e-12
