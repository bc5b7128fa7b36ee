"""Boards of which some cells are to be marked: tents, sums of places, mines, dominoes. Each has one solution, found by a full search."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations, islice
from typing import Any, ClassVar

from ...core.rng import Stream
from .boards import Cell, images, near, text
from .family import Family, Made

MARK, EMPTY, TREE = "x", ".", "t"


def around(cell: Cell) -> list[Cell]:
    """The up to eight cells that touch a cell, be they on the board or not."""
    y, x = cell
    return [(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]


def board_of(height: int, width: int) -> list[Cell]:
    """All cells, row after row."""
    return [(y, x) for y in range(height) for x in range(width)]


def drawn(height: int, width: int, cells: Mapping[Cell, str]) -> list[list[str]]:
    """The board's rows, with a . where there is nothing."""
    return [[cells.get((y, x), EMPTY) for x in range(width)] for y in range(height)]


def mirrored(rows: Sequence[Sequence[str]]) -> str:
    """The same text for a board and all that it is when turned or mirrored."""
    return min(text(image, "") for image in images(rows))


class Shaded(Family):
    """A board with cells to be marked; the answer is its rows, with x for each that is marked and . for all others. Facts: (size, clues)."""

    form = re.compile(r"[x.]{3,6}(?:/[x.]{3,6}){2,5}")
    what = "board of x and ."
    sizes: ClassVar[tuple[tuple[int, int], ...]]  # rows and columns at each level

    @abstractmethod
    def broken(self, clues: Any, marked: set[Cell]) -> str:
        """What is wrong with the marked cells, or ""."""

    def room(self, level: int) -> int:
        """See Family."""
        height, width = self.sizes[level - 1]
        return height * (width + 1)

    def fault(self, facts: Any, answer: str) -> str:
        """See Family."""
        (height, width), clues = facts
        rows = answer.split("/")
        if [len(row) for row in rows] != [width] * height:
            return f"{answer} has not {height} rows of {width}"
        return self.broken(clues, {(y, x) for y, row in enumerate(rows) for x, c in enumerate(row) if c == MARK})

    def made(self, prompt: str, same: str, size: tuple[int, int], clues: Any, marked: Collection[Cell]) -> Made:
        """The problem whose only solution marks these cells."""
        return Made(prompt + "?", text(drawn(*size, dict.fromkeys(marked, MARK)), ""), same, (size, clues))


class Kukurasu(Shaded):
    """Prompt `3,2,5;0,5,4?`, reply `#..x/.x./.xx`: a marked cell counts its column's number for its row and its row's number for its column.

    3 by 3 cells at level 1, 1 more each way with each level.
    """

    name = "synlogic:kukurasu"
    instruction = (
        "Mark cells of a square so that for each row the numbers of the columns of its marked cells add up to what stands before the ;, and for each "
        "column the numbers of the rows of its marked cells to what stands after it; rows are numbered from the top and columns from the left, from "
        '1. End with "#" and the rows with x for marked and . for other cells and / between rows, as in #.x./..x/xx.'
    )
    sizes = ((3, 3), (4, 4), (5, 5), (6, 6))

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family. A draw that leaves more than one solution comes to nothing."""
        size = self.sizes[level - 1]
        marked = {cell for cell in board_of(*size) if stream.below(2)}
        sums = places(size[0], marked)
        if len(list(islice(weighed(sums), 2))) > 1:
            return None
        shown = [",".join(map(str, line)) for line in sums]
        return self.made(";".join(shown), ";".join(sorted(shown)), size, sums, marked)

    def broken(self, clues: Any, marked: set[Cell]) -> str:
        """See Shaded."""
        found = places(len(clues[0]), marked)
        return next(
            (
                f"{name} {i} comes to {is_}, not {wanted}"
                for name, line, given in zip(("row", "column"), found, clues)
                for i, (is_, wanted) in enumerate(zip(line, given), 1)
                if is_ != wanted
            ),
            "",
        )


def places(size: int, marked: Collection[Cell]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """For each row the sum of its marked cells' columns, for each column that of their rows, both from 1."""
    rows = tuple(sum(x + 1 for y, x in marked if y == i) for i in range(size))
    return rows, tuple(sum(y + 1 for y, x in marked if x == i) for i in range(size))


def weighed(sums: tuple[tuple[int, ...], tuple[int, ...]]) -> Iterator[set[Cell]]:
    """All ways to mark cells with these sums, from the last row up: what is left of a column must be made up by the rows above."""
    rows, columns = sums

    def further(y: int, left: tuple[int, ...]) -> Iterator[set[Cell]]:
        if y < 0:
            yield set()
            return
        for count in range(len(left) + 1):
            for chosen in combinations(range(len(left)), count):
                rest = tuple(n - (y + 1) * (x in chosen) for x, n in enumerate(left))
                if sum(chosen) + count == rows[y] and min(rest) >= 0 and max(rest) <= y * (y + 1) // 2:
                    yield from (cells | {(y, x) for x in chosen} for cells in further(y - 1, rest))

    return further(len(rows) - 1, columns)


