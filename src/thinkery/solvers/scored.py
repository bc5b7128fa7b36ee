"""Best of n by what somebody says of each reply: a scorer that reads it, or its steps, or the task's verifier as an oracle.

Cobbe et al. 2021, "Training verifiers to solve math word problems" (arXiv:2110.14168); the probability of a verdict as the score is that of
generative verifiers, Zhang et al. 2024 (arXiv:2408.15240). By the model's own confidence: `best_of_n`.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from ..core.errors import InputError, UnknownName
from ..core.records import Question, Reply
from ..engines.session import Session
from ..tasks.generated import whole
from ..tasks.judging import ASKED, RIGHT, WRONG, asked_of
from ..tasks.oracle import Checker
from ..tasks.stated import MARK, TENTHS
from .thinking import reply_of

SCORER = "scorer"  # the role; where it is not in the cast, the policy itself
MOST = 1000  # samples, and whatever else is counted by a setting
GRADED = 'How good is this reply? Check it. End with "#" and a whole number from 0 (surely wrong) to 10 (surely right).'
GRADE = re.compile(r"10|[0-9]")
STEP = re.compile(r"[,;\n]|(?=#)")  # ends a step

Score = Callable[[Session, Question, Reply, Any], Awaitable[float | None]]


async def scored(
    model: Session, question: Question, tools: Any = None, samples: int = 8, score: str = "approval", shots: str = ""
) -> Reply:
    """The reply with the highest score of `samples`, the first of equal ones; `data["scores"]` has all scores.

    score   "approval" or "grade" by the role "scorer"; "outcome", "process_min" or "process_prod", which read the
            work (`outcome`, `by_steps`); or "verifier", an oracle: it needs a task that lends its verifier (`tasks.oracle`)
    shots   what stands before the question for a model without a chat template: worked examples

    Replies without a score, and cut-off ones, are handed in only if there are no others. Sampled at temperature 1 where greedy ones were
    asked for. Raises UnknownName for another score, EngineError where the engine gives no log-probabilities of "approval".
    """
    whole("samples", samples, 1, MOST)
    by, posed = named(score, tools), begun(model, question, shots)
    temperature = model.sampling.temperature or 1.0
    branches = [model.branch(i) for i in range(samples)]
    asked = [branch.ask(posed, temperature=temperature) for branch in branches]
    replies = [reply_of(model, await answer) for answer in asked]
    scores = await asyncio.gather(*(by(branch, question, reply, tools) for branch, reply in zip(branches, replies)))
    best = max(range(samples), key=lambda i: (not replies[i].truncated, rank(scores[i])))
    return Reply(replies[best].text, replies[best].truncated, {**replies[best].data, "score": scores[best], "scores": list(scores)})


async def approval(model: Session, question: Question, reply: Reply, tools: Any, role: str = SCORER) -> float:
    """The probability, in [0, 1], by which the role calls the reply right rather than wrong; nothing is sampled."""
    return approved(model, asked_of(question, reply.text), role)


def approved(model: Session, asked: Question, role: str = SCORER) -> float:
    """The probability, in [0, 1], that the role says "#right" to a question rather than "#wrong"; nothing is sampled."""
    put = model.context(asked, role=role)
    right, wrong = (float(model.score(put, f"#{word}", role=role).sum(dtype="float64")) for word in (RIGHT, WRONG))
    return 0.5 * (1 + math.tanh((right - wrong) / 2))


def work_of(question: Question, work: str) -> Question:
    """The question whether a reply is right, with all of its work, as far as it goes."""
    return Question(f"{question.prompt}{work}?", instruction=ASKED)


async def outcome(model: Session, question: Question, reply: Reply, tools: Any) -> float:
    """What the role thinks of a reply with its work: an outcome reward model's score (Cobbe et al. 2021), or a process reward model's of the last step."""
    return approved(model, work_of(question, reply.text))


async def by_steps(model: Session, question: Question, reply: Reply, tools: Any, join: Callable[[list[float]], float]) -> float:
    """What the role thinks after each step, as one number: a process reward model's score (Lightman et al. 2023, arXiv:2305.20050)."""
    return join([approved(model, work_of(question, begun)) for begun in beginnings(reply.text)])


def beginnings(text: str) -> list[str]:
    """The text after each of its steps: lines, or pieces that end in "," or ";"; the answer behind "#" is a step too."""
    at = [m.end() for m in STEP.finditer(text) if 0 < m.end() < len(text)]
    return [text[:i] for i in at] + [text]


async def grade(model: Session, question: Question, reply: Reply, tools: Any) -> float | None:
    """The grade in [0, 1] that the scorer writes, in tenths; None where it cannot be read. Without a chat template MARK asks for it."""
    chat = model.chat(SCORER) is not None
    prompt = f"{question.prompt}\n\nReply:\n{reply.text}" if chat else f"{question.prompt}{reply.text}{MARK}"
    said = reply_of(
        model, await model.ask(model.context(Question(prompt, instruction=GRADED), SCORER), None if chat else TENTHS, role=SCORER)
    )
    found = GRADE.fullmatch(said.text[said.text.rfind("#") + 1 :].strip().rstrip("."))
    return None if found is None else int(found[0]) / 10


async def verdict(model: Session, question: Question, reply: Reply, tools: Any) -> float:
    """What the task's verifier gives: it knows the answer."""
    assert isinstance(tools, Checker)  # see `named`
    return tools.score(reply)


SCORES: dict[str, Score] = {
    "approval": approval,
    "grade": grade,
    "outcome": outcome,
    "process_min": partial(by_steps, join=min),
    "process_prod": partial(by_steps, join=math.prod),
    "verifier": verdict,
}


def named(score: str, tools: Any) -> Score:
    """A score by name. Raises UnknownName, and InputError for the oracle where the task does not lend its verifier."""
    if score not in SCORES:
        raise UnknownName("score", score, SCORES)
    if SCORES[score] is verdict and not isinstance(tools, Checker):
        raise InputError(
            "the score 'verifier' is an oracle: have the task lend its verifier, as in --task oracle:addition (tasks.oracle.Oracle), or use 'approval'"
        )
    return SCORES[score]


def rank(score: float | None) -> float:
    """A score as something to sort by: none is below all."""
    return -math.inf if score is None else score


def begun(model: Session, question: Question, shots: str) -> Question:
    """The question as it is put: after worked examples, where no chat template tells the model how to answer."""
    return replace(question, prompt=shots + question.prompt) if shots and model.chat() is None else question
