"""Each family of SynLogic: a puzzle with two solutions, a verifier that knows one of several, or a level that is no harder than the one
before would make training on it teach something else than logic."""

from __future__ import annotations

import re
import time
from itertools import product

import pytest

from thinkery.core.errors import BadConfig, UnknownName
from thinkery.core.records import Reply
from thinkery.core.rng import rng
from thinkery.models.tokenizer import CHARACTERS
from thinkery.tasks import CORRUPTED, SPLITS, load_task, split_of
from thinkery.tasks.synlogic import FAMILIES, load_synlogic, synlogic
from thinkery.tasks.synlogic.family import LEVELS
from thinkery.tasks.synlogic.squares import SquareFamily, visible

INNER = re.compile(r"\(?(-?\d+)([%&])(-?\d+)\)?")
NAMES = sorted(FAMILIES)
EACH = [(level, split, i) for level, split, i in product(range(1, LEVELS + 1), SPLITS, range(3))]
HOSTILE = [
    "",
    " ",
    "#",
    "##",
    "#?",
    "#x",
    "#-1",
    "#\x00",
    "#\u0661",
    "#" + "9" * 5000,
    "#" + "1/" * 9999,
    "#(" * 999,
    "#true",
    "#1e9",
    "\udce4",
]


def drawn(name, **spec):
    return [load_synlogic(name, **spec).problem(i, split, level=level) for level, split, i in EACH]


@pytest.mark.parametrize("name", NAMES)
def test_the_gold_verifies_and_a_change_that_breaks_a_rule_fails(name):
    task = load_synlogic(name, level=(1, LEVELS))
    for p in drawn(name):
        assert set(p.question.prompt) <= set(CHARACTERS)
        assert task.verify(p, Reply(p.answer)).score == 1
        assert task.verify(p, Reply(p.answer, truncated=True)).score == 0
        for style in task.styles:
            text = task.demonstration(p, style, rng(0, style, p.id))
            verdict = task.verify(p, Reply(text))
            assert verdict.score == (style != CORRUPTED), (p, text, verdict)
            assert set(text) <= set(CHARACTERS) and len(text) + 1 <= task.max_tokens


@pytest.mark.parametrize("name", NAMES)
def test_hostile_text_scores_0_with_a_reason(name):
    task = load_synlogic(name)
    for p in drawn(name)[::6]:
        for text in (*HOSTILE, p.question.prompt, p.answer + "1", p.answer[:-1] + "?", f"{p.answer} {p.answer}"):
            verdict = task.verify(p, Reply(text))
            assert verdict.score == 0 and verdict.reason, (p, text)


@pytest.mark.parametrize("name", NAMES)
def test_problems_are_pure_in_their_address_and_families_keep_to_a_split(name):
    for (level, split, i), p in zip(EACH, drawn(name)):
        assert p == load_synlogic(name).problem(i, split, level=level)
        assert split_of(p.family) == split and p.difficulty == level
    assert len({p.question.prompt for p in drawn(name)}) > 0.8 * len(EACH)


@pytest.mark.parametrize("name", NAMES)
def test_a_second_holds_200_problems(name):
    task = load_synlogic(name, level=(1, LEVELS))
    task.problem(0)
    start = time.process_time()
    for i in range(50):
        task.problem(i)
    assert time.process_time() - start < 0.25


@pytest.mark.parametrize("name", NAMES)
def test_levels_are_kept_to(name):
    with pytest.raises(BadConfig, match="level"):
        load_synlogic(name, level=LEVELS + 1)
    with pytest.raises(BadConfig, match="colour"):
        load_synlogic(name, colour=1)


@pytest.mark.parametrize("name", NAMES)
def test_a_higher_level_has_more_to_do(name):
    """Squares of one size have fewer clues; elsewhere there is more to read."""
    task = load_synlogic(name)
    of = lambda level: [task.problem(i, level=level) for i in range(25)]
    if isinstance(task, SquareFamily):
        clues = [sum(len(p.data[0][1]) for p in of(level)) for level in (2, 3, 4)]
        assert clues[0] > clues[1] > clues[2]
    else:
        length = [sum(len(p.question.prompt) for p in of(level)) for level in range(1, LEVELS + 1)]
        assert length == sorted(set(length))


