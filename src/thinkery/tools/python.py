"""Programs that a model wrote, run in a sandbox: pydantic-monty, a Python interpreter of its own in processes of its own.

No files, no network, no environment; time, memory, depth and output are bounded; clock and random numbers are fixed. The sandbox
knows part of the language alone, and a program that needs more has neither failed nor passed: its run ended as "unsupported".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .workers import call

SECONDS = 2.0  # of running, on the clock
SLACK = 5.0  # more than the sandbox takes to stop by itself


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


def run(code: str, *, inputs: Mapping[str, Any] | None = None, stdin: str | None = None, seconds: float = SECONDS) -> Result:
    """Run a program by itself. `inputs` are plain values bound before; with `stdin`, `input()` reads its lines.

    Raises CheckFailed where the sandbox itself failed.
    """
    return Result(**call("thinkery.tools.sandbox:run", encodable(code), inputs or {}, stdin, seconds, seconds=seconds + SLACK))


def encodable(text: str) -> str:
    """The text without lone surrogates, which no file can hold."""
    return text.encode("utf-8", "replace").decode()
