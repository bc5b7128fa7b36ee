"""What the commands do. Each is a thin call of `thinkery.lab.api`; heavy modules are imported inside, so that help stays quick."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from ..core.errors import BadConfig, BadData, InputError
from ..lab.text import clean

Size = Literal["tiny", "small", "medium"]
Verifier = Literal["number", "exact", "choice", "set", "math", "units", "program", "sql"]
Thinking = Literal["auto", "on", "off"]
Flag = Annotated[bool, Parameter(negative="")]


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


def _config(path: Path | None, pairs: list[str]) -> dict[str, Any]:
    """Settings from a TOML file, overridden by key=value pairs."""
    found: dict[str, Any] = {}
    if path is not None:
        try:
            found = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise BadData(path, error.strerror or str(error)) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
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
    model: str = "tiny",
    steps: int | None = None,
    seed: int = 0,
    out: Path | None = None,
    resume: Flag = False,
    size: Size = "tiny",
    workers: str = "auto",
    solver: str | None = None,
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
        model: a Hugging Face model folder, or a built-in size
        steps: steps of the last stage
        seed: the same seed gives the same run, whatever the number of workers
        out: the run's folder; by default runs/METHOD-TASK-DATE-TIME
        resume: go on from the run's last checkpoint
        size: how much is done by default: steps, problems and samples a step
        workers: processes; auto is one for each core
        solver: how the model thinks (see: thinkery list solvers)
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
        set: one setting, as in --set lr=1e-4; may be given several times
        no_doctor: go on where the doctor says that nothing can be learnt
        json: one event a line, for machines
        quiet: warnings and the last line alone
    """
    import json as form

    from ..lab import api
    from .live import View

    source = _task(task, data, question, answer, verifier, solution, skip_bad)
    kept = api.Memory(lora, lora_alpha, quantize, checkpointing or None, fit)
    if memory is not None and not plan:
        raise BadConfig(f"--memory {memory:g} is for --plan alone: a run uses the device that is here")
    if plan:
        needs = api.plan(
            method, task=source, model=model, steps=steps, size=size, solver=solver, config=_config(config, set or []),
            workers=workers, device=device, dtype=dtype, memory=kept, gib=memory,
        )  # fmt: skip
        print(form.dumps(needs.to_dict()) if json else "\n".join(needs.lines()))
        needs.check()
        return 0
    with View(_mode(json, quiet)) as view:
        result = api.train(
            method, task=source, model=model, steps=steps, seed=seed, out=out, resume=resume, size=size, workers=workers, solver=solver,
            evaluate=evaluate, config=_config(config, set or []), device=device, dtype=dtype, memory=kept, thinking=thinking,
            system=system, engine=engine, listen=view,
        )  # fmt: skip
    if not json:
        change = (
            f": accuracy {result.before.accuracy:.3f} -> {result.after.accuracy:.3f} (n={result.after.n})"
            if result.before and result.after
            else ""
        )
        print(f"{method} on {source.name}{change}, model: {result.folder / 'model'}")
    return 0


