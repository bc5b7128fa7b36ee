"""A request from outside reaches the start of the run that it was meant for, once; it must neither stop a later one nor be lost or cost a result."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from tests.support import Sums, model_of

from thinkery.core.errors import BadConfig, UnknownName
from thinkery.lab import control
from thinkery.lab.control import CHECKPOINT, LISTENS, REQUEST, STOP, Control, ask, listens, pending
from thinkery.lab.events import Event
from thinkery.lab.run import Run, drive
from thinkery.lab.store import query
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Recipe, Setting, Stage

STEPS = 6


def test_a_request_is_obeyed_once(tmp_path: Path) -> None:
    with Control(tmp_path).listening() as run:
        assert run.asked() == ""
        ask(tmp_path, CHECKPOINT)
        assert pending(tmp_path) == CHECKPOINT
        assert run.asked() == CHECKPOINT
        assert run.asked() == "" and pending(tmp_path) == ""
    assert list(tmp_path.iterdir()) == []


def test_a_stop_is_not_undone_by_asking_for_a_checkpoint(tmp_path: Path) -> None:
    with Control(tmp_path).listening() as run:
        ask(tmp_path, STOP)
        ask(tmp_path, CHECKPOINT)
        assert run.asked() == STOP


def test_nothing_is_left_behind_for_a_later_start(tmp_path: Path) -> None:
    with Control(tmp_path).listening():
        ask(tmp_path, STOP)
        kept = (tmp_path / REQUEST).read_text()
    (tmp_path / REQUEST).write_text(kept)  # as after a kill
    with Control(tmp_path).listening() as later:
        assert later.asked() == ""
        (tmp_path / REQUEST).write_text(kept)  # as from who asked too late
        assert pending(tmp_path) == ""
        assert later.asked() == "" and not (tmp_path / REQUEST).exists()


def test_another_run_does_not_obey(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with Control(tmp_path / "one").listening():
        ask(tmp_path / "one", STOP)
        shutil.copytree(tmp_path / "one", tmp_path / "copy")
        assert listens(tmp_path / "one") and not listens(tmp_path / "copy")
        with pytest.raises(BadConfig, match="does not listen"):
            ask(tmp_path / "copy", STOP)


def test_who_does_not_listen_cannot_be_asked(tmp_path: Path) -> None:
    for text in (None, "", "{", "[]", json.dumps({"start": "x", "folder": str(tmp_path.resolve())})):
        if text is not None:
            (tmp_path / LISTENS).write_text(text)
        with pytest.raises(BadConfig, match="does not listen"):
            ask(tmp_path, STOP)
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    (tmp_path / LISTENS).write_text(json.dumps({"start": f"{child}-1", "folder": str(tmp_path.resolve())}))
    assert not listens(tmp_path)  # it was killed
    with pytest.raises(UnknownName, match="request"):
        ask(tmp_path, "delete")


def test_a_broken_request_is_dropped(tmp_path: Path) -> None:
    with Control(tmp_path).listening() as run:
        for text in ("", "{", "[1]", '{"ask": "stop"}', json.dumps({"ask": "delete", "start": run.start})):
            (tmp_path / REQUEST).write_text(text)
            assert run.asked() == "" and not (tmp_path / REQUEST).exists()


def test_no_request_costs_no_more_than_a_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Control(tmp_path).listening() as run:
        monkeypatch.setattr(control, "_read", lambda path: pytest.fail("nothing was asked"))
        assert run.asked() == ""
        monkeypatch.undo()


def trained(folder: Path, asked: dict[int, str], resume: bool = False) -> tuple[list[str], int]:
    """A run of STEPS steps that is asked something during some of them: the kinds of what it told, and the steps done."""
    learning = Learning(Recipe((Stage(steps=STEPS, problems=2, samples=2),)), Setting(Sums()), model_of())
    run, told = Run(folder, {"method": "m"}, resume), list[str]()

    def listen(event: Event) -> None:
        told.append(event.kind)
        if event.kind == "step" and learning.state.total in asked:
            ask(folder, asked[learning.state.total])

    try:
        drive(learning, run, listen, 1e9, lambda stage, metrics: None)
    except KeyboardInterrupt:
        told.append("KeyboardInterrupt")
    finally:
        run.close()
    return told, learning.state.total


def test_a_run_checkpoints_and_stops_when_asked_and_ends_as_if_left_alone(tmp_path: Path) -> None:
    told, steps = trained(tmp_path / "asked", {2: CHECKPOINT, 4: STOP})
    assert steps == 4 and told.count("stopping") == 1 and told[-1] == "KeyboardInterrupt"
    assert told.count("checkpoint") == 2 and not (tmp_path / "asked" / LISTENS).exists()
    assert sorted(p.name for p in (tmp_path / "asked" / "checkpoints").iterdir()) == ["step-00000002", "step-00000004"]
    told, steps = trained(tmp_path / "asked", {}, resume=True)
    assert steps == STEPS and "stopping" not in told
    trained(tmp_path / "alone", {})
    rows = [query(tmp_path / name, "SELECT step, k, reply, score FROM rollouts ORDER BY id")[1] for name in ("asked", "alone")]
    assert rows[0] == rows[1] and len(rows[0]) == STEPS * 4
