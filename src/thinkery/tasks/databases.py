"""Questions on small databases, answered by a query. How the cells are written is to be found out by asking the database."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import InputError
from ..core.records import CALLS, Problem, Reply, Rollout, Verdict
from ..core.rng import Stream, rng
from ..tools.small_sql import SmallDatabase
from ..tools.sql import Rows
from ..tools.text import cut
from .base import CORRUPTED
from .checkers.sql import same_rows
from .facts import FORMS, SOUNDS
from .generated import Generated, checked, posed, span, whole

DATABASES = 4000  # each has a name of its own
THINGS = ("books", "coins", "cups", "pets", "rugs", "ships", "songs", "trees")
PLACES = ("towns", "shops", "clubs", "ports", "farms", "parks")
NAMES = ("bern", "cuba", "fiji", "iran", "lima", "mali", "oslo", "peru")
NUMBERS = ("age", "cost", "debt", "size", "wins")
KINDS: Mapping[str, tuple[tuple[str, str], str]] = {  # two ways of asking, what is selected
    "list": (("{c} of", "what {c} have"), "{c}"),
    "count": (("how many", "count the"), "count(*)"),
    "max": (("largest {c} of", "max {c} of"), "max({c})"),
    "min": (("smallest {c} of", "min {c} of"), "min({c})"),
    "sum": (("total {c} of", "sum {c} of"), "sum({c})"),
    "avg": (("mean {c} of", "average {c} of"), "avg({c})"),
}
WHOLE = "whole"
CELLS = {WHOLE: "{}", "dotted": "{}.", "marked": "{}%"}  # how a cell may hold a name
OTHERWISE, TWO = 0.4, 0.25  # shares of the databases where names are not held as they are asked for; where a number has two columns
LARGEST = 50
WORDS = 3  # different names in a column
BEGIN, END = "<sql>", "</sql>"  # of a query that is asked on the way
RESULT, BACK = "<result>", "</result>"  # of what comes of it
SHOWN = 3  # rows of it
WIDE = 40  # characters of a cell
QUERY = re.compile(r"select\b[\s\S]*", re.IGNORECASE)


@dataclass(frozen=True)
class Spec:
    """tables   from what is asked for to what is known, from and to
    rows      of the first table
    """

    tables: tuple[int, int] = (1, 2)
    rows: int = 5

    def __post_init__(self) -> None:
        object.__setattr__(self, "tables", span("tables", self.tables, 1, 6))
        whole("rows", self.rows, WORDS, 20)


@dataclass(frozen=True)
class Made:
    """A database.

    tables    the first is of things, each has a column that says which row of the next one belongs to it
    columns   of the number in the first table: one, or two of which `filled` holds it
    cells     how names are held
    names     by table, as they are asked for
    """

    tables: tuple[str, ...]
    number: str
    columns: tuple[str, ...]
    filled: str
    cells: str
    names: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Facts:
    """What only the task may see of a problem: the first table, the database, another with the same columns and forms, but other rows, what a look at it
    asks, the gold query with a name left out, the name, and whether it takes a look to know it.
    """

    table: str
    statements: str
    twin: str
    looks: tuple[str, ...]
    query: str
    name: str
    cells: str
    hidden: bool


class Databases(Generated[Spec]):
    """Prompt `zora:pets(land,size1,size2,town) towns(id,name)\\nmax size of pets of towns of name ~peru~?`, reply
    `#select max(size2) from pets where town in(select id from towns where name=~peru.~)`, ~ being the quotation mark.

    A cell may hold peru. or peru% for peru, and one of two columns may be empty: a trace asks the database first, as in
    `<sql>select name from towns limit 1</sql>`. Right is what gives the same rows, in this database and in one with other rows. Verdicts
    have the part "hidden" or "open", the score, by whether a look was needed, and "queries", how many the reply's solver ran on the way.
    Difficulty counts tables. Family: the database.

    Tools: the database, a SmallDatabase.
    """

    name = "databases"
    default = Spec()
    instruction = (
        "The first line names the tables of a database with their columns; a column that is called like another table has the id of its "
        "row. Answer the question by one SELECT in SQLite's SQL. Cells may hold a name with a dot or a % behind it, and of two columns size1 "
        "and size2 one may be empty: you may look first, with <sql>SELECT ...</sql>, if somebody runs it. "
        'End with "#" and the query, as in #select size from pets where land=~peru.~, where ~ stands for the quotation mark.'
    )

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        step = len("town in(select id from towns where )")
        self.max_tokens = 110 + step * self.spec.tables[1] + 3 * len("<sql>select land,size1,size2 from books limit 1</sql>")

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem]:
        """See Generated."""
        count = stream.between(*spec.tables)
        while True:
            number = stream.below(DATABASES)
            made = drawn(rng("database", number, count), count)
            kind, way = stream.choice(list(KINDS)), stream.below(2)
            known = made.tables[:count]
            name = stream.choice(made.names[count - 1])
            question = f"{KINDS[kind][0][way].format(c=made.number)} {' of '.join(known)} of {text_column(count - 1)} ~{name}~?"
            prompt = f"{named(number)}:{schema(made)}\n{question}"
            facts = told(made, spec.rows, number, kind, count, name)
            yield posed(prompt, facts.query.format(held(name, made.cells)), named(number), count, facts)

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        facts: Facts = problem.data
        found = checked(reply, QUERY, "query", lambda text: fault(facts, problem.answer, text))
        parts = {"hidden" if facts.hidden else "open": found.score}
        if CALLS in reply.data:
            parts["queries"] = float(len(reply.data[CALLS]))
        return Verdict(found.score, found.parsed, parts, found.reason)

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "verbose" also looks how many rows there are; "corrupted" asks for the name in a form in which no cell holds it."""
        facts: Facts = problem.data
        if style == CORRUPTED:
            other = stream.choice([form for form in CELLS if form != facts.cells])
            return "#" + facts.query.format(held(facts.name, other))
        looks = [] if style == "direct" else [f"select count(*) from {facts.table}"] * (style == "verbose") + [*facts.looks]  # noqa: S608
        between = "\n" if style == "structured" else ""
        return between.join([*(f"{BEGIN}{look}{END}" for look in looks), f"#{problem.answer}"])

    def tools(self, problem: Problem, rng: Stream) -> SmallDatabase:
        """See Task."""
        return SmallDatabase(problem.data.statements)


