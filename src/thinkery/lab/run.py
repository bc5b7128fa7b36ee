"""A run: a program driven to its end, its folder, checkpoints, resuming, Ctrl-C."""

from __future__ import annotations

import json
import math
import platform
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType
from typing import Any

from ..core.errors import BadConfig, BadData, BadModel, StorageError
from ..core.reading import loads
from ..learning import checkpoint
from ..learning.checkpoint import scratch, storage, write_json
from ..learning.loop import Learning
from ..learning.recipe import Stage
from .control import CHECKPOINT, STOP, Control
from .evaluation import sample_record
from .events import Event, Listener
from .store import Store
from .watch import Watch

SCHEMA = 1
SHOW_S = 1.0  # between two samples shown
IDENTITY = ("method", "task", "model", "seed", "size", "config")  # what a resumed run must have in common with the first start


class Run:
    """A run folder: run.json, run.sqlite, samples.json, checkpoints/, model/."""

    def __init__(self, folder: Path, about: Mapping[str, Any], resume: bool) -> None:
        self.folder = folder
        self.about: dict[str, Any] = {"schema": SCHEMA, **about, "status": "running", "evaluations": {}, "versions": versions()}
        self.resumed = False
        path = folder / "run.json"
        if path.exists():
            if not resume:
                raise BadConfig(f"{folder} already holds a run; continue it with --resume, or choose another --out")
            self._match(path)
        elif folder.exists() and any(p.name != scratch(path).name for p in folder.iterdir()):
            raise BadConfig(f"{folder} is not empty and holds no run; choose another --out")
        with storage(folder):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            write_json(path, self.about)  # first: a folder that holds anything else holds a run
            self.store = Store(folder)
        except BaseException:  # a full disk, or Ctrl-C: half a folder could neither be resumed nor begun anew
            if not self.resumed:
                shutil.rmtree(folder, ignore_errors=True)
            raise

    def _match(self, path: Path) -> None:
        before = matching(self.folder, self.about, "resume with the same arguments, or choose another --out")
        self.about["evaluations"] = before.get("evaluations", {})
        self.about["wall_before_s"] = before.get("wall_s", 0.0)
        self.resumed = True

    def write(self, **changes: Any) -> None:
        """Update run.json."""
        self.there()
        self.about |= changes
        write_json(self.folder / "run.json", self.about)

    def there(self) -> None:
        """Raises StorageError where the folder is not the run's any more: nothing would be made again but by half."""
        if not (self.folder / "run.json").is_file():
            raise StorageError(
                f"{self.folder} is gone or was emptied while it was at work, so nothing more is saved; begin anew with --out"
            )

    def close(self) -> None:
        """The record is whole; nothing more is written to it."""
        self.store.close()


