"""SynLogic's boards and sums: each is solved a second time from its prompt alone, and replies that look right but break a rule are told why."""

from __future__ import annotations

import re
from itertools import combinations, permutations, product

import pytest

from thinkery.core.records import Reply
from thinkery.tasks.synlogic import FAMILIES, load_synlogic

LEVELS = (1, 2, 3, 4)


def problems(name, levels=LEVELS, count=6):
    task = load_synlogic(name)
    return [task.problem(i, level=level) for level, i in product(levels, range(count))]


def reason(name, problem, reply):
    verdict = load_synlogic(name).verify(problem, Reply("#" + reply))
    assert verdict.score == 0
    return verdict.reason


def rows(text):
    return {(y, x): c for y, row in enumerate(text.split("/")) for x, c in enumerate(row)}


def touching(a, b):
    return a != b and max(abs(a[0] - b[0]), abs(a[1] - b[1])) == 1


def beside(a, b):
    return abs(a[0] - b[0]) + abs(a[1] - b[1]) == 1


def shown(cells, marked):
    height, width = (max(c[axis] for c in cells) + 1 for axis in (0, 1))
    return "/".join("".join("x" if (y, x) in marked else "." for x in range(width)) for y in range(height))


def subsets(cells):
    return (set(chosen) for n in range(len(cells) + 1) for chosen in combinations(sorted(cells), n))


def kukurasu(prompt):
    """By all ways to mark the cells."""
    given = tuple([int(n) for n in line.split(",")] for line in prompt.split(";"))
    size = len(given[0])
    cells = list(product(range(size), repeat=2))
    total = lambda marked, axis: [sum(c[1 - axis] + 1 for c in marked if c[axis] == i) for i in range(size)]
    return {shown(cells, marked) for marked in subsets(cells) if (total(marked, 0), total(marked, 1)) == given}


def campsite(prompt):
    """By all ways to choose as many cells as there are trees, and all ways to give them to the trees."""
    board, *lines = prompt.split(";")
    cells, given = rows(board), [[int(n) for n in line.split(",")] for line in lines]
    trees = [c for c in cells if cells[c] == "t"]
    found = set()
    for tents in combinations(sorted(set(cells) - set(trees)), len(trees)):
        counts = [[sum(t[axis] == i for t in tents) for i in range(len(given[axis]))] for axis in (0, 1)]
        apart = not any(touching(a, b) for a, b in combinations(tents, 2))
        if counts == given and apart and any(all(map(beside, trees, order)) for order in permutations(tents)):
            found.add(shown(cells, tents))
    return found


def minesweeper(prompt):
    """By all choices of mines."""
    cells = rows(prompt)
    hidden = [c for c in cells if cells[c] == "."]
    right = lambda mines: all(sum(touching(c, m) for m in mines) == int(n) for c, n in cells.items() if n != ".")
    return {shown(cells, mines) for mines in subsets(hidden) if right(mines)}


def cryptarithm(prompt):
    """By all digits for the letters."""
    letters = sorted({c for c in prompt if c.isalpha()})
    found = set()
    for digits in permutations(sorted(set("0123456789") - set(prompt)), len(letters)):
        text = prompt.translate(str.maketrans("".join(letters), "".join(digits)))
        if not re.search(r"\b0[0-9]", text) and eval(text.replace("=", "==")):
            found.add(text)
    return found


def number_wall(prompt):
    """By all ways to choose the walls; islands are joined from pairs of cells."""
    cells = rows(prompt)
    found = set()
    for walls in subsets([c for c in cells if cells[c] == "."]):
        land = set(cells) - walls
        island = {c: {c} for c in land}
        for a, b in combinations(sorted(land), 2):
            if beside(a, b) and island[a] is not island[b]:
                island[a] |= island[b]
                island.update(dict.fromkeys(island[b], island[a]))
        told = [(len(part), [int(cells[c]) for c in part if cells[c] != "."]) for part in island.values()]
        square = any(all((y + i, x + j) in walls for i in (0, 1) for j in (0, 1)) for y, x in walls)
        apart = all(island[a] is island[b] for a, b in combinations(land, 2) if touching(a, b))
        if not square and apart and all(numbers == [size] for size, numbers in told):
            found.add(shown(cells, walls))
    return found


