"""Latin squares with further rules: sudoku, futoshiki, skyscrapers, calcudoku. Each has one solution.

Level 1 has 3 rows (sudoku: 4 and ample clues), the others have 4; from level to level fewer of the clues that could be spared are left.
All squares of that size are gone through, so that there is one solution is known for certain.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations, permutations, product
from typing import Any

from ...core.records import Problem
from ...core.rng import Stream
from .family import LEVELS, Family, Made, renamed

Square = tuple[str, ...]  # row after row, each a string of digits
Clue = tuple[Any, ...]
Cell = tuple[int, int]  # row, column


@cache
def squares(size: int, boxes: bool = False) -> tuple[Square, ...]:
    """All Latin squares; with `boxes` those of 4 rows whose four quarters hold every number, too."""
    rows = ["".join(p) for p in permutations("1234"[:size])]
    found: list[Square] = [()]
    for _ in range(size):
        found = [(*top, row) for top in found for row in rows if all(a != b for above in top for a, b in zip(above, row))]
    quarter = lambda s, y, x: {s[y][x], s[y + 1][x], s[y][x + 1], s[y + 1][x + 1]}
    return tuple(s for s in found if not boxes or all(len(quarter(s, y, x)) == size for y in (0, 2) for x in (0, 2)))


def thinned(
    clues: Sequence[Clue], every: Sequence[Square], holds: Callable[[Clue, Square], bool], spare: int, stream: Stream
) -> list[Clue]:
    """Clues, drawn from those given, that leave one square of all; and so many more that could be spared."""
    order, left = stream.sample(clues, len(clues)), list(every)
    needed: list[Clue] = []
    more: list[Clue] = []
    for clue in order:
        fitting = [s for s in left if holds(clue, s)]
        (needed if len(fitting) < len(left) else more).append(clue)
        left = fitting
    kept = {*needed, *more[:spare]}
    return [c for c in clues if c in kept] if len(left) == 1 else []


def visible(line: str) -> int:
    """How many towers are seen from the line's beginning: those higher than all before."""
    return sum(all(a < b for a in line[:i]) for i, b in enumerate(line))


@cache
def ways(cells: tuple[Cell, ...], size: int) -> tuple[tuple[str, ...], ...]:
    """All numbers that some cells can have, if none comes twice in a row or a column."""
    pairs = [(i, j) for i, j in combinations(range(len(cells)), 2) if cells[i][0] == cells[j][0] or cells[i][1] == cells[j][1]]
    return tuple(w for w in product("1234"[:size], repeat=len(cells)) if all(w[i] != w[j] for i, j in pairs))


@cache
def lines(size: int, boxes: bool) -> tuple[tuple[Cell, ...], ...]:
    """The cells of each row and column, and of each quarter: every number comes once in each."""
    rows = [tuple((y, x) for x in range(size)) for y in range(size)]
    columns = [tuple((y, x) for y in range(size)) for x in range(size)]
    quarters = [((y, x), (y + 1, x), (y, x + 1), (y + 1, x + 1)) for y in (0, 2) for x in (0, 2)] if boxes else []
    return (*rows, *columns, *quarters)


def forced(rules: Sequence[tuple[tuple[Cell, ...], Sequence[tuple[str, ...]]]], size: int) -> list[tuple[Cell, str]]:
    """Cells one after another that one rule leaves a single number, given what the rules before it left; until no rule says more.

    rules   some cells and all numbers that they can have
    """
    left = {(y, x): set("1234"[:size]) for y in range(size) for x in range(size)}
    found: list[tuple[Cell, str]] = []
    narrowed = True
    while narrowed:
        narrowed = False
        for cells, every in rules:
            fitting = [numbers for numbers in every if all(n in left[c] for c, n in zip(cells, numbers))]
            for cell, can in zip(cells, map(set, zip(*fitting))):
                if can < left[cell]:
                    left[cell], narrowed = can, True
                    found += [(cell, n) for n in can if len(can) == 1]
    return found


