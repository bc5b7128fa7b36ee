"""Mazes, boxes and households: plans are checked by simulation, and simulation by worlds that are written plainly a second time."""

import re
from collections import deque
from itertools import product

import pytest

from thinkery.core.errors import BadConfig, InputError
from thinkery.core.records import Reply
from thinkery.core.rng import rng
from thinkery.tasks import SPLITS, load_task
from thinkery.tasks.boards import likeness
from thinkery.tasks.boxes import Store, boxoban
from thinkery.tasks.household import House, State

WAYS = {"u": (-1, 0), "d": (1, 0), "l": (0, -1), "r": (0, 1)}
HOSTILE = (
    "#",
    "#uuuuuuuuuuuuuuuuuuuuuuuuu",
    "#x",
    "#u d",
    "#U",
    "#go",
    "#go go",
    "#take",
    "#put  a",
    "#go hall,",
    "#,go hall",
    "#٣",
    "#" + "u" * 99999,
)


def score(task, problem, text):
    verdict = task.verify(problem, Reply(text))
    assert verdict.reason
    return verdict.score


def cells(prompt):
    return {(y, x): c for y, row in enumerate(prompt.removesuffix("\n?").split("\n")) for x, c in enumerate(row)}


@pytest.mark.parametrize("name", ["grid", "boxes", "household"])
def test_hostile_replies_earn_nothing_and_are_told_why(name):
    task = load_task(name)
    for i, text in product(range(20), HOSTILE):
        assert score(task, task.problem(i), text) == 0


@pytest.mark.parametrize(
    ("name", "hardest", "n"),
    [
        ("grid", {"steps": 24, "size": 9, "walls": 30}, 10),
        ("grid", {"steps": 1, "size": 2, "walls": 0}, 10),
        ("boxes", {"pushes": 8, "boxes": 2, "size": 5, "moves": 60}, 3),
        ("boxes", {"pushes": 1, "size": 3, "walls": 0}, 10),
        ("household", {"goals": 8, "rooms": 8}, 10),
        ("household", {"goals": 1, "rooms": 2}, 10),
    ],
)
def test_styles_hold_at_either_end_of_difficulty(name, hardest, n):
    task = load_task(name, **hardest)
    for i, style in product(range(n), task.styles):
        p = task.problem(i)
        made = task.demonstration(p, style, rng(i, style))
        assert score(task, p, made) == (style != "corrupted")
        assert len(made) < task.max_tokens


@pytest.mark.parametrize(
    ("name", "spec"), [("boxes", {"boxes": 3}), ("boxes", {"moves": 2}), ("grid", {"walls": 99}), ("household", {"rooms": 9})]
)
def test_a_world_out_of_range_is_refused(name, spec):
    with pytest.raises(BadConfig, match=next(iter(spec))):
        load_task(name, **spec)


def test_turned_and_reflected_boards_are_the_same():
    board = ("a.%", ".x.", "..%")
    others = [("%.a", ".x.", "%.."), ("..a", ".x.", "%.%"), ("%.%", ".x.", "a.."), tuple("".join(c) for c in zip(*board))]
    assert {likeness(b) for b in (board, *others)} == {likeness(board)}
    assert likeness(("a.%", ".x.", ".%.")) != likeness(board)


# ---- grid


def walked(prompt, moves):
    """Whether moves lead from a to x, and no wall or edge is in the way."""
    board = cells(prompt)
    at = next(cell for cell, kind in board.items() if kind == "a")
    for m in moves:
        at = (at[0] + WAYS[m][0], at[1] + WAYS[m][1])
        if board.get(at, "%") == "%":
            return False
    return board[at] == "x"


def test_every_way_through_a_maze_is_right_and_no_other_moves_are():
    task = load_task("grid", steps=3)
    several = 0
    for i in range(15):
        p = task.problem(i)
        right = dict.fromkeys(range(1, 6), 0)
        for n in right:
            for moves in map("".join, product("udlr", repeat=n)):
                good = walked(p.question.prompt, moves)
                assert score(task, p, "#" + moves) == good
                right[n] += good
        assert not right[1] and not right[2] and right[3]
        assert len(p.answer) == 3
        several += right[3] > 1
    assert several > 2


def test_a_way_is_traced_by_rows_and_columns():
    task = load_task("grid")
    for i in range(50):
        p = task.problem(i)
        board = cells(p.question.prompt)
        y, x = next(cell for cell, kind in board.items() if kind == "a")
        for line in task.demonstration(p, "structured", rng(i)).split("\n")[:-1]:
            y, x = y + WAYS[line[0]][0], x + WAYS[line[0]][1]
            assert line == f"{line[0]}:{y + 1}{x + 1}"
        assert board[y, x] == "x"


