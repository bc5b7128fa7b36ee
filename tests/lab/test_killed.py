"""A run killed at twenty random moments, or right before any of its file operations, goes on to the same bytes; what it left half written is
never read. Worker processes do not outlive it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from thinkery.core.errors import BadModel
from thinkery.lab import api
from thinkery.lab.events import Event
from thinkery.lab.schema import TABLES
from thinkery.lab.store import query
from thinkery.learning.checkpoint import existing
from thinkery.models.decoder import DecoderConfig
from thinkery.models.model import new_model
from thinkery.models.tokenizer import character_tokenizer

SMALL = DecoderConfig(vocabulary=64, width=32, layers=2, heads=2, kv_heads=1, head_width=16, feed_forward=64, context=160)
CONFIG = {"steps": 6, "problems": 4, "samples": 4, "max_tokens": 24}
DETERMINED = {"steps": "step, stage"} | {t: "*" for t in TABLES if t not in ("steps", "events")}
MOMENTS = int(os.environ.get("THINKERY_KILLS", "20"))
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "sqlite3.connect")
RUNS: dict[str, dict[str, Any]] = {
    "rewards": {"method": "grpo", "solver": "calculate"},  # a tool loop
    "workers": {"method": "grpo", "workers": 2},
    "curriculum": {"method": "traac", "task": "addition"},  # a reward with a memory
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model, warmed up until some replies are right."""
    folder = tmp_path_factory.mktemp("base")
    new_model(SMALL, character_tokenizer(), "small").save(folder / "random")
    config = {"steps": 40, "problems": 16}
    api.train("sft", task="chain", model=folder / "random", out=folder / "warm", config=config, evaluate=0, workers=1)
    return folder / "warm" / "model"


def train(base: Path, out: Path, method: str = "grpo", **changes: Any) -> None:
    """Go on with a run, or begin it; a checkpoint after every step."""
    settings: dict[str, Any] = {"task": "chain", "model": base, "config": CONFIG, "evaluate": 6, "workers": 1}
    api.train(method, out=out, resume=True, checkpoint_every_s=0.0, **(settings | {"listen": lambda e: None} | changes))


