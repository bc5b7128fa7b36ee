"""More of SynLogic's families: each is solved a second time from its prompt alone, and replies that look right but break a rule are told why;
and the work on squares, which must say nothing that is not so."""

from __future__ import annotations

import re
from itertools import permutations, product

import pytest

from thinkery.core.records import Reply
from thinkery.core.rng import rng
from thinkery.tasks.synlogic import boards, load_synlogic
from thinkery.tasks.synlogic.letters import alike
from thinkery.tasks.synlogic.squares import forced

WAYS = {  # steps up to the one from whom both come, and down
    "siblings": (1, 1),
    "grandchildren": (0, 2),
    "uncles": (2, 1),
    "nephews": (1, 2),
    "cousins": (2, 2),
    "granduncles": (3, 1),
    "second cousins": (3, 3),
}


def problems(name, levels=(1, 2, 3, 4), count=12):
    task = load_synlogic(name)
    return [task.problem(i, level=level) for level, i in product(levels, range(count))]


def reason(name, problem, reply):
    verdict = load_synlogic(name).verify(problem, Reply(reply))
    assert verdict.score == 0
    return verdict.reason


def above(parent, node, steps):
    return node if not steps or node is None else above(parent, parent.get(node), steps - 1)


def test_things_change_one_property_at_a_time():
    """With a set of letters for each thing instead of words."""
    counts = set()
    for p in problems("object_properties"):
        told, asked = p.question.prompt.rstrip("?").split(":")
        start, *orders = told.split(";")
        things = [set(word) for word in start.split()]
        for order in orders:
            if order[0] == "+":
                things.append(set(order[1:]))
            elif order[0] == "-":
                things = [t for t in things if not t & {order[1]}]
            else:
                things = [t - {order[0]} | {order[2]} if order[0] in t else t for t in things]
            assert all(len(t) == 3 for t in things)
        wanted = {asked[0], asked[2]}
        hits = [t for t in things if (wanted <= t if asked[1] == "&" else wanted & t)]
        assert p.answer == str(len(hits))
        counts.add(p.answer)
    assert len(counts) > 3


def test_relatives_are_found_by_way_of_the_parents_names():
    """Each node's parent alone is kept; relatives are those whose way up has the right length and meets at the right one."""
    asked_for = set()
    for p in problems("space_reasoning_tree", (2, 4), 60):
        families, question = p.question.prompt.rstrip("?").split(":")
        parent = {c: f[0] for f in families.split(";") for c in f[2:]}
        relation, node = question.split(" of ")
        up, down = WAYS[relation]
        found = []
        for n in {*parent, *parent.values()}:
            meet = above(parent, node, up)
            apart = not up or above(parent, node, up - 1) != above(parent, n, down - 1)
            if meet is not None and above(parent, n, down) == meet and apart:
                found.append(n)
        assert p.answer == "".join(sorted(found))
        asked_for.add(relation)
    assert asked_for == set(WAYS)


def test_the_longest_meeting_by_trying_all():
    none = 0
    for p in problems("time_sequence", count=20):
        people = p.question.prompt.rstrip("?").split(";")
        fits = {}
        for start, end in ((a, b) for a in range(24) for b in range(a + 1, 25)):
            ok = True
            for person in people:
                times = [tuple(map(int, t.split("-"))) for t in re.findall(r"\d+-\d+", person)]
                inside = all(any(a <= h < b for a, b in times) for h in range(start, end))
                outside = not any(a <= h < b for a, b in times for h in range(start, end))
                ok &= inside if " free " in person else outside
            if ok:
                fits[end - start] = fits.get(end - start, 0) + 1
        longest = max(fits, default=0)
        assert p.answer == f"{longest},{fits.get(longest, 0)}"
        none += not longest
    assert none < 20


@pytest.mark.parametrize(
    ("name", "reply", "why"),
    [
        ("object_properties", "#123", "no number"),
        ("object_properties", "#two", "no number"),
        ("object_properties", "#77", "77 is not"),
        ("space_reasoning_tree", "#" + "a" * 27, "no row of letters"),
        ("space_reasoning_tree", "#a,b", "no row of letters"),
        ("space_reasoning_tree", "#zy", "zy is not"),
        ("time_sequence", "#100,1", "no pair of numbers"),
        ("time_sequence", "#2:1", "no pair of numbers"),
        ("time_sequence", "#23,9", "23,9 is not"),
        ("wordscapes", "#" + "/".join(["abcdefgh"] * 3), "no filled grid"),
        ("wordscapes", "#123/4.5/678", "no filled grid"),
        ("wordscapes", "#abc/def/ghi", "has not the shape"),
        ("numbrix", "#" + "/".join(["1,2,3,4,5,6,7"] * 3), "no filled board"),
        ("numbrix", "#a,b,c,d/e,f,g,h/i,j,k,l", "no filled board"),
        ("numbrix", "#1,2,3/4,5,6/7,8,9", "has not"),
        ("survo", "#1,2,3", "no filled board"),
        ("survo", "#1,2,3=6/4,5,6=15", "no filled board"),
        ("survo", "#1,2,3,4,5/6,7,8,9,10", "has not"),
        ("star_placement_puzzle", "#123456781", "no row of columns"),
        ("star_placement_puzzle", "#90000", "no row of columns"),
        ("star_placement_puzzle", "#11111111", "stars for|a column has not one star"),
        ("zebra_puzzle", "#abc/def/ghi/jkl/mno", "no row of houses"),
        ("zebra_puzzle", "#abc,def", "no row of houses"),
        ("zebra_puzzle", "#abc/def", "has not the groups"),
    ],
)
def test_a_wrong_reply_is_told_why(name, reply, why):
    for p in problems(name, count=1):
        assert re.search(why, reason(name, p, reply))