def test_a_wall_in_the_way_is_told():
    task = load_task("grid")
    p = task.problem(0)
    verdict = task.verify(p, Reply("#" + p.answer + "uuuuuuuuu"))
    assert verdict.score == 0
    assert re.search("action .* is not allowed", verdict.reason)
    assert 0 < verdict.parts["legal"] < 1


# ---- boxes


def pushes_needed(prompt):
    """Fewest pushes that solve a board, by going breadth first over all states; and the fewest moves with so many pushes."""
    board = cells(prompt)
    free = {cell for cell, kind in board.items() if kind != "%"}
    goals = {cell for cell, kind in board.items() if kind in "x+*"}
    start = (next(cell for cell, kind in board.items() if kind in "a+"), frozenset(cell for cell, kind in board.items() if kind in "b*"))
    best, queue = {start: (0, 0)}, deque([start])
    while queue:
        at, boxes = queue.popleft()
        for dy, dx in WAYS.values():
            to, beyond = (at[0] + dy, at[1] + dx), (at[0] + 2 * dy, at[1] + 2 * dx)
            if to not in free or (to in boxes and (beyond not in free or beyond in boxes)):
                continue
            state = (to, boxes - {to} | {beyond} if to in boxes else boxes)
            cost = (best[at, boxes][0] + (to in boxes), best[at, boxes][1] + 1)
            if cost < best.get(state, (99, 99)):
                best[state] = cost
                queue.append(state)
    return min(cost for (_, boxes), cost in best.items() if boxes == goals)


@pytest.mark.parametrize("spec", [{}, {"boxes": 2, "pushes": (2, 4), "walls": 10}, {"size": 3, "pushes": 1}])
def test_boxes_are_solved_with_the_fewest_pushes_and_then_moves(spec):
    task = load_task("boxes", **spec)
    for i in range(12):
        p = task.problem(i)
        assert pushes_needed(p.question.prompt) == (p.difficulty, len(p.answer))


def test_boxes_stand_on_goals_and_so_may_you():
    task = load_task("boxes", boxes=2, pushes=1)
    shown = "".join(task.problem(i).question.prompt for i in range(60))
    assert {"+", "*", "a", "b", "x"} <= set(shown)


def test_boxes_by_hand():
    row = Store(frozenset((0, x) for x in range(5)), ((0, 4),))  # five cells side by side
    assert row.legal(((0, 0), ((0, 1),)), "r") == ((0, 1), ((0, 2),))
    assert row.legal(((0, 2), ((0, 1),)), "r") == ((0, 3), ((0, 1),))
    assert row.legal(((0, 1), ((0, 2), (0, 3))), "r") is None  # a box behind the box
    assert row.legal(((0, 3), ((0, 4),)), "r") is None  # nothing behind it
    assert row.legal(((0, 0), ((0, 3),)), "u") is None
    assert row.legal(((0, 0), ((0, 3),)), "x") is None
    assert row.goal(((0, 3), ((0, 4),))) and not row.goal(((0, 4), ((0, 3),)))


LEVEL = """##########
#  .    ##
#       ##
# $ ######
#       ##
#  $   .##
#    .  ##
#  $    ##
# @.$  ###
##########"""


def test_a_level_of_boxoban_becomes_a_problem():
    task = load_task("boxes")
    p = boxoban(LEVEL)
    assert p.question.prompt.startswith("..x....%\n.......%\n.b.%%%%%\n")
    assert p.question.instruction == task.instruction
    assert score(task, p, "#" + p.answer) == 1
    assert score(task, p, "#" + p.answer[:-1]) == 0
    assert all(score(task, p, task.demonstration(p, style, rng(1))) == (style != "corrupted") for style in task.styles)
    turned = boxoban("\n".join(line[::-1] for line in LEVEL.split("\n")))
    assert turned.family == p.family
    assert turned.difficulty == p.difficulty


@pytest.mark.parametrize("text", ["", "#####", LEVEL.replace("@", " "), LEVEL.replace("$", " ", 1), LEVEL.replace("@", "?")])
def test_what_is_no_level_is_refused(text):
    with pytest.raises(InputError, match="no Boxoban level"):
        boxoban(text)


# ---- household

HOUSE = House(
    frozenset({("hall", "bath"), ("bath", "hall")}), {"box": "hall", "desk": "hall", "sink": "bath"}, {"cup": "sink", "pen": "desk"}
)
START = State("hall", "", frozenset({"sink", "desk"}), {"cup": "box", "pen": "box"})


