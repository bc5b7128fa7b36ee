"""Atoms by hand, compositions worked from the prompt alone, and a test split whose compositions train never shows under any name."""

import re
from itertools import product

import pytest

from thinkery.core.errors import BadConfig
from thinkery.core.records import Reply
from thinkery.core.rng import rng
from thinkery.tasks import SPLITS, load_task
from thinkery.tasks.functions import ATOMS, run

BY_HAND = {  # of 31438 and of 5029
    "reverse": ("83413", "9205"),
    "left": ("14383", "0295"),
    "right": ("83143", "9502"),
    "swap": ("81433", "9025"),
    "pairs": ("13348", "0592"),
    "halves": ("38314", "2950"),
    "sort": ("13348", "0259"),
    "evens": ("48313", "0259"),
    "next": ("42549", "6130"),
    "double": ("62866", "0048"),
    "flip": ("68561", "4970"),
    "sums": ("34819", "5576"),
    "drop": ("1438", "029"),
    "cut": ("3143", "502"),
    "echo": ("331438", "55029"),
    "unique": ("3148", "5029"),
}


def parsed(prompt):
    """Digits and functions, the innermost first, read from the prompt."""
    *names, digits = prompt.rstrip("=)").split("(")
    return digits, tuple(reversed(names))


@pytest.mark.parametrize("name", ATOMS)
def test_atoms_by_hand(name):
    assert (ATOMS[name]("31438"), ATOMS[name]("5029")) == BY_HAND[name]
    assert ATOMS[name]("") == ""


def test_answers_follow_from_the_prompt_alone():
    task = load_task("functions", depth=(1, 5))
    for split, i in product(SPLITS, range(150)):
        p = task.problem(i, split)
        value, names = parsed(p.question.prompt)
        assert len(names) == p.difficulty
        for name in names:
            value = ATOMS[name](value)
        assert p.answer == value != ""


def test_each_step_of_a_trace_is_a_question_of_depth_1():
    task = load_task("functions", depth=4)
    for i in range(100):
        p = task.problem(i)
        steps = [step.split(":") for step in task.demonstration(p, "trace", rng(0)).split("#")[0].split(",")]
        assert [ATOMS[parsed(asked)[1][0]](parsed(asked)[0]) for asked, _ in steps] == [told for _, told in steps]
        assert [told for _, told in steps[:-1]] == [parsed(asked)[0] for asked, _ in steps[1:]]


@pytest.mark.parametrize("depth", [2, 3])
def test_compositions_of_the_test_split_are_new_by_what_they_do(depth):
    task = load_task("functions", depth=depth)
    inputs = ["".join(str(int(stream.random() ** 2 * 10)) for _ in range(40 + i)) for i, stream in ((i, rng(i)) for i in range(8))]
    does = lambda split, n: {tuple(run(x, parsed(task.problem(i, split).question.prompt)[1])[-1] for x in inputs) for i in range(n)}
    train, test = does("train", 1500), does("test", 150)
    assert len(train) < 1400, "too many for a leak to show"
    assert test and not train & test


def test_a_composition_of_either_split_has_atoms_that_the_other_has_too():
    task = load_task("functions", depth=2)
    atoms = lambda split: {name for i in range(400) for name in parsed(task.problem(i, split).question.prompt)[1]}
    assert atoms("train") == set(ATOMS)
    assert len(atoms("test")) > len(ATOMS) / 2


def test_atoms_depth_and_length_are_those_asked_for():
    task = load_task("functions", depth=(2, 4), atoms=["sort", "next", "left"], length=7)
    seen = [parsed(task.problem(i).question.prompt) for i in range(200)]
    assert {len(digits) for digits, _ in seen} == {7}
    assert {name for _, names in seen for name in names} == {"sort", "next", "left"}
    assert {len(names) for _, names in seen} == {2, 3, 4}


@pytest.mark.parametrize("atoms", [(), ("sort", "sort"), ("sort", "spin"), "spin", 3, None, (None,), ([],)])
def test_atoms_that_there_are_not_are_refused(atoms):
    with pytest.raises(BadConfig, match="atoms"):
        load_task("functions", atoms=atoms)


def test_functions_that_use_up_all_digits_are_refused():
    with pytest.raises(BadConfig, match="no problem"):
        load_task("functions", atoms=("drop", "cut"), depth=9, length=3).problem(0)


@pytest.mark.parametrize(
    "spec", [{"depth": 20, "length": 20}, {"depth": 1, "length": 2}, {"depth": 20, "length": 2, "atoms": ["echo", "reverse"]}]
)
def test_styles_hold_at_either_end_of_difficulty(spec):
    task = load_task("functions", **spec)
    for i, style in product(range(40), task.styles):
        p = task.problem(i)
        made = task.demonstration(p, style, rng(i, style))
        assert task.verify(p, Reply(made)).score == (style != "corrupted")
        assert len(made) < task.max_tokens


def test_near_misses_and_hostile_replies_earn_nothing():
    task = load_task("functions")
    for i in range(60):
        p = task.problem(i)
        changed = [p.answer[:k] + str((int(d) + 1) % 10) + p.answer[k + 1 :] for k, d in enumerate(p.answer)]
        for text in (*changed, p.answer + "0", "0" + p.answer, "", "9" * 9999, "\u0663", "3 1", p.answer + ".", "-" + p.answer, "\x00"):
            verdict = task.verify(p, Reply("#" + text))
            assert verdict.score == 0 and verdict.reason
        assert task.verify(p, Reply(p.answer + "#")).score == 0


def test_a_corrupted_reply_errs_once():
    task = load_task("functions", depth=3)
    for i in range(150):
        p = task.problem(i)
        steps = re.findall(r"(\w+)\((\d*)\):(\d*)", task.demonstration(p, "corrupted", rng(i)))
        assert sum(ATOMS[name](x) != y for name, x, y in steps) == 1