def given(names: Sequence[str], rows: Rows) -> str:
    """What comes of a query, as a model is told: the columns' names, and a line for each of the first rows."""
    cell = lambda value: "null" if value is None else cut(" ".join(str(value).split()), WIDE)
    return RESULT + "\n".join(",".join(map(cell, row)) for row in (names, *rows[:SHOWN])).replace(BACK, "") + BACK


def fault(facts: Facts, gold: str, text: str) -> str:
    """What is wrong with a query, "" if nothing is: it must give the gold query's rows in both databases."""
    for statements in (facts.statements, facts.twin):
        database = SmallDatabase(statements)
        try:
            got = database.asked(text)[1]
        except InputError as error:
            return f"the query fails: {error}"
        if not same_rows(database.asked(gold)[1], got, False):
            return "other rows than those of the gold query"
    return ""


# ---- how a database is drawn


def named(number: int) -> str:
    """The name of a database: four letters, no two alike."""
    letters = ""
    for sound in FORMS["town"]:
        number, at = divmod(number, len(SOUNDS[sound]))
        letters += SOUNDS[sound][at]
    return letters


def drawn(stream: Stream, count: int) -> Made:
    """A database of as many tables as the question needs, and at least two."""
    tables = (stream.choice(THINGS), *stream.sample(PLACES, max(1, count - 1)))
    number, two = stream.choice(NUMBERS), stream.random() < TWO
    columns = (f"{number}1", f"{number}2") if two else (number,)
    cells = stream.choice([form for form in CELLS if form != WHOLE]) if stream.random() < OTHERWISE else WHOLE
    names: list[tuple[str, ...]] = []
    for _ in tables:
        names.append(tuple(stream.sample(NAMES, WORDS)))
    return Made(tables, number, columns, stream.choice(columns), cells, tuple(names))


def told(made: Made, rows: int, number: int, kind: str, count: int, name: str) -> Facts:
    """What the task knows of a question on a database."""
    two = len(made.columns) > 1 and kind != "count"
    first = [text_column(0)] if count == 1 else []
    asked = [
        (made.tables[0], [*first, *(made.columns if two else ())]),
        *((t, ["name"]) for t in made.tables[count - 1 : count] if not first),
    ]
    return Facts(
        made.tables[0],
        statements(made, rows, rng("rows", number, count)),
        statements(made, rows, rng("twin", number, count)),
        tuple(f"select {','.join(columns)} from {table} limit 1" for table, columns in asked if columns),  # noqa: S608
        f"select {KINDS[kind][1].format(c=made.filled)} from {made.tables[0]} where {where(made, count)}",  # noqa: S608
        name,
        made.cells,
        two or made.cells != WHOLE,
    )


def where(made: Made, count: int, at: int = 0) -> str:
    """The condition on the table at a place, with {} for the name as it is held."""
    if at == count - 1:
        return f"{text_column(at)}=~{{}}~"
    after = made.tables[at + 1]
    return f"{after[:-1]} in(select id from {after} where {where(made, count, at + 1)})"  # noqa: S608


def schema(made: Made) -> str:
    """The tables with their columns, as a prompt shows them."""
    return " ".join(f"{table}({','.join(columns_of(made, at))})" for at, table in enumerate(made.tables))


def columns_of(made: Made, at: int) -> list[str]:
    """The columns of the table at that place."""
    own = ["id", text_column(at)] if at else [text_column(at), *made.columns]
    return own + [after[:-1] for after in made.tables[at + 1 : at + 2]]


def statements(made: Made, rows: int, stream: Stream) -> str:
    """What makes the database with rows that are drawn; every name, and every row of a later table, is met on the way from the first."""
    out = []
    for at, table in enumerate(made.tables):
        out.append(f"create table {table}({','.join(columns_of(made, at))})")
        size = WORDS if at else rows
        names, links = spread(made.names[at], size, stream), spread(range(1, WORDS + 1), size, stream)
        for i in range(size):
            cells: list[Any] = [i + 1] if at else []
            cells.append(f"'{held(names[i], made.cells)}'")
            cells += [] if at else [1 + stream.below(LARGEST) if column == made.filled else "null" for column in made.columns]
            cells += [links[i]] if at + 1 < len(made.tables) else []
            out.append(f"insert into {table} values({','.join(map(str, cells))})")
    return ";".join(out)


def spread(values: Sequence[Any], size: int, stream: Stream) -> list[Any]:
    """So many of the values in random order, each at least once."""
    return stream.shuffle([*values, *(stream.choice(values) for _ in range(size - len(values)))])  # type: ignore[return-value]


def text_column(at: int) -> str:
    """The column of names of the table at that place."""
    return "name" if at else "land"


def held(name: str, cells: str) -> str:
    """The name as a cell holds it."""
    return CELLS[cells].format(name)
