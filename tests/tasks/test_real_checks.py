"""The verifiers that single data sets need: each accepts what its benchmark accepts, refuses near misses and answers that name several,
and gives parts where the field reports them. They are tried on problems made here, so no data is needed.
"""

import sqlite3
import time
from contextlib import closing

import pytest

from thinkery.core.errors import VerifierError
from thinkery.core.records import Problem, Question, Reply
from thinkery.core.rng import rng
from thinkery.tasks.real import checks, code, puzzles, sokoban
from thinkery.tasks.real.dataset import Kept


def asked(answer, facts=None):
    return Problem("1", Question("?"), answer, data=Kept(None, facts))


GRID = "\n".join(["#" * 10, "#@$ .    #", *["#        #"] * 7, "#" * 10])
CASES = {
    checks.value: [
        ("9", ["9", "Answer: 9 apples", "#9"], ["19", "nine", "Answer: 9:3"]),
        ("3:4", ["3:4", "Answer: 3:4."], ["4:3", "0.75", "3"]),
        ("They are equal", ["they are equal", "Answer: They are equal."], ["equal-ish", "0"]),
    ],
    checks.option: [
        (
            "(B)",
            ["(B)", "B", "B.", "Answer: (B) 12/25/1937", "the answer is (B)."],
            ["(A)", "(A) or (B)", "(B) or (A)", "both", "(A)(B)(C)", "Because", "Be"],
        ),
        ("(A)", ["Answer: A"], ["A thing", "Answer: A or B"]),
        ("] ]", ["] ]", "Answer: ] ]"], ["]", "] ] ]"]),
        ("True", ["True", "Answer: true."], ["False", "True or False"]),
    ],
    checks.words: [
        ("apple,football", ["football, apple", "Answer: apple and football"], ["apple", "apple,football,milk"]),
        ("s,e", ["s,e", "Answer: s, e", "south, east"], ["e,s", "s", "s,e,e"]),
        ("yes", ["Yes."], ["no", "yes, no", "maybe"]),
    ],
    checks.label: [("Uncertain", ["uncertain", "Answer: Unknown"], ["True", "not uncertain", "True, uncertain"])],
    checks.listed: [
        (
            "Good Morning, Miss Dove|Caligula",
            ["Caligula | Good Morning, Miss Dove", "Answer: caligula|good morning, miss dove"],
            ["Caligula", "|"],
        )
    ],
    checks.span: [
        ("The Beer and Whisky", ["beer and whisky", "Answer: Beer, and whisky!\nAs said."], ["beer", "beer and whisky and more", "yes"]),
        ("yes", ["Yes."], ["yes it is", "no"]),
    ],
}


@pytest.mark.parametrize("check", CASES, ids=lambda c: getattr(c, "__name__", "check"))
def test_each_check_accepts_and_refuses(check):
    for gold, right, wrong in CASES[check]:
        assert [check(asked(gold), Reply(x)).score for x in right] == [1] * len(right), (gold, right)
        assert [check(asked(gold), Reply(x)).score for x in wrong] == [0] * len(wrong), (gold, wrong)


def test_half_right_answers_have_parts():
    assert checks.span(asked("beer and whisky"), Reply("beer")).parts == {"f1": 0.5}
    assert checks.span(asked("yes"), Reply("yes it is")).parts == {"f1": 0.0}
    assert checks.listed(asked("a|b"), Reply("b | c")).parts == {"hit": 1.0}
    assert checks.listed(asked("a|b"), Reply("c | b")).parts == {"hit": 0.0}


def test_everybody_has_one_role():
    p = asked("(1) Ann is a knight\n(2) Bo is a knave", ["Ann", "Bo"])
    for text in (
        "Ann is a knight, Bo is a knave",
        "If Ann is a knave … no.\nAnswer: **Bo**: knave; **Ann**: knight",
        "CONCLUSION:\nBo is a knave\nAnn is a Knight.",
    ):
        assert puzzles.all_roles(p, Reply(text)).score == 1, text
    for text in (
        "Ann is a knight",
        "Ann is a knight. Ann is a knave. Bo is a knave",
        "Answer: Ann is a knave, Bo is a knave",
        "JoAnn is a knight, Bo is a knave",
    ):
        assert puzzles.all_roles(p, Reply(text)).score == 0, text


def test_any_assignment_that_holds_is_right():
    p = asked("110", ("!A!B!C", "AB", "!CA"))
    for text, score in (
        ("110", 1),
        ("\\boxed{100}", 1),
        ("Answer: 0, 1, 0", 1),
        ("111", 0),
        ("000", 0),
        ("11", 0),
        ("1100", 0),
        ("110 or 100", 0),
    ):
        assert puzzles.assignment(p, Reply(text)).score == score, text


def test_sokoban_moves_boxes_and_is_solved():
    p = asked("", GRID)
    for text, score in (
        ("rr", 1),
        ("Answer: right, right", 1),
        ("RR", 1),
        ("urr", 1),
        ("r", 0),
        ("rrr", 0),
        ("rr!", 0),
        ("", 0),
        ("drr", 0),
    ):
        assert sokoban.plan(p, Reply(text)).score == score, text
    assert sokoban.solved(GRID) == "rr"


