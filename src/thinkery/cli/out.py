"""Commands that lead out of the laboratory: ask a model, export it, push it, and what this machine can do."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter
from rich.console import Console
from rich.text import Text

from ..lab.text import clean, duration
from . import commands
from .commands import Flag, Several, Thinking, thinks

if TYPE_CHECKING:
    from ..core.context import Turn
    from ..engines.work import Answer
    from ..models.tokenizer import Tokenizer

STYLES = {"OK": "green", "WARN": "yellow", "MISSING": "dim"}


def ask_(
    question: Annotated[str, Parameter(allow_leading_hyphen=True)],
    *,
    model: str = "tiny",
    solver: str | None = None,
    tools: Several = None,
    mcp: Several = None,
    max_tokens: int = 256,
    temperature: float = 0.0,
    seed: int = 0,
    thinking: Thinking = "auto",
    system: str = "",
    engine: str = "auto",
    served: str | None = None,
    device: str = "auto",
    dtype: str | None = None,
    json: Flag = False,
) -> int:
    """Ask a model something and watch it answer.

    On a terminal everything shows while it is written: thoughts dimmed, what a tool said in colour. Elsewhere the reply alone.

    Args:
        question: the question; - reads it from standard input
        model: a run's folder, a Hugging Face model folder, a built-in size, or the address of an OpenAI-compatible server
        solver: how the model thinks (see: thinkery list solvers): single, or react where there are tools
        tools: what a solver may call: python, calculate, sql:FILE, or a function of yours, FILE.py:NAME; give it once for each
        mcp: a command that starts a server of tools (Model Context Protocol), which a solver may call too
        max_tokens: at most so many tokens at each asking
        temperature: 0 is greedy
        seed: another seed, other draws
        thinking: whether the model thinks before it answers; auto is as its chat template has it
        system: a system message, for models with a chat template
        engine: what draws tokens: local, transformers, vllm or a vLLM server's address; auto fits the model
        served: which of the models at the server's address
        device: cpu, cuda or auto
        dtype: what it computes in: float32 or bfloat16
        json: reply, turns with their log-probabilities, seconds and tokens as JSON
    """
    import json as form

    from ..lab.answering import address
    from ..lab.api import load_model
    from ..lab.ask import ask
    from ..lab.export import model_folder
    from ..tools.kit import Kit

    text = sys.stdin.read().rstrip("\n") if question == "-" else question
    console = Console(highlight=False, soft_wrap=True)
    who = model if address(model) else load_model(model_folder(model), device, dtype)
    view = None if json or isinstance(who, str) or not console.is_terminal else Typewriter(console, who.tokenizer)
    asked = ask(
        who, text, solver=thinks(solver, tools, mcp) or "single", max_tokens=max_tokens, temperature=temperature, seed=seed,
        thinking=thinking, system=system, engine=engine, served=served, watch=view, tools=Kit(tools or (), mcp or ()).toolbox() if tools or mcp else None,
    )  # fmt: skip
    if json:
        print(form.dumps(asked.to_dict()))
        return 0
    if view is None:
        print(clean(asked.reply.text))
    else:
        view.end(asked.turns, asked.reply.text)
        console.print(Text(f"{asked.tokens} tokens, {duration(asked.seconds)}", style="dim"))
    if asked.reply.truncated:
        Console(stderr=True).print("cut off: raise --max-tokens, or the model's context is full", style="yellow", markup=False)
    return 0


class Typewriter:
    """Shows what is asked, in the order asked, each token as it comes; asks that run together wait for those before them."""

    def __init__(self, console: Console, tokenizer: Tokenizer) -> None:
        self.console, self.tokenizer = console, tokenizer
        self.turns: dict[int, tuple[Answer, Turn]] = {}
        self.at = 0  # which of them is being shown
        self.shown: list[str] = []  # of its thought and of its answer; empty before it begins
        self.said = ""  # all answers, and what stood between them

    def __call__(self, live: list[tuple[Answer, Turn]]) -> None:
        """Take the turns as far as they have come."""
        for answer, turn in live:
            self.turns[id(answer)] = (answer, turn)
        order = list(self.turns.values())
        while self.at < len(order):
            answer, turn = order[self.at]
            self.show(turn, order[self.at - 1][1] if self.at else None, done := answer.done())
            if not done:
                return
            self.at, self.shown = self.at + 1, []

    def end(self, turns: list[Turn], reply: str) -> None:
        """Show what is left, and the reply where it is not what was shown."""
        self([])
        for before, turn in [] if self.turns else zip([None, *turns], turns):
            self.show(turn, before, True)
            self.shown = []
        self.console.print()
        if clean(reply).strip() != self.said.strip():
            self.console.print(Text(f"reply: {clean(reply)}", style="bold"))

    def show(self, turn: Turn, before: Turn | None, done: bool) -> None:
        """Write what is new of a turn."""
        if before is not None and not self.shown:
            self._between(before, turn)
        self.shown = self.shown or ["", ""]
        chat, ids = self.tokenizer.chat, turn.ids
        thought, answer = (None, self.tokenizer.backend.decode(list(ids))) if chat is None else chat.split(turn.context.ids, ids)[:2]
        for part, (text, style) in enumerate(((thought or "", "dim"), (answer, ""))):
            whole = safe(text if done else text.rstrip("\ufffd"))  # half a character
            new = whole.removeprefix(self.shown[part]) if whole.startswith(self.shown[part]) else f"\n{whole}"
            if new and part and self.shown[0] and not self.shown[1]:
                self.write("\n\n", "")
            self.shown[part] = whole
            self.write(new, style)
            self.said += new if part else ""

    def _between(self, before: Turn, turn: Turn) -> None:
        """What a tool or the solver put after the turn before; elsewhere the ask begins anew."""
        ids, known = turn.context.ids, (*before.context.ids, *before.ids)
        follows = ids[: len(known)] == known
        text = safe(self.tokenizer.backend.decode(list(ids[len(known) :]))) if follows else "\n"
        self.write(text, "cyan")
        self.said += text

    def write(self, text: str, style: str) -> None:
        if text:
            self.console.print(Text(text, style=style), end="")
            self.console.file.flush()


def safe(text: str) -> str:
    """A model's text for a terminal. What is cleaned of a beginning is the beginning of what is cleaned of the whole."""
    return clean(text.replace("\x1b", "").replace("\x9b", ""))


