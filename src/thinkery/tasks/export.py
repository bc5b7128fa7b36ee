"""Our tasks for other trainers: rows and a reward function for TRL, an environment for `verifiers`.

A row names its problem by address, so the verifier on the other side is the same one. A verifier that fails raises there too: a trainer
that took it for a 0 would learn from it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from ..core.errors import InputError, MissingExtra, RewardError, RunError
from ..core.records import Problem, Reply
from .base import Task

ADDRESS = "address"  # the column that names a row's problem

Completion = str | Sequence[Mapping[str, Any]]


def as_trl_dataset(task: Task, n: int, split: str = "train", seed: int = 0, **spec: Any) -> list[dict[str, Any]]:
    """n problems as rows for `datasets.Dataset.from_list`: prompt (a user's message), answer, and the problem's address.

    `spec`: difficulty keys. Raises InputError for more problems than the split has.
    """
    if type(task).tools is not Task.tools:
        raise InputError(f"{task.name} lends tools to its solvers, which rows cannot carry: only tasks of a question and a reply go over")
    size = task.size(split)
    if n < 1 or (size is not None and n > size):
        raise InputError(f"{n} rows of {task.name}: " + ("ask for at least 1" if n < 1 else f"its {split} split has {size} problems"))
    return [row(task, i, split, seed, spec) for i in range(n)]


def as_trl_reward(task: Task) -> Callable[..., list[float]]:
    """A reward function for TRL's trainers, for rows of `as_trl_dataset` of the same task: the verifier's score of each completion.

    It raises RewardError for rows of another task, and whatever the verifier raises.
    """
    problem = finder(task)

    def verified(completions: Sequence[Completion], address: Sequence[str], **columns: Any) -> list[float]:
        return [float(task.verify(problem(a), Reply(said(c))).score) for c, a in zip(completions, address, strict=True)]

    verified.__name__ = f"{task.name}_verified"  # TRL names its metrics by it
    return verified


def as_verifiers_environment(task: Task, n: int, split: str = "train", seed: int = 0, **spec: Any) -> Any:
    """n problems as what the installed `verifiers` evaluates and trains on: a SingleTurnEnv (0.1), or a Taskset (its v1, alone since 0.2).

    A verifier that fails gives the SingleTurnEnv not a number. Raises MissingExtra, InputError.
    """
    try:
        import verifiers
    except ImportError:
        raise MissingExtra("verifiers", "verifiers", "an environment for verifiers") from None
    rows = as_trl_dataset(task, n, split, seed, **spec)
    if not hasattr(verifiers, "SingleTurnEnv"):
        return taskset(task, rows)
    from datasets import Dataset

    problem = finder(task)

    def verified(completion: Completion, info: Any) -> float:
        about = json.loads(info) if isinstance(info, str) else info
        try:
            return float(task.verify(problem(about[ADDRESS]), Reply(said(completion))).score)
        except RunError:
            return math.nan  # what raises would become a 0 there

    made = [{"prompt": r["prompt"], "answer": r["answer"], "info": {ADDRESS: r[ADDRESS]}} for r in rows]
    return verifiers.SingleTurnEnv(dataset=Dataset.from_list(made), rubric=verifiers.Rubric(funcs=[verified], weights=[1.0]))


def taskset(task: Task, rows: Sequence[Mapping[str, Any]]) -> Any:
    """Rows as a Taskset of verifiers.v1; the reward is called `verified`."""
    from verifiers import v1

    problem = finder(task)

    class Row(v1.Task[v1.TaskData]):  # type: ignore[misc]
        @v1.reward  # type: ignore[untyped-decorator]
        async def verified(self, trace: Any) -> float:
            return float(task.verify(problem(self.data.id), Reply(trace.last_reply or "")).score)

    class Rows(v1.Taskset[Row]):  # type: ignore[misc]
        def load(self) -> list[Row]:
            return [Row(v1.TaskData(id=r[ADDRESS], prompt=r["prompt"][0]["content"])) for r in rows]

    return Rows(v1.TasksetConfig())


# ---- rows


def row(task: Task, index: int, split: str, seed: int, spec: Mapping[str, Any]) -> dict[str, Any]:
    """One problem as plain values."""
    p = task.problem(index, split, seed, **spec)
    text = f"{p.question.prompt}\n\n{p.question.instruction}" if p.question.instruction else p.question.prompt
    address = json.dumps([task.name, p.id, index, split, seed, dict(spec)], sort_keys=True)
    return {"prompt": [{"role": "user", "content": text}], "answer": p.answer, ADDRESS: address}


def finder(task: Task) -> Callable[[str], Problem]:
    """The problem of an address. Raises RewardError for an address of another task."""

    @lru_cache(maxsize=4096)
    def problem(address: str) -> Problem:
        name, key, index, split, seed, spec = json.loads(address)
        found = task.problem(index, split, seed, **spec) if name == task.name else None
        if found is None or found.id != key:
            raise RewardError(
                f"the row is of {name}, problem {key}, which this {task.name} does not have: make the rows with the same task"
            )
        return found

    return problem


def said(completion: Completion) -> str:
    """The text of a completion: itself, or what its last message of the model says."""
    if isinstance(completion, str):
        return completion
    for message in reversed(completion):
        of = message.get if isinstance(message, Mapping) else lambda key, m=message: getattr(m, key, None)
        if of("role") == "assistant":
            return str(of("content") or "")
    return ""
