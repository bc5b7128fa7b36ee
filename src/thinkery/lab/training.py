"""Training: a run from its first evaluation to its last, what it will need, and what the doctor says of its first step."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..core.errors import InputError, StorageError
from ..engines.choice import remote
from ..engines.local import KV_BYTES
from ..engines.plan_cpu import compiled
from ..learning.checkpoint import write_json
from ..learning.collect import Unit
from ..learning.importance import corrected
from ..learning.loop import Learning
from ..learning.recipe import Setting, Stage
from ..learning.workers import count as processes
from ..tasks import Task
from . import doctor
from .answering import tell_engine
from .evaluation import Evaluation, evaluate_model, sample_record
from .events import Event, Listener, silent
from .loading import Model, load_model, task_of
from .manner import settings_of, spoken_to
from .memory import Memory, fitted, job_of, with_cells
from .plan import Plan
from .plan import plan as plan_of
from .recipes import recipe_for
from .run import Run, command, drive


@dataclass(frozen=True)
class RunResult:
    """What training left: the folder, the trained model, accuracies before and after (None: not evaluated)."""

    folder: Path
    model: Model
    before: Evaluation | None
    after: Evaluation | None
    steps: int
    tokens: int
    seconds: float


def train(
    method: str,
    *,
    task: str | Task | None = None,
    model: str | Path = "tiny",
    steps: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    size: str = "tiny",
    workers: int | str = "auto",
    solver: str | None = None,
    evaluate: int = 200,
    config: Mapping[str, Any] | None = None,
    budget: int | None = None,
    before: Evaluation | None = None,
    device: str = "auto",
    dtype: str | None = None,
    memory: Memory | None = None,
    thinking: str = "auto",
    system: str = "",
    engine: str = "auto",
    listen: Listener | None = None,
    checkpoint_every_s: float = 30.0,
    doctor_stops: bool = True,
) -> RunResult:
    """Train a model on a task with a method; several methods join with "+".

    Leaves out/model as a Hugging Face folder (of an adapter: as peft has it) and out/run.json. `evaluate` test problems are answered
    before and after (0: none); `before` is the former, where it is known already. `budget`: training ends with the step that has sampled
    so many tokens. `memory` says how the model is kept: Memory(lora=16, quantize="nf4"). thinking: on, off or auto, as the
    model's chat template has it; system: a message before every question. engine: local, transformers, vllm or a vLLM server's address.
    Raises InputError for bad input, KeyboardInterrupt after a checkpoint when interrupted.
    """
    the_task, memory = task_of(task), memory or Memory()
    if budget is not None and budget < 1:
        raise InputError(f"a budget of {budget} tokens: give at least 1, or none")
    settings = dict(config or {}) | {k: v for k, v in (("steps", steps), ("budget", budget)) if v is not None}
    setting = Setting(the_task, str(model), size, budget, seed)
    recipe = recipe_for(method, setting, config or {}, steps, solver)
    recipe = corrected(recipe) if remote(engine) else recipe
    processes(workers, 1)
    needs = job_of(model, recipe, the_task, memory, device, dtype, workers) if memory != Memory() else None
    loaded = spoken_to(load_model(model, device, dtype, memory, seed), thinking, system)
    settings |= memory.settings() | settings_of(thinking, system)
    about = {"method": method, "task": the_task.name, "model": str(model), "seed": seed, "size": size, "config": settings, "solver": solver}
    about |= {"command": command(), "stages": [{"name": s.name, "steps": s.steps} for s in recipe.flat()]}
    about["parameters"] = sum(p.numel() for p in loaded.decoder.parameters())
    folder = Path(out) if out is not None else _folder(method, the_task)
    kv_bytes = KV_BYTES
    if memory.fit and needs is not None:
        sizes = about["fitted"] = fitted(needs, loaded.decoder, folder if resume else None)
        recipe, kv_bytes = with_cells(recipe, sizes["cells"]), sizes["kv_bytes"]
    run = Run(folder, about, resume)
    learning = Learning(recipe, setting, loaded, workers, kv_bytes, engine)
    job = _Job(run, learning, loaded, the_task, evaluate, before, solver, doctor_stops, listen or silent)
    job.tell(Event("saved", {"path": str(folder), "what": "run folder"}))
    if not run.resumed:
        tell_engine(loaded, engine, job.tell)
    start, end = job.whole(checkpoint_every_s)
    state = learning.state
    return RunResult(folder, loaded, start, end, state.total, state.tokens, run.about["wall_s"])


def _folder(method: str, task: Task) -> Path:
    """Where a run goes if nothing is said."""
    names = "+".join(Path(m).stem for m in method.split("+"))
    return Path("runs") / f"{names}-{task.name}-{time.strftime('%Y%m%d-%H%M%S')}"


def plan(
    method: str,
    *,
    task: str | Task | None = None,
    model: str | Path = "tiny",
    steps: int | None = None,
    size: str = "tiny",
    solver: str | None = None,
    config: Mapping[str, Any] | None = None,
    workers: int | str = "auto",
    device: str = "auto",
    dtype: str | None = None,
    memory: Memory | None = None,
    gib: float | None = None,
) -> Plan:
    """What `train` with these settings needs: memory, tokens, hours; nothing is loaded. `gib`: memory of a device that is not here."""
    the_task = task_of(task)
    recipe = recipe_for(method, Setting(the_task, str(model), size), config or {}, steps, solver)
    return plan_of(job_of(model, recipe, the_task, memory or Memory(), device, dtype, workers, gib))


@dataclass(frozen=True)
class _Job:
    """A run being carried out."""

    run: Run
    learning: Learning
    model: Model
    task: Task
    evaluate: int
    known: Evaluation | None
    solver: str | None
    checked: bool
    tell: Listener
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Time at work, that of earlier starts included."""
        return float(self.run.about.get("wall_before_s", 0.0)) + time.monotonic() - self.began

    def whole(self, checkpoint_every_s: float) -> tuple[Evaluation | None, Evaluation | None]:
        """Carry it out, noting how it ended."""
        try:
            before, after = self.carry_out(checkpoint_every_s)
        except KeyboardInterrupt:
            self.run.write(status="interrupted", wall_s=self.seconds)
            self.tell(Event("note", {"text": f"interrupted; continue with the same command and --resume --out {self.run.folder}"}))
            raise
        except BaseException as error:
            self.fail(error)
            raise
        self.tell(Event("saved", {"path": str(self.run.folder / "model"), "what": "model"}))
        state, seconds = self.learning.state, self.run.about["wall_s"]
        self.tell(Event("done", {"folder": str(self.run.folder), "steps": state.total, "tokens": state.tokens, "seconds": seconds}))
        return before, after

    def carry_out(self, checkpoint_every_s: float) -> tuple[Evaluation | None, Evaluation | None]:
        """Evaluate, preview, learn, save, evaluate."""
        if not compiled():
            self.tell(Event("note", {"text": "compiling the kernels for this machine: once, about half a minute"}))
        before = self._before()
        if not self.run.resumed:
            preview(self.learning, self.tell)
            self.say(doctor.before(self.model, self.task, self.learning.stage, self.learning.setting.seed))
        drive(self.learning, self.run, self.tell, checkpoint_every_s, self.examine)
        self.learning.leave()
        self.model.save(self.run.folder / "model")
        after = self._measure("after")
        evaluations = {name: e.to_dict() for name, e in (("before", before), ("after", after)) if e is not None}
        if before is not None and after is not None:
            write_json(self.run.folder / "samples.json", {"before": before.samples, "after": after.samples})
        state = self.learning.state
        self.run.write(status="done", evaluations=evaluations, steps=state.total, tokens=state.tokens, wall_s=self.seconds)
        return before, after

    def examine(self, stage: Stage, metrics: Mapping[str, float]) -> None:
        """The doctor's view of a stage's first step."""
        self.say(doctor.after(self.learning.rollouts, metrics, stage, self.model))

    def say(self, found: Sequence[doctor.Finding]) -> None:
        """Tell findings; a fatal one stops the run, if the doctor is asked to."""
        for finding in found:
            self.tell(Event("finding", vars(finding)))
        if self.checked:
            doctor.stop(found)

    def fail(self, error: BaseException) -> None:
        """Note what went wrong; wrong input that shows before the first step leaves nothing behind."""
        self.learning.leave()
        if isinstance(error, InputError) and not self.run.resumed and self.learning.state.total == 0:
            shutil.rmtree(self.run.folder, ignore_errors=True)
            return
        with contextlib.suppress(StorageError):  # the disk may be what failed
            self.run.write(status="failed", error=f"{type(error).__name__}: {error}", wall_s=self.seconds)

    def _measure(self, label: str) -> Evaluation | None:
        if self.evaluate < 1 or self.task.size("test") == 0:
            return None
        seed = self.learning.setting.seed
        return evaluate_model(
            self.learning.sampler(), self.task, n=self.evaluate, seed=seed, solver=self.solver or "single", label=label, listen=self.tell
        )

    def _before(self) -> Evaluation | None:
        """The evaluation before training; a resumed run keeps the first one."""
        kept, samples = self.run.about["evaluations"].get("before"), self.run.folder / "samples.json"
        if kept is not None and samples.exists():
            return Evaluation(**kept, samples=json.loads(samples.read_text(encoding="utf-8"))["before"])
        found = self.known or self._measure("before")
        if found is not None:
            write_json(samples, {"before": found.samples})
            self.run.write(evaluations={"before": found.to_dict()})
        return found


