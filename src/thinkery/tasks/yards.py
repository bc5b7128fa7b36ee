"""Boxoban's levels acted in, a move a turn (Guez et al. 2018, arXiv:1901.03559)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import Task
from .environments import EPISODE
from .played import MOST, Acting, came_to
from .real import load_dataset
from .real.sokoban import State, opened

INSTRUCTION = (
    "Push every box onto a goal. A turn is one move: up, down, left or right. You are shown the level after each: * is a box on a goal."
)


class Yards(Task):
    """The data set's problems; `tools` gives an episode in the level. The score is 1 as soon as every box stands on a goal.

    The reply of another solver is a plan, judged as the data set's. A demonstration has the moves of a solution with the fewest pushes.
    """

    def __init__(self, part: str = "") -> None:
        """Raises BadData where the levels are not there."""
        self.levels = load_dataset(f"boxoban:{part}" if part else "boxoban")
        self.name, self.styles, self.max_tokens = f"acted:{self.levels.name}", self.levels.styles, self.levels.max_tokens

    def size(self, split: str) -> int:
        """See Task."""
        return self.levels.size(split)

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        """See Task."""
        found = self.levels.problem(index, split, seed, **spec)
        return replace(found, question=replace(found.question, instruction=INSTRUCTION))

    def tools(self, problem: Problem, rng: Stream | None = None) -> Acting[State]:
        """See Task."""
        yard, start = opened(problem.data.facts)
        return Acting(yard, start, yard.shown, 2 * MOST)

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task. Parts, where it was acted in: see `came_to`."""
        return came_to(reply) if EPISODE in reply.data else self.levels.verify(problem, reply, rollout)

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        """See Task: a move a line."""
        return "\n".join(self.levels.demonstration(problem, style, rng))
