"""Answering a question in the company of others, and what a model can do with such a chain: grade it, or learn to say it alone.

All read what `tasks.batched.Batched` shows under its key `batch`. A question that comes alone is answered, which is what these models learn for.
"""

from __future__ import annotations

from typing import Any

from ..core.records import Question, Reply
from ..engines.session import Session
from ..tasks.batched import BETWEEN, LABEL, chains, grade_of
from .single import single
from .thinking import reply_of

AUTHOR = "author"  # who writes the chains: the policy, recorded but not trained


async def in_company(
    model: Session, question: Question, tools: Any = None, temperature: float | None = None, role: str = "policy"
) -> Reply:
    """The question's own chain of a reply to all questions of its batch; one that is missing or unfinished counts as cut off."""
    shown = question.shown
    room = shown["of"] * (model.sampling.max_tokens + len(BETWEEN))
    said = reply_of(model, await model.ask(model.context(shown["batch"], role), room, temperature=temperature, role=role))
    chain = chains(said.text, shown["of"], said.truncated)[shown["place"]]
    return Reply(chain or "", chain is None)


async def drawn(model: Session, question: Question, company: bool, temperature: float | None = None) -> Reply:
    """A chain by the author, in company or alone."""
    if company:
        return await in_company(model, question, None, temperature, AUTHOR)
    return reply_of(model, await model.ask(model.context(question, AUTHOR), temperature=temperature, role=AUTHOR))


async def graded(model: Session, question: Question, tools: Any = None) -> Reply:
    """The author's most likely chain as the reply, which the policy grades: `data["label"]`, None where it cannot be read.

    `data["company"]` says what the chain came from. All samples of a problem grade the same chain. One that was cut off is not graded.
    """
    if not question.shown:
        return await single(model, question, tools)
    company = bool(question.shown["company"])
    chain = await drawn(model, question, company, 0.0)
    if chain.truncated:
        return chain
    turn = await model.ask(grade_of(question, chain.text))
    said = turn.text[turn.text.rfind("#") + 1 :].strip()
    return Reply(chain.text, False, {"company": company, "label": said if turn.ended != "length" and LABEL.fullmatch(said) else None})


async def recited(model: Session, question: Question, tools: Any = None) -> Reply:
    """A chain that the author samples, from a coin's choice of alone or in company, said by the policy to the question alone; unless cut off."""
    if not question.shown:
        return await single(model, question, tools)
    company = model.rng("company").below(2) == 1
    chain = await drawn(model, question, company)
    if chain.truncated:
        return chain
    model.say(question, chain.text)
    return Reply(chain.text, False, {"company": company})
