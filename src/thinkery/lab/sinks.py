"""Sinks: a run told, as it goes on, to trackio, Weights & Biases, TensorBoard or MLflow, each by its own settings and variables.

A sink gets the configuration, each step's metrics, and accuracies with their intervals. It works in a thread of its own; whatever fails
there, or takes too long, is one warning, after which it is off: the run goes on. A resumed run goes on in the same run of the service.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from importlib import import_module
from math import isfinite
from pathlib import Path
from queue import SimpleQueue
from threading import Event as Flag
from threading import Thread
from types import TracebackType
from typing import Any, Protocol
from uuid import uuid4

from ..core.errors import InputError, MissingExtra, UnknownName
from ..core.reading import loads
from ..learning.checkpoint import write_json
from .events import Event, Listener
from .run import Run
from .text import one_line

FILE = "track.json"  # by service, what goes on with its run
PROJECT = "thinkery"
OPEN_S, CLOSE_S, IDLE_S = 90.0, 60.0, 10.0  # how long a run waits for a service
WAITING = 5000  # calls in line before a service counts as too slow
COUNTERS = ("step", "steps", "total", "total_steps", "seconds_left")  # in an event of a step, and no metrics
NAMELESS = re.compile(r"[^\w. -]")  # what MLflow takes in no name
ABOUT = ("method", "task", "model", "seed", "size", "solver", "parameters", "command")


class Service(Protocol):
    """A run of a service that is open."""

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Send figures by name, after so many steps."""

    def close(self, status: str) -> None:
        """Send what is left; the status is done, interrupted or failed."""


class Opening:
    """What a service is opened with; `kept` is what it wants to find again when the run is resumed."""

    def __init__(self, project: str, run: Run, kept: dict[str, str]) -> None:
        self.project, self.folder, self.resumed, self.kept = project, run.folder, run.resumed, kept
        self.id = kept.setdefault("id", uuid4().hex[:12])
        self.name = kept.setdefault("name", f"{run.folder.resolve().name}-{self.id[:4]}")
        about = {k: run.about[k] for k in ABOUT if run.about.get(k) not in (None, "")}
        self.config = about | {f"config.{k}": v for k, v in run.about["config"].items()} | {"folder": str(run.folder.resolve())}


class Trackio:
    """A run of trackio, found again by its name."""

    def __init__(self, it: Opening) -> None:
        import trackio

        self.run = trackio.init(
            it.project, name=it.name, config=it.config, resume="allow", embed=False, auto_log_gpu=False, auto_log_cpu=False
        )

    def log(self, figures: Mapping[str, float], step: int) -> None:
        self.run.log(dict(figures), step=step)

    def close(self, status: str) -> None:
        self.run.finish()


class Wandb:
    """A run of Weights & Biases, found again by its id; offline where WANDB_MODE says so."""

    def __init__(self, it: Opening) -> None:
        import wandb

        if os.environ.get("WANDB_MODE", "online") == "online" and not wandb.login(prompt=False, verify=False):
            raise InputError("nobody is logged in: say 'wandb login' once, or set WANDB_API_KEY, or WANDB_MODE=offline")
        quiet = wandb.Settings(silent=True, console="off")
        self.run = wandb.init(project=it.project, id=it.id, name=it.name, config=it.config, resume="allow", settings=quiet)

    def log(self, figures: Mapping[str, float], step: int) -> None:
        self.run.log(dict(figures), step=step)

    def close(self, status: str) -> None:
        self.run.finish(exit_code=0 if status == "done" else 1)


class TensorBoard:
    """Event files in the run's folder, or in PROJECT/RUN; a resumed run takes back what came after its checkpoint."""

    def __init__(self, it: Opening) -> None:
        import tensorboardX

        place = it.folder / "tensorboard" if it.project == PROJECT else Path(it.project) / it.name
        self.open = lambda step: tensorboardX.SummaryWriter(str(place), purge_step=step if it.resumed else None)
        self.writer: Any = None
        self.config = json.dumps(it.config, indent=2, default=str)

    def log(self, figures: Mapping[str, float], step: int) -> None:
        if self.writer is None:
            self.writer = self.open(step)
            self.writer.add_text("configuration", f"```json\n{self.config}\n```", step)
        for name, value in figures.items():
            self.writer.add_scalar(name, value, step)

    def close(self, status: str) -> None:
        if self.writer is not None:
            self.writer.close()


