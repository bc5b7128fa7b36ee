"""Boards to be filled in: a path of numbers, sums of rows and columns, stars that do not touch. Each has one solution, found by a full search."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.rng import Stream
from .family import Family, Made, renamed

Cell = tuple[int, int]  # row, column
NUMBER = "[1-9][0-9]?"
ROW = f"{NUMBER}(?:,{NUMBER}){{2,5}}"
TURNS = 60  # changes of a path until it is nothing like a snake
REGIONS = "abcdefgh"
REPAIRS = 40  # changes of regions before a board is given up


def near(cell: Cell) -> list[Cell]:
    """The cells above, below and beside, be they on the board or not."""
    y, x = cell
    return [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]


def laid(height: int, width: int, numbers: Mapping[Cell, int]) -> list[list[str]]:
    """The board's rows, with a . where there is no number."""
    return [[str(numbers.get((y, x), ".")) for x in range(width)] for y in range(height)]


def text(rows: Iterable[Iterable[str]], between: str = ",") -> str:
    """Rows as they are shown."""
    return "/".join(between.join(row) for row in rows)


def images(rows: Sequence[Sequence[str]]) -> Iterator[list[list[str]]]:
    """The board turned and mirrored in all eight ways."""
    board = [list(row) for row in rows]
    for _ in range(4):
        board = [list(row) for row in zip(*board[::-1])]
        yield board
        yield board[::-1]


def read(answer: str) -> dict[Cell, int]:
    """The number in each cell of an answer."""
    return {(y, x): int(n) for y, row in enumerate(answer.split("/")) for x, n in enumerate(row.split(","))}


def misfit(answer: str, height: int, width: int, clues: Mapping[Cell, int]) -> str:
    """Whether an answer has another shape, other numbers than 1 up to the number of cells, or changes one that is given."""
    numbers = read(answer)
    if sorted(numbers) != [(y, x) for y in range(height) for x in range(width)]:
        return f"{answer} has not {height} rows of {width}"
    if sorted(numbers.values()) != list(range(1, height * width + 1)):
        return f"a number comes twice or is missing in {answer}"
    return next((f"the given {n} is not in its place" for cell, n in clues.items() if numbers[cell] != n), "")


