"""A method is its difference from the default, differences combine or clash aloud, and a setting that does not exist is an error, never ignored."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from tests.support import Sums, model_of
from thinkery.core.errors import BadConfig, InputError, RewardError
from thinkery.learning import advantages, losses, optimizer, rewards, select
from thinkery.learning.curriculum import in_order
from thinkery.learning.recipe import SIZES, Optimizer, Recipe, Repeat, Setting, Stage, combine, default
from thinkery.solvers import single

SETTING = Setting(Sums())


def test_the_default_is_policy_gradient_with_a_group_mean() -> None:
    (stage,) = default(SETTING).flat()
    assert stage.name == "rl"
    assert stage.advantage is advantages.group_mean
    assert [x.name for x in stage.losses] == ["policy"]
    assert stage.reward == rewards.CORRECT
    for size, slots in SIZES.items():
        (sized,) = default(Setting(Sums(), size=size)).flat()
        assert {k: getattr(sized, k) for k in slots} == slots
    with pytest.raises(BadConfig, match="unknown size 'huge'; choose tiny, small, medium"):
        default(Setting(Sums(), size="huge"))


def test_slots_change_by_name() -> None:
    recipe = default(SETTING).rl(samples=3)
    assert recipe.flat()[0].samples == 3
    assert default(SETTING).flat()[0].samples == 16, "the default itself stays"
    nested = Recipe((Stage(name="a"), Repeat((Stage(name="b"), Stage(name="a")), 2)))
    assert [s.epochs for s in nested.stage("a", epochs=5).flat()] == [5, 1, 5]
    with pytest.raises(BadConfig, match=r"unknown setting 'sample' of a stage; known: advantage, .*samples"):
        default(SETTING).rl(sample=3)
    with pytest.raises(BadConfig, match="the recipe has no stage 'sft'; it has rl"):
        default(SETTING).stage("sft", steps=1)


@pytest.mark.parametrize("slot", ["steps", "problems", "samples", "epochs", "minibatches", "shards", "cells"])
def test_numbers_must_be_positive(slot: str) -> None:
    with pytest.raises(BadConfig, match=f"stage 'rl': {slot} is 0, must be at least 1"):
        Stage(**{slot: 0})


def test_values_that_make_no_sense_are_refused() -> None:
    with pytest.raises(BadConfig, match=r"temperature 0 samples nothing to learn from"):
        Stage(temperature=0)
    Stage(temperature=0, source="demonstrations")
    with pytest.raises(BadConfig, match="optimizer kind 'sgd': choose adamw or adamw8bit or muon"):
        Optimizer(kind="sgd")
    with pytest.raises(BadConfig, match="optimizer decay 'step': choose none or linear or cosine"):
        Optimizer(decay="step")
    with pytest.raises(BadConfig, match="two losses are named 'policy'"):
        Stage(losses=(losses.policy_gradient(), losses.clipped()))


# ---- combination


def length(rollouts: Any) -> list[float]:
    return [float(r.tokens) for r in rollouts]


def normalised() -> Recipe:
    return default(SETTING).rl(advantage=advantages.group_normalised, losses=(losses.clipped(),))


def shorter() -> Recipe:
    return default(SETTING).rl(reward=rewards.weighted(length=(-0.1, length)))


def test_methods_that_change_different_slots_add() -> None:
    (stage,) = combine(SETTING, {"grpo": normalised(), "short": shorter(), "mixed": default(SETTING).rl(select=select.mixed)}).flat()
    assert stage.advantage is advantages.group_normalised
    assert [name for name, _, _ in stage.reward.parts] == ["correct", "length"]
    assert stage.select == select.mixed
    assert stage.samples == 16
    assert combine(SETTING, {}).flat()[0].advantage is advantages.group_mean


def test_methods_that_change_the_same_slot_clash_by_name() -> None:
    other = default(SETTING).rl(advantage=advantages.leave_one_out)
    with pytest.raises(InputError, match="grpo and rloo both change 'advantage'; they cannot be combined"):
        combine(SETTING, {"grpo": normalised(), "rloo": other})


def test_equal_changes_are_no_clash() -> None:
    """Factories make a new function at each call; two methods that both clip at 0.2 agree, at 0.2 and 0.3 they clash."""
    (stage,) = combine(SETTING, {"a": normalised(), "b": default(SETTING).rl(losses=(losses.clipped(),))}).flat()
    assert [x.name for x in stage.losses] == ["policy"]
    with pytest.raises(InputError, match="both change 'losses'"):
        combine(SETTING, {"a": normalised(), "b": default(SETTING).rl(losses=(losses.clipped(0.3),))})
    with pytest.raises(InputError, match="both change 'curriculum'"):
        combine(SETTING, {"a": default(SETTING).rl(curriculum=in_order(digits=2)), "b": default(SETTING).rl(curriculum=in_order(digits=3))})
    fixed = lambda n: default(SETTING).rl(solver=partial(single, tools=n))
    combine(SETTING, {"a": fixed(1), "b": fixed(1)})
    with pytest.raises(InputError, match="both change 'solver'"):
        combine(SETTING, {"a": fixed(1), "b": fixed(2)})


def test_functions_that_differ_in_their_defaults_only_clash() -> None:
    def make(n: int) -> Any:
        def advantage(batch: Any, *, scale: int = n) -> Any:
            return batch.reward * scale

        return advantage

    same = combine(SETTING, {"a": default(SETTING).rl(advantage=make(2)), "b": default(SETTING).rl(advantage=make(2))})
    assert same.flat()[0].advantage.__name__ == "advantage"
    with pytest.raises(InputError, match="both change 'advantage'"):
        combine(SETTING, {"a": default(SETTING).rl(advantage=make(2)), "b": default(SETTING).rl(advantage=make(3))})


def test_more_than_a_change_of_the_rl_stage_cannot_be_combined() -> None:
    with pytest.raises(InputError, match=r"star has stages of its own \(collect, rl\) and cannot be combined; run it alone"):
        combine(SETTING, {"star": Recipe((Stage(name="collect"), Stage())), "short": shorter()})


# ---- rewards


def test_weighted_parts() -> None:
    reward = rewards.weighted(correct=2.0, length=(-0.5, length), bonus=length)
    assert [(n, w) for n, w, _ in reward.parts] == [("correct", 2.0), ("length", -0.5), ("bonus", 1.0)]
    assert [n for n, _, _ in rewards.weighted(correct=0.0, length=length).parts] == ["length"]


def test_a_part_of_the_wrong_length_is_named() -> None:
    reward = rewards.weighted(correct=0.0, few=lambda rollouts: [1.0])
    with pytest.raises(RewardError, match="'few' returned 1 values for 0 rollouts"):
        reward.score([])


# ---- optimizers


def test_rates_by_hand() -> None:
    """Ten steps, warm-up of four: 1/4, 2/4, 3/4, then the decay alone."""
    rates = lambda decay: [optimizer.rate(Optimizer(warmup=4, decay=decay), i, 10) for i in range(10)]
    assert rates("none") == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1]
    assert rates("linear") == pytest.approx([0.25, 0.45, 0.6, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    assert rates("cosine")[5] == pytest.approx(0.5)
    assert rates("cosine")[0] == 0.25


def test_an_update_is_adamws() -> None:
    """Against torch's own step on the same gradient, clipped to a norm of 1."""
    ours, theirs = model_of().decoder, model_of().decoder
    n = sum(p.numel() for p in ours.parameters())
    gradient = torch.randn(n, generator=torch.Generator().manual_seed(0))
    spec = Optimizer(lr=0.01, weight_decay=0.1)
    found = optimizer.apply(spec, optimizer.build(spec, ours), ours, gradient, 0.5)
    assert found == {"gradient_norm": pytest.approx(float(gradient.norm())), "lr": 0.005}
    reference = torch.optim.AdamW(theirs.parameters(), lr=0.005, betas=(0.9, 0.95), weight_decay=0.1)
    at = 0
    for p in theirs.parameters():
        p.grad = (gradient / gradient.norm())[at : at + p.numel()].view_as(p)
        at += p.numel()
    reference.step()
    for p, q in zip(ours.parameters(), theirs.parameters()):
        assert (p - q).abs().max() < 1e-6
    assert all(p.grad is None for p in ours.parameters())


