"""Verifiers and reward functions as others write them, called by what their parameters are named. Runs within a worker.

Ours           (gold, reply) -> number, bool or Verdict
TRL            (completions, prompts, **columns) -> list of numbers; the gold answer is in `answer`, `ground_truth`, `solution`
verl           compute_score(data_source, solution_str, ground_truth, extra_info) -> number or {"score": …}
verifiers      a Rubric: its functions by their parameters (completion, answer, prompt, parser, state, info), summed by weight
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from ..tools.workers import found


def score(target: str, prompt: str, gold: str, reply: str) -> float:
    """What the scorer at "file.py:name" gives. Raises what it raises, TypeError for what is no number."""
    scorer: Any = found(target)
    if functions := rubric_functions(scorer):
        return sum(weight * called(f, prompt, gold, reply, scorer) for f, weight in functions)
    return called(scorer, prompt, gold, reply, None)


def rubric_functions(scorer: Any) -> list[tuple[Callable[..., Any], float]]:
    """A Rubric's functions with their weights; none where it is something else."""
    for functions, weights in (("funcs", "weights"), ("reward_funcs", "reward_weights")):
        listed = getattr(scorer, functions, None)
        if isinstance(listed, (list, tuple)):
            return list(zip(listed, getattr(scorer, weights, None) or [1.0] * len(listed)))
    return []


def called(function: Callable[..., Any], prompt: str, gold: str, reply: str, rubric: Any) -> float:
    """One function's score, with the arguments that its parameters ask for."""
    parameters = inspect.signature(function).parameters
    if "completions" in parameters:
        given: dict[str, Any] = {
            "completions": [reply],
            "prompts": [prompt],
            "completion_ids": [[]],
            "answer": [gold],
            "ground_truth": [gold],
        }
        given |= {"solution": [gold], "trainer_state": None}
    elif "solution_str" in parameters:
        given = {"data_source": "audit", "solution_str": reply, "ground_truth": gold, "extra_info": {}}
    elif rubric is not None or "completion" in parameters:
        messages = [{"role": "user", "content": prompt}], [{"role": "assistant", "content": reply}]
        given = {
            "prompt": messages[0],
            "completion": messages[1],
            "answer": gold,
            "info": {},
            "task": "audit",
            "parser": getattr(rubric, "parser", None),
        }
        given["state"] = {**given}
    else:
        return number(settled(function(gold, reply)))
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        given = {k: v for k, v in given.items() if k in parameters}
    return number(settled(function(**given)))


def settled(value: Any) -> Any:
    """What a function gave, once it is there."""
    if not inspect.isawaitable(value):
        return value

    async def wait() -> Any:
        return await value

    return asyncio.run(wait())


def number(value: Any) -> float:
    """A score as a number: of a list its one element, of a mapping or a verdict its `score`. Raises TypeError."""
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):
        value = value.get("score")
    value = getattr(value, "score", value)
    if hasattr(value, "item"):
        value = value.item()
    if not isinstance(value, (bool, int, float)):
        raise TypeError(f"a score is a number, not {value!r:.80}")
    return float(value)
