"""What a task is, and which split a content belongs to.

A problem is a pure function of (index, split, seed, difficulty). Its split is decided by its content, by hashing its family, so
no train problem turns up in test, whatever the seed.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import Any

from ..core.errors import UnknownName
from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream

SPLITS = {"train": 80, "validation": 5, "test": 15}  # percent of all families
CORRUPTED = "corrupted"  # the style of demonstrations that are wrong on purpose


class Task(ABC):
    """A supply of problems with a verifier.

    max_tokens   room that any of its demonstrations needs with one token per character, the end token included
    styles       demonstrations it can write; the first is the default
    stop         strings that end a reply
    findings     what a user should know before trusting its scores, each with what to do
    """

    name: str
    max_tokens: int
    styles: tuple[str, ...]
    stop: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()

    @abstractmethod
    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        """Problem `index` of a split: random access, pure in its arguments.

        `spec` overrides difficulty keys. Raises BadConfig for a key the task lacks, UnknownName for a split there is not,
        InputError for an index outside the split.
        """

    def size(self, split: str) -> int | None:
        """How many problems the split has; None: endless."""
        check_split(split)
        return None

    @abstractmethod
    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """The verdict. A reply that cannot be read, or was cut off, scores 0 with a reason; no text makes this raise."""

    def has_demonstration(self, problem: Problem) -> bool:
        """Whether a worked reply can be had for this problem."""
        return bool(self.styles)

    @abstractmethod
    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        """A worked reply: every style verifies to 1, but "corrupted" to 0. Raises UnknownName for a style the task lacks."""

    def tools(self, problem: Problem, rng: Stream) -> object | None:
        """What a solver may use besides the model, made anew for each rollout."""
        return None


def split_of(content: str, seed: int = 0) -> str:
    """The split of a content: 80 % of all contents are train, 5 % validation, 15 % test. Another seed splits anew."""
    place = int.from_bytes(digest(f"{seed}:{content}"), "little") % 100
    for split, percent in SPLITS.items():
        if place < percent:
            return split
        place -= percent
    raise AssertionError("the shares of the splits add to 100")


def digest(text: str) -> bytes:
    """Eight bytes that stand for a text, equal in every process."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def check_split(split: str) -> None:
    """Raises UnknownName for a split that there is not."""
    if split not in SPLITS:
        raise UnknownName("split", split, SPLITS)


def check_style(task: Task, style: str) -> None:
    """Raises UnknownName for a style that the task cannot write."""
    if style not in task.styles:
        raise UnknownName("style", style, task.styles, f"(of the task {task.name!r})")
