"""What environments of `verifiers` consist of: rows that ask, and reward functions that pay. Read by duck typing.

The functions are called here rather than by the package's rubric, which turns those that raise into a 0.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..core.errors import BadConfig, BadData, VerifierError
from ..core.records import Problem, Question
from .base import SPLITS, digest, split_of

Paid = tuple[Any, float, Mapping[str, Any]]  # a reward function, its weight, and what else it may ask for


def by_split(name: str, env: Any) -> dict[str, list[Problem]]:
    """An environment's rows by the split of their prompts; of equal prompts the last. Raises BadData."""
    problems: dict[str, list[Problem]] = {split: [] for split in SPLITS}
    for problem in {p.id: p for p in (posed(name, i, dict(row)) for i, row in enumerate(env.get_dataset()))}.values():
        problems[split_of(problem.family)].append(problem)
    return problems


def payment(name: str, env: Any, rewards: tuple[float, float] | None) -> tuple[list[Paid], tuple[float, float]]:
    """The functions of its rubric that have a weight, and the least and the largest sum. Raises BadConfig where all replies would score alike."""
    paid = [p for p in functions(env.rubric) if p[1]]
    if not paid:
        raise BadConfig(f"{name}: no function of its rubric has a weight, so every reply would score alike")
    low, high = rewards or (sum(min(0.0, p[1]) for p in paid), sum(max(0.0, p[1]) for p in paid))
    if not low < high:
        raise BadConfig(f"{name}: rewards is {(low, high)!r}; give the least and the largest reward, as (0, 1)")
    return paid, (low, high)


def summed(name: str, paid: Sequence[Paid], named: Mapping[str, Any]) -> dict[str, float]:
    """The weighted rewards by function. Raises VerifierError for one that raises, or gives no finite number."""
    parts: dict[str, float] = {}
    for function, weight, objects in paid:
        part = str(getattr(function, "__name__", function))
        parts[part] = parts.get(part, 0.0) + weight * called(name, function, {**named, **objects})
    return parts


def posed(name: str, line: int, row: dict[str, Any]) -> Problem:
    """The problem of a row: its last message asks, the system's message instructs. Raises BadData for a row that asks nothing."""
    messages = row.get("prompt") or row.get("question")
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    if not messages or any(not isinstance(m.get("content"), str) for m in messages):
        raise BadData(name, "its prompt is no text and no list of messages with text", line)
    told = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
    asked = "\n\n".join(m["content"] for m in messages if m["role"] != "system")
    key = digest(asked).hex()
    return Problem(key, Question(asked, {}, told), str(row.get("answer") or ""), key, 0.0, {**row, "prompt": list(messages)})


def functions(rubric: Any) -> list[Paid]:
    """The reward functions of a rubric, or of all in a group."""
    if hasattr(rubric, "rubrics"):
        return [paid for inner in rubric.rubrics for paid in functions(inner)]
    lent = dict(getattr(rubric, "class_objects", {}))
    weights: Sequence[float] = rubric.weights or [1.0] * len(rubric.funcs)
    return [(function, float(weight), lent) for function, weight in zip(rubric.funcs, weights, strict=True)]


def answered(row: Mapping[str, Any], text: str) -> dict[str, Any]:
    """What a reward function may ask for by name after a single turn."""
    completion = [{"role": "assistant", "content": text}]
    known = {"prompt": row["prompt"], "completion": completion, "answer": row.get("answer", ""), "info": row.get("info") or {}}
    state = {**known, "task": row.get("task", "default"), "trajectory": [], "turn": 1}
    return {**{k: v for k, v in row.items() if k not in known}, **known, "task": state["task"], "state": state}


def called(name: str, function: Any, named: Mapping[str, Any]) -> float:
    """What a function pays. Raises VerifierError for what raises, asks for something else, or gives no finite number."""
    wanted = inspect.signature(function).parameters.values()
    everything = any(p.kind is p.VAR_KEYWORD for p in wanted)
    arguments = dict(named) if everything else {p.name: named[p.name] for p in wanted if p.name in named}
    try:
        paid = function(**arguments)
        if inspect.isawaitable(paid):
            with ThreadPoolExecutor(1) as thread:  # the solvers' event loop is running in this one
                paid = thread.submit(asyncio.run, waited(paid)).result()
        value = float(paid)
    except Exception as error:
        raise VerifierError(f"{name}: {getattr(function, '__name__', function)} raised {type(error).__name__}: {error}") from error
    if not math.isfinite(value):
        raise VerifierError(f"{name}: {getattr(function, '__name__', function)} paid {value}; a reward is a finite number")
    return value


async def waited(paid: Any) -> Any:
    """What an awaitable gives."""
    return await paid
