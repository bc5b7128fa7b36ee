"""Ways of thinking: plain async functions `solver(model, question, tools) -> Reply`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ..core.errors import UnknownName
from ..core.records import Question, Reply
from ..engines.session import Session
from .best_of_n import best_of_n
from .calculator import calculate
from .confident import confident
from .environment import environment
from .single import single
from .thinking import reply_of, thinking

__all__ = ["SOLVERS", "Solver", "best_of_n", "calculate", "confident", "environment", "reply_of", "single", "solver", "thinking"]

Solver = Callable[[Session, Question, Any], Awaitable[Reply]]

SOLVERS: dict[str, Solver] = {
    "single": single,
    "best_of_n": best_of_n,
    "calculate": calculate,
    "confident": confident,
    "environment": environment,
    "thinking": thinking,
}


def solver(name: str) -> Solver:
    """A solver by name."""
    if name not in SOLVERS:
        raise UnknownName("solver", name, SOLVERS)
    return SOLVERS[name]
