"""Graph tasks whose answer is a count, a set of nodes or an order of them, answered at once."""

from __future__ import annotations

from dataclasses import replace

from ...core.records import Problem
from ...core.rng import Stream
from .graph import Graph, networkx
from .task import LIST, Asked, Fault, GraphTask, Nodes, read, spelt


class NodeNumber(GraphTask):
    """How many nodes there are."""

    name, tier = "graph:node_number", "easy"
    instruction = 'Given is a graph. How many nodes has it? End with "#" and the number.'

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return str(graph.nx().number_of_nodes())


class EdgeNumber(GraphTask):
    """How many edges there are."""

    name, tier = "graph:edge_number", "easy"
    instruction = 'Given is a graph. How many edges has it? End with "#" and the number.'

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return str(graph.nx().number_of_edges())


class Neighbor(Nodes):
    """The nodes joined to a node."""

    name, tier, asks = "graph:neighbor", "easy", 1
    instruction = f"Given are a graph and one of its nodes. Which nodes are joined to that node? {LIST}."

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return spelt(sorted(graph.nx()[asked[0]]))


class Dfs(Nodes):
    """An order in which depth-first search meets the nodes; any is right."""

    name, tier, asks = "graph:dfs", "easy", 1
    instruction = f"Given are a graph and one of its nodes. In which order does depth-first search from it meet the nodes? {LIST}."

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return spelt(list(networkx().dfs_preorder_nodes(graph.nx(), asked[0], sort_neighbors=sorted)))

    def fault(self, problem: Problem, tail: str) -> Fault:
        """See GraphTask: the next node must hang on the latest one that still has unmet neighbours."""
        graph, (start,) = problem.data
        order, around = read(tail), graph.neighbours()
        if order[:1] != [start] or sorted(order) != sorted(read(problem.answer)):
            return f"{tail} does not start at {start} and meet every node that can be reached once", {}
        path, met = [start], {start}
        for u in order[1:]:
            while met.issuperset(around[path[-1]]):
                path.pop()
            if u not in around[path[-1]]:
                return f"{u} is not joined to {path[-1]}, where the search stands", {}
            path.append(u)
            met.add(u)
        return "", {}


class StronglyConnectedNumber(GraphTask):
    """How many strongly connected components a directed graph has."""

    name, tier = "graph:strongly_connected_number", "hard"
    instruction = 'Given is a directed graph. How many strongly connected components has it? End with "#" and the number.'

    def made(self, graph: Graph, stream: Stream) -> Graph:
        """See GraphTask: edges are told from either end alike often, so their directions are random."""
        return replace(graph, directed=True)

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return str(networkx().number_strongly_connected_components(graph.nx()))


class Connected(GraphTask):
    """A question about distances, so about a connected graph."""

    def made(self, graph: Graph, stream: Stream) -> Graph | None:
        """See GraphTask."""
        return graph if networkx().is_connected(graph.nx()) else None


class Diameter(Connected):
    """The largest distance between two nodes."""

    name, tier = "graph:diameter", "hard"
    instruction = 'Given is a connected graph. What is its diameter, the largest distance between two nodes? End with "#" and the number.'

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return str(networkx().diameter(graph.nx()))


class Radius(Connected):
    """The least eccentricity of a node, which is the distance to the node farthest from it."""

    name, tier = "graph:radius", "hard"
    instruction = (
        "Given is a connected graph. What is its radius, the least distance within which some node reaches all others? "
        'End with "#" and the number.'
    )

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return str(networkx().radius(graph.nx()))


class WienerIndex(Connected):
    """The sum of the distances of all pairs of nodes."""

    name, tier = "graph:wiener_index", "challenging"
    instruction = 'Given is a connected graph. What is the sum of the distances of all pairs of nodes? End with "#" and the number.'

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return str(round(networkx().wiener_index(graph.nx())))


class Center(Nodes, Connected):
    """The nodes of least eccentricity."""

    name, tier = "graph:center", "hard"
    instruction = f"Given is a connected graph. Which nodes have the least distance to the node farthest from them? {LIST}."

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return spelt(sorted(networkx().center(graph.nx())))


class Periphery(Nodes, Connected):
    """The nodes of largest eccentricity."""

    name, tier = "graph:periphery", "hard"
    instruction = f"Given is a connected graph. Which nodes have the largest distance to the node farthest from them? {LIST}."

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return spelt(sorted(networkx().periphery(graph.nx())))


class Barycenter(Nodes, Connected):
    """The nodes with the least sum of distances to all others."""

    name, tier = "graph:barycenter", "hard"
    instruction = f"Given is a connected graph. Which nodes have the least sum of distances to all others? {LIST}."

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return spelt(sorted(networkx().barycenter(graph.nx())))


COUNTED: tuple[type[GraphTask], ...] = (
    NodeNumber,
    EdgeNumber,
    Neighbor,
    Dfs,
    StronglyConnectedNumber,
    Diameter,
    Radius,
    WienerIndex,
    Center,
    Periphery,
    Barycenter,
)
