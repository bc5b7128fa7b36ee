"""Work made shorter: what matters least for the answer is left out, as much as is asked for; or what comes first, so that it is done unseen.

Xia et al. 2025, "TokenSkip: controllable chain-of-thought compression in LLMs" (arXiv:2502.12067); Deng et al. 2024, "From explicit CoT to implicit
CoT: learning to internalize CoT step by step" (arXiv:2405.14838).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from ..core.errors import BadConfig
from ..core.records import Question, Reply
from ..engines.session import Session
from ..tasks.markers import MARKER
from .react import writable
from .thinking import reply_of

PIECE = re.compile(r"[^\s,:;+]*[\s,:;+]+|[^\s,:;+]+")  # a number or a word with what ends it
ASKED = "{percent}%:{prompt}"  # for a model without a chat template; before the question, whose end the work begins with
TOLD = "{prompt}\n\nWrite about {percent} % of the work that you would write by yourself."
RATIOS = (0.3, 0.45, 0.6, 0.8, 1.0)  # shares of the work that are asked for in turn
LEAST = 0.5  # nats: what is worth less is worth nothing, and the later of two such pieces is kept

Keep = Callable[[Session, Question, Sequence[str], str], list[bool]]  # which pieces of the work before an answer are kept


def asking(model: Session, question: Question, ratio: float) -> Question:
    """The question with how much work is wanted, in [0, 1]. Raises BadConfig."""
    if not 0 <= ratio <= 1:
        raise BadConfig(f"a share of the work lies in [0, 1]; got {ratio:g}")
    form = ASKED if model.chat() is None else TOLD
    return Question(writable(model, form.format(prompt=question.prompt, percent=round(100 * ratio))), question.shown, question.instruction)


async def compressed(model: Session, question: Question, tools: Any = None, ratio: float = 0.5) -> Reply:
    """A reply with about that share of its work, by a model that has learnt from `compressing`."""
    return reply_of(model, await model.ask(asking(model, question, ratio)))


async def compressing(model: Session, question: Question, tools: Any = None, ratio: float | None = None, at_random: bool = False) -> Reply:
    """The model's own work, said again after the question and a share of it, without what matters least for its answer; the reply is the first one.

    ratio       the share of the work's tokens; None: one of RATIOS, drawn
    at_random   whether what is left out is drawn instead

    What is said again is the last turn, and forced; of a reply that was cut off nothing is.
    """
    wanted = model.rng("ratio").choice(RATIOS) if ratio is None else ratio

    def keep(m: Session, q: Question, work: Sequence[str], answer: str) -> list[bool]:
        worth = [m.rng("worth", i).random() for i in range(len(work))] if at_random else importance(m, q, work, answer)
        return fitting([size(m, p) for p in work], worth, wanted)

    return await again(model, question, asking(model, question, wanted), keep)


async def inward(model: Session, question: Question, tools: Any = None, share: float = 0.5) -> Reply:
    """The model's own work, said again without its first share, as `compressing` does."""
    if not 0 <= share <= 1:
        raise BadConfig(f"a share of the work lies in [0, 1]; got {share:g}")

    def keep(m: Session, q: Question, work: Sequence[str], answer: str) -> list[bool]:
        sizes = [size(m, p) for p in work]
        return [sum(sizes[: i + 1]) > share * sum(sizes) for i in range(len(work))]

    return await again(model, question, question, keep)


async def again(model: Session, question: Question, after: Question, keep: Keep) -> Reply:
    """The reply to the question; the pieces of its work that are kept are said after another question, with its answer."""
    turn = await model.ask(question)
    reply = reply_of(model, turn)
    if not reply.truncated:
        work, answer = halves(reply.text)
        pieces = PIECE.findall(work)
        model.say(after, "".join(p for p, kept in zip(pieces, keep(model, question, pieces, answer)) if kept) + answer)
    return reply


def halves(text: str) -> tuple[str, str]:
    """The work of a reply, and its answer with the last marker before it; without a marker all is answer."""
    start = max((m.start() for m in MARKER.finditer(text)), default=0)
    return text[:start], text[start:]


def size(model: Session, text: str) -> int:
    """Tokens of a piece."""
    return len(model.context("").codec.encode(text))


def importance(model: Session, question: Question, work: Sequence[str], answer: str) -> list[float]:
    """By how much the answer becomes less likely without a piece, nats: its log-probability after all of the work, less that after the others; 0 if
    that is less than LEAST.
    """
    if not work:
        return []
    place = model.context(question)
    likely = lambda pieces: float(model.score(place + "".join(pieces) if pieces else place, answer).sum(dtype="float64"))
    whole = likely(list(work))
    found = [whole - likely([*work[:i], *work[i + 1 :]]) for i in range(len(work))]
    return [worth if worth >= LEAST else 0.0 for worth in found]


def fitting(sizes: Sequence[int], worth: Sequence[float], ratio: float) -> list[bool]:
    """The pieces of greatest worth that fit into a share of all tokens; of equal ones the later."""
    room, kept = ratio * sum(sizes) + 1e-9, [False] * len(sizes)
    for i in sorted(range(len(sizes)), key=lambda i: (-worth[i], -i)):
        if sizes[i] <= room:
            kept[i], room = True, room - sizes[i]
    return kept
