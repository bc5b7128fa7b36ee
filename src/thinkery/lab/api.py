"""The Python front door: load_model, load_task, train, evaluate, demo. The commands are thin calls of these."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch

from ..core.context import Turn
from ..core.errors import BadConfig, InputError, StorageError
from ..core.records import Question
from ..core.rng import address
from ..engines.choice import engine_of, remote
from ..engines.local import KV_BYTES
from ..engines.plan_cpu import compiled
from ..engines.session import Sampling, Session
from ..engines.work import run as run_solvers
from ..learning.checkpoint import write_json
from ..learning.collect import Unit
from ..learning.importance import corrected
from ..learning.loop import Learning
from ..learning.recipe import Optimizer, Recipe, Setting, Stage, combine
from ..learning.workers import count as processes
from ..models import model as models
from ..solvers import solver as solver_named
from ..tasks import Task, load_task
from . import catalogue, doctor
from .answering import address as is_address
from .answering import answering, tell_engine
from .evaluation import Evaluation, evaluate_model, sample_record
from .events import Event, Listener, silent
from .manner import settings_of, spoken_to
from .memory import Memory, fitted, job_of, with_cells
from .plan import Plan
from .plan import plan as plan_of
from .report import write_report
from .run import Run, command, drive
from .text import one_line

__all__ = [
    "DemoResult", "Evaluation", "Memory", "Model", "Plan", "RunResult", "demo", "evaluate", "examine", "load_model", "load_task", "plan",
    "recipe_of", "train",
]  # fmt: skip

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # two pools of threads on few cores fight each other

SCALARS = {
    f.name: f.type
    for f in fields(Stage)
    if f.name in ("steps", "problems", "samples", "temperature", "max_tokens", "epochs", "minibatches", "shards", "cells")
}
OPTIMIZER = {f.name for f in fields(Optimizer)} - {"betas"}
REMARK = (
    "What was seen: the model learnt when to think, not a new skill. Its warm start already held worked replies that mostly "
    "come out right, and short guesses that mostly do not; the reward made it choose the former."
)


class Model(models.Model):
    """A loaded model with the conveniences of an interactive session."""

    def ask(self, prompt: str, max_tokens: int = 64, temperature: float = 0.0, seed: int = 0, stop: Sequence[str] = ()) -> Turn:
        """The model's turn after a prompt: `.text`, `.ids`, `.logp` (nats), `.ended`. Greedy unless `temperature` is given."""
        engine = engine_of(self)
        session = Session(engine, address(seed, "ask"), Sampling(max_tokens, temperature, stop=tuple(stop)))

        async def once() -> Turn:
            return await session.ask(Question(prompt))

        (turn,) = run_solvers([once()], [engine])
        if isinstance(turn, BaseException):
            raise turn
        return turn  # type: ignore[no-any-return]


def load_model(path: str | Path, device: str = "auto", dtype: str | None = None, memory: Memory | None = None, seed: int = 0) -> Model:
    """A model from a Hugging Face folder, an adapter's folder or a built-in size; `memory` adapts and quantises it.

    device: cpu, cuda or auto; dtype: float32 or bfloat16 (what it computes in). Raises UnknownName or BadModel.
    """
    kinds = {None: None, "float32": None, "bfloat16": torch.bfloat16}
    if dtype not in kinds:
        raise BadConfig(f"dtype {dtype!r}: choose float32 or bfloat16")
    place = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if place == "cpu":
        torch.set_num_threads(1)
    memory = memory or Memory()
    apart = memory.lora is not None or memory.quantize is not None  # made small before it meets the GPU
    loaded = models.load_model(path, "cpu" if apart else place, kinds[dtype])
    memory.apply(loaded.decoder, path, seed, place)
    loaded.decoder.to(place).checkpointing = memory.checkpoints(loaded.decoder.config, place)
    return Model(loaded.decoder, loaded.tokenizer, loaded.name, loaded.origin)


def _task(task: str | Task | None) -> Task:
    if task is None:
        raise InputError("no task: give --task NAME, or --data FILE --question COLUMN --answer COLUMN --verifier NAME")
    return load_task(task) if isinstance(task, str) else task