def norinori(prompt):
    """By all ways to mark two cells of each region."""
    cells = rows(prompt)
    regions = sorted(set(cells.values()))
    found = set()
    for pairs in product(*(combinations([c for c in cells if cells[c] == region], 2) for region in regions)):
        marked = {c for pair in pairs for c in pair}
        if all(sum(beside(a, b) for b in marked) == 1 for a in marked):
            found.add(shown(cells, marked))
    return found


def arrow_maze(prompt):
    """Cell by cell: arrows down and right must follow such an arrow or a number at once, what goes out from the numbers is counted at the end."""
    cells = rows(prompt)
    steps = {"u": (-1, 0), "d": (1, 0), "l": (0, -1), "r": (0, 1)}
    found = set()

    def out(board, cell):
        total = 0
        for arrow, (v, u) in steps.items():
            y, x = cell[0] + v, cell[1] + u
            while board.get((y, x)) == arrow:
                y, x, total = y + v, x + u, total + 1
        return total

    def further(open_, board):
        if not open_:
            counts = {c: out(board, c) for c in board if board[c].isdigit()}
            if all(n == int(board[c]) for c, n in counts.items()) and sum(counts.values()) + len(counts) == len(board):
                found.add("".join(board.get(c, "/") for c in ends))
            return
        y, x = open_[0]
        follows = {a for a, before in (("d", (y - 1, x)), ("r", (y, x - 1))) if board.get(before, "") in {a, *"123456789"} - {""}}
        for arrow in {"u", "l", *follows}:
            further(open_[1:], {**board, (y, x): arrow})

    width = prompt.index("/")
    ends = [(y, x) for y in range(len(prompt.split("/"))) for x in range(width + 1)][:-1]
    further([c for c in sorted(cells) if cells[c] == "."], {c: n for c, n in cells.items() if n != "."})
    return found


BRUTE = {
    "arrow_maze": arrow_maze,
    "campsite": campsite,
    "cryptarithm": cryptarithm,
    "kukurasu": kukurasu,
    "minesweeper": minesweeper,
    "norinori": norinori,
    "number_wall": number_wall,
}


@pytest.mark.parametrize("name", BRUTE)
def test_there_is_one_solution_by_trying_all(name):
    for p in problems(name, (1,), 12):
        assert BRUTE[name](p.question.prompt.rstrip("?")) == {p.answer}


@pytest.mark.parametrize("name", BRUTE)
def test_the_example_of_the_documentation_is_right(name):
    prompt, reply = re.search(r"Prompt `([^`]*)\?`, reply `[^`]*#([^`]*)`", FAMILIES[name].__doc__).groups()
    assert BRUTE[name](prompt) == {reply}


@pytest.mark.parametrize("name", ["kukurasu", "campsite", "minesweeper", "norinori", "number_wall"])
def test_a_verifier_agrees_with_brute_force_on_every_board(name):
    """Not on one solution alone: on all boards of x and . that there are for a few problems."""
    task = load_synlogic(name)
    for p in problems(name, (1,), 1):
        cells = rows(p.answer)
        right = BRUTE[name](p.question.prompt.rstrip("?"))
        for marked in list(subsets(cells))[: 1 << 10]:
            text = shown(cells, marked)
            assert task.verify(p, Reply("#" + text)).score == (text in right)


def test_boards_of_the_right_form_that_break_a_rule():
    for name in ("kukurasu", "campsite", "minesweeper", "norinori", "number_wall"):
        for p in problems(name, count=2):
            width = p.answer.index("/")
            assert "has not" in reason(name, p, p.answer + "/" + "." * width) or width > 5
            assert "no board" in reason(name, p, p.answer.replace(".", "o"))
            assert "no board" in reason(name, p, p.answer + "/...x" * 9)
            assert reason(name, p, re.sub("[x.]", ".", p.answer)) or name == "kukurasu"
    for p in problems("kukurasu", count=2):
        assert "comes to" in reason("kukurasu", p, p.answer.translate(str.maketrans("x.", ".x")))
    for p in problems("campsite", count=2):
        trees = re.sub("[^t/]", ".", p.question.prompt.split(";")[0]).replace("t", "x")
        assert reason("campsite", p, trees) == "a tent stands on a tree"
        assert "number of tents" in reason("campsite", p, p.answer.replace("x", ".", 1))
    for p in problems("minesweeper", count=2):
        numbers = re.sub("[0-9]", "x", p.question.prompt.rstrip("?"))
        assert reason("minesweeper", p, numbers) == "a mine where there is a number"
        assert "touch a" in reason("minesweeper", p, re.sub("[x.]", ".", p.answer))


