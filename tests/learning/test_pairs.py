"""A pair is the best and the worst reply of a problem, also where replies have several turns or come from a file; a pair the wrong way
round would unlearn."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support import SOLVERS, Sums, model_of, rollouts_of, start_of, weights_of
from thinkery.core.errors import BadData
from thinkery.engines.local import LocalEngine
from thinkery.learning import advantages, losses, pairs, select
from thinkery.learning.batch import Batch, build
from thinkery.learning.collect import record
from thinkery.learning.gradient import components
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Optimizer, Recipe, Setting, Stage
from thinkery.learning.signals import logprobs_of
from thinkery.models.model import Model

DPO = Stage(
    steps=2, problems=6, samples=6, shards=2, optimizer=Optimizer(lr=1e-3, warmup=1), pair=pairs.extremes, losses=(pairs.preference(0.1),),
    signals={"ref": logprobs_of("reference")},
)  # fmt: skip


def run(model: Model, *stages: Stage) -> tuple[list[dict[str, float]], Learning]:
    learning = Learning(Recipe(stages), Setting(Sums()), start_of(model))
    metrics = []
    while not learning.done:
        metrics.append(learning.step())
    return metrics, learning


def test_extremes_by_hand() -> None:
    """Group 0: best reply 1, the earlier of two; worst reply 0. Group 1: all alike. Group 2: alone."""
    batch = Batch.scored(np.array([0.1, 0.9, 0.9, 0.5, 0.5, 0.7]), np.array([0, 0, 0, 1, 1, 2]))
    batch.pair = pairs.extremes(batch, [])
    assert batch.pair[0] == batch.pair[1] == 0
    assert len(set(batch.pair[2:].tolist()) | {0}) == 5, "every other one by itself"
    assert pairs.side(batch).tolist() == [-1, 1, 0, 0, 0, 0]


def test_turns_follow_their_rollout() -> None:
    """Rollout 0 has two turns of rewards 1 and 0, so it is worth 1/2; rollout 1 is worth 0.4."""
    batch = Batch.scored(np.array([1.0, 0, 0.4]), np.zeros(3, int), np.array([0, 0, 1]))
    batch.pair = pairs.extremes(batch, [])
    assert batch.pair.tolist() == [0, 0, 0]
    assert pairs.side(batch).tolist() == [1, 1, -1]


def test_what_is_paired_is_never_cut_apart() -> None:
    engine = LocalEngine(model_of(sharp=8.0))
    rollouts = rollouts_of(engine, SOLVERS["tool_loop"], problems=3, samples=4)
    batch = build(rollouts, engine.tree)
    batch.reward = np.random.default_rng(0).random(12)[batch.rollout]
    batch.pair = pairs.extremes(batch, rollouts)
    label = components(batch, {"rollout", "pair"})
    sides = pairs.side(batch)
    for problem in range(3):
        mine = np.flatnonzero(sides * (batch.group == problem))
        assert len(set(label[mine])) == 1
        assert len(mine) == 4, "two rollouts of two turns"
        values = np.unique(batch.reward[batch.group == problem])
        assert set(batch.reward[mine]) == {values[0], values[-1]}
        assert (sides[mine] == np.where(batch.reward[mine] == values[-1], 1, -1)).all()


def test_preferences_raise_the_margin(warm: Model) -> None:
    """Learnt off-policy on the same pairs again and again, the loss falls from log 2."""
    metrics, _ = run(warm, replace(DPO, steps=1, epochs=6, optimizer=Optimizer(lr=3e-3, warmup=1)))
    first, _ = run(warm, replace(DPO, steps=1))
    assert first[0]["loss/preference"] == pytest.approx(np.log(2), abs=1e-6)
    assert metrics[0]["loss/preference"] < 0.6


def test_rows_without_a_pair_cost_nothing(warm: Model) -> None:
    metrics, learning = run(warm, replace(DPO, steps=1))
    scores = [[r.rewards["correct"] for r in g] for g in select.by_index(learning.rollouts)]
    mixed = [g for g in select.by_index(learning.rollouts) if len({r.rewards["correct"] for r in g}) > 1]
    chosen = [g[s.index(x)] for g in mixed for s in [[r.rewards["correct"] for r in g]] for x in (1.0, 0.0)]
    assert 0 < len(mixed) <= len(scores)
    assert metrics[0]["trained_tokens"] == sum(t.n for r in chosen for t in r.turns)


@pytest.fixture
def saved(warm: Model, tmp_path: Path) -> Path:
    """A file of preferences: for each mixed problem a right and a wrong reply, one after the other."""
    _, learning = run(warm, replace(DPO, steps=1, problems=12, losses=(losses.entropy_bonus(0.0),), signals={}))
    path = tmp_path / "preferences.jsonl"
    found = []
    for g in select.by_index(learning.rollouts):
        by_score = {r.rewards["correct"]: r for r in g}
        found += [record(by_score[s]) for s in (1.0, 0.0) if len(by_score) > 1]
    path.write_text("".join(json.dumps(d) + "\n" for d in found))
    assert len(found) >= 6
    return path


def test_preferences_from_a_file(saved: Path, warm: Model) -> None:
    """The scores that were saved say which is better; nothing is sampled."""
    stage = replace(DPO, source=("file", str(saved)), problems=6, steps=8, optimizer=Optimizer(lr=1e-2, warmup=1))
    metrics, learning = run(warm, stage)
    assert all(m["tokens"] == 0 for m in metrics)
    assert metrics[0]["loss/preference"] == pytest.approx(np.log(2), abs=1e-6)
    assert metrics[0]["accuracy"] == 0.5
    assert metrics[-1]["loss/preference"] < 0.69
    assert [r.verdict.score for r in learning.rollouts if r.verdict is not None] == [1.0, 0.0] * 3
    turned = saved.with_name("turned.jsonl")
    lines = [json.loads(line) for line in saved.read_text().splitlines()]
    turned.write_text("".join(json.dumps(d | {"score": 1 - d["score"]}) + "\n" for d in lines))
    _, other = run(warm, replace(stage, source=("file", str(turned))))
    assert weights_of(other.model) != weights_of(learning.model)


def test_preferences_of_an_earlier_stage(warm: Model) -> None:
    collect = replace(
        DPO, name="collect", steps=1, select=select.mixed, losses=(losses.entropy_bonus(0.0),), signals={}, advantage=advantages.raw
    )
    metrics, _ = run(warm, collect, replace(DPO, name="prefer", source=("stage", "collect"), problems=18, steps=2))
    assert metrics[1]["loss/preference"] == pytest.approx(np.log(2), abs=1e-6)
    assert metrics[2]["loss/preference"] < metrics[1]["loss/preference"]


def test_a_score_that_is_none_is_refused(saved: Path, warm: Model) -> None:
    lines = [json.loads(line) for line in saved.read_text().splitlines()]
    for score in (2, "good", float("nan")):
        saved.write_text("".join(json.dumps(d | {"score": score}) + "\n" for d in lines))
        with pytest.raises(BadData, match="not a record of a rollout"):
            run(warm, replace(DPO, source=("file", str(saved))))
