"""A program's output is the answer, its failure is told, and what no sandbox has is nobody's wrong answer."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from tests.solvers.test_thinking import Scripted
from tests.solvers.test_thinking import model_of as chatting
from thinkery.core.errors import InputError, SolverError
from thinkery.core.records import Question, Reply
from thinkery.solvers.program import block, program
from thinkery.tools.python import Result

ASKED = Question("3+4=", instruction="End with #.")


def written(*lines: tuple[str, str], **settings: Any) -> tuple[Reply, Scripted]:
    """The reply to a script of turns, and who played it."""
    model = Scripted(chatting("qwen3"), *lines)
    return asyncio.run(program(model, ASKED, **settings)), model


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("print(7)", "print(7)"),
        ("so:\n```python\nprint(7)\n```\nthat is it", "print(7)\n"),
        ("```\n1\n```\n```py\n2\n```", "2\n"),
        ("```python\nx = 1", "x = 1"),
        ("", ""),
    ],
)
def test_the_last_block_is_the_program(text: str, code: str) -> None:
    assert block(text) == code


def test_what_it_prints_is_the_answer_or_else_its_last_value() -> None:
    reply, _ = written(("```python\nx = 3 + 4\nprint(x)\n```", "stop"))
    assert (reply.text, reply.data["program"]) == ("7", "x = 3 + 4\nprint(x)\n")
    assert written(("3 + 4", "stop"))[0].text == "7"
    assert written(("x = 1", "stop"))[0].text == ""


def test_a_failure_is_told_and_the_program_written_again() -> None:
    reply, model = written(("print(1 / 0)", "stop"), ("print(7)", "stop"), rounds=1)
    assert reply.text == "7"
    again = model.close()[1].context.text
    assert "The program failed:" in again and "ZeroDivisionError" in again


def test_what_still_fails_or_is_cut_off_is_no_answer() -> None:
    reply, _ = written(("print(1 / 0)", "stop"), ("print(nope)", "stop"), rounds=1)
    assert (reply.text, reply.truncated) == ("", False) and "nope" in reply.data["error"]
    reply, _ = written(("print(7", "length"), rounds=3)
    assert (reply.text, reply.truncated, reply.data["error"]) == ("", True, "cut off")


def test_what_no_sandbox_has_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["thinkery.solvers.program"], "run", lambda code: Result("unsupported", error="import x"))
    with pytest.raises(SolverError, match="no sandbox here has: import x"):
        written(("import x", "stop"))


def test_settings_are_checked() -> None:
    with pytest.raises(InputError, match="rounds"):
        written(("1", "stop"), rounds=-1)
