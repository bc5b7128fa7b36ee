"""Questions about pieces of real networks, written as text: degrees, neighbours that two have in common, shortest ways, triangles."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from ..core.errors import BadConfig, BadData
from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED
from .generated import Generated, checked, laid_out, one_of, posed, span
from .logic import LETTERS
from .real import data_folder
from .shapes import shape

QUESTIONS = ("degree", "common", "way", "triangles")
ANSWER = re.compile("[0-9]{1,3}|[a-z]{1,26}")
EDGE = re.compile(r"edge\s*\[\s*source\s+(\d+)\s+target\s+(\d+)")

# Who met whom outside of a karate club, 34 people and 78 pairs (Zachary 1977): for each person the later ones
KARATE = """0:1 2 3 4 5 6 7 8 10 11 12 13 17 19 21 31;1:2 3 7 13 17 19 21 30;2:3 7 8 9 13 27 28 32;3:7 12 13;4:6 10;5:6 10 16;6:16;8:30 32 33
9:33;13:33;14:32 33;15:32 33;18:32 33;19:33;20:32 33;22:32 33;23:25 27 29 32 33;24:25 27 31;25:31;26:29 33;27:33;28:31 33;29:32 33;30:32 33
31:32 33;32:33"""
# Marriages between 15 families of Florence (Padgett & Ansell 1993)
FLORENCE = """acciaiuoli:medici;castellani:peruzzi strozzi barbadori;medici:barbadori ridolfi tornabuoni albizzi salviati;salviati:pazzi
peruzzi:strozzi bischeri;strozzi:ridolfi bischeri;ridolfi:tornabuoni;tornabuoni:guadagni;albizzi:ginori guadagni;bischeri:guadagni
guadagni:lamberteschi"""
BUILT_IN = {"karate": KARATE, "florence": FLORENCE}

Network = Mapping[str, frozenset[str]]  # for each node its neighbours


@dataclass(frozen=True)
class Spec:
    """nodes     of the piece, from and to
    question  degree, common, way or triangles; any: one of them
    network   karate, florence, or a file graphs/NETWORK.gml in the data folder: dolphins, football, …
    """

    nodes: tuple[int, int] = (5, 8)
    question: str = "any"
    network: str = "karate"

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", span("nodes", self.nodes, 4, 26))
        one_of("question", self.question, ("any", *QUESTIONS))
        if not isinstance(self.network, str) or not self.network:
            raise BadConfig(f"network is {self.network!r}; give the name of one")


class Networks(Generated[Spec]):
    """Prompt `ab;bc;cd;ac;way a d?`, reply `a:bc,c:d#acd`: the piece of a network that a walk has met, under names of its own.

    degree a: how many neighbours; common a b: all neighbours of both; way a d: a shortest way, any of them; triangles: how many. Difficulty
    counts nodes. Family: the piece and the question, with the names of nodes taken away.
    """

    name = "networks"
    default = Spec()
    instruction = (
        "Given are the edges of a graph: ab joins a and b. degree a asks how many neighbours a has; common a b for all nodes next to both; way "
        'a b for the nodes of a shortest way from a to b; triangles for how many there are. End with "#" and the answer: a number, as in #3, or '
        "nodes, as in #acd."
    )

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        large_enough(self.spec)
        self.max_tokens = 2 * self.spec.nodes[1] * (self.spec.nodes[1] + 3) + self.spec.nodes[1] + 2

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem | None]:
        """See Generated. None where two nodes have no common neighbour, or are next to each other."""
        large_enough(spec)
        while True:
            asked = stream.choice(QUESTIONS) if spec.question == "any" else spec.question
            piece = walked(network(spec.network), stream.between(*spec.nodes), stream)
            edges = [a + b if stream.below(2) else b + a for a in sorted(piece) for b in sorted(piece[a]) if a < b]
            stream.shuffle(edges)
            about = stream.sample(sorted(piece), {"degree": 1, "triangles": 0}.get(asked, 2))
            answer = solved(piece, asked, about)
            if not answer or (asked == "way" and len(answer) < 3):
                yield None
                continue
            likeness = shape([*(("edge", *edge) for edge in edges), *(("edge", *edge[::-1]) for edge in edges), ("asked", *about)])
            prompt = f"{';'.join(edges)};{' '.join([asked, *about])}?"
            yield posed(prompt, answer, f"{asked} {likeness}", len(piece), (piece, asked, tuple(about)))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        piece, asked, about = problem.data
        return checked(reply, ANSWER, "number or nodes", lambda tail: fault(piece, asked, about, problem.answer, tail))

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. The work: the neighbours of the nodes that matter. "corrupted" answers with one too many, or a node too few."""
        piece, asked, about = problem.data
        lines, answer = worked(piece, asked, about), problem.answer
        if style == CORRUPTED:
            answer = str(int(answer) + 1) if answer.isdigit() else answer[:-1] or next(x for x in LETTERS if x not in answer)
        return laid_out(lines, answer, style)


