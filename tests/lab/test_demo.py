"""The demo is what a newcomer believes first: it must be a comparison like any other, and say nothing that was not seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from thinkery.lab import demo as demos
from thinkery.lab.compare import compare
from thinkery.lab.demo import METHODS, REMARK, DemoResult, demo
from thinkery.lab.events import Event
from thinkery.models.decoder import DecoderConfig
from thinkery.models.model import new_model
from thinkery.models.tokenizer import character_tokenizer

SMALL = DecoderConfig(vocabulary=64, width=32, layers=2, heads=2, kv_heads=1, head_width=16, feed_forward=64, context=128)
SETTINGS: dict[str, Any] = {"steps": 2, "config": {"problems": 4, "samples": 4}, "workers": 1}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[DemoResult, list[Event], Path]:
    """Two seeds of two steps on the shipped model."""
    out, events = tmp_path_factory.mktemp("demo") / "run", list[Event]()
    return demo(out, events.append, n=20, seeds=2, **SETTINGS), events, out


def test_it_is_a_comparison_like_any_other(ran: tuple[DemoResult, list[Event], Path], tmp_path: Path) -> None:
    result, _, out = ran
    found = compare(METHODS, task="addition", out=tmp_path / "same", n=20, seeds=2, **SETTINGS)
    assert (result.before, result.after, result.n) == (found.start.accuracy, max(arm.accuracy for arm in found.arms), 20)
    assert result.report == out / "compare.html"
    assert result.report.stat().st_size > 1000


def test_standings_come_after_every_seed(ran: tuple[DemoResult, list[Event], Path]) -> None:
    standings = [e.data for e in ran[1] if e.kind == "standings"]
    assert [d["seed"] for d in standings] == [1, 2]
    assert [[row[0] for row in d["rows"]] for d in standings] == [["start", *METHODS]] * 2
    assert [row[1] for row in standings[1]["rows"]] == ["2"] * 4


def test_the_same_folder_again_runs_nothing(ran: tuple[DemoResult, list[Event], Path]) -> None:
    events = list[Event]()
    assert demo(ran[2], events.append, n=20, seeds=2, **SETTINGS) == ran[0]
    assert not [e for e in events if e.kind == "step"]


def test_what_rewards_did_is_said_only_where_they_did_it(tmp_path: Path) -> None:
    """A random model learns nothing in two steps: no problem is shown as solved, and no remark explains a gain."""
    new_model(SMALL, character_tokenizer(), "small").save(tmp_path / "random")
    result = demo(tmp_path / "run", n=20, seeds=1, **SETTINGS, model=tmp_path / "random")
    assert result.story[0] == "no problem was solved that was not solved before"
    assert REMARK not in result.story
    assert result.story[-1].startswith("What was seen: ")


def test_three_problems_are_shown_before_and_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demos, "METHODS", ("raft", "grpo"))
    result = demo(tmp_path / "run", n=40, seeds=1, steps=25, config={"problems": 8, "samples": 16})
    assert result.after > result.before + 0.3
    assert [line.endswith(("wrong", "right")) for line in result.story[1:10]] == [False, True, True] * 3
    assert result.story[-1] == REMARK
