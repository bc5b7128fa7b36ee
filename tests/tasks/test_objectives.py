"""Several questions at once: what is found is true and told among other facts, each answer counts by itself, and turns fit their contexts."""

from __future__ import annotations

from collections import Counter

import pytest

from thinkery.core.errors import BadConfig, InputError
from thinkery.core.records import Reply
from thinkery.core.rng import rng
from thinkery.models.tokenizer import CHARACTERS
from thinkery.tasks.logic import LETTERS
from thinkery.tasks.objectives import MEMORY, QUERIES, Facts, Farther, Objectives, before, drawn, follows, turns, way
from thinkery.tasks.recited import Recited, Told

WORLD = {f"{thing}{t}": "a" for thing in LETTERS for t in "123"} | {"k2": "f", "b3": "q", "q1": "h"}


def test_a_query_finds_the_fact_among_six_others() -> None:
    task = Objectives()
    places = Counter[int]()
    for i in range(200):
        problem = task.problem(i)
        asked = problem.question.prompt[:2]
        found = task.tools(problem, rng(0)).find(asked).split(",")
        world = problem.data[0]
        assert len({fact[1] for fact in found}) == len(found) == 7
        assert all(world[fact[1] + asked[1]] == fact[0] for fact in found), "all of them are true"
        places[[fact[1] for fact in found].index(asked[0])] += 1
    assert len(places) == 7 and max(places.values()) < 60, "it stands anywhere"


def test_the_same_query_finds_the_same() -> None:
    facts = Facts(WORLD, 6, "p")
    assert facts.find("k2") == Facts(WORLD, 6, "p").find("k2") != Facts(WORLD, 6, "q").find("k2")
    assert Facts(WORLD, 0, "p").find("b3") == "qb"


@pytest.mark.parametrize("query", ["", "k", "2", "k9", "k22", "K2", " k2", "kk"])
def test_what_is_no_query_finds_nothing(query: str) -> None:
    with pytest.raises(InputError, match="nothing about"):
        Facts(WORLD, 6, "p").find(query)


def test_ways_and_turns_worked_by_hand() -> None:
    assert (way(WORLD, "k2"), way(WORLD, "b31")) == ("kf", "bqh")
    problem = Objectives().problem(0)
    asked, answers = problem.question.prompt.split(";"), problem.answer.split(";")
    assert [way(problem.data[0], q) for q in asked] == answers
    two = next(
        p for p in (Objectives(questions=2).problem(i) for i in range(50)) if [len(q) for q in p.question.prompt.split(";")] == [2, 3]
    )
    a, x, b, y, z = tuple(two.answer.replace(";", ""))
    s, t, u = two.question.prompt[1], two.question.prompt[4], two.question.prompt[5]
    assert turns(two, MEMORY) == [f"?{a}{s}:", f"{a}{x}?{b}{t}:", f"{a}{x};{b}{y}?{y}{u}:", f"{a}{x};{b}{y}{z}"]
    assert turns(two, QUERIES) == [f"?{a}{s}:", f"?{b}{t}:", f"?{y}{u}:", two.answer]


def test_what_stands_before_a_turn_worked_by_hand() -> None:
    once = follows("", 6, "?k2:", "qb,fk", True)
    assert once == follows("", 6, "?k2:", "qb,fk", False).removeprefix("6?") == "?k2:qb,fk\n"
    assert before(5, once) == "\n?k2:qb,fk\n5?"
    assert follows(once, 5, "kf?b3:", "qb", True) == "kf?b3:qb\n"
    assert follows(once, 5, "?b3:", "qb", False) == "?k2:qb,fk\n5??b3:qb\n"


def test_each_answer_counts_by_itself() -> None:
    task = Objectives(questions=4)
    problem = task.problem(1)
    ways = problem.answer.split(";")
    wrong = [w[:-1] + ("x" if w[-1] != "x" else "y") for w in ways]
    verdict = lambda *said: task.verify(problem, Reply(";".join(said)))
    assert verdict(*ways).score == 1 and verdict(*ways).parts == {"right4": 1.0}
    assert verdict(*reversed(ways)).score == 1, "in any order"
    assert (verdict(*ways[:3]).score, verdict(*ways[:3]).parts) == (0, {"right4": 0.75})
    assert verdict(ways[0], *wrong[1:]).parts == {"right4": 0.25}
    assert verdict(*wrong).parts == {"right4": 0.0}
    assert verdict(*ways, wrong[0]).parts == {"right4": 0.0}, "no letter twice"
    assert verdict(*ways, next(f"{c}a" for c in "abcdef" if c not in problem.question.prompt)).parts == {"right4": 0.0}, (
        "nor one that was not asked"
    )
    assert task.verify(problem, Reply(f"{problem.answer}?k2:")).parts == {"right4": 0.0}, "a query is no answer"
    assert task.verify(problem, Reply(problem.answer, truncated=True)).parts == {"right4": 0.0}


def test_test_problems_may_have_other_numbers() -> None:
    task = Farther((2, 4, 8), questions=2)
    assert {task.problem(i).difficulty for i in range(20)} == {2}
    assert [task.problem(i, "test").difficulty for i in range(6)] == [2, 4, 8, 2, 4, 8]
    assert task.problem(0, "test", questions=3).difficulty == 3
    assert all(len(task.demonstration(task.problem(i, "test"), MEMORY, rng(0))) < task.max_tokens for i in range(60))


def test_turns_are_three_for_each_question() -> None:
    for n in (1, 2, 8):
        problem = Objectives(questions=n).problem(0)
        assert problem.question.shown["turns"] == 3 * n >= len(turns(problem, MEMORY))


def test_a_recited_turn_follows_what_stood_before_it() -> None:
    task = Objectives(questions=2, hops=1)
    seen = set()
    for i in range(60):
        problem, turn = task.problem(i), Recited(task).problem(i)
        read = turn.question.prompt.removeprefix(problem.question.prompt + "\n")
        *shown, left = read.split("\n")
        said = next(m for m in (MEMORY, QUERIES) if turn.answer in turns(problem, m))
        at = turns(problem, said).index(turn.answer)
        seen.add((at, len(shown)))
        assert left.endswith("?") and int(left[:-1]) >= 3 - at
        if at:
            query = turns(problem, QUERIES)[at - 1]
            last = shown[-1].partition(query)[2].split(",")
            assert problem.answer.split(";")[at - 1][::-1] in last
        assert set(turn.question.prompt + turn.answer) <= set(CHARACTERS)
        assert Recited(task).verify(turn, Reply(turn.answer)).score == 1
        assert Recited(task).verify(turn, Reply(turn.answer + "a")).score == 0
    assert seen == {(0, 0), (1, 1), (2, 1), (2, 2)}, "one turn is kept, or all"


def test_what_is_told_is_asked_for() -> None:
    task = Told(5)
    for i in range(30):
        problem = task.problem(i)
        asked, facts, _ = problem.question.prompt.split("\n")
        told = {fact[1]: fact[::-1] for fact in facts.split(",")}
        assert problem.answer == ";".join(told[question[0]] for question in asked.split(";"))
        assert 2 <= len(told) <= 5 and len(problem.answer) < task.max_tokens


def test_refusals() -> None:
    for wrong in ({"questions": 0}, {"questions": 17}, {"hops": 3}, {"types": 1}, {"beside": 21}):
        with pytest.raises(BadConfig, match=next(iter(wrong))):
            Objectives(**wrong)


def test_equal_prompts_have_equal_worlds() -> None:
    assert drawn("k2;b3", 4) == drawn("k2;b3", 4) != drawn("k2;b4", 4)
