"""Programs that a model wrote, run in a sandbox: no files, no network, no environment; time, memory, depth and output are bounded;
clock and random numbers are fixed.

Two sandboxes. `monty` (pydantic-monty) is a Python interpreter of its own, quick, and knows part of the language; `cpython` is Python
itself with numpy and sympy in a jail of bubblewrap, where that is installed. `auto` takes the first, and the second for a program that
needs it. What a sandbox lacks, a program has neither failed nor passed: its run ended as "unsupported".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from ..core.errors import InputError
from .text import encodable as encodable
from .workers import CheckFailed, call

SECONDS = 2.0  # of running, on the clock
SLACK = 5.0  # more than the sandbox takes to stop by itself
START = 120.0  # to start CPython's
LONGEST = 200_000  # characters of a program

# packages that a program may rightly ask for: without them it is not wrong
ELSEWHERE = frozenset({"numpy", "scipy", "sympy", "pandas", "networkx", "sortedcontainers", "matplotlib", "sklearn", "torch", "requests"})

Sandbox = Literal["auto", "monty", "cpython"]


@dataclass(frozen=True)
class Result:
    """What a run came to.

    ended    done; error (the program raised or is no Python); limit (time, memory, depth, output); unsupported (by the sandbox)
    value    of the last expression, as Python writes it; None where there is none
    output   what was printed, as far as it was let
    error    the error's kind and message, or what is not supported; "" when done
    """

    ended: Literal["done", "error", "limit", "unsupported"]
    value: Any = None
    output: str = ""
    error: str = ""


class Session:
    """Programs that see what earlier ones defined.

    A sandbox keeps nothing: each run repeats the earlier ones first, and they do what they did, since clock and random numbers are
    fixed. So a session holds no process while its model thinks, and a copy of it goes its own way.

    inputs    plain values bound before
    stdin     what `input()` reads, line by line
    seconds   for each run; in `cpython`, later ones may take what earlier ones left
    begun     the programs that ran
    """

    def __init__(
        self,
        inputs: Mapping[str, Any] | None = None,
        *,
        stdin: str | None = None,
        seconds: float = SECONDS,
        sandbox: Sandbox = "auto",
        begun: tuple[str, ...] = (),
    ) -> None:
        if sandbox == "cpython" and (reason := lacking()):
            raise InputError(f"there is no sandbox 'cpython' here: {reason}; use 'monty'")
        self.inputs, self.stdin, self.seconds, self.sandbox, self.begun = dict(inputs or {}), stdin, seconds, sandbox, begun

    def copy(self) -> Session:
        """One that begins where this one stands."""
        return Session(self.inputs, stdin=self.stdin, seconds=self.seconds, sandbox=self.sandbox, begun=self.begun)

    def run(self, code: str) -> Result:
        """Run a program. One that met a limit or was not supported leaves nothing behind.

        Raises CheckFailed where the sandbox itself failed.
        """
        programs = (*self.begun, encodable(code))
        found = self._ran("jail" if self.sandbox == "cpython" else "sandbox", programs)
        if found.ended == "unsupported" and self.sandbox == "auto" and not lacking():
            found = self._ran("jail", programs)
            if found.ended in ("done", "error"):
                self.sandbox = "cpython"
        if found.ended in ("done", "error"):
            self.begun = programs
        return found

    def _ran(self, place: str, programs: tuple[str, ...]) -> Result:
        seconds = len(programs) * self.seconds + (SLACK if place == "sandbox" else START)
        return Result(**call(f"thinkery.tools.{place}:run", programs, self.inputs, self.stdin, self.seconds, seconds=seconds))

    def python(self, code: str) -> str:
        """Run Python code and read what it prints, and the value of its last expression. Later calls see what earlier ones defined.

        Args:
            code: the program
        """
        return told(self.run(code))


def run(
    code: str,
    *,
    inputs: Mapping[str, Any] | None = None,
    stdin: str | None = None,
    seconds: float = SECONDS,
    sandbox: Sandbox = "auto",
) -> Result:
    """Run a program by itself. `inputs` are plain values bound before; with `stdin`, `input()` reads its lines.

    Raises CheckFailed where the sandbox itself failed.
    """
    return Session(inputs, stdin=stdin, seconds=seconds, sandbox=sandbox).run(code)


def told(result: Result) -> str:
    """What a model is told of a run. Raises InputError, in such words, for one that did not get to its end."""
    if result.ended == "done":
        return result.output + ("" if result.value is None else str(result.value)) or "(nothing was printed)"
    what = {"error": "", "limit": "stopped: ", "unsupported": "not supported here: "}[result.ended]
    before = f"\nprinted before:\n{result.output}" if result.output else ""
    raise InputError(f"{what}{result.error}{before}")


@cache
def lacking() -> str:
    """Why there is no sandbox `cpython` here; "" where there is one. Found out by starting it."""
    try:
        found = call("thinkery.tools.jail:run", ["1 + 1"], {}, None, SECONDS, seconds=START)
    except CheckFailed as error:
        return str(error).rpartition("RunError: ")[2]
    return "" if found["value"] == "2" else f"it says that 1 + 1 is {found}"