@lru_cache
def network(name: str) -> Network:
    """A network by name. Raises BadConfig for one that is neither built in nor a file, BadData for a file without edges."""
    if name in BUILT_IN:
        pairs = [(a, b) for line in re.split(r"[;\n]", BUILT_IN[name]) for a, _, found in [line.partition(":")] for b in found.split()]
    else:
        file = data_folder() / "graphs" / f"{name}.gml"
        if not re.fullmatch(r"[\w-]+", name) or not file.is_file():
            raise BadConfig(f"there is no network {name!r}: use {' or '.join(BUILT_IN)}, or put a GML file at {file}")
        pairs = EDGE.findall(file.read_text("utf-8", "replace"))
        if not pairs:
            raise BadData(file, "holds no edges 'edge [ source N target N'")
    found: dict[str, set[str]] = {}
    for a, b in pairs:
        if a != b:
            found.setdefault(a, set()).add(b)
            found.setdefault(b, set()).add(a)
    return {a: frozenset(near) for a, near in sorted(found.items())}


def large_enough(spec: Spec) -> None:
    """Raises BadConfig where the pieces would be larger than the network, or there is no such network."""
    nodes = len(network(spec.network))
    if spec.nodes[1] > nodes:
        raise BadConfig(f"nodes is {spec.nodes!r}, and the network {spec.network!r} has {nodes}")


def walked(whole: Network, size: int, stream: Stream) -> Network:
    """What a random walk met until it knew `size` nodes, or was lost in a part that is smaller, with all edges between them, under other names."""
    at = stream.choice(list(whole))
    met = {at: ""}
    for _ in range(50 * size):
        at = stream.choice(sorted(whole[at]))
        met[at] = ""
        if len(met) == size:
            break
    names = dict(zip(met, stream.sample(LETTERS, len(met))))
    return {names[a]: frozenset(names[b] for b in whole[a] if b in names) for a in met}


def solved(piece: Network, asked: str, about: list[str] | tuple[str, ...]) -> str:
    """The answer; of several shortest ways the first by name. "" where there is none."""
    if asked == "degree":
        return str(len(piece[about[0]]))
    if asked == "common":
        return "".join(sorted(piece[about[0]] & piece[about[1]]))
    if asked == "triangles":
        return str(sum(len(piece[a] & piece[b] & {c for c in piece if c > b}) for a in piece for b in piece[a] if a < b))
    ways, order = {about[0]: about[0]}, [about[0]]
    for here in order:  # which grows
        for there in sorted(piece[here]):
            if there not in ways:
                ways[there] = ways[here] + there
                order.append(there)
    return ways.get(about[1], "")


def fault(piece: Network, asked: str, about: tuple[str, ...], gold: str, tail: str) -> str:
    """What is wrong with an answer, or ""."""
    if asked == "way" and not tail.isdigit():
        if (tail[0], tail[-1]) != about:
            return f"{tail} does not go from {about[0]} to {about[1]}"
        if apart := [a + b for a, b in pairwise(tail) if b not in piece.get(a, ())]:
            return f"{apart[0]} is no edge"
        return f"{tail} is longer than {gold}" if len(tail) > len(gold) else ""
    if asked == "common" and sorted(tail) == list(gold):
        return ""
    return "" if tail == gold else f"{tail} is not {gold}"


def worked(piece: Network, asked: str, about: tuple[str, ...]) -> list[str]:
    """a:bc for each node whose neighbours are looked at."""
    near = lambda a: f"{a}:{''.join(sorted(piece[a]))}"
    if asked != "way":
        return [near(a) for a in about or sorted(piece)]
    return [near(a) for a in solved(piece, "way", about)[:-1]]
