"""Self-consistency: ask several times, hand in a reply with the answer that most of them come to.

Wang et al. 2022, "Self-consistency improves chain of thought reasoning in language models" (arXiv:2203.11171).
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..core.records import Question, Reply
from ..engines.session import Session
from ..tasks.generated import whole
from ..tasks.markers import tails
from .thinking import reply_of

MOST = 1000


async def majority(model: Session, question: Question, tools: Any = None, samples: int = 8) -> Reply:
    """The first of `samples` replies that has the commonest answer; of equally common ones the one that was met first. Cut-off ones do not vote.

    `data["confidence"]` is the share of all samples that agree with it. Sampled at temperature 1 where greedy replies were asked for.
    """
    whole("samples", samples, 1, MOST)
    temperature = model.sampling.temperature or 1.0
    asked = [model.branch(i).ask(question, temperature=temperature) for i in range(samples)]
    replies = [reply_of(model, await answer) for answer in asked]
    votes = Counter(final(r.text) for r in replies if not r.truncated)
    if not votes:
        return replies[0]
    answer, count = votes.most_common(1)[0]
    first = next(r for r in replies if not r.truncated and final(r.text) == answer)
    return Reply(first.text, False, {**first.data, "confidence": count / samples})


def final(text: str) -> str:
    """What a reply's answer is by its own words: what stands behind its last marker, or all of it."""
    return next(tails(text), text).strip().rstrip(".")
