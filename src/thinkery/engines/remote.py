"""What engines have in common whose tokens are written on a server: HTTP calls in threads, retried, bounded, cancelled by closing them.

Only the standard library is needed. A key is sent in a header and stands in no message.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from ..core.context import Context, Turn
from ..core.errors import BadConfig, EngineError, PromptTooLong, ThinkeryError
from ..core.reading import loads
from ..core.rng import addresses
from .tree import Tree
from .work import Answer

TRIES = 6
AT_ONCE = 64  # calls under way; further asks wait
AGAIN = (408, 409, 425, 429, 500, 502, 503, 504)  # worth another try


class Cancelled(Exception):
    """The call was given up."""


class Garbled(EngineError):
    """The server answered, but with something else than what was asked for."""


class Call:
    """One call under way, which another thread may give up."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.connection: http.client.HTTPConnection | None = None

    def abort(self) -> None:
        """Close the connection, so that the server stops too."""
        self.over.set()
        connection = self.connection
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)


class Server:
    """A server that speaks JSON.

    url       as given, without the trailing /v1
    timeout   seconds to wait for a reply
    pause     seconds before the second try; doubled before each further one, unless the server says how long to wait
    """

    def __init__(self, url: str, timeout: float = 600.0, pause: float = 0.5) -> None:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
            raise BadConfig(f"{url!r} is no address of a server; write http://HOST:PORT or https://HOST")
        self.secure, self.host, self.port = parts.scheme == "https", parts.hostname, port
        self.base = parts.path.rstrip("/").removesuffix("/v1")
        self.url = f"{parts.scheme}://{self.host}{'' if port is None else f':{port}'}{self.base}"
        self.timeout, self.pause = timeout, pause
        self.key = os.environ.get("THINKERY_API_KEY") or os.environ.get("OPENAI_API_KEY")
        self.kept = threading.local()

    def __repr__(self) -> str:
        return f"Server({self.url})"

    def call(self, path: str, body: Any = None, call: Call | None = None, read: Callable[[Any], Any] = lambda found: found) -> Any:
        """What `read` makes of the JSON that a GET, or with a body a POST, brings back; tried again where that may help, as it may if `read`
        raises Garbled.

        Raises BadConfig for a wrong key or address, PromptTooLong, EngineError with what the server says, Cancelled.
        """
        try:
            return self._tries(path, body, call or Call(), read)
        finally:
            if call is None:  # alone, not one of many by the same thread
                self.forget()

    def _tries(self, path: str, body: Any, call: Call, read: Callable[[Any], Any]) -> Any:
        problem, wait = "", 0.0
        for attempt in range(TRIES):
            if call.over.wait(wait):
                raise Cancelled
            wait = min(self.pause * 2**attempt, 30.0)
            try:
                status, headers, text = self._once(path, body, call)
            except (OSError, http.client.HTTPException) as error:
                problem = f"{type(error).__name__} {error}".strip()
                continue
            if status < 300:
                try:
                    return read(_parsed(text))
                except Garbled as error:
                    problem = str(error)
                    continue
            problem = f"status {status}: {said(text)}"
            if status not in AGAIN:
                raise self._refusal(status, path, said(text))
            if re.fullmatch(r"\d+(\.\d+)?", headers.get("Retry-After") or ""):
                wait = min(float(headers["Retry-After"]), 60.0)
        if call.over.is_set():
            raise Cancelled
        raise EngineError(f"{self.url}{path} did not answer in {TRIES} tries; the last: {problem}. Is the server up and not overloaded?")

    def _once(self, path: str, body: Any, call: Call) -> tuple[int, Any, str]:
        connection = getattr(self.kept, "connection", None)
        if connection is None:
            kind = http.client.HTTPSConnection if self.secure else http.client.HTTPConnection
            connection = self.kept.connection = kind(self.host, self.port, timeout=self.timeout)
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        call.connection = connection
        try:
            data = None if body is None else json.dumps(body)
            connection.request("GET" if body is None else "POST", self.base + path, data, headers)
            if call.over.is_set():
                raise ConnectionAbortedError
            reply = connection.getresponse()
            return reply.status, reply.headers, reply.read().decode("utf-8", "replace")
        except BaseException:
            self.forget()
            raise
        finally:
            call.connection = None

    def forget(self) -> None:
        """Close this thread's connection."""
        connection = getattr(self.kept, "connection", None)
        if connection is not None:
            connection.close()
            self.kept.connection = None

    def _refusal(self, status: int, path: str, message: str) -> ThinkeryError:
        if status in (401, 403):
            return BadConfig(f"{self.url} refuses the key ({status}: {message}); set THINKERY_API_KEY or OPENAI_API_KEY to a valid one")
        if status == 404:
            return BadConfig(f"{self.url}{path} does not exist (404: {message}); check the address and the model's name")
        if re.search(r"context[ _]length|too (long|many tokens)|exceeds? the (model|context)", message, re.IGNORECASE):
            return PromptTooLong(f"{self.url}: {message}")
        return EngineError(f"{self.url}{path} refused ({status}): {message}")


