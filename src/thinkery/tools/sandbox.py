"""The sandbox's inside: pydantic-monty's interpreters, and what their errors mean.

It runs in the processes of `tools.workers` alone: its threads do not survive a fork, and trainers fork. From elsewhere, see `python`.
"""

from __future__ import annotations

import builtins
import collections
import datetime
import importlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

import pydantic_monty as monty

from .python import ELSEWHERE, LONGEST, SECONDS, Result

MEMORY = 128 << 20
OUTPUT = 100_000  # bytes printed
DEPTH = 900
CALLS = 50_000  # of `input` and other functions that are answered from outside
SAID = 2000  # characters of an error
GRACE = 2.0  # before a process that does not stop by itself is killed

MODULES = (
    "asyncio",
    "collections",
    "datetime",
    "functools",
    "itertools",
    "json",
    "math",
    "os",
    "pathlib",
    "random",
    "re",
    "sys",
    "time",
    "typing",
)
OVER = re.compile(
    r"(?:feed|turn) time limit exceeded|memory limit exceeded|exceeded its memory limit|maximum recursion depth exceeded"
    r"|suspension limit \d+ exceeded"
)
NO_NAME = re.compile(r"name '(\w+)' is not defined")
NO_MODULE = re.compile(r"No module named '(\w+)")
NO_MEMBER = re.compile(r"(?:module|type object) '([\w.]+)' has no attribute '(\w+)'|'([\w.]+)' object has no attribute '(\w+)'")
IMPORTS = re.compile(r"^[ \t]*(?:import|from)[ \t]+(\w+)", re.MULTILINE)
NO_IMPORT = re.compile(r"cannot import name '(\w+)' from '(\w+)'")
CRASH = "Internal error in monty"
EXITS = frozenset({CRASH, "sys.exit", "exit()", "quit()"})  # what the sandbox makes of a program that ends itself
ENDS = re.compile(r"\A(?!.*\bfrom sys import\b).*\b(?:SystemExit|exit|quit)\s*\(", re.DOTALL)
OUR_OWN = re.compile(
    rf"monty syntax parser does not yet support (.+)|cannot create '(property|staticmethod|classmethod)'|({CRASH})"
    r"|'list' object is not an (iterator)"  # its generator expressions are lists
)
REFLECTION = frozenset(
    {"__class__", "__bases__", "__base__", "__mro__", "__subclasses__", "__globals__", "__dict__", "__code__"}
)  # left out on purpose
POLICY: dict[str, Any] = {
    "sleep": "zero",
    "datetime": datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC),
    "random_start": {"seed": 0},
}


class Stopped(Exception):
    """A call within a session that met a limit, or something that the sandbox lacks: its result."""

    def __init__(self, result: Result) -> None:
        super().__init__(result.error)
        self.result = result


