"""The loop is a function of seed and recipe, and plays its stages as written; a draw or a step that depends on chance would make no run repeatable."""

from __future__ import annotations

import gc
import json
import time
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support import Sums, start_of, weights_of
from thinkery.core.errors import BadConfig
from thinkery.core.records import Question, Reply, Rollout
from thinkery.engines.session import Session
from thinkery.learning import advantages, losses, rewards, select
from thinkery.learning.batch import Rows
from thinkery.learning.collect import record
from thinkery.learning.curriculum import Curriculum, in_order
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Optimizer, Probe, Recipe, Repeat, Setting, Stage
from thinkery.learning.signals import logprobs_of
from thinkery.models.model import Model
from thinkery.solvers import single

SMALL = Stage(steps=3, problems=4, samples=6, shards=4, max_tokens=6, optimizer=Optimizer(lr=1e-3))


def run(
    model: Model, *stages: Stage | Repeat, seed: int = 0, task: Any = None, workers: int = 1
) -> tuple[list[dict[str, float]], Learning]:
    """All metrics of a run on a copy of the model."""
    learning = Learning(Recipe(stages), Setting(task or Sums(), seed=seed), start_of(model), workers)
    metrics = []
    while not learning.done:
        metrics.append(learning.step())
    return metrics, learning


# ---- determinism


def test_same_seed_same_metrics_and_weights(warm: Model) -> None:
    (a, x), (b, y) = run(warm, SMALL), run(warm, SMALL)
    assert a == b
    assert weights_of(x.model) == weights_of(y.model) != weights_of(warm)
    other, _ = run(warm, SMALL, seed=1)
    assert other != a
    assert all(m["trained_tokens"] > 0 for m in a)


def test_a_budget_of_tokens_ends_the_run(warm: Model) -> None:
    metrics, _ = run(warm, SMALL)
    learning = Learning(Recipe((SMALL,)), Setting(Sums(), budget=int(metrics[0]["tokens"]) + 1), start_of(warm))
    met = []
    while not learning.done:
        met.append(learning.step())
    learning.leave()
    assert met == metrics[:2]


def test_old_policy_is_the_sampled_one_to_the_bit(warm: Model) -> None:
    metrics, _ = run(warm, replace(SMALL, temperature=0.85))
    assert [m["drift"] for m in metrics] == [0.0] * 3


def test_cells_change_rounding_only(warm: Model) -> None:
    (_, one), (_, many) = run(warm, SMALL), run(warm, replace(SMALL, cells=7))
    for p, q in zip(one.model.decoder.parameters(), many.model.decoder.parameters()):
        assert (p - q).abs().max() < 1e-4


def test_probes_change_nothing(warm: Model) -> None:
    plain, x = run(warm, SMALL)
    probed, y = run(warm, replace(SMALL, probes=(Probe(2, 5),)))
    assert weights_of(x.model) == weights_of(y.model)
    assert [{k: v for k, v in m.items() if not k.startswith("probe")} for m in probed] == plain
    assert ["probe/greedy" in m for m in probed] == [False, True, False]
    assert 0 <= probed[1]["probe/greedy"] <= 1
    assert probed[1]["probe_tokens"] > 0


async def abandoning(model: Session, question: Question, tools: Any = None) -> Reply:
    """Waits for one ask of two; how far the other one comes must not depend on who else is sampling."""
    model.branch(1).ask(question, 6, stop=("never",))
    return Reply.of(await model.branch(0).ask(question, 1))


def test_abandoned_asks_leave_the_same_record_in_any_company(warm: Model) -> None:
    """The second problem's solver runs long after the first one's is done."""

    async def uneven(model: Session, question: Question, tools: Any = None) -> Reply:
        if question.prompt.startswith("0"):
            return await abandoning(model, question)
        return Reply.of(await model.ask(question, 12, stop=("never",)))

    def turns(problems: int) -> list[list[tuple[int, ...]]]:
        _, learning = run(warm, replace(SMALL, steps=1, problems=problems, shards=1, solver=uneven))
        return [[t.ids for t in r.turns] for r in learning.rollouts if r.index == 0]

    assert turns(1) == turns(5)
    assert max(len(t) for t in turns(1)) <= 2


# ---- stages


def stages_seen(learning: Learning) -> list[str]:
    seen = []
    while not learning.done:
        seen.append(learning.stage.name)
        learning.step()
    return seen


def test_stages_and_rounds_in_order(warm: Model) -> None:
    a, b, c = (replace(SMALL, name=n, steps=s, problems=1, samples=2) for n, s in (("a", 2), ("b", 1), ("c", 1)))
    learning = Learning(Recipe((a, Repeat((b, c), 3), a)), Setting(Sums()), start_of(warm))
    assert learning.steps == 10
    assert stages_seen(learning) == ["a", "a", "b", "c", "b", "c", "b", "c", "a", "a"]


