"""Checks in processes that can be killed: for graders that are slow, are not ours, or may hang on a hostile answer.

Each process checks one thing at a time under a limit on the clock. One that runs out of it, or dies, is killed with all that it
started, and the next check gets a new one. Only plain values travel, both ways, so that a grader that was taken over by the answer
it reads has no way back.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import faulthandler
import importlib
import importlib.util
import inspect
import os
import selectors
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Literal, cast

import msgspec

from ..core.errors import VerifierError

SECONDS = 10.0  # for a check, unless it says otherwise
START = 120.0  # for starting a process and importing what it is to call
GRACE = 2.0  # after which a process whose parent is gone stops by itself
MEMORY = 8 << 30  # bytes of address space for each process
LARGEST = 64 << 20  # bytes of a message
HEADER = struct.Struct("<Q")
COMMAND = "from thinkery.tools.workers import serve; serve()"

Failure = Literal["time", "died", "raised"]


class CheckFailed(VerifierError):
    """A check that gave nothing: it ran out of time, its process died, or it raised. `how` says which."""

    def __init__(self, how: Failure, message: str) -> None:
        super().__init__(message)
        self.how = how


class Workers:
    """At most `count` processes, started when needed. Serves any number of threads; a forked child starts its own."""

    def __init__(self, count: int | None = None) -> None:
        self.count = count or max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
        self._fresh()
        atexit.register(self.close)

    def _fresh(self) -> None:
        self._owner, self._idle, self._lock = os.getpid(), list[Worker](), threading.Lock()
        self._room = threading.BoundedSemaphore(self.count)

    def call(self, target: str, *arguments: Any, seconds: float = SECONDS) -> Any:
        """What the function at `target` gives for plain arguments: "package.module:function" or "file.py:function".

        Raises CheckFailed when it raised, hung, died, or gave what is no plain value. Importing it is not on its clock.
        """
        if self._owner != os.getpid():
            self._fresh()
        request = msgspec.msgpack.encode((target, arguments, seconds))
        with self._room:
            worker = self._take()
            try:
                status, value = worker.ask(request, seconds, target)
            except BaseException:
                worker.kill()
                raise
            with self._lock:
                self._idle.append(worker)
        if status == "raised":
            raise CheckFailed("raised", f"the check {target} raised {value}")
        return value

    def _take(self) -> Worker:
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.process.poll() is None:
                    return worker
                worker.kill()
        return Worker()

    def close(self) -> None:
        """Stop the processes that wait; in a forked child, leave the parent's alone."""
        if self._owner == os.getpid():
            with self._lock:
                while self._idle:
                    self._idle.pop().kill()


class Worker:
    """One process and the pipes to it."""

    def __init__(self) -> None:
        fixed = {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **fixed},
            start_new_session=True,
            bufsize=0,
        )

    def ask(self, request: bytes, seconds: float, target: str) -> tuple[str, Any]:
        """The answer to one request. Raises CheckFailed."""
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # then reading says that it is gone
            self.process.stdin.write(HEADER.pack(len(request)) + request)
        raw: bytes | None = None
        for limit, what in ((START, "start"), (seconds, "end")):
            raw = read_frame(self.process.stdout, time.monotonic() + limit)
            if raw is None:
                raise CheckFailed("time", f"the check {target} did not {what} within {limit:g} s")
            if not raw:
                raise CheckFailed("died", f"the check {target} took its process down (status {self.process.wait()})")
            if raw != READY:
                break
        try:
            status, value = msgspec.msgpack.decode(raw or b"", type=tuple[Literal["done", "raised"], Any])
        except msgspec.MsgspecError:
            raise CheckFailed("died", f"the check {target} answered with what cannot be read") from None
        return status, value

    def kill(self) -> None:
        """Stop it, and all it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


READY = b"ready"
shared = Workers()


def call(target: str, *arguments: Any, seconds: float = SECONDS) -> Any:
    """`Workers.call` of the processes that all checks share."""
    return shared.call(target, *arguments, seconds=seconds)


def read_frame(pipe: IO[bytes], deadline: float) -> bytes | None:
    """One message; b"" where the pipe ended, None where the deadline came first."""
    wanted, got = HEADER.size, b""
    size: int | None = None
    with selectors.DefaultSelector() as ready:
        ready.register(pipe, selectors.EVENT_READ)
        while True:
            if not ready.select(max(0.0, deadline - time.monotonic())):
                return None
            piece = pipe.read(min(wanted - len(got), 1 << 20))
            if not piece:
                return b""
            got += piece
            if len(got) < wanted:
                continue
            if size is not None:
                return got
            (size,) = HEADER.unpack(got)
            if not 0 < size <= LARGEST:
                return b"?"
            wanted, got = size, b""


# ---- within the worker


def serve() -> None:
    """Answer requests until the parent is gone. What a check prints goes nowhere."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):
        os.dup2(nowhere, stream)
    _bound_memory()
    while header := requests.read(HEADER.size):
        target, arguments, seconds = msgspec.msgpack.decode(requests.read(HEADER.unpack(header)[0]))
        send(answers, answered(target, arguments, seconds, lambda: send(answers, READY)))


def send(pipe: IO[bytes], message: bytes) -> None:
    """Write one message."""
    pipe.write(HEADER.pack(len(message)) + message)
    pipe.flush()


def answered(target: str, arguments: list[Any], seconds: float, ready: Callable[[], None]) -> bytes:
    """The encoded answer; `ready` is called when the function is there and its clock starts."""
    try:
        function = found(target)
        ready()
        faulthandler.dump_traceback_later(seconds + GRACE, exit=True)
        value = function(*arguments)
        faulthandler.cancel_dump_traceback_later()
        return msgspec.msgpack.encode(("done", value), enc_hook=plain)
    except BaseException as error:
        faulthandler.cancel_dump_traceback_later()
        said = f"{type(error).__name__}: {error}".encode("utf-8", "replace").decode()
        return msgspec.msgpack.encode(("raised", said[:2000]))


def plain(value: Any) -> Any:
    """Numbers of numpy and tensors with one element as plain ones. Raises TypeError."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a check gives plain values, not {type(value).__name__}")


@lru_cache(maxsize=64)
def found(target: str) -> Callable[..., Any]:
    """The function at a target; coroutine functions are run to their end."""
    place, _, name = target.rpartition(":")
    if place.endswith(".py"):
        spec = importlib.util.spec_from_file_location(Path(place).stem, place)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        sys.path.insert(0, str(Path(place).resolve().parent))
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(place)
    function: Any = module
    for part in name.split("."):
        function = getattr(function, part)
    if inspect.iscoroutinefunction(function):
        return lambda *arguments: asyncio.run(function(*arguments))
    return cast(Callable[..., Any], function)


def _bound_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
