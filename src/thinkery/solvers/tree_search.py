"""Tree search over steps, guided by what somebody thinks of each beginning: Monte Carlo tree search with a value instead of playing out.

Kocsis and Szepesvari 2006, "Bandit based Monte-Carlo planning" (UCT); Yao et al. 2023, "Tree of thoughts" (arXiv:2305.10601). What
beginnings have in common is computed once: they are branches of one context.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..core.errors import BadConfig
from ..core.records import Question, Reply
from ..engines.session import Session
from ..tasks.generated import whole
from .beam import LIKELIHOOD, Path, Search, search
from .scored import MOST, rank

UNKNOWN = 0.5  # the value of a first step that nobody could rate


@dataclass(eq=False)
class Node:
    """A beginning in the tree: how often it was passed, the sum of the values found there, how often it was gone on from."""

    path: Path
    visits: int = 0
    total: float = 0.0
    tried: int = 0
    kids: list[Node] = field(default_factory=list)

    @property
    def mean(self) -> float:
        """The mean value."""
        return self.total / self.visits if self.visits else UNKNOWN

    def open(self, width: int) -> bool:
        """Whether anything is left to try here or further on."""
        return not self.path.end and (self.tried < width or any(kid.open(width) for kid in self.kids))

    def all(self) -> Iterator[Node]:
        """This one and all further on."""
        yield self
        for kid in self.kids:
            yield from kid.all()


async def tree_search(
    model: Session,
    question: Question,
    tools: Any = None,
    asks: int = 32,
    width: int = 3,
    explore: float = 0.5,
    score: str = "approval",
    shots: str = "",
) -> Reply:
    """The best reply of a tree of steps, of which `asks` are sampled in all, at most `width` from one place.

    explore   the constant of UCT: how much places that were seldom tried are preferred; 0: best first
    score     "approval" or "grade" by the role "scorer", "verifier", or "likelihood", as in `beam`: the value of a beginning
    shots     as in `scored`

    Steps end and have room as in `beam`. If no reply has ended by then, the best beginning is gone on from to its end. Sampled at temperature
    1 where greedy replies were asked for. Raises as `scored`.
    """
    whole("asks", asks, 1, MOST)
    whole("width", width, 1, MOST)
    if not 0 <= explore < math.inf:
        raise BadConfig(f"explore is {explore!r}; give a number of at least 0")
    looked = search(model, question, tools, score)
    root = Node(looked.begun(shots))
    for i in range(asks):
        if not root.open(width):
            break
        line = chosen(root, width, explore)
        grown = await looked.onward(model.branch(i), line[-1].path)
        entered(line, grown, worth(grown, line[-1].mean, score))
    return (await ended(model.branch(asks), looked, [node.path for node in root.all()][1:])).reply(model)


def chosen(root: Node, width: int, explore: float) -> list[Node]:
    """The way from the root to the place to go on from: UCT, of equal ones the first."""
    line = [root]
    while (node := line[-1]).tried >= width:
        bound = [k.mean + explore * math.sqrt(math.log(node.visits) / k.visits) if k.open(width) else -math.inf for k in node.kids]
        line.append(node.kids[bound.index(max(bound))])
    return line


def entered(line: list[Node], grown: Path, value: float) -> None:
    """Note what was found after a place; the same step once more is the same place."""
    line[-1].tried += 1
    found = next((k for k in line[-1].kids if k.path.context == grown.context), None)
    if found is None:
        found = Node(grown)
        line[-1].kids.append(found)
    for node in (*line, found):
        node.visits += 1
        node.total += value


def worth(path: Path, before: float, score: str) -> float:
    """The value of a beginning, in [0, 1]: nothing if it was cut off; one that nobody could rate is worth what is before it."""
    if path.end == "length":
        return 0.0
    if path.score is None:
        return before
    return math.exp(path.score) if score == LIKELIHOOD else path.score


async def ended(branch: Session, looked: Search, paths: list[Path]) -> Path:
    """The best that has ended; else the best, to its end; one that was cut off if there are no others."""
    whole_ones = [p for p in paths if p.end == "stop"]
    if whole_ones:
        return max(whole_ones, key=lambda p: rank(p.score))
    best = max(paths, key=lambda p: p.order)
    return best if best.end else await looked.finished(branch, best)
