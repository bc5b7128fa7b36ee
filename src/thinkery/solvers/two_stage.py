"""Two asks in one context: think, then answer. What the first is cued with is all that they differ in.

`chain`: Kojima et al. 2022, "Large language models are zero-shot reasoners" (arXiv:2205.11916). `plan_then_solve`: Wang et al. 2023,
"Plan-and-solve prompting" (arXiv:2305.04091). A model that was taught to work a problem out needs neither: `single` lets it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..core.records import Question, Reply
from ..engines.session import Session
from .react import writable
from .scored import begun
from .thinking import reply_of

STEPS = ("Think step by step. Do not answer yet.", " let us think step by step. ")  # told by a chat template; written where there is none
PLAN = ("Write a short plan of how to answer, in numbered steps. Do not carry it out yet.", " plan: ")
THEREFORE = ("Now answer.", " therefore, the answer is ")
CARRY_OUT = ("Now carry out the plan, step by step, and answer.", " now step by step: ")


async def chain(model: Session, question: Question, tools: Any = None, shots: str = "") -> Reply:
    """Think step by step, then answer in a second ask; `data["thought"]` is what was thought. shots: worked examples, for models without a
    chat template.
    """
    return await in_two(model, question, STEPS, THEREFORE, shots)


async def plan_then_solve(model: Session, question: Question, tools: Any = None, shots: str = "") -> Reply:
    """Write a plan, then carry it out in a second ask; `data["thought"]` is the plan. shots: as in `chain`."""
    return await in_two(model, question, PLAN, CARRY_OUT, shots)


async def in_two(model: Session, question: Question, first: tuple[str, str], then: tuple[str, str], shots: str) -> Reply:
    """The reply to the second ask, which has the first before it."""
    if model.chat() is None:
        start = model.context(begun(model, question, shots)) + writable(model, first[1])
        thought = await model.ask(start)
        turn = await model.ask(thought.context + thought + writable(model, then[1]))
    else:
        thought = await model.ask(replace(question, instruction=first[0]))
        told = f"{then[0]} {question.instruction}".strip()
        turn = await model.ask(model.follow(thought.context + thought, told))
    reply = reply_of(model, turn)
    return Reply(reply.text, reply.truncated, {**reply.data, "thought": reply_of(model, thought).text})
