"""Worlds of facts that are not in the prompt: a solver finds them with tools, in documents or in a knowledge graph."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from ..core.records import Problem
from ..core.rng import Stream
from ..tools.corpus import Corpus, Document
from ..tools.knowledge import Graph
from ..tools.lookup import graph_tools, search_tools
from ..tools.search import Lexical
from ..tools.tool import Toolbox
from .facts import FactWorld, Spec

FACT = re.compile(r"the ([a-z]+) of ([a-z]+) is ([a-z]+)\.")
KEPT = 64  # worlds whose index is kept, for the other rollouts of a group

Documents = tuple[str, ...]


class Searched(FactWorld):
    """Prompt `kas, zor\\nthe home of the boss of zor?`: whom there are documents about, and the question. Reply as in `facts`.

    Tools: `search` and `read`, over a document for each of these names. Difficulty counts hops. Family: as in `facts`.
    """

    name = "facts_search"
    default = Spec(extra=10, open_book=False)
    instruction = (
        "Find out by searching the documents, one about each of the names in the first line, and answer the question. "
        'End with "#" and the name asked for, as in #tobi.'
    )

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem]:
        """See Generated."""
        for made in super().candidates(spec, stream):
            if spec.open_book:
                yield made
            else:
                names = ", ".join(sorted(about(d) for d in made.question.shown["documents"]))
                yield replace(made, question=replace(made.question, prompt=f"{names}\n{made.question.prompt}"))

    def tools(self, problem: Problem, rng: Stream) -> Toolbox:
        """See Task."""
        return Toolbox(search_tools(indexed(problem.question.shown["documents"])))


class Walked(Searched):
    """Prompt and reply as in `facts_search`.

    Tools: `find`, `neighbours` and `paths`, over the facts as a knowledge graph. Difficulty counts hops. Family: as in `facts`.
    """

    name = "facts_graph"
    instruction = (
        "Find out by looking at the facts of a knowledge graph, which has some about each of the names in the first line, and answer "
        'the question. End with "#" and the name asked for, as in #tobi.'
    )

    def tools(self, problem: Problem, rng: Stream) -> Toolbox:
        """See Task."""
        return Toolbox(graph_tools(linked(problem.question.shown["documents"])))


def about(document: str) -> str:
    """Whom or what a document is about."""
    return next(FACT.finditer(document))[2]


@lru_cache(maxsize=KEPT)
def indexed(documents: Documents) -> Lexical:
    """The documents, to be searched; each by the name of what it is about."""
    return Lexical(Corpus(Document(about(d), about(d), d) for d in documents))


@lru_cache(maxsize=KEPT)
def linked(documents: Documents) -> Graph:
    """The documents' facts as a graph."""
    return Graph((of, relation, to) for d in documents for relation, of, to in FACT.findall(d))
