"""Moves are judged against a second, plainer search without bits: a wrong value would pay for losing moves."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest

from thinkery.core.records import Problem, Question, Reply
from thinkery.core.rng import rng
from thinkery.tasks.connect3 import (
    COLUMN,
    HEIGHT,
    MEDIOCRE,
    OPTIMAL,
    RANDOM,
    WIDTH,
    Board,
    Connect3,
    Played,
    best,
    lined,
    open_columns,
    rows,
    values,
)

TASK, PLAYED = Connect3(), Played()
Columns = tuple[str, ...]  # each from below, x and o


def board_of(*lines: str) -> Board:
    """A board from its text."""
    mine = stones = 0
    for r, line in enumerate(reversed(lines)):
        for c, sign in enumerate(line):
            mine |= (sign == "x") << c * COLUMN + r
            stones |= (sign != ".") << c * COLUMN + r
    return mine, stones


def won(columns: Columns, who: str) -> bool:
    """Three of one's stones in a row, looked for cell by cell."""
    at = lambda c, r: 0 <= c < WIDTH and 0 <= r < len(columns[c]) and columns[c][r] == who
    steps = ((0, 1), (1, 0), (1, 1), (1, -1))
    return any(all(at(c + i * x, r + i * y) for i in range(3)) for c in range(WIDTH) for r in range(HEIGHT) for x, y in steps)


@cache
def plain(columns: Columns, who: str) -> int:
    """The value to who moves, by looking at everything."""
    other = "o" if who == "x" else "x"
    after = [columns[:c] + (columns[c] + who,) + columns[c + 1 :] for c in range(WIDTH) if len(columns[c]) < HEIGHT]
    return max((1 if won(x, who) else -plain(x, other) for x in after), default=0)


def test_values_are_those_of_a_plainer_search() -> None:
    for i in range(60):
        p = TASK.problem(i, stones=(9, 11))
        shown = p.question.prompt.split("\n")[:HEIGHT]
        columns = tuple("".join(row[c] for row in reversed(shown)).rstrip(".") for c in range(WIDTH))
        assert board_of(*shown) == p.data
        for c, v in values(p.data).items():
            after = columns[:c] + (columns[c] + "x",) + columns[c + 1 :]
            assert v == (1 if won(after, "x") else -plain(after, "o"))


def test_a_position_by_hand() -> None:
    """x wins at once in 3; anywhere else o takes that cell and so does."""
    board = board_of(".....", ".....", "oo...", "xx.o.")
    assert values(board)[2] == 1
    p = Problem("by hand", Question(""), "3", data=board)
    assert TASK.verify(p, Reply("#3")).score == 1
    assert TASK.demonstration(p, "direct", rng(0)) == "#3"
    full = board_of("xoxo.", "xoxo.", "oxox.", "oxox.")
    assert open_columns(full[1]) == [4]
    assert [*values(full)] == [4]


@pytest.mark.parametrize(
    ("lines", "row"),
    [
        (("x....", "x....", "x....", "....."), True),
        ((".....", "..xxx", ".....", "....."), True),
        (("x....", ".x...", "..x..", "....."), True),
        ((".....", "....x", "...x.", "..x.."), True),
        (("xx...", "x....", ".x...", "x...."), False),
        (("x....", "x....", ".....", ".x..."), False),
        (("...xx", "x....", ".....", "....."), False),
        ((".x...", ".....", ".....", "xx..."), False),
        (("....x", "x....", ".x...", "....."), False),
    ],
)
def test_rows_of_three_and_what_runs_over_an_edge(lines: tuple[str, ...], row: bool) -> None:
    board = board_of(*lines)
    assert rows(board) == list(lines)
    assert lined(board[0]) == row


def test_positions_are_open_and_the_choice_matters() -> None:
    for i in range(200):
        p = TASK.problem(i)
        mine, stones = p.data
        assert bin(mine).count("1") == p.difficulty // 2
        assert bin(stones).count("1") == p.difficulty
        assert not lined(mine)
        assert not lined(stones ^ mine)
        found = sorted(values(p.data).values())
        assert found[-1] > found[-2:-1][0]


def test_a_board_and_its_reflection_are_one_family() -> None:
    families: dict[str, set[str]] = {}
    for i in range(1500):
        p = TASK.problem(i, stones=5)
        families.setdefault(p.family, set()).add(p.question.prompt)
    assert max(map(len, families.values())) == 2
    for prompts in families.values():
        first = next(iter(prompts)).split("\n")
        assert all(p.split("\n") in (first, [row[::-1] for row in first]) for p in prompts)


def test_the_trace_tells_the_values() -> None:
    for i in range(50):
        p = TASK.problem(i)
        work, answer = TASK.demonstration(p, "trace", rng(i)).split("#")
        said = {int(x[0]) - 1: "ldw".index(x[2]) - 1 for x in work.split(",")}
        assert said == values(p.data)
        assert int(answer) - 1 == best(said)


def test_players_are_as_good_as_they_say() -> None:
    right: Counter[str] = Counter()
    for i in range(300):
        p = PLAYED.problem(i)
        assert p == TASK.problem(i)
        for style in PLAYED.styles:
            right[style] += int(PLAYED.verify(p, Reply(PLAYED.demonstration(p, style, rng(i)))).score)
    assert right[OPTIMAL] == 300
    assert 40 < right[RANDOM] < right[MEDIOCRE] < 200


@pytest.mark.parametrize(
    ("lines", "move"),
    [
        ((".....", ".....", "oo..x", "xx.oo"), "1"),  # stacks nothing yet
        ((".....", ".....", "o..x.", "o..xo"), "4"),
        (("o....", "x....", "o...x", "xo.ox"), "5"),
        (("o....", "x....", "oxx.o", "xoo.x"), "2"),  # sees no row sideways
    ],
)
def test_the_mediocre_player_sees_its_stacks_alone(lines: tuple[str, ...], move: str) -> None:
    problem = Problem("by hand", Question(""), "", data=board_of(*lines))
    assert PLAYED.demonstration(problem, MEDIOCRE, rng(0)) == move
