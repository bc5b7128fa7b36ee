"""Graph tasks whose answer is a choice of nodes that must hold a property, and two that count how well two nodes hang together."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from itertools import pairwise

from ...core.records import Problem
from ...core.rng import Stream
from .chosen import weighted
from .graph import Adjacency, Graph, networkx
from .task import LIST, Asked, Fault, GraphTask, Nodes, read, spelt

PATIENCE = 2000  # nodes that the search for a Hamiltonian path tries


class DominatingSet(Nodes):
    """Nodes so that every other node is joined to one of them; none may be superfluous."""

    name, tier = "graph:dominating_set", "easy"
    instruction = (
        f"Given is a graph. Find nodes so that every other node is joined to one of them, and none of them can be left out. {LIST}."
    )

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return spelt(independent(graph.neighbours()))  # a maximal independent set is a minimal dominating one

    def fault(self, problem: Problem, tail: str) -> Fault:
        """See GraphTask."""
        graph, _ = problem.data
        said, around = read(tail), graph.neighbours()
        if len(set(said)) < len(said) or not dominates(said, around):
            return f"{tail} do not dominate the graph", {}
        spare = next((u for u in said if dominates(set(said) - {u}, around)), None)
        return ("" if spare is None else f"{spare} can be left out"), {}


class MaximalIndependentSet(Nodes):
    """Nodes no two of which are joined, and to which no node can be added."""

    name, tier = "graph:maximal_independent_set", "challenging"
    instruction = f"Given is a graph. Find nodes no two of which are joined, so that no other node can be added. {LIST}."

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return spelt(independent(graph.neighbours()))

    def fault(self, problem: Problem, tail: str) -> Fault:
        """See GraphTask."""
        graph, _ = problem.data
        said = read(tail)
        if len(set(said)) < len(said) or any(graph.has(u, v) for u in said for v in said):
            return f"{tail} are not independent", {}
        return ("" if dominates(said, graph.neighbours()) else f"a node can be added to {tail}"), {}


class MinVertexCover(Nodes):
    """As few nodes as possible of which every edge has one."""

    name, tier = "graph:min_vertex_cover", "challenging"
    instruction = f"Given is a graph. Find as few nodes as possible so that every edge meets one of them. {LIST}."

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask: all nodes but a largest independent set, which is a largest clique of the complement."""
        free, _ = networkx().max_weight_clique(networkx().complement(graph.nx()), weight=None)
        return spelt(sorted(set(range(graph.size)).difference(free)))

    def fault(self, problem: Problem, tail: str) -> Fault:
        """See GraphTask."""
        graph, _ = problem.data
        said = read(tail)
        if not set(said) <= set(range(graph.size)) or not all(u in said or v in said for u, v in graph.edges):
            return f"{tail} do not cover every edge", {}
        return ("" if len(said) == len(read(problem.answer)) else "fewer nodes will do"), {}


class HamiltonianPath(Nodes):
    """A path that visits every node once; graphs without one are left out."""

    name, tier = "graph:hamiltonian_path", "challenging"
    instruction = f"Given is a graph. Find a path that visits every node once. {LIST}."

    def truth(self, graph: Graph, asked: Asked) -> str | None:
        """See GraphTask."""
        found = through_all(graph.neighbours())
        return spelt(found) if found else None

    def fault(self, problem: Problem, tail: str) -> Fault:
        """See GraphTask."""
        graph, _ = problem.data
        path = read(tail)
        if sorted(path) != list(range(graph.size)):
            return f"{tail} does not name every node once", {}
        return next((f"{u} and {v} are not joined" for u, v in pairwise(path) if not graph.has(u, v)), ""), {}


class LocalConnectivity(GraphTask):
    """How many nodes must be taken away to part two nodes that are not joined."""

    name, tier, asks, symmetric = "graph:local_connectivity", "medium", 2, True
    instruction = (
        "Given are a graph and two of its nodes that are not joined. How many other nodes must be taken away, at least, so that no path "
        'connects the two? End with "#" and the number.'
    )

    def truth(self, graph: Graph, asked: Asked) -> str | None:
        """See GraphTask."""
        return None if graph.has(*asked) else str(networkx().node_connectivity(graph.nx(), *asked))


class MaximumFlow(GraphTask):
    """The largest flow from one node to another along directed edges with capacities; pairs between which nothing flows are left out."""

    name, tier, asks = "graph:maximum_flow", "challenging", 2
    instruction = (
        "Given are a directed graph with capacities on its edges and two of its nodes. What is the largest flow from the first to the "
        'second? End with "#" and the number.'
    )

    def made(self, graph: Graph, stream: Stream) -> Graph:
        """See GraphTask."""
        return replace(weighted(graph, stream), directed=True)

    def truth(self, graph: Graph, asked: Asked) -> str | None:
        """See GraphTask."""
        return str(networkx().maximum_flow_value(graph.nx(), *asked) or "") or None


def dominates(chosen: Collection[int], around: Adjacency) -> bool:
    """Whether all are nodes, and every other node is joined to one of them."""
    return set(chosen) <= around.keys() and all(u in chosen or not set(chosen).isdisjoint(vs) for u, vs in around.items())


def independent(around: Adjacency) -> list[int]:
    """A maximal independent set, the lowest node first."""
    found: list[int] = []
    for u, vs in around.items():
        if set(found).isdisjoint(vs):
            found.append(u)
    return found


def through_all(around: Adjacency) -> list[int] | None:
    """A Hamiltonian path, or None if a search of limited length finds none; nodes with few neighbours are tried first."""
    tried, open_ = 0, [[u] for u in sorted(around, key=lambda u: -len(around[u]))]
    while open_ and tried < PATIENCE:
        tried += 1
        path = open_.pop()
        if len(path) == len(around):
            return path
        open_ += [[*path, v] for v in sorted(around[path[-1]], key=lambda v: -len(around[v])) if v not in path]
    return None


COVERED: tuple[type[GraphTask], ...] = (
    DominatingSet,
    MaximalIndependentSet,
    MinVertexCover,
    HamiltonianPath,
    LocalConnectivity,
    MaximumFlow,
)
