"""A step's gradient equals the one worked out turn by turn, whatever is shared, skipped, cut or sharded; sharing a node wrongly would still learn."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import Tensor

from tests.learning import oracle
from tests.support import SOLVERS, TINY, TRAINS, draws, model_of, rollouts_of, twin
from thinkery.core.records import Question, Reply, Rollout
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Session
from thinkery.learning import losses
from thinkery.learning.batch import Batch, Rows, build
from thinkery.learning.gradient import Learner, own, plan, total_gradient
from thinkery.learning.losses import Loss, Policy
from thinkery.learning.recipe import Stage
from thinkery.learning.signals import logprobs_of
from thinkery.learning.workers import Inline
from thinkery.models.decoder import Decoder


def sequence_ratio(clip: float) -> Loss:
    """GSPO, as a method would write it: one ratio for a rollout, so a rollout's rows may not be separated."""

    def term(p: Policy, rows: Rows) -> Tensor:
        counted = rows.sampled.to(p.logp)
        total = lambda x: rows.total((x * counted).sum(1))[:, None]
        s = (total(p.logp - p.old) / total(torch.ones_like(p.logp)).clamp_min(1)).exp()
        sign = rows.wide("advantage").sign()
        return -(s * sign).minimum(s.clamp(1 - clip, 1 + clip) * sign).expand_as(p.logp)

    weight = lambda b: np.abs(b.advantage if b.advantage.ndim == 2 else b.advantage[:, None]) * b.sampled
    return Loss("policy", weight, term, couples=("rollout",))


Case = tuple[tuple[Loss, ...], Callable[[list[oracle.Row]], Tensor]]
CASES: dict[str, Case] = {
    "policy_gradient": ((losses.policy_gradient(),), oracle.reinforce),
    "clipped": ((losses.clipped(0.02, 0.03),), lambda r: oracle.ppo(r, 0.02, 0.03)),
    "clipped+kl": ((losses.clipped(0.02), losses.kl_penalty(0.1)), lambda r: oracle.ppo(r, 0.02, 0.02) + oracle.kl(r, 0.1)),
    "entropy": ((losses.policy_gradient(), losses.entropy_bonus(0.05)), lambda r: oracle.reinforce(r) + oracle.entropy(r, 0.05)),
    "sequence ratio": ((sequence_ratio(0.01),), lambda r: oracle.gspo(r, 0.01)),
    "mixed": (
        (losses.clipped(0.02), losses.cross_entropy(), losses.kl_penalty(0.1), losses.entropy_bonus(0.05)),
        lambda r: oracle.ppo(r, 0.02, 0.02) + oracle.cross_entropy(r) + oracle.kl(r, 0.1) + oracle.entropy(r, 0.05),
    ),
}


@dataclass
class Step:
    """Rollouts of one solver with their batch; a third of the groups has no advantage."""

    rollouts: list[Rollout]
    batch: Batch
    decoder: Decoder


@cache
def step(name: str) -> Step:
    model = model_of(sharp=8.0)
    engine = LocalEngine(model)
    cast = {"judge": LocalEngine(model_of(seed=5, sharp=8.0))} if name == "triple" else None
    rollouts = rollouts_of(engine, SOLVERS[name], problems=6, samples=4, cast=cast)
    batch = build(rollouts, engine.tree, TRAINS)
    per_rollout = draws("advantage", name).standard_normal(len(rollouts))
    batch.advantage = np.where(batch.group % 3 == 2, 0.0, per_rollout[batch.rollout])
    return Step(rollouts, batch, model.decoder)


@cache
def moved(dtype: torch.dtype, plain: bool, by: float, name: str = "policy") -> Decoder:
    """The step's policy a little further on: the same movement in every precision."""
    decoder = twin(model_of(sharp=8.0).decoder, torch.float64)
    noise = torch.Generator().manual_seed({"policy": 1, "reference": 2}[name])
    with torch.no_grad():
        for p in decoder.parameters():
            p += by * p.abs().mean() * torch.randn(p.shape, generator=noise, dtype=torch.float64)
    return twin(decoder, dtype, plain)


def policy(dtype: torch.dtype, plain: bool, by: float) -> Decoder:
    return moved(dtype, plain, by)


