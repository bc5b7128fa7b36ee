"""Problems drawn many at once are those drawn one by one; so their splits, verdicts and distribution are, too, and are looked at besides."""

from collections import Counter
from itertools import product

import numpy as np
import pytest

from thinkery.core.errors import BadConfig, InputError, UnknownName
from thinkery.core.records import Reply
from thinkery.core.rng import Stream, address, rng
from thinkery.tasks import SPLITS, TASKS, load_task, split_of
from thinkery.tasks.bulk import CHUNK, COLUMNS, Streams, bulk

SPECS = [
    *(("addition", spec) for spec in ({}, {"digits": 1}, {"digits": (1, 18)}, {"digits": (17, 30)}, {"digits": 30})),
    *(("chain", spec) for spec in ({}, {"steps": 1}, {"steps": (1, 100)})),
    *(("functions", spec) for spec in ({}, {"depth": 1}, {"depth": 9, "length": 2}, {"depth": (2, 4), "atoms": ["sort", "cut", "next"]})),
]
QUICK = sorted(kind.name for kind in COLUMNS)


@pytest.mark.parametrize(("name", "spec"), SPECS)
def test_they_are_the_problems_drawn_one_by_one(name, spec):
    task = load_task(name, **spec)
    for split, (first, seed) in product(SPLITS, ((0, 0), (10**15, -7))):
        many = bulk(task, 40, seed, split, first)
        assert list(many) == [task.problem(i, split, seed) for i in range(first, first + 40)]


@pytest.mark.parametrize("name", sorted(TASKS))
def test_any_task_can_be_asked(name):
    task = load_task(name)
    many = bulk(task, 3, 5, "test")
    assert list(many) == [task.problem(i, "test", 5) for i in range(3)]
    assert many.prompts == [p.question.prompt for p in many]
    assert many.answers == [p.answer for p in many]
    assert many.families == [p.family for p in many]
    assert many.difficulties == [p.difficulty for p in many]


@pytest.mark.parametrize("name", QUICK)
def test_all_of_them_verify_and_keep_to_their_split(name):
    task = load_task(name)
    sides = {}
    for split in SPLITS:
        many = bulk(task, 1500, 1, split)
        assert {split_of(family) for family in many.families} == {split}
        assert all(sides.setdefault(prompt, split) == split for prompt in many.prompts)
        for p in many[:300]:
            assert task.verify(p, Reply(p.answer)).score == 1
            assert task.verify(p, Reply(task.demonstration(p, "trace", rng(0)))).score == 1


def chi_square(drawn, expected):
    """Pearson's statistic of counts against expected shares."""
    n = sum(drawn.values())
    assert not drawn.keys() - expected.keys()
    return sum((drawn[k] - n * share) ** 2 / (n * share) for k, share in expected.items())


@pytest.mark.parametrize(
    ("name", "spec", "kind", "expected"),
    [
        ("addition", {"digits": (2, 4)}, lambda p: int(p.difficulty), dict.fromkeys((2, 3, 4), 1 / 3)),
        ("addition", {"digits": 4}, lambda p: p.data[1] % 10, dict.fromkeys(range(10), 0.1)),
        ("chain", {"steps": (4, 7)}, lambda p: int(p.difficulty), dict.fromkeys((4, 5, 6, 7), 1 / 4)),
        ("chain", {"steps": 5}, lambda p: p.data[1][3], dict.fromkeys("+-*", 1 / 3)),
        ("functions", {"depth": 1}, lambda p: p.data[1][0], dict.fromkeys(load_task("functions").spec.atoms, 1 / 16)),
    ],
)
def test_what_is_drawn_is_spread_as_it_should(name, spec, kind, expected):
    """The bound is five standard deviations of chi-square above its mean."""
    many = bulk(load_task(name, **spec), 8000, 2)
    freedom = len(expected) - 1
    assert chi_square(Counter(map(kind, many)), expected) < freedom + 5 * (2 * freedom) ** 0.5


def test_streams_are_streams():
    bases = [address(3, i) for i in range(20)]
    many, singles = Streams(np.array(bases, np.uint64)), [Stream(b) for b in bases]
    assert many.below(7).tolist() == [s.below(7) for s in singles]
    many.keep(np.arange(20) % 3 == 0)
    singles = singles[::3]
    assert many.rows.tolist() == list(range(0, 20, 3))
    counts = np.arange(len(singles))
    drawn = many.blocks(counts)
    assert [row[:n].tolist() for row, n in zip(drawn, counts)] == [[s.random() for _ in range(n)] for s, n in zip(singles, counts)]
    assert many.between(counts, 3 * counts).tolist() == [s.between(n, 3 * n) for s, n in zip(singles, counts.tolist())]


def test_chunks_are_joined_in_order():
    task = load_task("addition")
    many = bulk(task, CHUNK + 5)
    assert len(many) == CHUNK + 5
    assert many[CHUNK - 2 : CHUNK + 3] == [task.problem(i) for i in range(CHUNK - 2, CHUNK + 3)]
    assert many[-1] == task.problem(CHUNK + 4)
    with pytest.raises(IndexError):
        many[len(many)]


def test_none_at_all_is_an_empty_batch():
    assert list(bulk(load_task("chain"), 0)) == list(bulk(load_task("sat"), 0)) == []


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="-1"):
        bulk(load_task("chain"), -1)
    with pytest.raises(InputError, match="-2"):
        bulk(load_task("chain"), 1, first=-2)
    with pytest.raises(UnknownName, match="dev"):
        bulk(load_task("chain"), 1, split="dev")
    with pytest.raises(BadConfig, match="no problem for the train split"):
        bulk(load_task("functions", atoms=("drop",), depth=9, length=3), 5)
