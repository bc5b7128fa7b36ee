"""`task play` is how a person learns what a task asks; what is typed or piped in must be judged as a model's reply is."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from thinkery.cli import task as commands
from thinkery.cli.main import main
from thinkery.tasks import load_task

Said = pytest.CaptureFixture[str]


def play(monkeypatch: pytest.MonkeyPatch, typed: str, *arguments: str, terminal: bool = False) -> int:
    """Plays with that input, piped or typed at a terminal; gives the status."""
    stdin = io.StringIO(typed)
    monkeypatch.setattr(stdin, "isatty", lambda: terminal)
    monkeypatch.setattr(commands.sys, "stdin", stdin)  # type: ignore[attr-defined]
    return main(["task", "play", *arguments])


def test_a_piped_answer_is_judged(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    problem = load_task("addition").problem(3, "train", 0)
    assert play(monkeypatch, f"#{problem.answer}\n", "addition", "--index", "3") == 0
    out = capsys.readouterr().out
    assert problem.question.prompt in out
    assert "score 1: right" in out
    assert "worked:" in out
    assert play(monkeypatch, f"#{int(problem.answer) + 1}\n", "addition", "--index", "3") == 0
    assert "score 0:" in capsys.readouterr().out


def test_nothing_typed_is_judged_too(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    assert play(monkeypatch, "", "countdown") == 0
    assert "score 0:" in capsys.readouterr().out


def test_at_a_terminal_an_empty_line_ends_the_answer(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    problem = load_task("addition").problem(0, "train", 0)
    assert play(monkeypatch, f"so it is\n#{problem.answer}\n\n#0\n", "addition", terminal=True) == 0
    out = capsys.readouterr().out
    assert "then an empty line" in out
    assert "score 1: right" in out


def test_a_file_of_ones_own_shows_its_answer(monkeypatch: pytest.MonkeyPatch, capsys: Said, tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps({"q": f"Capital {n}?", "a": f"Town {n}", "split": "train"}) + "\n" for n in range(4)), "utf-8")
    columns = ("--data", str(path), "--question", "q", "--answer", "a", "--verifier", "exact")
    assert play(monkeypatch, "nowhere\n", *columns) == 0
    out = capsys.readouterr().out
    assert "score 0: nowhere is not Town" in out
    assert "the answer: Town" in out


@pytest.mark.parametrize(("arguments", "said"), [(("nonsense",), "nonsense"), (("addition", "--split", "late"), "late")])
def test_wrong_use_is_told(monkeypatch: pytest.MonkeyPatch, capsys: Said, arguments: tuple[str, ...], said: str) -> None:
    assert play(monkeypatch, "", *arguments) == 2
    assert said in capsys.readouterr().err