class Numbrix(Family):
    """Prompt `.,.,.,7/.,.,.,./12,1,4,.?`, reply `#10,9,8,7/11,2,3,6/12,1,4,5`: numbers that follow each other are neighbours.

    3 by 4 cells at level 1, then 3 by 5, 4 by 4, 3 by 6.
    """

    name = "synlogic:numbrix"
    instruction = (
        "Fill in the board with all numbers from 1 up to the number of its cells, each once, so that each number stands beside, above or below the "
        'next one. End with "#" and its rows with / between them, as in #1,2,3/6,5,4/7,8,9.'
    )
    form = re.compile(f"{ROW}(?:/{ROW}){{2,3}}")
    what = "filled board"
    sizes = ((3, 4), (3, 5), (4, 4), (3, 6))

    def room(self, level: int) -> int:
        """See Family."""
        height, width = self.sizes[level - 1]
        return 3 * height * width

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family. Both ends and up to a quarter of the other cells are given, and more where another path fits, until there is one."""
        height, width = self.sizes[level - 1]
        path = wound(height, width, stream)
        inner = stream.sample(range(2, len(path)), stream.between(1, len(path) // 4))
        given = {n: path[n - 1] for n in (1, len(path), *inner)}
        while other := next((p for p in paths(height, width, given) if p != path), None):
            n = stream.choice([n for n, (a, b) in enumerate(zip(path, other), 1) if a != b])
            given[n] = path[n - 1]
        clues = {cell: n for n, cell in sorted(given.items())}
        prompt = text(laid(height, width, clues)) + "?"
        turned = {cell: len(path) + 1 - n for cell, n in clues.items()}
        same = min(text(image) for board in (clues, turned) for image in images(laid(height, width, board)))
        answer = text(laid(height, width, {cell: n for n, cell in enumerate(path, 1)}))
        return Made(prompt, answer, same, (height, width, clues))

    def fault(self, facts: Any, answer: str) -> str:
        """See Family."""
        wrong = misfit(answer, *facts)
        places = {n: cell for cell, n in read(answer).items()}
        return wrong or next(
            (f"{n} and {n + 1} are not neighbours" for n in range(1, len(places)) if places[n] not in near(places[n + 1])), ""
        )


def wound(height: int, width: int, stream: Stream) -> list[Cell]:
    """A path through all cells: a snake, one of whose ends is joined to a cell beside it again and again, from which the rest is turned round."""
    path = [(y, x if y % 2 else width - 1 - x) for y in range(height) for x in range(width)]
    for _ in range(TURNS):
        if stream.below(2):
            path.reverse()
        at = path.index(stream.choice([c for c in near(path[-1]) if 0 <= c[0] < height and 0 <= c[1] < width]))
        path[at + 1 :] = path[:at:-1]
    return path


def paths(height: int, width: int, given: Mapping[int, Cell]) -> Iterator[list[Cell]]:
    """All paths through all cells that come to the given cells at the given numbers; 1 and the last number are given."""
    board = {(y, x) for y in range(height) for x in range(width)}
    ahead = {n: min(m for m in given if m >= n) for n in range(1, height * width + 1)}

    def further(path: list[Cell], free: set[Cell]) -> Iterator[list[Cell]]:
        n = len(path) + 1
        if n > height * width:
            yield list(path)
            return
        goal = given[ahead[n]]
        for cell in near(path[-1]):
            if (cell == goal if ahead[n] == n else cell in free) and abs(cell[0] - goal[0]) + abs(cell[1] - goal[1]) <= ahead[n] - n:
                yield from further([*path, cell], free - {cell})

    return further([given[1]], board - set(given.values()))


class Survo(Family):
    """Prompt `.,.,3=10/.,5,.=11;3,11,7?`, reply `#1,6,3/2,5,4`: numbers whose sums are given.

    2 by 3 cells at level 1, then 3 by 3, 3 by 4, 4 by 4.
    """

    name = "synlogic:survo"
    instruction = (
        "Fill in the board with all numbers from 1 up to the number of its cells, each once; behind each row stands its sum, and behind the ; the sums "
        'of the columns. End with "#" and its rows with / between them, as in #1,2,3/6,5,4.'
    )
    form = re.compile(f"{ROW}(?:/{ROW}){{1,3}}")
    what = "filled board"
    sizes = ((2, 3, 4), (3, 3, 6), (3, 4, 7), (4, 4, 8))  # rows, columns, and cells not given

    def room(self, level: int) -> int:
        """See Family."""
        height, width, _ = self.sizes[level - 1]
        return 3 * height * width

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family. A draw that leaves more than one filling comes to nothing."""
        height, width, hidden = self.sizes[level - 1]
        board = [(y, x) for y in range(height) for x in range(width)]
        numbers = dict(zip(board, stream.sample(range(1, height * width + 1), height * width)))
        open_cells = set(stream.sample(board, hidden))
        clues = {cell: n for cell, n in numbers.items() if cell not in open_cells}
        totals = summed(numbers)
        if len(list(fillings(sorted(open_cells), sorted(numbers[c] for c in open_cells), totals, clues))) > 1:
            return None
        rows = [f"{','.join(row)}={totals[0, y]}" for y, row in enumerate(laid(height, width, clues))]
        prompt = f"{'/'.join(rows)};{','.join(str(totals[1, x]) for x in range(width))}?"
        return Made(prompt, text(laid(height, width, numbers)), alike(numbers, clues), (height, width, clues, totals))

    def fault(self, facts: Any, answer: str) -> str:
        """See Family."""
        height, width, clues, totals = facts
        wrong = misfit(answer, height, width, clues)
        if wrong:
            return wrong
        sums = summed(read(answer))
        lines = {line: f"{'column' if line[0] else 'row'} {line[1] + 1}" for line in totals}
        return next(
            (f"{name} has the sum {sums[line]}, not {totals[line]}" for line, name in lines.items() if sums[line] != totals[line]), ""
        )


def summed(numbers: Mapping[Cell, int]) -> dict[tuple[int, int], int]:
    """The sums of rows (0, y) and of columns (1, x)."""
    sums: dict[tuple[int, int], int] = {}
    for cell, n in numbers.items():
        for line in enumerate(cell):
            sums[line] = sums.get(line, 0) + n
    return sums


def fillings(
    cells: Sequence[Cell], left: Sequence[int], totals: Mapping[tuple[int, int], int], numbers: Mapping[Cell, int]
) -> Iterator[dict[Cell, int]]:
    """All ways to put the numbers left into the cells so that rows and columns have their sums."""
    if not cells:
        yield dict(numbers)
        return
    cell, rest = cells[0], cells[1:]
    full = [line for line in enumerate(cell) if all(c[line[0]] != line[1] for c in rest)]
    for n in left:
        if all(sum(m for c, m in numbers.items() if c[axis] == i) + n == totals[axis, i] for axis, i in full):
            yield from fillings(rest, [m for m in left if m != n], totals, {**numbers, cell: n})


def alike(numbers: Mapping[Cell, int], clues: Mapping[Cell, int]) -> str:
    """The board with its rows and its columns in order of their least numbers, whichever of the two come first."""
    found = []
    for axis in (0, 1):
        rows, columns = (list(dict.fromkeys(c[a] for c in sorted(numbers, key=numbers.__getitem__))) for a in (axis, 1 - axis))
        cells = [[(y, x) if axis == 0 else (x, y) for x in columns] for y in rows]
        found.append(text([f"{numbers[c]}{'' if c in clues else '?'}" for c in row] for row in cells))
    return min(found)