@pytest.mark.parametrize("name", [n for n in NAMES if issubclass(FAMILIES[n], SquareFamily)])
def test_a_square_has_one_solution_by_trying_all_fillings(name):
    """Rows are tried one after another by the rules alone, without the list that the generator goes through."""
    task = load_synlogic(name)
    for i, level in product(range(4), (1, 3)):
        p = task.problem(i, level=level)
        (size, _), _ = p.data
        right = 0
        for cells in fillings(size, task.boxes):
            right += task.verify(p, Reply("#" + "/".join(cells))).score
        assert right == 1


def fillings(size, boxes):
    """Squares without a number twice in a row or a column, filled in cell by cell."""

    def filled(cells):
        if len(cells) == size * size:
            yield tuple("".join(cells[y * size : (y + 1) * size]) for y in range(size))
            return
        y, x = divmod(len(cells), size)
        for digit in "1234"[:size]:
            if digit not in cells[y * size :] and digit not in cells[x::size]:
                yield from filled([*cells, digit])

    return filled([])


def test_what_is_seen_from_an_edge():
    assert [visible(line) for line in ("1234", "4321", "2143", "3142")] == [4, 1, 2, 2]


def test_families_are_found_by_name_and_mixed():
    assert load_task("synlogic:sudoku:level=2").problem(1) == load_synlogic("sudoku", level=2).problem(1)
    assert len(load_task("synlogic").tasks) == len(FAMILIES)
    with pytest.raises(UnknownName, match="sudoku"):
        load_synlogic("sudoki")
    mixed = synlogic(without=("sudoku",))
    assert len(mixed.tasks) == len(FAMILIES) - 1
    p = mixed.problem(3)
    assert mixed.verify(p, Reply(p.answer)).score == 1


@pytest.mark.parametrize("name", NAMES)
def test_no_change_of_one_character_is_right(name):
    """All these families have one answer; the rules alone must see it, not what the generator kept."""
    task = load_synlogic(name)
    for p in drawn(name)[::4]:
        for at, c in product(range(len(p.answer)), "0123456789abcdz()[]<>/,-"):
            changed = p.answer[:at] + c + p.answer[at + 1 :]
            assert task.verify(p, Reply("#" + changed)).score == (changed == p.answer)


def test_expressions_come_to_what_python_says():
    for i, level in product(range(20), (1, 4)):
        p = load_synlogic("boolean_expressions").problem(i, level=level)
        lines = [line.split("=") for line in p.question.prompt.rstrip("?").split(";")]
        true = "".join(name for name, text in lines if eval(text) & 1)
        assert p.answer == (true or "none")
        p = load_synlogic("operation").problem(i, level=level)
        first, second, expression = p.question.prompt.rstrip("?").split(";")
        assert first.startswith("a%b=") and second.startswith("a&b=")
        while "%" in expression or "&" in expression:
            m = INNER.search(expression)
            rule = (first if m[2] == "%" else second).split("=")[1]
            expression = expression[: m.start()] + str(eval(rule, {"a": int(m[1]), "b": int(m[3])})) + expression[m.end() :]
        assert p.answer == expression


def test_liars_are_who_the_statements_make_them():
    """By trying who is honest in all ways: one fits."""
    for i in range(10):
        p = load_synlogic("web_of_lies").problem(i, level=2)
        *told, asked = p.question.prompt.rstrip("?").split(";")
        people = sorted({c for t in told for c in t if c.isalpha()})
        found = set()
        for values in product((0, 1), repeat=len(people)):
            honest = dict(zip(people, values))
            says = [(t.split(">")[0] if ">" in t else None, t[-3], int(t[-1])) for t in told]
            if all((honest[b] == v) == (a is None or honest[a] == 1) for a, b, v in says):
                found.add("".join(str(honest[x]) for x in asked.split(",")))
        assert found == {p.answer}
