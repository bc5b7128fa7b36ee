"""A service that is told of a run must get its figures at their steps and go on with the same run after a resume; and whatever a service
does (raise, hang, be missing), the run must come out the same, with one warning that names it."""

from __future__ import annotations

import json
import sqlite3
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from struct import unpack
from typing import Any

import pytest

from thinkery.cli.main import main
from thinkery.core.errors import InputError, MissingExtra, UnknownName
from thinkery.lab import sinks
from thinkery.lab.events import Event
from thinkery.lab.report import read_run
from thinkery.lab.sinks import SERVICES, Opening, wanted
from thinkery.lab.store import metrics_of
from thinkery.lab.training import train

SETTINGS: dict[str, Any] = {"task": "addition", "steps": 4, "evaluate": 4, "workers": 1, "config": {"problems": "2", "samples": "4"}}


class Double:
    """A service that keeps what it gets, and fails where it is told to."""

    def __init__(self, it: Opening, fails: str = "") -> None:
        self.it, self.fails = it, fails
        self.got: list[tuple[int, dict[str, float]]] = []
        self.closed: list[str] = []
        if fails == "open":
            raise OSError("no way\x1b[31m there")

    def log(self, figures: Mapping[str, float], step: int) -> None:
        if self.fails == "log" and step == 2:
            raise RuntimeError("the service is gone")
        if self.fails == "hang" and step == 2:
            threading.Event().wait(20)
        self.got.append((step, dict(figures)))

    def close(self, status: str) -> None:
        if self.fails == "close":
            raise KeyError("close")
        self.closed.append(status)


@pytest.fixture
def doubles(monkeypatch: pytest.MonkeyPatch) -> list[Double]:
    """Services named as the ways in which they fail, and one, `fine`, that does not; all that were opened."""
    made: list[Double] = []

    def opens(fails: str) -> Any:
        def open_(it: Opening) -> Double:
            made.append(Double(it, fails))
            return made[-1]

        return open_

    for fails in ("", "open", "log", "hang", "close"):
        monkeypatch.setitem(SERVICES, fails or "fine", ("json", "json", opens(fails)))
    return made


def interrupt(step: int) -> Any:
    """A listener that stops a run as Ctrl-C twice would, after a checkpoint of this step."""

    def listen(event: Event) -> None:
        if event.kind == "checkpoint" and event.data["step"] >= step:
            raise KeyboardInterrupt

    return listen


# ---- what is told


def test_a_service_gets_the_steps_the_accuracies_and_the_configuration(doubles: list[Double], tmp_path: Path) -> None:
    result = train("reinforce", out=tmp_path / "run", track="fine:mine", **SETTINGS)
    (it,) = doubles
    assert it.it.project == "mine" and it.it.config["method"] == "reinforce" and it.it.config["folder"] == str(tmp_path / "run")
    assert it.it.config["config.problems"] == "2" and it.closed == ["done"]
    steps = [(step, figures) for step, figures in it.got if "reward" in figures]
    recorded = metrics_of(result.folder)
    assert [step for step, _ in steps] == [1, 2, 3, 4] == [m["step"] for m in recorded]
    assert [f["reward"] for _, f in steps] == [m["reward"] for m in recorded] and not set(steps[0][1]) & {"total", "seconds_left", "stage"}
    assert it.got[0] == (0, {f"evaluation/before/{k}": getattr(result.before, k) for k in ("accuracy", "low", "high")})
    assert it.got[-1] == (4, {f"evaluation/after/{k}": getattr(result.after, k) for k in ("accuracy", "low", "high")})


def test_a_resumed_run_goes_on_in_the_same_run(doubles: list[Double], tmp_path: Path) -> None:
    again = {"out": tmp_path / "run", "track": ["fine"], "checkpoint_every_s": 0.0, **SETTINGS}
    with pytest.raises(KeyboardInterrupt):
        train("reinforce", listen=interrupt(2), **again)
    train("reinforce", resume=True, **again)
    first, second = doubles
    assert (first.closed, second.closed) == (["interrupted"], ["done"])
    assert (first.it.id, first.it.name) == (second.it.id, second.it.name) and second.it.resumed and not first.it.resumed
    assert [step for step, f in first.got if "reward" in f] == [1, 2] and [step for step, f in second.got if "reward" in f] == [3, 4]
    other = sinks.Opening("other", type("R", (), {"folder": tmp_path, "resumed": True, "about": {"config": {}}})(), {})  # type: ignore[arg-type]
    assert other.id != first.it.id


# ---- what fails


@pytest.mark.parametrize(
    ("fails", "said"),
    [("open", "OSError: no way there"), ("log", "RuntimeError: the service is gone"), ("hang", "no answer within"), ("close", "KeyError")],
)
def test_a_service_that_fails_is_one_warning_and_the_run_is_the_same(
    fails: str, said: str, doubles: list[Double], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "CLOSE_S", 0.5)
    told: list[Event] = []
    result = train("reinforce", out=tmp_path / "run", track=[fails, "fine"], listen=told.append, **SETTINGS)
    warnings = [e.data["text"] for e in told if e.kind == "warning"]
    assert len(warnings) == 1 and warnings[0].startswith(f"{fails} is off, and the run goes on: ") and said in warnings[0]
    assert read_run(result.folder)["status"] == "done"
    fine = next(d for d in doubles if not d.fails)
    assert [step for step, f in fine.got if "reward" in f] == [1, 2, 3, 4]  # the other one gets it all
    alone = train("reinforce", out=tmp_path / "alone", **SETTINGS)
    assert metrics_of(alone.folder) == metrics_of(result.folder)
    assert told[0].kind == "begin"


