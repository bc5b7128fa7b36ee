"""Training: a run from its first evaluation to its last, what it will need, and what the doctor says of its first step."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..core.errors import InputError, StorageError
from ..core.reading import loads
from ..engines.choice import remote
from ..engines.local import KV_BYTES
from ..engines.plan_cpu import compiled
from ..learning.checkpoint import existing, write_json
from ..learning.collect import Unit
from ..learning.importance import corrected
from ..learning.loop import Learning
from ..learning.recipe import Setting, Stage
from ..learning.workers import count as processes
from ..tasks import Task
from . import doctor
from .again import command, resumed
from .answering import tell_engine
from .evaluation import Evaluation, evaluate_model, sample_record
from .events import Event, Listener, begin, both
from .finding import Finding
from .loading import Model, load_model, task_of
from .manner import settings_of, spoken_to
from .memory import Memory, fitted, job_of, with_cells
from .notebook import curves, grid, interval, replies, sheet, shown
from .plan import Plan
from .plan import plan as plan_of
from .recipes import recipe_for
from .run import Run, drive
from .sinks import Tracking, wanted
from .store import metrics_of, query


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

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """Each step's number, stage and metrics, from the record."""
        return metrics_of(self.folder)

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Rows of the run's record by their columns' names; docs/store.md has the tables. Raises InputError."""
        names, rows = query(self.folder, sql)
        return [dict(zip(names, row)) for row in rows]

    def __repr__(self) -> str:
        measured = [f"{when}: {interval(e)}" for when, e in (("before", self.before), ("after", self.after)) if e is not None]
        return "; ".join([f"{self.steps} steps, {self.tokens:,} tokens sampled", *measured, f"in {self.folder}"])

    def _repr_html_(self) -> str:
        """What a notebook shows: accuracies, curves, the first replies."""
        measured = [(when, e) for when, e in (("before", self.before), ("after", self.after)) if e is not None]
        table = grid([["", "accuracy", "tokens a reply"], *([when, interval(e), f"{e.tokens_per_reply:.1f}"] for when, e in measured)])
        told = [replies(self.after.samples)] if self.after is not None else []
        return sheet(f"{self.steps} steps, {self.tokens:,} tokens sampled, in {self.folder}", table, curves(self.metrics), *told)


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
    traces: str | Path | None = None,
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
    track: str | Sequence[str] = (),
) -> RunResult:
    """Train a model on a task with a method; several methods join with "+".

    Leaves out/model as a Hugging Face folder (of an adapter: as peft has it) and out/run.json. `evaluate` test problems are answered
    before and after (0: none); `before` is the former, where it is known already. `budget`: training ends with the step that has sampled
    so many tokens. `memory` says how the model is kept: Memory(lora=16, quantize="nf4"). thinking: on, off or auto, as the
    model's chat template has it; system: a message before every question. engine: local, transformers, vllm or a vLLM server's address.
    traces: rollouts that `evaluate` wrote, for a method that imitates; of this tokenizer, and not of test problems.
    track: services that hear of it, each with a project if wanted: trackio, wandb, tensorboard, mlflow, as in ["wandb:my-project"].
    Raises InputError for bad input, KeyboardInterrupt after a checkpoint when interrupted.
    """
    the_task, listen, services = task_of(task), shown(listen), wanted(track)
    folder = Path(out) if out is not None else _folder(method, the_task)
    learning, loaded, about = prepared(
        method, the_task, folder if resume else None, model=model, steps=steps, seed=seed, size=size, workers=workers, solver=solver,
        traces=traces, config=config, budget=budget, device=device, dtype=dtype, memory=memory, thinking=thinking, system=system, engine=engine,
    )  # fmt: skip
    run = Run(folder, about, resume)
    told = both(run.store.listen, listen)
    told(begin("train", f"{method} on {the_task.name}"))
    told(Event("saved", {"path": str(folder), "what": "run folder"}))
    with contextlib.closing(run), Tracking(services, run, told) as tracking:
        job = _Job(run, learning, loaded, the_task, evaluate, before, solver, doctor_stops, both(told, tracking.listen))
        if not run.resumed:
            tell_engine(loaded, engine, job.tell)
        start, end = job.whole(checkpoint_every_s)
    state = learning.state
    return RunResult(folder, loaded, start, end, state.total, state.tokens, run.about["wall_s"])


def prepared(
    method: str,
    task: Task,
    before: Path | None = None,
    *,
    model: str | Path = "tiny",
    steps: int | None = None,
    seed: int = 0,
    size: str = "tiny",
    workers: int | str = "auto",
    solver: str | None = None,
    traces: str | Path | None = None,
    config: Mapping[str, Any] | None = None,
    budget: int | None = None,
    device: str = "auto",
    dtype: str | None = None,
    memory: Memory | None = None,
    thinking: str = "auto",
    system: str = "",
    engine: str = "auto",
) -> tuple[Learning, Model, dict[str, Any]]:
    """A run at its beginning, its model, and what run.json says of it; the arguments as in `train`. `before`: the folder of a run that it continues."""
    if budget is not None and budget < 1:
        raise InputError(f"a budget of {budget} tokens: give at least 1, or none")
    memory = memory or Memory()
    settings = dict(config or {}) | {k: v for k, v in (("steps", steps), ("budget", budget)) if v is not None}
    setting = Setting(task, str(model), size, budget, seed)
    recipe = recipe_for(method, setting, config or {}, steps, solver, traces)
    recipe = corrected(recipe) if remote(engine) else recipe
    processes(workers, 1)
    needs = job_of(model, recipe, task, memory, device, dtype, workers) if memory != Memory() else None
    loaded = spoken_to(load_model(model, device, dtype, memory, seed), thinking, system)
    settings |= memory.settings() | settings_of(thinking, system) | ({} if traces is None else {"traces": str(traces)})
    about = {"method": method, "task": task.name, "model": str(model), "seed": seed, "size": size, "config": settings, "solver": solver}
    about |= {"command": command(), "stages": [{"name": s.name, "steps": s.steps} for s in recipe.flat()]}
    about["parameters"] = sum(p.numel() for p in loaded.decoder.parameters())
    kv_bytes = KV_BYTES
    if memory.fit and needs is not None:
        sizes = about["fitted"] = fitted(needs, loaded.decoder, before)
        recipe, kv_bytes = with_cells(recipe, sizes["cells"]), sizes["kv_bytes"]
    return Learning(recipe, setting, loaded, workers, kv_bytes, engine), loaded, about


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
            self.run.store.listen(Event("note", {"text": f"interrupted: {self.reached}"}))
            self.tell(Event("interrupted", {"text": self.reached, "again": resumed(self.run.folder)}))
            raise
        except BaseException as error:
            self.fail(error)
            raise
        self.tell(Event("saved", {"path": str(self.run.folder / "model"), "what": "model"}))
        state, seconds = self.learning.state, self.run.about["wall_s"]
        self.tell(Event("done", {"folder": str(self.run.folder), "steps": state.total, "tokens": state.tokens, "seconds": seconds}))
        return before, after

    @property
    def reached(self) -> str:
        """How far it came, in words."""
        kept = existing(self.run.folder / "checkpoints")
        at = f"the checkpoint of step {int(kept[-1].name.split('-')[1])} is kept" if kept else "nothing is kept yet"
        return f"stopped after step {self.learning.state.total} of {self.learning.steps}: {at}, in {self.run.folder}"

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
        self.say(doctor.after(self.learning.rollouts, metrics, stage, self.model, self.learning.learnt))

    def say(self, found: Sequence[Finding]) -> None:
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
            return Evaluation(**kept, samples=loads(samples.read_text(encoding="utf-8"))["before"])
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
) -> list[Finding]:
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
        return [*found, *doctor.after(learning.rollouts, metrics, stage, loaded, learning.learnt)]
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
