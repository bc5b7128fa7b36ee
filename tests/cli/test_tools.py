"""`--tools` and `--mcp` reach a solver from the command line, and what cannot be had is refused before anything is loaded."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from thinkery import solvers
from thinkery.cli.main import main
from thinkery.core.records import Question, Reply
from thinkery.engines.session import Session
from thinkery.tools.tool import Toolbox

SERVER = f"{sys.executable} {Path(__file__).parents[1] / 'tools' / 'mcp_server.py'}"


async def calling(model: Session, question: Question, tools: Toolbox) -> Reply:
    """Asks the model a token, and hands in what the calculator says to the question."""
    await model.ask(question, 1)
    return Reply("#" + (await tools.call("calculate", {"expression": question.prompt.rstrip("=")})).text)


@pytest.fixture(autouse=True)
def solver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(solvers.SOLVERS, "calling", calling)
    monkeypatch.chdir(tmp_path)


def test_an_evaluation_lends_tools(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "--task", "addition", "--n", "5", "--solver", "calling", "--tools", "calculate", "--json"]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["accuracy"], last["task"]) == (1.0, "addition with calculate")


def test_a_question_is_asked_with_a_servers_tools(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mcp")
    assert main(["ask", "34+58=", "--solver", "calling", "--mcp", SERVER]) == 0
    assert capsys.readouterr().out == "#92\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tools", "pyhton"], "unknown tool 'pyhton'. Did you mean python?"),
        (["--tools", "sql:none.sqlite"], "no such database"),
        (["--tools", "calculate", "--tools", "calculate"], "two tools are called 'calculate'"),
        (["--mcp", "/nonexistent"], "is no MCP server that starts"),
    ],
)
def test_what_cannot_be_had_is_refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mcp")
    for command in (["eval", "--task", "addition"], ["train", "grpo", "--task", "addition"], ["ask", "3+4="]):
        assert main([*command, *words]) == 2
        assert said in " ".join(capsys.readouterr().err.split())
