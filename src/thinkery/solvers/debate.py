"""Debate: several agents answer, read what the others came to, answer again, and the majority of the last answers counts.

Du et al. 2023, "Improving factuality and reasoning in language models through multiagent debate" (arXiv:2305.14325).
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..core.context import Turn
from ..core.records import Question, Reply
from ..engines.session import Session
from ..tasks.generated import whole
from .majority import final
from .react import writable
from .thinking import reply_of

MOST = 64  # agents, and rounds
OPINIONS = "opinions"  # in a reply's data: the answers of each round, an agent each
HEARD = "Other agents answered:\n{said}\n\nConsider what they say, and answer the question again, from the beginning."


async def debate(model: Session, question: Question, tools: Any = None, agents: int = 2, rounds: int = 1) -> Reply:
    """The first agent's reply that comes to the commonest of the last answers; `data["confidence"]` is the share of agents that do.

    agents answer by themselves; in each of `rounds` each of them hears the others' last replies and answers again. A chat goes on in its own context;
    a model without a chat template reads `heard` anew. Cut-off replies are not heard and do not vote. Sampled at temperature 1 where greedy ones
    were asked for. All agents are the policy.
    """
    whole("agents", agents, 2, MOST)
    whole("rounds", rounds, 0, MOST)
    temperature = model.sampling.temperature or 1.0
    players = [model.branch(i) for i in range(agents)]
    asked = [p.ask(question, temperature=temperature) for p in players]
    turns = [await turn for turn in asked]
    replies = [reply_of(p, t) for p, t in zip(players, turns)]
    opinions = [list(map(opinion, replies))]
    for _ in range(rounds):
        asked = [p.ask(hearing(p, question, turns[i], replies, i), temperature=temperature) for i, p in enumerate(players)]
        turns = [await turn for turn in asked]
        replies = [reply_of(p, t) for p, t in zip(players, turns)]
        opinions.append(list(map(opinion, replies)))
    votes = Counter(o for o in opinions[-1] if o is not None)
    answer, count = votes.most_common(1)[0] if votes else (None, 0)
    chosen = replies[opinions[-1].index(answer)]
    return Reply(chosen.text, chosen.truncated, {**chosen.data, "confidence": count / agents, OPINIONS: opinions})


def opinion(reply: Reply) -> str | None:
    """What a reply comes to; None if it was cut off."""
    return None if reply.truncated else final(reply.text)


def hearing(model: Session, question: Question, mine: Turn, replies: list[Reply], me: int) -> Any:
    """What an agent is asked after: its own context with what the others said, or the question as `heard`."""
    if model.chat() is None:
        return Question(heard(question.prompt, [o for o in map(opinion, [replies[me], *others(replies, me)]) if o is not None]))
    said = "\n\n".join(r.text for r in others(replies, me) if not r.truncated) or "nothing"
    return model.follow(mine.context + mine, writable(model, HEARD.format(said=said)))


def others(replies: list[Reply], me: int) -> list[Reply]:
    """All but one's own."""
    return replies[:me] + replies[me + 1 :]


def heard(prompt: str, opinions: list[str]) -> str:
    """`3+4*2=#7,#9?`: a question and what was answered so far, one's own first."""
    return f"{prompt}{','.join(f'#{o}' for o in opinions)}?"
