"""Sokoban: push every box onto a goal. Any moves that do are right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import Any

from ..core.errors import InputError
from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED
from .boards import MOVES, PLAN, Cell, ahead, drawn, likeness, planned, reached, rows, spoilt, traced
from .generated import Generated, laid_out, posed, span, whole
from .real import sokoban

BACK = dict(zip("udlr", "durl"))
YOU, BOX, GOAL, YOU_THERE, BOX_THERE = "abx+*"

State = tuple[Cell, tuple[Cell, ...]]  # where one stands, and the boxes in order


@dataclass(frozen=True)
class Spec:
    """pushes   fewest that solve it, from and to
    boxes    and as many goals
    size     rows and columns
    walls    chance of a wall in percent
    moves    of the solution, at most: boards that need more are left out
    """

    pushes: tuple[int, int] = (1, 3)
    boxes: int = 1
    size: int = 4
    walls: int = 15
    moves: int = 20

    def __post_init__(self) -> None:
        object.__setattr__(self, "pushes", span("pushes", self.pushes, 1, 16))
        whole("boxes", self.boxes, 1, 2)
        whole("size", self.size, 3, 7)
        whole("walls", self.walls, 0, 50)
        whole("moves", self.moves, self.pushes[1], 100)


@dataclass(frozen=True)
class Store:
    """The world of a problem."""

    free: frozenset[Cell]
    goals: tuple[Cell, ...]

    def legal(self, state: State, action: str) -> State | None:
        """See World: u, d, l and r lead to free cells, and push a box that stands there if the cell behind it is free, too."""
        if action not in MOVES:
            return None
        you, boxes = ahead(state[0], action), state[1]
        if you in boxes:
            boxes = swapped(boxes, you, ahead(you, action))
        return (you, boxes) if you in self.free and self.free.issuperset(boxes) and len({you, *boxes}) == len(boxes) + 1 else None

    def goal(self, state: State) -> bool:
        """See World."""
        return state[1] == self.goals


class Boxes(Generated[Spec]):
    """Prompt `a.%\\n.bx\\n...\\n?`, reply `d:21 22,r:22 23#dr`: moves from a that push box b to goal x, with you and boxes after each.

    Rows and columns count from 1; + is you on a goal, * a box on one. Difficulty counts pushes, the fewest that do (the moves among them
    are the fewest, too). Family: the part of the board that can be reached, however turned or reflected.
    """

    name = "boxes"
    default = Spec()
    instruction = (
        "You are a. Go by the moves u (up), d (down), l (left) and r (right), never through a wall (%) or off the board. "
        "A step against a box (b, or * on a goal) pushes it if the cell behind it is free. Bring every box onto a goal (x, or + under you). "
        'End with "#" and the moves, as in #ddr.'
    )

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        self.max_tokens = self.spec.moves * (2 * (len("d:21,") + 3 * self.spec.boxes) + 1) + 2

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem | None]:
        """See Generated."""
        count = stream.between(*spec.pushes)
        while True:
            free = drawn(spec.size, spec.walls, stream)
            store = Store(frozenset(free), tuple(sorted(stream.sample(free, spec.boxes)))) if len(free) > spec.boxes else None
            ways = solutions(store, count) if store else {}
            starts = [state for state, (pushes, plan) in ways.items() if pushes == count and len(plan) <= spec.moves]
            if not store or not starts:
                yield None
                continue
            start = stream.choice(starts)
            yield asked(store, start, ways[start][1], count, spec.size)

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task. Parts: see `simulated`."""
        return planned(reply, PLAN, "moves", *problem.data)

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "corrupted" goes another way once."""
        store, start = problem.data
        plan = list(problem.answer)
        if style == CORRUPTED:
            plan = spoilt(store, start, plan, tuple(MOVES), stream)
        shown = lambda state: " ".join(f"{y + 1}{x + 1}" for y, x in (state[0], *state[1]))
        return laid_out(traced(store, start, plan, shown), "".join(plan), style)


def boxoban(level: str) -> Problem:
    """A level of Boxoban as a problem of this task; its solution has the fewest pushes. The frame of walls is left out.

    Raises InputError for a text that is not a level, VerifierError where no solution is found.
    """
    text = level.strip("\n")
    if not sokoban.LEVEL.fullmatch(text) or text.count("@") != 1 or text.count("$") != text.count("."):
        raise InputError(
            f"{text[:120]!r} is no Boxoban level; give ten lines of ten of '# @$.', with one player and as many boxes as goals"
        )
    cells = {(y, x): kind for y, line in enumerate(text.split("\n")[1:9]) for x, kind in enumerate(line[1:9])}
    (you,), boxes, goals = (tuple(sorted(cell for cell, kind in cells.items() if kind == wanted)) for wanted in "@$.")
    store, plan = Store(frozenset(cell for cell, kind in cells.items() if kind != "#"), goals), sokoban.solved(text)
    state, pushes = (you, boxes), 0
    for move in plan:
        after = store.legal(state, move)
        assert after
        state, pushes = after, pushes + (after[1] != state[1])
    problem = asked(store, (you, boxes), plan, pushes, 8)
    return replace(problem, question=replace(problem.question, instruction=Boxes.instruction))


def asked(store: Store, start: State, plan: str, pushes: int, size: int) -> Problem:
    """The problem of a start and its solution."""
    you, boxes = start
    things = dict.fromkeys(store.goals, GOAL) | {box: BOX_THERE if box in store.goals else BOX for box in boxes}
    things[you] = YOU_THERE if you in store.goals else YOU
    prompt = "\n".join((*rows(size, store.free, things), "?"))
    return posed(prompt, plan, likeness(rows(size, reached(you, store.free), things)), pushes, (store, start))


def solutions(store: Store, most: int) -> dict[State, tuple[int, str]]:
    """The states from which so many pushes suffice, each with its fewest pushes and the shortest plan that has no more.

    Dijkstra's algorithm from the solved states backwards: steps back, and pulls.
    """
    known: dict[State, tuple[int, str]] = {}
    heap = [(0, 0, (cell, store.goals), "") for cell in sorted(store.free.difference(store.goals))]
    while heap:
        pushes, moves, state, plan = heappop(heap)
        if state in known or pushes > most:
            continue
        known[state] = pushes, plan
        you, boxes = state
        for move in MOVES:
            behind, before = ahead(you, BACK[move]), ahead(you, move)
            if behind in store.free and behind not in boxes:
                heappush(heap, (pushes, moves + 1, (behind, boxes), move + plan))
                if before in boxes:
                    heappush(heap, (pushes + 1, moves + 1, (behind, swapped(boxes, before, you)), move + plan))
    return known


def swapped(boxes: tuple[Cell, ...], gone: Cell, come: Cell) -> tuple[Cell, ...]:
    """The boxes with one moved."""
    return tuple(sorted(come if box == gone else box for box in boxes))