def recipe_of(method: str, setting: Setting, config: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe of a method, or of several joined by "+", with settings changed. Raises UnknownName, BadConfig, InputError."""
    names = method.split("+")
    recipes: dict[str, Recipe] = {}
    for name in names:
        module = catalogue.load(name)
        if not hasattr(module, "recipe"):
            raise InputError(f"{name} is not trained: its file has no recipe(setting)")
        recipes[name] = module.recipe(setting)
    recipe = recipes[method] if len(names) == 1 else combine(setting, recipes)
    return configured(recipe, config or {})


def _with_solver(recipe: Recipe, solver: str | None) -> Recipe:
    return recipe if solver is None else recipe.stage(recipe.flat()[-1].name, solver=solver_named(solver))


def configured(recipe: Recipe, config: Mapping[str, Any]) -> Recipe:
    """The recipe with scalar settings changed in its last stage: steps, problems, samples, temperature, lr, …, and cast.ROLE, a
    model folder for one of its roles. Unknown keys fail.
    """
    last = recipe.flat()[-1]
    stage: dict[str, Any] = {}
    for key, value in config.items():
        role = key.removeprefix("cast.")
        if role in last.cast and role != key:
            stage["cast"] = {**stage.get("cast", last.cast), role: str(value)}
            continue
        if key not in SCALARS and key not in OPTIMIZER:
            known = sorted([*SCALARS, *OPTIMIZER, *(f"cast.{r}" for r in last.cast)])
            raise BadConfig(f"unknown setting {key!r}; known: {', '.join(known)}")
        have = getattr(last, key) if key in SCALARS else getattr(last.optimizer, key)
        kind = int if key == "max_tokens" else type(have)
        try:
            if kind is int and float(value) != int(float(value)):
                raise ValueError
            new = kind(float(value)) if kind in (int, float) else str(value)
        except (TypeError, ValueError) as error:
            raise BadConfig(f"setting {key!r} is {value!r}; it must be of type {kind.__name__}") from error
        if key in SCALARS:
            stage[key] = new
        else:
            stage["optimizer"] = replace(stage.get("optimizer", last.optimizer), **{key: new})
    return recipe.stage(last.name, **stage) if stage else recipe


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
    before and after (0: none). `memory` says how the model is kept: Memory(lora=16, quantize="nf4"). thinking: on, off or auto, as the
    model's chat template has it; system: a message before every question. engine: local, transformers, vllm or a vLLM server's address.
    Raises InputError for bad input, KeyboardInterrupt after a checkpoint when interrupted.
    """
    the_task, memory = _task(task), memory or Memory()
    settings = dict(config or {}) | ({"steps": steps} if steps is not None else {})
    setting = Setting(the_task, str(model), size, seed=seed)
    recipe = _with_solver(recipe_of(method, setting, settings), solver)
    recipe = corrected(recipe) if remote(engine) else recipe
    processes(workers, 1)
    needs = job_of(model, recipe, the_task, memory, device, dtype, workers) if memory != Memory() else None
    loaded = spoken_to(load_model(model, device, dtype, memory, seed), thinking, system)
    settings |= memory.settings() | settings_of(thinking, system)
    about = {"method": method, "task": the_task.name, "model": str(model), "seed": seed, "size": size, "config": settings, "solver": solver}
    stages = [{"name": s.name, "steps": s.steps} for s in recipe.flat()]
    about |= {"command": command(), "stages": stages, "parameters": sum(p.numel() for p in loaded.decoder.parameters())}
    folder = (
        Path(out)
        if out is not None
        else Path("runs") / f"{'+'.join(Path(m).stem for m in method.split('+'))}-{the_task.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    )
    kv_bytes = KV_BYTES
    if memory.fit and needs is not None:
        sizes = about["fitted"] = fitted(needs, loaded.decoder, folder if resume else None)
        recipe, kv_bytes = with_cells(recipe, sizes["cells"]), sizes["kv_bytes"]
    run = Run(folder, about, resume)
    learning = Learning(recipe, setting, loaded, workers, kv_bytes, engine)
    job = _Job(run, learning, loaded, the_task, evaluate, solver, doctor_stops, listen or silent)
    job.tell(Event("saved", {"path": str(folder), "what": "run folder"}))
    if not run.resumed:
        tell_engine(loaded, engine, job.tell)
    try:
        before, after = job.carry_out(checkpoint_every_s)
    except KeyboardInterrupt:
        run.write(status="interrupted", wall_s=job.seconds)
        job.tell(Event("note", {"text": f"interrupted; continue with the same command and --resume --out {folder}"}))
        raise
    except BaseException as error:
        job.fail(error)
        raise
    job.tell(Event("saved", {"path": str(folder / "model"), "what": "model"}))
    state = job.learning.state
    job.tell(Event("done", {"folder": str(folder), "steps": state.total, "tokens": state.tokens, "seconds": run.about["wall_s"]}))
    return RunResult(folder, loaded, before, after, state.total, state.tokens, run.about["wall_s"])


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
    the_task = _task(task)
    settings = dict(config or {}) | ({"steps": steps} if steps is not None else {})
    recipe = _with_solver(recipe_of(method, Setting(the_task, str(model), size), settings), solver)
    return plan_of(job_of(model, recipe, the_task, memory or Memory(), device, dtype, workers, gib))


@dataclass(frozen=True)
class _Job:
    """A run being carried out."""

    run: Run
    learning: Learning
    model: Model
    task: Task
    evaluate: int
    solver: str | None
    checked: bool
    tell: Listener
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Time at work, that of earlier starts included."""
        return float(self.run.about.get("wall_before_s", 0.0)) + time.monotonic() - self.began

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
        found = self._measure("before")
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
) -> list[doctor.Finding]:
    """What the doctor finds before and in the first step of a method. Nothing is saved.

    Raises InputError for bad input, and what the step itself raises.
    """
    the_task = _task(task)
    setting = Setting(the_task, str(model), size, seed=seed)
    recipe = recipe_of(method, setting, config)
    if solver is not None:
        recipe = recipe.stage(recipe.flat()[-1].name, solver=solver_named(solver))
    loaded = load_model(model, device, dtype)
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


def evaluate(
    model: str | Path | Model,
    task: str | Task | None,
    *,
    n: int = 500,
    seed: int = 0,
    split: str = "test",
    solver: str = "single",
    samples: int = 1,
    temperature: float = 0.0,
    thinking: str = "auto",
    system: str = "",
    engine: str = "auto",
    served: str | None = None,
    listen: Listener | None = None,
) -> Evaluation:
    """Accuracy of a model on a task with a 95 % interval; `thinking`, `system` and `engine` as in `train`.

    model may be the address of an OpenAI-compatible server (http://HOST:PORT/v1); `served` names one of the models there.
    Raises InputError for bad input.
    """
    who = model if isinstance(model, Model) or is_address(model) else load_model(model)
    asked = answering(who, served, thinking, system, engine)
    found = evaluate_model(
        asked, _task(task), n=n, seed=seed, split=split, solver=solver, samples=samples, temperature=temperature, listen=listen or silent
    )
    tell_engine(asked.model, engine, listen or silent)
    return found


@dataclass(frozen=True)
class DemoResult:
    """Accuracies before and after on n problems, the report's path, and lines for people: three problems, what was seen."""

    before: float
    after: float
    n: int
    report: Path
    story: tuple[str, ...]


def demo(out: str | Path | None = None, seed: int = 0, listen: Listener | None = None, n: int = 500) -> DemoResult:
    """The main job on the embedded default: the tiny model learns to add from verifiable rewards alone."""
    folder = Path(out) if out is not None else Path("runs") / f"demo-{time.strftime('%Y%m%d-%H%M%S')}"
    result = train("grpo", task="addition", seed=seed, out=folder, evaluate=n, config=DEMO, listen=listen)
    assert result.before is not None and result.after is not None
    about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    write_json(folder / "run.json", about | {"remarks": [REMARK]})
    return DemoResult(
        result.before.accuracy, result.after.accuracy, result.after.n, write_report(folder), _story(result.before, result.after)
    )


def _story(before: Evaluation, after: Evaluation) -> tuple[str, ...]:
    """Three problems that changed from wrong to right, before and after, and the remark."""
    lines = ["three problems, before and after:"]
    changed = [(b, a) for b, a in zip(before.samples, after.samples) if not b["score"] and a["score"]]
    for b, a in changed[:3]:
        lines += [f"  {one_line(b['prompt'])}   (answer {one_line(b['gold'])})"]
        lines += [f"    before: {one_line(b['reply'])}   wrong", f"    after:  {one_line(a['reply'])}   right"]
    return (*lines, REMARK)


DEMO: dict[str, Any] = {"steps": 100, "problems": 8, "samples": 16}