class SquareFamily(Family):
    """A square to be filled in; the answer is its rows, with / between them. The work is the cells that the rules force, such as b1=3."""

    form = re.compile("[1-4]{3}(?:/[1-4]{3}){2}|[1-4]{4}(?:/[1-4]{4}){3}")
    what = "filled square"
    boxes = False

    @abstractmethod
    def clues(self, square: Square, stream: Stream) -> list[Clue]:
        """All clues that the square could give."""

    @staticmethod
    @abstractmethod
    def holds(clue: Clue, square: Square) -> bool:
        """Whether a square agrees with a clue."""

    @staticmethod
    def about(clue: Clue, size: int) -> tuple[Cell, ...]:
        """The cells that a clue speaks of."""
        return (clue[1:3],)

    @abstractmethod
    def shown(self, size: int, clues: Sequence[Clue]) -> str:
        """The clues as a prompt."""

    def side(self, level: int) -> int:
        """Rows at a level."""
        return 3 if level == 1 and not self.boxes else 4

    def room(self, level: int) -> int:
        """See Family."""
        return self.side(level) * (self.side(level) + 1) + 5 * self.side(level) ** 2

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family."""
        size = self.side(level)
        every = squares(size, self.boxes)
        square = stream.choice(every)
        clues = thinned(self.clues(square, stream), every, self.holds, 2 * (LEVELS - level), stream)
        prompt = self.shown(size, clues) + "?"
        return Made(prompt, "/".join(square), self.alike(prompt), (size, tuple(clues))) if clues else None

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. The work is found here: it takes longer than the problem."""
        facts, _ = problem.data
        work = () if style == "direct" else self.steps(*facts)
        return super().written(replace(problem, data=(facts, work)), style, stream)

    def steps(self, size: int, clues: Sequence[Clue]) -> tuple[str, ...]:
        """Cells that are not given, as far as one clue or one line at a time forces them; the others are found by trying."""
        rules = [
            (cells, [w for w in ways(cells, size) if self.holds(c, filled(cells, w, size))])
            for c in clues
            for cells in [self.about(c, size)]
        ]
        rules += [(line, list(permutations("1234"[:size]))) for line in lines(size, self.boxes)]
        known = {c[1:3] for c in clues if c[0] == "cell"}
        return tuple(f"{place(cell)}={n}" for cell, n in forced(rules, size) if cell not in known)

    def alike(self, prompt: str) -> str:
        """What the problem's content is."""
        return prompt

    def fault(self, facts: Any, answer: str) -> str:
        """See Family: any square by the rules is right."""
        size, clues = facts
        square = tuple(answer.split("/"))
        if square not in squares(size, self.boxes):
            return f"a number comes twice or is missing in {answer}"
        return next((f"the clue {c} does not hold" for c in clues if not self.holds(c, square)), "")


def filled(cells: Sequence[Cell], numbers: Sequence[str], size: int) -> Square:
    """A square with numbers in some cells and 0 elsewhere."""
    known = dict(zip(cells, numbers))
    return tuple("".join(known.get((y, x), "0") for x in range(size)) for y in range(size))


def cells(clues: Sequence[Clue], size: int) -> str:
    """Cells that are given as rows with a . for each that is not."""
    given = {(y, x): digit for kind, y, x, digit in clues if kind == "cell"}
    return "/".join("".join(given.get((y, x), ".") for x in range(size)) for y in range(size))


def place(cell: Cell) -> str:
    """A cell's name: the letter of its column and the number of its row."""
    return f"{'abcd'[cell[1]]}{cell[0] + 1}"


def given(square: Square) -> list[Clue]:
    """Every cell as a clue."""
    return [("cell", y, x, digit) for y, row in enumerate(square) for x, digit in enumerate(row)]


class Sudoku(SquareFamily):
    """Prompt `...2/1.../3.../213.?`, reply `d4=4,a1=4,...#4312/1243/3421/2134`: 1 to 4 once in every row, column and quarter. Fewer cells given from level to level."""

    name = "synlogic:sudoku"
    instruction = (
        "Fill in the square so that each row, each column and each of the four quarters holds 1 to 4 once. "
        'End with "#" and its rows with / between them, as in #1234/3412/2143/4321.'
    )
    boxes = True

    def clues(self, square: Square, stream: Stream) -> list[Clue]:
        """See SquareFamily."""
        return given(square)

    @staticmethod
    def holds(clue: Clue, square: Square) -> bool:
        """See SquareFamily."""
        _, y, x, digit = clue
        return bool(square[y][x] == digit)

    def shown(self, size: int, clues: Sequence[Clue]) -> str:
        """See SquareFamily."""
        return cells(clues, size)

    def alike(self, prompt: str) -> str:
        """The numbers may be named anew."""
        return renamed(prompt, "1234")


