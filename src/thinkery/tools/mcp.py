"""Tools of other programs, and ours for them, by the Model Context Protocol over standard input and output (extra `mcp`).

    server = Server("npx some-server --flag")
    box = Toolbox([*server.tools, calculate])

One server answers all rollouts, many at a time; what it remembers between calls, it remembers for all. It is started with few
variables of the environment, so it must be told its secrets in its command.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import logging
import os
import shlex
import tempfile
import threading
from collections.abc import Iterable
from typing import Any

from ..core.errors import InputError, MissingExtra, RunError
from .text import shown
from .tool import LONGEST, SECONDS, Tool, Toolbox

START = 60.0  # seconds for a server to start and to say what it offers
STOP = 10.0  # to stop
CLOSED = -32000  # the protocol's code for a connection that is gone
PAGES = 100  # of tools that a server may list


class Server:
    """A program that offers tools, started when made, and anew when it died. Raises InputError for one that does not start.

    command   the program and its arguments, as in a shell
    seconds   for a call
    tools     what it offers
    """

    def __init__(self, command: str, *, seconds: float = SECONDS, longest: int = LONGEST) -> None:
        self.words, self.seconds = words_of(command), seconds
        self._lock, self._link = threading.Lock(), Link(self.words)
        self.tools = [self._tool(t, longest) for t in self._link.listed]
        atexit.register(self.close)

    def _tool(self, listed: Any, longest: int) -> Tool:
        async def work(arguments: dict[str, Any]) -> str:
            link = await asyncio.to_thread(self._linked)
            return await asyncio.wrap_future(link.call(listed.name, arguments, self.seconds))

        about = listed.description or listed.title or ""
        return Tool(listed.name, about, listed.input_schema, work, longest)

    def _linked(self) -> Link:
        """The connection; another where this one broke, or belongs to the process that this one was forked from."""
        with self._lock:
            if self._link.broken or self._link.owner != os.getpid():
                try:
                    self._link = Link(self.words)
                except InputError as error:
                    raise RunError(f"the tools' server does not start again: {error}") from None
            return self._link

    def close(self) -> None:
        """Stop it."""
        self._link.close()


class Link:
    """A running server and the thread that talks to it: the protocol's client belongs to one event loop, solvers come and go with theirs.

    Raises InputError where the server does not start.
    """

    def __init__(self, words: list[str]) -> None:
        self.owner, self.words, self.broken = os.getpid(), words, False
        self.loop = asyncio.new_event_loop()
        self._client: Any = None
        self._task: asyncio.Task[None] | None = None
        begun: concurrent.futures.Future[list[Any]] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, args=(begun,), daemon=True)
        self._thread.start()
        try:
            self.listed = begun.result(START)
        except concurrent.futures.TimeoutError:
            self.close()
            raise InputError(f"{shlex.join(words)!r} did not say within {START:g} s what tools it has; is it an MCP server?") from None

    def _run(self, begun: concurrent.futures.Future[list[Any]]) -> None:
        with tempfile.TemporaryFile("w+", errors="replace") as said:
            try:
                self._task = self.loop.create_task(self._live(begun, said))
                self.loop.run_until_complete(self._task)
            except BaseException as error:
                self.broken = True
                if not begun.done():
                    said.seek(0)
                    reason = " ".join([said.read()[-500:].strip(), str(innermost(error))]).strip()
                    begun.set_exception(InputError(f"{shlex.join(self.words)!r} is no MCP server that starts: {reason}"))
            finally:
                self.broken = True
                self.loop.close()

    async def _live(self, begun: concurrent.futures.Future[list[Any]], said: Any) -> None:
        from mcp import Client, StdioServerParameters, stdio_client

        logging.getLogger("mcp").setLevel(logging.CRITICAL)  # it says in many lines what a call's error says in one
        given = StdioServerParameters(command=self.words[0], args=self.words[1:], encoding_error_handler="replace")
        async with Client(stdio_client(given, errlog=said), read_timeout_seconds=START) as client:
            self._client = client
            listed: list[Any] = []
            cursor = None
            for _ in range(PAGES):
                page = await client.list_tools(cursor=cursor)
                listed += page.tools
                cursor = page.next_cursor
                if not cursor:
                    break
            begun.set_result(listed)
            await asyncio.Event().wait()  # until cancelled

    def call(self, name: str, arguments: dict[str, Any], seconds: float) -> concurrent.futures.Future[str]:
        """A tool's text. It raises InputError for what the server refuses, and where it hangs or dies."""
        return asyncio.run_coroutine_threadsafe(self._called(name, arguments, seconds), self.loop)

    async def _called(self, name: str, arguments: dict[str, Any], seconds: float) -> str:
        try:
            async with asyncio.timeout(seconds):
                result = await self._client.call_tool(name, arguments, read_timeout_seconds=seconds + 1)
        except TimeoutError:
            raise InputError(f"it did not end within {seconds:g} s") from None
        except Exception as error:
            fault = innermost(error)
            self.broken = self.broken or getattr(fault, "code", None) == CLOSED or not hasattr(fault, "code")
            raise InputError(f"{type(fault).__name__}: {fault}") from None
        text = "\n".join(part_text(part) for part in result.content)
        if result.is_error:
            raise InputError(text.removeprefix("error: "))
        return text

    def close(self) -> None:
        """Stop the server."""
        if self.owner == os.getpid():
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._stop)
            self._thread.join(STOP)

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()


def words_of(command: str) -> list[str]:
    """A command's words. Raises InputError for none, and MissingExtra."""
    try:
        import mcp  # noqa: F401
    except ImportError:
        raise MissingExtra("mcp", "mcp", "attaching a server's tools") from None
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InputError(f"the command {command!r} cannot be read: {error}") from None
    if not words:
        raise InputError("an empty command: write what starts the server, as in 'npx some-server'")
    return words


def innermost(error: BaseException) -> BaseException:
    """What a group of errors is about."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def part_text(part: Any) -> str:
    """A part of an answer as text; a picture or a sound is named alone."""
    if part.type == "text":
        return str(part.text)
    resource = getattr(part, "resource", None)
    return str(getattr(resource, "text", f"<{part.type}>"))


# ---- serving


async def serve(name: str, tools: Iterable[Tool]) -> None:
    """Offer tools to the program that started this one, until it closes our input. Raises MissingExtra."""
    try:
        from mcp import types
        from mcp.server import Server as Serving
        from mcp.server.stdio import stdio_server
    except ImportError:
        raise MissingExtra("mcp", "mcp", "serving tools") from None

    box = Toolbox(tools)
    listed = [types.Tool(name=t.name, description=t.description, input_schema=dict(t.parameters)) for t in box.values()]

    async def list_tools(context: Any, asked: Any) -> Any:
        return types.ListToolsResult(tools=listed)

    async def call_tool(context: Any, asked: Any) -> Any:
        try:
            called = await box.call(asked.name, asked.arguments or {})
            text, wrong = called.text, bool(called.error)
        except RunError as error:
            text, wrong = shown(f"error: {error}"), True
        box.calls.clear()
        return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=wrong)

    serving: Any = Serving(name, on_list_tools=list_tools, on_call_tool=call_tool)
    async with stdio_server() as (reading, writing):
        await serving.run(reading, writing, serving.create_initialization_options())
