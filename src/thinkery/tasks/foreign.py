"""Environments of `verifiers` (Brown 2025, github.com/PrimeIntellect-ai/verifiers, versions 0.1) as tasks.

Read by duck typing: `get_dataset()` gives rows, `rubric` has `funcs`, `weights` and `class_objects`, or is a group with `rubrics`. They
are somebody's code in this process: use environments that you trust.
"""

from __future__ import annotations

from typing import Any

from ..core.errors import BadConfig, MissingExtra, VerifierError
from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import check_style
from .finite import Finite
from .foreign_rows import answered, by_split, payment, summed
from .foreign_turns import TurnsTask

ROOM = 1024  # tokens of a reply
SHOWN = 200  # characters of a reply in its verdict
TURNS = 20


class ForeignTask(Finite):
    """A single-turn environment as a task: its rows by the split of their prompts, its rubric's weighted sum on the scale of `rewards`."""

    kind = "environment"

    def __init__(self, name: str, env: Any, rewards: tuple[float, float] | None = None, max_tokens: int = ROOM) -> None:
        self.name, self.max_tokens, self.styles = name, max_tokens, ()
        self.paid, self.rewards = payment(name, env, rewards)
        self.problems = by_split(name, env)

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task. The weighted rewards are the verdict's parts. Raises VerifierError for a function that raises, or pays out of range."""
        if reply.truncated:
            return Verdict(0.0, reason="cut off at the token limit")
        parts = summed(self.name, self.paid, answered(problem.data, reply.text))
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


def verifiers_task(
    env: Any, rewards: tuple[float, float] | None = None, max_tokens: int = ROOM, turns: int = TURNS, **arguments: Any
) -> ForeignTask | TurnsTask:
    """A `verifiers` environment, or the installed one of that name, as a task; `arguments` go to the loading.

    rewards   what the weighted sum of rewards may be, least and largest; by default the sums of negative and of positive weights
    turns     at most, where the environment sets no limit of its own
    Environments of several turns want the solver `environment`. Raises MissingExtra, BadConfig, BadData.
    """
    if not isinstance(env, str):
        return _task(f"verifiers:{type(env).__name__}", env, rewards, max_tokens, turns)
    try:
        import verifiers
    except ImportError:
        raise MissingExtra("verifiers", "verifiers", f"the environment {env!r}") from None
    if not hasattr(verifiers, "load_environment"):
        raise BadConfig(f"verifiers {verifiers.__version__} has no load_environment; install a version of 0.1: pip install 'verifiers<0.2'")
    return _task(f"verifiers:{env}", verifiers.load_environment(env, **arguments), rewards, max_tokens, turns)


def _task(name: str, env: Any, rewards: tuple[float, float] | None, max_tokens: int, turns: int) -> ForeignTask | TurnsTask:
    several = getattr(env, "max_turns", 1) != 1
    return TurnsTask(name, env, rewards, max_tokens, turns) if several else ForeignTask(name, env, rewards, max_tokens)