def forked(work: Callable[[], Any]) -> int:
    """The process id of a child in a group of its own that does the work: a new interpreter would take seconds to import."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.setpgrp()
        work()
        status = 0
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(status)


def ended(pid: int) -> int:
    """How a child ended, its whole group gone: negative for a signal."""
    _, status = os.waitpid(pid, 0)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            os.killpg(pid, 0)
        except ProcessLookupError:
            return os.waitstatus_to_exitcode(status)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-pid, os.WNOHANG)
        time.sleep(0.01)
    os.killpg(pid, signal.SIGKILL)
    raise AssertionError("worker processes outlived the run")


def outcome(folder: Path) -> dict[str, Any]:
    """What must not depend on interruptions: weights, the last checkpoint whole, and the record but for what the clock says."""
    (last,) = existing(folder / "checkpoints")[-1:]
    found: dict[str, Any] = {f"{p.parent.name}/{p.name}": p.read_bytes() for p in [*last.iterdir(), folder / "model" / "model.safetensors"]}
    for table, columns in DETERMINED.items():
        found[table] = query(folder, f"SELECT {columns} FROM {table} ORDER BY 1, 2")[1]
    about = json.loads((folder / "run.json").read_text())
    found["evaluations"] = {k: {n: x for n, x in e.items() if n != "seconds"} for k, e in about["evaluations"].items()}
    found["status"] = about["status"]
    return found


def same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert found.keys() == wanted.keys()
    assert [k for k in found if found[k] != wanted[k]] == []


@pytest.mark.parametrize("kind", sorted(RUNS))
def test_killed_at_random_moments(kind: str, base: Path, tmp_path: Path) -> None:
    go = lambda out: train(base, out, **RUNS[kind])
    began = time.monotonic()
    assert ended(forked(lambda: go(tmp_path / "straight"))) == 0
    length, wanted = time.monotonic() - began, outcome(tmp_path / "straight")
    assert wanted["status"] == "done"
    assert wanted["rollouts"]
    dice, out, kills = random.Random(kind), tmp_path / "run", 0
    for moment in range(MOMENTS // len(RUNS) + 1):
        pid = forked(lambda: go(out))
        time.sleep(dice.random() * length / (1 + moment % 3))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        kills += ended(pid) == -signal.SIGKILL
        if out.is_dir() and (out / "model").is_dir():
            shutil.rmtree(out)  # it was through: begin again, to be killed once more
    assert kills, "some were killed before the end"
    assert ended(forked(lambda: go(out))) == 0
    same(outcome(out), wanted)


def counted(folder: Path, until: float = float("inf")) -> list[str]:
    """Notes the operations of this process that change files in the folder; before number `until` the process is killed."""
    seen: list[str] = []

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            if not (isinstance(args[2], int) and args[2] & WRITES):
                return
        elif event not in CHANGES:
            return
        if str(folder) in str(args[0]):
            seen.append(f"{event} {os.path.basename(str(args[0]))}")
            if len(seen) > until:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return seen


def test_killed_before_each_of_its_file_operations(base: Path, tmp_path: Path) -> None:
    go = lambda out: train(base, out, config=CONFIG | {"steps": 2}, evaluate=2)

    def straight() -> None:
        seen = counted(tmp_path / "straight")
        go(tmp_path / "straight")
        (tmp_path / "seen.json").write_text(json.dumps(seen))

    assert ended(forked(straight)) == 0
    seen, wanted = json.loads((tmp_path / "seen.json").read_text()), outcome(tmp_path / "straight")
    assert {"open state.json", "os.rename .step-00000001.tmp", "open model.safetensors"} & set(seen)
    assert any("run.json" in x for x in seen)
    places = range(len(seen)) if MOMENTS > 20 else random.Random(0).sample(range(len(seen)), 16)
    for place in places:
        out = tmp_path / f"run{place}"

        def killed(out: Path = out, place: int = place) -> None:
            counted(out, place)
            go(out)

        assert ended(forked(killed)) == -signal.SIGKILL, f"before {seen[place]}"
        assert ended(forked(lambda out=out: go(out))) == 0, f"killed before {seen[place]} it cannot go on"
        same(outcome(out), wanted)
        shutil.rmtree(out)


# ---- what was left half written


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json", "outputs.json"])
@pytest.mark.parametrize("harm", ["cut", "empty", "gone", "garbled"])
def test_of_a_broken_checkpoint_the_one_before_is_used(name: str, harm: str, base: Path, tmp_path: Path) -> None:
    def stop(event: Event) -> None:
        if event.kind == "step" and event.data["total"] == 3:
            os.kill(os.getpid(), signal.SIGINT)

    out, told = tmp_path / "run", list[Event]()
    with pytest.raises(KeyboardInterrupt):
        train(base, out, listen=stop, evaluate=0)
    file = existing(out / "checkpoints")[-1] / name
    whole = file.read_bytes()
    if harm == "gone":
        file.unlink()
    else:
        file.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "garbled": b"\x00" + whole[::-1]}[harm])
    (out / "checkpoints" / ".step-00000009.tmp").mkdir()
    train(base, out, listen=told.append, evaluate=0)
    train(base, tmp_path / "straight", evaluate=0)
    same(outcome(out), outcome(tmp_path / "straight"))
    said = " ".join(e.data["text"] for e in told if e.kind in ("warning", "note"))
    assert ("step-00000003" in said and "the one before" in said) or (name, harm) == ("state.json", "gone"), said
    assert "resumed from step 2 of 6" in said
    assert not list((out / "checkpoints").glob(".*"))


def test_where_no_checkpoint_can_be_read_nothing_is_begun_anew(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(base, out, evaluate=0, config=CONFIG | {"steps": 3})
    for folder in existing(out / "checkpoints"):
        (folder / "model.safetensors").write_bytes(b"")
    before = (out / "run.sqlite").read_bytes()
    with pytest.raises(BadModel, match="step-00000003 does not fit"):
        train(base, out, evaluate=0, config=CONFIG | {"steps": 3})
    assert (out / "run.sqlite").read_bytes() == before or query(out, "SELECT count(*) FROM steps")[1] == [(3,)]
