"""Programs and queries: HumanEval and MBPP by the published tests, Spider by what the query returns.

A row whose own solution does not pass in the sandbox is left out: `BEYOND` names them, as measured with pydantic-monty 1.4.
"""

from __future__ import annotations

import re
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from ...core.errors import BadData
from ...core.records import Problem, Reply, Verdict
from ...tools.sql import opened
from ..checkers.judge import fenced
from ..checkers.program import passed
from ..checkers.sql import executed
from ..verifiers import LONGEST
from .dataset import Item
from .rows import Row

SECONDS = 5.0  # for all tests of a program
BEYOND_RULE = "its own solution does not pass in the sandbox"
# fmt: off
BEYOND = frozenset({
    "HumanEval/38", "HumanEval/50",
    2, 4, 10, 31, 38, 39, 87, 94, 108, 111, 123, 124, 126, 137, 193, 209, 221, 232, 252, 326, 342, 353, 367, 372, 381, 408, 442, 496, 512,
    530, 533, 579, 585, 590, 594, 596, 601, 607, 630, 635, 674, 688, 696, 712, 723, 750, 769, 784, 795, 807, 821, 843, 854, 872, 881, 911,
    927, 933, 937, 943, 965,
})
# fmt: on
OFFICIAL = ((10, "train"), (510, "test"), (600, "validation"), (974, "train"))  # MBPP by task_id; the first ten are its examples


class Tested(NamedTuple):
    """What a program is checked with: the prompt it may go on from, that prompt's part above the function, the function's name, tests."""

    prompt: str
    above: str
    entry: str
    tests: str


def humaneval(row: Row, file: Path) -> Item | str:
    """The start of a function is given. The gold answer is the function as a whole; the tests call it by its name."""
    if row["task_id"] in BEYOND:
        return BEYOND_RULE
    prompt, entry = row["prompt"], row["entry_point"]
    facts = Tested(prompt, prompt[: prompt.rindex(f"def {entry}(")], entry, f"{row['test']}\ncheck({entry})\n")
    return Item(prompt, prompt + row["canonical_solution"], facts=facts)


def mbpp(row: Row, file: Path) -> Item | str:
    """The text and the tests are shown, as the paper does. Difficulty counts the lines of the published solution."""
    number = int(row["task_id"])
    if number in BEYOND:
        return BEYOND_RULE
    program = row["code"].replace("\r\n", "\n").strip()
    shown = "\n".join(row["test_list"])
    prompt = f"{row['text'].strip()}\nThe program has to pass these tests:\n{shown}"
    split = next(split for last, split in OFFICIAL if number <= last)
    facts = Tested("", "", "", f"{row['test_setup_code']}\n{shown}".replace("\r\n", "\n"))
    return Item(prompt, program, difficulty=program.count("\n") + 1, solution=f"```python\n{program}\n```", facts=facts, split=split)


def by_tests(problem: Problem, reply: Reply) -> Verdict:
    """1 if the program passes all tests. One that only goes on from the prompt, as a model without chat does, is joined to it.

    Raises VerifierError where the sandbox lacks what the program uses: that is neither right nor wrong.
    """
    facts: Tested = problem.data.facts
    program = fenced(reply.text[-LONGEST:], ("python", "py", "python3"))
    if program.strip() and facts.entry:
        whole = re.search(rf"^(?:async )?def {facts.entry}\b", program, re.MULTILINE)
        program = (f"{facts.above}\n" if whole else facts.prompt) + program
    return passed(program, facts.tests, SECONDS)


# ---- Spider (Yu et al. 2018, arXiv:1809.08887)


class Schema(NamedTuple):
    """The statements that made a database's tables, and its tables without rows, which a copy may have lost."""

    statements: str
    empty: tuple[str, ...]


def spider(row: Row, file: Path) -> Item | str:
    """The schema is shown as the statements that make it. Difficulty counts the query's words."""
    database = file.parent / "database" / f"{row['db_id']}.sqlite"
    schema = described(database)
    query = row["query"].strip()
    if any(re.search(rf"\b{re.escape(table)}\b", query, re.IGNORECASE) for table in schema.empty):
        return "it asks an empty table"
    prompt = f"{schema.statements}\n\nQuestion: {row['question'].strip()}"
    return Item(prompt, query, difficulty=len(query.split()), facts=str(database), shown={"database": str(database)})


@lru_cache(maxsize=256)
def described(database: Path) -> Schema:
    """A database's schema. Raises BadData where there is none."""
    if not database.is_file():
        raise BadData(database, "no such database; put Spider's databases there as docs/data.md says")
    with closing(opened(database)) as connection:
        tables = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        counts = [(name, connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]) for name, _ in tables]  # noqa: S608
    return Schema("\n".join(statement for _, statement in tables), tuple(name for name, rows in counts if rows == 0))


def by_rows(problem: Problem, reply: Reply) -> Verdict:
    """1 if the reply's query returns what the gold one does."""
    return executed(problem.data.facts, problem.answer, reply.text[-LONGEST:])
