"""What a model writes is shown to people and must not act on their terminal; escapes, markup and text that runs backwards would."""

from __future__ import annotations

import json
import re

import pytest

from thinkery.cli.live import BARS, WIDTH, View, sparkline
from thinkery.lab.events import Event

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b1A[red]x[/red][link=http://evil]\u202egnp\u2066\x00\r\x08end"
SAMPLE = {"rendered": HOSTILE, "prompt": HOSTILE, "reply": HOSTILE, "parsed": HOSTILE, "score": 0.0, "reason": HOSTILE}
EVENTS = (
    Event("stage", {"name": "rl", "index": 0, "of": 1, "steps": 2}),
    Event("preview", {"samples": [SAMPLE, {**SAMPLE, "score": None, "parsed": None}]}),
    Event(
        "step", {"stage": "rl", "step": 1, "steps": 2, "reward": 0.25, "accuracy": 0.25, "length": 9.0, "mixed": 0.5, "tokens_per_s": 1e4}
    ),
    Event("step", {"stage": "rl", "step": 2, "steps": 2, "reward": 0.5, "accuracy": 0.5, "length": 9.0, "mixed": 0.5, "seconds_left": 0.0}),
    Event("evaluation", {"label": "after", "accuracy": 0.5, "low": 0.2, "high": 0.8, "n": 10}),
    Event("warning", {"text": HOSTILE}),
    Event("note", {"text": HOSTILE}),
    Event("checkpoint", {"path": "run/checkpoints/step-2", "step": 2}),
    Event("saved", {"path": "run/model", "what": "model"}),
    Event("done", {"folder": "run", "steps": 2, "tokens": 1234, "seconds": 3.0}),
    Event("of a later version", {}),
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


def test_quiet_keeps_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = shown("quiet", capsys).splitlines()
    assert line.startswith("warning: ")


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
