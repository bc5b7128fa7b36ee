"""What the graph tasks share: how problems are drawn, told and judged."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, ClassVar

from ...core.records import Problem, Reply, Rollout, Verdict
from ...core.rng import Stream
from ..base import CORRUPTED
from ..generated import Generated, checked, laid_out, one_of, posed, span
from .graph import BUILT_IN, FILES, Graph, drawn, family, told

GRAPH = "graph:"
NONE = "none"
LIST = 'End with "#" and the nodes with blanks between them'
NUMBER = re.compile("[0-9]{1,4}")
NODES = re.compile(r"[0-9]{1,2}(?: [0-9]{1,2}){0,99}|none")
ROOM = 40  # tokens of a reply for each node, at most
WRONG_DRAWS = 200  # tries to spoil an answer
DRAWS = 200  # before another size is tried, where few graphs of a size will do

Asked = tuple[int, ...]
Fault = tuple[str, dict[str, float]]  # what is wrong, or "", and parts of the verdict


@dataclass(frozen=True)
class Spec:
    """nodes      of a graph, from and to
    network    that it is cut out of: karate is built in; dolphins, football, polbooks, citeseer are read; random is none
    encoding   edges or adjacency: a list of all edges, or of each node's neighbours
    """

    nodes: tuple[int, int] = (5, 9)
    network: str = "karate"
    encoding: str = "edges"

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", span("nodes", self.nodes, 4, 35))
        one_of("network", self.network, (*BUILT_IN, *FILES))
        one_of("encoding", self.encoding, ("edges", "adjacency"))


class GraphTask(Generated[Spec]):
    """Prompt `n=5;0-3,1-4,2-3;degree 3?`: a graph, and a question about it. Difficulty counts nodes.

    tier        easy, medium, hard or challenging
    asks        how many nodes the question names; `symmetric`: in whatever order
    form, what  of an answer: what it must match, and that in words
    """

    default = Spec()
    tier: ClassVar[str]
    asks: ClassVar[int] = 0
    symmetric: ClassVar[bool] = False
    form: ClassVar[re.Pattern[str]] = NUMBER
    what: ClassVar[str] = "number"
    styles: Any = ("direct", CORRUPTED)  # tasks with worked replies have all of STYLES

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        self.max_tokens = ROOM * self.spec.nodes[1]

    @abstractmethod
    def truth(self, graph: Graph, asked: Asked) -> str | None:
        """The answer, one of them if there are many; None: the graph is of no use."""

    def made(self, graph: Graph, stream: Stream) -> Graph | None:
        """The graph made fit for the task, or None."""
        return graph

    def picked(self, size: int, stream: Stream) -> Asked:
        """The nodes in question."""
        return tuple(stream.sample(range(size), self.asks))

    def put(self, graph: Graph, asked: Asked) -> str:
        """The question's text after the task's name."""
        return " ".join(map(str, asked))

    def wanted(self, stream: Stream) -> str:
        """The answer that the problem must have, or "": any."""
        return ""

    def fault(self, problem: Problem, tail: str) -> Fault:
        """What is wrong with an answer of the right form."""
        return ("" if tail == problem.answer else f"{tail} is not {problem.answer}"), {}

    def work(self, graph: Graph, asked: Asked) -> list[str]:
        """The lines of a trace."""
        return []

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem | None]:
        """See Generated."""
        for draw in count():
            if draw % DRAWS == 0:
                size, wanted = stream.between(*spec.nodes), self.wanted(stream)
            cut = drawn(spec.network, size, stream)
            graph = None if cut is None else self.made(cut, stream)
            asked = self.picked(size, stream)
            answer = None if graph is None else self.truth(graph, asked)
            if graph is None or answer is None or (wanted and answer != wanted):
                yield None
                continue
            question = f"{self.name.removeprefix(GRAPH).replace('_', ' ')} {self.put(graph, asked)}".rstrip()
            name = family(self.name, (graph,), asked if self.asks else (), self.symmetric)
            prompt = f"{told(graph, spec.encoding == 'adjacency')};{question}?"
            fits = 2 * len(",".join(self.work(graph, asked))) + len(answer) + 3 <= ROOM * size
            yield posed(prompt, answer, name, size, (graph, asked)) if fits else None

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task. The part "partial", where answers are sets, is how much they overlap."""
        parts: dict[str, float] = {}

        def fault(tail: str) -> str:
            wrong, found = self.fault(problem, tail)
            parts.update(found)
            return wrong

        verdict = checked(reply, self.form, self.what, fault)
        return Verdict(verdict.score, verdict.parsed, parts, verdict.reason)

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. A corrupted reply is worked right and answers wrong."""
        answer = problem.answer if style != CORRUPTED else self.spoiled(problem, stream)
        lines = [] if style == "direct" else self.work(*problem.data)
        return laid_out(lines, answer, "direct" if not lines else style)

    def spoiled(self, problem: Problem, stream: Stream) -> str:
        """A wrong answer of the right form."""
        for _ in range(WRONG_DRAWS):
            tail = self.changed(problem, stream)
            if self.form.fullmatch(tail) and self.fault(problem, tail)[0]:
                return tail
        raise AssertionError(f"{self.name}: no answer but {problem.answer} is wrong")

    def changed(self, problem: Problem, stream: Stream) -> str:
        """Another answer, wrong or not."""
        return str(max(0, int(problem.answer) + stream.choice((-1, 1, 2))))


class YesNo(GraphTask):
    """A question that is answered yes as often as no."""

    form = re.compile("yes|no")
    what = "yes or no"

    def wanted(self, stream: Stream) -> str:
        """See GraphTask."""
        return stream.choice(("yes", "no"))

    def changed(self, problem: Problem, stream: Stream) -> str:
        """See GraphTask."""
        return "no" if problem.answer == "yes" else "yes"


class Nodes(GraphTask):
    """A question that is answered by nodes: by a set, unless the task judges them otherwise."""

    form = NODES
    what = "list of nodes"

    def fault(self, problem: Problem, tail: str) -> Fault:
        """See GraphTask. The part "partial" is the Jaccard index of the set with the right one."""
        said, right = read(tail), read(problem.answer)
        both, either = set(said) & set(right), {*said, *right}
        partial = 0.0 if len(set(said)) < len(said) else len(both) / len(either) if either else 1.0
        return ("" if partial == 1 else f"{tail} is not {problem.answer}"), {"partial": partial}

    def changed(self, problem: Problem, stream: Stream) -> str:
        """See GraphTask: some nodes swapped, left out or put in."""
        graph: Graph = problem.data[0]
        nodes = read(problem.answer)
        if len(nodes) > 1 and stream.below(2):
            stream.shuffle(nodes)
        elif nodes and stream.below(2):
            nodes.remove(stream.choice(nodes))
        else:
            nodes.append(stream.below(graph.size))
        return spelt(nodes)


def read(text: str) -> list[int]:
    """The nodes of an answer."""
    return [] if text == NONE else [int(x) for x in text.split()]


def spelt(nodes: Sequence[int]) -> str:
    """Nodes as an answer."""
    return " ".join(map(str, nodes)) or NONE


def answered(yes: bool) -> str:
    """Yes or no."""
    return "yes" if yes else "no"
