"""The replies of an evaluation that are finished, kept while it is at work, so that an interrupted one goes on where it stopped."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO, cast

from ..core.context import Turn
from ..core.reading import loads
from ..core.records import CALLS, Problem, Reply, Rollout, Verdict
from ..models.model import RANDOM, find
from ..tasks import Task
from .parts import code_in, described, digest
from .traces import turns_of

Key = tuple[int, int]  # problem and sample
SAID = ("confidence", CALLS)  # what is kept of a reply's data


def identity(model: str | Path) -> list[Any]:
    """What tells a model's weights from others without reading them: its files with their sizes and times."""
    if "://" in str(model) or str(model).startswith(RANDOM):
        return [str(model)]
    files = sorted(p for p in find(model).resolve().iterdir() if p.is_file())
    return [[str(p), p.stat().st_size, p.stat().st_mtime_ns] for p in files]


class Kept:
    """Finished replies, a line of JSON each, in a file named by what determines them; it goes when the evaluation is complete.

    What failed is not kept: it is tried again. `whole`: with all turns, for traces.
    """

    def __init__(self, folder: Path, task: Task, about: Mapping[str, Any], whole: bool = False) -> None:
        verifier, kind = getattr(task, "verifier", None), described(type(task))  # a task made of a file names its verifier
        what = [
            task.name,
            task.max_tokens,
            kind,
            code_in(kind),
            verifier if isinstance(verifier, str) else None,
            *(["whole"] if whole else []),
        ]
        self.path = folder / f"{digest([what, dict(about)])}.jsonl"
        self.whole, self.file = whole, cast(TextIO | None, None)

    def rollouts(self, problem: Callable[[int], Problem], turns: Callable[[Mapping[str, Any]], list[Turn]]) -> dict[Key, Rollout]:
        """The replies kept by an earlier start whose problems are what they were; `turns` makes those of a row."""
        try:
            lines = self.path.read_text("utf-8").splitlines()
        except OSError:
            return {}
        found: dict[Key, Rollout] = {}
        for line in lines:
            try:
                row = loads(line)
            except ValueError:  # the last one, of a process that was killed while it wrote
                continue
            its = problem(row["index"])
            if row["problem"] == _name(its):
                reply, verdict = Reply(*row["reply"]), Verdict(*row["verdict"])
                found[row["index"], row["k"]] = Rollout(0, row["index"], row["k"], its, turns(row), reply, verdict)
        return found

    def add(self, r: Rollout, tokens: int) -> None:
        """Write a reply down. Raises OSError."""
        if r.error is not None or r.reply is None or r.verdict is None:
            return
        if self.file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = self.path.open("a", encoding="utf-8", buffering=1)
        v, said = r.verdict, {k: x for k, x in r.reply.data.items() if k in SAID}
        row = {"index": r.index, "k": r.k, "problem": _name(r.problem), "tokens": tokens}
        row |= {"reply": [r.reply.text, r.reply.truncated, said], "verdict": [v.score, v.parsed, dict(v.parts), v.reason]}
        row |= {"turns": turns_of(r)} if self.whole else {}
        self.file.write(json.dumps(row) + "\n")

    def close(self, complete: bool) -> None:
        """Nothing more is written; a complete evaluation needs no file."""
        if self.file is not None:
            self.file.close()
        if complete:
            with contextlib.suppress(OSError):  # a cache that cannot be written
                self.path.unlink()


def _name(problem: Problem) -> str:
    return digest([problem.id, problem.question.prompt, problem.answer])
