"""What a model writes is shown to people and must not act on their terminal; escapes, markup and text that runs backwards would."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from thinkery.cli.live import View
from thinkery.cli.screen import BARS, STOPPING, WIDTH, Curve, Screen, sparkline
from thinkery.lab.events import Event, begin

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b1A[red]x[/red][link=http://evil]\u202egnp\u2066\x00\r\x08end"
SAMPLE = {"rendered": HOSTILE, "prompt": HOSTILE, "reply": HOSTILE, "parsed": HOSTILE, "score": 0.0, "reason": HOSTILE}
METRICS = {"accuracy": 0.5, "tokens": 30.0}
MEANS = {"accuracy": [0.5, 0.25, 0.75], "tokens": [30.0, None, None]}
RACE = (
    begin("compare", HOSTILE),
    Event("arms", {"arms": [HOSTILE, "grpo"], "seeds": 3, "metrics": ["accuracy", "tokens"]}),
    Event("trial", {"arm": HOSTILE, "seed": 1, "of": 3, "metrics": METRICS, "means": MEANS, "kept": False}),
    Event("arm", {"arm": "grpo", "seed": 1, "of": 3, "share": 0.25}),
)
EVENTS = (
    Event("stage", {"name": "rl", "index": 0, "of": 1, "steps": 2}),
    Event("preview", {"samples": [SAMPLE, {**SAMPLE, "score": None, "parsed": None}]}),
    Event(
        "step", {"stage": "rl", "step": 1, "steps": 2, "reward": 0.25, "accuracy": 0.25, "length": 9.0, "mixed": 0.5, "tokens_per_s": 1e4}
    ),
    Event("step", {"stage": "rl", "step": 2, "steps": 2, "reward": 0.5, "accuracy": 0.5, "length": 9.0, "mixed": 0.5, "seconds_left": 0.0}),
    Event("evaluation", {"label": "after", "accuracy": 0.5, "low": 0.2, "high": 0.8, "n": 10}),
    Event("warning", {"text": HOSTILE}),
    Event("sample", SAMPLE),
    Event("finding", {"check": "gold", "level": "fine", "seen": HOSTILE, "advice": HOSTILE}),
    Event("finding", {"check": "prompt", "level": "warning", "seen": HOSTILE, "advice": HOSTILE}),
    Event("progress", {"label": "after", "done": 5, "of": 10, "accuracy": 0.5, "low": 0.2, "high": 0.8, "seconds_left": 2.0}),
    Event("note", {"text": HOSTILE}),
    Event("checkpoint", {"path": "run/checkpoints/step-2", "step": 2}),
    Event("saved", {"path": "run/model", "what": "model"}),
    Event("done", {"folder": "run", "steps": 2, "tokens": 1234, "seconds": 3.0}),
    Event("interrupted", {"text": "stopped", "again": "thinkery train grpo --resume"}),
    Event("of a later version", {}),
    *RACE,
)


def shown(mode: str, capsys: pytest.CaptureFixture[str]) -> str:
    with View(mode) as view:
        for event in EVENTS:
            view(event)
    return capsys.readouterr().out


def test_plain_lines_hold_no_escapes_and_show_markup_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown("auto", capsys)
    assert not set(out) & set("\x1b\x9b\x07\x00\x08\u202e\u2066")
    assert "[red]x[/red]" in out
    assert "warning: [red]x[/red]" in out
    for said in (
        "stage rl (1 of 1): 2 steps",
        "rl 2/2 · reward 0.500",
        "accuracy 50.0 % (95 % interval 20.0 to 80.0, n=10)",
        "1,234 tokens",
    ):
        assert said in out


def test_a_terminal_gets_our_escapes_alone(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "160")
    out = shown("auto", capsys)
    assert "\x1b[" in out  # it was live
    assert "owned" not in out
    assert "\x1b[2J" not in out
    assert not set(out) & set("\x9b\x07\x00\x08\u202e\u2066")
    assert "\x1b]8" not in out  # no link came of the markup
    assert "[red]x[/red]" in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out)
    assert any(bar in out for bar in BARS)


def test_json_keeps_what_was_written_and_is_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown("json", capsys)
    assert out.replace("\n", "").isprintable()
    assert out.isascii()
    events = [json.loads(line) for line in out.splitlines()]
    assert [e["event"] for e in events] == [e.kind for e in EVENTS]
    assert events[1]["samples"][0]["reply"] == HOSTILE


def test_quiet_keeps_warnings_and_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown("quiet", capsys).splitlines()
    assert [line[:9] for line in lines] == ["warning: ", "doctor: p", "  [red]x[", "stopped", "go on wit"]


def drawn(events: Sequence[Event], width: int, **how: Any) -> list[str]:
    """The screen's lines after some events."""
    screen, console = Screen(), Console(width=width, file=io.StringIO(), force_terminal=True, color_system="standard", **how)
    for event in events:
        screen.hear(event)
    with console.capture() as captured:
        console.print(screen)
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [30, 60, 100, 200])
def test_every_line_fits_whatever_was_told(width: int) -> None:
    for n in range(len(EVENTS) + 1):
        for line in drawn(EVENTS[:n], width):
            bare = re.sub(r"\x1b\[[0-9;]*m", "", line)
            assert bare.isprintable() and cell_len(bare) <= width
    text = "\n".join(drawn(EVENTS[:5], max(width, 60), no_color=True))
    for said in ("step 2 of 2", "reward", "0.500", "signal", "50% of the groups", "Ctrl-C"):
        assert said in text, said
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", text), "no colour"