class MLflow:
    """A run of the experiment PROJECT at MLFLOW_TRACKING_URI."""

    STATUS: Mapping[str, str] = {"done": "FINISHED", "interrupted": "KILLED"}

    def __init__(self, it: Opening) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self.client = MlflowClient()
        if "run" in it.kept:
            self.run = it.kept["run"]
            self.client.update_run(self.run, status="RUNNING")
            return
        found = self.client.get_experiment_by_name(it.project)
        experiment = self.client.create_experiment(it.project) if found is None else found.experiment_id
        self.run = it.kept["run"] = self.client.create_run(experiment, run_name=it.name).info.run_id
        self.client.log_batch(self.run, params=[Param(k, str(v)[:6000]) for k, v in it.config.items()])

    def log(self, figures: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        named = {
            NAMELESS.sub("_", name.replace("/", ".")): value for name, value in figures.items()
        }  # to a store of files a/b is a file in a
        self.client.log_batch(self.run, metrics=[Metric(name, value, now, step) for name, value in named.items()])

    def close(self, status: str) -> None:
        self.client.set_terminated(self.run, self.STATUS.get(status, "FAILED"))


SERVICES: dict[str, tuple[str, str, Callable[[Opening], Service]]] = {  # name -> (module, package, what opens it)
    "trackio": ("trackio", "trackio", Trackio),
    "wandb": ("wandb", "wandb", Wandb),
    "tensorboard": ("tensorboardX", "tensorboardX", TensorBoard),
    "mlflow": ("mlflow", "mlflow-skinny", MLflow),
}


def wanted(track: str | Sequence[str]) -> dict[str, str]:
    """Services by name, each with its project, as in "wandb:my-project". Raises UnknownName, InputError, MissingExtra."""
    found: dict[str, str] = {}
    for word in [track] if isinstance(track, str) else track:
        name, colon, project = word.partition(":")
        if name not in SERVICES:
            raise UnknownName("service to track with", name, SERVICES, "Write NAME or NAME:PROJECT.")
        if name in found or (colon and not project):
            raise InputError(f"--track {word!r}: name each service once, as in {name} or {name}:my-project")
        module, package, _ = SERVICES[name]
        try:
            import_module(module)
        except ImportError as error:
            raise MissingExtra(package, "track", f"tracking a run with {name}") from error
        found[name] = project or PROJECT
    return found


class Sink:
    """A service behind a thread. `failed` says why it is off."""

    def __init__(self, name: str) -> None:
        self.name, self.failed, self.told = name, "", False
        self.service: Service | None = None
        self.line: SimpleQueue[Callable[[], None]] = SimpleQueue()
        Thread(target=self._work, name=f"track-{name}", daemon=True).start()  # a service that hangs must not keep the process alive

    def _work(self) -> None:
        while True:
            work = self.line.get()
            try:
                work()
            except Exception as error:  # a service may raise whatever it likes
                self.failed = self.failed or f"{type(error).__name__}: {one_line(str(error), 300)}"

    def ask(self, work: Callable[[Service], None]) -> None:
        """Have something done after all that was asked before, unless the service is off."""
        if self.line.qsize() > WAITING:
            self.failed = self.failed or f"it is too slow: {WAITING} calls wait for it"
        if not self.failed:
            self.line.put(lambda: None if self.failed or self.service is None else work(self.service))

    def open(self, opens: Callable[[], Service]) -> None:
        """Open the service, and wait for it."""

        def work() -> None:
            self.service = opens()

        self.line.put(work)
        self.wait(OPEN_S)

    def wait(self, seconds: float) -> None:
        """Wait until nothing is left to do; a service that takes longer is off."""
        idle = Flag()
        self.line.put(idle.set)
        if not self.failed and not idle.wait(seconds):
            self.failed = self.failed or f"it gave no answer within {seconds:.0f} s"


class Tracking:
    """Tells a run to services; a listener of its events. Warnings go to `tell`."""

    def __init__(self, services: Mapping[str, str], run: Run, tell: Listener) -> None:
        self.services, self.run, self.tell = services, run, tell
        self.sinks: list[Sink] = []
        self.step = 0

    def __enter__(self) -> Tracking:
        if not self.services:
            return self
        path = self.run.folder / FILE
        kept = _kept(path)
        with redirect_stdout(sys.stderr):  # services greet their users there, where results are read
            for name, project in self.services.items():
                before = kept.get(name, {})
                mine = kept[name] = before if before.get("project") == project else {"project": project}
                sink, it = Sink(name), Opening(project, self.run, mine)
                sink.open(lambda name=name, it=it: SERVICES[name][2](it))  # type: ignore[misc]
                self.sinks.append(sink)
        self._look()
        write_json(path, kept)
        return self

    def listen(self, event: Event) -> None:
        """Send what an event says in figures."""
        d = event.data
        if event.kind == "step":
            self.step = d["total"]
            self._log({k: v for k, v in d.items() if k not in COUNTERS})
        elif event.kind == "evaluation":
            self._log({f"evaluation/{d['label']}/{k}": d[k] for k in ("accuracy", "low", "high")})
        elif event.kind == "stage":
            for sink in self.sinks:
                sink.wait(IDLE_S)  # its workers are forked: no thread should be at work
        self._look()

    def _log(self, data: Mapping[str, Any]) -> None:
        figures = {k: float(v) for k, v in data.items() if isinstance(v, int | float) and isfinite(v)}
        step = self.step
        for sink in self.sinks:
            sink.ask(lambda service: service.log(figures, step))

    def _look(self) -> None:
        """Say once of each service that failed."""
        for sink in self.sinks:
            if sink.failed and not sink.told:
                sink.told = True
                self.tell(Event("warning", {"text": f"{sink.name} is off, and the run goes on: {sink.failed}"}))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        status = str(self.run.about["status"])
        with redirect_stdout(sys.stderr):
            for sink in self.sinks:
                sink.ask(lambda service: service.close(status))
                sink.wait(CLOSE_S)
        self._look()


def _kept(path: Path) -> dict[str, dict[str, str]]:
    """What an earlier start left; nothing where it cannot be read, as runs of services can be begun anew."""
    try:
        found = loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
