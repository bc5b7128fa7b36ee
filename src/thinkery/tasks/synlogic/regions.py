"""Boards that fall into regions: dominoes, two cells of which are in each. Each has one solution, found by going through all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.rng import Stream
from .boards import Cell, given_over, images, near, text
from .family import Made, renamed
from .shaded import Shaded, board_of, drawn

REGIONS = "abcdefg"
CHANGES = 40  # of regions, tried before a board is given up


class Norinori(Shaded):
    """Prompt `aabb/aacb/accb/dddd?`, reply `#x.x./x.x./.x.x/.x.x`: two marked cells in each region, and each of them beside one other.

    4 by 4 cells and 4 regions at level 1, then 4 by 5 and 5, 5 by 5 and 6, 5 by 6 and 7.
    """

    name = "synlogic:norinori"
    instruction = (
        "Mark two cells in each region of cells with the same letter, so that each marked cell has just one marked cell beside, above or below it, in "
        'its region or in another. End with "#" and the rows with x for marked and . for other cells and / between rows, as in #x.x./x.x./.x.x/.x.x.'
    )
    sizes = ((4, 4), (4, 5), (5, 5), (5, 6))

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family. Where others could be marked, too, one of them goes over to a region beside its own, if that leaves no more ways."""
        size, board = self.sizes[level - 1], board_of(*self.sizes[level - 1])
        every = packings(*size, level + 3)
        right = every[stream.below(len(every))]
        marked = {cell for cell, held in zip(board, right) if held}
        regions = joined(spread(sorted(marked), board, stream), stream)
        ways = every[fits(every, [regions[cell] for cell in board])] if regions else every
        for _ in range(CHANGES if regions else 0):
            if len(ways) == 1:
                shown = renamed(text(drawn(*size, {cell: REGIONS[regions[cell]] for cell in board}), ""), REGIONS).lower()
                return self.made(shown, min(renamed(text(image, ""), REGIONS) for image in images(shown.split("/"))), size, shown, marked)
            moves = given_over(stream.choice([cell for cell, n in zip(board, ways.sum(0) * (1 - right)) if n]), regions)
            if moves:
                cell, region = stream.choice(moves)
                changed = {**regions, cell: region}
                fewer = every[fits(every, [changed[c] for c in board])]
                regions, ways = (changed, fewer) if len(fewer) <= len(ways) else (regions, ways)
        return None

    def broken(self, clues: Any, marked: set[Cell]) -> str:
        """See Shaded."""
        held = [row[x] for y, row in enumerate(clues.split("/")) for x in range(len(row)) if (y, x) in marked]
        uneven = next((region for region in sorted(set(clues) - {"/"}) if held.count(region) != 2), "")
        if uneven:
            return f"region {uneven} has not two marked cells"
        return "" if all(len(marked & set(near(cell))) == 1 for cell in marked) else "a marked cell has not one marked cell beside it"


@cache
def packings(height: int, width: int, count: int) -> NDArray[np.float32]:
    """All ways to mark that many dominoes that do not touch by a side: [way, cell], 1 if marked, cells row after row."""
    board = board_of(height, width)
    bit = {cell: 1 << i for i, cell in enumerate(board)}
    ways = [(0, 0)]  # marked, and marked or beside one that is
    for y, x in board:
        for other in ((y, x + 1), (y + 1, x)):
            pair = bit[y, x] | bit.get(other, 0)
            touched = pair | sum({bit.get(c, 0) for cell in ((y, x), other) for c in near(cell)})
            ways += [(marked | pair, beside | touched) for marked, beside in ways if other in bit and not beside & pair]
    chosen = np.array([marked for marked, _ in ways if marked.bit_count() == 2 * count])
    return (chosen[:, None] >> np.arange(len(board)) & 1).astype(np.float32)


def fits(every: NDArray[np.float32], regions: Sequence[int]) -> NDArray[np.bool_]:
    """Which of the ways mark two cells in each region."""
    held: NDArray[np.bool_] = (every @ np.eye(max(regions) + 1, dtype=np.float32)[list(regions)] == 2).all(1)
    return held


def spread(seeds: Sequence[Cell], board: Sequence[Cell], stream: Stream) -> dict[Cell, int]:
    """Parts that grow from their seeds, cell by cell, until they cover the board: the part of each cell."""
    parts = {cell: i for i, cell in enumerate(seeds)}
    edge = list(seeds)
    while edge:
        at = stream.below(len(edge))
        free = [c for c in near(edge[at]) if c in board and c not in parts]
        if free:
            edge.append(stream.choice(free))
            parts[edge[-1]] = parts[edge[at]]
        else:
            edge.pop(at)
    return parts


def joined(parts: Mapping[Cell, int], stream: Stream) -> dict[Cell, int]:
    """Parts joined two by two with one beside them, numbered from 0, those with the least choice first; nothing where one is left over."""
    beside: dict[int, set[int]] = {part: set() for part in set(parts.values())}
    for cell, part in parts.items():
        beside[part] |= {parts[c] for c in near(cell) if c in parts} - {part}
    region: dict[int, int] = {}
    while beside:
        a = min(stream.sample(sorted(beside), len(beside)), key=lambda part: len(beside[part]))
        if not beside[a]:
            return {}
        b = min(stream.sample(sorted(beside[a]), len(beside[a])), key=lambda part: len(beside[part]))
        region[a] = region[b] = len(region) // 2
        beside = {part: others - {a, b} for part, others in beside.items() if part not in (a, b)}
    return {cell: region[part] for cell, part in parts.items()}
