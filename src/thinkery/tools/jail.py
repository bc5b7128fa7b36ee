"""CPython with numpy and sympy in a jail: bubblewrap around a process that forks for every program.

Linux alone, and only where bubblewrap is installed and may make namespaces: `python.lacking` finds out. What programs see is said in
`jailed`. It runs in the processes of `tools.workers`: a jail each, started when first asked for. From elsewhere, see `python`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import marshal
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from ..core.errors import RunError
from .jailed import ARCHITECTURES, HEADER, PRELOADED, READY
from .python import ELSEWHERE, LONGEST
from .workers import read_frame

START = 60.0  # seconds to start a jail
GRACE = 10.0  # after a program's own seconds, for the jail to say so
PACKAGES = (*PRELOADED, "mpmath")
SYSTEM = ("/lib", "/lib64", "/lib32", "/bin")


def command() -> list[str]:
    """What starts a jail. Raises RunError where none can be."""
    if not sys.platform.startswith("linux") or platform.machine() not in ARCHITECTURES:
        raise RunError(f"it is for Linux on {' or '.join(ARCHITECTURES)}, not for {sys.platform} on {platform.machine()}")
    if shutil.which("bwrap") is None:
        raise RunError("bwrap is not installed (the package bubblewrap of the operating system)")
    python = os.path.realpath(sys.executable)
    words = [
        "bwrap",
        "--unshare-all",
        "--die-with-parent",
        "--new-session",
        "--cap-drop",
        "ALL",
        "--clearenv",
        "--uid",
        "1000",
        "--gid",
        "1000",
    ]
    words += ["--ro-bind", "/usr", "/usr", "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    for place in SYSTEM:
        words += ["--symlink", os.readlink(place), place] if os.path.islink(place) else ["--ro-bind-try", place, place]
    for place in {str(Path(sys.base_prefix).resolve()), str(Path(python).parent)}:
        if not place.startswith("/usr"):
            words += ["--ro-bind", place, place]
    for name in PACKAGES:
        for folder in folders(name):
            words += ["--ro-bind", str(folder), f"/packages/{folder.name}"]
    words += [
        "--ro-bind",
        str(Path(__file__).with_name("jailed.py")),
        "/jailed.py",
        "--dev",
        "/dev",
        "--remount-ro",
        "/dev",
        "--remount-ro",
        "/",
    ]
    fixed = {"PYTHONPATH": "/packages", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1", "TZ": "UTC"}
    for key, value in fixed.items():
        words += ["--setenv", key, value]
    return [*words, "--chdir", "/", python, "-S", "-s", "-P", "-X", "utf8", "/jailed.py", *sorted(ELSEWHERE)]


def folders(package: str) -> list[Path]:
    """Where a package lies, with the libraries that its wheel brought; nothing if it is not installed."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        return []
    place = Path(found.submodule_search_locations[0])
    return [p for p in (place, place.with_name(f"{package}.libs")) if p.is_dir()]


class Jail:
    """One jail. Raises RunError where it does not start."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
        if self._read(START) != READY:
            self.kill()
            assert self.process.stderr is not None
            raise RunError(f"it did not start: {self.process.stderr.read().decode('utf-8', 'replace').strip()[-500:]}")

    def _read(self, seconds: float) -> bytes | None:
        assert self.process.stdout is not None
        return read_frame(self.process.stdout, time.monotonic() + seconds)

    def ask(self, request: bytes, seconds: float) -> bytes | None:
        """The answer; None or nothing where the jail itself fell."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(HEADER.pack(len(request)) + request)
        return self._read(seconds + GRACE)

    def kill(self) -> None:
        """Stop it, and with it all that it holds."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@cache
def jail() -> Jail:
    """This process's jail."""
    return Jail()


def run(snippets: Sequence[str], inputs: Mapping[str, Any], stdin: str | None, seconds: float) -> dict[str, Any]:
    """`python.run`'s other end: the fields of the last snippet's Result, after the others ran before it.

    Raises RunError where the jail does not start.
    """
    if sum(map(len, snippets)) > LONGEST:
        return {"ended": "limit", "error": f"a program longer than {LONGEST} characters"}
    seconds *= len(snippets)
    request = marshal.dumps((list(snippets), dict(inputs), stdin, seconds))
    for _ in range(2):  # a jail may also fall by what is not the program's fault
        answer = jail().ask(request, seconds)
        if answer:
            found: dict[str, Any] = msgspec.json.decode(answer)
            if found["ended"] == "broken":
                raise RunError(f"the jail cannot be closed: {found['error']}")
            return found
        jail().kill()
        jail.cache_clear()
    return {"ended": "limit", "error": "the program brought its sandbox down"}
