"""A server of tools that misbehave, for `test_mcp`: started as a program."""

from __future__ import annotations

import asyncio
import os
import sys
import time

from thinkery.core.errors import RunError
from thinkery.tools.calculator import calculate
from thinkery.tools.mcp import serve
from thinkery.tools.tool import tool


def hang() -> str:
    """Never answer."""
    time.sleep(600)
    return ""


def die() -> str:
    """Take the server down."""
    os._exit(3)


def flood(size: int) -> str:
    """Answer at length."""
    return "x" * size


def fail(reason: str) -> str:
    """Raise."""
    raise ValueError(reason)


def broken() -> str:
    """Fail by our own fault."""
    raise RunError("the sandbox broke")


def garbage() -> str:
    """Write what is no message."""
    sys.stdout.buffer.write(b"\xff\xfe no message\n{\n")
    sys.stdout.flush()
    return "after it"


def environment() -> str:
    """The names of what the server sees of its environment."""
    return " ".join(sorted(os.environ))


if __name__ == "__main__":
    functions = [hang, die, fail, broken, garbage, environment]
    asyncio.run(serve("misbehaving", [tool(calculate), tool(flood, longest=10**9), *map(tool, functions)]))
