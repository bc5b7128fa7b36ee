"""A call that a model wrote must come to a text that it can read, whatever it wrote; only what is our own fault may be raised."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from thinkery.core.errors import InputError, RunError
from thinkery.tools.calculator import calculate
from thinkery.tools.tool import Called, Tool, Toolbox, tool


@dataclass
class Place:
    """Where."""

    x: int
    y: int = 0


def order(item: str, count: int = 1, size: Literal["small", "large"] = "small", notes: list[str] | None = None) -> str:
    """Order something.

    At the counter.

    Args:
        item: what it is called
        count: how many of it
    """
    return f"{count} {size} {item} {notes}"


def go(place: Place, fast: bool = False, share: float = 0.5) -> dict[str, Any]:
    """Go somewhere."""
    return {"x": place.x, "y": place.y, "fast": fast, "share": share}


def burn(rounds: int) -> int:
    """Count up."""
    n = 0
    while rounds < 0 or n < rounds:
        n += 1
    return n


def leave(status: int) -> str:
    """End the process."""
    import os

    os._exit(status)


def call(made: Tool | Callable[..., Any], arguments: Any) -> Called:
    return asyncio.run((made if isinstance(made, Tool) else tool(made)).call(arguments))


def test_a_schema_says_what_the_signature_and_the_docstring_say() -> None:
    found = tool(order).schema()["function"]
    assert (found["name"], found["description"]) == ("order", "Order something.")
    assert found["parameters"] == {
        "type": "object",
        "properties": {
            "item": {"type": "string", "description": "what it is called"},
            "count": {"type": "integer", "default": 1, "description": "how many of it"},
            "size": {"enum": ["large", "small"], "default": "small"},
            "notes": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}], "default": None},
        },
        "required": ["item"],
        "additionalProperties": False,
    }
    nested = tool(go).parameters
    assert nested["properties"]["place"] == {"$ref": "#/$defs/Place"}
    assert nested["$defs"]["Place"]["required"] == ["x"]
    assert tool(go).line() == "go(place: Place, fast: boolean = false, share: number = 0.5): Go somewhere."
    assert Toolbox([order]).text() == (
        "order(item: string, count: integer = 1, size: large | small = small, notes: array of string | null = null): Order something."
    )


def untyped(x) -> str:  # type: ignore[no-untyped-def]
    """No annotation."""


def silent(x: int) -> int:
    return x


def many(*x: int) -> int:
    """Any number."""


def odd(x: complex) -> int:
    """A type that JSON lacks."""


def unknown(x: Nowhere) -> int:  # type: ignore[name-defined]  # noqa: F821
    """A type that is not there."""


@pytest.mark.parametrize(
    ("function", "said"), [(untyped, "no annotation"), (silent, "docstring"), (many, "by name"), (odd, "complex"), (unknown, "Nowhere")]
)
def test_what_has_no_schema_is_no_tool(function: Callable[..., Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        tool(function)


@pytest.mark.parametrize(
    ("function", "arguments", "text"),
    [
        (order, {"item": "tea"}, "1 small tea None"),
        (order, '{"item": "tea", "count": 2, "size": "large", "notes": ["hot"]}', "2 large tea ['hot']"),
        (order, '{"item": "tea", "count": "2"}', "2 small tea None"),
        (order, '{"item": "tea", "count": 2.0}', "2 small tea None"),
        (go, '{"place": {"x": "3"}, "fast": "true", "share": 1}', '{"x":3,"y":0,"fast":true,"share":1.0}'),
        (calculate, {"expression": "2 / 8"}, "0.25"),
        (burn, {"rounds": 3}, "3"),
    ],
)
def test_calls_are_answered(function: Callable[..., Any], arguments: Any, text: str) -> None:
    found = call(function, arguments)
    assert (found.text, found.error) == (text, "")


HOSTILE = {
    "nothing": ("", "item"),
    "no JSON": ("order tea", "not JSON"),
    "half of it": ('{"item": "te', "not JSON"),
    "more than one": ('{"item": "a"}{"item": "b"}', "not JSON"),
    "a list": ("[1, 2]", "array"),
    "a string": ('"tea"', "string"),
    "a number": ("7", "number"),
    "null": ("null", "null"),
    "missing": ('{"count": 1}', "`item`"),
    "unknown": ('{"item": "tea", "colour": "red"}', "`colour`"),
    "dunder": ('{"item": "tea", "__class__": 1}', "`__class__`"),
    "wrong type": ('{"item": 5}', "Expected `str`"),
    "no whole number": ('{"item": "tea", "count": 1.5}', "Expected `int`"),
    "no number": ('{"item": "tea", "count": "two"}', "Expected `int`"),
    "yes for a number": ('{"item": "tea", "count": true}', "Expected `int`"),
    "null for a number": ('{"item": "tea", "count": null}', "Expected `int`"),
    "no choice": ('{"item": "tea", "size": "huge"}', "'huge'"),
    "wrong within": ('{"item": "tea", "notes": [1]}', "$.notes[0]"),
    "an endless number": ('{"item": "tea", "count": ' + "9" * 5000 + "}", "range"),
    "an endless string number": ('{"item": "tea", "count": "' + "9" * 5000 + '"}', "range"),
    "infinity": ('{"item": "tea", "count": 1e999}', "not JSON"),
    "NaN": ('{"item": "tea", "count": NaN}', "not JSON"),
    "depth": ("[" * 50_000, "not JSON"),
    "depth of objects": ('{"item":' * 10_000 + "1" + "}" * 10_000, "not JSON"),
    "length": ('{"item": "' + "x" * 200_000 + '"}', "at most"),
    "a lone surrogate": ("\ud800", "not JSON"),
    "control characters": ('{"item": "\x00\x1b"}', "not JSON"),
    "a byte order mark": ('\ufeff{"item": "tea"}', "not JSON"),
    "python's quotes": ("{'item': 'tea'}", "not JSON"),
    "comments": ('{"item": "tea" /* hot */}', "not JSON"),
}


@pytest.mark.parametrize(("arguments", "said"), HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_call_of_it_is_said_to_the_model(arguments: str, said: str) -> None:
    began = time.monotonic()
    found = call(order, arguments)
    assert found.text.startswith("error: ") and said in found.text
    assert found.error == found.text
    assert len(found.arguments) < 5000 and len(found.text) < 5000
    assert time.monotonic() - began < 10


def raising(kind: str) -> str:
    """Raise."""
    if kind == "exit":
        sys.exit(3)
    if kind == "stop":
        raise StopIteration
    if kind == "interrupt":
        raise KeyboardInterrupt
    if kind == "deep":
        return raising(kind)
    if kind == "ours":
        raise RunError("the sandbox broke")
    raise ValueError(f"no {kind} here\ud800")


async def waiting(kind: str) -> str:
    """Raise or wait."""
    if kind == "hang":
        await asyncio.sleep(60)
    if kind == "stubborn":
        for _ in range(20):
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue
    if kind == "exit":
        sys.exit(3)
    return raising(kind)


@pytest.mark.parametrize(
    ("function", "kind", "said"),
    [
        (raising, "x", "ValueError: no x here"),
        (raising, "exit", "SystemExit"),
        (raising, "stop", "StopIteration"),
        (raising, "interrupt", "KeyboardInterrupt"),
        (raising, "deep", "RecursionError"),
        (waiting, "x", "ValueError"),
        (waiting, "exit", "SystemExit"),
        (waiting, "hang", "did not end within 0.2 s"),
        (waiting, "stubborn", "did not end within 0.2 s"),
    ],
)
def test_a_tool_that_fails_says_so_and_kills_nothing(function: Callable[..., Any], kind: str, said: str) -> None:
    found = call(tool(function, seconds=0.2), {"kind": kind})
    assert found.text.startswith("error: ") and said in found.text
    found.text.encode()


@pytest.mark.parametrize("function", [raising, waiting])
def test_what_is_no_fault_of_the_call_is_raised(function: Callable[..., Any]) -> None:
    with pytest.raises(RunError, match="broke"):
        call(function, {"kind": "ours"})


def test_a_thread_that_hangs_holds_up_nobody() -> None:
    def slow(seconds: float) -> str:
        """Sleep."""
        time.sleep(seconds)
        return "slept"

    async def all_of() -> list[Called]:
        box = Toolbox([tool(slow, seconds=4.0)])
        return list(await asyncio.gather(box.call("slow", {"seconds": 20}), *(box.call("slow", {"seconds": 0.005}) for _ in range(300))))

    began = time.monotonic()
    hung, *others = asyncio.run(all_of())
    assert "did not end within 4 s" in hung.error
    assert all(o.text == "slept" for o in others)
    assert max(o.seconds for o in others) < 4.0
    assert time.monotonic() - began < 15


def test_what_computes_much_runs_in_a_process_that_can_be_killed() -> None:
    counting = tool(burn, process=True, seconds=1.0)
    assert call(counting, {"rounds": "1000"}).text == "1000"
    assert "did not end within 1 s" in call(counting, {"rounds": -1}).error
    assert "died" in call(tool(leave, process=True), {"status": 0}).error
    assert "Expected `int`" in call(counting, {"rounds": "x"}).error
    assert "no x here" in call(tool(raising, process=True), {"kind": "x"}).error


def test_a_function_that_another_process_cannot_find_does_not_run_there() -> None:
    def inner(x: int) -> int:
        """No other process sees it."""
        return x

    with pytest.raises(InputError, match="top of a module"):
        tool(inner, process=True)


def test_an_answer_is_cut_with_a_note() -> None:
    def flood(n: int) -> str:
        """Much."""
        return "x" * n

    found = call(tool(flood, longest=10), {"n": 10**7})
    assert found.text == "x" * 10 + " [9999990 more characters left out]"


def test_a_box_names_its_tools_and_remembers_the_calls() -> None:
    async def talk() -> Toolbox:
        box = Toolbox([order, calculate])
        await box.call("calculate", '{"expression": "6*7"}')
        await box.call("calculator", '{"expression": "6*7"}')
        await box.call("x" * 1000, "{}")
        await box.call("calculate", {"expression": "6*"})
        return box

    box = asyncio.run(talk())
    assert [c["text"] for c in box.record()] == [
        "42",
        "error: no tool 'calculator'; there is: calculate",
        f"error: no tool {'x' * 64 + ' [936 more characters left out]'!r}; there is: calculate, order",
        "error: not an arithmetic expression",
    ]
    assert [bool(c["error"]) for c in box.record()] == [False, True, True, True]
    assert [s["function"]["name"] for s in box.schemas()] == ["order", "calculate"]
    with pytest.raises(InputError, match="two tools"):
        Toolbox([order, order])
