"""Replay: the steps of a run made once more from its checkpoint, and where they first differ from its record.

What seed and recipe determine must come out again to the bit: prompts, tokens, log-probabilities, entropies, verdicts, rewards, advantages,
the step's metrics (the gradient's norm among them, which no other update has), and the weights, where a checkpoint of the step is kept.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from ..core.errors import InputError
from ..learning import checkpoint
from ..learning.gradient import trained
from ..learning.loop import Learning
from ..tasks import Task
from .events import Event, Listener, begin
from .loading import task_of
from .notebook import shown
from .run import matching
from .store import Store, query
from .text import one_line
from .training import prepared

# What is compared, in this order: a table's rows of a step, under the columns that name a row.
ROLLOUTS = "FROM rollouts r JOIN problems p ON p.id = r.problem"
PARTS = (
    (2, f"SELECT r.number, r.k, p.prompt, p.gold {ROLLOUTS} WHERE r.step = ? ORDER BY 1, 2"),
    (
        3,
        "SELECT r.number, r.k, t.turn, t.role, c.text AS context, t.ids AS tokens, t.logp AS 'log-probabilities', t.entropy AS entropies, t.ended, "
        "t.forced, t.temperature, t.text FROM turns t JOIN rollouts r ON r.id = t.rollout JOIN contexts c ON c.id = t.context "
        "WHERE r.step = ? ORDER BY 1, 2, 3",
    ),
    (3, "SELECT r.number, r.k, x.call, x.tool, x.arguments, x.text, x.error FROM calls x JOIN rollouts r ON r.id = x.rollout WHERE r.step = ? ORDER BY 1, 2, 3"),
    (2, f"SELECT r.number, r.k, r.reply, r.parsed, r.score, r.reason, r.error, r.truncated {ROLLOUTS} WHERE r.step = ? ORDER BY 1, 2"),
    (3, "SELECT r.number, r.k, x.name, x.value AS reward FROM rewards x JOIN rollouts r ON r.id = x.rollout WHERE r.step = ? ORDER BY 1, 2, 3"),
    (2, f"SELECT r.number, r.k, r.reward {ROLLOUTS} WHERE r.step = ? ORDER BY 1, 2"),
    (3, "SELECT r.number, r.k, t.turn, t.advantage FROM turns t JOIN rollouts r ON r.id = t.rollout WHERE r.step = ? ORDER BY 1, 2, 3"),
    (1, "SELECT name AS metric, value FROM metrics WHERE step = ? ORDER BY 1"),
)  # fmt: skip
ARRAYS = {"tokens": "<i4", "log-probabilities": "<f4", "entropies": "<f4", "advantage": "<f4"}
NAMES = {"number": "problem", "k": "sample"}  # of columns, for people


@dataclass(frozen=True)
class Replay:
    """What came of it: the step asked for, the step it began after, what was compared, and the first difference in words ("": none).

    weights   whether those after the step are those of its checkpoint: "equal", "differ", or "not kept"
    """

    step: int
    after: int
    rollouts: int
    tokens: int
    difference: str
    weights: str

    @property
    def same(self) -> bool:
        """Whether all came out as recorded."""
        return not self.difference and self.weights != "differ"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "same": self.same}

    @property
    def text(self) -> str:
        """In a sentence or two."""
        made = f"steps {self.after + 1} to {self.step}" if self.step > self.after + 1 else f"step {self.step}"
        if self.difference:
            return f"{made} made again: the first difference is {self.difference}"
        weights = {"equal": ", and so do the weights after it", "differ": ", but the weights after it differ from the checkpoint's"}
        return f"{made} made again: {self.rollouts} rollouts, {self.tokens:,} tokens and all metrics agree to the bit{weights.get(self.weights, '')}"


def replay(
    run: str | Path, step: int, method: str, *, task: str | Task | None = None, listen: Listener | None = None, **given: Any
) -> Replay:
    """Make a run's step once more and compare; the further arguments are those that `train` was called with. The run is left as it is.

    Begins at the newest checkpoint before the step, or at the run's start, and compares every step from there on. Raises InputError where
    the run has no such step or was started with other arguments.
    """
    folder, the_task, tell = Path(run), task_of(task), shown(listen)
    done = query(folder, "SELECT coalesce(max(step), 0) FROM steps")[1][0][0]
    if not 1 <= step <= done:
        raise InputError(f"{folder} has no step {step}: " + (f"it has 1 to {done}" if done else "no step is recorded yet"))
    learning, _, about = prepared(method, the_task, folder, **given)
    matching(folder, about, "replay it with the same arguments")
    tell(begin("train", f"step {step} of {folder}, once more"))
    kept = [c for c in checkpoint.existing(folder / "checkpoints") if _step(c) < step]
    if kept:
        checkpoint.load(learning, kept[-1])
    with contextlib.ExitStack() as stack:
        stack.callback(learning.leave)
        again = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        return _compared(learning, folder, again, step, tell)


def _step(path: Path) -> int:
    return int(path.name.split("-")[1])


def _compared(learning: Learning, run: Path, again: Path, step: int, tell: Listener) -> Replay:
    """Make the steps up to `step`, each written to a record of its own in `again`, until one differs."""
    after, rollouts, tokens, difference = learning.state.total, 0, 0, ""
    store = Store(again)
    store.step = after
    try:
        while learning.state.total < step and not difference:
            stage, at = learning.stage, learning.state.step
            metrics = learning.step()
            now = learning.state.total
            sampled = (learning.rollouts, learning.learnt) if stage.source == "task" else ()
            store.write(now, stage.name, metrics, 0.0, *sampled)
            store.flush()
            tell(Event("step", {**metrics, "stage": stage.name, "step": at + 1, "steps": stage.steps, "total": now, "total_steps": step}))
            rollouts, tokens = rollouts + len(learning.rollouts), tokens + int(metrics["tokens"])
            difference = next(differences(run, again, now), "")
    finally:
        store.close()
    weights = "not kept" if difference else _weights(learning, run / "checkpoints" / f"step-{step:08d}")
    return Replay(step, after, rollouts, tokens, difference, weights)


def _weights(learning: Learning, kept: Path) -> str:
    """Whether the weights are those of a checkpoint."""
    if not (kept / "state.json").is_file():
        return "not kept"
    before = load_file(str(kept / "model.safetensors"))
    now = {name: p.detach().cpu() for name, p in trained(learning.model.decoder).items()}
    return "equal" if all(name in before and torch.equal(p, before[name]) for name, p in now.items()) else "differ"


def differences(run: Path, again: Path, step: int) -> Iterator[str]:
    """Where two records of a step differ, in words, in the order in which things are made."""
    for keys, sql in PARTS:
        columns, before = query(run, sql, (step,))
        _, now = query(again, sql, (step,))
        rows = [{row[:keys]: row for row in found} for found in (before, now)]
        for key in dict.fromkeys([*rows[0], *rows[1]]):
            place = f"step {step}: " + ", ".join(f"{NAMES.get(c, c)} {x}" for c, x in zip(columns, key))
            old, new = (found.get(key) for found in rows)
            if old is None or new is None:
                yield f"{place}: {'was not there' if old is None else 'is not there any more'}"
                continue
            for name, a, b in zip(columns[keys:], old[keys:], new[keys:]):
                if a != b:
                    yield f"{place}: {_told(name, a, b)}"


def _told(name: str, was: Any, now: Any) -> str:
    """Two values that differ."""
    if name in ARRAYS and isinstance(was, bytes) and isinstance(now, bytes):
        a, b = (np.frombuffer(x, ARRAYS[name]) for x in (was, now))
        n = min(len(a), len(b))
        at = int(np.flatnonzero(a[:n] != b[:n])[0]) if (a[:n] != b[:n]).any() else n
        one = lambda x: str(x[at]) if at < len(x) else "none"
        return f"{name} differ from number {at + 1} on: was {one(a)}, is {one(b)}"
    return f"{name} was {one_line(repr(was), 80)}, is {one_line(repr(now), 80)}"
