"""Boards of cells as text, and moves on them: what the tasks on grids share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from ..core.records import Reply, Verdict
from ..core.rng import Stream
from .checkers.plan import State, World, simulated
from .generated import checked

WALL, FREE = "%", "."
MOVES = {"u": (-1, 0), "d": (1, 0), "l": (0, -1), "r": (0, 1)}
PLAN = re.compile("[udlr]{1,1000}")

Cell = tuple[int, int]  # row and column, from 0


def ahead(cell: Cell, move: str) -> Cell:
    """The cell that a move leads to."""
    down, right = MOVES[move]
    return cell[0] + down, cell[1] + right


def reached(start: Cell, free: Iterable[Cell]) -> dict[Cell, str]:
    """The free cells that can be reached, each with the shortest moves to it."""
    cells, ways, fresh = set(free), {start: ""}, [start]
    for cell in fresh:
        for move in MOVES:
            beside = ahead(cell, move)
            if beside in cells and beside not in ways:
                ways[beside] = ways[cell] + move
                fresh.append(beside)
    return ways


def drawn(size: int, walls: int, stream: Stream) -> list[Cell]:
    """The free cells of a square board whose cells are walls with that chance in percent."""
    return [(y, x) for y in range(size) for x in range(size) if stream.below(100) >= walls]


def rows(size: int, free: Iterable[Cell], things: dict[Cell, str]) -> tuple[str, ...]:
    """The board as text, with what stands where."""
    shown = dict.fromkeys(free, FREE) | things
    return tuple("".join(shown.get((y, x), WALL) for x in range(size)) for y in range(size))


def likeness(board: Sequence[str]) -> str:
    """A name for the board, equal for all its eight turns and reflections."""
    turns = [tuple(board)]
    for _ in range(3):
        turns.append(tuple("".join(column) for column in zip(*turns[-1][::-1])))
    return min("/".join(t) for turn in turns for t in (turn, turn[::-1]))


def planned(
    reply: Reply, form: re.Pattern[str], what: str, world: World[State], start: State, read: Callable[[str], Sequence[str]] = tuple
) -> Verdict:
    """1 if the plan behind the last "#" is legal and ends in a goal. `read` makes actions of it; by itself, each letter is one."""
    found = checked(reply, form, what, lambda tail: "")
    return found if found.parsed is None else simulated(world, start, read(found.parsed))


def spoilt(world: World[State], start: State, plan: Sequence[str], actions: Sequence[str], stream: Stream) -> list[str]:
    """The plan with one action replaced by another, so that it fails."""
    while True:
        wrong = list(plan)
        wrong[stream.below(len(plan))] = stream.choice(actions)
        if not simulated(world, start, wrong).score:
            return wrong


def traced(world: World[State], start: State, plan: Sequence[str], shown: Callable[[State], str]) -> list[str]:
    """Each action with how things stand after it, `action:state`; `no` where it is not allowed, and nothing of what follows."""
    lines: list[str] = []
    state: State | None = start
    for action in plan:
        state = world.legal(state, action) if state is not None else None
        lines.append(f"{action}:{shown(state) if state is not None else 'no'}")
    return lines
