"""A run: a program driven to its end, its folder, checkpoints, resuming, Ctrl-C."""

from __future__ import annotations

import json
import math
import platform
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType
from typing import Any

from ..core.errors import BadConfig, BadData, StorageError
from ..learning import checkpoint
from ..learning.checkpoint import storage, write_json
from ..learning.loop import Learning
from ..learning.recipe import Stage
from .evaluation import sample_record
from .events import Event, Listener

SCHEMA = 1
SHOW_S = 1.0  # between two samples shown
IDENTITY = ("method", "task", "model", "seed", "size", "config")  # what a resumed run must have in common with the first start


class Run:
    """A run folder: run.json, metrics.jsonl, timing.jsonl, samples.json, checkpoints/, model/."""

    def __init__(self, folder: Path, about: Mapping[str, Any], resume: bool) -> None:
        self.folder = folder
        self.about: dict[str, Any] = {"schema": SCHEMA, **about, "status": "running", "evaluations": {}, "versions": versions()}
        self.resumed = False
        path = folder / "run.json"
        if path.exists():
            if not resume:
                raise BadConfig(f"{folder} already holds a run; continue it with --resume, or choose another --out")
            self._match(path)
        elif folder.exists() and any(folder.iterdir()):
            raise BadConfig(f"{folder} is not empty and holds no run; choose another --out")
        with storage(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self.write()

    def _match(self, path: Path) -> None:
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise BadData(path, f"not valid JSON ({error}); the run cannot be resumed") from error
        for key in IDENTITY:
            if before.get(key) != json.loads(json.dumps(self.about.get(key))):
                raise BadConfig(
                    f"{self.folder} was started with {key} {before.get(key)!r}, not {self.about.get(key)!r}; "
                    "resume with the same arguments, or choose another --out"
                )
        self.about["evaluations"] = before.get("evaluations", {})
        self.about["wall_before_s"] = before.get("wall_s", 0.0)
        self.resumed = True

    def write(self, **changes: Any) -> None:
        """Update run.json."""
        self.about |= changes
        write_json(self.folder / "run.json", self.about)

    def trim(self, steps: int) -> None:
        """Forget metrics of steps after the checkpoint that the run goes on from."""
        for name in ("metrics.jsonl", "timing.jsonl"):
            path = self.folder / name
            lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
            with storage(path):
                temporary = path.with_name(f".{name}.tmp")
                temporary.write_bytes(b"".join(line + b"\n" for line in lines[:steps]))
                temporary.replace(path)

    def log(self, metrics: Mapping[str, Any], timing: Mapping[str, Any]) -> None:
        """Append one step: what seed and recipe determine, and what the clock says, apart."""
        for name, line in (("metrics.jsonl", metrics), ("timing.jsonl", timing)):
            with storage(self.folder / name), (self.folder / name).open("a", encoding="utf-8") as f:
                f.write(json.dumps(line) + "\n")


def versions() -> dict[str, str]:
    """Versions of what numbers may depend on."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in ("thinkery", "torch", "numpy", "numba", "tokenizers"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


class Interrupts:
    """Counts Ctrl-C: the first asks for a stop at the next step, the second stops at once."""

    def __init__(self) -> None:
        self.asked = False

    @contextmanager
    def listening(self) -> Iterator[Interrupts]:
        """Handle SIGINT and SIGTERM inside; elsewhere than in the main thread nothing is handled."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}

        def stop(number: int, frame: FrameType | None) -> None:
            if self.asked:
                raise KeyboardInterrupt
            self.asked = True

        for s in before:
            signal.signal(s, stop)
        try:
            yield self
        finally:
            for s, handler in before.items():
                signal.signal(s, handler)


def drive(learning: Learning, run: Run, listen: Listener, every_s: float, examine: Callable[[Stage, Mapping[str, float]], None]) -> None:
    """Learn to the end, logging each step and checkpointing every `every_s` seconds. Ctrl-C checkpoints and raises KeyboardInterrupt.

    `examine` sees the metrics of each stage's first step, before anything of it is saved, and may raise.
    """
    checkpoints = run.folder / "checkpoints"
    found = checkpoint.existing(checkpoints)
    if found:
        checkpoint.load(learning, found[-1])
        listen(Event("note", {"text": f"resumed from step {learning.state.total} of {learning.steps}"}))
    run.trim(learning.state.total)
    began = last = time.monotonic()
    shown = began
    first, where = learning.state.total, None
    with Interrupts().listening() as interrupts:
        try:
            while not learning.done:
                here = (learning.state.position, learning.state.inner, learning.state.round)
                if here != where:
                    where, stage = here, learning.stage
                    listen(Event("stage", {"name": stage.name, "index": here[0], "of": len(learning.recipe.stages), "steps": stage.steps}))
                step, name, began_step = learning.state.step, learning.stage.name, time.monotonic()
                steps_of_stage = learning.stage.steps
                metrics = learning.step()
                if step == 0:
                    examine(stage, metrics)
                seconds = time.monotonic() - began_step
                done = learning.state.total
                run.log({"step": done, "stage": name, **metrics}, {"step": done, "seconds": seconds})
                left = (time.monotonic() - began) / (done - first) * (learning.steps - done)
                speed = metrics["tokens"] / seconds if metrics["tokens"] else metrics.get("trained_tokens", 0.0) / seconds
                listen(
                    Event(
                        "step",
                        {**metrics, "stage": name, "step": step + 1, "steps": steps_of_stage, "tokens_per_s": speed, "seconds_left": left},
                    )
                )
                _warn(metrics, done, listen)
                if time.monotonic() - shown > SHOW_S and learning.rollouts:
                    shown = time.monotonic()
                    listen(Event("sample", sample_record(learning.rollouts[0])))
                if interrupts.asked:
                    break
                if time.monotonic() - last > every_s and not learning.done:
                    _save(learning, checkpoints, listen)
                    last = time.monotonic()
            _save(learning, checkpoints, listen)
        except BaseException:
            learning.leave()
            raise
        if interrupts.asked and not learning.done:
            learning.leave()
            raise KeyboardInterrupt


def _save(learning: Learning, folder: Path, listen: Listener) -> None:
    path = checkpoint.save(learning, folder)
    listen(Event("checkpoint", {"path": str(path), "step": learning.state.total}))


def _warn(metrics: Mapping[str, float], step: int, listen: Listener) -> None:
    """Say what a reader of the curves would miss."""
    if not math.isfinite(metrics.get("gradient_norm", 0.0)):
        listen(Event("warning", {"text": f"step {step}: the gradient is not finite; the update was skipped"}))
    if metrics.get("errors"):
        listen(Event("warning", {"text": f"step {step}: {metrics['errors']:.0f} rollouts failed and were left out (not scored 0)"}))


def command() -> str:
    """The command line, as one would type it again."""
    program = Path(sys.argv[0])
    ours = program.stem == "thinkery" or program.parts[-2:] == ("thinkery", "__main__.py")
    return shlex.join(["thinkery", *sys.argv[1:]]) if ours else ""


__all__ = ["Interrupts", "Run", "StorageError", "command", "drive", "versions"]
