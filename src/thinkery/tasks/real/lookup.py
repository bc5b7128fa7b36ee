"""Data sets whose questions are answered by looking things up: how their rows are posed, and the tools that their solvers are lent."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from ...core.errors import BadData
from ...tools.corpus import Corpus, Document
from ...tools.knowledge import Graph, cells_of, read_graph, read_names, told_apart
from ...tools.lookup import graph_tools, search_tools
from ...tools.search import Lexical
from ...tools.tool import Toolbox
from .dataset import Item
from .rows import Row, read


def unread(row: Row, file: Path) -> Item:
    """HotpotQA without its paragraphs. What the verifier's side keeps is the titles of those that are needed."""
    support = row["supporting_facts"]
    titles = support["title"] if isinstance(support, dict) else [fact[0] for fact in support]
    return Item(row["question"].strip(), row["answer"].strip(), facts=tuple(dict.fromkeys(titles)))


def paragraphs(folder: Path) -> Toolbox:
    """`search` and `read` over all paragraphs of all files, each under its title."""
    return Toolbox(search_tools(library(folder)))


@lru_cache(maxsize=1)
def library(folder: Path) -> Lexical:
    """The index of HotpotQA's paragraphs. Where several files have one, the first's is taken."""
    found: dict[str, Document] = {}
    for path in sorted(folder.glob("*.jsonl")):
        for row in read(path):
            for title, text in told(row, path):
                found.setdefault(title, Document(title, title, text))
    return Lexical(Corpus(found.values(), folder))


def told(row: Row, path: Path) -> Iterator[tuple[str, str]]:
    """A row's paragraphs, each with its title. Raises BadData."""
    try:
        context = row["context"]
        pairs = zip(context["title"], context["sentences"]) if isinstance(context, dict) else context
        for title, sentences in pairs:
            yield title, "".join(sentences).strip()
    except (LookupError, TypeError, ValueError) as error:
        raise BadData(path, f"{type(error).__name__} {error}, so these are not the columns of HotpotQA") from None


def films(folder: Path) -> Toolbox:
    """`find`, `neighbours` and `paths` over MetaQA's graph."""
    return Toolbox(graph_tools(linked(folder)))


@lru_cache(maxsize=1)
def linked(folder: Path) -> Graph:
    """MetaQA's graph. An entity's number is its line's: the published file misprints one number. Raises BadData."""
    lines = folder / "entity2text.txt"
    names = {str(place): cells[-1] for place, (_, cells) in enumerate(cells_of(lines))}
    return read_graph(folder / "kg_triples.tsv", entities=told_apart(names), relations=read_names(folder / "relation2text.txt"))