def test_a_narrow_race_shows_what_matters_most() -> None:
    narrow, wide = ("\n".join(drawn(RACE, width)) for width in (60, 120))
    for text in (narrow, wide):
        for said in ("1 of 6 runs", "1/3", "0.500 (0.250 to 0.750)", "now: grpo 25 %"):
            assert said in text, said
    assert "tokens" in wide and "tokens" not in narrow


def test_one_run_of_several_is_followed_to_its_end() -> None:
    step = lambda arm, n: Event("step", {"stage": "rl", "step": n, "steps": 9, "reward": 0.5, "arm": arm, "seed": 1})
    shown = lambda *more: "\n".join(drawn([*RACE, step("grpo", 3), step("other", 4), *more], 100))
    assert "grpo, seed 1: stage rl · step 3 of 9" in shown()
    assert "step 4" not in shown()
    done = Event("trial", {"arm": "grpo", "seed": 1, "of": 3, "metrics": METRICS, "means": MEANS, "kept": False})
    assert "other, seed 1: stage rl · step 5 of 9" in shown(done, step("other", 5))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=700))
def test_a_curve_keeps_its_mean_in_little_room(values: list[float]) -> None:
    curve = Curve()
    for value in values:
        curve.add(value)
    assert len(curve.means) < 2 * WIDTH
    met = len(values) - len(curve.open)
    assert sum(curve.means) * curve.size == pytest.approx(sum(values[:met]), abs=1e-6)


def test_plain_lines_come_two_seconds_apart(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("thinkery.cli.live.time.monotonic", lambda: now[0])
    with View("auto") as view:
        for n in range(1, 101):
            now[0] += 0.1
            view(Event("step", {"stage": "rl", "step": n, "steps": 1000}))
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_a_signal_in_the_middle_of_a_line_breaks_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with View("json") as view:
        view(Event("note", {"text": "a"}))
        view(Event("stopping"))  # by a handler: nothing may be written to standard output here
        assert capfd.readouterr() == ('{"event": "note", "text": "a"}\n', f"{STOPPING}\n")
        view(Event("note", {"text": "b"}))
    assert [json.loads(line)["event"] for line in capfd.readouterr().out.splitlines()] == ["stopping", "note"]


def test_a_sparkline_follows_its_values_and_keeps_its_width() -> None:
    assert sparkline([]) == ""
    assert sparkline([0.0, 0.5, 1.0]) == "▁▅█"
    assert sparkline([-1.0, 1.0]) == "▁█"
    for n in (1, WIDTH, WIDTH + 1, 1000):
        line = sparkline([i / n for i in range(n)])
        assert 0 < len(line) <= WIDTH
        assert list(line) == sorted(line)


def test_a_number_that_json_lacks_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    with View("json") as view:
        view(Event("step", {"gradient_norm": float("nan"), "reward": 0.5, "step": 1}))
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "event": "step",
        "gradient_norm": None,
        "reward": 0.5,
        "step": 1,
    }
