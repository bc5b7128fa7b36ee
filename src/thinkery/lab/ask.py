"""One question, answered with a way of thinking; what is written can be watched while it is written."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..core.context import Turn
from ..core.errors import InputError, SolverError, ThinkeryError
from ..core.records import Question, Reply
from ..core.rng import address
from ..engines.local import LocalEngine
from ..engines.session import Sampling, Session
from ..engines.work import Answer
from ..engines.work import run as run_solvers
from ..models.model import Model
from ..solvers import solver as solver_named
from ..tools.tool import Toolbox
from .answering import answering

Watch = Callable[[list[tuple[Answer, Turn]]], None]


@dataclass(frozen=True)
class Asked:
    """What came of a question: the reply, every turn in the order asked, and the time it took."""

    reply: Reply
    turns: list[Turn]
    seconds: float

    @property
    def tokens(self) -> int:
        """Tokens sampled."""
        return sum(t.n for t in self.turns if not t.forced)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; a turn's `logp` is the sum over its tokens, in nats."""
        turns = [{"text": t.text, "ended": t.ended, "tokens": t.n, "logp": float(t.logp.sum(dtype="float64"))} for t in self.turns]
        told = {k: v for k, v in self.reply.data.items() if isinstance(v, str | int | float | bool)}
        return {"reply": self.reply.text, **told, "turns": turns, "seconds": self.seconds, "tokens": self.tokens}


def ask(
    model: Model | str,
    question: str,
    *,
    solver: str = "single",
    max_tokens: int = 256,
    temperature: float = 0.0,
    seed: int = 0,
    thinking: str = "auto",
    system: str = "",
    engine: str = "auto",
    served: str | None = None,
    watch: Watch | None = None,
    tools: Toolbox | None = None,
) -> Asked:
    """Have a model (or a server, by its address) answer a question by a solver; thinking, system, engine and served as in `evaluate`.

    `watch` is LocalEngine's; other engines are silent until they are done. Raises InputError for bad input, SolverError where the solver
    itself failed.
    """
    if not question.strip():
        raise InputError('the question is empty: give it as in thinkery ask "3+4=", or - to read it from standard input')
    decoding = answering(model, served, thinking, system, engine)
    if isinstance(decoding, LocalEngine):
        decoding.watch = watch
    session, began = Session(decoding, address(seed, "ask"), Sampling(max_tokens, temperature)), time.monotonic()
    (reply,) = run_solvers([solver_named(solver)(session, Question(question), tools)], [decoding])
    if isinstance(reply, ThinkeryError):
        raise reply
    if isinstance(reply, BaseException):
        raise SolverError(f"the solver {solver!r} raised {type(reply).__name__}: {reply}") from reply
    return Asked(reply, session.close(), time.monotonic() - began)
