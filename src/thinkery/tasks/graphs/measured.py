"""Graph tasks whose answer is a real number, told to two decimals."""

from __future__ import annotations

import re
from abc import abstractmethod

from ...core.records import Problem
from ...core.rng import Stream
from .graph import Graph, networkx
from .task import Asked, Fault, GraphTask

TOLERANCE = 0.005 + 1e-9  # of an answer that is told to two decimals


class Real(GraphTask):
    """A measure of a graph, of a node or of a pair of nodes."""

    form = re.compile(r"[0-9]{1,4}(?:\.[0-9]{1,6})?")
    what = "number"

    @abstractmethod
    def measure(self, graph: Graph, asked: Asked) -> float:
        """The number."""

    def truth(self, graph: Graph, asked: Asked) -> str:
        """See GraphTask."""
        return f"{self.measure(graph, asked):.2f}"

    def fault(self, problem: Problem, tail: str) -> Fault:
        """See GraphTask."""
        close = abs(float(tail) - self.measure(*problem.data)) <= TOLERANCE
        return ("" if close else f"{tail} is not {problem.answer}"), {}

    def changed(self, problem: Problem, stream: Stream) -> str:
        """See GraphTask."""
        return f"{abs(float(problem.answer) + stream.choice((-0.25, -0.1, 0.1, 0.25, 0.5))):.2f}"


END = 'End with "#" and the number, to two decimals.'


class Density(Real):
    """The share of all pairs of nodes that are joined."""

    name, tier = "graph:density", "easy"
    instruction = f"Given is a graph. What share of all pairs of its nodes are joined? {END}"

    def measure(self, graph: Graph, asked: Asked) -> float:
        """See Real."""
        return float(networkx().density(graph.nx()))


class ClusteringCoefficient(Real):
    """The share of all pairs of a node's neighbours that are joined; 0 for a node with fewer than two."""

    name, tier, asks = "graph:clustering_coefficient", "medium", 1
    instruction = f"Given are a graph and one of its nodes. What share of all pairs of that node's neighbours are joined? {END}"

    def measure(self, graph: Graph, asked: Asked) -> float:
        """See Real."""
        return float(networkx().clustering(graph.nx(), asked[0]))


class Pair(Real):
    """A measure of what two nodes have in common; `function` of networkx gives it."""

    asks, symmetric, tier = 2, True, "medium"
    function: str

    def measure(self, graph: Graph, asked: Asked) -> float:
        """See Real."""
        ((_, _, found),) = getattr(networkx(), self.function)(graph.nx(), [asked])
        return float(found)


class JaccardCoefficient(Pair):
    """Common neighbours as a share of all neighbours of the two."""

    name, function = "graph:jaccard_coefficient", "jaccard_coefficient"
    instruction = f"Given are a graph and two of its nodes. What is the Jaccard coefficient of their sets of neighbours? {END}"


class AdamicAdarIndex(Pair):
    """The sum of 1 / ln(degree) over common neighbours (Adamic & Adar 2003)."""

    name, function = "graph:adamic_adar_index", "adamic_adar_index"
    instruction = f"Given are a graph and two of its nodes. What is the sum of 1/ln(degree) over their common neighbours? {END}"


class ResourceAllocationIndex(Pair):
    """The sum of 1 / degree over common neighbours (Zhou, Lü & Zhang 2009)."""

    name, function = "graph:resource_allocation_index", "resource_allocation_index"
    instruction = f"Given are a graph and two of its nodes. What is the sum of 1/degree over their common neighbours? {END}"


class Node(Real):
    """A measure that networkx gives for every node; `function` is its name there."""

    asks, tier = 1, "hard"
    function: str

    def measure(self, graph: Graph, asked: Asked) -> float:
        """See Real."""
        return float(getattr(networkx(), self.function)(graph.nx())[asked[0]])


class DegreeCentrality(Node):
    """The node's neighbours as a share of all other nodes."""

    name, function, tier = "graph:degree_centrality", "degree_centrality", "medium"
    instruction = f"Given are a graph and one of its nodes. What share of all other nodes are joined to that node? {END}"


class AverageNeighborDegree(Node):
    """The mean degree of the node's neighbours."""

    name, function = "graph:average_neighbor_degree", "average_neighbor_degree"
    instruction = f"Given are a graph and one of its nodes. What is the mean degree of that node's neighbours? {END}"


class ClosenessCentrality(Node):
    """One over the mean distance to the other nodes; for a node that reaches few, times the share that it reaches."""

    name, function = "graph:closeness_centrality", "closeness_centrality"
    instruction = (
        "Given are a graph and one of its nodes. What is 1 over that node's mean distance to the nodes that it reaches, times the share of "
        f"all other nodes that it reaches? {END}"
    )


class HarmonicCentrality(Node):
    """The sum of one over the distance to every other node."""

    name, function = "graph:harmonic_centrality", "harmonic_centrality"
    instruction = f"Given are a graph and one of its nodes. What is the sum of 1/distance over all nodes that it reaches? {END}"


class BetweennessCentrality(Node):
    """The share of shortest paths through the node, as a mean over all pairs of other nodes."""

    name, function = "graph:betweenness_centrality", "betweenness_centrality"
    instruction = (
        "Given are a graph and one of its nodes. What share of the shortest paths of a pair of other nodes leads through that node, as a "
        f"mean over all such pairs? {END}"
    )


class GlobalEfficiency(Real):
    """The mean of one over the distance, over all pairs of nodes."""

    name, tier = "graph:global_efficiency", "challenging"
    instruction = f"Given is a graph. What is the mean of 1/distance over all pairs of nodes, 0 for those not connected? {END}"

    def measure(self, graph: Graph, asked: Asked) -> float:
        """See Real."""
        return float(networkx().global_efficiency(graph.nx()))


MEASURED: tuple[type[GraphTask], ...] = (
    Density,
    ClusteringCoefficient,
    JaccardCoefficient,
    AdamicAdarIndex,
    ResourceAllocationIndex,
    DegreeCentrality,
    AverageNeighborDegree,
    ClosenessCentrality,
    HarmonicCentrality,
    BetweennessCentrality,
    GlobalEfficiency,
)
