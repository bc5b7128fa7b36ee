"""A step made once more is the step that is recorded, to the bit; and where it is not, the first place is named."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from thinkery.cli.main import main
from thinkery.core.errors import BadConfig, InputError
from thinkery.lab.api import replay, train

SETTINGS: dict[str, Any] = {
    "task": "chain",
    "steps": 4,
    "seed": 3,
    "workers": 1,
    "config": {"problems": 4, "samples": 4, "shards": 2, "max_tokens": 32},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out: Path = tmp_path_factory.mktemp("replay") / "run"
    train("grpo", out=out, evaluate=0, checkpoint_every_s=0.0, doctor_stops=False, **SETTINGS)
    return out


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def change(run: Path, sql: str, *given: Any) -> None:
    connection = sqlite3.connect(run / "run.sqlite")
    with connection:
        assert connection.execute(sql, given).rowcount > 0
    connection.close()


def first(run: Path) -> tuple[int, int]:
    """Problem and sample of the last step's first rollout that is not failed."""
    connection = sqlite3.connect(run / "run.sqlite")
    found = connection.execute("SELECT number, k FROM rollouts WHERE step = 4 ORDER BY number, k LIMIT 1").fetchone()
    connection.close()
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize(("step", "workers", "weights"), [(4, 1, "equal"), (4, 2, "equal"), (3, 1, "equal"), (1, 1, "not kept")])
def test_a_step_comes_out_again(run: Path, step: int, workers: int, weights: str) -> None:
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    found = replay(run, step, "grpo", **SETTINGS | {"workers": workers})
    assert (found.same, found.difference, found.weights) == (True, "", weights), found.text
    assert found.step == step and found.rollouts == 16 * (step - found.after)
    assert found.tokens > 0 and "agree to the bit" in found.text
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


