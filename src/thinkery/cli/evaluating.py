"""`thinkery eval`: how good a model is at a task, and what it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from .commands import Flag, Several, Thinking, Verifier, _equipped, _mode, _task, thinks
from .compare import tokens
from .panels import panelled


@panelled
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
    solver: str | None = None,
    tools: Several = None,
    mcp: Several = None,
    samples: int = 1,
    temperature: float = 0.0,
    thinking: Thinking = "auto",
    system: str = "",
    engine: str = "auto",
    served: str | None = None,
    budget: str | None = None,
    trace: Path | None = None,
    select: Literal["all", "solved", "mixed", "best"] = "all",
    json: Flag = False,
    quiet: Flag = False,
) -> int:
    """Measure a model's accuracy on a task.

    Ctrl-C keeps the problems that are done: the same command goes on from there.

    With --trace all that was written is kept, to be read, and to be learnt from by the same model or another:

    thinkery eval --task addition --split train --samples 8 --temperature 1 --trace right.jsonl --select solved

    thinkery train sft --task addition --traces right.jsonl

    Args:
        model: a Hugging Face model folder, a built-in size, or the address of an OpenAI-compatible server (http://HOST:PORT/v1)
        task: a built-in task
        data: a JSONL or CSV file of problems, or a log of Inspect (columns input and target)
        question: the column that holds the question
        answer: the column that holds the answer
        verifier: how a reply is checked against the answer
        skip_bad: leave out rows that cannot be used
        n: how many problems
        seed: which problems of an endless task, and which draws
        split: test problems are never trained on
        solver: how the model thinks (see: thinkery list solvers): single, or react where there are tools
        tools: what a solver may call: python, calculate, sql:FILE, or a function of yours, FILE.py:NAME; give it once for each
        mcp: a command that starts a server of tools (Model Context Protocol), which a solver may call too
        samples: replies to each problem; above 1 give a temperature
        temperature: 0 is greedy
        thinking: whether the model thinks before it answers; auto is as its chat template has it
        system: a system message before every question
        engine: what draws tokens: local, transformers, vllm (a server at 127.0.0.1:8000) or a vLLM server's address; auto fits the model
        served: which of the models at that address; its key is read from THINKERY_API_KEY or OPENAI_API_KEY
        budget: of a server: no more is asked once so many tokens are billed, prompts included, as in 500k or 2M
        trace: a file for whole rollouts (every turn, what stood before it, tokens and log-probabilities, tool calls, the verdict): JSON lines,
            or a log that Inspect reads if it ends in .json
        select: which of them: all, solved (scores 1), mixed (problems whose samples differ), best (each problem's likeliest)
        json: one event a line, for machines; the last has the result
        quiet: warnings and the result alone
    """
    from ..lab import api
    from ..lab.events import Event
    from ..lab.text import percent
    from .live import View

    source = _equipped(_task(task, data, question, answer, verifier, None, skip_bad), tools, mcp)
    with View(_mode(json, quiet)) as view:
        result = api.evaluate(
            model, source, n=n, seed=seed, split=split, solver=thinks(solver, tools, mcp) or "single", samples=samples, temperature=temperature, thinking=thinking,
            system=system, engine=engine, served=served, budget=None if budget is None else tokens(budget), trace=trace, select=select, listen=view,
        )  # fmt: skip
        if json:
            view(Event("result", {"model": model, **result.to_dict()}))
    if not json:
        if quiet:
            view.say(f"accuracy {percent(result.accuracy)} (95 % interval {100 * result.low:.1f} to {100 * result.high:.1f}, n={result.n})")
        view.say(
            f"{result.tokens_per_reply:.1f} tokens a reply, {result.unparsed:.1%} unreadable, {result.truncated:.1%} cut off, {result.errors} errors"
        )
        for row in result.levels:
            low, high = row["difficulty"]
            level = f"{low:g}" if low == high else f"{low:g} to {high:g}"
            view.say(f"difficulty {level}: accuracy {row['accuracy']:.1%}, {row['tokens']:.1f} tokens a reply (n={row['n']})")
        for name, (mean, count) in result.parts.items():
            view.say(f"{name}: {mean:.3f} (n={count})")
    return 0