def test_a_repeat_ends_when_told(warm: Model) -> None:
    seen: list[float] = []

    def enough(metrics: Any) -> bool:
        seen.append(metrics["tokens"])
        return len(seen) == 2

    learning = Learning(Recipe((Repeat((replace(SMALL, steps=1, problems=1),), 9, enough), SMALL)), Setting(Sums()), start_of(warm))
    assert len(stages_seen(learning)) == 2 + SMALL.steps
    assert seen[0] > 0


def test_the_reference_is_the_policy_as_its_stage_began(warm: Model) -> None:
    """The KL to it is 0 in the first step of every stage, and only there."""
    stage = replace(
        SMALL,
        steps=2,
        losses=(losses.policy_gradient(), losses.kl_penalty(0.1)),
        signals={"ref": logprobs_of("reference")},
        advantage=advantages.raw,
    )
    metrics, _ = run(warm, stage, replace(stage, name="again"))
    kl = [m["loss/kl"] for m in metrics]
    assert abs(kl[0]) < 1e-9
    assert abs(kl[2]) < 1e-9
    assert kl[1] > 1e-6
    assert kl[3] > 1e-6


def test_replay_of_a_stage(warm: Model) -> None:
    """STaR in two stages: collect and keep what was right, then learn it as text."""
    collect = replace(SMALL, name="collect", steps=2, select=select.solved, losses=(losses.entropy_bonus(0.0),), advantage=advantages.raw)
    imitate = replace(
        SMALL, name="imitate", steps=3, samples=1, source=("stage", "collect"), reward=rewards.NOTHING, losses=(losses.cross_entropy(),)
    )
    metrics, learning = run(warm, collect, imitate)
    assert weights_of(learning.model) != weights_of(warm)
    assert all(m["loss/sft"] > 0 and m["tokens"] == 0 for m in metrics[2:])
    assert all(t.forced for r in learning.rollouts for t in r.turns)
    texts = [r.turns[0].text for r in learning.rollouts]
    assert texts == [r.problem.answer for r in learning.rollouts]


def test_replay_goes_through_all_records_in_turn(warm: Model, tmp_path: Path) -> None:
    """Also where many are of one problem: ten records of two problems, four a step."""
    _, collected = run(warm, replace(SMALL, steps=1, problems=2, samples=5))
    saved = [record(r) for r in collected.rollouts]
    path = tmp_path / "saved.jsonl"
    path.write_text("".join(json.dumps(d) + "\n" for d in saved))
    stage = replace(SMALL, steps=5, source=("file", str(path)), reward=rewards.NOTHING, losses=(losses.cross_entropy(),))
    learning, met = Learning(Recipe((stage,)), Setting(Sums()), start_of(warm)), []
    while not learning.done:
        learning.step()
        met += [list(r.turns[0].ids) for r in learning.rollouts]
    assert met == [d["turns"][0]["ids"] for d in saved] * 2


# ---- selection and curricula


def test_selecting_mixed_groups_leaves_out_the_others(warm: Model) -> None:
    plain, x = run(warm, replace(SMALL, steps=1))
    chosen, y = run(warm, replace(SMALL, steps=1, select=select.mixed))
    scores = {r.index: {q.rewards["correct"] for q in x.rollouts if q.index == r.index} for r in x.rollouts}
    mixed = [i for i, s in scores.items() if len(s) > 1]
    assert 0 < len(mixed) < 4
    assert chosen[0]["mixed"] == 1.0
    assert plain[0]["mixed"] == len(mixed) / 4
    assert chosen[0]["accuracy"] == plain[0]["accuracy"], "what was collected is reported, not what was kept"
    assert chosen[0]["trained_tokens"] == sum(t.n for r in y.rollouts if r.index in mixed for t in r.turns)


def test_nothing_selected_is_an_idle_step(warm: Model) -> None:
    async def nothing(groups: Any) -> list[Rollout]:
        return []

    metrics, learning = run(warm, replace(SMALL, select=nothing))
    assert [m["idle"] for m in metrics] == [1.0] * 3
    assert weights_of(learning.model) == weights_of(warm)


def test_equal_rewards_are_an_idle_step(warm: Model) -> None:
    """Also where means round: the mean of seven times 0.1 is not 0.1 in floating point."""
    part = rewards.weighted(correct=0.0, constant=lambda rs: [0.1] * len(rs))
    for advantage in (advantages.group_mean, advantages.group_normalised, advantages.leave_one_out, advantages.batch_mean):
        metrics, learning = run(warm, replace(SMALL, steps=1, samples=7, reward=part, advantage=advantage))
        assert metrics[0]["idle"] == 1.0
        assert metrics[0]["mixed"] == 0.0
        assert weights_of(learning.model) == weights_of(warm)


