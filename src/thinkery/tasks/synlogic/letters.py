"""Letters to be put in their places: words in a grid that they cross, and things in a row of houses. Each problem has one solution."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.rng import Stream
from .brackets import LETTERS
from .family import Family, Made, renamed

EMPTY = "."
Cell = tuple[int, int]  # row, column


class Wordscapes(Family):
    """Prompt `xxx/x.x/xxx:hgg,ooo;ogh,oog?`, reply `#ooo/g.o/hgg`: words across and words down that cross in a grid.

    3 by 3 cells at level 1, then 3 by 5, 5 by 5 and 5 by 7, of which some are left out.
    """

    name = "synlogic:wordscapes"
    instruction = (
        "Put one letter for each x of the grid, so that the words from left to right are those before the ; and the words from top to bottom those "
        'after it, each used once; two or more x in a row are a word. End with "#" and the grid\'s rows with / between them, as in #abc/d.e/fgh.'
    )
    form = re.compile(r"[a-z.]{3,7}(?:/[a-z.]{3,7}){2,4}")
    what = "filled grid"
    sizes = ((3, 3), (3, 5), (5, 5), (5, 7))  # rows and columns at each level

    def room(self, level: int) -> int:
        """See Family."""
        height, width = self.sizes[level - 1]
        return height * (width + 1)

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family. Few letters are used, so that words can be taken for each other at first sight."""
        height, width = self.sizes[level - 1]
        cells = lattice(height, width, stream)
        slots = across(cells), down(cells)
        if cells != {c for way in slots for slot in way for c in slot}:
            return None
        letters = stream.sample(LETTERS, level + 3)
        grid = {cell: stream.choice(letters) for cell in sorted(cells)}
        words = tuple(tuple(stream.sample(read(grid, way), len(way))) for way in slots)
        if len(set(words[0])) < len(words[0]) or len(set(words[1])) < len(words[1]) or len(list(fillings(slots, words))) > 1:
            return None
        shape, answer = drawn(height, width, dict.fromkeys(cells, "x")), drawn(height, width, grid)
        mirrored = drawn(width, height, {(x, y): letter for (y, x), letter in grid.items()})
        same = min(renamed(answer, LETTERS), renamed(mirrored, LETTERS))
        return Made(f"{shape}:{','.join(words[0])};{','.join(words[1])}?", answer, same, (shape, words))

    def fault(self, facts: Any, answer: str) -> str:
        """See Family."""
        shape, (horizontal, vertical) = facts
        if re.sub("[a-z]", "x", answer) != shape:
            return f"{answer} has not the shape {shape}"
        grid = {(y, x): c for y, row in enumerate(answer.split("/")) for x, c in enumerate(row) if c != EMPTY}
        for way, slots, words in (("across", across(set(grid)), horizontal), ("down", down(set(grid)), vertical)):
            if Counter(read(grid, slots)) != Counter(words):
                return f"the words {way} are {','.join(read(grid, slots))}"
        return ""


