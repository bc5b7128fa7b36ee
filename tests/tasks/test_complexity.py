"""Complexity is what a derivation cannot do without. Counted as length, or as what the generator was told, every claim on it would be one on length."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import pytest

from thinkery.core.errors import BadConfig
from thinkery.core.records import Reply
from thinkery.core.rng import rng
from thinkery.tasks import SPLITS, complexity, load_task
from thinkery.tasks.chain import Chain, run
from thinkery.tasks.circuits import Circuits, cone, gate, values
from thinkery.tasks.complexity import BINS, FILLER, LIMIT, NAMES, chain, circuit, composed, fewest, hops, kinds, maze
from thinkery.tasks.functions import Functions
from thinkery.tasks.functions import run as applied
from thinkery.tasks.generated import posed


def of(data: Any, answer: str = "") -> Any:
    return posed("?", answer, "", 0, data)


# ---- measures


@pytest.mark.parametrize(
    ("numbers", "operations", "steps"),
    [
        ((3, 4, 2), "+*", 2),
        ((3, 0, 2), "+*", 1),
        ((3, 4, 0, 5), "+*+", 1),
        ((3, 1, 0), "*-", 0),
        ((9, 5, 0), "+*", 0),
        ((1, 0, 0, 1), "*++", 1),
    ],
)
def test_operations_that_count_by_hand(numbers: tuple[int, ...], operations: str, steps: int) -> None:
    assert chain(of((numbers, operations))) == (steps + 1, steps)


def test_what_is_left_out_of_a_chain_changes_nothing() -> None:
    """The answer hangs on no number before the last times 0, and on no step that is left out; it does hang on others."""
    task, shorter = Chain(steps=8), 0
    for i in range(300):
        numbers, operations = task.problem(i).data
        least = chain(task.problem(i))[1]
        some = [
            keep
            for keep in combinations(range(8), least)
            if run([numbers[0], *(numbers[k + 1] for k in keep)], "".join(operations[k] for k in keep))[-1] == run(numbers, operations)[-1]
        ]
        zero = any(step == ("*", 0) for step in zip(operations, numbers[1:]))
        assert some or zero
        shorter += least < 8
    assert shorter > 100


@pytest.mark.parametrize(
    ("names", "steps"),
    [
        (("reverse", "reverse"), 0),
        (("sort", "reverse", "sort"), 1),
        (("left", "right", "next"), 1),
        (("flip", "next"), 2),
        (("sort", "unique", "sort"), 2),
        (("unique", "unique", "unique"), 1),
    ],
)
def test_functions_that_count_by_hand(names: tuple[str, ...], steps: int) -> None:
    assert fewest(names) == steps
    assert composed(of(("1234", names))) == (4, steps)


def test_fewer_functions_do_the_same_to_digits_never_probed() -> None:
    for i in range(60):
        _, names = Functions(depth=4).problem(i).data
        some = [
            s
            for s in combinations(names, fewest(names))
            if all(applied(d, s)[-1] == applied(d, names)[-1] for d in ("8053317", "50614292", "99317240558"))
        ]
        assert some


def test_gates_that_count_by_hand() -> None:
    given = {"a": "0000", "b": "0110", "c": "1111"}
    gates = (("x", "a", "&", "b"), ("y", "b", "+", "c"), ("z", "y", "&", "x"), ("w", "y", "|", "c"))
    assert circuit(of((given, gates[:3], "z"))) == (5, 2)  # x is all zeros, so y does not matter: x, z and their wires
    assert circuit(of((given, gates, "w"))) == (3, 1)  # c is all ones
    assert circuit(of((given, gates[:2], "y"))) == (3, 1)


def test_a_circuit_is_settled_by_its_part_and_by_no_smaller_one() -> None:
    """By trying all sets of gates: unknown gates may give any bits at all."""
    for i in range(25):
        p = Circuits(gates=(3, 4), bits=3, spare=0).problem(i)
        given, gates, last = p.data

        def settles(known: frozenset[str], given: Any = given, gates: Any = gates, last: str = last) -> bool:
            unknown = [g[0] for g in gates if g[0] not in known]
            ends = set()
            for guess in product(["000", "111", "010", "101"], repeat=len(unknown)):
                found = {**given, **dict(zip(unknown, guess))}
                for x, a, o, b in gates:
                    if x in known:
                        found[x] = gate(found[a], o, found[b])
                ends.add(found[last])
            return last in known and len(ends) == 1

        names = [g[0] for g in gates]
        least = next(n for n in range(1, len(names) + 1) if any(settles(frozenset(s)) for s in combinations(names, n)))
        assert least <= circuit(p)[1] <= len(cone(gates, last)) == p.difficulty


def test_look_ups_and_ways_by_hand() -> None:
    edges = (("a", "1", "b"), ("a", "1", "c"), ("b", "2", "d"), ("d", "1", "a"))
    assert hops(of((edges, "a", "12"))) == (4, 2)  # a1 finds b and c, b2 finds d, c2 finds nothing
    p = load_task("grid").problem(3)
    assert maze(p) == (len(p.data[0].free), len(p.answer))


# ---- circuits


def test_gates_work_bit_by_bit() -> None:
    assert [gate("0011", o, "0101") for o in "&|+"] == ["0001", "0111", "0110"]
    assert values({"a": "01", "b": "11"}, [("c", "a", "+", "b"), ("d", "c", "&", "b")], 0, 1) == {
        "a": "01",
        "b": "11",
        "c": "00",
        "d": "00",
    }


def test_a_trace_has_the_gates_that_matter_and_no_other() -> None:
    task = Circuits(gates=3, spare=4)
    for i in range(40):
        p = task.problem(i)
        work = task.demonstration(p, "trace", rng(i)).split("#")[0].split(",")
        assert len(work) == 3 == p.difficulty
        assert len(p.data[1]) == 7


def test_circuits_in_other_names_and_orders_are_the_same() -> None:
    given, gates = {"a": "0110", "b": "1010"}, [("c", "a", "&", "b"), ("d", "c", "+", "a")]
    other = [("y", "x", "&", "w"), ("z", "w", "+", "y")]
    same = complexity.circuits.family({"x": "1010", "w": "0110"}, other, "z")
    assert complexity.circuits.family(given, gates, "d") == same
    assert complexity.circuits.family(given, gates, "c") != same
    assert complexity.circuits.family({**given, "b": "1000"}, gates, "d") != same


# ---- tasks


def test_every_kind_has_its_name() -> None:
    assert tuple(kinds()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_far_problems_are_twice_as_complex_as_any_that_is_learnt_from(name: str) -> None:
    task, measure = load_task(f"beyond_{name}"), kinds()[name].measure
    for split in SPLITS:
        for i in range(24):
            p = task.problem(i, split)
            which, inner = p.data
            assert which == (BINS[i % 3] if split == "test" else "known")
            steps = measure(inner)[1]
            assert steps == p.difficulty
            assert steps == 2 * LIMIT if which == "far" else 1 <= steps <= LIMIT
            for style in task.styles:
                text = task.demonstration(p, style, rng(i))
                verdict = task.verify(p, Reply(text))
                assert verdict.score == (style != "corrupted")
                assert verdict.parts[which] == verdict.score
                assert len(text) < task.max_tokens
    families = {split: {task.problem(i, split).family for i in range(60)} for split in ("train", "test")}
    assert not families["train"] & families["test"]
    with pytest.raises(BadConfig):
        task.problem(0, steps=3)


@pytest.mark.parametrize("name", ["chain", "circuits", "hops"])
def test_long_problems_are_as_long_as_far_ones(name: str) -> None:
    """A control that is shorter would let length pass for complexity."""
    task = load_task(f"beyond_{name}")
    length = {which: [] for which in BINS}
    for i in range(90):
        length[BINS[i % 3]].append(len(task.problem(i, "test").question.prompt))
    mean = {which: sum(found) / len(found) for which, found in length.items()}
    assert mean["long"] > 0.85 * mean["far"]


@pytest.mark.parametrize("name", ["chain", "functions", "circuits"])
def test_complexity_is_not_what_the_generator_was_told(name: str) -> None:
    """A known share of problems needs fewer steps than it has."""
    kind, fewer = kinds()[name], 0
    source = kind.long if name == "chain" else kind.known
    for i in range(200):
        p = source.problem(i)
        fewer += kind.measure(p)[1] < p.difficulty
    assert fewer > 6


def test_right_answers_with_wrong_work_are_told_apart() -> None:
    task = load_task("beyond_chain")
    p = task.problem(2, "test")
    trace = task.demonstration(p, "trace", rng(0))
    assert task.verify(p, Reply(trace)).parts == {"far": 1.0, "worked": 1.0}
    assert task.verify(p, Reply(task.demonstration(p, FILLER, rng(0)))).parts == {"far": 1.0, "worked": 0.0}
    assert task.verify(p, Reply("#" + p.answer)).parts == {"far": 1.0, "worked": 0.0}
    assert task.verify(p, Reply("1" + trace)).parts == {"far": 1.0, "worked": 0.0}
    assert task.verify(p, Reply("#x")).parts == {"far": 0.0, "worked": 0.0}
    assert "worked" not in load_task("beyond_grid").verify(load_task("beyond_grid").problem(0), Reply("#u")).parts


def test_filler_is_as_long_as_the_work_and_empty() -> None:
    task = load_task("beyond_circuits")
    for i in range(10):
        p = task.problem(i)
        text, trace = task.demonstration(p, FILLER, rng(i)), task.demonstration(p, "trace", rng(i))
        assert len(text) == len(trace)
        assert set(text.split("#")[0]) == {"."}
