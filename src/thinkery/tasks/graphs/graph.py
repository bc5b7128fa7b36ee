"""Small graphs cut out of real networks, their text, and a name for what they are up to relabelling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from typing import Any

from ...core.errors import BadData, MissingExtra
from ...core.rng import Stream
from ..real import VARIABLE, data_folder
from ..shapes import shape

KARATE = (  # for every member of the club, from 0, those of higher number that it met (Zachary 1977, doi:10.1086/jar.33.4.3629752)
    "1 2 3 4 5 6 7 8 10 11 12 13 17 19 21 31;2 3 7 13 17 19 21 30;3 7 8 9 13 27 28 32;7 12 13;6 10;6 10 16;16;;30 32 33;33;;;;33;32 33;32 33;"
    ";;32 33;33;32 33;;32 33;25 27 29 32 33;25 27 31;31;29 33;33;31 33;32 33;32 33;32 33;33;"
)
RANDOM = "random"  # no network: every pair of nodes is joined alike often
BUILT_IN = ("karate", RANDOM)
FILES = ("dolphins", "football", "polbooks", "citeseer")  # GML files in the folder `graphs` of the data
STEPS = 40  # of a walk for each node that it is to find

Adjacency = dict[int, tuple[int, ...]]


@dataclass(frozen=True)
class Graph:
    """Nodes 0..size-1 and edges between them, each once; `weights`, if any, stand in the order of the edges."""

    size: int
    edges: tuple[tuple[int, int], ...]
    directed: bool = False
    weights: tuple[int, ...] = ()

    def neighbours(self) -> Adjacency:
        """For each node those that it is joined to, in order; the heads of its edges, if directed."""
        found: dict[int, set[int]] = {u: set() for u in range(self.size)}
        for u, v in self.edges:
            found[u].add(v)
            if not self.directed:
                found[v].add(u)
        return {u: tuple(sorted(vs)) for u, vs in found.items()}

    def has(self, u: int, v: int) -> bool:
        """Whether there is an edge from u to v."""
        return (u, v) in self.edges or (not self.directed and (v, u) in self.edges)

    def nx(self) -> Any:
        """The same graph in networkx. Raises MissingExtra."""
        made = networkx().DiGraph() if self.directed else networkx().Graph()
        made.add_nodes_from(range(self.size))
        for (u, v), weight in zip(self.edges, self.weights or (1,) * len(self.edges)):
            made.add_edge(u, v, weight=weight, capacity=weight)
        return made


def networkx() -> Any:
    """The library. Raises MissingExtra."""
    try:
        return import_module("networkx")
    except ImportError:
        raise MissingExtra("networkx", "graphs", "a task named graph:…") from None


@lru_cache(maxsize=len(FILES) + 1)
def network(name: str) -> Adjacency:
    """A real network. Raises BadData where its file is not there, MissingExtra."""
    if name == "karate":
        later = [[int(v) for v in line.split()] for line in KARATE.split(";")]
        edges = [(u, v) for u, vs in enumerate(later) for v in vs]
    else:
        path = data_folder() / "graphs" / f"{name}.gml"
        if not path.is_file():
            raise BadData(path, f"the network {name} is not there; put it into that folder ({VARIABLE} names its parent) or use karate")
        edges = [(u, v) for u, v in networkx().Graph(networkx().read_gml(path, label="id")).edges if u != v]
    size = 1 + max(max(e) for e in edges)
    return Graph(size, tuple(edges)).neighbours()


def drawn(name: str, size: int, stream: Stream) -> Graph | None:
    """The nodes that a random walk through the network meets and all edges among them, renumbered at random; None if it meets too few."""
    if name == RANDOM:
        pairs = [(u, v) for u in range(size) for v in range(u)]
        kept = stream.sample(pairs, min(len(pairs), stream.between(size - 1, 2 * size)))
        return shuffled(Graph(size, tuple(kept)), stream)
    around = network(name)
    at = stream.choice([u for u, vs in around.items() if vs])
    met = {at: 0}
    for _ in range(STEPS * size):
        if len(met) == size:
            break
        at = stream.choice(around[at])
        met.setdefault(at, len(met))
    if len(met) < size:
        return None
    return shuffled(Graph(size, tuple((met[u], met[v]) for u in met for v in around[u] if u < v and v in met)), stream)


def shuffled(graph: Graph, stream: Stream) -> Graph:
    """The graph with its nodes renumbered, its edges in another order and, if undirected, told from either end."""
    number = list(range(graph.size))
    stream.shuffle(number)
    order = list(range(len(graph.edges)))
    stream.shuffle(order)
    renamed = [(number[graph.edges[i][0]], number[graph.edges[i][1]]) for i in order]
    edges = tuple((u, v) if graph.directed or stream.below(2) else (v, u) for u, v in renamed)
    return replace(graph, edges=edges, weights=tuple(graph.weights[i] for i in order) if graph.weights else ())


def thinned(graph: Graph, fewest: int, most: int, stream: Stream) -> Graph:
    """The graph with so many of its edges left, or all if it has fewer."""
    count = min(len(graph.edges), stream.between(max(0, fewest), max(0, most)))
    return replace(graph, edges=tuple(stream.sample(graph.edges, count)))


def acyclic(graph: Graph, stream: Stream) -> Graph:
    """Every edge directed along one random order of the nodes."""
    rank = list(range(graph.size))
    stream.shuffle(rank)
    return replace(graph, edges=tuple((u, v) if rank[u] < rank[v] else (v, u) for u, v in graph.edges), directed=True)


def told(graph: Graph, adjacency: bool) -> str:
    """The graph's text: `n=4;0-3,1-2` (or 0>3 directed, 0-3=5 weighted), or by node `n=4;0:3;1:2;2:1;3:0`."""
    weights = {e: f"={w}" for e, w in zip(graph.edges, graph.weights)}
    if not adjacency:
        join = ">" if graph.directed else "-"
        return f"n={graph.size};" + ",".join(f"{u}{join}{v}{weights.get((u, v), '')}" for u, v in graph.edges)
    rows = (f"{u}:" + " ".join(f"{v}{weights.get((u, v)) or weights.get((v, u), '')}" for v in vs) for u, vs in graph.neighbours().items())
    return ";".join([f"n={graph.size}", *rows])


def family(task: str, graphs: tuple[Graph, ...], asked: tuple[int, ...], symmetric: bool) -> str:
    """The graphs' shape up to relabelling, with the nodes in question, under the task's name."""

    def relations() -> Iterator[tuple[str, ...]]:
        for place, graph in enumerate(graphs):
            yield from ((f"node {place}", f"{place} {u}") for u in range(graph.size))
            for (u, v), w in zip(graph.edges, graph.weights or (1,) * len(graph.edges)):
                yield (f"edge {w}", f"{place} {u}", f"{place} {v}")
                if not graph.directed:
                    yield (f"edge {w}", f"{place} {v}", f"{place} {u}")
        yield from ((f"asked {0 if symmetric else i}", f"0 {u}") for i, u in enumerate(asked))

    return f"{task}:{shape(relations())}"