def lattice(height: int, width: int, stream: Stream) -> set[Cell]:
    """Every other row and column of a grid, without some of the cells between crossings; a larger grid lacks more."""
    cells = {(y, x) for y in range(height) for x in range(width) if not (y % 2 and x % 2)}
    between = [c for c in sorted(cells) if (c[0] + c[1]) % 2]
    return cells - set(stream.sample(between, (height + width - 6) // 2))


def across(cells: set[Cell]) -> list[list[Cell]]:
    """The cells of each word from left to right: two or more side by side."""
    starts = sorted(c for c in cells if (c[0], c[1] - 1) not in cells and (c[0], c[1] + 1) in cells)
    found = []
    for y, x in starts:
        end = x
        while (y, end) in cells:
            end += 1
        found.append([(y, i) for i in range(x, end)])
    return found


def down(cells: set[Cell]) -> list[list[Cell]]:
    """The cells of each word from top to bottom."""
    return [[(y, x) for x, y in word] for word in across({(x, y) for y, x in cells})]


def read(grid: dict[Cell, str], slots: Sequence[Sequence[Cell]]) -> list[str]:
    """The words in some places."""
    return ["".join(grid[c] for c in slot) for slot in slots]


def drawn(height: int, width: int, grid: dict[Cell, str]) -> str:
    """The grid's rows."""
    return "/".join("".join(grid.get((y, x), EMPTY) for x in range(width)) for y in range(height))


def fillings(slots: Sequence[Sequence[Sequence[Cell]]], words: Sequence[Sequence[str]]) -> Iterator[dict[Cell, str]]:
    """All ways to put the words across and down, different words each, into their places."""
    for order in permutations(words[0]):
        if all(len(w) == len(s) for w, s in zip(order, slots[0])):
            grid = {c: letter for slot, word in zip(slots[0], order) for c, letter in zip(slot, word)}
            yield from fitted(grid, slots[1], words[1])


def fitted(grid: dict[Cell, str], slots: Sequence[Sequence[Cell]], words: Sequence[str]) -> Iterator[dict[Cell, str]]:
    """All ways to put words into places in which some letters stand already."""
    if not slots:
        yield grid
        return
    for word in words:
        if len(word) == len(slots[0]) and all(grid.get(c, letter) == letter for c, letter in zip(slots[0], word)):
            yield from fitted({**grid, **dict(zip(slots[0], word))}, slots[1:], [w for w in words if w != word])


class ZebraPuzzle(Family):
    """Prompt `jni xru:i=3;j<n;j=x;r<u?`, reply `#jni/xru`: who and what is in which house.

    3 houses and 2 groups of things at level 1, then 3 and 3, 4 and 3, 4 and 4.
    """

    name = "synlogic:zebra_puzzle"
    instruction = (
        "Houses stand in a row, numbered from the left; before the colon stand groups of things, of which each house has one of each group. a=2 says "
        "that a is in house 2, a=b that a and b are in the same house, a<b that a is to the left of b, a~b that they are in houses next to each "
        'other. End with "#" and for each group its things from the first house to the last, with / between groups, as in #bac/edf.'
    )
    form = re.compile("[a-z]{3,4}(?:/[a-z]{3,4}){1,3}")
    what = "row of houses for each group"
    sizes = ((3, 2), (3, 3), (4, 3), (4, 4))  # houses and groups at each level

    def room(self, level: int) -> int:
        """See Family."""
        houses, groups = self.sizes[level - 1]
        return groups * (houses + 1)

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family. Clues that hold are drawn, and kept where they exclude an order, until one order of all is left."""
        houses, groups = self.sizes[level - 1]
        things = "".join(stream.sample(LETTERS, houses * groups))
        rows = [things[i : i + houses] for i in range(0, len(things), houses)]
        every = dict(zip(things, orders(houses, groups)))
        left, clues = np.arange(every[things[0]].size), []
        hold = hints(rows)
        for clue in stream.sample(hold, len(hold)):
            fits = holds(clue, {**numbers(houses), **{thing: every[thing][left] for thing in clue if thing in every}})
            if not fits.all():
                left = left[fits]
                clues.append(clue)
        shown = " ".join("".join(stream.sample(row, houses)) for row in stream.sample(rows, groups))
        answer = "/".join(next(row for row in rows if group[0] in row) for group in shown.split())
        return Made(f"{shown}:{';'.join(clues)}?", answer, alike(rows, clues), (shown, tuple(clues)))

    def fault(self, facts: Any, answer: str) -> str:
        """See Family."""
        shown, clues = facts
        rows, groups = answer.split("/"), shown.split()
        if [sorted(row) for row in rows] != [sorted(group) for group in groups]:
            return f"{answer} has not the groups {shown} in turn"
        houses = {thing: i for row in rows for i, thing in enumerate(row)}
        return next((f"the clue {clue} does not hold" for clue in clues if not holds(clue, {**houses, **numbers(len(rows[0]))})), "")


@cache
def orders(houses: int, groups: int) -> NDArray[np.int8]:
    """All ways to put the groups into the houses: a row for each thing, group after group, with its house (from 0) in each way."""
    every = np.array(list(permutations(range(houses))), np.int8)
    chosen = np.indices((len(every),) * groups).reshape(groups, -1)
    return np.concatenate([every[i].T for i in chosen])


def numbers(houses: int) -> dict[str, int]:
    """The houses by their numbers in clues."""
    return {str(i + 1): i for i in range(houses)}


def holds(clue: str, houses: Mapping[str, Any]) -> Any:
    """Whether a clue holds, given the house of each thing; elementwise if these are arrays."""
    left, right = houses[clue[0]], houses[clue[2]]
    return left == right if clue[1] == "=" else left < right if clue[1] == "<" else abs(left - right) == 1


def hints(rows: Sequence[str]) -> list[str]:
    """All clues that hold if the groups stand in the houses like that, each pair of neighbours named one way round."""
    houses = {thing: i for row in rows for i, thing in enumerate(row)}
    places = numbers(len(rows[0]))
    pairs = [f"{a}{sign}{b}" for a in houses for b in houses for sign in "=<~" if a != b and (sign == "<" or a < b)]
    return [c for c in [*pairs, *(f"{a}={i}" for a in houses for i in places)] if holds(c, {**houses, **places})]


def alike(rows: Sequence[str], clues: Sequence[str]) -> str:
    """The clues whatever the things are called, whichever group comes first and from whichever side the houses are seen."""
    found = []
    for order in permutations(rows):
        for way in (1, -1):
            names = {thing: LETTERS[i] for i, thing in enumerate("".join(row[::way] for row in order))}
            places = dict(zip(numbers(len(rows[0])), list(numbers(len(rows[0])))[::way]))
            found.append(";".join(sorted(named(clue, {**names, **places}, way) for clue in clues)))
    return min(found)


def named(clue: str, names: Mapping[str, str], way: int) -> str:
    """A clue with other names, and from the other side if `way` is -1."""
    a, b = names[clue[0]], names[clue[2]]
    if clue[1] == "<":
        return f"{b}<{a}" if way < 0 else f"{a}<{b}"
    return f"{a}{clue[1]}{b}" if a < b or b.isdigit() else f"{b}{clue[1]}{a}"