def fewest_pushes(level):
    """By trying everything."""
    steps = (-11, 11, -1, 1)
    goals = frozenset(i for i, c in enumerate(level) if c == ".")
    layer = {(level.index("@"), frozenset(i for i, c in enumerate(level) if c == "$"))}
    seen, pushes = set(layer), 0
    while layer:
        fresh, following = list(layer), set()
        for man, boxes in fresh:  # grows while walking
            if boxes == goals:
                return pushes
            for step in steps:
                ahead, beyond = man + step, man + 2 * step
                if level[ahead] == "#" or (ahead in boxes and (level[beyond] == "#" or beyond in boxes)):
                    continue
                state = (ahead, boxes - {ahead} | {beyond} if ahead in boxes else boxes)
                if state not in seen:
                    seen.add(state)
                    following.add(state) if ahead in boxes else fresh.append(state)
        layer, pushes = following, pushes + 1
    raise AssertionError("no solution")


def count_pushes(level, moves):
    return sum(1 for i in range(len(moves)) if boxes_after(level, moves[: i + 1]) != boxes_after(level, moves[:i]))


def boxes_after(level, moves):
    """Where the boxes stand: the goals for which `pushed` would call it done."""
    spots = [i for i, c in enumerate(level) if c != "#" and c != "\n"]
    found = set()
    for i in spots:
        cells = [c if c in "#$@\n" else " " for c in level]
        if cells[i] == " ":
            cells[i] = "."
            if sokoban.pushed("".join(cells), moves):
                found.add(i)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_a_solution_has_the_fewest_pushes(seed):
    stream = rng(seed, "level")
    while True:
        cells = [[" "] * 8 for _ in range(8)]
        spots = stream.sample([(y, x) for y in range(8) for x in range(8)], 23)
        for (y, x), kind in zip(spots, "@$." + "#" * 20):
            cells[y][x] = kind
        level = "\n".join(["#" * 10, *(f"#{''.join(row)}#" for row in cells), "#" * 10])
        try:
            fewest = fewest_pushes(level)
        except AssertionError:
            with pytest.raises(VerifierError, match="no solution"):
                sokoban.solved(level)
            continue
        moves = sokoban.solved(level)
        assert sokoban.pushed(level, moves)
        assert count_pushes(level, moves) == fewest
        return


FACTS = code.Tested("def double(x):\n", "", "double", "assert double(2) == 4\nassert double(0) == 0")


def test_programs_are_run_on_the_published_tests(monkeypatch):
    p = asked("def double(x):\n    return 2 * x", FACTS)
    right = ("def double(x):\n    return 2 * x", "So:\n```python\ndef double(x):\n    return x + x\n```\nThat is it.", "    return 2 * x")
    wrong = (
        "",
        "def double(x):\n    return 4",
        "def double(x)",
        "while True: pass",
        "raise SystemExit",
        "exit()",
        "print(4)",
        "    return 4\n'''",
    )
    assert [code.by_tests(p, Reply(x)).score for x in right] == [1] * len(right)
    assert [code.by_tests(p, Reply(x)).score for x in wrong] == [0] * len(wrong)
    with pytest.raises(VerifierError, match="the sandbox lacks import heapq"):
        code.by_tests(p, Reply("import heapq\ndef double(x):\n    return 2 * x"))
    monkeypatch.setattr(code, "SECONDS", 0.3)
    assert "time limit" in code.by_tests(p, Reply("def double(x):\n    while True: pass")).reason


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "shop.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE item (name TEXT, price REAL, n INT); INSERT INTO item VALUES ('a', 2, 1), ('b', 1, 1), ('b', 1, 2)"
        )
    return path


@pytest.mark.parametrize(
    ("gold", "right", "wrong"),
    [
        (
            "SELECT name, n FROM item",
            ["SELECT n, name FROM item ORDER BY price;", "```sql\nSELECT name, n FROM item\n```", "Answer: select name, n from item"],
            ["SELECT name, name FROM item", "SELECT name FROM item", "SELECT DISTINCT name, 1 FROM item", "SELECT name, price FROM item"],
        ),
        ("SELECT name FROM item ORDER BY price, name", ["SELECT name FROM item ORDER BY price"], ["SELECT name FROM item ORDER BY name"]),
        ("SELECT count(*) FROM item", ["SELECT 3", "SELECT 3.0"], ["SELECT '3'", "SELECT 4", "3", "SELECT 3; SELECT 3", "nothing"]),
    ],
)
def test_queries_are_right_by_what_they_return(database, gold, right, wrong):
    p = asked(gold, str(database))
    assert [code.by_rows(p, Reply(x)).score for x in right] == [1] * len(right)
    assert [code.by_rows(p, Reply(x)).score for x in wrong] == [0] * len(wrong)


HOSTILE = """
DROP TABLE item
DELETE FROM item
PRAGMA query_only = 0
ATTACH 'other.sqlite' AS other
SELECT load_extension('x')
SELECT randomblob(2000000000)
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c
SELECT \x00
SELECT '\ud800'
"""


@pytest.mark.parametrize("query", HOSTILE.strip().split("\n"))
def test_a_query_can_only_read_and_ends(database, query):
    before, start = database.read_bytes(), time.perf_counter()
    assert code.by_rows(asked("SELECT count(*) FROM item", str(database)), Reply(query)).score == 0
    assert time.perf_counter() - start < 20
    assert database.read_bytes() == before
    with pytest.raises(VerifierError, match="the gold query"):
        code.by_rows(asked("SELECT nothing FROM item", str(database)), Reply("SELECT 1"))