class Futoshiki(SquareFamily):
    """Prompt `..2/.../1..;a1<b1;c2<c3?`: a Latin square in which one cell is less than its neighbour; b1 is row 1, second column."""

    name = "synlogic:futoshiki"
    instruction = (
        "Fill in the square so that each row and each column holds every number from 1 up to its length once; a1<b1 says that the cell in column "
        'a of row 1 is less than that in column b. End with "#" and its rows with / between them, as in #123/231/312.'
    )

    def clues(self, square: Square, stream: Stream) -> list[Clue]:
        """See SquareFamily: comparisons of neighbours, and a third of the cells."""
        size = len(square)
        places = [(y, x) for y in range(size) for x in range(size)]
        pairs = [(p, q) for p in places for q in ((p[0], p[1] + 1), (p[0] + 1, p[1])) if q in places]
        value = lambda p: square[p[0]][p[1]]
        less = [("less", *min((p, q), (q, p), key=lambda pair: str(value(pair[0])))) for p, q in pairs]
        return [*less, *stream.sample(given(square), size * size // 3)]

    @staticmethod
    def holds(clue: Clue, square: Square) -> bool:
        """See SquareFamily."""
        if clue[0] == "cell":
            return bool(square[clue[1]][clue[2]] == clue[3])
        (y, x), (v, u) = clue[1:]
        return bool(square[y][x] < square[v][u])

    @staticmethod
    def about(clue: Clue, size: int) -> tuple[Cell, ...]:
        """See SquareFamily."""
        return (clue[1:3],) if clue[0] == "cell" else clue[1:]

    def shown(self, size: int, clues: Sequence[Clue]) -> str:
        """See SquareFamily."""
        return ";".join(
            [cells([c for c in clues if c[0] == "cell"], size), *(f"{place(c[1])}<{place(c[2])}" for c in clues if c[0] == "less")]
        )


class Skyscraper(SquareFamily):
    """Prompt `t=.21;b=...;l=3..;r=.1.;.../1../...?`: towers of different heights; the numbers say how many are seen from an edge."""

    name = "synlogic:skyscraper_puzzle"
    instruction = (
        "Fill in the square with heights so that each row and each column holds every number from 1 up to its length once. t, b, l and r give how "
        "many towers are seen from the top and the bottom of each column and from the left and the right of each row; higher towers hide lower "
        'ones behind them. End with "#" and its rows with / between them, as in #123/231/312.'
    )

    def clues(self, square: Square, stream: Stream) -> list[Clue]:
        """See SquareFamily: what is seen from all edges, and a quarter of the cells."""
        size = len(square)
        seen = [(side, i, visible(self.line(square, side, i))) for side in "tblr" for i in range(size)]
        return [*seen, *stream.sample(given(square), size)]

    @staticmethod
    def line(square: Square, side: str, i: int) -> str:
        """A row or column as it is seen from a side."""
        line = square[i] if side in "lr" else "".join(row[i] for row in square)
        return line[::-1] if side in "br" else line

    @staticmethod
    def holds(clue: Clue, square: Square) -> bool:
        """See SquareFamily."""
        if clue[0] == "cell":
            return bool(square[clue[1]][clue[2]] == clue[3])
        return bool(visible(Skyscraper.line(square, clue[0], clue[1])) == clue[2])

    @staticmethod
    def about(clue: Clue, size: int) -> tuple[Cell, ...]:
        """See SquareFamily."""
        if clue[0] == "cell":
            return (clue[1:3],)
        return lines(size, False)[clue[1] if clue[0] in "lr" else size + clue[1]]

    def shown(self, size: int, clues: Sequence[Clue]) -> str:
        """See SquareFamily."""
        seen = {c[:2]: str(c[2]) for c in clues if c[0] != "cell"}
        edges = [f"{side}={''.join(seen.get((side, i), '.') for i in range(size))}" for side in "tblr"]
        return ";".join([*edges, cells([c for c in clues if c[0] == "cell"], size)])


class Calcudoku(SquareFamily):
    """Prompt `a1+a2=5;b1*b2=6;...?`: a Latin square with cages of cells whose sum or product is given."""

    name = "synlogic:calcudoko"
    instruction = (
        "Fill in the square so that each row and each column holds every number from 1 up to its length once and all equations hold; a2 is "
        'column a, row 2. End with "#" and its rows with / between them, as in #123/231/312.'
    )

    def clues(self, square: Square, stream: Stream) -> list[Clue]:
        """See SquareFamily: cages of one to three cells that cover the square."""
        size = len(square)
        free = [(y, x) for y in range(size) for x in range(size)]
        found: list[Clue] = []
        while free:
            cage = [free.pop(stream.below(len(free)))]
            for _ in range(stream.between(0, 2)):
                near = [q for q in free if any(abs(q[0] - y) + abs(q[1] - x) == 1 for y, x in cage)]
                if near:
                    cage.append(stream.choice(near))
                    free.remove(cage[-1])
            operation = stream.choice("+*")
            found.append((operation, self.total(operation, tuple(cage), square), *sorted(cage)))
        return found

    @staticmethod
    def total(operation: str, cage: Sequence[tuple[int, int]], square: Square) -> int:
        """The sum or product of a cage."""
        numbers = [int(square[y][x]) for y, x in cage]
        product = 1
        for n in numbers:
            product *= n
        return sum(numbers) if operation == "+" else product

    @staticmethod
    def holds(clue: Clue, square: Square) -> bool:
        """See SquareFamily."""
        operation, total, *cage = clue
        return bool(Calcudoku.total(operation, cage, square) == total)

    @staticmethod
    def about(clue: Clue, size: int) -> tuple[Cell, ...]:
        """See SquareFamily."""
        return clue[2:]

    def shown(self, size: int, clues: Sequence[Clue]) -> str:
        """See SquareFamily."""
        return ";".join(f"{c[0].join(map(place, c[2:]))}={c[1]}" for c in clues)
