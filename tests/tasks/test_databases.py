"""A question on a database cannot be answered by the wording alone: what is hidden must be hidden, seen by a look, and judged by rows."""

from __future__ import annotations

import pytest

from thinkery.core.errors import InputError
from thinkery.core.records import CALLS, Problem, Reply
from thinkery.core.rng import rng
from thinkery.tasks.base import split_of
from thinkery.tasks.databases import CELLS, DATABASES, Databases, Facts, given, held, named
from thinkery.tasks.queried import Queried
from thinkery.tools.small_sql import SmallDatabase

TASK = Databases()
PROBLEMS = [TASK.problem(i) for i in range(300)]


def score(p: Problem, text: str) -> float:
    return TASK.verify(p, Reply(text)).score


def test_names_of_databases_are_all_different() -> None:
    assert len({named(n) for n in range(DATABASES)}) == DATABASES
    assert {p.family for p in PROBLEMS} <= {named(n) for n in range(DATABASES)}
    shares = [sum(split_of(named(n)) == split for n in range(DATABASES)) / DATABASES for split in ("train", "validation", "test")]
    assert shares == pytest.approx([0.8, 0.05, 0.15], abs=0.02)


def test_a_cell_holds_a_name_in_one_of_three_forms_no_two_alike() -> None:
    assert [held("peru", cells) for cells in CELLS] == ["peru", "peru.", "peru%"]


def test_about_half_of_the_questions_take_a_look_and_the_prompt_does_not_say_which() -> None:
    hidden = [p.data.hidden for p in PROBLEMS]
    assert 0.4 < sum(hidden) / len(hidden) < 0.6
    for p in PROBLEMS:
        facts: Facts = p.data
        cell = held(facts.name, facts.cells)
        assert f" ~{facts.name}~?" in p.question.prompt
        assert cell == facts.name or f"~{cell}~" not in p.question.prompt
        assert not p.question.shown


def test_a_look_shows_the_form_of_names_and_the_column_that_is_filled() -> None:
    for p in PROBLEMS:
        facts: Facts = p.data
        seen = [SmallDatabase(facts.statements).asked(look) for look in facts.looks]
        cells = {name: value for names, rows in seen for name, value in zip(names, rows[0])}
        text = cells.pop("land", None) or cells.pop("name")
        plain = len(text) == 4 and text.isalpha()
        assert plain == (facts.cells == "whole")
        assert not cells or sum(value is None for value in cells.values()) == 1
        for column, value in cells.items():
            assert (value is not None) == (f"({column})" in p.answer or f"select {column} " in p.answer)


def test_both_databases_have_rows_for_every_question_and_differ() -> None:
    for p in PROBLEMS:
        for statements in (p.data.statements, p.data.twin):
            rows = SmallDatabase(statements).asked(p.answer)[1]
            assert rows and rows[0][0] not in (None, 0)
    assert sum(p.data.statements != p.data.twin for p in PROBLEMS) == len(PROBLEMS)


def test_a_query_is_right_by_its_rows_not_by_its_words() -> None:
    p = next(p for p in PROBLEMS if p.question.prompt.split("\n")[1].startswith("how many") and "in(" not in p.answer)
    query = p.answer.replace("count(*)", "count(land)").upper().replace(p.answer.partition("~")[2].upper(), p.answer.partition("~")[2])
    assert query != p.answer and score(p, f"#{query};") == 1
    assert score(p, p.answer.replace("where", "where 1=1 and")) == 1
    assert score(p, "#select count(*) from nothing") == score(p, "#") == 0


def test_the_number_itself_is_no_query_that_gives_it() -> None:
    """It may be right of one database by chance, hardly of two."""
    paid = 0.0
    for p in PROBLEMS:
        (first, *_), *_ = SmallDatabase(p.data.statements).asked(p.answer)[1]
        paid += score(p, f"#select {first}")
    assert paid < 0.2 * len(PROBLEMS)


def test_verdicts_say_whether_a_look_was_needed_and_how_many_there_were() -> None:
    for p in PROBLEMS[:20]:
        found = TASK.verify(p, Reply(f"#{p.answer}", data={CALLS: [{}, {}]}))
        assert found.parts == {"hidden" if p.data.hidden else "open": 1.0, "queries": 2.0}
        assert set(TASK.verify(p, Reply("#x")).parts) == {"hidden" if p.data.hidden else "open"}


def test_more_tables_are_asked_through_one_another() -> None:
    for count in range(1, 7):
        p = Databases(tables=count).problem(3)
        assert p.answer.count("select") == count == p.difficulty
        assert p.question.prompt.count("(") == max(2, count)


def test_results_are_shown_by_three_rows_at_most() -> None:
    assert given(["a", "b"], [(1, None), ("x" * 99, 2.5), (3, "a  b</result>"), (4, 4)]).count("\n") == 3
    assert given(["a"], []) == "<result>a</result>"
    assert given(["a", "b"], [(1, None)]) == "<result>a,b\n1,null</result>"
    assert given(["a"], [("x</result>y",)]) == "<result>a\nxy</result>"


def test_a_start_learns_turns_and_never_what_came_back() -> None:
    start = Queried(TASK, 0.6)
    kinds = {"at once": 0, "look": 0, "after": 0}
    for i in range(400):
        p, origin = start.problem(i), TASK.problem(i)
        said, before = start.demonstration(p, "trace", rng(0)), p.question.prompt.removeprefix(origin.question.prompt)
        assert p.question.prompt.startswith(origin.question.prompt) and "<result>" not in said
        assert before.count("<sql>") == before.count("<result>") == before.count("</result>")
        kinds["look" if said.startswith("<sql>") else "after" if before else "at once"] += 1
        if said.startswith("#"):
            assert start.verify(p, Reply(said)).score == 1
        else:
            assert said[5:-6] in origin.data.looks and said not in before
    assert kinds["at once"] == pytest.approx(160, abs=40) and min(kinds.values()) > 60
    assert start.problem(5) == start.problem(5)
    with pytest.raises(InputError):
        start.problem(-1)
