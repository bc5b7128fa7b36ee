"""Environments of `verifiers` (Brown 2025, github.com/PrimeIntellect-ai/verifiers, versions 0.1) as tasks.

Read by duck typing: `get_dataset()` gives rows, `rubric` has `funcs`, `weights` and `class_objects`, or is a group with `rubrics`. Its
functions are called here rather than by the rubric, which turns those that raise into a 0. They are somebody's code in this process: use
environments that you trust.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..core.errors import BadConfig, BadData, MissingExtra, VerifierError
from ..core.records import Problem, Question, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import SPLITS, check_style, digest, split_of
from .finite import Finite

ROOM = 1024  # tokens of a reply
SHOWN = 200  # characters of a reply in its verdict

Paid = tuple[Any, float, Mapping[str, Any]]  # a reward function, its weight, and what else it may ask for


class ForeignTask(Finite):
    """A single-turn environment as a task: its rows by the split of their prompts, its rubric's weighted sum on the scale of `rewards`."""

    kind = "environment"

    def __init__(self, name: str, env: Any, rewards: tuple[float, float] | None = None, max_tokens: int = ROOM) -> None:
        if getattr(env, "max_turns", 1) != 1:
            raise BadConfig(f"{name} goes over {env.max_turns} turns; only environments of a single turn are read")
        self.name, self.max_tokens, self.styles = name, max_tokens, ()
        self.paid = [p for p in functions(env.rubric) if p[1]]
        if not self.paid:
            raise BadConfig(f"{name}: no function of its rubric has a weight, so every reply would score alike")
        low, high = rewards or (sum(min(0.0, p[1]) for p in self.paid), sum(max(0.0, p[1]) for p in self.paid))
        if not low < high:
            raise BadConfig(f"{name}: rewards is {(low, high)!r}; give the least and the largest reward, as (0, 1)")
        self.rewards = (low, high)
        self.problems: dict[str, list[Problem]] = {split: [] for split in SPLITS}
        for problem in {p.id: p for p in (posed(name, i, dict(row)) for i, row in enumerate(env.get_dataset()))}.values():
            self.problems[split_of(problem.family)].append(problem)

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task. The weighted rewards are the verdict's parts. Raises VerifierError for a function that raises, or pays out of range."""
        if reply.truncated:
            return Verdict(0.0, reason="cut off at the token limit")
        parts: dict[str, float] = {}
        for function, weight, objects in self.paid:
            name = str(getattr(function, "__name__", function))
            parts[name] = parts.get(name, 0.0) + weight * called(self.name, function, {**given(problem.data, reply.text), **objects})
        low, high = self.rewards
        total = sum(parts.values())
        score = (total - low) / (high - low)
        if not -1e-9 <= score <= 1 + 1e-9:
            raise VerifierError(f"{self.name}: the reward {total:g} lies outside {low:g}..{high:g}; declare rewards=(least, largest)")
        return Verdict(min(1.0, max(0.0, score)), reply.text[-SHOWN:].strip() or None, parts, f"reward {total:g}")

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        """See Task: there are none, since a rubric need not pay the row's answer."""
        check_style(self, style)
        raise AssertionError("unreachable: there is no style")


def verifiers_task(env: Any, rewards: tuple[float, float] | None = None, max_tokens: int = ROOM, **arguments: Any) -> ForeignTask:
    """A `verifiers` environment, or the installed one of that name, as a task; `arguments` go to the loading.

    rewards   what the weighted sum of rewards may be, least and largest; by default the sums of negative and of positive weights
    Raises MissingExtra, BadConfig, BadData.
    """
    if not isinstance(env, str):
        return ForeignTask(f"verifiers:{type(env).__name__}", env, rewards, max_tokens)
    try:
        import verifiers
    except ImportError:
        raise MissingExtra("verifiers", "verifiers", f"the environment {env!r}") from None
    if not hasattr(verifiers, "load_environment"):
        raise BadConfig(f"verifiers {verifiers.__version__} has no load_environment; install a version of 0.1: pip install 'verifiers<0.2'")
    return ForeignTask(f"verifiers:{env}", verifiers.load_environment(env, **arguments), rewards, max_tokens)


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


def given(row: Mapping[str, Any], text: str) -> dict[str, Any]:
    """What a reward function may ask for by name."""
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
