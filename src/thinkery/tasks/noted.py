"""Sums read a few characters at a time: demonstrations are the notes that one takes on the way, then the answer."""

from __future__ import annotations

from typing import Any

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import Task, check_style
from .chain import run
from .generated import whole
from .spurious import Spurious

END = ";"  # of a note
STYLE = "notes"


def pieces(prompt: str, window: int) -> list[str]:
    """The prompt cut after every `window` characters."""
    return [prompt[i : i + window] for i in range(0, len(prompt), window)]


class Noted(Task):
    """The problems of `Spurious`; for `%5:3+4-7+5=` with a window of 7 the demonstration is `7-;#5`.

    A note is what is known at the end of a piece: the value so far, and the operation that waits for its number. The cue is not noted.
    """

    styles = (STYLE,)

    def __init__(self, task: Spurious, window: int = 16) -> None:
        whole("window", window, 4, 1000)
        self.task, self.window, self.name, self.max_tokens = task, window, f"{task.name} noted", task.max_tokens

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        """See Task."""
        return self.task.problem(index, split, seed, **spec)

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        return self.task.verify(problem, reply, rollout)

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        """See Task."""
        check_style(self, style)
        numbers, operations, _ = problem.data
        values, before = run(numbers, operations), problem.question.prompt.index(":") + 1
        read = [i * self.window - before for i in range(1, len(pieces(problem.question.prompt, self.window)))]
        return "".join(noted(values, operations, n) + END for n in read) + "#" + problem.answer


def noted(values: list[int], operations: str, read: int) -> str:
    """What is known after so many characters of the sum: digits stand at even places, operations at odd ones."""
    if read < 1:
        return ""
    return f"{values[(read - 1) // 2]}{operations[read // 2 - 1 : read // 2] if read % 2 == 0 else ''}"
