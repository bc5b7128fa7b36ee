"""Boards that fall into parts that start from numbers: islands between walls, rays of arrows. Each has one solution, found by a full search."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice, product
from typing import Any

from ...core.rng import Stream
from .boards import Cell, near, text
from .family import Family, Made
from .shaded import Shaded, around, board_of, drawn, mirrored

LARGEST = 4  # cells of an island
ARROWS = {"u": (-1, 0), "d": (1, 0), "l": (0, -1), "r": (0, 1)}
Part = frozenset[Any]  # what a number can take


def choices(parts: Sequence[Sequence[Part]], bars: Mapping[Part, Part]) -> Iterator[list[Part]]:
    """All ways to choose one part for each number so that none has anything of what another one bars; those with few parts first."""
    if not parts:
        yield []
        return
    for part in parts[0]:
        left = [[other for other in others if not other & bars[part]] for others in parts[1:]]
        if all(left):
            yield from ([part, *rest] for rest in choices(sorted(left, key=len), bars))


class NumberWall(Shaded):
    """Prompt `1.2./..../1.1.?`, reply `#.x../xxxx/.x.x`: walls around islands, each of as many cells as its one number says.

    3 by 4 cells at level 1, then 4 by 4, 4 by 5, 5 by 5.
    """

    name = "synlogic:number_wall"
    instruction = (
        "Put walls on cells without a number, so that each island of other cells, joined by their sides, has one number and as many cells as it says; "
        "islands do not touch, not even at a corner, and no two by two cells are all wall. "
        'End with "#" and the rows with x for walls and . for all other cells and / between rows, as in #.x../xxxx/.x.x.'
    )
    sizes = ((3, 4), (4, 4), (4, 5), (5, 5))

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family. A draw that leaves a block of walls or more than one solution comes to nothing."""
        size = self.sizes[level - 1]
        board = board_of(*size)
        found = islands(board, stream)
        walls = set(board) - {cell for island in found for cell in island}
        numbers = {stream.choice(sorted(island)): len(island) for island in found}
        if blocked(walls) or len(list(islice(walled(board, numbers), 2))) > 1:
            return None
        shown = drawn(*size, {cell: str(n) for cell, n in numbers.items()})
        return self.made(text(shown, ""), mirrored(shown), size, (size, numbers), walls)

    def broken(self, clues: Any, marked: set[Cell]) -> str:
        """See Shaded."""
        size, numbers = clues
        if marked & set(numbers):
            return "a wall where there is a number"
        if blocked(marked):
            return "two by two cells are all wall"
        left = set(board_of(*size)) - marked
        while left:
            island = joined(min(left), left)
            left -= island
            told = [numbers[cell] for cell in sorted(island) if cell in numbers]
            if told != [len(island)]:
                return f"an island of {len(island)} cells has the numbers {told}"
            if any(set(around(cell)) & left for cell in island):
                return "two islands touch at a corner"
        return ""


def joined(cell: Cell, cells: Collection[Cell]) -> set[Cell]:
    """The cells that are joined by their sides with a cell."""
    reached = [cell]
    for c in reached:
        reached += [other for other in near(c) if other in cells and other not in reached]
    return set(reached)


def islands(board: Sequence[Cell], stream: Stream) -> list[set[Cell]]:
    """Islands that do not touch, until there is no room for one more."""
    found: list[set[Cell]] = []
    open_ = set(board)
    while open_:
        island = {stream.choice(sorted(open_))}
        for _ in range(stream.below(LARGEST)):
            edge = sorted({c for cell in island for c in near(cell)} & open_ - island)
            if edge:
                island.add(stream.choice(edge))
        open_ -= island | {c for cell in island for c in around(cell)}
        found.append(island)
    return found


def blocked(walls: Collection[Cell]) -> bool:
    """Whether two by two cells are all wall."""
    return any({(y, x), (y + 1, x), (y, x + 1), (y + 1, x + 1)} <= set(walls) for y, x in walls)


def shapes(cell: Cell, size: int, open_: set[Cell]) -> list[Part]:
    """All islands of that size with a cell, the others among those open."""
    found = {frozenset({cell})}
    for _ in range(size - 1):
        found = {shape | {c} for shape in found for other in shape for c in near(other) if c in open_ and c not in shape}
    return sorted(found, key=sorted)


def walled(board: Sequence[Cell], numbers: Mapping[Cell, int]) -> Iterator[set[Cell]]:
    """The walls of all solutions."""
    parts = []
    for cell, size in numbers.items():
        closed = {c for other in numbers if other != cell for c in (other, *around(other))}
        parts.append(shapes(cell, size, set(board) - closed))
    bars = {part: part | {c for cell in part for c in around(cell)} for shapes_ in parts for part in shapes_}
    for chosen in choices(sorted(parts, key=len), bars):
        walls = set(board) - {cell for part in chosen for cell in part}
        if not blocked(walls):
            yield walls


