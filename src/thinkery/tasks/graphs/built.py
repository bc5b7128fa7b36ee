"""Graph tasks whose graphs are changed or made so that there is something to find."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise

from ...core.errors import BadConfig
from ...core.records import Problem
from ...core.rng import Stream
from .chosen import weighed, weighted
from .graph import Graph, networkx, shuffled, told
from .task import LIST, Asked, Fault, GraphTask, Nodes, YesNo, answered, read, spelt
from .worked import ShortestPath

TOURED = 10  # nodes of a round trip, at most: the search for the best one doubles with each


class IsRegular(YesNo):
    """Whether all nodes have the same degree. Parts of a network never have, so regular rings stand beside them, some with an edge moved."""

    name, tier = "graph:is_regular", "easy"
    instruction = "Given is a graph. Is it regular, so that all nodes have the same degree? End with #yes or #no."

    def made(self, graph: Graph, stream: Stream) -> Graph:
        """See GraphTask."""
        kind, half = stream.below(4), graph.size // 2
        if kind == 0:
            return graph
        offsets = stream.sample(range(1, half + 1), stream.between(1, half))
        edges = sorted({(min(u, v), max(u, v)) for u in range(graph.size) for v in ((u + o) % graph.size for o in offsets)})
        others = [e for e in combinations(range(graph.size), 2) if e not in edges]
        if kind == 1 and others:
            edges[stream.below(len(edges))] = stream.choice(others)
        return shuffled(Graph(graph.size, tuple(edges)), stream)

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return answered(networkx().is_regular(graph.nx()))


class IsTournament(YesNo):
    """Whether every two nodes are joined by exactly one directed edge. The graphs are made; in half of them one pair has two and one none."""

    name, tier = "graph:is_tournament", "easy"
    instruction = "Given is a directed graph. Is every two of its nodes joined by exactly one edge, in one direction? End with #yes or #no."

    def made(self, graph: Graph, stream: Stream) -> Graph:
        """See GraphTask."""
        edges = [(u, v) if stream.below(2) else (v, u) for u, v in combinations(range(graph.size), 2)]
        if stream.below(2):
            at, other = stream.sample(range(len(edges)), 2)
            edges[at] = edges[other][::-1]
        return shuffled(Graph(graph.size, tuple(edges), directed=True), stream)

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return answered(networkx().is_tournament(graph.nx()))


class IsEulerian(YesNo):
    """Whether a round trip uses every edge once and meets every node. Half of the graphs are put together from cycles of the network."""

    name, tier = "graph:is_eulerian", "medium"
    instruction = "Given is a graph. Is there a round trip that uses every edge once and meets every node? End with #yes or #no."

    def made(self, graph: Graph, stream: Stream) -> Graph:
        """See GraphTask."""
        if stream.below(2):
            return graph
        kept: set[tuple[int, int]] = set()
        for cycle in networkx().cycle_basis(graph.nx()):
            if stream.below(2):
                kept ^= {(min(e), max(e)) for e in pairwise([*cycle, cycle[0]])}
        return replace(graph, edges=tuple(e for e in graph.edges if (min(e), max(e)) in kept))

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return answered(networkx().is_eulerian(graph.nx()))


class WeightedShortestPath(ShortestPath):
    """A path of least weight between two nodes; any is right."""

    name, tier = "graph:weighted_shortest_path", "hard"
    styles = GraphTask.styles
    instruction = (
        "Given are a graph with weights on its edges and two of its nodes. Find a path of least weight from the first to the second. "
        f"{LIST}, both included."
    )

    def made(self, graph: Graph, stream: Stream) -> Graph:
        """See GraphTask."""
        return weighted(graph, stream)

    def truth(self, graph: Graph, asked: Asked) -> str | None:
        """See GraphTask."""
        made = graph.nx()
        return spelt(networkx().shortest_path(made, *asked, weight="weight")) if networkx().has_path(made, *asked) else None

    def long(self, graph: Graph, path: list[int]) -> int:
        """See ShortestPath."""
        return toll(graph, path)

    def work(self, graph: Graph, asked: Asked) -> list[str]:
        """See GraphTask: none."""
        return []


class TravelingSalesmanProblem(Nodes):
    """A round trip of least weight through all nodes, told without coming back. All pairs are joined, by weights drawn at random."""

    name, tier = "graph:traveling_salesman_problem", "hard"
    instruction = (
        f"Given is a graph with weights on its edges. Find a round trip of least weight that meets every node once. {LIST}, in order, the "
        "first one not repeated."
    )

    def made(self, graph: Graph, stream: Stream) -> Graph:
        """See GraphTask. Raises BadConfig for more nodes than the search for the best trip can take."""
        if graph.size > TOURED:
            raise BadConfig(f"nodes up to {graph.size}: {self.name} finds best round trips through at most {TOURED} nodes; ask for fewer")
        return weighted(shuffled(Graph(graph.size, tuple(combinations(range(graph.size), 2))), stream), stream)

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return spelt(best_tour(graph))

    def fault(self, problem: Problem, tail: str) -> Fault:
        """See GraphTask."""
        graph, _ = problem.data
        trip, right = read(tail), read(problem.answer)
        if sorted(trip) != list(range(graph.size)):
            return f"{tail} does not name every node once", {}
        return ("" if toll(graph, [*trip, trip[0]]) == toll(graph, [*right, right[0]]) else "there is a shorter round trip"), {}


class IsomorphicMapping(Nodes):
    """A renumbering that turns the graph into a second one; any is right. The question tells the second graph's edges, in order."""

    name, tier = "graph:isomorphic_mapping", "challenging"
    instruction = (
        "Given are a graph and the edges of a second one with as many nodes, which is the first with other numbers. Find which node of the "
        f"second stands for each of the first. {LIST}: those for 0, 1, 2 and so on."
    )

    def picked(self, size: int, stream: Stream) -> Asked:
        """See GraphTask: the renumbering."""
        return tuple(stream.sample(range(size), size))

    def put(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return told(self.image(graph, asked), False).partition(";")[2]

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return spelt(asked)

    def fault(self, problem: Problem, tail: str) -> Fault:
        """See GraphTask."""
        graph, asked = problem.data
        said, second = read(tail), self.image(graph, asked)
        if sorted(said) != list(range(graph.size)):
            return f"{tail} does not name every node once", {}
        return next((f"{u}-{v} has no image" for u, v in graph.edges if not second.has(said[u], said[v])), ""), {}

    def image(self, graph: Graph, asked: Asked) -> Graph:
        """The second graph, its edges sorted, so that their order tells nothing."""
        pairs = ((asked[u], asked[v]) for u, v in graph.edges)
        return Graph(graph.size, tuple(sorted((min(e), max(e)) for e in pairs)))


def toll(graph: Graph, path: list[int]) -> int:
    """The weight of a path."""
    weights = weighed(graph)
    return sum(weights[min(e), max(e)] for e in pairwise(path))


def best_tour(graph: Graph) -> list[int]:
    """The round trip of least weight from node 0 through a complete graph (Held & Karp 1962)."""
    weights = weighed(graph)
    best: dict[tuple[frozenset[int], int], tuple[int, list[int]]] = {(frozenset(), 0): (0, [0])}
    for _ in range(1, graph.size):
        grown: dict[tuple[frozenset[int], int], tuple[int, list[int]]] = {}
        for (met, at), (cost, path) in best.items():
            for v in range(1, graph.size):
                if v in met:
                    continue
                key, step = (met | {v}, v), cost + weights[min(at, v), max(at, v)]
                if key not in grown or step < grown[key][0]:
                    grown[key] = step, [*path, v]
        best = grown
    return min(best.values(), key=lambda x: x[0] + weights[0, x[1][-1]])[1]


BUILT: tuple[type[GraphTask], ...] = (
    IsRegular,
    IsTournament,
    IsEulerian,
    WeightedShortestPath,
    TravelingSalesmanProblem,
    IsomorphicMapping,
)
