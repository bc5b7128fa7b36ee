"""Hops through a knowledge graph: all that is reached from a node over edges of given types."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED
from .generated import Generated, checked, laid_out, posed, span, whole
from .logic import LETTERS
from .shapes import shape

WIDEST = 6  # nodes reached by one hop at most
NODES = re.compile("[a-z]{1,26}")

Edge = tuple[str, str, str]  # from a node, of a type, to a node


@dataclass(frozen=True)
class Spec:
    """hops   from the node asked about, from and to
    nodes   of the graph
    types   of edges
    edges   of the graph
    """

    hops: tuple[int, int] = (1, 3)
    nodes: int = 7
    types: int = 2
    edges: int = 14

    def __post_init__(self) -> None:
        object.__setattr__(self, "hops", span("hops", self.hops, 1, 9))
        whole("nodes", self.nodes, 3, 26)
        whole("types", self.types, 1, 9)
        whole("edges", self.edges, 2, min(99, self.nodes * (self.nodes - 1) * self.types // 2))


class Hops(Generated[Spec]):
    """Prompt `a1b;a2c;b2d;b2e;a12?`, reply `a1:b,b2:de#de`: where each node leads, hop by hop, and all nodes that the last hop reaches.

    a1b: an edge of type 1 from a to b; a12: from a over an edge of type 1, then one of type 2. The nodes may come in any order, each
    once. Difficulty counts hops. Family: the question and the edges that leave the nodes on its way and at its end, with the names of nodes
    and types taken away, and how many edges there are.
    """

    name = "hops"
    default = Spec()
    instruction = (
        "Given are the edges of a graph: a1b is one of type 1 from a to b. a12 asks for all nodes that are reached from a over an edge of "
        'type 1 and then one of type 2. End with "#" and these nodes, each once, as in #de.'
    )

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        s = self.spec
        self.max_tokens = 2 * s.hops[1] * (4 * WIDEST + s.edges) + WIDEST + 2

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem | None]:
        """See Generated."""
        count = stream.between(*spec.hops)
        while True:
            edges = graph(spec, stream)
            reached, path = [{edges[0][0]}], ""
            while len(path) < count and (types := sorted({t for a, t, _ in edges if a in reached[-1]})):
                path += stream.choice(types)
                reached.append({b for a, t, b in edges if a in reached[-1] and t == path[-1]})
            if len(path) < count or max(map(len, reached)) > WIDEST:
                yield None
                continue
            start, on_way = edges[0][0], set[str]().union(*reached)
            stream.shuffle(edges)
            prompt = f"{';'.join(map(''.join, edges))};{start}{path}?"
            yield posed(prompt, "".join(sorted(reached[-1])), family(edges, start, path, on_way), count, (tuple(edges), start, path))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        gold = set(problem.answer)

        def fault(tail: str) -> str:
            if len(set(tail)) < len(tail):
                return f"{tail} names a node twice"
            if missing := sorted(gold.difference(tail)):
                return f"{''.join(missing)} is missing"
            return "".join(sorted(set(tail) - gold)) and f"{tail} has more than what is reached"

        return checked(reply, NODES, "nodes", fault)

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "corrupted" misses a node at the end, or finds one that is not there."""
        edges, start, path = problem.data
        lines, answer = walked(edges, start, path), problem.answer
        if style == CORRUPTED:
            more = stream.choice([x for x in LETTERS if x not in answer])
            drop = stream.choice(answer)
            answer = "".join(sorted(set(answer) - {drop})) if len(answer) > 1 and stream.below(2) else "".join(sorted(answer + more))
            kept = "".join(x for x in lines[-1].partition(":")[2] if x in answer)
            lines[-1] = lines[-1].partition(":")[0] + ":" + kept + more * (more in answer)
        return laid_out(lines, answer, style)


def graph(spec: Spec, stream: Stream) -> list[Edge]:
    """Edges between nodes with random names; no edge twice, none from a node to itself."""
    nodes = stream.sample(LETTERS, spec.nodes)
    edges: dict[Edge, None] = {}
    while len(edges) < spec.edges:
        a, b = stream.sample(nodes, 2)
        edges[a, str(1 + stream.below(spec.types)), b] = None
    return list(edges)


def walked(edges: Sequence[Edge], start: str, path: str) -> list[str]:
    """For each hop and each node that it starts at, where that leads: b2:de."""
    lines: list[str] = []
    here = start
    for kind in path:
        there = {a: "".join(sorted(b for x, t, b in edges if (x, t) == (a, kind))) for a in here}
        lines += [f"{a}{kind}:{found}" for a, found in there.items()]
        here = "".join(sorted(set("".join(there.values()))))
    return lines


def family(edges: Sequence[Edge], start: str, path: str, on_way: Collection[str]) -> str:
    """The name-free name of a question and of the edges that leave the nodes on its way."""
    left = [("edge", *edge) for edge in edges if edge[0] in on_way]
    return f"{shape([*left, ('asked', start, *path)])} {len(edges)}"
