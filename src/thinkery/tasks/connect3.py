"""Three in a row on a board of five columns and four rows, into which stones fall. One move is best: it alone wins, or it alone does not lose.

A board is two numbers, the mover's stones and all stones, of five bits a column: four cells from below and one that stays empty, so that
no row runs from one column into the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED, Task, check_style
from .generated import Generated, judged, laid_out, posed, span

WIDTH, HEIGHT = 5, 4
COLUMN = HEIGHT + 1  # bits of a column
BY_CENTRE = (2, 1, 3, 0, 4)  # where most rows pass: looked at first
MOVE = re.compile("[1-5]")
VALUES = {1: "w", 0: "d", -1: "l"}  # of a move, to who makes it
MEDIOCRE, OPTIMAL, RANDOM = "mediocre", "optimal", "random"

Board = tuple[int, int]  # the mover's stones, all stones


@dataclass(frozen=True)
class Spec:
    """stones   on the board, from and to"""

    stones: tuple[int, int] = (5, 8)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stones", span("stones", self.stones, 5, 14))


class Connect3(Generated[Spec]):
    """Prompt `.....\\n.....\\n..o..\\nx.xo.\\n?`, reply `1:l,2:w,3:d,4:l,5:l#2`: the column of a move for x, which is to move.

    The trace says of each move whether x wins, draws or loses by it if both play on as well as can be. Difficulty counts stones. Family: the board
    or its reflection.
    """

    name = "connect3"
    default = Spec()
    instruction = (
        "Two players drop stones into five columns of four cells; three in a row, a column or a diagonal win. You are x and to move. "
        'End with "#" and the column of the best move from 1 to 5, as in #3.'
    )

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        self.max_tokens = 2 * WIDTH * len("1:w,") + 3

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem | None]:
        """See Generated."""
        count = stream.between(*spec.stones)
        while True:
            board = played(count, stream)
            found = values(board) if board is not None else {}
            if board is None or list(found.values()).count(max(found.values())) > 1:
                yield None
                continue
            family = min("\n".join(rows(board)), "\n".join(row[::-1] for row in rows(board)))
            yield posed("\n".join((*rows(board), "?")), str(best(found) + 1), family, count, board)

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        return judged(reply, problem.answer, MOVE, "column")

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "corrupted" takes a worse move for the best."""
        found = values(problem.data)
        column, shown = best(found), dict(found)
        if style == CORRUPTED:
            worse = stream.choice([c for c in found if c != column])
            shown[column], shown[worse], column = found[worse], found[column], worse
        return laid_out([f"{c + 1}:{VALUES[v]}" for c, v in shown.items()], str(column + 1), style)


class Played(Task):
    """The same positions, shown by players whose moves need not be right: a demonstration is the column alone.

    "mediocre" wins upwards where it can and else takes the leftmost open column, "optimal" takes the best move, "random" an open column.
    """

    name = "connect3 played"
    styles = (MEDIOCRE, OPTIMAL, RANDOM)

    def __init__(self, **spec: Any) -> None:
        self.task = Connect3(**spec)
        self.max_tokens = len("#1") + 1

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        """See Task."""
        return self.task.problem(index, split, seed, **spec)

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        return self.task.verify(problem, reply, rollout)

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        """See Task."""
        check_style(self, style)
        return str(moved(problem.data, style, rng) + 1)


def moved(board: Board, player: str, stream: Stream) -> int:
    """The column that a player takes."""
    mine, stones = board
    found = values(board)
    if player == MEDIOCRE:
        return next((c for c in found if stacked(mine | cell(stones, c))), min(found))
    return best(found) if player == OPTIMAL else stream.choice([*found])


def stacked(own: int) -> bool:
    """Whether three stones lie on top of each other."""
    return bool(own & own >> 1 & own >> 2)


def played(count: int, stream: Stream) -> Board | None:
    """A board after so many random moves, the next mover's stones first; None if someone won on the way."""
    mine, stones = 0, 0
    for _ in range(count):
        bit = cell(stones, stream.choice(open_columns(stones)))
        if lined(mine | bit):
            return None
        mine, stones = stones ^ mine, stones | bit  # who waited moves next
    return mine, stones


def open_columns(stones: int) -> list[int]:
    """The columns with an empty cell, from the left."""
    return [c for c in range(WIDTH) if not stones >> (c * COLUMN + HEIGHT - 1) & 1]


def cell(stones: int, column: int) -> int:
    """The cell that a stone in the column falls into, as a bit."""
    return (stones + (1 << column * COLUMN)) & (((1 << HEIGHT) - 1) << column * COLUMN)


def lined(own: int) -> bool:
    """Whether three stones lie in a row: upwards, sideways, or on either diagonal."""
    return stacked(own) or any(own & own >> step & own >> 2 * step for step in (COLUMN, COLUMN - 1, COLUMN + 1))


@lru_cache(maxsize=1 << 18)
def value(mine: int, stones: int) -> int:
    """1, 0 or -1: the mover wins, draws or loses if both play as well as can be (negamax; full boards are drawn)."""
    free = [c for c in BY_CENTRE if not stones >> (c * COLUMN + HEIGHT - 1) & 1]
    if any(lined(mine | cell(stones, c)) for c in free):
        return 1
    most = -1 if free else 0
    for c in free:
        most = max(most, -value(stones ^ mine, stones | cell(stones, c)))
        if most == 1:
            break
    return most


def values(board: Board) -> dict[int, int]:
    """The value of each move to the mover, by column."""
    mine, stones = board
    after = {c: cell(stones, c) for c in open_columns(stones)}
    return {c: 1 if lined(mine | bit) else -value(stones ^ mine, stones | bit) for c, bit in after.items()}


def best(found: dict[int, int]) -> int:
    """The column of the best move."""
    return max(found, key=found.__getitem__)


def rows(board: Board) -> list[str]:
    """The board as text from above: x the mover's stones, o the other's."""
    mine, stones = board
    at = lambda bit: "x" if mine >> bit & 1 else "o" if stones >> bit & 1 else "."
    return ["".join(at(c * COLUMN + r) for c in range(WIDTH)) for r in reversed(range(HEIGHT))]