def eval_(
    *,
    model: str = "tiny",
    task: str | None = None,
    data: Path | None = None,
    question: str | None = None,
    answer: str | None = None,
    verifier: Verifier | None = None,
    skip_bad: Flag = False,
    n: int = 500,
    seed: int = 0,
    split: Literal["test", "validation", "train"] = "test",
    solver: str = "single",
    samples: int = 1,
    temperature: float = 0.0,
    thinking: Thinking = "auto",
    system: str = "",
    engine: str = "auto",
    served: str | None = None,
    json: Flag = False,
) -> int:
    """Measure a model's accuracy on a task.

    Args:
        model: a Hugging Face model folder, a built-in size, or the address of an OpenAI-compatible server (http://HOST:PORT/v1)
        task: a built-in task
        data: a JSONL or CSV file of problems
        question: the column that holds the question
        answer: the column that holds the answer
        verifier: how a reply is checked against the answer
        skip_bad: leave out rows that cannot be used
        n: how many problems
        seed: which problems of an endless task, and which draws
        split: test problems are never trained on
        solver: how the model thinks
        samples: replies to each problem; above 1 give a temperature
        temperature: 0 is greedy
        thinking: whether the model thinks before it answers; auto is as its chat template has it
        system: a system message before every question
        engine: what draws tokens: local, transformers, vllm (a server at 127.0.0.1:8000) or a vLLM server's address; auto fits the model
        served: which of the models at that address; its key is read from THINKERY_API_KEY or OPENAI_API_KEY
        json: the result as JSON on standard output
    """
    import json as form

    from ..lab import api
    from .live import View

    source = _task(task, data, question, answer, verifier, None, skip_bad)
    with View("quiet" if json else "auto") as view:
        result = api.evaluate(
            model, source, n=n, seed=seed, split=split, solver=solver, samples=samples, temperature=temperature, thinking=thinking,
            system=system, engine=engine, served=served, listen=view,
        )  # fmt: skip
    if json:
        print(form.dumps({"model": model, **result.to_dict()}))
    else:
        print(
            f"{result.tokens_per_reply:.1f} tokens a reply, {result.unparsed:.1%} unreadable, {result.truncated:.1%} cut off, {result.errors} errors"
        )
        for row in result.levels:
            low, high = row["difficulty"]
            level = f"{low:g}" if low == high else f"{low:g} to {high:g}"
            print(f"difficulty {level}: accuracy {row['accuracy']:.1%}, {row['tokens']:.1f} tokens a reply (n={row['n']})")
        for name, (mean, count) in result.parts.items():
            print(f"{name}: {mean:.3f} (n={count})")
    return 0


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
        solver: how the model thinks
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


def run_report(run: Path, *, out: Path | None = None) -> int:
    """Write a run's report: one HTML file that opens offline. Example: thinkery run report runs/add"""
    from ..lab.report import write_report

    print(write_report(run, out))
    return 0


def model_build(
    size: Size, *, out: Path | None = None, seed: int = 0, steps: int | None = None, workers: str = "auto", device: str = "auto"
) -> int:
    """Make a built-in model from nothing, as the shipped one was made. Example: thinkery model build tiny --out my-tiny

    Ctrl-C checkpoints; the same command goes on.

    Args:
        size: tiny (0.6 M parameters, minutes on a CPU), small (7.4 M) or medium (32 M); the latter two want a GPU, or days
        out: the model's folder; by default ./SIZE
        steps: fewer steps give a worse model sooner
        device: cpu, cuda or auto
    """
    from ..lab.build import build
    from .live import View

    folder = out or Path(size)
    if folder.exists():
        raise BadConfig(f"{folder} exists; choose another --out")
    with View() as view:
        build(size, folder, seed, steps, workers, view, device)
    return 0


def model_new(
    folder: Path,
    *,
    texts: Annotated[list[Path], Parameter(consume_multiple=True)],
    column: str = "question",
    vocabulary: int = 1000,
    width: int = 128,
    layers: int = 4,
    context: int = 256,
    seed: int = 0,
) -> int:
    """Make a model with random weights and a vocabulary learnt from JSONL files, to train from scratch.

    Example: thinkery model new base --texts problems.jsonl --column question --vocabulary 1000

    Args:
        texts: JSONL files whose column is read
        column: which column holds text
        vocabulary: tokens, at least 300
    """
    from ..lab.build import from_texts

    if folder.exists():
        raise BadConfig(f"{folder} exists; choose another name")
    model = from_texts(folder, texts, column, vocabulary, width, layers, context, seed)
    print(f"{folder}: {sum(p.numel() for p in model.decoder.parameters()):,} parameters, {model.tokenizer.size} tokens")
    return 0


def new_method(family: str, id: str) -> int:
    """Start a method: one file and its test, working at once. Example: thinkery new method objectives my_idea"""
    from ..lab.scaffold import new_method as write

    for path in write(family, id):
        print(f"wrote {path}")
    return 0