class Session:
    """One interpreter: what a run defines, later ones see. After a limit it is of no more use."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def run(
        self, code: str, *, inputs: Mapping[str, Any] | None = None, functions: Mapping[str, Callable[..., Any]] | None = None
    ) -> Result:
        """Run a snippet. `inputs` are bound before, `functions` are called here, outside the sandbox; both travel as plain values."""
        if len(code) > LONGEST:
            return Result("limit", error=f"a program longer than {LONGEST} characters")
        printed = monty.CollectString(max_bytes=OUTPUT)
        try:
            value = self._inner.feed_run(code, inputs=dict(inputs or {}), external_lookup=dict(functions or {}), print_callback=printed)
        except monty.MontyCrashedError as crash:
            return Result("limit", output=printed.output, error=f"the interpreter was stopped: {crash}")
        except (monty.MontyError, UnicodeEncodeError) as error:
            found = failed(error, printed.output)
            if found.ended == "unsupported" and found.error in EXITS and ENDS.search(code):
                return Result("error", output=printed.output, error="SystemExit")
            return found
        return Result("done", value, printed.output)

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """What a function that an earlier run defined gives for plain values. Raises what it raised, or Stopped at a limit or a lack."""
        found = self.run(f"{name}(*_arguments, **_named)", inputs={"_arguments": args, "_named": kwargs})
        if found.ended == "done":
            return found.value
        if found.ended != "error":
            raise Stopped(found)
        kind, _, message = found.error.partition(": ")
        raised = getattr(builtins, kind, None)
        if isinstance(raised, type) and issubclass(raised, Exception) and not issubclass(raised, UnicodeError):
            raise raised(message)
        raise RuntimeError(found.error)


def run(programs: Sequence[str], inputs: Mapping[str, Any], stdin: str | None, seconds: float) -> dict[str, Any]:
    """`python.run`'s other end: the fields of the last program's Result, its value as Python writes it, after the others ran before it."""
    with session(seconds) as fresh:
        lines = reader(stdin or "")
        for i, code in enumerate(programs):
            if missing := missed(code):
                return vars(Result("unsupported", error=f"import {missing}"))
            result = fresh.run(code, inputs={} if i else inputs, functions={"input": lines})
            if result.ended in ("limit", "unsupported"):
                break
    return vars(result) | {"value": shown(result.value)}


def missed(code: str) -> str:
    """A module that the sandbox lacks and whose lack the program would not show, since it catches errors; "" for none."""
    if "except" not in code:
        return ""
    named = (m[1] for m in IMPORTS.finditer(code))
    return next((n for n in named if n not in MODULES and (n in sys.stdlib_module_names or n in ELSEWHERE)), "")


def shown(value: Any) -> str | None:
    """A value as Python writes it, at most OUTPUT characters; None for None."""
    if value is None:
        return None
    try:
        return repr(value)[:OUTPUT]
    except ValueError:  # a whole number of thousands of digits
        return f"<{type(value).__name__} too large to write>"


@contextmanager
def session(seconds: float = SECONDS) -> Iterator[Session]:
    """A fresh interpreter; each of its runs has that many seconds."""
    limits = {"max_feed_duration_secs": seconds, "max_memory": MEMORY, "max_recursion_depth": DEPTH, "max_suspensions": CALLS}
    with ExitStack() as stack:
        inner = stack.enter_context(pool().checkout(limits=limits, os_policy=POLICY))
        yield Session(inner)


def reader(text: str) -> Callable[..., str]:
    """An `input` that gives the text's lines, one a call."""
    lines = iter(text.splitlines())

    def read(prompt: object = "") -> str:
        line = next(lines, None)
        if line is None:
            raise EOFError("EOF when reading a line")
        return line

    return read


# ---- what an error means


def failed(error: Exception, output: str) -> Result:
    """The result of a run that raised."""
    inner = error.exception() if isinstance(error, monty.MontyError) else error
    kind, message = type(inner).__name__, str(inner)
    said = (f"{kind}: {message}" if message else kind)[:SAID]
    if OVER.search(message):
        return Result("limit", output=output, error=said)
    if lack := lacking(kind, message):
        return Result("unsupported", output=output, error=lack)
    return Result("error", output=output, error=said)


def lacking(kind: str, message: str) -> str:
    """What CPython has and the sandbox lacks, by an error's message; "" if it is the program's own fault.

    A program that raises such an error by hand is believed: nothing is learnt from such a run, so nothing is gained.
    """
    if m := OUR_OWN.search(message):
        return next(g for g in m.groups() if g)
    if kind == "NameError" and (m := NO_NAME.fullmatch(message)) and hasattr(builtins, m[1]) and m[1][0] != "_":
        return f"{m[1]}()"
    if kind == "ModuleNotFoundError" and (m := NO_MODULE.match(message)) and (m[1] in sys.stdlib_module_names or m[1] in ELSEWHERE):
        return f"import {m[1]}"
    if kind == "ImportError" and (m := NO_IMPORT.match(message)) and known(m[2], m[1]):
        return f"{m[2]}.{m[1]}"
    if kind == "AttributeError" and (m := NO_MEMBER.search(message)):
        owner, member = m[1] or m[3], m[2] or m[4]
        return f"{owner}.{member}" if member not in REFLECTION and known(owner, member) else ""
    return ""


def known(owner: str, member: str) -> bool:
    """Whether CPython's type, or module of those that the sandbox has in part, has such a member. A type may lack its module's name."""
    module, _, name = owner.rpartition(".")
    places = [getattr(builtins, name, None), getattr(collections, name, None)]
    if module in MODULES:
        places.append(getattr(importlib.import_module(module), name, None))
    if any(isinstance(kind, type) and hasattr(kind, member) for kind in places):
        return True
    return owner in MODULES and hasattr(importlib.import_module(owner), member)


@cache
def pool() -> Any:
    """This process's interpreters, started when first asked for."""
    return monty.Monty(request_timeout=60.0, max_processes=4, feed_duration_limit_grace=GRACE).__enter__()