class Campsite(Shaded):
    """Prompt `..../t.../...t/.t..;0,2,0,1;0,1,1,1?`, reply `#..../.x.x/..../..x.`: a tent beside each tree, as many as the numbers say.

    4 by 4 cells and 3 trees at level 1, then 5 by 5 and 4, 5 by 6 and 5, 6 by 6 and 6.
    """

    name = "synlogic:campsite"
    instruction = (
        "Put a tent beside, above or below each tree t, one for each, so that no two tents touch, not even at a corner; before the second ; stands "
        'how many tents each row has, after it how many each column has. End with "#" and the rows with x for tents and . for all other cells and / '
        "between rows, as in #x.../..../.x.x/...."
    )
    sizes = ((4, 4), (5, 5), (5, 6), (6, 6))

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family. A draw that leaves more than one solution comes to nothing."""
        size = self.sizes[level - 1]
        tents, trees = pitched(size, level + 2, stream)
        clues = (frozenset(trees), counted(size, tents))
        if len(trees) < level + 2 or any(other != tents for other in camps(size, clues)):
            return None
        seen = {**dict.fromkeys(tents, MARK), **dict.fromkeys(trees, TREE)}
        lines = [",".join(map(str, line)) for line in clues[1]]
        shown = text(drawn(*size, dict.fromkeys(trees, TREE)), "")
        return self.made(";".join([shown, *lines]), mirrored(drawn(*size, seen)), size, clues, tents)

    def broken(self, clues: Any, marked: set[Cell]) -> str:
        """See Shaded."""
        trees, (rows, columns) = clues
        if marked & trees:
            return "a tent stands on a tree"
        if any(set(around(tent)) & marked for tent in marked):
            return "two tents touch"
        if counted((len(rows), len(columns)), marked) != (rows, columns):
            return "a row or column has another number of tents"
        return "" if paired(sorted(trees), marked) else "not each tree has a tent of its own"


def counted(size: tuple[int, int], marked: Collection[Cell]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """How many cells of each row and of each column are marked."""
    rows, columns = (tuple(sum(cell[axis] == i for cell in marked) for i in range(n)) for axis, n in enumerate(size))
    return rows, columns


def pitched(size: tuple[int, int], count: int, stream: Stream) -> tuple[set[Cell], set[Cell]]:
    """Tents that do not touch and a tree beside each; fewer than asked for where there is no room."""
    tents: set[Cell] = set()
    trees: set[Cell] = set()
    board = board_of(*size)
    for tent in stream.sample(board, len(board)):
        free = [c for c in near(tent) if c in board and c not in trees | tents]
        if free and len(tents) < count and tent not in trees and not tents & set(around(tent)):
            tents.add(tent)
            trees.add(stream.choice(free))
    return tents, trees


def camps(size: tuple[int, int], clues: Any) -> Iterator[set[Cell]]:
    """All ways to put up the tents, some of them more than once: tree by tree."""
    trees, (rows, columns) = clues
    height, width = size

    def further(left: Sequence[Cell], tents: set[Cell]) -> Iterator[set[Cell]]:
        if not left:
            if counted(size, tents) == (rows, columns):
                yield tents
            return
        for y, x in near(left[0]):
            free = 0 <= y < height and 0 <= x < width and (y, x) not in trees | tents
            if free and rows[y] and columns[x] and not tents & set(around((y, x))):
                yield from further(left[1:], tents | {(y, x)})

    return further(sorted(trees), set())


def paired(trees: Sequence[Cell], tents: set[Cell]) -> bool:
    """Whether each tree can have one of the tents beside it for its own, and none is left over."""
    if not trees:
        return not tents
    return any(paired(trees[1:], tents - {tent}) for tent in near(trees[0]) if tent in tents)


class Minesweeper(Shaded):
    """Prompt `..1/1.2/1..?`, reply `#.../.x./..x`: a number says how many of the cells that touch it are mines.

    3 by 3 cells at level 1, then 4 by 4, 4 by 5, 5 by 5; a quarter are mines, and up to as many free cells as can be are covered.
    """

    name = "synlogic:minesweeper"
    instruction = (
        "Each number says how many of the up to eight cells that touch it are mines and is none itself; the cells with . may be mines or not, and the "
        'numbers tell which are. End with "#" and the rows with x for mines and . for all other cells and / between rows, as in #.x./..x/...'
    )
    sizes = ((3, 3), (4, 4), (4, 5), (5, 5))

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family. Numbers are covered one after another as long as the others leave one solution."""
        size = self.sizes[level - 1]
        board = board_of(*size)
        mines = set(stream.sample(board, stream.between(len(board) // 5, len(board) // 3)))
        clues = {cell: len(mines & set(around(cell))) for cell in board if cell not in mines}
        if more_than_one(board, clues):
            return None
        for cell in stream.sample(sorted(clues), len(clues) // 2):
            fewer = {c: n for c, n in clues.items() if c != cell}
            clues = clues if more_than_one(board, fewer) else fewer
        shown = drawn(*size, {cell: str(n) for cell, n in clues.items()})
        return self.made(text(shown, ""), mirrored(shown), size, clues, mines)

    def broken(self, clues: Any, marked: set[Cell]) -> str:
        """See Shaded."""
        if marked & set(clues):
            return "a mine where there is a number"
        touched = {cell: len(marked & set(around(cell))) for cell in clues}
        return next((f"{touched[c]} mines touch a {n}" for c, n in clues.items() if touched[c] != n), "")


def more_than_one(board: Sequence[Cell], clues: Mapping[Cell, int]) -> bool:
    """Whether more than one choice of mines fits the numbers."""
    return len(list(islice(mined([c for c in board if c not in clues], clues), 2))) > 1


def mined(covered: Sequence[Cell], clues: Mapping[Cell, int]) -> Iterator[set[Cell]]:
    """All choices of mines that fit the numbers, covered cell by covered cell."""
    if not covered:
        if not any(clues.values()):
            yield set()
        return
    cell, rest = covered[0], covered[1:]
    touched = [c for c in around(cell) if c in clues]
    last = [clues[c] for c in touched if not set(around(c)) & set(rest)]
    if not any(last):
        yield from mined(rest, clues)
    if all(clues[c] for c in touched) and all(n == 1 for n in last):
        fewer = {**clues, **{c: clues[c] - 1 for c in touched}}
        yield from (mines | {cell} for mines in mined(rest, fewer))
