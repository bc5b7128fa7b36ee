"""The inside of the jail (see `jail`): a process that answers requests, each in a fork of its own. It knows the standard library alone.

What holds for a program: no process but its own, no network, no signal to others, nothing to write to, nothing to read but Python and
/usr; memory, time and output are bounded; it is always the same moment, sleeping takes no time, and random numbers are the same in every
run (those of `random`, `secrets`, `os.urandom`, `uuid` and numpy; the hashes of strings too). Not so `time.monotonic`, which waiting for
threads needs, and the addresses of objects.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import ctypes
import datetime
import errno
import gc
import importlib
import io
import json
import marshal
import math
import os
import platform
import random
import resource
import select
import signal
import struct
import sys
import time
import types
from collections.abc import Callable
from typing import Any

HEADER = struct.Struct("<Q")
READY = b"ready"
CLOSED = b"+"  # before all that a program may say: its process is fenced in
ENDED = ("done", "error", "limit", "unsupported")
PRELOADED = ("numpy", "sympy")
MEMORY = 1 << 30  # bytes of address space, of which Python with numpy and sympy takes a third
OUTPUT = 100_000  # bytes printed, and of the value
ANSWER = 8 * OUTPUT  # bytes of an answer
MOMENT = 0.1  # seconds
FILES = 64  # open at once
SAID = 2000  # characters of an error
NOW = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
ELSEWHERE = frozenset(sys.argv[1:])  # packages that programs may well ask for

# ---- what the kernel refuses, by the machine's numbers

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
REFUSED = {
    "x86_64": (
        *(57, 58, 59, 322),  # fork, vfork, execve, execveat
        *(62, 200, 234, 129, 297, 424, 434, 438),  # kill, tkill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo, pidfd_*
        *(41, 44, 46),  # socket, sendto, sendmsg
        *(29, 64, 68, 240, 319, 248, 249, 250),  # shmget, semget, msgget, mq_open, memfd_create, keys
        *(101, 310, 311, 312, 135),  # ptrace, process_vm_*, kcmp, personality
        *(141, 142, 144, 203, 251, 314),  # priorities and processors
        *(155, 161, 165, 166, 272, 308, 428, 429, 430, 431, 432, 442),  # mounts and namespaces
        *(175, 313, 298, 303, 304, 321, 323, 425),  # modules, perf, handles, bpf, userfaultfd, io_uring
    ),
    "aarch64": (
        *(221, 281),
        *(129, 130, 131, 138, 240, 424, 434, 438),
        *(198, 206, 211),
        *(194, 190, 186, 180, 279, 217, 218, 219),
        *(117, 270, 271, 272, 92),
        *(140, 118, 119, 122, 30, 274),
        *(41, 51, 40, 39, 97, 268, 428, 429, 430, 431, 432, 442),
        *(105, 273, 241, 264, 265, 280, 282, 425),
    ),
}
CLONE = {"x86_64": 56, "aarch64": 220}  # threads alone
CLONE3 = 435  # its flags cannot be looked at; the C library then uses the old one
LIMITS = {"x86_64": 302, "aarch64": 261}  # prlimit64: a process's own alone
THREAD = 0x10000
LOAD, EQUAL, AT_LEAST, HAS, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF
ALLOW, KILL, PERMISSION, UNKNOWN = 0x7FFF0000, 0x80000000, 0x50001, 0x50026


def rules(machine: str) -> list[tuple[int, int, int, int]]:
    """A BPF program (code, jump if true, jump if false, value) over a call's architecture, number and first argument."""
    found = [(LOAD, 0, 0, 4), (EQUAL, 1, 0, ARCHITECTURES[machine]), (RETURN, 0, 0, KILL), (LOAD, 0, 0, 0)]
    found += [(AT_LEAST, 0, 1, 0x40000000), (RETURN, 0, 0, PERMISSION)]  # the other numbering of x86
    for number in REFUSED[machine]:
        found += [(EQUAL, 0, 1, number), (RETURN, 0, 0, PERMISSION)]
    found += [(EQUAL, 0, 1, CLONE3), (RETURN, 0, 0, UNKNOWN)]
    for number, test in ((CLONE[machine], (HAS, 1, 0, THREAD)), (LIMITS[machine], (EQUAL, 1, 0, 0))):
        found += [(EQUAL, 0, 4, number), (LOAD, 0, 0, 16), test, (RETURN, 0, 0, PERMISSION), (RETURN, 0, 0, ALLOW)]
    return [*found, (RETURN, 0, 0, ALLOW)]


