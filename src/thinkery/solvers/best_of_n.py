"""Best of n: ask several times, hand in what the model itself was surest of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.context import Turn
from ..core.records import Question, Reply
from ..engines.session import Session

SAMPLES = 8


async def best_of_n(model: Session, question: Question, tools: Any = None) -> Reply:
    """The most confident of `SAMPLES` replies, a cut-off one only if all are; sampled at temperature 1 where greedy ones were asked for."""
    temperature = model.sampling.temperature or 1.0
    asked = [model.branch(i).ask(question, temperature=temperature) for i in range(SAMPLES)]
    turns = [await answer for answer in asked]
    return Reply.of(max(turns, key=lambda turn: (turn.ended != "length", confidence([turn]))))


def confidence(turns: Sequence[Turn]) -> float:
    """The mean log-probability of the sampled tokens, nats (sample-and-rank, Adiwardana et al. 2020); nothing sampled: -inf."""
    n = sum(t.n for t in turns if not t.forced)
    return sum(float(t.logp.sum(dtype="float64")) for t in turns) / n if n else -float("inf")
