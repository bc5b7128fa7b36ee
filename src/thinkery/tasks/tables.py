"""Questions on a small table: look up, sum, largest, who has most, how many rows; of some also only where a condition holds."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED
from .facts import new
from .generated import Generated, judged, laid_out, one_of, posed, span, whole

KINDS = ("cell", "sum", "max", "most", "count")
COLUMNS = ("age", "cost", "size", "wins", "debt")
COMPARE = {"<": operator.lt, ">": operator.gt}
ANSWER = re.compile("[a-z]{3}|[0-9]{1,4}")

Condition = tuple[int, str, int]  # column, comparison, and what with
Row = tuple[int, ...]


@dataclass(frozen=True)
class Spec:
    """rows    of the table, from and to
    columns   of numbers
    kind      cell, sum, max, most, count, or any of them
    largest   number
    """

    rows: tuple[int, int] = (2, 5)
    columns: int = 2
    kind: str = "any"
    largest: int = 50

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", span("rows", self.rows, 2, 40))
        whole("columns", self.columns, 2, len(COLUMNS))
        one_of("kind", self.kind, ("any", *KINDS))
        whole("largest", self.largest, 5, 99)


class Tables(Generated[Spec]):
    """Prompt `name|age|cost\\nzor|31|7\\nkas|12|9\\nsum cost if age>20?`, reply `31>20:yes,12>20:no,0+7:7#7`: each row's condition, then
    each step of the sum.

    Others: `cost of zor?`, `max cost?`, `most cost?` (whose it is), `count if age>20?`. Difficulty counts rows. Family: the question
    with the numbers that it turns on, whatever the names, the order of the rows and the other columns.
    """

    name = "tables"
    default = Spec()
    instruction = (
        "Answer the question on the table: cost of zor asks for a cell, sum and max for the sum and the largest number of a column, most "
        "for the name of the row where it is largest, count for the number of rows; with if, only the rows for which it holds. "
        'End with "#" and just the number or name, as in #7 or #zor.'
    )

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        self.max_tokens = 2 * self.spec.rows[1] * (len("31>20:yes,") + len("zor 31 kas 12:zor,")) + 6

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem | None]:
        """See Generated."""
        count = stream.between(*spec.rows)
        while True:
            kind = stream.choice(KINDS) if spec.kind == "any" else spec.kind
            names: dict[str, str] = {}
            table = {new("person", names, stream): tuple(stream.below(spec.largest + 1) for _ in range(spec.columns)) for _ in range(count)}
            heads = stream.sample(COLUMNS, spec.columns)
            column, other = stream.sample(range(spec.columns), 2)
            made = (looked_up if kind == "cell" else counted)(kind, table, heads, (column, other), stream)
            if made is None:
                yield None
                continue
            question, answer, family, lines = made
            rows = ["|".join(["name", *heads]), *("|".join([name, *map(str, row)]) for name, row in table.items())]
            yield posed("\n".join([*rows, question + "?"]), answer, f"{kind} {family}", count, (tuple(lines), tuple(table)))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        return judged(reply, problem.answer, ANSWER, "number or name")

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "corrupted" is off by a little in the end, or names another row."""
        lines, names = problem.data
        answer = problem.answer
        if style == CORRUPTED:
            near = [str(int(answer) + by) for by in (-2, -1, 1, 2) if int(answer) + by >= 0] if answer.isdigit() else names
            answer = stream.choice([wrong for wrong in near if wrong != answer])
            before, colon, said = lines[-1].rpartition(":")
            lines = (*lines[:-1], before + colon + (answer if said == problem.answer else said))
        return laid_out(lines, answer, style)


Made = tuple[str, str, str, list[str]]  # the question, the answer, the numbers that it turns on, the lines of a trace


def looked_up(kind: str, table: dict[str, Row], heads: list[str], columns: tuple[int, int], stream: Stream) -> Made:
    """A question for one cell."""
    column, _ = columns
    who = stream.choice(list(table))
    number = table[who][column]
    others = sorted(row[column] for name, row in table.items() if name != who)
    return f"{heads[column]} of {who}", str(number), f"{number} of {others}", [f"{who} {heads[column]}:{number}"]


def counted(kind: str, table: dict[str, Row], heads: list[str], columns: tuple[int, int], stream: Stream) -> Made | None:
    """A question for what a column comes to, or for how many rows there are, with a condition or without; None: without an answer."""
    column, other = columns
    sign, bound = "<>"[stream.below(2)], stream.choice([row[other] for row in table.values()])
    conditional = kind == "count" or stream.below(2) == 1
    kept, lines = list(table), []
    if conditional:
        kept = [name for name, row in table.items() if COMPARE[sign](row[other], bound)]
        lines = [f"{row[other]}{sign}{bound}:{'yes' if name in kept else 'no'}" for name, row in table.items()]
    numbers = [table[name][column] for name in kept]
    if kind in ("max", "most") and (not numbers or (kind == "most" and numbers.count(max(numbers)) > 1)):
        return None
    asked = [(row[other], row[column] if kind != "count" else 0) if conditional else row[column] for row in table.values()]
    family = f"{sign}{bound} of {sorted(asked)}" if conditional else f"of {sorted(asked)}"
    what = f"{kind} {heads[column]}" if kind != "count" else kind
    steps, answer = worked(kind, kept, numbers)
    return what + f" if {heads[other]}{sign}{bound}" * conditional, answer, family, [*lines, *steps]


def worked(kind: str, names: list[str], numbers: list[int]) -> tuple[list[str], str]:
    """The steps from row to row, and what comes out."""
    if kind == "count":
        return [], str(len(names))
    if kind == "sum":
        totals = [sum(numbers[:i]) for i in range(len(numbers) + 1)]
        return [f"{a}+{n}:{b}" for a, n, b in zip(totals, numbers, totals[1:])], str(totals[-1])
    best = 0
    steps: list[str] = []
    for i in range(len(names)):
        then, best = best, i if numbers[i] > numbers[best] else best
        said = [f"{names[x]} {numbers[x]}" if kind == "most" else str(numbers[x]) for x in dict.fromkeys((then, i))]
        steps.append(f"{' '.join(said)}:{names[best] if kind == 'most' else numbers[best]}")
    return steps, names[best] if kind == "most" else str(numbers[best])