def test_parts_that_break_a_rule():
    wall = load_synlogic("number_wall")
    facts = ((3, 4), ((3, 4), {(0, 0): 1, (0, 2): 2, (2, 0): 1, (2, 2): 1}))
    assert wall.fault(facts, ".x../xxxx/.x.x") == ""
    assert wall.fault(facts, "xx../xxxx/.x.x") == "a wall where there is a number"
    assert wall.fault(facts, ".x../.xxx/.x.x") == "an island of 3 cells has the numbers [1, 1]"
    assert wall.fault(facts, ".x.x/xxxx/.x.x") == "an island of 1 cells has the numbers [2]"
    assert wall.fault(facts, ".x.x/xx.x/.x.x") == "an island of 3 cells has the numbers [2, 1]"
    assert wall.fault(facts, ".x../xxxx/.x..") == "an island of 2 cells has the numbers [1]"
    assert wall.fault(((3, 3), ((3, 3), {(0, 0): 1, (1, 1): 1})), ".xx/x.x/xxx") == "two islands touch at a corner"
    assert wall.fault(((3, 3), ((3, 3), {(0, 0): 1})), ".xx/xxx/xxx") == "two by two cells are all wall"
    task = load_synlogic("norinori")
    dominoes = ((4, 4), "aabb/aacb/accb/dddd")
    assert task.fault(dominoes, "x.x./x.x./.x.x/.x.x") == ""
    assert task.fault(dominoes, "xxx./x.x./.x.x/.x.x") == "region a has not two marked cells"
    assert task.fault(dominoes, "x.x./x.x./.x../.x.x") == "region b has not two marked cells"
    assert task.fault(dominoes, "xx../..xx/.x.x/xx..") == "a marked cell has not one marked cell beside it"
    maze, given = load_synlogic("arrow_maze"), ".33./..../1..1"
    assert maze.fault(given, "l33r/uddu/1dd1") == ""
    assert "with arrows for the dots" in maze.fault(given, "l33r/uddu/1dd2")
    assert "with arrows for the dots" in maze.fault(given, "l33r/u1du/1dd1")
    assert "with arrows for the dots" in maze.fault(given, "l33r/uddu/1dd1/uuuu")
    assert maze.fault(given, "d33r/uddu/1dd1") == "an arrow does not lead away from a number"
    assert maze.fault(given, "l33r/uddl/1dd1") == "an arrow does not lead away from a number"
    assert maze.fault(given, "l33r/uddu/1rd1") == "a 3 has 2 arrows"
    for p in problems("arrow_maze"):
        assert "no board" in reason("arrow_maze", p, p.question.prompt) and "no board" in reason("arrow_maze", p, p.answer + "/uuu" * 9)


def test_tents_that_touch_or_share_a_tree():
    task = load_synlogic("campsite")
    trees, counts = frozenset({(0, 0), (0, 3)}), ((0, 1, 0, 1), (1, 0, 0, 1))
    assert task.fault(((4, 4), (trees, counts)), "..../x.../..../...x") == "not each tree has a tent of its own"
    assert task.fault(((4, 4), (trees, counts)), "..../xx../..../....") == "two tents touch"


def test_sums_of_the_right_form_that_break_a_rule():
    for p in problems("cryptarithm"):
        name, prompt = "cryptarithm", p.question.prompt.rstrip("?")
        assert "as many digits" in reason(name, p, p.answer + "0" if len(p.answer.split("=")[1]) < 4 else "1+1=2")
        assert reason(name, p, re.sub("[0-9]", "0", p.answer))
        letter = next(c for c in prompt if c.isalpha())
        changed = {p.answer.replace(p.answer[prompt.index(letter)], d) for d in "0123456789"} - {p.answer}
        assert all(reason(name, p, text) for text in changed)
        assert "no sum" in reason(name, p, prompt) and "no sum" in reason(name, p, p.answer + "+1")
    for p in problems("math_path"):
        left, right = p.answer.split("=")
        assert "digits for the dots" in reason("math_path", p, f"{left}+0={right}")
        assert "digits for the dots" in reason("math_path", p, f"{right.strip('-')}+0+0={right}")
        assert "no equation" in reason("math_path", p, p.question.prompt) and "no equation" in reason("math_path", p, p.answer + "9" * 99)
        dot = p.question.prompt.index(".")
        wrong = p.answer[:dot] + str((int(p.answer[dot]) + 1) % 10) + p.answer[dot + 1 :]
        assert ", not " in reason("math_path", p, wrong)
    for p in problems("game_of_24"):
        name, numbers = "game_of_24", p.question.prompt.rstrip("?").split(",")
        assert "has not the numbers" in reason(name, p, f"{p.answer}+0")
        assert "has not the numbers" in reason(name, p, "+".join(numbers[1:]) + "+24")
        assert "no expression" in reason(name, p, "**".join(numbers) + "!") and "no expression" in reason(name, p, "+".join(numbers * 40))
        assert "two signs" in reason(name, p, "**".join(numbers)) and "two signs" in reason(name, p, "-" + p.answer)
        assert reason(name, p, "(" * 9 + p.answer) and reason(name, p, "(" + ")(".join(numbers) + ")")