def test_without_checkpoints_it_begins_at_the_start(run: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    found = replay(run, 3, "grpo", **SETTINGS)
    assert (found.same, found.after, found.rollouts, found.weights) == (True, 0, 48, "not kept")


WHERE = "rollout IN (SELECT id FROM rollouts WHERE step = 4 AND number = ? AND k = ?)"
CHANGES = {
    "prompt": ("UPDATE problems SET prompt = 'x' WHERE id IN (SELECT problem FROM rollouts WHERE step = 4 AND number = ? AND k = ?)", "prompt was 'x'"),
    "reply": ("UPDATE rollouts SET reply = 'x' WHERE step = 4 AND number = ? AND k = ?", "reply was 'x'"),
    "score": ("UPDATE rollouts SET score = 0.25 WHERE step = 4 AND number = ? AND k = ?", "score was 0.25"),
    "reward": (f"UPDATE rewards SET value = 0.25 WHERE {WHERE}", "sample {k}, name correct: reward was 0.25"),
    "advantage": (f"UPDATE turns SET advantage = zeroblob(8) WHERE {WHERE}", "advantage differ from number"),
    "context": (f"UPDATE turns SET ended = 'said' WHERE {WHERE}", "ended was 'said'"),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_the_first_difference_is_named(run: Path, what: str) -> None:
    sql, said = CHANGES[what]
    number, k = first(run)
    change(run, sql, number, k)
    found = replay(run, 4, "grpo", **SETTINGS)
    assert not found.same
    assert found.difference.startswith("step 4: problem ")
    assert said.format(k=k) in found.difference
    if what not in ("prompt", "advantage"):
        assert f"problem {number}, sample {k}" in found.difference


@pytest.mark.parametrize(
    ("column", "name", "kind"), [("ids", "tokens", "<i4"), ("logp", "log-probabilities", "<f4"), ("entropy", "entropies", "<f4")]
)
def test_a_token_that_differs_is_named_by_its_place(run: Path, column: str, name: str, kind: str) -> None:
    number, k = first(run)
    connection = sqlite3.connect(run / "run.sqlite")
    (blob,) = connection.execute(f"SELECT {column} FROM turns WHERE {WHERE}", (number, k)).fetchone()
    connection.close()
    values = np.frombuffer(blob, kind).copy()
    values[1] = np.nextafter(values[1], np.float32(9)) if kind == "<f4" else values[1] + 1
    change(run, f"UPDATE turns SET {column} = ? WHERE {WHERE}", values.tobytes(), number, k)
    found = replay(run, 4, "grpo", **SETTINGS)
    assert f"step 4: problem {number}, sample {k}, turn 0: {name} differ from number 2 on: was {values[1]!s}," in found.difference


def test_missing_rows_metrics_and_weights(run: Path) -> None:
    change(run, "UPDATE metrics SET value = value * 1.0000001 WHERE step = 4 AND name = 'gradient_norm'")
    found = replay(run, 4, "grpo", **SETTINGS)
    assert "step 4: metric gradient_norm: value was" in found.difference
    change(run, "DELETE FROM rollouts WHERE step = 4 AND k = 3")
    assert "was not there" in replay(run, 4, "grpo", **SETTINGS).difference
    path = run / "checkpoints" / "step-00000003" / "model.safetensors"
    tensors = load_file(str(path))
    name = sorted(tensors)[0]
    tensors[name] = torch.nextafter(tensors[name], torch.tensor(9.0))
    save_file(tensors, str(path))
    found = replay(run, 3, "grpo", **SETTINGS)
    assert (found.same, found.difference, found.weights) == (False, "", "differ")
    assert "the weights after it differ" in found.text


def test_other_arguments_and_steps_are_refused(run: Path) -> None:
    with pytest.raises(BadConfig, match="was started with seed 3, not 4; replay it with the same arguments"):
        replay(run, 4, "grpo", **SETTINGS | {"seed": 4})
    for step in (0, 5):
        with pytest.raises(InputError, match=f"has no step {step}: it has 1 to 4"):
            replay(run, step, "grpo", **SETTINGS)


def test_the_command_takes_the_arguments_from_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a run"
    words = [
        "train",
        "grpo",
        "--task",
        "addition",
        "--steps",
        "2",
        "--evaluate",
        "0",
        "--out",
        str(out),
        "--set",
        "problems=4",
        "--set",
        "samples=4",
    ]
    words += ["--workers", "1", "--no-doctor", "--quiet"]
    monkeypatch.setattr("sys.argv", ["thinkery", *words])
    assert main(words) == 0
    capsys.readouterr()
    assert main(["run", "replay", str(out)]) == 0
    told = capsys.readouterr()
    assert "agree to the bit, and so do the weights after it" in told.out + told.err
    assert main(["run", "replay", str(out), "--step", "1", "--json"]) == 0
    last = json.loads(capsys.readouterr().out.strip().split("\n")[-1])
    assert (last["event"], last["step"], last["same"], last["difference"]) == ("result", 1, True, "")
    change(out, "UPDATE rollouts SET reply = 'x' WHERE step = 2")
    assert main(["run", "replay", str(out), "--quiet"]) == 1
    assert "the first difference is step 2: problem" in "".join(capsys.readouterr())
    about = json.loads((out / "run.json").read_text())
    for command, said in (("", "was started from Python"), ("thinkery compare grpo rloo", "was started by thinkery compare")):
        (out / "run.json").write_text(json.dumps(about | {"command": command}))
        assert main(["run", "replay", str(out)]) == 2
        assert said in "".join(capsys.readouterr()).replace("\n", " ")


@pytest.mark.parametrize("method", ["sft", "raft", "ppo", "dpo"])
def test_other_losses_heads_and_pairs_come_out_again(method: str, tmp_path: Path) -> None:
    config = {"problems": 4, "max_tokens": 32} | ({} if method == "sft" else {"samples": 4})
    given = SETTINGS | {"config": config, "steps": 3}
    train(method, out=tmp_path / "run", evaluate=0, checkpoint_every_s=0.0, doctor_stops=False, **given)
    found = replay(tmp_path / "run", 3, method, **given)
    assert (found.same, found.weights) == (True, "equal"), found.text
