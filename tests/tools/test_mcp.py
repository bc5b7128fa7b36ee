"""A server that hangs, dies or floods must cost its caller one call, in words; what we serve must be what others can attach."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("mcp")

from thinkery.core.errors import InputError, MissingExtra
from thinkery.tools import mcp
from thinkery.tools.calculator import calculate
from thinkery.tools.mcp import Server
from thinkery.tools.tool import Called, Toolbox, tool

MISBEHAVING = f"{sys.executable} {Path(__file__).with_name('mcp_server.py')}"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THINKERY_TEST_SECRET", "open-sesame")
        own = Server(MISBEHAVING, seconds=3.0)
        yield own
        own.close()


def call(server: Server, name: str, **arguments: object) -> Called:
    return asyncio.run(Toolbox(server.tools).call(name, arguments))


def test_a_servers_tools_are_like_ours(server: Server) -> None:
    box = Toolbox(server.tools)
    assert list(box) == ["calculate", "flood", "hang", "die", "fail", "broken", "garbage", "environment"]
    assert box["flood"].line() == "flood(size: integer): Answer at length."
    assert box["flood"].parameters["required"] == ["size"]
    found = call(server, "calculate", expression="6 * 7")
    assert (found.text, found.error) == ("42", "")


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("calculate", {"expression": "x"}, "error: not an arithmetic expression"),
        ("calculate", {"nope": 1}, "unknown field `nope`"),
        ("calculate", {}, "`expression`"),
        ("fail", {"reason": "for this"}, "error: ValueError: for this"),
        ("broken", {}, "the sandbox broke"),
        ("hang", {}, "error: it did not end within 3 s"),
        ("die", {}, "error: MCPError: Connection closed"),
        ("nothing", {}, "no tool 'nothing'"),
    ],
)
def test_what_goes_wrong_is_said_and_the_next_call_is_answered(server: Server, name: str, arguments: dict[str, object], said: str) -> None:
    began = time.monotonic()
    found = call(server, name, **arguments)
    assert said in found.text
    assert found.error == found.text
    assert call(server, "calculate", expression="1 + 1").text == "2"
    assert time.monotonic() - began < 40


def test_megabytes_are_cut_and_garbage_is_passed_over(server: Server) -> None:
    found = call(server, "flood", size=5_000_000)
    assert found.text == "x" * 4000 + " [4996000 more characters left out]"
    assert call(server, "garbage").text.endswith("after it") or "error" in call(server, "garbage").text
    assert call(server, "calculate", expression="1 + 1").text == "2"


def test_a_server_does_not_see_the_environment(server: Server) -> None:
    names = call(server, "environment").text.split()
    assert "PATH" in names
    assert "THINKERY_TEST_SECRET" not in names


def test_many_calls_go_at_once_and_one_that_hangs_holds_up_nobody(server: Server) -> None:
    async def talk() -> list[Called]:
        box = Toolbox(server.tools)
        return list(await asyncio.gather(box.call("hang", {}), *(box.call("calculate", {"expression": f"{i} + 1"}) for i in range(100))))

    hung, *others = asyncio.run(talk())
    assert hung.error
    assert [c.text for c in others] == [str(i + 1) for i in range(100)]
    assert max(c.seconds for c in others) < 3.0 + 2


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("", "empty command"),
        ("'", "No closing quotation"),
        ("/nonexistent/server", "No such file"),
        ("true", "Connection closed"),
        (f"{sys.executable} -c 'import sys; sys.exit(\"bad news\")'", "bad news"),
        ("cat", "no MCP server"),
        ("yes", "no MCP server|did not say"),
        ("sleep 30", "did not say within 1 s"),
    ],
)
def test_what_is_no_server_is_refused(command: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp, "START", 1.0)
    began = time.monotonic()
    with pytest.raises(InputError, match=said):
        Server(command)
    assert time.monotonic() - began < 25


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(MissingExtra, match=r"thinkery\[mcp\]"):
        Server("true")
    with pytest.raises(MissingExtra, match=r"thinkery\[mcp\]"):
        asyncio.run(mcp.serve("x", [tool(calculate)]))


def test_our_tasks_and_tools_are_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (a INTEGER)")
        connection.execute("INSERT INTO t VALUES (5)")
    connection.close()
    ours = str(Path(mcp.__file__).parents[2])
    serving = Server(f"env PYTHONPATH={ours} {sys.executable} -m thinkery task serve addition --split test --database {path}")

    async def talk() -> list[Called]:
        box = Toolbox(serving.tools)
        asked = [
            ("problem", {"index": 0}),
            ("verify", {"index": 0, "reply": "no idea"}),
            ("python", {"code": "x = 3\nprint(x)"}),
            ("python", {"code": "x + 1"}),
            ("sql", {"query": "SELECT a FROM t"}),
            ("tables", {}),
            ("problem", {"index": -1}),
            ("calculate", {"expression": "7 / 2"}),
        ]
        return [await box.call(*words) for words in asked]

    try:
        problem, verdict, *others = asyncio.run(talk())
    finally:
        serving.close()
    assert '"index":0' in problem.text and "answer" not in problem.text
    assert '"score":0.0' in verdict.text
    assert [c.text for c in others[:4]] == ["3\n", "4", "a\n5\n(1 row)", "t(a INTEGER)"]
    assert others[4].error
    assert others[5].text == "3.5"


def test_a_forked_process_has_a_server_of_its_own(server: Server) -> None:
    """Trainers fork; the thread that talks to the server does not come along."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(write, call(server, "calculate", expression="2 + 2").text.encode())
            server.close()
        finally:
            os._exit(0)
    os.close(write)
    assert os.read(read, 100) == b"4"
    os.close(read)
    os.waitpid(child, 0)
    assert call(server, "calculate", expression="3 + 3").text == "6"
