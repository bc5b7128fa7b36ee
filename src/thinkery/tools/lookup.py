"""Search and knowledge graphs as tools, and how a text that nobody vouches for is shown to a model.

Every line of such a text begins with a bar, in what no title and no text can change: whatever a document says, it can neither end what
was found, nor begin a turn, a call or a message of its own. Errors are one line.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Literal, TypeVar

from ..core.errors import InputError
from .knowledge import LONGEST as FACTS
from .knowledge import Graph, Some, Triple
from .search import Index

BAR = "| "
HITS = 10  # that a model may ask for at once
ROOM = 3000  # characters of documents that an answer holds
EXCERPT = 1000  # of one of them
NAME = 200  # characters of a title or a name
LINES = 40  # facts, paths or names that an answer holds
OPENING = re.compile(r"[<\uff1c\ufe64](?=[/|!?<\w\uff5c])")  # of a tag, a control token
BRACKET = re.compile(r"\[(?=/?[A-Z][A-Z_]{2,}\])")  # of a control token such as [TOOL_CALLS]
TAGLESS = "\u2039"

T = TypeVar("T")


def quoted(text: str, longest: int = EXCERPT) -> str:
    """The text's first characters behind bars: no line without one, nothing that is not to be seen, nothing that could be a control token."""
    lines = (" ".join(line.split()) for line in harmless(text[:longest]).split("\n"))
    return "\n".join(BAR + line for line in lines if line)


def one_line(text: str, longest: int = NAME) -> str:
    """A name or a title, likewise harmless, in one line."""
    line = " ".join(harmless(text[:longest]).split())
    return line + " ..." if len(text) > longest else line


def harmless(text: str) -> str:
    """The text with blanks for controls, marks of direction and whatever else is not to be seen, and without the beginnings of tags."""
    seen = "".join(c if c == "\n" or visible(c) else " " for c in text)
    return BRACKET.sub("(", OPENING.sub(TAGLESS, seen))


def visible(character: str) -> bool:
    """Whether the character is one that readers see: no control, format, surrogate, private or unassigned one, no separator of lines."""
    return " " <= character <= "~" or not unicodedata.category(character).startswith(("C", "Zl", "Zp"))


def search_tools(index: Index) -> list[Callable[..., str]]:
    """`search` and `read` over a corpus. The index may serve any number of rollouts at once."""

    def search(query: str, count: int = 3) -> str:
        """Find the documents that say most about some words.

        Args:
            query: words to look for
            count: how many documents, at most 10
        """
        if not 1 <= count <= HITS:
            raise InputError(f"{count} documents were asked for; ask for 1 to {HITS}")
        hits = index.search(query, count)
        size = min(EXCERPT, ROOM // count)
        shown = (shown_document(h.id, h.title, h.text, 0, size, place) for place, h in enumerate(hits, 1))
        return "\n".join(shown) or "nothing was found; try other words"

    def read(id: str, start: int = 0) -> str:
        """Read a document further than a search shows it.

        Args:
            id: as a search gives it, behind the number
            start: the character to begin at
        """
        place = index.corpus.places.get(id)
        if place is None:
            raise InputError(f"there is no document {one_line(id)}; give an id as a search does")
        document = index.corpus.documents[place]
        if not 0 <= start < max(1, len(document.text)):
            raise InputError(f"the document has {len(document.text)} characters; start at 0 or behind, and before its end")
        return shown_document(document.id, document.title, document.text, start, ROOM, 1)

    return [search, read]


def shown_document(name: str, title: str, text: str, start: int, size: int, place: int) -> str:
    """A document's place, id and title in one line, then a part of its text behind bars, then how much is left."""
    head = one_line(name) if title in ("", name) else f"{one_line(name)}: {one_line(title)}"
    lines = [f"[{place}] {head}", quoted(text[start : start + size], size)]
    if (left := len(text) - start - size) > 0:
        lines.append(f"{left} more characters; read on from {start + size}")
    return "\n".join(line for line in lines if line)


def graph_tools(graph: Graph) -> list[Callable[..., str]]:
    """`find`, `neighbours` and `paths` over a knowledge graph, which may serve any number of rollouts at once."""

    def find(name: str, relation: str | None = None) -> str:
        """Find entities by words of their names.

        Args:
            name: some words
            relation: only those that have a fact of this relation
        """
        return told(lambda: graph.find(name, relation, most=LINES), one_line)

    def neighbours(entity: str, relation: str | None = None, direction: Literal["out", "in", "both"] = "both") -> str:
        """List the facts about an entity.

        Args:
            entity: its name
            relation: only facts of this relation
            direction: out for those that it heads, in for those that it is the tail of
        """
        return told(lambda: graph.neighbours(entity, relation, direction, LINES), fact)

    def paths(start: str, end: str, longest: int = 2) -> str:
        """List the ways from an entity to another, the shortest first.

        Args:
            start: the name of one
            end: the name of the other
            longest: how many facts a way may take, at most 6
        """
        if not 1 <= longest <= FACTS:
            raise InputError(f"ways of {longest} facts were asked for; ask for 1 to {FACTS}")
        return told(lambda: graph.paths(start, end, longest, LINES), lambda path: "; ".join(map(fact, path)))

    return [find, neighbours, paths]


def told(asked: Callable[[], Some[T]], line: Callable[[T], str]) -> str:
    """A line behind a bar for each thing found. Raises InputError, whose message is one harmless line."""
    try:
        found, more = asked()
    except InputError as error:
        raise InputError(one_line(str(error), 4 * NAME)) from None
    shown = [BAR + line(item) for item in found]
    return "\n".join([*shown, "there are more, which are left out"] if more else shown or ["nothing was found"])


def fact(triple: Triple) -> str:
    """A fact in a line: head | relation | tail."""
    return " | ".join(one_line(part).replace("|", "/") for part in triple)
