"""`thinkery compare`: which methods help a model on a task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from ..core.errors import BadConfig
from .commands import Flag, Size, Thinking, Verifier, _config, _mode, _task
from .panels import panelled

UNITS = {"": 1, "k": 1_000, "M": 1_000_000, "G": 1_000_000_000}


def tokens(text: str) -> int:
    """A number of tokens: 2000000, 500k, 2M, 2M-tokens. Raises BadConfig."""
    number = text.removesuffix("-tokens")
    unit = number[-1:] if number[-1:] in "kMG" else ""
    try:
        found = float(number.removesuffix(unit).replace("_", "").replace(",", "")) * UNITS[unit]
        if found != int(found) or found < 1:
            raise ValueError
    except (ValueError, OverflowError) as error:
        raise BadConfig(f"--budget {text!r}: give a number of tokens, as in 2000000, 500k or 2M-tokens") from error
    return int(found)


@panelled
def compare_(
    *methods: str,
    task: str | None = None,
    data: Path | None = None,
    question: str | None = None,
    answer: str | None = None,
    verifier: Verifier | None = None,
    solution: str | None = None,
    skip_bad: Flag = False,
    model: str = "tiny",
    seeds: int = 3,
    steps: int | None = None,
    budget: str | None = None,
    n: int = 200,
    out: Path | None = None,
    report: Path | None = None,
    stop: Literal["early"] | None = None,
    pairs: Flag = False,
    skip_unfit: Flag = False,
    size: Size = "tiny",
    workers: str = "auto",
    solver: str | None = None,
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
    config: Path | None = None,
    set: Annotated[list[str] | None, Parameter(negative="")] = None,
    no_doctor: Flag = False,
    json: Flag = False,
    quiet: Flag = False,
) -> int:
    """Find out which methods help: each is trained from the same start, on the same problems, with the same budget and several seeds.

    Args:
        methods: ids (see: thinkery list methods), files of your own (./mine.py), or several joined with "+"; the first is the baseline
        task: a built-in task (see: thinkery list tasks)
        data: a JSONL or CSV file of problems
        question: the column that holds the question; several join with "+", as in body+question
        answer: the column that holds the answer
        verifier: how a reply is checked against the answer
        solution: the column that holds a worked reply, for supervised methods
        skip_bad: leave out rows that cannot be used instead of stopping at the first
        model: a Hugging Face model folder, or a built-in size
        seeds: runs of each method; two at least for an interval
        steps: steps of the last stage
        budget: tokens that a run may sample in training, as in 500k or 2M-tokens
        n: test problems
        out: the folder of everything; by default runs/compare-TASK
        report: write the report there, too: .html, .md or .json (again, at any time: thinkery run report FOLDER)
        stop: early: an arm that is surely worse than the leader gets no further seeds
        pairs: every two methods after the first are combined, too, to see whether they add up
        skip_unfit: leave out methods that cannot run in this setting
        size: how much is done by default: steps, problems and samples a step
        workers: processes; auto is one for each core
        solver: how the model thinks (see: thinkery list solvers)
        device: cpu, cuda or auto
        dtype: what it computes in: float32 or bfloat16
        thinking: whether the model thinks before it answers; auto is as its chat template has it
        system: a system message before every question
        engine: what draws tokens: local, transformers, vllm or a vLLM server's address; auto fits the model
        lora: train an adapter of this rank; the model's own weights stay as they are
        lora_alpha: what the adapter's update is multiplied by, over its rank
        quantize: keep the model's own weights in four bits (with --lora)
        checkpointing: compute each layer again in the backward pass instead of keeping it
        fit: choose the tokens of a pass and the memory of keys and values so that the runs fit
        plan: say what it will need and what it can find; nothing is trained
        config: a TOML file of settings
        set: one setting, as in --set lr=1e-4; may be given several times; a name that there is not lists those there are
        no_doctor: go on where the doctor says that nothing can be learnt
        json: one event a line, for machines; the last has the result
        quiet: warnings and the result alone
    """
    import json as form

    from ..lab.api import Memory
    from ..lab.compare import Design, carry_out, prepare
    from ..lab.document import form_of
    from ..lab.events import Event
    from ..lab.reports import write_comparison
    from .live import View

    if report is not None:
        form_of(report)
    prepared = prepare(
        Design(
            methods=methods, task=_task(task, data, question, answer, verifier, solution, skip_bad), model=model, seeds=seeds, steps=steps,
            budget=None if budget is None else tokens(budget), n=n, out=out, stop=stop, pairs=pairs, skip_unfit=skip_unfit,
            config=_config(config, set or []), size=size, workers=workers, solver=solver, device=device, dtype=dtype,
            memory=Memory(lora, lora_alpha, quantize, checkpointing or None, fit), thinking=thinking, system=system, engine=engine,
            doctor_stops=not no_doctor,
        )
    )  # fmt: skip
    if plan:
        needs = prepared.plan()
        print(form.dumps(needs.to_dict()) if json else "\n".join(needs.lines()))
        return 0
    with View(_mode(json, quiet)) as view:
        found = carry_out(prepared, view)
        if report is not None:
            view(Event("saved", {"path": str(write_comparison(found, report)), "what": "report"}))
        if json:
            view(Event("result", {"task": prepared.task.name, **found.to_dict()}))
    if not json:
        print(found.table(view.console.width if view.console.is_terminal else 100), end="\n\n")
        for line in found.words():
            view.say(line)
    return 0