def reference(dtype: torch.dtype, plain: bool) -> Decoder:
    return moved(dtype, plain, 0.05, "reference")


def stage_of(chosen: Sequence[Loss], shards: int = 2, cells: int = 16384, **changes: Any) -> Stage:
    signals = {"ref": logprobs_of("reference")} if any(x.name == "kl" for x in chosen) else {}
    return Stage(losses=tuple(chosen), signals=signals, shards=shards, cells=cells, **changes)


def gradient(
    batch: Batch, stage: Stage, by: float = 0.0, dtype: torch.dtype = torch.float64, plain: bool = False, shared: bool = True
) -> tuple[Tensor, dict[str, float]]:
    """What the loop would hand to the optimizer; `by` > 0: a second epoch, `old` filled before the weights moved."""
    batch = copy.copy(batch)
    batch.shard = batch.group % stage.shards
    p = plan(batch, stage)
    inline = lambda d: Inline(stage, Learner(d, {"reference": reference(dtype, plain)}, shared), None)  # type: ignore[arg-type]
    old = inline(policy(dtype, plain, 0.0)).estimate(own, batch, p.upto, dtype) if by else None
    gradients, sums = inline(policy(dtype, plain, by)).gradients(batch, p, old)
    return total_gradient(stage, gradients, stage.losses).clone(), sums


def truth(s: Step, formula: Callable[[list[oracle.Row]], Tensor], by: float = 0.0, advantage: np.ndarray | None = None) -> Tensor:
    decoder = policy(torch.float64, True, by)
    a = s.batch.advantage if advantage is None else advantage
    rows = oracle.rows(decoder, s.rollouts, a, TRAINS, policy(torch.float64, True, 0.0), reference(torch.float64, True))
    return oracle.gradient(decoder, formula(rows))


@cache
def true_gradient(solver: str, case: str, by: float) -> Tensor:
    return truth(step(solver), CASES[case][1], by)


def distance(a: Tensor, b: Tensor) -> float:
    return float((a.double() - b).norm() / b.norm())


