"""The ten graph tasks with worked replies: the steps of the algorithm that a textbook gives for each."""

from __future__ import annotations

from itertools import combinations, pairwise

from ...core.records import Problem
from ...core.rng import Stream
from ..generated import STYLES
from .graph import Graph, acyclic, networkx, thinned
from .task import LIST, Asked, Fault, GraphTask, Nodes, YesNo, answered, read, spelt


class Degree(GraphTask):
    """How many edges meet a node. A trace counts them: `3-1:1,3-4:2`."""

    name, tier, asks, styles = "graph:degree", "easy", 1, STYLES
    instruction = 'Given are a graph and one of its nodes. How many edges meet that node? End with "#" and the number.'

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return str(graph.nx().degree(asked[0]))

    def work(self, graph: Graph, asked: Asked) -> list[str]:
        """See GraphTask."""
        return [f"{asked[0]}-{v}:{i}" for i, v in enumerate(graph.neighbours()[asked[0]], 1)]


class EdgeExistence(YesNo):
    """Whether two nodes are joined. A trace tells the first one's neighbours: `3:1 4`."""

    name, tier, asks, symmetric, styles = "graph:edge_existence", "easy", 2, True, STYLES
    instruction = "Given are a graph and two of its nodes. Is there an edge between them? End with #yes or #no."

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return answered(graph.nx().has_edge(*asked))

    def work(self, graph: Graph, asked: Asked) -> list[str]:
        """See GraphTask."""
        return [row(graph, asked[0])]


class CommonNeighbor(Nodes):
    """The nodes joined to both of two nodes. A trace tells the neighbours of each: `3:1 4,2:0 4`."""

    name, tier, asks, symmetric, styles = "graph:common_neighbor", "easy", 2, True, STYLES
    instruction = f"Given are a graph and two of its nodes. Which nodes are joined to both? {LIST}, or with #none."

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return spelt(sorted(networkx().common_neighbors(graph.nx(), *asked)))

    def work(self, graph: Graph, asked: Asked) -> list[str]:
        """See GraphTask."""
        return [row(graph, u) for u in asked]


class Bfs(Nodes):
    """An order in which breadth-first search meets the nodes; any is right. A trace tells whom each node finds: `3:1 4,1:0`."""

    name, tier, asks, styles = "graph:bfs", "easy", 1, STYLES
    instruction = f"Given are a graph and one of its nodes. In which order does breadth-first search from it meet the nodes? {LIST}."

    def truth(self, graph: Graph, asked: Asked) -> str | None:
        """See GraphTask."""
        nx = networkx()
        return spelt([asked[0], *(v for _, v in nx.bfs_edges(graph.nx(), asked[0], sort_neighbors=sorted))])

    def fault(self, problem: Problem, tail: str) -> Fault:
        """See GraphTask: nodes must come in the order of those that found them."""
        graph, (start,) = problem.data
        order, around = read(tail), graph.neighbours()
        if order[:1] != [start] or sorted(order) != sorted(read(problem.answer)):
            return f"{tail} does not start at {start} and meet every node that can be reached once", {}
        place = {u: i for i, u in enumerate(order)}
        found = [min(place[v] for v in around[u]) for u in order[1:]]
        ordered = all(p < i for i, p in enumerate(found, 1)) and found == sorted(found)
        return ("" if ordered else f"{tail} is not an order of breadth-first search"), {}

    def work(self, graph: Graph, asked: Asked) -> list[str]:
        """See GraphTask."""
        return [f"{u}:{' '.join(map(str, vs))}" for u, vs in searched(graph, asked[0]).items() if vs]