def test_what_cannot_be_tracked_with_is_said_before_anything_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownName, match=r"'wandbb'.*Did you mean wandb"):
        train("reinforce", out=tmp_path / "run", track=["wandbb:x"], **SETTINGS)
    for words in (["wandb:"], ["tensorboard", "tensorboard:b"]):
        monkeypatch.setitem(SERVICES, "wandb", ("json", "json", SERVICES["wandb"][2]))
        monkeypatch.setitem(SERVICES, "tensorboard", ("json", "json", SERVICES["tensorboard"][2]))
        with pytest.raises(InputError, match="name each service once"):
            wanted(words)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingExtra, match=r"pip install 'thinkery\[track\]'"):
        train("reinforce", out=tmp_path / "run", track=["mlflow"], **SETTINGS)
    assert main(["train", "reinforce", "--task", "addition", "--out", str(tmp_path / "run"), "--track", "nothing"]) == 2
    assert not (tmp_path / "run").exists()


# ---- the services themselves


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A run told to all services that are installed, stopped after two steps and resumed; what it recorded, and where they keep theirs."""
    folder = tmp_path_factory.mktemp("services")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", (folder / "mlflow").as_uri())
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_DIR", str(folder))
        patch.setenv("TRACKIO_DIR", str(folder / "trackio"))
        there = [name for name in ("trackio", "wandb", "tensorboard", "mlflow") if _installed(name)]  # trackio looks at its folder once
        again = {"out": folder / "run", "track": there, "checkpoint_every_s": 0.0, **SETTINGS}
        said: list[Event] = []
        with pytest.raises(KeyboardInterrupt):
            train("reinforce", listen=lambda e: (said.append(e), interrupt(2)(e)), **again)  # type: ignore[func-returns-value]
        result = train("reinforce", resume=True, listen=said.append, **again)
        assert not [e.data["text"] for e in said if e.kind == "warning"]
        rewards = {m["step"]: m["reward"] for m in metrics_of(result.folder)}
        kept = json.loads((folder / "run" / "track.json").read_text())
        yield {"folder": folder, "rewards": rewards, "kept": kept, "after": result.after, "there": there}


def _installed(name: str) -> bool:
    try:
        return bool(wanted(name))
    except MissingExtra:
        return False


def _here(told: dict[str, Any], name: str) -> Path:
    if name not in told["there"]:
        pytest.skip(f"{name} is not installed: pip install 'thinkery[track]'")
    return Path(told["folder"])


def test_tensorboard_holds_the_run(told: dict[str, Any]) -> None:
    folder = _here(told, "tensorboard")
    from tensorboardX.proto.event_pb2 import Event as Written

    found: dict[int, float] = {}
    after: list[float] = []
    for path in sorted((folder / "run" / "tensorboard").iterdir()):
        data = path.read_bytes()
        while data:  # records of TensorFlow: length, its checksum, the event, its checksum
            (size,) = unpack("<Q", data[:8])
            event = Written.FromString(data[12 : 12 + size])
            data = data[16 + size :]
            for value in event.summary.value:
                if value.tag == "reward":
                    found[event.step] = value.simple_value
                if value.tag == "evaluation/after/accuracy":
                    after.append(value.simple_value)
    assert found == pytest.approx(told["rewards"]) and after == pytest.approx([told["after"].accuracy])


def test_wandb_holds_the_run(told: dict[str, Any]) -> None:
    folder = _here(told, "wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    found: dict[int, float] = {}
    ids: set[str] = set()
    parts = sorted(folder.rglob("*.wandb"))
    for path in parts:
        for data in _leveldb(path.read_bytes()[7:]):
            record = Record.FromString(data)
            if record.HasField("run"):
                ids.add(record.run.run_id)
            items = {i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in record.history.item}
            if "reward" in items:
                found[int(items["_step"]) if "_step" in items else record.history.step.num] = items["reward"]
    assert len(parts) == 2 and ids == {told["kept"]["wandb"]["id"]}  # `wandb sync` joins the parts of one run
    assert found == pytest.approx(told["rewards"])


def _leveldb(data: bytes) -> Iterator[bytes]:
    """The records of a log of LevelDB, of one block."""
    while len(data) > 7:
        _, size, kind = unpack("<IHB", data[:7])
        assert kind == 1, "a record over several blocks"
        yield data[7 : 7 + size]
        data = data[7 + size :]


def test_mlflow_holds_the_run(told: dict[str, Any]) -> None:
    _here(told, "mlflow")
    from mlflow import MlflowClient

    client, run = MlflowClient(), told["kept"]["mlflow"]["run"]
    history = {m.step: m.value for m in client.get_metric_history(run, "reward")}
    assert history == pytest.approx(told["rewards"])
    found = client.get_run(run)
    assert found.info.status == "FINISHED" and found.data.params["method"] == "reinforce"
    assert found.data.metrics["evaluation.after.accuracy"] == pytest.approx(told["after"].accuracy)


def test_trackio_holds_the_run(told: dict[str, Any]) -> None:
    folder = _here(told, "trackio")
    (path,) = (folder / "trackio").glob("thinkery*.db")
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT run_id, run_name, step, metrics FROM metrics ORDER BY id").fetchall()
        (config,) = connection.execute("SELECT config FROM configs LIMIT 1").fetchone()
    connection.close()
    found = {step: json.loads(metrics)["reward"] for *_, step, metrics in rows if "reward" in json.loads(metrics)}
    assert found == pytest.approx(told["rewards"])
    assert len({row[:2] for row in rows}) == 1 and rows[0][1] == told["kept"]["trackio"]["name"]
    assert json.loads(config)["method"] == "reinforce"
