"""Tasks: supplies of problems with verifiers and worked replies."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Any

from ..core.errors import BadConfig, UnknownName
from .addition import Addition
from .base import CORRUPTED, SPLITS, Task, split_of
from .chain import Chain
from .countdown import Countdown
from .files import FileTask, is_path, load_file
from .generated import Generated
from .logic import Logic
from .verifiers import VERIFIERS, verifier

__all__ = [
    "CORRUPTED",
    "SPLITS",
    "VERIFIERS",
    "FileTask",
    "Generated",
    "Task",
    "load_file",
    "load_task",
    "split_of",
    "task_names",
    "verifier",
]

TASKS: dict[str, type[Generated[Any]]] = {task.name: task for task in (Addition, Chain, Countdown, Logic)}


def task_names() -> list[str]:
    """Names of the built-in tasks, sorted."""
    return sorted(TASKS)


def load_task(name: str | Path, **spec: Any) -> Task:
    """A built-in task by name, or the task of a JSONL or CSV file by path.

    `spec`: a built-in task's difficulty keys, or what `load_file` takes. Raises UnknownName, BadConfig, BadData.
    """
    if str(name) in TASKS:
        return TASKS[str(name)](**spec)
    if is_path(name):
        try:
            signature(load_file).bind(name, **spec)
        except TypeError as error:
            raise BadConfig(f"task {str(name)!r}: {error}; a file needs question, answer (columns) and verifier") from None
        return load_file(name, **spec)
    raise UnknownName("task", str(name), TASKS, "A file of problems is named by its path: problems.jsonl or problems.csv.")