def test_muon_takes_the_hidden_matrices_only() -> None:
    decoder = model_of().decoder
    adam, muon = optimizer.build(Optimizer(kind="muon"), decoder)
    shapes = [p.dim() for g in muon.param_groups for p in g["params"]]
    assert shapes == [2] * 8
    held = {id(p) for o in (adam, muon) for g in o.param_groups for p in g["params"]}
    assert held == {id(p) for p in decoder.parameters()}
    assert id(decoder.embed) in {id(p) for g in adam.param_groups for p in g["params"]}


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_optimizer_state_saves_exactly(kind: str) -> None:
    """Two updates straight, and two with the state put aside between them, end in the same bits."""
    spec = Optimizer(kind=kind, lr=0.01)

    def run(pause: bool) -> torch.Tensor:
        decoder = model_of().decoder
        optimizers = optimizer.build(spec, decoder)
        noise = torch.Generator().manual_seed(0)
        for i in range(3):
            optimizer.apply(spec, optimizers, decoder, torch.randn(sum(p.numel() for p in decoder.parameters()), generator=noise), 1.0)
            if pause and i < 2:
                kept = {k: v.clone() for k, v in optimizer.state_tensors(optimizers).items()}
                optimizers = optimizer.build(spec, decoder)
                optimizer.load_state(optimizers, kept)
        return torch.cat([p.detach().reshape(-1) for p in decoder.parameters()])

    assert torch.equal(run(True), run(False))