def test_words_can_be_put_into_the_grid_in_one_way():
    """All orders of the words across with all orders of the words down, over a grid of text."""
    for p in problems("wordscapes", count=6):
        shape, words = p.question.prompt.rstrip("?").split(":")
        horizontal, vertical = (w.split(",") for w in words.split(";"))
        rows = shape.split("/")
        places = [[(y, x) for x in range(*m.span())] for y, row in enumerate(rows) for m in re.finditer("xx+", row)]
        columns = ["".join(column) for column in zip(*rows)]
        places += [[(y, x) for y in range(*m.span())] for x, column in enumerate(columns) for m in re.finditer("xx+", column)]
        fitting = set()
        for one, other in product(permutations(horizontal), permutations(vertical)):
            grid = {}
            if all(
                len(word) == len(place) and all(grid.setdefault(c, letter) == letter for c, letter in zip(place, word))
                for word, place in zip((*one, *other), places)
            ):
                fitting.add("/".join("".join(grid[y, x] if c == "x" else c for x, c in enumerate(row)) for y, row in enumerate(rows)))
        assert fitting == {p.answer}


def test_one_order_of_houses_fits_all_clues():
    """With the clues as Python expressions."""
    for p in problems("zebra_puzzle", (1, 2), 15):
        groups, clues = p.question.prompt.rstrip("?").split(":")
        tests = [re.sub(r"(\w)~(\w)", r"abs(\1-\2)==1", c).replace("=", "==").replace("====", "==") for c in clues.split(";")]
        fitting = []
        for rows in product(*(permutations(group) for group in groups.split())):
            houses = {thing: i for row in rows for i, thing in enumerate(row, 1)}
            if all(eval(t, {"abs": abs, **houses}) for t in tests):
                fitting.append("/".join("".join(row) for row in rows))
        assert fitting == [p.answer]


def test_a_zebra_puzzle_seen_from_the_other_side_with_other_names_is_the_same():
    rows, clues = ("abc", "def"), ["a<e", "b=2", "c~d", "a=d", "f=3"]
    mirrored = ("fed", "cba")
    other = [{"a<e": "e<a", "f=3": "f=1"}.get(c, c) for c in clues]
    assert alike(rows, clues) == alike(mirrored, other) != alike(rows, other)
    renaming = str.maketrans("abcdef", "tuvxyz")
    assert alike(rows, clues) == alike([r.translate(renaming) for r in rows], [c.translate(renaming) for c in clues])


def walks(rows, path):
    """All paths on from there that go through each cell once and by the numbers given."""
    y, x = path[-1]
    if not (0 <= y < len(rows) and 0 <= x < len(rows[0])) or (y, x) in path[:-1]:
        return
    if rows[y][x] != str(len(path)) and (rows[y][x] != "." or any(str(len(path)) in row for row in rows)):
        return
    if len(path) == len(rows) * len(rows[0]):
        yield path
    for step in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
        yield from walks(rows, [*path, step])


def test_one_path_of_numbers_fits():
    """By all ways to go from cell to cell, without a look ahead."""
    for p in problems("numbrix", (1,), 12):
        rows = [row.split(",") for row in p.question.prompt.rstrip("?").split("/")]
        cells = list(product(range(len(rows)), range(len(rows[0]))))
        (path,) = (path for start in cells for path in walks(rows, [start]))
        numbers = iter(str(path.index(cell) + 1) for cell in cells)
        assert "/".join(",".join(next(numbers) for _ in row) for row in rows) == p.answer


def test_one_filling_has_the_sums():
    """By all orders of the numbers that are not given."""
    for p in problems("survo", (1, 2), 8):
        board, columns = p.question.prompt.rstrip("?").split(";")
        rows, sums = zip(*(row.split("=") for row in board.split("/")))
        cells = [row.split(",") for row in rows]
        missing = {str(n) for n in range(1, len(cells) * len(cells[0]) + 1)} - {n for row in cells for n in row}
        found = []
        for order in permutations(sorted(missing)):
            left = iter(order)
            filled = [[next(left) if n == "." else n for n in row] for row in cells]
            totals = [[str(sum(map(int, line))) for line in lines] for lines in (filled, zip(*filled))]
            if totals == [list(sums), columns.split(",")]:
                found.append("/".join(map(",".join, filled)))
        assert found == [p.answer]


