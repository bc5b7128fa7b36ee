"""What a tool is: a typed Python function with a docstring. Its schema is derived, its arguments are checked, its errors are text.

    def price(item: str, count: int = 1) -> float:
        '''What so many of an item cost.

        Args:
            item: its name
            count: how many
        '''

    box = Toolbox([price])
    called = await box.call("price", '{"item": "tea", "count": "2"}')

Whatever a model writes into a call gives a text that it can read, and mend its call by. What is no fault of the call (a RunError: a
sandbox that broke) is raised, and ends the rollout as an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import inspect
import threading
import time
import typing
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ..core.errors import InputError, RunError
from .text import cut, encodable, shown
from .workers import CheckFailed, found
from .workers import call as called_elsewhere

SECONDS = 30.0  # for a call, unless its tool says otherwise
LONGEST = 4000  # characters that a model is shown of what a call gave
LARGEST = 100_000  # characters of a call's arguments
NAMED = 64  # characters of a tool's name that are repeated to the model

KINDS: dict[type, str] = {list: "array", str: "string", bool: "boolean", type(None): "null"}

Work = Callable[[dict[str, Any]], Awaitable[str]]


@dataclass(frozen=True)
class Called:
    """What came of a call.

    text      what the model reads: the answer, or what was wrong
    error     "" if the tool answered; otherwise the same as in `text`, for the record
    seconds   on the clock
    """

    tool: str
    arguments: str
    text: str
    error: str
    seconds: float


@dataclass(frozen=True)
class Tool:
    """Something that a model may call.

    parameters   the JSON schema of the arguments, an object
    work         arguments -> text; raises InputError with what a model may read, RunError for what is no fault of the call
    longest      characters of the text that a model is shown
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    work: Work
    longest: int = LONGEST

    async def call(self, arguments: Mapping[str, Any] | str) -> Called:
        """Call it, with an object or its JSON text. Raises RunError alone."""
        began, error = time.perf_counter(), ""
        try:
            text = await self.work(object_of(arguments))
        except InputError as wrong:
            error = text = f"error: {wrong}"
        written = arguments if isinstance(arguments, str) else shown(arguments)
        return Called(self.name, cut(written, self.longest), cut(text, self.longest), cut(error, self.longest), time.perf_counter() - began)

    def schema(self) -> dict[str, Any]:
        """As OpenAI's API and chat templates take it."""
        return {"type": "function", "function": {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}}

    def line(self) -> str:
        """In a line, for models that are told in plain text: `price(item: string, count: integer = 1): what so many of an item cost`."""
        needed = self.parameters.get("required", ())
        given = [
            f"{key}: {kind_of(value)}" + ("" if key in needed else f" = {shown(value.get('default'))}")
            for key, value in self.parameters.get("properties", {}).items()
        ]
        return f"{self.name}({', '.join(given)}): {self.description.splitlines()[0] if self.description else ''}".rstrip(": ")


class Toolbox(Mapping[str, Tool]):
    """The tools of one rollout, by name, and what came of each call, in order."""

    def __init__(self, tools: Iterable[Tool | Callable[..., Any]]) -> None:
        self._tools: dict[str, Tool] = {}
        self.calls: list[Called] = []
        for given in tools:
            made = given if isinstance(given, Tool) else tool(given)
            if made.name in self._tools:
                raise InputError(f"two tools are called {made.name!r}; give one of them another name: tool(function, name=…)")
            self._tools[made.name] = made

    def __getitem__(self, name: str) -> Tool:
        return self._tools[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tools)

    def __len__(self) -> int:
        return len(self._tools)

    async def call(self, name: str, arguments: Mapping[str, Any] | str) -> Called:
        """Call a tool by name; one that there is not gives a text that says so. Raises RunError alone."""
        found = self._tools.get(name)
        if found is None:
            close = difflib.get_close_matches(name[:NAMED], self._tools, n=1) or sorted(self._tools)
            error = f"error: no tool {cut(name, NAMED)!r}; there is: {', '.join(close)}"
            written = arguments if isinstance(arguments, str) else shown(arguments)
            called = Called(cut(name, NAMED), cut(written, LONGEST), error, error, 0.0)
        else:
            called = await found.call(arguments)
        self.calls.append(called)
        return called

    def schemas(self) -> list[dict[str, Any]]:
        """Of all tools, as OpenAI's API and chat templates take them."""
        return [t.schema() for t in self._tools.values()]

    def text(self) -> str:
        """A line for each tool."""
        return "\n".join(t.line() for t in self._tools.values())

    def record(self) -> list[dict[str, str]]:
        """The calls as plain values, for `Reply.data[CALLS]`: tool, arguments, text, error. Not their seconds, which no second run repeats."""
        return [{"tool": c.tool, "arguments": c.arguments, "text": c.text, "error": c.error} for c in self.calls]