def matching(folder: Path, about: Mapping[str, Any], advice: str) -> dict[str, Any]:
    """What the run.json of a run says, if it is of the same run. Raises BadData, BadConfig."""
    path = folder / "run.json"
    try:
        before: dict[str, Any] = loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadData(path, error.strerror or str(error)) from error
    except ValueError as error:
        raise BadData(path, f"not valid JSON ({error}); the run cannot be continued") from error
    for key in IDENTITY:
        if before.get(key) != json.loads(json.dumps(about.get(key))):
            raise BadConfig(f"{folder} was started with {key} {before.get(key)!r}, not {about.get(key)!r}; {advice}")
    return before


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
    def listening(self, listen: Listener) -> Iterator[Interrupts]:
        """Handle SIGINT and SIGTERM inside; elsewhere than in the main thread nothing is handled. `listen` hears of the first at once."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}

        def stop(number: int, frame: FrameType | None) -> None:
            if self.asked:
                raise KeyboardInterrupt
            self.asked = True
            listen(Event("stopping"))

        for s in before:
            signal.signal(s, stop)
        try:
            yield self
        finally:
            for s, handler in before.items():
                signal.signal(s, handler)


def drive(learning: Learning, run: Run, listen: Listener, every_s: float, examine: Callable[[Stage, Mapping[str, float]], None]) -> None:
    """Learn to the end, logging each step and checkpointing every `every_s` seconds. Ctrl-C checkpoints and raises KeyboardInterrupt,
    and so does a request to stop (`control`).

    `examine` sees the metrics of each stage's first step, before anything of it is saved, and may raise.
    """
    if _resumed(learning, run.folder / "checkpoints", listen):
        listen(Event("note", {"text": f"resumed from step {learning.state.total} of {learning.steps}"}))
    run.store.trim(learning.state.total)
    began = last = time.monotonic()
    shown = began
    first, where, watch = learning.state.total, None, Watch()
    with Interrupts().listening(listen) as interrupts, Control(run.folder).listening() as control:
        try:
            while not learning.done:
                here = (learning.state.position, learning.state.inner, learning.state.round)
                if here != where:
                    where, stage = here, learning.stage
                    run.store.flush()  # its workers are forked
                    listen(Event("stage", {"name": stage.name, "index": here[0], "of": len(learning.recipe.stages), "steps": stage.steps}))
                step, name, began_step = learning.state.step, learning.stage.name, time.monotonic()
                steps_of_stage = learning.stage.steps
                metrics = learning.step()
                if step == 0:
                    examine(stage, metrics)
                seconds = time.monotonic() - began_step
                done = learning.state.total
                sampled = (learning.rollouts, learning.learnt) if stage.source == "task" else ()  # the others are kept elsewhere
                run.store.write(done, name, metrics, seconds, *sampled)
                left = (time.monotonic() - began) / (done - first) * (learning.steps - done)
                speed = metrics["tokens"] / seconds if metrics["tokens"] else metrics.get("trained_tokens", 0.0) / seconds
                listen(
                    Event(
                        "step",
                        {**metrics, "stage": name, "step": step + 1, "steps": steps_of_stage, "tokens_per_s": speed, "seconds_left": left}
                        | {"total": done, "total_steps": learning.steps},
                    )
                )
                _warn(metrics, done, listen)
                for finding in watch.look(here, metrics):
                    listen(Event("finding", vars(finding)))
                if time.monotonic() - shown > SHOW_S and learning.rollouts:
                    shown = time.monotonic()
                    listen(Event("sample", sample_record(learning.rollouts[0])))
                asked = control.asked()
                if asked == STOP and not interrupts.asked:
                    interrupts.asked = True
                    listen(Event("stopping"))
                if interrupts.asked:
                    break
                if (asked == CHECKPOINT or time.monotonic() - last > every_s) and not learning.done:
                    _save(learning, run, listen)
                    last = time.monotonic()
            _save(learning, run, listen)
        except BaseException:
            learning.leave()
            raise
        if interrupts.asked and not learning.done:
            learning.leave()
            raise KeyboardInterrupt


def _resumed(learning: Learning, folder: Path, listen: Listener) -> bool:
    """Whether there was a checkpoint to go on from: the newest that can be read. Raises what is wrong with the newest if none can."""
    wrong: BadModel | None = None
    for found in reversed(checkpoint.existing(folder)):
        try:
            checkpoint.load(learning, found)
            return True
        except BadModel as error:
            listen(Event("warning", {"text": f"{error}" if wrong else f"{found} cannot be read, so the one before is looked at ({error})"}))
            wrong = wrong or error
    if wrong is not None:
        raise wrong
    return False


def _save(learning: Learning, run: Run, listen: Listener) -> None:
    run.there()
    run.store.flush()  # the record is never behind a checkpoint
    path = checkpoint.save(learning, run.folder / "checkpoints")
    listen(Event("checkpoint", {"path": str(path), "step": learning.state.total}))


def _warn(metrics: Mapping[str, float], step: int, listen: Listener) -> None:
    """Say what a reader of the curves would miss."""
    if not math.isfinite(metrics.get("gradient_norm", 0.0)):
        listen(Event("warning", {"text": f"step {step}: the gradient is not finite; the update was skipped"}))
    if metrics.get("errors"):
        listen(Event("warning", {"text": f"step {step}: {metrics['errors']:.0f} rollouts failed and were left out (not scored 0)"}))


__all__ = ["Interrupts", "Run", "StorageError", "drive", "versions"]