def test_any_expression_of_the_numbers_that_comes_to_24_is_right():
    """With fractions on the way, too; and no other is."""
    task = load_synlogic("game_of_24")
    assert task.fault((3, 3, 8, 8), "8/(3-8/3)") == ""
    assert "not 24" in task.fault((3, 3, 8, 8), "8*3+(8-3)") and "zero" in task.fault((3, 3, 8, 8), "8/(3-3)+8")
    for p in problems("game_of_24", (1, 2), 4):
        numbers = p.question.prompt.rstrip("?").split(",")
        for order, signs in product(permutations(numbers), product("+-*", repeat=len(numbers) - 1)):
            text = "".join(n + s for n, s in zip(order, (*signs, "")))
            assert task.verify(p, Reply("#" + text)).score == (eval(text) == 24)


def test_all_digits_that_make_an_equation_hold_are_right():
    task = load_synlogic("math_path")
    several = 0
    for p in problems("math_path", (1, 3), 3):
        prompt = p.question.prompt.rstrip("?")
        right = 0
        for digits in product("0123456789", repeat=prompt.count(".")):
            text = prompt.replace(".", "{}").format(*digits)
            holds = eval(text.replace("=", "=="))
            assert task.verify(p, Reply("#" + text)).score == holds
            right += holds
        several += right > 1
    assert several


def test_a_table_is_repaired_before_it_is_read():
    """The bugs are made again from the repaired table, which the work shows, in the order told."""
    for p in problems("buggy_tables"):
        table, bugs, query = p.question.prompt.rstrip("?").split(";")
        shown = [list(row) for row in p.data[1][-1].split("/")]
        wanted, condition = query.split(":")
        column = lambda name: "abcd".index(name)
        chosen = [row for row in shown if eval(f"{row[column(condition[0])]}{condition[1:]}")]
        assert p.answer == str(sum(int(row[column(wanted)]) for row in chosen)) and 0 < len(chosen) < len(shown)
        for bug in bugs.split(" "):
            n = int(bug[1:]) if bug[1:].isdigit() else 0
            if bug[0] == "v":
                shown = shown[-n:] + shown[:-n]
            elif bug[0] == ">":
                shown = [row[-n:] + row[:-n] for row in shown]
            else:
                shown = [*shown, ["."] * len(shown[0])] if bug == "+r" else [[*row, "."] for row in shown]
        assert len(table) == len("/".join("".join(row) for row in shown))
        assert all(a in (b, ".") for a, b in zip("/".join("".join(row) for row in shown), table))
        assert reason("buggy_tables", p, str(int(p.answer) + 1)).endswith(f"is not {p.answer}")
        assert "no sum" in reason("buggy_tables", p, "1000") and "no sum" in reason("buggy_tables", p, table)


def test_the_steps_to_24_hold_and_end_there():
    for p in problems("game_of_24"):
        steps = p.data[1]
        assert all(eval(step.replace("=", "==")) for step in steps) and steps[-1].endswith("=24")
        assert eval(p.answer) == 24


@pytest.mark.parametrize(
    ("name", "facts"), [("game_of_24", lambda p: [int(n) for n in p.split(",")]), ("math_path", str), ("buggy_tables", None)]
)
def test_the_example_of_a_sum_is_right(name, facts):
    prompt, reply = re.search(r"Prompt `([^`]*)\?`, reply `[^`]*#([^`]*)`", FAMILIES[name].__doc__).groups()
    if facts:
        assert load_synlogic(name).fault(facts(prompt), reply) == ""
    else:
        right = [row[1:] + row[0] for row in prompt.split(";")[0].split("/")]
        assert prompt.endswith(";>1;a:b<4") and reply == str(sum(int(row[0]) for row in right if int(row[1]) < 4))
