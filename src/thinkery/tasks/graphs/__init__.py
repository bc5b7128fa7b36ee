"""Tasks on graphs cut out of real networks, after G1 (Guo et al. 2025, arXiv:2505.18499), as graph:degree, graph:bfs, …

The names follow the paper's tiers (14 easy, 11 medium, 16 hard, 7 challenging) and were not checked against a released list; that is 48, and the
two others of the 50 are the weighted forms of spanning tree and shortest path. Where the paper is content with any dominating set, none of
its nodes may be superfluous here.
"""

from __future__ import annotations

from typing import Any

from ...core.errors import UnknownName
from ..mixture import Mixture
from .built import BUILT
from .chosen import CHOSEN
from .counted import COUNTED
from .covered import COVERED
from .measured import MEASURED
from .task import GRAPH, GraphTask, Spec
from .worked import WORKED

__all__ = ["GRAPH", "GRAPHS", "WORKED", "GraphTask", "Spec", "load_graph", "worked_graphs"]

GRAPHS: dict[str, type[GraphTask]] = {
    task.name.removeprefix(GRAPH): task for task in (*WORKED, *COUNTED, *MEASURED, *CHOSEN, *COVERED, *BUILT)
}


def load_graph(name: str, **spec: Any) -> GraphTask:
    """The task "graph:NAME". Raises UnknownName naming those there are, BadConfig for a wrong difficulty key."""
    kind = name.removeprefix(GRAPH)
    if kind not in GRAPHS:
        raise UnknownName("graph task", kind, GRAPHS)
    return GRAPHS[kind](**spec)


def worked_graphs() -> Mixture:
    """The ten tasks with worked replies, in turn."""
    return Mixture([task() for task in WORKED], "graph")