def done(*actions):
    state = START
    for action in actions:
        state = state and HOUSE.legal(state, action)
    return state


def test_a_household_by_hand():
    assert done("open box", "take cup", "go bath", "put cup sink") == State(
        "bath", "", frozenset({"sink", "desk", "box"}), {"pen": "box", "cup": "sink"}
    )
    assert HOUSE.goal(done("open box", "take pen", "put pen desk", "take cup", "go bath", "put cup sink"))
    assert not HOUSE.goal(done("open box", "take cup", "go bath", "put cup sink"))
    assert State("hall", "", frozenset({"sink", "desk"}), {"cup": "box", "pen": "box"}) == START  # states are values


@pytest.mark.parametrize(
    "actions",
    [
        ("take cup",),  # the box is closed
        ("open desk",),  # it is open
        ("open sink",),  # not here
        ("open cup",),
        ("go hall",),
        ("go cellar",),
        ("open box", "take cup", "take pen"),  # hands are full
        ("open box", "take cup", "put pen desk"),
        ("open box", "take cup", "put cup sink"),  # not here
        ("go bath", "take cup"),
        ("put  desk",),  # nothing is held
        ("put cup desk",),
        ("jump",),
        ("",),
        ("take cup pen",),
        ("go  bath",),
    ],
)
def test_what_a_household_does_not_allow(actions):
    assert done(*actions) is None


def test_an_agent_sees_the_room_and_what_lies_open_there():
    assert HOUSE.observed(START) == "hall:box!(),desk()\ndoors:bath\nheld:"
    assert HOUSE.observed(done("open box", "take cup")) == "hall:box(pen),desk()\ndoors:bath\nheld:cup"


def searched(house, start):
    """The fewest actions, by going breadth first over all that is legal."""
    rooms = sorted({b for _, b in house.doors})
    actions = [f"go {r}" for r in rooms] + [f"open {p}" for p in house.places]
    actions += [f"take {t}" for t in start.inside] + [f"put {t} {p}" for t in start.inside for p in house.places]
    key = lambda s: (s.room, s.held, s.opened, tuple(sorted(s.inside.items())))
    queue, seen = deque([(start, ())]), {key(start)}
    while queue:
        state, plan = queue.popleft()
        if house.goal(state):
            return plan
        for action in actions:
            after = house.legal(state, action)
            if after is not None and key(after) not in seen:
                seen.add(key(after))
                queue.append((after, (*plan, action)))
    raise AssertionError("no plan")


@pytest.mark.parametrize("goals", [1, 2])
def test_another_plan_that_works_is_right_and_one_that_lacks_an_action_is_not(goals):
    task = load_task("household", goals=goals, rooms=2)
    other = 0
    for i in range(8):
        p = task.problem(i)
        house, start = p.data
        plan = searched(house, start)
        other += ",".join(plan) != p.answer
        assert len(plan) <= len(p.answer.split(","))
        assert score(task, p, "#" + ",".join(plan)) == score(task, p, "#" + ", ".join(plan)) == 1
        for at in range(len(plan)):
            assert score(task, p, "#" + ",".join(plan[:at] + plan[at + 1 :])) == 0
    assert other or goals == 1


def test_a_prompt_tells_the_whole_household():
    task = load_task("household", goals=2)
    for i in range(50):
        p = task.problem(i)
        house, start = p.data
        lines = p.question.prompt.split("\n")
        assert {tuple(x.split("-")) for x in lines if "-" in x} == {(a, b) for a, b in house.doors if a < b}
        assert {tuple(x.split(">")) for x in lines if ">" in x} == set(house.goals.items())
        assert f"you:{start.room}" in lines
        told = {}
        for room, places in (x.split(":") for x in lines if "(" in x):
            for place, shut, things in re.findall(r"(\w+)(!?)\(([a-z ]*)\)", places):
                assert (house.places[place], place in start.opened) == (room, not shut)
                told |= dict.fromkeys(things.split(), place)
        assert told == dict(start.inside)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(
    ("name", "key", "values"), [("grid", "steps", (2, 6)), ("boxes", "pushes", (1, 4)), ("household", "goals", (1, 3))]
)
def test_harder_worlds_take_longer_plans(name, key, values, split):
    task = load_task(name)
    low, high = (sum(len(task.problem(i, split, **{key: v}).answer) for i in range(20)) for v in values)
    assert high > 1.4 * low
