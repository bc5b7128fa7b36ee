"""Tools by name, as a command line names them, and what a rollout is lent of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from ..core.errors import InputError, UnknownName
from .calculator import calculate
from .mcp import Server
from .python import Session
from .sql import Database
from .tool import Tool, Toolbox, tool
from .workers import found

LABEL = 60  # characters

Maker = Callable[[], list[Tool]]

MAKERS: dict[str, Maker] = {
    "python": lambda: [tool(Session().python, seconds=None)],
    "calculate": lambda: [tool(calculate)],
}
WRITTEN = "or sql:FILE.sqlite, or a function of yours, FILE.py:NAME"


class Kit:
    """What is lent to every rollout: `toolbox()` makes a box of its own, in which a program's variables start afresh.

    names     python, calculate, sql:FILE (the tools `tables` and `sql`), FILE.py:NAME (a function with types and a docstring)
    servers   commands that start MCP servers, whose tools all rollouts share

    label     the names of the tools, fit for a folder's name

    Raises InputError for what cannot be had. A command may hold a secret, so `self.names` has its tools instead.
    """

    def __init__(self, names: Iterable[str], servers: Iterable[str] = ()) -> None:
        named = list(names)
        self._makers = [maker(name) for name in named]
        self._servers = [Server(command) for command in servers]
        self.names = [*named, *(made.name for server in self._servers for made in server.tools)]
        self.label = re.sub(r"[^\w, .+-]", "_", ", ".join(self.toolbox()))[:LABEL]

    def toolbox(self) -> Toolbox:
        """For one rollout."""
        own = [made for make in self._makers for made in make()]
        return Toolbox([*own, *(made for server in self._servers for made in server.tools)])


def maker(name: str) -> Maker:
    """What makes the tools of a name. Raises InputError."""
    kind, colon, rest = name.partition(":")
    if kind == "sql" and colon:
        database = Database(rest)
        return lambda: [tool(database.tables), tool(database.sql, seconds=None)]
    if ".py:" in name:
        made = of_file(name)
        return lambda: [made]
    if name not in MAKERS:
        raise UnknownName("tool", name, MAKERS, WRITTEN)
    return MAKERS[name]


def of_file(name: str) -> Tool:
    """A function of a user's file as a tool. Raises InputError."""
    path, _, function = name.rpartition(":")
    if not Path(path).is_file():
        raise InputError(f"the tool {name!r}: no such file; write FILE.py:NAME")
    try:
        return tool(found(name))
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"the tool {function!r} of {path} cannot be had: {type(error).__name__}: {error}") from error