def examine(
    method: str = "grpo",
    *,
    task: str | Task | None = None,
    model: str | Path = "tiny",
    seed: int = 0,
    size: str = "tiny",
    solver: str | None = None,
    config: Mapping[str, Any] | None = None,
    device: str = "auto",
    dtype: str | None = None,
    memory: Memory | None = None,
    thinking: str = "auto",
    system: str = "",
) -> list[doctor.Finding]:
    """What the doctor finds before and in the first step of a method, with the model kept and spoken to as `train` would. Nothing is saved.

    Raises InputError for bad input, and what the step itself raises.
    """
    the_task = task_of(task)
    setting = Setting(the_task, str(model), size, seed=seed)
    recipe = recipe_for(method, setting, config or {}, None, solver)
    loaded = spoken_to(load_model(model, device, dtype, memory, seed), thinking, system)
    learning = Learning(recipe, setting, loaded)
    stage = learning.stage
    found = doctor.before(loaded, the_task, stage, seed)
    try:
        metrics = learning.step()
        return [*found, *doctor.after(learning.rollouts, metrics, stage, loaded)]
    finally:
        learning.leave()


def preview(learning: Learning, tell: Listener, n: int = 5) -> None:
    """Five rendered prompts, replies, parsed answers and verdicts, before the first step: what goes wrong is mostly visible here."""
    if learning.executor is None:
        learning.enter()
    stage = learning.stage
    collector = replace(learning.collector(stage), purpose="preview", verifies=True)
    styles = [*stage.styles, *learning.setting.task.styles]
    style = styles[0] if stage.source == "demonstrations" and styles else None
    picks = stage.curriculum.pick(stage.curriculum.init(), 0, n)
    rollouts = collector.collect(0, [Unit(i, 0, spec, style) for i, spec in picks])
    decode = lambda r: r.turns[0].context.text if r.turns else r.problem.question.prompt
    tell(Event("preview", {"samples": [sample_record(r) | {"rendered": decode(r)} for r in rollouts]}))
