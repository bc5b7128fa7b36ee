"""Ways of thinking: plain async functions `solver(model, question, tools) -> Reply`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from ..core.errors import UnknownName
from ..core.records import Question, Reply
from ..engines.session import Session
from .beam import beam
from .best_of_n import best_of_n
from .calculator import calculate
from .confident import confident
from .debate import debate
from .environment import environment
from .majority import majority
from .memory import memory
from .notations import voted
from .program import program
from .querying import querying
from .react import react
from .roles import roles
from .scored import scored
from .settings import settings_of
from .single import single
from .thinking import reply_of, thinking
from .tree_search import tree_search
from .two_stage import chain, plan_then_solve

__all__ = [
    "SOLVERS",
    "Solver",
    "beam",
    "best_of_n",
    "calculate",
    "chain",
    "confident",
    "debate",
    "environment",
    "majority",
    "memory",
    "plan_then_solve",
    "program",
    "querying",
    "react",
    "reply_of",
    "roles",
    "scored",
    "single",
    "solver",
    "thinking",
    "tree_search",
    "voted",
]

Solver = Callable[[Session, Question, Any], Awaitable[Reply]]

SOLVERS: dict[str, Solver] = {
    "single": single,
    "beam": beam,
    "best_of_n": best_of_n,
    "calculate": calculate,
    "chain": chain,
    "confident": confident,
    "debate": debate,
    "environment": environment,
    "majority": majority,
    "memory": memory,
    "mot": voted,
    "plan_then_solve": plan_then_solve,
    "program": program,
    "querying": querying,
    "react": react,
    "roles": roles,
    "scored": scored,
    "thinking": thinking,
    "tree_search": tree_search,
}


def solver(name: str) -> Solver:
    """A solver by name, alone or with settings ("scored:samples=4,score=grade"). Raises UnknownName, BadConfig."""
    own, _, keys = name.partition(":")
    if own not in SOLVERS:
        raise UnknownName("solver", own, SOLVERS)
    return partial(SOLVERS[own], **settings_of(own, SOLVERS[own], keys)) if keys else SOLVERS[own]