class StarPlacement(Family):
    """Prompt `aaabb/abbbb/cbcdd/cccdd/ccedd?`, reply `#24153`: one star in each row, column and region, none beside another.

    5 rows at level 1, 1 more with each level.
    """

    name = "synlogic:star_placement_puzzle"
    instruction = (
        "Place one star in each row, so that each column and each region of cells with the same letter has one star, too, and no two stars touch, "
        'not even at a corner. End with "#" and the column of the star of each row from the top, as in #24135.'
    )
    form = re.compile("[1-8]{5,8}")
    what = "row of columns"

    def room(self, level: int) -> int:
        """See Family."""
        return level + 4

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family. Regions grow from the stars; where other stars fit, too, one of their cells goes over to a region beside it."""
        size = level + 4
        stars = stream.sample(range(size), size)
        if touching(stars):
            return None
        regions = grown(stars, stream)
        for _ in range(REPAIRS):
            other = next((columns for columns in placements(regions) if columns != stars), None)
            if other is None:
                board = lettered(regions)
                same = min(renamed(text(image, ""), REGIONS) for image in images(board))
                return Made(text(board, "") + "?", "".join(str(x + 1) for x in stars), same, text(board, ""))
            moves = [move for y, x in enumerate(other) if x != stars[y] for move in given_over((y, x), regions)]
            if not moves:
                return None
            cell, region = stream.choice(moves)
            regions[cell] = region
        return None

    def fault(self, facts: Any, answer: str) -> str:
        """See Family."""
        rows = facts.split("/")
        if len(answer) != len(rows):
            return f"{len(answer)} stars for {len(rows)} rows"
        columns = [int(c) - 1 for c in answer]
        if sorted(columns) != list(range(len(rows))):
            return f"a column has not one star in {answer}"
        y = touching(columns)
        if y:
            return f"the stars of rows {y} and {y + 1} touch"
        held = [row[x] for row, x in zip(rows, columns)]
        return next((f"region {region} has two stars" for region in held if held.count(region) > 1), "")


def touching(columns: Sequence[int]) -> int:
    """The number of the first row whose star touches that of the row below, or 0."""
    return next((y for y, (a, b) in enumerate(pairwise(columns), 1) if abs(a - b) < 2), 0)


def grown(stars: Sequence[int], stream: Stream) -> dict[Cell, int]:
    """Regions around the stars that grow cell by cell until they cover the board: the region of each cell."""
    regions = {(y, x): y for y, x in enumerate(stars)}
    edge = list(regions)
    while edge:
        at = stream.below(len(edge))
        free = [c for c in near(edge[at]) if c not in regions and min(c) >= 0 and max(c) < len(stars)]
        if free:
            edge.append(stream.choice(free))
            regions[edge[-1]] = regions[edge[at]]
        else:
            edge.pop(at)
    return regions


def given_over(cell: Cell, regions: Mapping[Cell, int]) -> list[tuple[Cell, int]]:
    """The regions beside a cell to which it can go over while its own stays in one piece."""
    own = regions[cell]
    rest = {c for c, region in regions.items() if region == own and c != cell}
    reached = list(rest)[:1]
    for c in reached:
        reached += [q for q in near(c) if q in rest and q not in reached]
    beside = sorted({regions[c] for c in near(cell) if c in regions} - {own})
    return [(cell, region) for region in beside] if len(reached) == len(rest) else []


@cache
def apart(size: int) -> NDArray[np.int64]:
    """All ways to place stars that do not touch, one in each row and column: [row, way], cells counted along the rows from 0."""
    ways: list[tuple[int, ...]] = [()]
    for _ in range(size):
        ways = [(*way, x) for way in ways for x in range(size) if x not in way and not touching((*way[-1:], x))]
    return np.ascontiguousarray(np.array(ways).T + size * np.arange(size)[:, None])


def placements(regions: Mapping[Cell, int]) -> list[list[int]]:
    """All ways to place the stars, by their columns: those that do not touch and come to all regions."""
    size = max(regions.values()) + 1
    every = apart(size)
    flags = np.array([1 << regions[y, x] for y in range(size) for x in range(size)], np.uint8)
    held = np.bitwise_or.reduce(flags.take(every), axis=0)
    found: list[list[int]] = (every[:, held == (1 << size) - 1].T % size).tolist()
    return found


def lettered(regions: Mapping[Cell, int]) -> list[list[str]]:
    """The board with a letter for each region, in the order in which they come."""
    size = max(x for _, x in regions) + 1
    order = list(dict.fromkeys(regions[y, x] for y in range(size) for x in range(size)))
    return [[REGIONS[order.index(regions[y, x])] for x in range(size)] for y in range(size)]