def test_stars_can_be_placed_in_one_way():
    """By all sets of one cell of each region; and the regions hang together."""
    for p in problems("star_placement_puzzle", (1, 2), 8):
        rows = p.question.prompt.rstrip("?").split("/")
        size = len(rows)
        regions = {}
        for y, x in product(range(size), repeat=2):
            regions.setdefault(rows[y][x], []).append((y, x))
        assert len(regions) == size
        placed = [()]
        for cells in regions.values():
            apart = lambda c, d: c[0] != d[0] and c[1] != d[1] and max(abs(c[0] - d[0]), abs(c[1] - d[1])) > 1
            placed = [(*stars, c) for stars in placed for c in cells if all(apart(c, d) for d in stars)]
            reached = cells[:1]
            for y, x in reached:
                reached += [c for c in cells if abs(c[0] - y) + abs(c[1] - x) == 1 and c not in reached]
            assert sorted(reached) == sorted(cells)
        assert ["".join(str(x + 1) for _, x in sorted(stars)) for stars in placed] == [p.answer]


def test_a_board_has_eight_images_and_sums_may_be_listed_in_any_order():
    assert len({boards.text(image, "") for image in boards.images(["ab", "cd"])}) == 8
    numbers = {(0, 0): 2, (0, 1): 5, (0, 2): 1, (1, 0): 6, (1, 1): 3, (1, 2): 4}
    clues = {(0, 1): 5}
    moved = lambda cells: {(1 - y, (x + 1) % 3): n for (y, x), n in cells.items()}
    turned = lambda cells: {(x, y): n for (y, x), n in cells.items()}
    known = boards.alike(numbers, clues)
    assert known == boards.alike(moved(numbers), moved(clues)) == boards.alike(turned(numbers), turned(clues))
    assert known != boards.alike(numbers, {(0, 0): 2})


def replaced(answer, numbers):
    return re.sub(r"\d+", lambda m: str(numbers.get(int(m[0]), m[0])), answer)


def test_boards_in_the_right_form_that_break_a_rule():
    for p in problems("numbrix", count=3):
        assert "is not in its place" in reason("numbrix", p, "/".join(p.answer.split("/")[::-1]))
        *_, clues = p.data[0]
        free = [n for cell, n in boards.read(p.answer).items() if cell not in clues]
        one, other = min(free), max(free)
        assert "are not neighbours" in reason("numbrix", p, replaced(p.answer, {one: other, other: one}))
        assert "comes twice" in reason("numbrix", p, replaced(p.answer, {one: other}))
    for p in problems("survo", count=3):
        _, _, clues, _ = p.data[0]
        one, other = [n for cell, n in boards.read(p.answer).items() if cell not in clues][:2]
        assert "has the sum" in reason("survo", p, replaced(p.answer, {one: other, other: one}))
        assert "comes twice" in reason("survo", p, replaced(p.answer, {one: other}))
    for p in problems("star_placement_puzzle", count=3):
        assert "touch" in reason("star_placement_puzzle", p, "".join(sorted(p.answer)))
        every = [ways for ways in permutations(range(len(p.answer))) if not boards.touching(ways)]
        others = ["".join(str(x + 1) for x in way) for way in every[:20]]
        assert all("has two stars" in reason("star_placement_puzzle", p, other) for other in others if other != p.answer)


def test_letters_in_the_right_form_that_break_a_rule():
    for p in problems("wordscapes", count=3):
        shape = p.answer[::-1]
        across = "/".join(p.answer.split("/")[::-1])
        assert reason("wordscapes", p, across).startswith(("the words", f"{across} has not"))
        assert shape == p.answer or reason("wordscapes", p, shape)
    for p in problems("zebra_puzzle", count=3):
        swapped = "/".join(group[::-1] for group in p.answer.split("/"))
        assert "does not hold" in reason("zebra_puzzle", p, swapped)


@pytest.mark.parametrize("name", ["calcudoko", "futoshiki", "skyscraper_puzzle", "sudoku"])
def test_the_work_on_a_square_fills_in_cells_as_they_are(name):
    """Hardly any is left to trying; none is filled in twice or was given."""
    task = load_synlogic(name)
    left = 0
    for p in problems(name):
        rows = p.answer.split("/")
        given = {c[1:3] for c in p.data[0][1] if c[0] == "cell"}
        text = task.demonstration(p, "trace", rng(0))
        steps = [s for s in text.split("#")[0].split(",") if s]
        cells = [(int(s[1]) - 1, "abcd".index(s[0])) for s in steps]
        assert all(rows[y][x] == s[3] for (y, x), s in zip(cells, steps))
        assert len(set(cells)) == len(cells) and not given & set(cells)
        left += len(rows) ** 2 - len(given) - len(cells)
        assert task.demonstration(p, "direct", rng(0)) == f"#{p.answer}"
    assert left < 0.1 * sum(len(p.answer) for p in problems(name))


def test_a_rule_forces_a_cell_only_where_one_number_is_left():
    corner, beside = (0, 0), (0, 1)
    assert forced([((corner, beside), [("1", "2"), ("2", "1")])], 3) == []
    assert forced([((corner, beside), [("1", "2"), ("2", "1")]), ((beside,), [("1",), ("3",)])], 3) == [(beside, "1"), (corner, "2")]
