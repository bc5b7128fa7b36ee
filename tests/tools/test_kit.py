"""Tools named on a command line must be there at once or be refused, and what a rollout does with them must stay its own."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from thinkery.core.errors import BadData, InputError, UnknownName
from thinkery.core.records import CALLS, Problem, Question, Reply
from thinkery.core.rng import Stream, address
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling, Session
from thinkery.learning.collect import Collector, Unit
from thinkery.tasks.equipped import Equipped
from thinkery.tools.kit import Kit
from thinkery.tools.tool import Toolbox

from ..support import Sums, model_of


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "t.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (a INTEGER)")
    connection.close()
    return path


def own_file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "own.py"
    path.write_text(text)
    return f"{path}:double"


def test_tools_are_named(database: Path, tmp_path: Path) -> None:
    own = own_file(tmp_path, 'def double(x: int) -> int:\n    """Twice as much."""\n    return 2 * x\n')
    kit = Kit(["python", "calculate", f"sql:{database}", own])
    assert kit.names == ["python", "calculate", f"sql:{database}", own]
    assert list(kit.toolbox()) == ["python", "calculate", "tables", "sql", "double"]
    one, other = kit.toolbox(), kit.toolbox()

    async def talk() -> list[str]:
        asked = [
            (one, "python", {"code": "x = 1"}),
            (other, "python", {"code": "x"}),
            (one, "python", {"code": "x"}),
            (one, "double", {"x": 4}),
        ]
        return [(await box.call(name, arguments)).text for box, name, arguments in asked]

    assert asyncio.run(talk()) == ["(nothing was printed)", "error: NameError: name 'x' is not defined", "1", "8"]
    assert (len(one.calls), len(other.calls)) == (3, 1)


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("pyhton", UnknownName, "Did you mean python"),
        ("sql:none.sqlite", BadData, "no such database"),
        ("none.py:f", InputError, "no such file"),
    ],
)
def test_a_tool_that_is_not_there_is_refused(name: str, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        Kit([name])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "AttributeError"),
        ("1 / 0", "ZeroDivisionError"),
        ("double = 3", "no tool can be made"),
        ("def double(x): return x", "no docstring|no annotation"),
    ],
)
def test_a_function_that_is_no_tool_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Kit([own_file(tmp_path, text)])


def test_two_of_a_name_are_refused() -> None:
    with pytest.raises(InputError, match="two tools are called 'python'"):
        Kit(["python", "python"])


async def asking(model: Session, question: Question, tools: Toolbox) -> Reply:
    """Asks the calculator for what the question asks, and hands the record over."""
    first = await model.ask(question, 3)
    called = await tools.call("calculate", {"expression": question.prompt.rstrip("=")})
    await tools.call("calculate", {"expression": first.text})
    await model.ask(model.context(question) + first + called.text, 2)
    return Reply(called.text, data={CALLS: tools.record()})


def test_a_solver_is_lent_the_tools_and_its_reply_records_the_calls() -> None:
    model = model_of()
    task = Equipped(Sums(), Kit(["calculate"]))
    assert task.name == "sums with calculate"
    rollouts = Collector(task, LocalEngine(model), asking, Sampling(), 0).collect(0, [Unit(i, k) for i in range(3) for k in range(2)])
    for r in rollouts:
        assert r.verdict is not None and r.verdict.score == 1
        assert len(r.calls) == 2 and not r.calls[0]["error"]
        assert r.calls[0]["text"] == r.problem.answer
        assert r.turns[1].context.text.endswith(r.problem.answer)


class Acted(Sums):
    """Lends something that is no toolbox, as environments do."""

    def tools(self, problem: Problem, rng: Stream) -> object:
        return object()


class Lending(Sums):
    """Lends a tool of its own."""

    def tools(self, problem: Problem, rng: Stream) -> Toolbox:
        def hint() -> str:
            """What the answer is."""
            return problem.answer

        return Toolbox([hint])


def test_a_task_keeps_the_tools_that_it_lends() -> None:
    kit = Kit(["calculate"])
    place = Stream(address("tools"))
    task = Equipped(Lending(), kit)
    assert list(task.tools(task.problem(0), place)) == ["hint", "calculate"]
    acted = Equipped(Acted(), kit)
    with pytest.raises(InputError, match="takes no --tools"):
        acted.tools(acted.problem(0), place)