# ---- from a function


def tool(
    function: Callable[..., Any], *, name: str = "", seconds: float | None = SECONDS, longest: int = LONGEST, process: bool = False
) -> Tool:
    """A function as a tool. A coroutine function is awaited; any other runs in a thread, or in a process if it computes much.

    seconds   for a call; None: the function bounds itself
    process   run it in `tools.workers`, one process a core, where it can be killed; it must stand at the top of its module

    Raises InputError where no schema can be derived: no annotation, a type that JSON has nothing for, no docstring.
    """
    own = name or getattr(function, "__name__", "")
    bound, parameters = bound_by(function, own)
    about = described(function, own)
    for key, text in about[1].items():
        parameters["properties"].setdefault(key, {})["description"] = text
    target = target_of(function) if process else ""
    limit = SECONDS if process and seconds is None else seconds

    async def work(arguments: dict[str, Any]) -> str:
        given = bound(arguments)
        if process:
            plain = msgspec.to_builtins({key: getattr(given, key) for key in given.__struct_fields__})
            return str(await apart(lambda: elsewhere(target, plain, limit or SECONDS), None))
        named = {key: getattr(given, key) for key in given.__struct_fields__}
        if inspect.iscoroutinefunction(function):
            return shown(await bounded(guarded(function, named), limit))
        return shown(await apart(lambda: function(**named), limit))

    return Tool(own, about[0], parameters, work, longest)


def bound_by(function: Callable[..., Any], name: str) -> tuple[Callable[[dict[str, Any]], Any], dict[str, Any]]:
    """What makes a struct of a call's arguments, and their JSON schema. Raises InputError."""
    try:
        hints = typing.get_type_hints(function, include_extras=True)
        fields: list[Any] = []
        for key, given in inspect.signature(function).parameters.items():
            if given.kind not in (given.POSITIONAL_OR_KEYWORD, given.KEYWORD_ONLY):
                raise TypeError(f"the parameter {key!r} cannot be given by name")
            if key not in hints:
                raise TypeError(f"the parameter {key!r} has no annotation")
            fields.append((key, hints[key]) if given.default is given.empty else (key, hints[key], given.default))
        struct = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
        whole = msgspec.json.schema(struct)
    except (TypeError, NameError, ValueError) as error:
        reason = str(error).splitlines()[-1]
        raise InputError(
            f"no tool can be made of {name!r}: {reason}; annotate with what JSON can say (str, int, Literal, list, …)"
        ) from None
    parts = whole["$defs"]
    parameters = parts.pop(whole["$ref"].rpartition("/")[2])
    parameters.pop("title", None)
    if parts:
        parameters["$defs"] = parts

    def bind(arguments: dict[str, Any]) -> Any:
        try:
            return msgspec.convert(arguments, struct, strict=False)
        except msgspec.ValidationError as wrong:
            raise InputError(f"{wrong}. Call it as {name}({', '.join(struct.__struct_fields__)})") from None

    return bind, parameters


def described(function: Callable[..., Any], name: str) -> tuple[str, dict[str, str]]:
    """The docstring's first paragraph, and its "Args:" by name. Raises InputError for a function without a docstring."""
    paragraphs = (inspect.getdoc(function) or "").strip()
    if not paragraphs:
        raise InputError(f"no tool can be made of {name!r}: it has no docstring, and a model must be told what it does")
    known = inspect.signature(function).parameters
    about: dict[str, str] = {}
    for line in paragraphs.partition("Args:\n")[2].splitlines():
        key, colon, text = line.strip().partition(": ")
        if not line.startswith(" ") or not line.strip():
            break
        if colon and key in known:
            about[key] = text
    return " ".join(paragraphs.partition("\n\n")[0].split()), about


