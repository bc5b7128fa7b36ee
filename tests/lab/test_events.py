"""Programs read what commands tell with --json; a field that is missing, of another type or told nowhere breaks them in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.lab.test_evidence import METHOD
from tests.support import model_of

from thinkery.cli.main import main
from thinkery.lab import trial
from thinkery.lab.events import KINDS, OPEN, events_page, running

TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str, "number": (int, float), "integer": int, "boolean": bool, "array": list, "object": dict, "null": type(None),
}  # fmt: skip
OF_ONE = {"arm", "seed"}  # of what one run of many tells


def faults(event: dict[str, Any]) -> list[str]:
    """How an event is not what the page says."""
    kind = event["event"]
    fields = KINDS[kind][1]
    missing = [f"{kind} lacks {name}" for name, (type_, _) in fields.items() if not type_.endswith("?") and name not in event]
    more = [] if kind in OPEN else [f"{kind} has {name}" for name in event.keys() - fields.keys() - OF_ONE - {"event"}]
    other = [
        f"{kind}.{name} is {event[name]!r}, no {type_}"
        for name, (type_, _) in fields.items()
        if name in event and not any(isinstance(event[name], TYPES[t]) for t in type_.rstrip("?").split(" or "))
    ]
    return [*missing, *more, *other]


def test_every_event_is_as_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    model_of().save(tmp_path / "m")
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "wordy.py").write_text(METHOD.replace("START", repr(str(tmp_path / "m"))))
    monkeypatch.setenv("THINKERY_METHODS", str(tmp_path / "methods"))
    monkeypatch.setenv(trial.VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr("thinkery.lab.evaluation.TELL_S", 0.0)
    monkeypatch.setattr("thinkery.lab.run.SHOW_S", 0.0)
    on = ["--task", "addition", "--model", str(tmp_path / "m")]
    small = ["--set", "problems=2", "--set", "samples=2", "--set", "max_tokens=4", "--steps", "2", "--workers", "1"]
    met: dict[str, set[str]] = {}
    for words in (
        ["train", "grpo", *on, *small, "--evaluate", "4", "--out", str(tmp_path / "r")],
        ["eval", *on, "--n", "4"],
        ["compare", "grpo", "raft", *on, *small, "--seeds", "2", "--n", "4", "--out", str(tmp_path / "c")],
        ["check", "wordy", "--pilot", "--seeds", "1"],
    ):
        assert main([*words, "--json"]) == 0
        told = [json.loads(line, parse_constant=pytest.fail) for line in capsys.readouterr().out.splitlines()]
        assert [f for event in told for f in faults(event)] == []
        assert (told[0]["event"], told[0]["what"]) == ("begin", words[0])
        met[words[0]] = {event["event"] for event in told}
    assert {"step", "sample", "stage", "progress", "preview", "finding", "checkpoint", "done"} <= met["train"]
    assert {"progress", "sample", "evaluation", "result"} <= met["eval"]
    assert {"arms", "arm", "trial", "step", "standings", "result"} <= met["compare"]
    assert {"arms", "arm", "trial", "step", "sample", "verdict"} <= met["check"]
    assert set(KINDS) - set().union(*met.values()) == {"warning", "stopping", "interrupted"}


def test_faults_are_found() -> None:
    assert faults({"event": "saved", "path": "x", "what": "model"}) == []
    assert faults({"event": "saved", "path": 1, "more": 0}) == ["saved lacks what", "saved has more", "saved.path is 1, no string"]


def test_the_page_tells_every_kind_and_field() -> None:
    page = Path(__file__).parents[2] / "docs" / "events.md"
    assert page.read_text("utf-8") == events_page(), (
        "write it again: python -c 'from thinkery.lab.events import events_page; print(events_page(), end=\"\")'"
    )


def test_running_means_have_no_interval_with_one_seed() -> None:
    assert running([{"a": 0.5}]) == {"a": [0.5, None, None]}
    (mean, low, high), only = (running([{"a": 0.25, "b": 1.0}, {"a": 0.75}])[k] for k in "ab")
    assert (mean, only) == (0.5, [1.0, None, None])
    assert low is not None and high is not None and low < 0.5 < high
