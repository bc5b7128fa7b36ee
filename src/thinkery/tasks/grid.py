"""Find a way through a maze. Any that ends at the goal is right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED
from .boards import MOVES, PLAN, Cell, ahead, drawn, likeness, planned, reached, rows, spoilt, traced
from .generated import Generated, laid_out, posed, span, whole


@dataclass(frozen=True)
class Spec:
    """steps   of the shortest way, from and to
    size    rows and columns
    walls   chance of a wall in percent
    """

    steps: tuple[int, int] = (3, 5)
    size: int = 4
    walls: int = 30

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", span("steps", self.steps, 1, 40))
        whole("size", self.size, 2, 9)
        whole("walls", self.walls, 0, 60)


@dataclass(frozen=True)
class Maze:
    """The world of a problem: a state is the cell where one stands."""

    free: frozenset[Cell]
    end: Cell

    def legal(self, state: Cell, action: str) -> Cell | None:
        """See World: u, d, l and r lead to free cells."""
        cell = ahead(state, action) if action in MOVES else None
        return cell if cell in self.free else None

    def goal(self, state: Cell) -> bool:
        """See World."""
        return state == self.end


class Grid(Generated[Spec]):
    """Prompt `a.%\\n.%x\\n...\\n?`, reply `d:21,d:31,r:32,r:33,u:23#ddrru`: a way from a to x, with row and column after each move.

    Difficulty counts the steps of the shortest way. Family: the part of the board that can be reached, however turned or reflected.
    """

    name = "grid"
    default = Spec()
    instruction = (
        "Go from a to x by the moves u (up), d (down), l (left) and r (right), never through a wall (%) or off the board. "
        'End with "#" and the moves, as in #ddrru.'
    )

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        self.max_tokens = self.spec.steps[1] * (2 * len("d:21,") + 1) + 2

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem | None]:
        """See Generated."""
        count = stream.between(*spec.steps)
        while True:
            free = drawn(spec.size, spec.walls, stream)
            start = stream.choice(free) if free else (0, 0)
            ways = reached(start, free)
            ends = [cell for cell, way in ways.items() if len(way) == count]
            if not ends:
                yield None
                continue
            end = stream.choice(ends)
            things = {start: "a", end: "x"}
            prompt = "\n".join((*rows(spec.size, free, things), "?"))
            family = likeness(rows(spec.size, ways, things))
            yield posed(prompt, ways[end], family, count, (Maze(frozenset(free), end), start))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task. Parts: see `simulated`."""
        return planned(reply, PLAN, "moves", *problem.data)

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "corrupted" goes another way once."""
        maze, start = problem.data
        plan = list(problem.answer)
        if style == CORRUPTED:
            plan = spoilt(maze, start, plan, tuple(MOVES), stream)
        return laid_out(traced(maze, start, plan, lambda cell: f"{cell[0] + 1}{cell[1] + 1}"), "".join(plan), style)
