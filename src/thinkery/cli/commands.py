"""What the commands do. Each is a thin call of `thinkery.lab.api`; heavy modules are imported inside, so that help stays quick."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from ..core.errors import BadConfig, BadData, InputError
from ..core.reading import toml
from ..lab.text import clean
from .panels import panelled

Size = Literal["tiny", "small", "medium"]
Verifier = Literal["number", "exact", "choice", "set", "math", "units", "program", "sql"]
Thinking = Literal["auto", "on", "off"]
Flag = Annotated[bool, Parameter(negative="")]
Several = Annotated[list[str] | None, Parameter(negative="")]


def _mode(as_json: bool, quiet: bool) -> str:
    return "json" if as_json else "quiet" if quiet else "auto"


def _task(
    task: str | None,
    data: Path | None,
    question: str | None,
    answer: str | None,
    verifier: str | None,
    solution: str | None,
    skip_bad: bool,
) -> Any:
    """The task that the options name."""
    from ..tasks import load_file, load_task

    if (task is None) == (data is None):
        raise InputError("name one source of problems: --task NAME, or --data FILE --question COLUMN --answer COLUMN --verifier NAME")
    if task is not None:
        return load_task(task)
    missing = [f"--{n}" for n, v in (("question", question), ("answer", answer), ("verifier", verifier)) if v is None]
    if missing:
        raise InputError(
            f"--data {data} also needs {', '.join(missing)} (verifier: number, exact, choice, set, math, units, program or sql)"
        )
    found = load_file(data, question, answer, verifier, solution=solution, skip_bad=skip_bad)  # type: ignore[arg-type]
    for line, reason in found.skipped[:5]:
        Console(stderr=True).print(Text(clean(f"skipped {data}, line {line}: {reason}")))
    if len(found.skipped) > 5:
        Console(stderr=True).print(Text(f"skipped {len(found.skipped)} rows in all"))
    return found


def thinks(solver: str | None, *tools: list[str] | None) -> str | None:
    """The solver that was asked for; with tools, unless one was, the one that calls them."""
    return solver or ("react" if any(tools) else None)


def _equipped(task: Any, tools: list[str] | None, mcp: list[str] | None) -> Any:
    """The task, with the tools that the options lend."""
    from ..tasks.equipped import Equipped
    from ..tools.kit import Kit

    return Equipped(task, Kit(tools or (), mcp or ())) if tools or mcp else task


def _config(path: Path | None, pairs: list[str]) -> dict[str, Any]:
    """Settings from a TOML file, overridden by key=value pairs."""
    found: dict[str, Any] = {}
    if path is not None:
        try:
            found = toml(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise BadData(path, error.strerror or str(error)) from error
        except ValueError as error:
            raise BadData(path, f"not valid TOML: {error}") from error
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise BadConfig(f"--set {pair!r}: write key=value, as in --set lr=1e-4")
        found[key] = value
    return found


def demo_(*, out: Path | None = None, json: Flag = False, quiet: Flag = False) -> int:
    """A race: a tiny model learns to add by imitation and by verifiable rewards, and a report says which methods differ.

    Args:
        out: where the runs go; by default runs/demo-DATE-TIME
        json: one event a line, for machines
        quiet: the last line alone
    """
    from ..lab import api
    from .live import View

    with View(_mode(json, quiet)) as view:
        result = api.demo(out, view)
        if view.mode in ("live", "plain"):
            for line in result.story:
                view.say(line)
    if not json:
        print(f"demo: accuracy {result.before:.3f} -> {result.after:.3f} (n={result.n}), report: {result.report}")
    return 0


@panelled
def train_(
    method: str,
    *,
    task: str | None = None,
    data: Path | None = None,
    question: str | None = None,
    answer: str | None = None,
    verifier: Verifier | None = None,
    solution: str | None = None,
    skip_bad: Flag = False,
    traces: Path | None = None,
    model: str = "tiny",
    steps: int | None = None,
    seed: int = 0,
    out: Path | None = None,
    resume: Flag = False,
    size: Size = "tiny",
    workers: str = "auto",
    solver: str | None = None,
    tools: Several = None,
    mcp: Several = None,
    evaluate: int = 200,
    device: str = "auto",
    dtype: str | None = None,
    thinking: Thinking = "auto",
    system: str = "",
    engine: str = "auto",
    lora: int | None = None,
    lora_alpha: float = 32.0,
    quantize: Literal["nf4"] | None = None,
    checkpointing: Flag = False,
    fit: Flag = False,
    plan: Flag = False,
    memory: float | None = None,
    config: Path | None = None,
    set: Annotated[list[str] | None, Parameter(negative="")] = None,
    track: Annotated[list[str] | None, Parameter(negative="")] = None,
    no_doctor: Flag = False,
    json: Flag = False,
    quiet: Flag = False,
) -> int:
    """Train a model on a task with a method, or with several joined by "+".

    Args:
        method: a method's id (see: thinkery list methods), or the path of a file of your own (./mine.py)
        task: a built-in task (see: thinkery list tasks)
        data: a JSONL or CSV file of problems
        question: the column that holds the question; several join with "+", as in body+question
        answer: the column that holds the answer
        verifier: how a reply is checked against the answer
        solution: the column that holds a worked reply, for supervised methods
        skip_bad: leave out rows that cannot be used instead of stopping at the first
        traces: rollouts to imitate instead of worked replies (see: thinkery eval --trace), for sft and its like
        model: a Hugging Face model folder, or a built-in size
        steps: steps of the last stage
        seed: the same seed gives the same run, whatever the number of workers
        out: the run's folder; by default runs/METHOD-TASK-DATE-TIME
        resume: go on from the run's last checkpoint
        size: how much is done by default: steps, problems and samples a step
        workers: processes; auto is one for each core
        solver: how the model thinks (see: thinkery list solvers): as the method says, or react where there are tools
        tools: what a solver may call: python, calculate, sql:FILE, or a function of yours, FILE.py:NAME; give it once for each
        mcp: a command that starts a server of tools (Model Context Protocol), which a solver may call too
        evaluate: test problems answered before and after training; 0 for none
        device: cpu, cuda or auto
        dtype: what it computes in: float32 or bfloat16
        thinking: whether the model thinks before it answers; auto is as its chat template has it
        system: a system message before every question
        engine: what draws tokens: local, transformers, vllm (a server at 127.0.0.1:8000) or a vLLM server's address; auto fits the model
        lora: train an adapter of this rank; the model's own weights stay as they are
        lora_alpha: what the adapter's update is multiplied by, over its rank
        quantize: keep the model's own weights in four bits (with --lora)
        checkpointing: compute each layer again in the backward pass instead of keeping it; large models on a GPU do so anyway
        fit: choose the tokens of a pass and the memory of keys and values so that the run fits
        plan: say what the run needs in memory, tokens and hours, and whether it fits; nothing is loaded
        memory: with --plan: GiB of a device that is not here
        config: a TOML file of settings
        set: one setting, as in --set lr=1e-4; may be given several times; a name that there is not lists those there are
        track: tell a service, too: trackio, wandb, tensorboard or mlflow, with a project if wanted (wandb:my-project); may be given several times
        no_doctor: go on where the doctor says that nothing can be learnt
        json: one event a line, for machines
        quiet: warnings and the last line alone
    """
    given = dict(locals())
    import json as form

    from ..lab import api
    from .live import View

    settings = settings_of_train(given)
    if memory is not None and not plan:
        raise BadConfig(f"--memory {memory:g} is for --plan alone: a run uses the device that is here")
    if plan:
        known = ("task", "model", "steps", "size", "solver", "config", "workers", "device", "dtype", "memory")
        needs = api.plan(method, **{name: settings[name] for name in known}, gib=memory)
        print(form.dumps(needs.to_dict()) if json else "\n".join(needs.lines()))
        needs.check()
        return 0
    with View(_mode(json, quiet)) as view:
        result = api.train(
            method, **settings, out=out, resume=resume, evaluate=evaluate, listen=view, doctor_stops=not no_doctor, track=track or ()
        )
    if not json:
        change = (
            f": accuracy {result.before.accuracy:.3f} -> {result.after.accuracy:.3f} (n={result.after.n})"
            if result.before and result.after
            else ""
        )
        view.say(f"{method} on {settings['task'].name}{change}, model: {result.folder / 'model'}")
    return 0


def settings_of_train(given: Mapping[str, Any]) -> dict[str, Any]:
    """What decides a run, as `lab.api.train` takes it, of the arguments of the command."""
    from ..lab import api

    a = SimpleNamespace(**given)
    settings = {
        name: given[name]
        for name in ("model", "steps", "seed", "size", "workers", "traces", "device", "dtype", "thinking", "system", "engine")
    }
    settings["task"] = _equipped(_task(a.task, a.data, a.question, a.answer, a.verifier, a.solution, a.skip_bad), a.tools, a.mcp)
    settings["memory"] = api.Memory(a.lora, a.lora_alpha, a.quantize, a.checkpointing or None, a.fit)
    settings["solver"], settings["config"] = thinks(a.solver, a.tools, a.mcp), _config(a.config, a.set or [])
    return settings


@panelled
def doctor_(
    method: str = "grpo",
    *,
    task: str | None = None,
    data: Path | None = None,
    question: str | None = None,
    answer: str | None = None,
    verifier: Verifier | None = None,
    solution: str | None = None,
    skip_bad: Flag = False,
    model: str = "tiny",
    seed: int = 0,
    solver: str | None = None,
    device: str = "auto",
    dtype: str | None = None,
    thinking: Thinking = "auto",
    system: str = "",
    lora: int | None = None,
    quantize: Literal["nf4"] | None = None,
    set: Annotated[list[str] | None, Parameter(negative="")] = None,
    json: Flag = False,
) -> int:
    """Find out, before a long run, what would silently keep a model from learning: gold answers that fail, replies that never end, …

    Takes the first step of a method and saves nothing. Every run does the same by itself. Exit status 2 if a finding is fatal.

    Args:
        method: what would be trained with
        task: a built-in task
        data: a JSONL or CSV file of problems
        question: the column that holds the question
        answer: the column that holds the answer
        verifier: how a reply is checked against the answer
        solution: the column that holds a worked reply
        skip_bad: leave out rows that cannot be used
        model: a Hugging Face model folder, or a built-in size
        seed: another seed, other problems and draws
        solver: how the model thinks (see: thinkery list solvers)
        device: cpu, cuda or auto
        dtype: what it computes in: float32 or bfloat16
        thinking: whether the model thinks before it answers; auto is as its chat template has it
        system: a system message before every question
        lora: with an adapter of this rank
        quantize: with the model's own weights in four bits (with --lora)
        set: one setting of the method, as in --set max_tokens=256
        json: the findings as JSON
    """
    import json as form

    from ..lab import api

    source = _task(task, data, question, answer, verifier, solution, skip_bad)
    found = api.examine(
        method, task=source, model=model, seed=seed, solver=solver, config=_config(None, set or []), device=device, dtype=dtype,
        memory=api.Memory(lora=lora, quantize=quantize), thinking=thinking, system=system,
    )  # fmt: skip
    if json:
        print(form.dumps([vars(f) for f in found], indent=1, ensure_ascii=False))
    else:
        for finding in found:
            Console(highlight=False).print(Text(clean(f"{finding.level:8}{finding.text}")))
    return 2 if any(f.level == "fatal" for f in found) else 0
