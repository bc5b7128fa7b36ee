"""Boxoban (Guez et al. 2018, arXiv:1901.03559): levels, what moves do to them, and solutions with the fewest pushes.

The border of a level is wall, so its inside is a board of 64 cells: a set of cells is one 64-bit number, cell (y, x) at bit 8 y + x.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import VerifierError
from ...core.records import Problem, Reply, Verdict
from ..markers import tails
from ..verifiers import LONGEST, SHOWN
from .dataset import Item
from .rows import Row

MOVES = re.compile(r"(?:up|down|left|right|[udlr])(?:[\s,;]{0,4}(?:up|down|left|right|[udlr]))*", re.IGNORECASE)
MOVE = re.compile(r"up|down|left|right|[udlr]", re.IGNORECASE)
LEVEL = re.compile(r"#{10}\n(?:#[# @$.]{8}#\n){8}#{10}")
STEPS = {"u": -8, "d": 8, "l": -1, "r": 1}
WIDTH = 11  # ten cells and the line's end
WAYS = {"u": -WIDTH, "d": WIDTH, "l": -1, "r": 1}
ROOM = 1 << 20  # states of a search


def sokoban(row: Row, file: Path) -> Item | str:
    """Difficulty is 1 for a medium level, 2 for a hard one."""
    level = row["level"]
    if not LEVEL.fullmatch(level) or level.count("@") != 1 or level.count("$") != level.count("."):
        return "not a level of ten by ten with one player and as many boxes as goals"
    difficulty = 2.0 if file.stem.startswith("hard") else 1.0
    return Item(f"# wall, @ you, $ box, . goal\n{level}", "", same=level.replace(" ", "_"), difficulty=difficulty, facts=level)


def plan(problem: Problem, reply: Reply) -> Verdict:
    """1 if the moves behind the last marker, or all of a reply that is nothing but moves, bring every box to a goal."""
    text = reply.text[-LONGEST:]
    tail = next(tails(text), text).strip().strip("*`$. \n")
    if not MOVES.fullmatch(tail):
        return Verdict(0.0, reason="no moves up, down, left, right (or u, d, l, r) after the last marker")
    moves = "".join(m[0][0].lower() for m in MOVE.finditer(tail))
    done = pushed(problem.data.facts, moves)
    return Verdict(float(done), moves[:SHOWN], reason="right" if done else "not every box stands on a goal")


def pushed(level: str, moves: str) -> bool:
    """Whether every box stands on a goal after the moves."""
    yard, state = opened(level)
    for move in moves:
        state = yard.moved(state, move)
    return yard.goal(state)


# ---- the world

State = tuple[int, frozenset[int]]  # where one stands, and the boxes; places in the level's text


@dataclass(frozen=True)
class Yard:
    """The world of a level: how long its text is, and where walls and goals are."""

    size: int
    walls: frozenset[int]
    goals: frozenset[int]

    def legal(self, state: State, action: str) -> State | None:
        """See World: up, down, left, right, or their first letters."""
        return self.moved(state, action[0].lower()) if MOVE.fullmatch(action) else None

    def moved(self, state: State, move: str) -> State:
        """After a move. One against a wall or a stuck box changes nothing."""
        player, boxes = state
        ahead, beyond = player + WAYS[move], player + 2 * WAYS[move]
        if ahead in self.walls or (ahead in boxes and (beyond in self.walls or beyond in boxes)):
            return state
        return ahead, boxes - {ahead} | {beyond} if ahead in boxes else boxes

    def goal(self, state: State) -> bool:
        """See World."""
        return state[1] == self.goals

    def shown(self, state: State) -> str:
        """The level as it stands; what stands on a goal is * for a box, + for the player."""
        cells = dict.fromkeys(range(WIDTH - 1, self.size, WIDTH), "\n") | dict.fromkeys(self.walls, "#") | dict.fromkeys(self.goals, ".")
        cells |= {box: "*" if box in self.goals else "$" for box in state[1]}
        cells[state[0]] = "+" if state[0] in self.goals else "@"
        return "".join(cells.get(i, " ") for i in range(self.size))


def opened(level: str) -> tuple[Yard, State]:
    """The world of a level and its first state."""
    walls, boxes, goals = (frozenset(i for i, cell in enumerate(level) if cell == kind) for kind in "#$.")
    return Yard(len(level), walls, goals), (level.index("@"), boxes)


# ---- solutions


@lru_cache(maxsize=4096)
def solved(level: str) -> str:
    """Moves that solve the level, with the fewest pushes. Raises VerifierError where there are none."""
    inside = "".join(line[1:9] for line in level.split("\n")[1:9])
    boxes, goals, player, walls = (sum(1 << i for i, cell in enumerate(inside) if cell == kind) for kind in "$.@#")
    free = ~walls & (1 << 64) - 1
    masks, parents, end = compiled()(*(np.uint64(x) for x in (free, alive(free, goals), goals, boxes, player)), ROOM)
    if end < 0:
        raise VerifierError(f"no solution was found within {ROOM} states of the level\n{level}")
    chain = [end]
    while parents[chain[-1]] >= 0:
        chain.append(parents[chain[-1]])
    moves, man = "", player
    for before, after in zip(chain[::-1], chain[-2::-1]):
        gone, come = int(masks[before] & ~masks[after]), int(masks[after] & ~masks[before])
        step = come.bit_length() - gone.bit_length()
        push = next(m for m, s in STEPS.items() if s == step)
        moves += walk(free & ~int(masks[before]), man, shifted(gone, -step)) + push
        man = gone
    return moves


def shifted(cell: int, step: int) -> int:
    """The cell `step` further on."""
    return cell << step if step > 0 else cell >> -step


def neighbours(cell: int, free: int) -> list[tuple[str, int]]:
    """The free cells beside a cell, with the moves to them."""
    x = (cell.bit_length() - 1) % 8
    open_ = [(m, s) for m, s in STEPS.items() if not (m == "l" and x == 0) and not (m == "r" and x == 7)]
    return [(m, to) for m, s in open_ if (to := shifted(cell, s)) & free]


def walk(free: int, start: int, to: int) -> str:
    """The shortest way over free cells."""
    ways, fresh = {start: ""}, [start]
    for cell in fresh:
        for move, beside in neighbours(cell, free):
            if beside not in ways:
                ways[beside] = ways[cell] + move
                fresh.append(beside)
    return ways[to]


def alive(free: int, goals: int) -> int:
    """The cells from which a lone box can be pushed to some goal: those that it can be pulled to from one."""
    fresh = [1 << i for i in range(64) if goals >> i & 1]
    found = set(fresh)
    for cell in fresh:
        for move, beside in neighbours(cell, free):
            if beside not in found and any(m == move for m, _ in neighbours(beside, free)):
                found.add(beside)
                fresh.append(beside)
    return sum(found)


@lru_cache(maxsize=1)
def compiled() -> Callable[..., Any]:
    """`search`, compiled when first needed."""
    from numba import njit

    made: Callable[..., Any] = njit(cache=True)(search)
    return made


def search(free: Any, alive: Any, goals: Any, boxes: Any, player: Any, room: int) -> Any:
    """Breadth first over (boxes, where the player can be): the boxes of each state, its parent, and the last state, or -1."""
    one, eight = np.uint64(1), np.uint64(8)
    not_left, not_right = np.uint64(0xFEFEFEFEFEFEFEFE), np.uint64(0x7F7F7F7F7F7F7F7F)
    masks, reach, parents = np.empty(room, np.uint64), np.empty(room, np.uint64), np.empty(room, np.int64)
    slots = np.full(2 * room, -1, np.int64)

    def moved(x, way):  # type: ignore[no-untyped-def]
        if way < 2:
            return x << eight if way else x >> eight
        return (x & not_left) >> one if way == 2 else (x & not_right) << one

    def reached(x, boxes):  # type: ignore[no-untyped-def]
        before = x ^ x
        while x != before:
            before, x = x, x | (moved(x, 0) | moved(x, 1) | moved(x, 2) | moved(x, 3)) & free & ~boxes
        return x

    masks[0], reach[0], parents[0], n, at = boxes, reached(player, boxes), -1, 1, 0
    while at < n < room:
        here = masks[at]
        for way in range(4):
            can = moved(reach[at], way) & here & moved(alive & ~here, way ^ 1)
            while can and n < room:
                box = can & (~can + one)
                can ^= box
                after = here ^ box | moved(box, way)
                man = reached(box, after)
                slot = np.int64((after * np.uint64(0x9E3779B97F4A7C15) ^ man * np.uint64(0xBF58476D1CE4E5B9)) >> np.uint64(20)) % (2 * room)
                while slots[slot] >= 0 and (masks[slots[slot]] != after or reach[slots[slot]] != man):
                    slot = (slot + 1) % (2 * room)
                if slots[slot] < 0:
                    slots[slot], masks[n], reach[n], parents[n] = n, after, man, at
                    if after == goals:
                        return masks, parents, n
                    n += 1
        at += 1
    return masks, parents, -1