def fence() -> None:
    """Have the kernel refuse, for good. Raises OSError where it cannot."""
    listed = b"".join(struct.pack("<HBBI", *rule) for rule in rules(platform.machine()))
    held = ctypes.create_string_buffer(listed, len(listed))
    program = struct.pack("@HP", len(listed) // 8, ctypes.addressof(held))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(38, 1, 0, 0, 0) or prctl(22, 2, ctypes.c_char_p(program), 0, 0):  # no new privileges; a filter
        raise OSError(ctypes.get_errno(), "no seccomp")


def bound(seconds: float) -> None:
    """Bound memory, processor time and files."""
    longest = math.ceil(seconds) + 1
    for what, limit in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, longest),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, FILES),
    ):
        resource.setrlimit(what, (limit, limit))


def freeze() -> None:
    """Stop the clock, and have random numbers be the same in every run."""
    sys.argv = ["program.py"]
    seconds = NOW.timestamp()
    for name, value in (("time", seconds), ("perf_counter", 0.0), ("process_time", 0.0), ("thread_time", 0.0)):
        setattr(time, name, lambda value=value: value)
        setattr(time, f"{name}_ns", lambda value=value: int(value) * 10**9)
    time.sleep = lambda seconds: None
    for name in ("gmtime", "localtime", "ctime"):
        setattr(time, name, always(getattr(time, name), seconds))
    then = time.localtime()
    time.strftime = lambda form, given=then, own=time.strftime: own(form, given)  # type: ignore[misc]
    time.asctime = lambda given=then, own=time.asctime: own(given)  # type: ignore[misc]
    naive = NOW.replace(tzinfo=None)
    replaced(datetime.datetime, "now", lambda kind, tz=None: of_kind(kind, naive if tz is None else NOW.astimezone(tz)))
    replaced(datetime.datetime, "utcnow", lambda kind: of_kind(kind, naive))
    replaced(datetime.datetime, "today", lambda kind: of_kind(kind, naive))
    replaced(datetime.date, "today", lambda kind: kind(NOW.year, NOW.month, NOW.day))
    draws, seed = random.Random(0), random.Random.seed
    os.urandom = draws.randbytes
    random._urandom = draws.randbytes  # type: ignore[attr-defined]
    os.getrandom = lambda size, flags=0: draws.randbytes(size)
    random.Random.seed = lambda self, a=None, version=2: seed(self, 0 if a is None else a, version)  # type: ignore[method-assign]
    random.seed = random._inst.seed
    with contextlib.suppress(ImportError):
        importlib.import_module("numpy").random.seed(0)


def always(function: Callable[[float], Any], seconds: float) -> Callable[..., Any]:
    """A function of time, with that moment for the present one."""
    return lambda given=None: function(seconds if given is None else given)


def replaced(kind: type, name: str, function: Callable[..., Any]) -> None:
    """Replace a class method of a type that is written in C."""
    gc.get_referents(vars(kind))[0][name] = classmethod(function)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))


def of_kind(kind: type[datetime.datetime], t: datetime.datetime) -> datetime.datetime:
    return kind(t.year, t.month, t.day, t.hour, t.minute, t.second, t.microsecond, t.tzinfo)


# ---- one program


def attempted(snippets: list[str], inputs: dict[str, Any], stdin: str | None, output: int) -> dict[str, Any]:
    """Run the snippets in one namespace; what became of the last. Its output alone goes where `output` leads."""
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    vars(module).update(inputs)
    lines = sys.stdin = io.StringIO(stdin or "")
    builtins.input = reader(lines)
    random.seed()  # in the fork: Python draws anew after each
    found: dict[str, Any] = {}
    for i, code in enumerate(snippets):
        if i == len(snippets) - 1:
            sys.stdout.flush()
            os.dup2(output, 1)
        found = outcome(code, vars(module))
        if found["ended"] in ("limit", "unsupported"):
            break
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    return found


def reader(lines: io.StringIO) -> Callable[..., str]:
    """An `input` whose prompt is not printed."""

    def read(prompt: object = "") -> str:
        line = lines.readline()
        if not line:
            raise EOFError("EOF when reading a line")
        return line.removesuffix("\n")

    return read


def outcome(code: str, names: dict[str, Any]) -> dict[str, Any]:
    """A Result's fields, its output apart."""
    try:
        return {"ended": "done", "value": evaluated(code, names)}
    except MemoryError:
        return {"ended": "limit", "error": "memory limit exceeded"}
    except RecursionError:
        return {"ended": "limit", "error": "maximum recursion depth exceeded"}
    except SystemExit:
        return {"ended": "error", "error": "SystemExit"}
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in sys.stdlib_module_names or missing in ELSEWHERE:
            return {"ended": "unsupported", "error": f"import {missing}"}
        return {"ended": "error", "error": said(error)}
    except OSError as error:
        refused = error.errno in (errno.EPERM, errno.EROFS)  # by the fence, and by what can only be read
        return {"ended": "unsupported" if refused else "error", "error": said(error)}
    except BaseException as error:
        return {"ended": "error", "error": said(error)}