class ConnectedComponentNumber(GraphTask):
    """How many connected components a graph has. A trace tells them: `0 2 3,1 4`."""

    name, tier, styles = "graph:connected_component_number", "medium", STYLES
    instruction = 'Given is a graph. How many connected components has it? End with "#" and the number.'

    def made(self, graph: Graph, stream: Stream) -> Graph:
        """See GraphTask."""
        return thinned(graph, graph.size // 2, graph.size, stream)

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return str(networkx().number_connected_components(graph.nx()))

    def work(self, graph: Graph, asked: Asked) -> list[str]:
        """See GraphTask."""
        lines: dict[int, str] = {}
        for u in range(graph.size):
            part = sorted(searched(graph, u))
            lines[part[0]] = spelt(part)
        return [lines[u] for u in sorted(lines)]


class ShortestPath(Nodes):
    """A shortest path between two nodes; any is right. A trace tells what lies 0, 1, 2, … edges away: `3,1 4,0 2`."""

    name, tier, asks, styles = "graph:shortest_path", "hard", 2, STYLES
    instruction = f"Given are a graph and two of its nodes. Find a shortest path from the first to the second. {LIST}, both included."

    def truth(self, graph: Graph, asked: Asked) -> str | None:
        """See GraphTask."""
        nx, made = networkx(), graph.nx()
        return spelt(nx.shortest_path(made, *asked)) if nx.has_path(made, *asked) else None

    def fault(self, problem: Problem, tail: str) -> Fault:
        """See GraphTask."""
        graph, (start, end) = problem.data
        path = read(tail)
        if path[:1] != [start] or path[-1] != end or not all(graph.has(u, v) for u, v in pairwise(path)):
            return f"{tail} is not a path from {start} to {end}", {}
        return ("" if self.long(graph, path) == self.long(graph, read(problem.answer)) else f"{tail} is not a shortest path"), {}

    def long(self, graph: Graph, path: list[int]) -> int:
        """The length of a path."""
        return len(path)

    def work(self, graph: Graph, asked: Asked) -> list[str]:
        """See GraphTask."""
        depth: dict[int, int] = {asked[0]: 0}
        for u, vs in searched(graph, asked[0]).items():
            depth |= dict.fromkeys(vs, depth[u] + 1)
        return [spelt(sorted(u for u, d in depth.items() if d == level)) for level in range(depth[asked[1]] + 1)]


class HasCycle(YesNo):
    """Whether there is a cycle. A trace takes away nodes with one edge at most until there is none: `3,1,left:0 2 4`."""

    name, tier, styles = "graph:has_cycle", "easy", STYLES
    instruction = "Given is a graph. Has it a cycle? End with #yes or #no."

    def made(self, graph: Graph, stream: Stream) -> Graph:
        """See GraphTask: fewer edges than nodes, so that their count does not tell."""
        return thinned(graph, graph.size // 2, graph.size - 1, stream)

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return answered(bool(networkx().cycle_basis(graph.nx())))

    def work(self, graph: Graph, asked: Asked) -> list[str]:
        """See GraphTask."""
        around = {u: set(vs) for u, vs in graph.neighbours().items()}
        lines = []
        while (u := next((u for u, vs in around.items() if len(vs) < 2), None)) is not None:
            lines.append(str(u))
            for v in around.pop(u):
                around[v].discard(u)
        return [*lines, f"left:{spelt(sorted(around))}"]


class IsBipartite(YesNo):
    """Whether the nodes can be put on two sides with no edge within one. A trace puts them: `0 a,3 b`, and tells an edge that fails: `1-3`."""

    name, tier, styles = "graph:is_bipartite", "medium", STYLES
    instruction = "Given is a graph. Is it bipartite? End with #yes or #no."

    def made(self, graph: Graph, stream: Stream) -> Graph:
        """See GraphTask."""
        return thinned(graph, graph.size - 2, graph.size + 1, stream)

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return answered(networkx().is_bipartite(graph.nx()))

    def work(self, graph: Graph, asked: Asked) -> list[str]:
        """See GraphTask."""
        side: dict[int, int] = {}
        for start in range(graph.size):
            if start not in side:
                side[start] = 0
                for u, vs in searched(graph, start).items():
                    side |= dict.fromkeys(vs, 1 - side[u])
        failing = [f"{u}-{v}" for u, v in sorted(tuple(sorted(e)) for e in graph.edges) if side[u] == side[v]]
        return [*(f"{u} {'ab'[s]}" for u, s in side.items()), *failing[:1]]


class TopologicalSort(Nodes):
    """An order of the nodes in which every edge leads forward; any is right. A trace tells whom each node sets free: `2:0 5,0:`."""

    name, tier, styles = "graph:topological_sort", "hard", STYLES
    instruction = f"Given is a directed graph. Find an order of its nodes in which every edge leads forward. {LIST}."

    def made(self, graph: Graph, stream: Stream) -> Graph:
        """See GraphTask."""
        return acyclic(graph, stream)

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return spelt(list(networkx().topological_sort(graph.nx())))

    def fault(self, problem: Problem, tail: str) -> Fault:
        """See GraphTask."""
        graph, _ = problem.data
        order = read(tail)
        if sorted(order) != list(range(graph.size)):
            return f"{tail} does not name every node once", {}
        place = {u: i for i, u in enumerate(order)}
        return next((f"{u} comes after {v}" for u, v in graph.edges if place[u] > place[v]), ""), {}

    def work(self, graph: Graph, asked: Asked) -> list[str]:
        """See GraphTask."""
        before = {u: {a for a, b in graph.edges if b == u} for u in range(graph.size)}
        lines = []
        for u in read(self.truth(graph, asked)):
            freed = [v for v in sorted(before) if before[v] == {u}]
            before = {v: left - {u} for v, left in before.items() if v != u}
            lines.append(f"{u}:{' '.join(map(str, freed))}")
        return lines


class Triangles(GraphTask):
    """How many triangles a node is part of. A trace tells its neighbours and counts the edges among them: `3:1 4 5,1-4:1`."""

    name, tier, asks, styles = "graph:triangles", "hard", 1, STYLES
    instruction = 'Given are a graph and one of its nodes. How many triangles is that node part of? End with "#" and the number.'

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return str(networkx().triangles(graph.nx(), asked[0]))

    def work(self, graph: Graph, asked: Asked) -> list[str]:
        """See GraphTask."""
        pairs = [(u, v) for u, v in combinations(graph.neighbours()[asked[0]], 2) if graph.has(u, v)]
        return [row(graph, asked[0]), *(f"{u}-{v}:{i}" for i, (u, v) in enumerate(pairs, 1))]


def row(graph: Graph, u: int) -> str:
    """A node and its neighbours."""
    return f"{u}:{' '.join(map(str, graph.neighbours()[u]))}"


def searched(graph: Graph, start: int) -> dict[int, list[int]]:
    """Breadth-first search: the nodes in the order in which they are met, each with those that it found."""
    around, found, queue = graph.neighbours(), {start}, [start]
    met: dict[int, list[int]] = {}
    for u in queue:
        met[u] = [v for v in around[u] if v not in found]
        found.update(met[u])
        queue += met[u]
    return met


WORKED: tuple[type[GraphTask], ...] = (
    Degree,
    EdgeExistence,
    CommonNeighbor,
    Bfs,
    ConnectedComponentNumber,
    ShortestPath,
    HasCycle,
    IsBipartite,
    TopologicalSort,
    Triangles,
)
