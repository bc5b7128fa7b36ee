"""The interpreter is held to the language by programs worked by hand: a sign read wrongly would teach another language."""

from __future__ import annotations

from typing import Any

import pytest

from thinkery.core.records import Problem, Question, Reply
from thinkery.core.rng import rng
from thinkery.tasks.brainfuck import CELLS, KINDS, STEPS, Brainfuck, inputs, run, wanted

TASK = Brainfuck()


@pytest.mark.parametrize(
    ("program", "given", "out"),
    [
        ("+++.", [], [3]),
        ("-.+.", [], [255, 0]),
        (",.,.,.", [7, 8], [7, 8, 0]),
        (",>,<.>.", [1, 2], [1, 2]),
        ("[.]+.", [], [1]),
        ("+++[.-]", [], [3, 2, 1]),
        ("++[>+++[>++<-]<-]>>.", [], [12]),
        (",[.,]", [5, 6, 7], [5, 6, 7]),
        (">,[>,]<[.<]", [1, 2, 3], [3, 2, 1]),
        ("++++++++[>++++[>++>+++>+++>+<<<<-]>+>+>->>+[<]<-]>>.", [], [72]),  # the first letter of the language's "Hello World!"
        ("", [], []),
        ("]", [], "a bracket has no partner"),
        ("[[]", [], "a bracket has no partner"),
        ("+<.", [], "leaves the tape"),
        (">" * CELLS, [], "leaves the tape"),
        (">" * (CELLS - 1) + "+.", [], [1]),
        ("+[]", [], f"is not done after {STEPS} signs"),
    ],
)
def test_the_language_by_hand(program: str, given: list[int], out: Any) -> None:
    assert run(program, given, 10) == out


def test_who_writes_without_end_is_stopped() -> None:
    assert run("+[.]", [], 3) == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("asked", "given", "out"),
    [
        (("emit", 4, 9), [], [4, 9]),
        (("add", 3, 2), [90, 99, 99], [34]),  # 290 modulo 256
        (("copy", 3, 1), [5, 6, 7], [6, 7, 8]),
        (("reverse", 3, 1), [5, 6, 7], [8, 7, 6]),
        (("until", 2, 3), [5, 6], [7, 10, 8, 11]),
    ],
)
def test_what_is_asked_by_hand(asked: tuple[str, int, int], given: list[int], out: list[int]) -> None:
    assert wanted(*asked, given) == out


def asked(kind: str, first: int, second: int) -> Problem:
    return Problem("by hand", Question(""), "", data=(kind, first, second))


@pytest.mark.parametrize(
    ("problem", "program", "score"),
    [
        (asked("emit", 3, 2), "+++.-.", 1),
        (asked("emit", 3, 2), "+++.>++.", 1),
        (asked("emit", 3, 2), "++.+.", 0),
        (asked("emit", 3, 2), "+++.-.-.", 0),
        (asked("emit", 3, 2), "+++.", 0),
        (asked("copy", 2, 0), ",.,.", 1),
        (asked("copy", 2, 0), ",>,<.>.", 1),
        (asked("copy", 2, 0), ",[.,]", 1),
        (asked("copy", 2, 0), ",.,", 0),
        (asked("reverse", 3, 0), ">,[>,]<[.<]", 1),
        (asked("reverse", 3, 0), ",>,>,.<.<.", 1),
        (asked("reverse", 3, 0), ",.,.,.", 0),
        (asked("add", 2, 1), ",>,[<+>-]<+.", 1),
        (asked("add", 2, 1), ",>,[-<+>]<+.", 1),
        (asked("add", 2, 1), ",>,[<+>-]<.", 0),
        (asked("until", 1, 0), ",[+..,]", 1),
        (asked("until", 1, 0), ",+..", 0),
    ],
)
def test_any_program_that_does_it_is_right(problem: Problem, program: str, score: float) -> None:
    verdict = TASK.verify(problem, Reply(f"so #{program}"))
    assert (verdict.score, verdict.parsed) == (score, program)


def test_no_program_of_constants_passes_for_one_that_reads() -> None:
    for kind in KINDS[1:]:
        for n in range(2, 7):
            given = inputs(kind, n, f"{kind} {n}")
            assert given == inputs(kind, n, f"{kind} {n}")
            assert len({tuple(wanted(kind, n, 0, g)) for g in given}) > 1


def test_the_trace_is_the_program_in_pieces() -> None:
    for i in range(100):
        p = TASK.problem(i)
        work, program = TASK.demonstration(p, "structured", rng(i)).split("#")
        assert "".join(line.split(":")[1] for line in work.splitlines()) == program
    p = TASK.problem(0, level=3)
    kind, n, c = p.data
    assert p.question.prompt == f"{kind} {n} {c}?"
    assert p.answer == ("," + "+" * c + ".") * n