def evaluated(code: str, names: dict[str, Any]) -> str | None:
    """Run a snippet; the value of its last expression as Python writes it."""
    tree = ast.parse(code, "<program>")
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<program>", "exec"), names)  # noqa: S102
    if last is None:
        return None
    assert isinstance(last, ast.Expr)
    value = eval(compile(ast.Expression(last.value), "<program>", "eval"), names)  # noqa: S307
    try:
        return None if value is None else repr(value)[:OUTPUT]
    except ValueError:  # a whole number of thousands of digits
        return f"<{type(value).__name__} too large to write>"


def said(error: BaseException) -> str:
    """An error's kind and message."""
    try:
        message = str(error)
    except BaseException:
        message = ""
    kind = type(error).__name__
    return (f"{kind}: {message}" if message else kind)[:SAID]


# ---- the server


def serve() -> None:
    """Answer requests until nobody asks."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    freeze()
    gc.freeze()
    send(answers, READY)
    while header := requests.read(HEADER.size):
        send(answers, answered(*marshal.loads(requests.read(HEADER.unpack(header)[0]))))  # noqa: S302


def send(pipe: Any, message: bytes) -> None:
    """Write one message."""
    pipe.write(HEADER.pack(len(message)) + message)
    pipe.flush()


def answered(snippets: list[str], inputs: dict[str, Any], stdin: str | None, seconds: float) -> bytes:
    """A Result's fields as JSON."""
    (output, printing), (answer, answering) = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        inside(snippets, inputs, stdin, seconds, printing, answering)
    os.close(printing)
    os.close(answering)
    told, over = gathered({output: OUTPUT, answer: ANSWER}, seconds)
    status = ended(child)
    os.close(output)
    os.close(answer)
    printed = told[output][:OUTPUT].decode("utf-8", "replace")
    closed, words = told[answer][:1] == CLOSED, told[answer][1:]
    try:
        found = {"ended": "limit", "error": over} if over else read(words)
    except (ValueError, RecursionError):
        found = fallen(status)
    if not (closed or over):
        found = {"ended": "broken", "error": told[answer].decode("utf-8", "replace")}
    return json.dumps({"value": None, "error": "", **found, "output": printed}).encode()


def read(told: bytes) -> dict[str, Any]:
    """What a program's process said of itself, which may be anything. Raises ValueError for what is no Result."""
    found = json.loads(told)
    if isinstance(found, dict) and found.get("ended") in ENDED:
        fields = {key: found[key] for key in ("ended", "value", "error") if found.get(key) is not None}
        if all(isinstance(value, str) for value in fields.values()):
            return fields
    raise ValueError("no result")


def inside(snippets: list[str], inputs: dict[str, Any], stdin: str | None, seconds: float, printing: int, answering: int) -> None:
    """The fork: never returns."""
    leave, write, dumps = os._exit, os.write, json.dumps
    try:
        os.dup2(printing, 3)
        os.dup2(answering, 4) if answering != 4 else None
        os.closerange(5, 1024)
        try:
            bound(seconds)
            fence()
        except OSError as error:
            write(4, said(error).encode())
            leave(1)
        write(4, CLOSED)
        sys.stdout = open(1, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
        told = dumps(attempted(snippets, inputs, stdin, 3), ensure_ascii=False).encode("utf-8", "replace")
        while told:
            told = told[write(4, told) :]
    finally:
        leave(0)


def gathered(limits: dict[int, int], seconds: float) -> tuple[dict[int, bytes], str]:
    """What comes out of each pipe until the second one ends, and the limit that was met."""
    end = CLOCK() + seconds
    told, open_ = dict.fromkeys(limits, b""), set(limits)
    while open_:
        ready, _, _ = select.select(list(open_), [], [], max(0.0, end - CLOCK()))
        if not ready:
            return told, "time limit exceeded"
        for pipe in ready:
            piece = os.read(pipe, 1 << 16)
            told[pipe] += piece
            if not piece:
                open_.discard(pipe)
            if len(told[pipe]) > limits[pipe]:
                return told, "output limit exceeded"
    return told, ""


def ended(child: int) -> int:
    """Its status, when nothing is left of it. One that closed its pipes has a moment to end by itself."""
    done, status, end = 0, 0, CLOCK() + MOMENT
    while not done and CLOCK() < end:
        select.select([], [], [], 0.0005)
        done, status = os.waitpid(child, os.WNOHANG)
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    return status if done else os.waitpid(child, 0)[1]


def fallen(status: int) -> dict[str, str]:
    """What became of a program that left no answer."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number in (signal.SIGKILL, signal.SIGXCPU):
            return {"ended": "limit", "error": "time or memory limit exceeded"}
        return {"ended": "error", "error": f"the program brought its interpreter down ({signal.Signals(number).name})"}
    return {"ended": "error", "error": "SystemExit"}


CLOCK = time.monotonic  # before it is stopped

if __name__ == "__main__":
    serve()
