"""Graph tasks whose answer is a choice of edges: any choice that is valid, and as good as the best, counts."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Collection
from dataclasses import replace

from ...core.records import Problem
from ...core.rng import Stream
from .graph import Graph, networkx, thinned
from .task import NONE, Asked, Fault, GraphTask

LINKS = 'End with "#" and the edges with blanks between them, as in #0-3 1-4'
HEAVIEST = 9  # weight of an edge

Link = tuple[int, int]  # the lower node first


class Edges(GraphTask):
    """A question that is answered by edges, in any order and told from either end."""

    form = re.compile("[0-9]{1,2}-[0-9]{1,2}(?: [0-9]{1,2}-[0-9]{1,2}){0,199}|none")
    what = "list of edges"

    @abstractmethod
    def flaw(self, graph: Graph, said: set[Link], right: set[Link]) -> str:
        """What is wrong with edges of the graph, given those of an answer that is right; "" if nothing."""

    def fault(self, problem: Problem, tail: str) -> Fault:
        """See GraphTask."""
        graph, _ = problem.data
        said = links(tail)
        if len(set(said)) < len(said) or not weighed(graph).keys() >= set(said):
            return f"{tail} are not edges of the graph, each once", {}
        return self.flaw(graph, set(said), set(links(problem.answer))), {}

    def changed(self, problem: Problem, stream: Stream) -> str:
        """See GraphTask: an edge left out or put in."""
        graph, _ = problem.data
        edges = links(problem.answer)
        if edges and stream.below(2):
            edges.remove(stream.choice(edges))
        else:
            edges.append(stream.choice(sorted(weighed(graph))))
        return spelt_links(edges)


class MinimumSpanningTree(Edges):
    """Edges that connect all nodes without a cycle; without weights any such tree is least."""

    name, tier = "graph:minimum_spanning_tree", "easy"
    instruction = f"Given is a connected graph. Find a spanning tree. {LINKS}."

    def made(self, graph: Graph, stream: Stream) -> Graph | None:
        """See GraphTask."""
        return graph if networkx().is_connected(graph.nx()) else None

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return spelt_links(networkx().minimum_spanning_tree(graph.nx()).edges)

    def flaw(self, graph: Graph, said: set[Link], right: set[Link]) -> str:
        """See Edges."""
        if len(said) != graph.size - 1 or not networkx().is_connected(Graph(graph.size, tuple(said)).nx()):
            return "that is not a spanning tree"
        return "" if total(graph, said) == total(graph, right) else "there is a lighter spanning tree"


class WeightedMinimumSpanningTree(MinimumSpanningTree):
    """A spanning tree of least weight."""

    name, tier = "graph:weighted_minimum_spanning_tree", "medium"
    instruction = f"Given is a connected graph with weights on its edges. Find a spanning tree of least weight. {LINKS}, without weights."

    def made(self, graph: Graph, stream: Stream) -> Graph | None:
        """See GraphTask."""
        return weighted(graph, stream) if networkx().is_connected(graph.nx()) else None


class MinEdgeCovering(Edges):
    """As few edges as possible that meet every node."""

    name, tier = "graph:min_edge_covering", "medium"
    instruction = f"Given is a graph. Find as few of its edges as possible that together meet every node. {LINKS}."

    def truth(self, graph: Graph, asked: Asked) -> str | None:
        """See GraphTask."""
        return spelt_links(networkx().min_edge_cover(graph.nx())) if all(graph.neighbours().values()) else None

    def flaw(self, graph: Graph, said: set[Link], right: set[Link]) -> str:
        """See Edges."""
        if len({u for link in said for u in link}) < graph.size:
            return "those edges do not meet every node"
        return "" if len(said) == len(right) else "fewer edges will do"


class BipartiteMaximumMatching(Edges):
    """As many edges as possible of a bipartite graph, no two of which share a node."""

    name, tier = "graph:bipartite_maximum_matching", "medium"
    instruction = f"Given is a bipartite graph. Find as many of its edges as possible so that no two share a node. {LINKS}."

    def made(self, graph: Graph, stream: Stream) -> Graph | None:
        """See GraphTask."""
        thin = thinned(graph, graph.size - 2, graph.size + 1, stream)
        return thin if networkx().is_bipartite(thin.nx()) else None

    def truth(self, graph: Graph, asked: Asked) -> str | None:
        """See GraphTask."""
        return spelt_links(networkx().max_weight_matching(graph.nx())) if graph.edges else None

    def flaw(self, graph: Graph, said: set[Link], right: set[Link]) -> str:
        """See Edges."""
        if len({u for link in said for u in link}) < 2 * len(said):
            return "two of those edges share a node"
        return "" if total(graph, said) == total(graph, right) else "there is a larger matching"


class MaxWeightMatching(BipartiteMaximumMatching):
    """Edges of the largest weight of which no two share a node."""

    name, tier = "graph:max_weight_matching", "hard"
    instruction = (
        f"Given is a graph with weights on its edges. Find edges of the largest total weight so that no two share a node. {LINKS}, "
        "without weights."
    )

    def made(self, graph: Graph, stream: Stream) -> Graph | None:
        """See GraphTask."""
        return weighted(graph, stream)


class Bridges(Edges):
    """The edges without any of which the graph falls into more parts."""

    name, tier = "graph:bridges", "hard"
    instruction = (
        f"Given is a graph. Which of its edges are bridges, so that the graph without one has more components? {LINKS}, or with #none."
    )

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return spelt_links(list(networkx().bridges(graph.nx())))

    def flaw(self, graph: Graph, said: set[Link], right: set[Link]) -> str:
        """See Edges."""
        return "" if said == right else f"{spelt_links(said)} is not {spelt_links(right)}"

    def fault(self, problem: Problem, tail: str) -> Fault:
        """See GraphTask. The part "partial" is the Jaccard index with the right set."""
        wrong, _ = super().fault(problem, tail)
        said, right = links(tail), set(links(problem.answer))
        either = right.union(said)
        partial = 0.0 if len(set(said)) < len(said) else len(right.intersection(said)) / len(either) if either else 1.0
        return wrong, {"partial": partial}


def weighted(graph: Graph, stream: Stream) -> Graph:
    """The graph with a weight on every edge, drawn from 1..9."""
    return replace(graph, weights=tuple(stream.between(1, HEAVIEST) for _ in graph.edges))


def weighed(graph: Graph) -> dict[Link, int]:
    """Weights by edge, 1 where the graph has none."""
    return dict(zip(((min(e), max(e)) for e in graph.edges), graph.weights or (1,) * len(graph.edges)))


def total(graph: Graph, edges: set[Link]) -> int:
    """The weight of some edges together."""
    weights = weighed(graph)
    return sum(weights[e] for e in edges)


def links(text: str) -> list[Link]:
    """The edges of an answer."""
    pairs = [] if text == NONE else [sorted(int(x) for x in link.split("-")) for link in text.split()]
    return [(u, v) for u, v in pairs]


def spelt_links(edges: Collection[tuple[int, ...]]) -> str:
    """Edges as an answer."""
    return " ".join(f"{min(e)}-{max(e)}" for e in sorted(tuple(sorted(e)) for e in edges)) or NONE


CHOSEN: tuple[type[GraphTask], ...] = (
    MinimumSpanningTree,
    WeightedMinimumSpanningTree,
    MinEdgeCovering,
    BipartiteMaximumMatching,
    MaxWeightMatching,
    Bridges,
)
