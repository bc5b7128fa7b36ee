"""A run killed or interrupted at any moment must end in the same bytes as one left alone; a checkpoint written too early, a metric
logged twice or a draw that depends on what ran before would show here."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from thinkery.core.errors import BadConfig, InputError, StorageError, UnknownName
from thinkery.lab import api
from thinkery.lab.events import Event
from thinkery.lab.schema import TABLES
from thinkery.lab.store import metrics_of, query
from thinkery.models.decoder import DecoderConfig
from thinkery.models.model import new_model
from thinkery.models.tokenizer import character_tokenizer

SMALL = DecoderConfig(vocabulary=64, width=32, layers=2, heads=2, kv_heads=1, head_width=16, feed_forward=64, context=128)
CONFIG = {"steps": 12, "problems": 4, "samples": 4, "max_tokens": 24}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model, so that most groups have no signal, warmed by a few supervised steps, so that some have."""
    folder = tmp_path_factory.mktemp("base")
    new_model(SMALL, character_tokenizer(), "small").save(folder / "random")
    config = {"steps": 40, "problems": 16}
    api.train("sft", task="chain", model=folder / "random", out=folder / "warm", config=config, evaluate=0, workers=1)
    return folder / "warm" / "model"


def train(base: Path, out: Path, **changes: object) -> api.RunResult:
    settings: dict[str, object] = {"task": "chain", "model": base, "config": CONFIG, "evaluate": 8, "workers": 1, "checkpoint_every_s": 0.0}
    return api.train("grpo", out=out, **{**settings, **changes})  # type: ignore[arg-type]


DETERMINED = {"steps": "step, stage"} | {t: "*" for t in TABLES if t not in ("steps", "events")}


def outcome(folder: Path) -> tuple[bytes, bytes]:
    """What must not depend on interruptions: the weights, and the record of what was learnt from, but for what the clock says."""
    rows = [query(folder, f"SELECT {columns} FROM {table} ORDER BY 1, 2")[1] for table, columns in DETERMINED.items()]
    return (folder / "model" / "model.safetensors").read_bytes(), repr(rows).encode()


@pytest.fixture(scope="module")
def straight(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    folder = tmp_path_factory.mktemp("straight") / "run"
    train(base, folder)
    weights, metrics = outcome(folder)
    assert len(metrics_of(folder)) == CONFIG["steps"]
    return weights, metrics


def test_workers_do_not_change_a_byte(base: Path, straight: tuple[bytes, bytes], tmp_path: Path) -> None:
    train(base, tmp_path / "run", workers=2)
    assert outcome(tmp_path / "run") == straight


def test_killed_at_random_moments_it_ends_in_the_same_bytes(base: Path, straight: tuple[bytes, bytes], tmp_path: Path) -> None:
    out = tmp_path / "run"
    script = (
        "import sys, json; from thinkery.lab.api import train\n"
        f"train('grpo', task='chain', model={str(base)!r}, config={CONFIG!r}, evaluate=8, workers=1, checkpoint_every_s=0.0,"
        f" out={str(out)!r}, resume=True, listen=lambda e: print(e.kind, flush=True))"
    )
    dice, kills = random.Random(0), 0
    for _ in range(40):
        child = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        assert child.stdout is not None
        for _ in range(dice.randrange(3, 12)):  # let it get that many events further
            if not child.stdout.readline():
                break
        if kills < 8:
            time.sleep(dice.random() * 0.02)
            child.kill()
        child.communicate(timeout=120)
        kills += child.returncode == -signal.SIGKILL
        if child.returncode == 0:
            break
    assert kills >= 3
    assert outcome(out) == straight


def test_ctrl_c_checkpoints_and_resume_goes_on(base: Path, straight: tuple[bytes, bytes], tmp_path: Path) -> None:
    def interrupt(event: Event) -> None:
        if event.kind == "step" and event.data["step"] == 5:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(base, tmp_path / "run", listen=interrupt, checkpoint_every_s=1e9)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"
    train(base, tmp_path / "run", resume=True)
    assert outcome(tmp_path / "run") == straight
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["status"] == "done"
    assert about["evaluations"]["before"]["n"] == about["evaluations"]["after"]["n"] == 8


def test_the_preview_shows_five_prompts_before_the_first_step(base: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    train(base, tmp_path / "run", listen=events.append)
    kinds = [e.kind for e in events]
    assert kinds.index("preview") < kinds.index("step")
    (preview,) = (e for e in events if e.kind == "preview")
    assert len(preview.data["samples"]) == 5
    for sample in preview.data["samples"]:
        assert sample["rendered"].endswith(sample["prompt"])
        assert sample["score"] is not None


def test_bad_input_is_named_and_nothing_is_written(base: Path, tmp_path: Path) -> None:
    for error, changes in (
        (UnknownName, {"task": "aditions"}),
        (UnknownName, {"model": tmp_path / "nowhere"}),
        (BadConfig, {"config": {"stepz": 3}}),
        (BadConfig, {"config": {"steps": "many"}}),
        (BadConfig, {"size": "huge"}),
        (BadConfig, {"workers": 0}),
    ):
        with pytest.raises(error):
            train(base, tmp_path / "bad", **changes)
        assert not (tmp_path / "bad" / "model").exists()
    with pytest.raises(UnknownName, match="grpo"):
        api.train("grpoo", task="chain", model=base, out=tmp_path / "bad2")
    assert not (tmp_path / "bad2").exists()


def test_a_run_is_never_overwritten_nor_resumed_as_another(base: Path, tmp_path: Path) -> None:
    train(base, tmp_path / "run")
    with pytest.raises(BadConfig, match="--resume"):
        train(base, tmp_path / "run")
    with pytest.raises(InputError, match="seed"):
        train(base, tmp_path / "run", resume=True, seed=1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_folder_that_cannot_be_written_is_one_clear_message(base: Path) -> None:
    with pytest.raises(StorageError, match="cannot write"):
        train(base, Path("/proc/nothing/run"))


def test_combined_methods_add_or_clash(base: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="both change 'advantage'"):
        api.train("grpo+rloo", task="chain", model=base, out=tmp_path / "run")
    with pytest.raises(InputError, match="cannot be combined"):
        api.train("grpo+sft", task="chain", model=base, out=tmp_path / "run")