class ArrowMaze(Family):
    """Prompt `.33./..../1..1?`, reply `#l33r/uddu/1dd1`: rays of arrows that go out from the numbers and fill the board; a number says how many arrows its rays have.

    3 by 4 cells at level 1, then 4 by 4, 4 by 5, 5 by 5.
    """

    name = "synlogic:arrow_maze"
    instruction = (
        "Put an arrow u, d, l or r (up, down, left, right) on each cell with a dot, so that all arrows are in rays: a ray starts beside a number and "
        "leads away from it without a gap, all its arrows pointing that way. A number says how many arrows its rays have together. "
        'End with "#" and the rows with / between them, as in #l33r/uddu/1dd1.'
    )
    form = re.compile("[1-9udlr]{3,5}(?:/[1-9udlr]{3,5}){2,4}")
    what = "board of numbers and arrows"
    sizes = ((3, 4), (4, 4), (4, 5), (5, 5))

    def room(self, level: int) -> int:
        """See Family."""
        height, width = self.sizes[level - 1]
        return height * (width + 1)

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family. A draw with a number without arrows or with more than one solution comes to nothing."""
        size = self.sizes[level - 1]
        arrows, numbers = filled(board_of(*size), stream)
        if not all(0 < n < 10 for n in numbers.values()) or len(list(islice(rayed(board_of(*size), numbers), 2))) > 1:
            return None
        given = {cell: str(n) for cell, n in numbers.items()}
        shown = drawn(*size, given)
        return Made(text(shown, "") + "?", text(drawn(*size, {**given, **arrows}), ""), mirrored(shown), text(shown, ""))

    def fault(self, facts: Any, answer: str) -> str:
        """See Family."""
        if len(answer) != len(facts) or any((a != b) if b != "." else a not in ARROWS for a, b in zip(answer, facts)):
            return f"{answer} is not {facts} with arrows for the dots"
        cells = {(y, x): c for y, row in enumerate(answer.split("/")) for x, c in enumerate(row)}
        held = Counter(source(cells, cell) for cell in cells if cells[cell] in ARROWS)
        if None in held:
            return "an arrow does not lead away from a number"
        return next((f"a {n} has {held[cell]} arrows" for cell, n in cells.items() if n not in ARROWS and held[cell] != int(n)), "")


def source(cells: Mapping[Cell, str], cell: Cell) -> Cell | None:
    """The number from which the ray of an arrow starts."""
    arrow, (y, x) = cells[cell], cell
    while cells.get((y, x)) == arrow:
        y, x = y - ARROWS[arrow][0], x - ARROWS[arrow][1]
    return None if cells.get((y, x), arrow) in ARROWS else (y, x)


def filled(board: Sequence[Cell], stream: Stream) -> tuple[dict[Cell, str], dict[Cell, int]]:
    """Arrows and numbers that fill the board: rays grow in random order, and where none can, a number is put on an open cell."""
    arrows: dict[Cell, str] = {}
    numbers = dict.fromkeys(stream.sample(board, len(board) // 5), 0)
    while len(arrows) + len(numbers) < len(board):
        open_ = [cell for cell in board if cell not in arrows and cell not in numbers]
        tips = [(tip, arrow, start) for start, arrow in product(numbers, ARROWS) if (tip := after(start, arrow, arrows)) in open_]
        if tips:
            tip, arrow, start = stream.choice(tips)
            arrows[tip] = arrow
            numbers[start] += 1
        else:
            numbers[stream.choice(open_)] = 0
    return arrows, numbers


def after(start: Cell, arrow: str, arrows: Mapping[Cell, str]) -> Cell:
    """The cell behind the last arrow of a ray."""
    (y, x), (v, u) = start, ARROWS[arrow]
    while arrows.get((y + v, x + u)) == arrow:
        y, x = y + v, x + u
    return y + v, x + u


def rayed(board: Sequence[Cell], numbers: Mapping[Cell, int]) -> Iterator[list[Part]]:
    """All ways to give rays to the numbers; they fill the board, as there are as many arrows as cells without a number."""
    open_ = set(board) - set(numbers)
    parts = []
    for (y, x), n in numbers.items():
        rays = []
        for v, u in ARROWS.values():
            line: list[Cell] = []
            while (y + v * (len(line) + 1), x + u * (len(line) + 1)) in open_:
                line.append((y + v * (len(line) + 1), x + u * (len(line) + 1)))
            rays.append([line[:k] for k in range(min(n, len(line)) + 1)])
        parts.append([frozenset(c for ray in chosen for c in ray) for chosen in product(*rays) if sum(map(len, chosen)) == n])
    bars = {part: part for options in parts for part in options}
    return choices(sorted(parts, key=len), bars)
