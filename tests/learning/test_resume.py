"""A run put back from a checkpoint goes on as if nothing had happened, wherever it was; state kept outside the checkpoint would show here."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support import Sums, model_of, start_of, weights_of
from thinkery.core.errors import BadModel, StorageError
from thinkery.learning import checkpoint, losses, rewards, select
from thinkery.learning.curriculum import Curriculum
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Combine, Optimizer, Probe, Recipe, Repeat, Setting, Stage
from thinkery.learning.signals import logprobs_of
from thinkery.models.model import Model

LEVELS = Curriculum(
    lambda: {"level": 0},
    lambda state, step, n: [(state["level"] + i, {}) for i in range(n)],
    lambda state, step, rollouts: {"level": state["level"] + len(rollouts) // 4},
)
SHORTER = rewards.Stateful(  # than the mean of the step before, and of what a probe found
    lambda: {"mean": 0.0, "probed": 0.0},
    lambda rollouts, state: [float(r.tokens < state["mean"] + state["probed"]) for r in rollouts],
    lambda state, seen: {
        "mean": sum(r.tokens for r in seen.rollouts) / len(seen.rollouts),
        "probed": sum((r.tokens for r in seen.probes.get("monitor", ())), state["probed"]) / 10,
    },
)
FADING = Combine(lambda: {"share": 1.0}, lambda g, state: (g["policy"] + state["share"] * g["entropy"], {"share": state["share"] / 2}))
SMALL = Stage(problems=3, samples=4, shards=2, max_tokens=6, optimizer=Optimizer(lr=1e-3))
RECIPE = Recipe(
    (
        replace(
            SMALL, name="sft", steps=3, samples=1, source="demonstrations", reward=rewards.NOTHING, losses=(losses.cross_entropy(),),
            optimizer=Optimizer(kind="muon", lr=1e-3),
        ),
        Repeat(
            (
                replace(SMALL, name="collect", steps=2, select=select.solved, losses=(losses.entropy_bonus(0.01),), curriculum=LEVELS),
                replace(
                    SMALL, name="adaptive", steps=2, losses=(losses.policy_gradient(), losses.entropy_bonus(0.01)), combine=FADING,
                    reward=rewards.weighted(short=SHORTER), probes=(Probe(2, 3, name="monitor", samples=2, temperature=1.0, split="train"),),
                ),
                replace(SMALL, name="imitate", steps=1, samples=1, source=("stage", "collect"), reward=rewards.NOTHING, losses=(losses.cross_entropy(),)),
            ),
            2,
        ),
        replace(
            SMALL, steps=3, epochs=2, losses=(losses.clipped(), losses.kl_penalty(0.1)), signals={"ref": logprobs_of("reference")}, curriculum=LEVELS
        ),
    )
)  # fmt: skip


def learning_of(model: Model) -> Learning:
    return Learning(RECIPE, Setting(Sums()), start_of(model))


def finish(learning: Learning) -> tuple[list[dict[str, float]], bytes, Any]:
    metrics = []
    while not learning.done:
        metrics.append(learning.step())
    return metrics, weights_of(learning.model), learning.state


def test_resuming_anywhere_is_going_straight_on(warm: Model, tmp_path: Path) -> None:
    metrics, weights, state = finish(learning_of(warm))
    assert len(metrics) == RECIPE_STEPS
    for stop in range(RECIPE_STEPS + 1):
        first = learning_of(warm)
        for _ in range(stop):
            first.step()
        folder = checkpoint.save(first, tmp_path / "checkpoints")
        first.leave()
        again = learning_of(model_of(seed=9))  # other weights: all must come from the checkpoint
        checkpoint.load(again, folder)
        rest, w, s = finish(again)
        assert rest == metrics[stop:], f"stopped after {stop} steps"
        assert w == weights
        assert s == state


RECIPE_STEPS = 3 + 2 * 5 + 3


def test_the_last_two_are_kept(warm: Model, tmp_path: Path) -> None:
    learning = learning_of(warm)
    for _ in range(4):
        learning.step()
        checkpoint.save(learning, tmp_path)
    assert [p.name for p in checkpoint.existing(tmp_path)] == ["step-00000003", "step-00000004"]
    assert not list(tmp_path.glob(".*")), "nothing half written"
    (tmp_path / "step-00000009").mkdir()
    assert [p.name for p in checkpoint.existing(tmp_path)] == ["step-00000003", "step-00000004"], "an incomplete one does not count"


def test_a_failed_save_leaves_the_last_good_one(warm: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learning = learning_of(warm)
    learning.step()
    good = checkpoint.save(learning, tmp_path)
    kept = {p.name: p.read_bytes() for p in good.iterdir()}
    learning.step()

    def full(*args: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(StorageError, match=r"cannot write .*step-00000002: No space left on device; free some space"):
        checkpoint.save(learning, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [good.name]
    assert {p.name: p.read_bytes() for p in good.iterdir()} == kept


@pytest.mark.parametrize("harm", ["truncated", "missing", "unknown", "other sizes", "not JSON"])
def test_a_checkpoint_that_does_not_fit_is_refused(harm: str, warm: Model, tmp_path: Path) -> None:
    learning = learning_of(warm)
    learning.step()
    folder = checkpoint.save(learning, tmp_path)
    state, weights = folder / "state.json", folder / "model.safetensors"
    if harm == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif harm == "missing":
        (folder / "optimizer.safetensors").unlink()
    elif harm == "unknown":
        state.write_text(json.dumps(json.loads(state.read_text()) | {"speed": 3}))
    elif harm == "not JSON":
        state.write_text("{")
    else:
        other = Learning(RECIPE, Setting(Sums()), model_of(replace(warm.decoder.config, layers=1)))
        shutil.copy(checkpoint.save(other, tmp_path / "other") / "model.safetensors", weights)
    with pytest.raises(BadModel, match=r"the checkpoint .*step-00000001 does not fit this run: .*; start anew with another --out"):
        checkpoint.load(learning_of(warm), folder)