def _parsed(text: str) -> Any:
    """What JSON says; other text as it is (some routes answer in plain words)."""
    try:
        return loads(text)
    except ValueError:
        return text


def said(text: str) -> str:
    """The message in an error's body, for people."""
    found: Any = text
    with contextlib.suppress(ValueError):
        found = loads(text)
    for name in ("error", "message", "detail"):
        found = found.get(name) or found if isinstance(found, dict) else found
    return " ".join(str(found).split())[:300] or "no reason given"


class Remote:
    """An engine's part that asks a server: `submit` runs a call in a thread and hands its turn to whoever waits.

    at_once   most calls under way
    stats     counters since the last reset: asks, tokens (as the server counts them), cancelled
    """

    def __init__(self, server: Server, model: Any, at_once: int = AT_ONCE) -> None:
        self.server, self.model, self.at_once = server, model, at_once
        self._loop: asyncio.AbstractEventLoop | None = None
        self.wake: asyncio.Event | None = None
        self.todo: deque[Callable[[], None]] = deque()
        self.threads, self.lock = 0, threading.Lock()
        self.root = Context.root(model.tokenizer)
        self.calls: dict[int, Call] = {}
        self.begin()

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that solvers wait in. Without one nobody waits, so what is still under way is given up: it may cost money."""
        return self._loop

    @loop.setter
    def loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop
        if loop is None:
            with self.lock:
                self.todo.clear()
            for call in self.calls.values():
                call.abort()
            self.calls.clear()

    def begin(self) -> None:
        """Empty tree, empty counters. Nothing may be live."""
        self.tree = Tree()
        self.root.release()
        self.root = Context.root(self.model.tokenizer)
        self.calls = {}
        self.stats = {"asks": 0, "tokens": 0, "cancelled": 0}

    @property
    def busy(self) -> bool:
        """Never: the work is done elsewhere."""
        return False

    def step(self, most: int = 1) -> None:
        """Nothing to do here."""

    def submit(self, work: Callable[[Call], tuple[Turn, dict[str, int]]]) -> Answer:
        """The turn that `work` will return in a thread, with what it adds to the counters."""
        answer, call, loop = Answer(self, self.loop), Call(), self.loop or asyncio.get_running_loop()
        self.calls[id(answer)] = call
        self.stats["asks"] += 1

        def run() -> None:
            found: Any
            try:
                found = work(call) if not call.over.is_set() else Cancelled()
            except Exception as error:
                found = error
            with contextlib.suppress(RuntimeError):  # the loop may be gone, and nobody waits
                loop.call_soon_threadsafe(self._arrived, answer, found)

        with self.lock:
            self.todo.append(run)
            more = self.threads < min(self.at_once, len(self.calls))
            self.threads += more
        if more:
            threading.Thread(target=self._serve, daemon=True).start()
        return answer

    def _serve(self) -> None:
        """In a thread: one call after another on one connection, until none is left."""
        while True:
            with self.lock:
                if not self.todo:
                    self.threads -= 1
                    break
                run = self.todo.popleft()
            run()
        self.server.forget()

    def _arrived(self, answer: Answer, found: Any) -> None:
        """In the event loop: hand over what a call brought."""
        self.calls.pop(id(answer), None)
        if not answer.done():
            if isinstance(found, BaseException):
                answer.set_exception(found)
                if answer.work is not None:
                    answer.work.wake()
            else:
                turn, counted = found
                for name, n in counted.items():
                    self.stats[name] = self.stats.get(name, 0) + n
                answer.give(turn)
        if self.wake is not None:
            self.wake.set()

    def drop(self, answer: Answer) -> None:
        """Give up a cancelled ask."""
        call = self.calls.pop(id(answer), None)
        if call is not None:
            self.stats["cancelled"] += 1
            call.abort()


def seed_of(context: Context, place: tuple[int, int, int]) -> int:
    """The seed of an ask: 31 bits of its address, which every server takes."""
    base, kind, nth = place
    return int(addresses(0, *(np.array(x, np.uint64) for x in (base, context.hash, kind, nth)))) >> 33
