"""Knowledge graphs: facts as head, relation, tail; what stands beside an entity, what leads from one to another, entities by name.

All answers are sorted and bounded; `Some.more` says whether there was more than is given.
"""

from __future__ import annotations

import gzip
import threading
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Generic, Literal, NamedTuple, TypeVar

from ..core.errors import BadData, InputError, UnknownName
from .corpus import Corpus, Document
from .search import Lexical
from .text import encodable

MOST = 200  # of whatever is asked for that an answer holds
LONGEST = 6  # edges of a path
STEPS = 200_000  # edges that a search for paths looks at
NEAR = 1000  # names looked through for those of a kind

Direction = Literal["out", "in", "both"]
T = TypeVar("T")


class Triple(NamedTuple):
    """A fact: the head stands in the relation to the tail."""

    head: str
    relation: str
    tail: str


class Some(NamedTuple, Generic[T]):
    """What was found. `more`: there was more, which is left out."""

    found: list[T]
    more: bool


class Graph:
    """A set of facts. Safe for any number of threads, for it never changes.

    entities, relations   their names, sorted
    """

    def __init__(self, triples: Iterable[tuple[str, str, str]]) -> None:
        facts = set(map(Triple._make, triples))
        names = {name: encodable(name) for fact in facts for name in fact}
        self.triples = sorted({Triple(names[h], names[r], names[t]) for h, r, t in facts})
        self._out: dict[str, list[Triple]] = {}
        self._in: dict[str, list[Triple]] = {}
        for triple in self.triples:
            self._out.setdefault(triple.head, []).append(triple)
            self._in.setdefault(triple.tail, []).append(triple)
        self.entities = sorted(self._out.keys() | self._in.keys())
        self.relations = sorted({t.relation for t in self.triples})
        self._names: Lexical | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.triples)

    def __contains__(self, entity: str) -> bool:
        return entity in self._out or entity in self._in

    def edges(self, entity: str, relation: str | None = None, direction: Direction = "both") -> Iterator[Triple]:
        """The facts about an entity: those that it heads, then those that it is the tail of. Raises UnknownName."""
        self.check(entity, relation)
        for way, facts in (("out", self._out), ("in", self._in)):
            if direction in (way, "both"):
                for t in facts.get(entity, ()):
                    if relation in (None, t.relation) and (way == "out" or direction == "in" or t.head != t.tail):
                        yield t

    def neighbours(self, entity: str, relation: str | None = None, direction: Direction = "both", most: int = MOST) -> Some[Triple]:
        """The first facts about an entity. Raises UnknownName."""
        return some(self.edges(entity, relation, direction), most)

    def follow(self, entities: Iterable[str], relation: str, direction: Direction = "out") -> set[str]:
        """All that the entities lead to over one relation: their tails, or with "in" their heads. Raises UnknownName."""
        return {other(t, e) for e in entities for t in self.edges(e, relation, direction)}

    def paths(self, start: str, end: str, longest: int = 3, most: int = MOST) -> Some[list[Triple]]:
        """Ways from one entity to another over at most so many facts, along or against them, through no entity twice; the shortest first.

        Raises UnknownName, and InputError for a `longest` that is out of range.
        """
        self.check(start)
        self.check(end)
        if not 1 <= longest <= LONGEST:
            raise InputError(f"paths of at most {longest} facts were asked for; ask for 1 to {LONGEST}")
        if start == end:
            return Some([], False)
        left, found = [STEPS], list[list[Triple]]()
        away = self._distances(end, longest - 1, left)
        for length in range(1, longest + 1):
            for path in self._ways(start, end, length, away, {start}, left):
                if len(found) == most:
                    return Some(found, True)
                found.append(path)
        return Some(found, left[0] <= 0)

    def find(self, name: str, relation: str | None = None, direction: Direction = "both", most: int = 20) -> Some[str]:
        """Entities whose names have words of this one, the likeliest first. `relation`: those alone that stand in it, at the end `direction`.

        Raises UnknownName for a relation there is not.
        """
        self.check(None, relation)
        near = [h.id for h in self._lexical().search(name, NEAR)]
        if name in self:
            near = [name, *(e for e in near if e != name)]
        return some((e for e in near if relation is None or any(self.edges(e, relation, direction))), most)

    def check(self, entity: str | None, relation: str | None = None) -> None:
        """Raises UnknownName for what the graph does not have, naming what is near."""
        if entity is not None and entity not in self:
            near = ", ".join(h.id for h in self._lexical().search(entity, 5))
            raise UnknownName(
                "entity", encodable(entity[:100]), (), f"Near: {near}." if near else "Nothing is near; find it by other words."
            )
        if relation is not None and relation not in self.relations:
            raise UnknownName("relation", encodable(relation[:100]), self.relations)

    def _lexical(self) -> Lexical:
        with self._lock:
            if self._names is None:
                self._names = Lexical(Corpus(Document(e, e, "") for e in self.entities))
            return self._names

    def _distances(self, end: str, longest: int, left: list[int]) -> dict[str, int]:
        """How far entities are from the end, up to a distance."""
        away, queue = {end: 0}, deque([end])
        while queue:
            entity = queue.popleft()
            if away[entity] == longest:
                break
            for t in self.edges(entity):
                left[0] -= 1
                if left[0] <= 0:
                    return away
                if (far := other(t, entity)) not in away:
                    away[far] = away[entity] + 1
                    queue.append(far)
        return away

    def _ways(self, here: str, end: str, length: int, away: Mapping[str, int], seen: set[str], left: list[int]) -> Iterator[list[Triple]]:
        """Paths of exactly so many facts."""
        for t in self.edges(here):
            left[0] -= 1
            if left[0] <= 0:
                return
            far = other(t, here)
            if length == 1:
                if far == end:
                    yield [t]
            elif far != end and far not in seen and away.get(far, length) < length:
                yield from ([t, *rest] for rest in self._ways(far, end, length - 1, away, seen | {far}, left))