# ---- how a function is run


async def bounded(work: Awaitable[Any], seconds: float | None) -> Any:
    """What it gives. Raises InputError when the time is up, without waiting for what does not stop."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait([task], timeout=seconds)
        if not done:
            raise InputError(f"it did not end within {seconds:g} s")
        return task.result()
    finally:
        task.cancel()


async def guarded(function: Callable[..., Awaitable[Any]], named: dict[str, Any]) -> Any:
    """What a coroutine function gives; what it raises as `fault` says."""
    try:
        return await function(**named)
    except (Exception, SystemExit) as error:
        raise fault(error) from None


async def apart(function: Callable[[], Any], seconds: float | None) -> Any:
    """What a function gives, in a thread of its own: one that never ends holds up neither other calls nor the end of the program."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[tuple[Any, Exception | None]] = loop.create_future()

    def settle(outcome: tuple[Any, Exception | None]) -> None:
        if not answer.done():
            answer.set_result(outcome)

    def inside() -> None:
        try:
            outcome: tuple[Any, Exception | None] = function(), None
        except BaseException as error:
            outcome = None, fault(error)
        with contextlib.suppress(RuntimeError):  # nobody waits any more, and the loop is closed
            loop.call_soon_threadsafe(settle, outcome)

    threading.Thread(target=inside, daemon=True).start()
    value, wrong = await bounded(answer, seconds)
    if wrong is not None:
        raise wrong
    return value


def elsewhere(target: str, arguments: dict[str, Any], seconds: float) -> Any:
    """What a function gives in another process. Raises InputError if it raised, hung or took its process down."""
    try:
        return called_elsewhere("thinkery.tools.tool:within", target, arguments, seconds=seconds)
    except CheckFailed as error:
        if error.how == "raised":
            raise InputError(str(error).partition(" raised ")[2].removeprefix("InputError: ")) from None
        raise InputError(f"it did not end within {seconds:g} s" if error.how == "time" else "its process died") from None


def within(target: str, arguments: dict[str, Any]) -> str:
    """`elsewhere`'s other end: the function's answer as text."""
    function = found(target)
    bound, _ = bound_by(function, function.__name__)
    given = bound(arguments)
    return shown(function(**{key: getattr(given, key) for key in given.__struct_fields__}))


def fault(error: BaseException) -> Exception:
    """What a tool raised as what a model may read; a RunError as it is."""
    if isinstance(error, (RunError, InputError)):
        return error
    return InputError(f"{type(error).__name__}: {error}")


def target_of(function: Callable[..., Any]) -> str:
    """Where another process finds the function. Raises InputError for one that does not stand at the top of its module."""
    name, module = getattr(function, "__qualname__", ""), getattr(function, "__module__", "")
    if not name.isidentifier() or inspect.iscoroutinefunction(function):
        raise InputError(f"the tool {name!r} cannot run in another process: write it as a plain function at the top of a module")
    return f"{Path(inspect.getfile(function)).resolve()}:{name}" if module == "__main__" else f"{module}:{name}"


# ---- arguments and schemas


def object_of(arguments: Mapping[str, Any] | str) -> dict[str, Any]:
    """A call's arguments. Raises InputError for what is no JSON object."""
    if not isinstance(arguments, str):
        return dict(arguments)
    if len(arguments) > LARGEST:
        raise InputError(f"arguments of {len(arguments)} characters; at most {LARGEST} are read")
    try:
        value = msgspec.json.decode(encodable(arguments) or "{}")
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InputError(f"the arguments are not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InputError(f'the arguments are a JSON {KINDS.get(type(value), "number")}; write an object, as in {{"name": value}}')
    return value


def kind_of(schema: Mapping[str, Any]) -> str:
    """A schema in a word or two."""
    if "enum" in schema:
        return " | ".join(shown(v) if isinstance(v, str) else repr(v) for v in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(kind_of(s) for s in schema["anyOf"])
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    kind = schema.get("type", "any")
    return f"{kind} of {kind_of(schema['items'])}" if kind == "array" and isinstance(schema.get("items"), dict) else str(kind)
