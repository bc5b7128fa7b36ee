"""What others may use of ours: a task's problems with its verifier, and tools, as tools that any program can attach."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..core.records import Reply
from ..tasks.base import Task
from ..tools.calculator import calculate
from ..tools.python import Session
from ..tools.sql import Database
from ..tools.tool import Tool, tool

LONGEST = 100_000  # characters of a problem


def offered(task: Task | None = None, *, split: str = "train", seed: int = 0, database: Path | None = None) -> list[Tool]:
    """The tools `python` and `calculate`; `problem` and `verify` of a task; `tables` and `sql` of a database.

    Raises InputError for a task whose verdict needs more than a reply, BadData where there is no database.
    """
    tools = [tool(Session().python, seconds=None), tool(calculate)]
    if database is not None:
        own = Database(database)
        tools += [tool(own.tables, longest=LONGEST), tool(own.sql, seconds=None)]
    return tools if task is None else [*of_task(task, split, seed), *tools]


def of_task(task: Task, split: str, seed: int) -> list[Tool]:
    """`problem` and `verify`. The gold answer stays here."""
    if type(task).tools is not Task.tools:
        raise InputError(f"{task.name} lends tools to its solvers, and its verdict hangs on how they were used: it cannot be served")
    task.problem(0, split, seed)

    def problem(index: int) -> dict[str, Any]:
        """A problem to be solved.

        Args:
            index: which one, from 0
        """
        question = task.problem(index, split, seed).question
        return {"index": index, "prompt": question.prompt, "instruction": question.instruction, "shown": dict(question.shown)}

    def verify(index: int, reply: str) -> dict[str, Any]:
        """The verdict on a reply to a problem: a score from 0 to 1, the answer that was read, and why.

        Args:
            index: the problem's
            reply: all that was written
        """
        verdict = task.verify(task.problem(index, split, seed), Reply(reply))
        return {"score": verdict.score, "answer": verdict.parsed, "reason": verdict.reason}

    return [tool(problem, longest=LONGEST), tool(verify, seconds=None)]