def other(triple: Triple, entity: str) -> str:
    """The entity at the other end."""
    return triple.tail if triple.head == entity else triple.head


def some(items: Iterable[T], most: int) -> Some[T]:
    """The first of them."""
    found: list[T] = []
    for item in items:
        if len(found) == most:
            return Some(found, True)
        found.append(item)
    return Some(found, False)


# ---- files


def read_graph(
    *paths: str | Path,
    entities: Mapping[str, str] | None = None,
    relations: Mapping[str, str] | None = None,
    order: tuple[int, int, int] = (0, 1, 2),
) -> Graph:
    """The facts of tab-separated files (gzip too).

    entities, relations   names of what the files number
    order                 where head, relation and tail stand in a line; some publish the relation first: (1, 0, 2)

    Raises BadData, which names the file and the line.
    """
    names = (entities, relations, entities)
    return Graph(triple for path in paths for triple in named(Path(path), names, order))


def named(path: Path, names: Sequence[Mapping[str, str] | None], order: Sequence[int]) -> Iterator[Triple]:
    """The facts of a file, under their names."""
    for number, cells in cells_of(path):
        if len(cells) != 3:
            raise BadData(path, f"{len(cells)} cells; a fact is head, relation, tail, with tabs between them", number)
        try:
            yield Triple(*(cells[i] if known is None else known[cells[i]] for i, known in zip(order, names)))
        except KeyError as error:
            raise BadData(path, f"no name is known for {error.args[0]!r} of {' '.join(cells)}", number) from None


def read_names(path: str | Path) -> dict[str, str]:
    """Names by number: a number, a tab and a name a line, for `read_graph`. Raises BadData for a number that two lines have."""
    names: dict[str, str] = {}
    for number, cells in cells_of(Path(path)):
        if len(cells) != 2 or cells[0] in names:
            raise BadData(path, "a line is a number of its own, a tab and a name", number)
        names[cells[0]] = cells[1]
    return told_apart(names)


def told_apart(names: Mapping[str, str]) -> dict[str, str]:
    """The names by number; where several have one name, all but the first have their numbers behind it."""
    first: dict[str, str] = {}
    return {key: name if first.setdefault(name, key) == key else f"{name} ({key})" for key, name in names.items()}


def read_openke(folder: str | Path, prefix: str = "") -> Graph:
    """A graph as OpenKE keeps it: train2id, valid2id and test2id (head, tail and relation by number), entity2id and relation2id.

    Raises BadData, which names the file and the line.
    """
    place = Path(folder)
    entities, relations = ({key: name for name, key in counted(place / f"{prefix}{kind}2id.txt", 2)} for kind in ("entity", "relation"))

    def triples() -> Iterator[Triple]:
        for part in ("train", "valid", "test"):
            file = place / f"{prefix}{part}2id.txt"
            for head, tail, relation in counted(file, 3):
                try:
                    yield Triple(entities[head], relations[relation], entities[tail])
                except KeyError as error:
                    raise BadData(file, f"no name is known for the number {error.args[0]}") from None

    return Graph(triples())


def counted(path: Path, width: int) -> list[list[str]]:
    """The rows of a file that begins with their count."""
    (_, first), *rows = list(cells_of(path, None)) or [(1, [""])]
    if first != [str(len(rows))]:
        raise BadData(path, f"it says that it has {' '.join(first)[:40]} rows, and has {len(rows)}; fetch it again")
    for number, cells in rows:
        if len(cells) != width:
            raise BadData(path, f"{len(cells)} cells, not {width}", number)
    return [cells for _, cells in rows]


def cells_of(path: Path, between: str | None = "\t") -> Iterator[tuple[int, list[str]]]:
    """The cells of each line that is not empty, with its number. None: any white space stands between them."""
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    except OSError as error:
        raise BadData(path, error.strerror or str(error)) from None
    except (EOFError, zlib.error):
        raise BadData(path, "broken gzip; fetch it again") from None
    except UnicodeDecodeError as error:
        raise BadData(path, f"not UTF-8 at byte {error.start}; convert it") from None
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line.rstrip("\r").split(between)
