"""Two players: one proposes, the other finds fault, in turns; then the last proposal counts, or a judge decides.

Irving et al. 2018, "AI safety via debate" (arXiv:1805.00899); with language models, Du et al. 2023 (arXiv:2305.14325).
"""

from __future__ import annotations

from typing import Any

from ..core.records import Question, Reply
from ..engines.session import Session
from ..tasks.generated import whole
from ..tasks.judging import approves
from .react import writable
from .scored import MOST, approval, begun
from .thinking import reply_of

CRITIC, JUDGE = "critic", "judge"
END = ";"  # of what a critic without a chat template says
FAULTS = 'What is wrong with this reply? Check it, then say in few words what to mend. If it is right, end with "#right".'
AGAIN = "A critic says:\n{said}\n\nAnswer the question again, from the beginning."


async def roles(model: Session, question: Question, tools: Any = None, rounds: int = 2, judge: bool = False, shots: str = "") -> Reply:
    """The policy's last proposal after at most `rounds` of criticism by the role "critic"; `data["proposals"]` has all of them.

    judge   whether, instead, that proposal counts which the role "judge" thinks likeliest to be right, the last of equal ones
    shots   as in `scored`

    A critic that says "#right" ends it, and a proposal that was cut off. The policy goes on in its own context; the critic reads the question
    and the proposal alone. Where a role is not in the cast, the policy itself plays it.
    """
    whole("rounds", rounds, 0, MOST)
    turn = await model.ask(begun(model, question, shots))
    replies = [reply_of(model, turn)]
    for _ in range(rounds):
        said = "" if replies[-1].truncated else await criticism(model, question, replies[-1])
        if not said or approves(said):
            break
        told = f"?{said}{END}" if model.chat() is None else AGAIN.format(said=said)
        turn = await model.ask(model.follow(turn.context + turn, writable(model, told)))
        replies.append(reply_of(model, turn))
    chosen = await judged(model, question, replies) if judge and len(replies) > 1 else replies[-1]
    return Reply(chosen.text, chosen.truncated, {**chosen.data, "proposals": [r.text for r in replies]})


async def criticism(model: Session, question: Question, reply: Reply) -> str:
    """What the critic says of a proposal."""
    chat = model.chat(CRITIC) is not None
    prompt = f"{question.prompt}\n\nReply:\n{reply.text}" if chat else f"{question.prompt}{reply.text}?"
    turn = await model.ask(model.context(Question(prompt, instruction=FAULTS), CRITIC), stop=() if chat else (END,), role=CRITIC)
    return reply_of(model, turn).text.removesuffix(END)


async def judged(model: Session, question: Question, replies: list[Reply]) -> Reply:
    """The proposal with the highest probability of being called right; cut-off ones only if there are no others."""
    ranked = [(not r.truncated, await approval(model, question, r, None, JUDGE), i) for i, r in enumerate(replies)]
    return replies[max(ranked)[2]]