def test_a_curriculum_sees_rollouts_and_keeps_state(warm: Model) -> None:
    shown: list[Any] = []

    def pick(state: dict[str, Any], step: int, n: int) -> list[tuple[int, dict[str, Any]]]:
        shown.append(dict(state))
        return [(state["level"] * 5 + i, {}) for i in range(n)]

    def update(state: dict[str, Any], step: int, rollouts: Sequence[Rollout]) -> dict[str, Any]:
        return {"level": state["level"] + 1, "last": max(r.index for r in rollouts)}

    _, learning = run(warm, replace(SMALL, problems=2, curriculum=Curriculum(lambda: {"level": 0}, pick, update)))
    assert shown == [{"level": 0}, {"level": 1, "last": 1}, {"level": 2, "last": 6}]
    assert learning.state.memory["0.0"]["curriculum"] == {"level": 3, "last": 11}


def test_a_problem_picked_twice_is_refused(warm: Model) -> None:
    """Draws are addressed by problem and sample, so the second time would bring the same samples."""
    twice = Curriculum(lambda: {}, lambda state, step, n: [(7, {}), (3, {}), (7, {})])
    with pytest.raises(BadConfig, match="stage 'rl': the curriculum picked a problem twice in one step"):
        run(warm, replace(SMALL, curriculum=twice))


def test_problems_in_order_are_met_once(warm: Model) -> None:
    learning = Learning(Recipe((replace(SMALL, curriculum=in_order()),)), Setting(Sums()), start_of(warm))
    met = []
    while not learning.done:
        learning.step()
        met += sorted({r.index for r in learning.rollouts})
    assert met == list(range(12))


# ---- demonstrations


def test_demonstrations_follow_their_shares(warm: Model) -> None:
    stage = Stage(
        name="sft", steps=1, problems=200, samples=1, source="demonstrations", styles={"direct": 0.7, "spoken": 0.3},
        reward=rewards.NOTHING, losses=(losses.cross_entropy(),), curriculum=Curriculum(lambda: {}, lambda s, t, n: [(i, {}) for i in range(n)]),
    )  # fmt: skip
    metrics, learning = run(warm, stage)
    spoken = sum(r.turns[0].text.startswith("is ") for r in learning.rollouts)
    assert 35 < spoken < 90
    assert metrics[0]["tokens"] == 0
    assert all(t.forced and t.weight is not None and t.weight.tolist() == [1.0] * t.n for r in learning.rollouts for t in r.turns)


def test_several_updates_from_one_collection(warm: Model) -> None:
    """Two epochs of two minibatches: four updates, each of half the groups, with `old` from before the first; the first ratio is 1."""
    seen: list[tuple[set[int], bool]] = []

    def watched(p: losses.Policy, rows: Rows) -> torch.Tensor:
        seen.append((set(rows.group.tolist()), bool((p.ratio == 1).all())))
        return -p.ratio * rows.wide("advantage").sign()

    stage = replace(SMALL, steps=1, epochs=2, minibatches=2, shards=1, losses=(losses.Loss("policy", lambda b: b.sampled * 1.0, watched),))
    learning = Learning(Recipe((stage,)), Setting(Sums()), start_of(warm))
    before = learning.model.decoder.version
    learning.step()
    assert learning.model.decoder.version == before + 4
    assert seen == [({0, 2}, True), ({1, 3}, False), ({0, 2}, False), ({1, 3}, False)]


def test_bfloat16_learns_almost_the_same(warm: Model) -> None:
    """Float32 masters, bfloat16 compute: another decode plan, plain torch operations, gradients in float32."""
    half = start_of(warm)
    half.decoder.compute = torch.bfloat16
    learning = Learning(Recipe((replace(SMALL, samples=16),)), Setting(Sums()), half)
    metrics = [learning.step() for _ in range(3)]
    exact, _ = run(warm, replace(SMALL, samples=16))
    assert all(p.dtype == torch.float32 for p in half.decoder.parameters())
    assert 0 < metrics[0]["drift"] < 0.02
    assert abs(metrics[0]["entropy"] - exact[0]["entropy"]) < 0.1
    assert weights_of(half) != weights_of(warm)


def test_what_steps_leave_is_not_walked_again_and_garbage_goes(warm: Model) -> None:
    """Whether cycles that a solver leaves are freed, and nothing stays out of the collector's sight once a stage is over."""

    class Knot:
        pass

    tied: list[weakref.ref[Knot]] = []

    async def tying(model: Session, question: Question, tools: Any) -> Reply:
        knot = Knot()
        knot.self = knot  # type: ignore[attr-defined]
        tied.append(weakref.ref(knot))
        return await single(model, question, tools)

    learning = Learning(Recipe((Stage(steps=4, problems=2, samples=2, solver=tying),)), Setting(Sums()), warm)
    walked: list[str] = []
    gc.callbacks.append(lambda phase, info: walked.append(phase))
    try:
        learning.tidy_at = time.monotonic() + 3600
        learning.step()
        assert tied and all(ref() is not None for ref in tied) and not walked and gc.isenabled()
        learning.tidy_at = 0.0
        learning.step()
        assert all(ref() is None for ref in tied) and learning.tidy_at > 0
    finally:
        gc.callbacks.pop()
    learning.leave()
    assert gc.get_freeze_count() == 0
