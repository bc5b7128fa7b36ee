"""Ways of thinking: plain async functions `solver(model, question, tools) -> Reply`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ..core.errors import UnknownName
from ..core.records import Question, Reply
from ..engines.session import Session
from .calculator import calculate
from .single import single

__all__ = ["SOLVERS", "Solver", "calculate", "single", "solver"]

Solver = Callable[[Session, Question, Any], Awaitable[Reply]]

SOLVERS: dict[str, Solver] = {"single": single, "calculate": calculate}


def solver(name: str) -> Solver:
    """A solver by name."""
    if name not in SOLVERS:
        raise UnknownName("solver", name, SOLVERS)
    return SOLVERS[name]
