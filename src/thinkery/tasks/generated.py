"""Tasks that draw their problems endlessly, and what the house tasks share.

A house reply may work as it likes; what counts follows its last "#". A reply without one counts if it is nothing but an answer.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from itertools import islice
from typing import Any, ClassVar, Generic, TypeVar

from ..core.errors import BadConfig, InputError
from ..core.records import Problem, Question, Reply, Verdict
from ..core.rng import Stream, rng
from .base import CORRUPTED, Task, check_split, check_style, digest, split_of

PATIENCE = 20_000  # draws before a split is called empty
STYLES = ("trace", "direct", "verbose", "structured", CORRUPTED)

S = TypeVar("S")


class Generated(Task, Generic[S]):
    """A task whose problems are drawn. `S` is the frozen dataclass of its difficulty keys; `default` holds the task's own values.

    instruction   tells in words what its prompts ask for and how it reads a reply, for models that were not warmed up on it
    """

    default: ClassVar[Any]
    instruction: ClassVar[str]
    styles = STYLES

    def __init__(self, **spec: Any) -> None:
        self.spec: S = changed(self.default, spec, self.name)

    @abstractmethod
    def candidates(self, spec: S, stream: Stream) -> Iterator[Problem | None]:
        """Endless draws of that difficulty, None where one comes to nothing; the first whose family belongs to the split is taken."""

    @abstractmethod
    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """The demonstration in one of the task's styles."""

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        """See Task. Raises BadConfig also where the difficulty leaves the split without problems."""
        check_split(split)
        if index < 0:
            raise InputError(f"problem index {index}: indices start at 0")
        wanted = changed(self.spec, spec, self.name) if spec else self.spec
        stream = rng(seed, "task", self.name, split, index)
        for candidate in islice(self.candidates(wanted, stream), PATIENCE):
            if candidate is not None and split_of(candidate.family) == split:
                return replace(candidate, question=replace(candidate.question, instruction=self.instruction))
        raise BadConfig(f"task {self.name!r} with {wanted} has no problem for the {split} split; widen its ranges")

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        """See Task."""
        check_style(self, style)
        return self.written(problem, style, rng)


def posed(prompt: str, answer: str, family: str, difficulty: float, data: Any) -> Problem:
    """A problem named by its prompt's hash: equal prompts are the same problem."""
    return Problem(digest(prompt).hex(), Question(prompt), answer, family, difficulty, data)


def changed(spec: S, keys: Mapping[str, Any], task: str) -> S:
    """The spec with some difficulty keys changed. Raises BadConfig for unknown keys, naming those there are."""
    assert is_dataclass(spec)
    known = [f.name for f in fields(spec)]
    for key in keys:
        if key not in known:
            raise BadConfig(f"task {task!r} has no difficulty key {key!r}; it has {', '.join(known)}")
    return replace(spec, **keys)  # type: ignore[type-var]


def span(key: str, value: Any, low: int, high: int) -> tuple[int, int]:
    """A range of whole numbers, from a pair or from one number. Raises BadConfig unless it lies within low..high."""
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2 or any(type(x) is not int for x in pair) or not low <= pair[0] <= pair[1] <= high:
        raise BadConfig(f"{key} is {value!r}; give a whole number or a pair (from, to) within {low}..{high}")
    return pair[0], pair[1]


def whole(key: str, value: Any, low: int, high: int) -> None:
    """Raises BadConfig unless the value is one whole number within low..high."""
    if type(value) is not int or not low <= value <= high:
        raise BadConfig(f"{key} is {value!r}; give a whole number within {low}..{high}")


def one_of(key: str, value: Any, known: Sequence[Any]) -> None:
    """Raises BadConfig unless the value is one of those known."""
    if value not in known:
        raise BadConfig(f"{key} is {value!r}; give one of {', '.join(map(repr, known))}")


def laid_out(lines: Sequence[str], answer: str, style: str) -> str:
    """Work and answer in a style: the answer alone, the work in a row, the work gone through twice, or a line for each step."""
    if style == "direct":
        return "#" + answer
    if style == "structured":
        return "".join(f"{line}\n" for line in lines) + "#" + answer
    row = ",".join(lines)
    return f"{row};{row}#{answer}" if style == "verbose" else f"{row}#{answer}"


def judged(reply: Reply, answer: str, form: re.Pattern[str], what: str) -> Verdict:
    """1 if what follows the last "#" is the answer. `form` matches anything that can be an answer, `what` says it in words."""
    return checked(reply, form, what, lambda tail: "" if tail == answer else f"{tail} is not {answer}")


def checked(reply: Reply, form: re.Pattern[str], what: str, fault: Callable[[str], str]) -> Verdict:
    """1 if what follows the last "#" has the form and no fault: `fault` says what is wrong with it, or ""."""
    if reply.truncated:
        return Verdict(0.0, reason="cut off at the token limit")
    tail = reply.text[reply.text.rfind("#") + 1 :].strip()
    if not form.fullmatch(tail):
        return Verdict(0.0, reason=f"no {what} after the last #")
    wrong = fault(tail)
    return Verdict(0.0, tail, reason=wrong) if wrong else Verdict(1.0, tail, reason="right")
