"""How programs are tried, within a worker: two interpreters, and what may pass between them. See `program`."""

from __future__ import annotations

import ast
import builtins
import re
import time
from collections.abc import Callable
from typing import Any

from ...tools.python import Result
from ...tools.sandbox import Session, Stopped, reader, session
from .judge import SHOWN
from .program import defines, names_tested, read_cases

PLAIN = (int, float, complex, str, bytes, bool, type(None))
MANY = (list, tuple, set, frozenset)
THEIRS = "_program_"  # before a name in the tests that is the program's
UNMADE = re.compile(r"<(?:function|class|bound method|built-in)\b")


def tested(code: str, tests: str, seconds: float) -> dict[str, Any]:
    """A Result's fields: how the tests ended."""
    cases = read_cases(tests)
    clock = Clock(seconds)
    if cases is None:
        found = by_script(code, tests, clock)
    else:
        found = (by_calls if "fn_name" in cases else by_printing)(code, cases, clock)
    return vars(Result(found.ended, error=found.error))


class Clock:
    """What is left of the seconds for all of a program's tests."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.end = seconds, time.monotonic() + seconds

    def check(self) -> None:
        """Raises Stopped when the time is up."""
        if time.monotonic() > self.end:
            raise Stopped(Result("limit", error=f"the tests did not end within {self.seconds:g} s"))


def by_script(code: str, tests: str, clock: Clock) -> Result:
    """Python tests: what they call and do not define is the program's."""
    lack: list[Result] = []
    names = names_tested(tests)

    def served(name: str) -> Callable[..., Any]:
        def ask(*arguments: Any, **named: Any) -> Any:
            try:
                clock.check()
                return crossing(program, name, arguments, named)
            except Stopped as stop:
                lack.append(stop.result)
                raise RuntimeError(stop.result.error) from None

        return ask

    with session(clock.seconds) as program, session(clock.seconds) as tester:
        defined = begun(program, code, names)
        if defined.ended != "done":
            return defined
        renamed = ast.unparse(Renamed(names).visit(ast.parse(tests)))
        found = tester.run(renamed, functions={THEIRS + name: served(name) for name in names})
    return lack[0] if lack else found


def by_calls(code: str, cases: dict[str, Any], clock: Clock) -> Result:
    """Arguments and what a function gives for them; a list may stand for a tuple, as JSON has none."""
    name = cases["fn_name"]
    with session(clock.seconds) as program:
        inside = re.search(r"^class Solution\b", code, re.MULTILINE)
        defined = begun(program, code, [] if inside else [name])
        if defined.ended != "done":
            return defined
        name = f"Solution().{name}" if inside else name
        for arguments, wanted in zip(cases["inputs"], cases["outputs"]):
            try:
                clock.check()
                got = crossing(program, name, tuple(arguments), {})
            except Stopped as stop:
                return stop.result
            except Exception as error:
                return Result("error", error=f"{type(error).__name__}: {error}")
            if as_json(got) != as_json(wanted):
                return Result("error", error=f"{name}{tuple(arguments)!r} is {got!r}, not {wanted!r}"[:SHOWN])
    return Result("done")


def by_printing(code: str, cases: dict[str, Any], clock: Clock) -> Result:
    """What is read and what is printed, line by line; spaces at the ends do not count."""
    for given, wanted in zip(cases["inputs"], cases["outputs"]):
        clock.check()
        with session(clock.seconds) as fresh:
            found = fresh.run(code, functions={"input": reader(given)})
        if found.ended != "done" and not found.error.startswith("SystemExit"):  # one may end itself when all is printed
            return found
        if lines(found.output) != lines(wanted):
            return Result("error", error=f"printed {found.output[:60]!r}, not {wanted[:60]!r}")
    return Result("done")


def begun(program: Session, code: str, names: list[str]) -> Result:
    """How a program's definitions ended: an error if it leaves to a built-in function what it was to define."""
    result = program.run(code)
    missing = [n for n in names if hasattr(builtins, n) and not defines(code, n)] if result.ended == "done" else []
    return Result("error", error=f"the program defines no {missing[0]}") if missing else result


class Renamed(ast.NodeTransformer):
    """Tests that call the program's functions by names of their own, for no function can be put in a built-in's place."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        """The node, renamed if it is one of them."""
        return ast.copy_location(ast.Name(THEIRS + node.id, node.ctx), node) if node.id in self.names else node


def crossing(program: Session, name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """What the program's function gives, if it is plain: an object of the program's own could claim to equal anything.

    Raises what the function raised, TypeError for an object, Stopped.
    """
    if not all(map(plain, (*arguments, *named.values()))):
        raise Stopped(Result("unsupported", error="functions or objects as arguments"))
    value = program.call(name, *arguments, **named)
    if not plain(value):
        if str(program.run(f"str({name})").value).startswith("<class"):
            raise Stopped(Result("unsupported", error=f"tests that make objects of the program's class {name}"))
        raise TypeError(f"{name} gave a {type(value).__name__}, not a plain value")
    return value


def plain(value: Any) -> bool:
    """Whether a value is made of numbers, text, lists and the like."""
    if type(value) in MANY:
        return all(map(plain, value))
    if type(value) is dict:
        return all(map(plain, (*value, *value.values())))
    return type(value) in PLAIN and not (isinstance(value, str) and UNMADE.match(value))


def as_json(value: Any) -> Any:
    """A value with lists for tuples."""
    if isinstance(value, (list, tuple)):
        return [as_json(v) for v in value]
    return {str(k): as_json(v) for k, v in value.items()} if isinstance(value, dict) else value


def lines(text: str) -> list[str]:
    """Lines without spaces at their ends and without empty ones at the end."""
    return [line.strip() for line in text.strip().splitlines()]
