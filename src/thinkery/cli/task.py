"""Commands about one task: whether its verifier can be trusted, and what it is like to answer it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..core.errors import InputError
from ..lab.text import clean, percent
from .commands import Flag, _task

if TYPE_CHECKING:
    from ..lab.audit import Audit, Rate
    from ..tasks import Task


def task_audit(
    task: str | None = None,
    /,
    *,
    all: Flag = False,
    data: Path | None = None,
    question: str | None = None,
    answer: str | None = None,
    verifier: str | None = None,
    solution: str | None = None,
    problems: int = 40,
    seed: int = 0,
    json: Flag = False,
) -> int:
    """Measure how often a verifier errs: right answers refused, wrong ones paid, and what breaks it.

    Args:
        task: a task by name (see: thinkery list tasks)
        all: every built-in task, and every data set that is there
        data: problems of your own, a JSONL or CSV file
        question: its column with questions
        answer: its column with gold answers
        verifier: a verifier by name, or yours: FILE.py:NAME, a function (gold, reply), a TRL reward function, verl's compute_score, a Rubric
        solution: its column with worked solutions
        problems: how many problems are tried
        seed: another seed, other problems
        json: what was found as JSON
    """
    import json as form

    from ..lab.audit import audit, foreign

    if problems < 1:
        raise InputError(f"--problems {problems}: give at least 1")
    own = verifier if verifier is not None and ".py:" in verifier else None
    if own is not None and not Path(own.rpartition(":")[0]).is_file():
        raise InputError(f"--verifier {own!r}: no such file; write FILE.py:NAME")
    if all:
        found = [audit(t, n=problems, seed=seed) for t in every()]
    else:
        chosen = _task(task, data, question, answer, "exact" if own else verifier, solution, False)
        found = [audit(chosen, foreign(own) if own else None, n=problems, seed=seed, verifier=own or "")]
    if json:
        print(form.dumps([a.to_dict() for a in found] if all else found[0].to_dict(), indent=1, ensure_ascii=False))
    else:
        shown(found)
    return 0 if not any(a.faults for a in found) else 1


def every() -> list[Task]:
    """The built-in tasks and the data sets at hand; says which are not."""
    from ..tasks import DATASETS, load_task, task_names

    names = task_names()
    if absent := sorted(set(DATASETS) - set(names)):
        Console(stderr=True).print(Text(f"no files, so not audited (THINKERY_DATA names the folder): {', '.join(absent)}"))
    return [load_task(name) for name in names]


def shown(found: list[Audit]) -> None:
    """The audits as a table, then what is wrong, in words."""
    table = Table(show_edge=False)
    for name in ("task", "verifier", "gold refused", "right refused", "wrong paid", "hostile paid", "calls/s", "verdict"):
        table.add_column(name, overflow="fold", no_wrap=name in ("task", "verdict"))
    for a in found:
        rates = (a.gold, a.false_negatives, a.false_positives, a.hostile)
        cells = (a.task, a.verifier, *map(told, rates), f"{a.calls_per_second:,.0f}", "passes" if a.passed else "FAILS")
        table.add_row(*(Text(clean(c)) for c in cells))
    console = Console()
    console.print(table)
    for a in found:
        for fault in a.faults:
            console.print(Text(clean(f"{a.task}: {fault}")), soft_wrap=True)


def told(rate: Rate) -> str:
    """Errors of trials, with the upper end of the interval."""
    return f"{rate.errors}/{rate.n} ≤{percent(rate.to_dict()['high'])}" if rate.n else "—"


def task_play(
    task: str | None = None,
    /,
    *,
    data: Path | None = None,
    question: str | None = None,
    answer: str | None = None,
    verifier: str | None = None,
    solution: str | None = None,
    index: int = 0,
    split: str = "train",
    seed: int = 0,
) -> int:
    """Answer a problem yourself, and see the verdict and a worked solution. An empty line, or the end of the input, ends the answer.

    Args:
        task: a task by name (see: thinkery list tasks)
        data: problems of your own, a JSONL or CSV file
        question: its column with questions
        answer: its column with gold answers
        verifier: number, exact, choice, set, math, units, program or sql
        solution: its column with worked solutions
        index: which problem of the split, from 0
        split: train, validation or test
        seed: another seed, other problems
    """
    from ..core.records import Reply
    from ..core.rng import rng

    chosen = _task(task, data, question, answer, verifier, solution, False)
    problem = chosen.problem(index, split, seed)
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(clean(problem.question.prompt)))
    if problem.question.instruction:
        console.print(Text(clean(problem.question.instruction), style="dim"))
    verdict = chosen.verify(problem, Reply(typed(console)))
    console.print(Text(clean(f"score {verdict.score:g}: {verdict.reason}"), style="green" if verdict.score == 1 else "red"))
    if chosen.has_demonstration(problem):
        worked = chosen.demonstration(problem, chosen.styles[0], rng(seed, "play", index))
        console.print(Text(clean(f"worked:\n{worked}")))
    else:
        console.print(Text(clean(f"the answer: {problem.answer}")))
    return 0


def task_serve(
    task: str | None = None,
    /,
    *,
    data: Path | None = None,
    question: str | None = None,
    answer: str | None = None,
    verifier: str | None = None,
    solution: str | None = None,
    split: str = "train",
    seed: int = 0,
    database: Path | None = None,
) -> int:
    """Serve a task and tools by the Model Context Protocol, over standard input and output, to the program that starts this.

    It may then call `problem` and `verify`, `python` and `calculate`; `tables` and `sql` of a database. Without a task, the tools alone.

    Args:
        task: a task by name (see: thinkery list tasks)
        data: problems of your own, a JSONL or CSV file
        question: its column with questions
        answer: its column with gold answers
        verifier: number, exact, choice, set, math, units, program or sql
        solution: its column with worked solutions
        split: train, validation or test
        seed: another seed, other problems
        database: a SQLite file
    """
    import asyncio

    from ..lab.serving import offered
    from ..tools.mcp import serve

    chosen = None if task is None and data is None else _task(task, data, question, answer, verifier, solution, False)
    asyncio.run(serve("thinkery", offered(chosen, split=split, seed=seed, database=database)))
    return 0


def typed(console: Console) -> str:
    """The lines that a person types, up to an empty one; all that is piped in."""
    if not sys.stdin.isatty():
        return sys.stdin.read().rstrip("\n")
    console.print(Text("your answer, then an empty line:", style="dim"))
    lines = list[str]()
    while line := sys.stdin.readline().rstrip("\n"):
        lines.append(line)
    return "\n".join(lines)