def model_export(
    run_or_model: str,
    *,
    to: Literal["hf", "gguf"] = "hf",
    out: Path | None = None,
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
) -> int:
    """Write a model for use elsewhere: a folder for transformers and vLLM, or one file for llama.cpp.

    Args:
        run_or_model: a run's folder, a Hugging Face model folder, or a built-in size
        to: hf: a Hugging Face folder; gguf: a file (llama, mistral, qwen2, qwen3 with a byte-level vocabulary)
        out: the folder or the file; by default NAME-hf or NAME-DTYPE.gguf
        dtype: what weights are written in; float32 loses nothing
    """
    from ..lab.export import commands, export

    path = export(run_or_model, to, out, dtype)
    print(f"{path}\nserve it with:")
    for line in commands(path):
        print(f"  {line}")
    if to == "hf":
        print(f"or make one file for llama.cpp (llama-server -m FILE): thinkery model export {shlex.quote(str(path))} --to gguf")
    return 0


def model_push(run_or_model: str, repository: str, *, private: Flag = False, license: str = "", dry_run: Flag = False) -> int:
    """Send a model with its card to the Hugging Face Hub.

    Args:
        run_or_model: a run's folder, a Hugging Face model folder, or a built-in size
        repository: OWNER/NAME; it is made if it is not there
        private: make it a private one
        license: as the Hub spells it (apache-2.0, mit, …): yours to choose, within what the base model's allows
        dry_run: show files and card, send nothing
    """
    from ..lab.card import push

    sent = push(run_or_model, repository, private, license, dry_run)
    if not dry_run:
        print(sent.url)
        return 0
    for name, size in sent.files.items():
        print(f"{size:>13,}  {clean(name)}")
    print(f"{len(sent.card.encode()):>13,}  README.md\n\n{clean(sent.card)}", end="")
    return 0


def doctor_env(*, json: Flag = False) -> int:
    """What this machine has, what will work on it, and the commands that install what is missing.

    Exit status 1 if something required is missing or too old. `thinkery doctor env --json`

    Args:
        json: all of it as JSON
    """
    import json as form

    from ..lab.environment import environment

    found = environment()
    if json:
        print(form.dumps(found.to_dict(), indent=1))
        return int(found.broken)
    console = Console(highlight=False, soft_wrap=True)
    for name, value in found.machine.items():
        console.print(Text(f"{name.replace('_gib', ', GiB'):17}{_shown(value)}"))
    for title, checks in (("packages", found.packages), ("what will work", found.abilities)):
        console.print(Text(f"\n{title}", style="bold"))
        for check in checks:
            mend = f" -> {check.mend}" if check.mend else ""
            console.print(Text(f"{check.status:8}", style=STYLES[check.status]) + Text(f"{check.name}: {check.seen}{mend}"))
    return int(found.broken)


def doctor_rollouts(paths: Annotated[list[Path], Parameter(consume_multiple=True)], *, json: Flag = False) -> int:
    """What is wrong with a run that another trainer made, by the rollouts that it left; status 1 if something is.

    Reads TRL's completions (Parquet), verl's dumps and prime-rl's token exports, and plain JSONL: a line for each sample with prompt, completion and
    reward, and what else there is: answer, advantage, step, problem_id, truncated, log-probabilities by token, loss_mask.

    `thinkery doctor rollouts outputs/completions`

    `thinkery doctor rollouts rollouts/1.jsonl rollouts/2.jsonl --json`

    Args:
        paths: files, or folders of them
        json: all of it as JSON
    """
    import json as form

    from ..lab.diagnosis import diagnose

    found = diagnose(list(paths))
    if json:
        print(form.dumps(found.to_dict(), indent=1, ensure_ascii=False))
        return int(not found.healthy)
    console = Console(highlight=False, soft_wrap=True)
    about = f"{found.samples} samples in {found.groups} groups, {found.steps or 'unknown'} steps ({found.kind}); looked at {', '.join(found.looked)}"
    console.print(Text(about))
    for f in found.findings:
        advice = f"\n         -> {f.advice}" if f.advice else ""
        console.print(
            Text(f"{f.level:9}", style={"fatal": "red", "warning": "yellow"}.get(f.level, ""))
            + Text(clean(f"{f.check}: {f.seen}") + advice)
        )
    if found.healthy:
        console.print(Text("nothing that keeps a run from learning shows in these columns"))
    return int(not found.healthy)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_gib', ', GiB')} {_shown(x)}" for key, x in value.items())
    if isinstance(value, list):
        return "; ".join(map(_shown, value)) or "none"
    return {True: "yes", False: "no", None: "none"}[value] if value is None or isinstance(value, bool) else str(value)


def __getattr__(name: str) -> App:
    """The group `doctor`, whose own command is the examination; made when it is looked up, as all commands are."""
    if name != "doctor_":
        raise AttributeError(name)
    group = App(name="doctor")
    group.default(commands.doctor_)
    group.command(doctor_env, name="env")
    group.command(doctor_rollouts, name="rollouts")
    return group