@pytest.mark.parametrize("by", [0.0, 0.02], ids=["first epoch", "second epoch"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_tree_equals_turn_by_turn(solver: str, case: str, by: float) -> None:
    s, chosen, want = step(solver), CASES[case][0], true_gradient(solver, case, by)
    for plain, shared in ((False, True), (True, True), (True, False)):
        got, _ = gradient(s.batch, stage_of(chosen), by, plain=plain, shared=shared)
        assert distance(got, want) < 1e-12, f"plain={plain}, shared={shared}"
    own, _ = gradient(s.batch, stage_of(chosen), by, torch.float32, plain=True, shared=False)
    tree, _ = gradient(s.batch, stage_of(chosen), by, torch.float32)
    assert distance(tree, want) <= 3 * distance(own, want)


@hypothesis_settings(max_examples=30)
@given(solver=st.sampled_from(sorted(SOLVERS)), case=st.sampled_from(sorted(CASES)), cells=st.integers(1, 400), shards=st.integers(1, 7))
def test_blind_to_the_cut(solver: str, case: str, cells: int, shards: int) -> None:
    got, _ = gradient(step(solver).batch, stage_of(CASES[case][0], shards, cells), 0.02)
    assert distance(got, true_gradient(solver, case, 0.02)) < 1e-12


def test_small_cells_make_many_parts() -> None:
    batch, sizes = step("single").batch, {}
    for cells in (1, 40, 10**6):
        stage = stage_of((losses.entropy_bonus(1.0),), 1, cells)
        parts = plan_of(batch, stage).parts[0]
        assert sorted(np.concatenate(parts).tolist()) == list(range(len(batch)))
        sizes[cells] = [len(p) for p in parts]
    assert sizes[1] == [1] * len(batch)
    assert 1 < len(sizes[40]) < len(batch)
    assert sizes[10**6] == [len(batch)]


def plan_of(batch: Batch, stage: Stage) -> Any:
    batch = copy.copy(batch)
    batch.shard = batch.group % stage.shards
    return plan(batch, stage)


@hypothesis_settings(max_examples=12)
@given(seed=st.integers(0, 10**6), solver=st.sampled_from(["tool_loop", "fork", "spoken"]))
def test_blind_to_the_order_of_rollouts(seed: int, solver: str) -> None:
    s = step(solver)
    order = np.random.default_rng(seed).permutation(len(s.rollouts))
    engine = LocalEngine(model_of(sharp=8.0))
    batch = build([s.rollouts[i] for i in order], engine.tree, TRAINS)
    of_rollout = np.zeros(len(s.rollouts))
    of_rollout[s.batch.rollout] = s.batch.advantage
    batch.advantage = of_rollout[order][batch.rollout]
    got, _ = gradient(batch, stage_of(CASES["clipped"][0]), 0.02)
    assert distance(got, true_gradient(solver, "clipped", 0.02)) < 1e-12


@pytest.mark.parametrize("case", ["policy_gradient", "clipped", "sequence ratio", "mixed"])
@pytest.mark.parametrize("solver", ["tool_loop", "fork", "spoken"])
def test_advantages_by_turn_and_by_token(solver: str, case: str) -> None:
    """Zeros stand inside rows, at their ends and over whole turns; a coupled loss still needs what they cover."""
    s, (chosen, formula) = step(solver), CASES[case]
    batch, g = copy.copy(s.batch), draws("by token", solver)
    by_turn = g.standard_normal(len(batch)) * (g.random(len(batch)) < 0.6)
    by_token = g.standard_normal(batch.mask.shape) * (g.random(batch.mask.shape) < 0.5)
    for advantage in (by_turn, by_token):
        batch.advantage = advantage
        got, _ = gradient(batch, stage_of(chosen, 3, 60), 0.02)
        assert distance(got, truth(s, formula, 0.02, advantage)) < 1e-12


def test_opposite_advantages_through_one_node() -> None:
    """+A and -A cancel on-policy, but clipping treats them differently: dropping such nodes would be wrong."""
    s = step("single")
    batch = copy.copy(s.batch)
    batch.advantage = np.where(np.arange(len(batch)) % 2, 1.0, -1.0)
    net = np.zeros(len(batch.parent))
    np.add.at(net, batch.node[batch.mask], np.broadcast_to(batch.advantage[:, None], batch.mask.shape)[batch.mask])
    cancel = np.isin(batch.node, np.flatnonzero(net == 0)) & batch.mask
    assert cancel.sum() > 5, "the policy is peaked enough for samples to share nodes"
    chosen, formula = CASES["clipped"]
    want = truth(s, formula, 0.02, batch.advantage)
    got, _ = gradient(batch, stage_of(chosen), 0.02)
    assert distance(got, want) < 1e-12
    without = np.where(cancel, 0.0, np.broadcast_to(batch.advantage[:, None], batch.mask.shape))
    assert distance(truth(s, formula, 0.02, without), want) > 1e-3


def test_rows_without_advantage_count_where_another_loss_weighs_them() -> None:
    s = step("single")
    batch = copy.copy(s.batch)
    batch.advantage = np.zeros(len(batch))
    for case in ("clipped+kl", "entropy"):
        chosen, formula = CASES[case]
        got, _ = gradient(batch, stage_of(chosen))
        want = truth(s, formula, advantage=batch.advantage)
        assert want.norm() > 1e-6
        assert distance(got, want) < 1e-12
    got, sums = gradient(batch, stage_of(CASES["clipped"][0]))
    assert not got.any()
    assert sums == {}, "nothing was computed"


def test_groups_without_advantage_cost_nothing() -> None:
    batch = step("single").batch
    some, all_ = copy.copy(batch), copy.copy(batch)
    all_.advantage = np.ones(len(batch))
    stage = stage_of(CASES["clipped"][0])
    (_, a), (_, b) = gradient(some, stage), gradient(all_, stage)
    assert a["trained_tokens"] == batch.mask[batch.advantage != 0].sum()
    assert b["trained_tokens"] == batch.mask.sum()
    assert a["cells"] < b["cells"]


def test_each_distinct_prefix_is_computed_once() -> None:
    s = step("tool_loop")
    batch = copy.copy(s.batch)
    batch.advantage = np.ones(len(batch))
    _, sums = gradient(batch, stage_of(CASES["clipped"][0], shards=1))
    turns = [t for r in s.rollouts for t in r.turns]
    paths = [(*t.context.ids, *t.ids) for t in turns]
    inputs = {p[:i] for p in paths for i in range(1, len(p))}
    outputs = {p[: i + 1] for t, p in zip(turns, paths) for i in range(t.context.n, len(p))}
    assert sums["cells"] == len(inputs) < sum(len(p) - 1 for p in paths)
    assert sums["values"] == len(outputs) < sum(t.n for t in turns)


TOOL, FORCED = "kk", "mm"  # of tokens that the policy does not write in this test


def embedding_gradient(rollouts: list[Rollout], batch: Batch, chosen: Sequence[Loss], model: Any, shared: bool) -> np.ndarray:
    """Largest gradient of each token's input embedding (untied, so a token that is only ever an output has none)."""
    decoder = twin(model.decoder)
    stage = Stage(losses=tuple(chosen), shards=1)
    batch.shard = np.zeros(len(batch), np.int64)
    inline = Inline(stage, Learner(decoder, {}, shared), None)  # type: ignore[arg-type]
    flat = total_gradient(stage, inline.gradients(batch, plan(batch, stage), None)[0], stage.losses)
    return flat[: decoder.embed.numel()].view_as(decoder.embed).abs().amax(1).numpy()


@pytest.mark.parametrize("shared", [True, False])
def test_what_the_policy_did_not_write_is_never_trained(shared: bool) -> None:
    model = model_of(replace(TINY, tied=False), sharp=8.0)
    engine = LocalEngine(model)

    async def with_tool(m: Session, question: Question, tools: Any) -> Reply:
        first = await m.ask(question, 5, temperature=0.3)
        m.say(m.context(question) + "x", FORCED, end=False)
        second = await m.ask(m.context(question) + first + TOOL, 5, temperature=0.3)
        return Reply(first.text + second.text)

    rollouts = rollouts_of(engine, with_tool, problems=2, samples=3)
    written = {t for r in rollouts for turn in r.turns if not turn.forced for t in turn.ids}
    tool, forced = model.tokenizer.encode(TOOL)[0], model.tokenizer.encode(FORCED)[0]
    assert not written & {tool, forced}
    batch = build(rollouts, engine.tree)
    batch.advantage = np.where(batch.turn == 2, 1.0, 0.0)
    found = embedding_gradient(rollouts, batch, (losses.policy_gradient(),), model, shared)
    assert found[tool] > 0, "a later turn saw the tool's text"
    assert found[forced] == 0, "forced text that no trained turn saw takes no part"
    batch.advantage = np.where(batch.turn == 0, 1.0, 0.0)
    found = embedding_gradient(rollouts, batch, (losses.policy_gradient(),), model, shared)
    assert found[tool] == 0, "the tool's text came after all that is weighed"
    batch.advantage = np.ones(len(batch))
    supervised = embedding_gradient(rollouts, batch, (losses.cross_entropy(),), model, shared)
    assert supervised[forced] > 0
    assert supervised[tool] == 0, "supervision sees what was said only"


def test_weights_of_forced_tokens() -> None:
    """A token of weight 0 is not learnt, and the ones behind the last weight are not even computed."""
    s = step("spoken")
    batch = copy.copy(s.batch)
    said = (batch.mask & ~batch.sampled).any(1)
    batch.weight = batch.weight * np.where(said[:, None] & (np.arange(batch.mask.shape[1]) >= 2), 0, 1).astype(np.float32)
    decoder = policy(torch.float64, True, 0.0)
    rows = oracle.rows(decoder, s.rollouts, batch.advantage, TRAINS, decoder, decoder)
    parts = [r.logp[:2] * torch.tensor(r.turn.weight[:2].tolist(), dtype=torch.float64) for r in rows if r.turn.forced]
    total = sum(float(np.float64(r.turn.weight[:2]).sum()) for r in rows if r.turn.forced)
    want = oracle.gradient(decoder, -torch.stack([p.sum() for p in parts]).sum() / total)
    got, sums = gradient(batch, stage_of((losses.cross_entropy(),)))
    assert distance(got, want) < 1e-12
    assert sums["trained_tokens"] == 2 * said.sum()


def test_one_node_at_two_temperatures() -> None:
    """Siblings that drew the same token at other temperatures share the forward pass, never the log-probability."""

    async def two(model: Session, question: Question, tools: Any) -> Reply:
        turns = [await model.branch(i).ask(question, 6, temperature=t) for i, t in enumerate((0.6, 1.0, 1.7))]
        return Reply(turns[0].text)

    engine = LocalEngine(model_of(sharp=8.0))
    rollouts = rollouts_of(engine, two, problems=3, samples=4)
    batch = build(rollouts, engine.tree)
    batch.advantage = draws("two").standard_normal(len(batch))
    first = {(n, t) for n, t in zip(batch.node[:, 0].tolist(), batch.temperature.tolist())}
    assert len(first) > len({n for n, _ in first}), "a first token was drawn at two temperatures"
    decoder = policy(torch.float64, True, 0.0)
    for chosen, formula in (CASES["policy_gradient"], CASES["entropy"]):
        want = oracle.gradient(decoder, formula(oracle.rows(decoder, rollouts, batch.advantage, TRAINS, decoder, decoder)))
        for plain, shared in ((False, True), (True, True), (True, False)):
            assert distance(gradient(batch, stage_of(chosen), plain=plain, shared=shared)[0], want) < 1e-12


def test_combine_sees_each_loss() -> None:
    s = step("spoken")
    chosen = CASES["mixed"][0]
    seen: dict[str, Tensor] = {}

    def adding(parts: dict[str, Tensor]) -> Tensor:
        seen.update({k: v.clone() for k, v in parts.items()})
        return torch.stack(list(parts.values())).sum(0)

    whole, _ = gradient(s.batch, stage_of(chosen), 0.02)
    added, _ = gradient(s.batch, stage_of(chosen, combine=adding), 0.02)
    assert set(seen) == {"policy", "sft", "kl", "entropy"}
    assert distance(added, whole) < 1e-13
    for name, formula in {
        "policy": CASES["clipped"][1],
        "sft": oracle.cross_entropy,
        "kl": lambda r: oracle.kl(r, 0.1),
        "entropy": lambda r: oracle.entropy(r, 0.05),
    }.items():
        if name == "policy":
            formula = lambda r: oracle.ppo(r, 0.02, 0.02)
        assert distance(seen[name], truth(s, formula, 0.02)) < 1e-12, name


def test_denominators_know_nothing_of_cuts_and_skips() -> None:
    batch = copy.copy(step("tool_loop").batch)
    batch.advantage = np.where(batch.group == 0, 1.0, 0.0)
    chosen = (losses.policy_gradient(losses.tokens), losses.entropy_bonus(0.1, losses.rollouts))
    for shards, cells in ((1, 10**6), (5, 30)):
        p = plan_of(batch, stage_of(chosen, shards, cells))
        assert p.denominators == [batch.mask.sum(), 24]


def test_on_policy_the_ratio_is_exactly_one() -> None:
    """With one update `old` is the forward pass itself; with several it is filled by other cuts, and equals it to the bit."""
    batch = copy.copy(step("fork").batch)
    batch.shard = batch.group % 2
    batch.advantage = np.ones(len(batch))
    seen: list[Tensor] = []

    def watched(p: Policy, rows: Rows) -> Tensor:
        seen.append(p.ratio.detach())
        return -p.ratio

    loss = Loss("policy", lambda b: b.sampled * 1.0, watched)
    stage = stage_of((loss,), 2, 50)
    decoder = policy(torch.float32, False, 0.0)
    inline = Inline(stage, Learner(decoder, {}), None)  # type: ignore[arg-type]
    p = plan(batch, stage)
    whole = Inline(stage_of((loss,), 2, 10**6), inline.learner, None).estimate(own, batch, p.upto, torch.float32)  # type: ignore[arg-type]
    inline.gradients(batch, p, None)
    inline.gradients(batch, p, whole)
    assert len(seen) > 8
    assert all((r == 1).all() for r in seen)
