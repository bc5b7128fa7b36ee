"""docs/tasks.md: the built-in tasks on one page, each from its own docstrings, keys and problems."""

from __future__ import annotations

import re
import sys
from dataclasses import fields
from inspect import cleandoc
from pathlib import Path
from typing import Any

from ..core.rng import rng
from ..learning.checkpoint import storage
from ..tasks import SPLITS, TASKS, VIEWS, Generated
from ..tasks.bulk import COLUMNS
from ..tasks.graphs import GRAPH, GRAPHS
from ..tasks.synlogic import FAMILIES, PREFIX
from .text import markdown_table

EXAMPLES = 2
DIFFICULTY = re.compile(r"Difficulty counts (.+?)\.(?= |$)")
FAMILY = re.compile(r"Family: (.+?)\.(?= [A-Z]|$)")
HEAD = f"""# Tasks

Written by `thinkery list tasks --page docs/tasks.md` from the tasks themselves. Published data sets: [data.md](data.md); reasoning-gym:
[reasoning_gym.md](reasoning_gym.md).

Problems are endless and drawn by address: `load_task(name, **keys).problem(index, split, seed)` is the same problem wherever it is asked for.
A family of problems stands in one split only ({", ".join(f"{split} {percent} %" for split, percent in SPLITS.items())} of all
families). What counts of a reply follows its last "#"; a reply that is nothing but an answer counts, too. Worked replies come in
styles: the answer alone (direct), with the work (trace), with more work than need be (verbose), a line for each step (structured), and wrong
by one slip (corrupted).

`thinkery.tasks.bulk.bulk(task, n, seed, split)` gives the same problems many at once, as columns; that is quicker for the tasks marked so.
"""


def page() -> str:
    """The page, as Markdown."""
    names = sorted(TASKS)
    index = markdown_table(("task", "what", "difficulty counts"), [(f"[{n}](#{n})", *_summary(TASKS[n])) for n in names])
    return "\n".join([HEAD, *index, "", *(line for name in names for line in section(TASKS[name]())), *further()])


def further() -> list[str]:
    """The tasks that are put together from others, and those named within a family, in lines."""
    views = [(f"`{name}`", _prose(summary(made))) for name, made in sorted(VIEWS.items())]
    lines = ["## Put together from others", "", *markdown_table(("task", "what"), views), ""]
    for title, prefix, kinds in (("On graphs", GRAPH, GRAPHS), ("SynLogic", PREFIX, FAMILIES)):
        origin = _prose(_paragraphs(sys.modules[next(iter(kinds.values())).__module__.rpartition(".")[0]].__doc__)[0])
        rows = [(f"`{prefix}{name}`", _prose(summary(kind))) for name, kind in kinds.items()]
        lines += [f"## {title}", "", origin, "", *markdown_table(("task", "what"), rows), ""]
    return lines


def summary(made: Any) -> str:
    """The first paragraph of what makes a task: its class, or a function."""
    return _paragraphs(getattr(made, "func", made).__doc__)[0]


def section(task: Generated[Any]) -> list[str]:
    """What is said of one task, in lines."""
    kind = type(task)
    what, difficulty = _summary(kind)
    said = _paragraphs(kind.__doc__)
    family = FAMILY.search(" ".join(said))
    about = [_prose(text) for p in said if (text := FAMILY.sub("", DIFFICULTY.sub("", p)).strip())]
    rows = [(f"`{key}`", f"`{getattr(task.spec, key)!r}`", _prose(meaning)) for key, meaning in keys(task.spec).items()]
    facts = [
        f"- **Difficulty** counts {difficulty}.",
        f"- **Family**: {_prose(family[1])}." if family else "",
        f"- **Verifier**: {'the gold answer alone is right' if _compares(kind) else 'whatever has the property asked for is right'}.",
        f"- **Length**: at the default keys no worked reply has more than {task.max_tokens} characters, its end counted.",
        "- **In bulk**: by columns." if kind in COLUMNS else "",
        f"- **Instruction**, for models with a chat template: {_prose(task.instruction)}",
    ]
    examples = [line for i in range(EXAMPLES) for line in (*_example(task, i), "")]
    lines = [f"## {task.name}", "", what, "", *(line for p in about for line in (p, "")), *filter(None, facts), ""]
    return [*lines, *markdown_table(("key", "default", "meaning"), rows), "", *examples]


def keys(spec: Any) -> dict[str, str]:
    """The difficulty keys of a spec, in order, each with what its docstring says of it; "" where that says nothing."""
    found = {f.name: "" for f in fields(spec)}
    key = ""
    for line in cleandoc(spec.__doc__).split("\n"):
        name, gap, text = line.partition("  ")
        key, said = (name, text) if gap and name in found else (key, line)
        if key:
            found[key] = f"{found[key]} {said.strip()}".strip()
    return found


def _summary(kind: type[Generated[Any]]) -> tuple[str, str]:
    """What a task is, by the first paragraph of its file, and what its difficulty counts."""
    counts = DIFFICULTY.search(" ".join(_paragraphs(kind.__doc__)))
    return _prose(_paragraphs(sys.modules[kind.__module__].__doc__)[0]), _prose(counts[1]) if counts else "nothing"


def _paragraphs(doc: str | None) -> list[str]:
    """A docstring's paragraphs, each as one line."""
    return [" ".join(p.split()) for p in cleandoc(doc or "").split("\n\n")]


def _prose(text: str) -> str:
    """The text with what Markdown would take for marks escaped, outside of backticks."""
    parts = re.split("(`[^`]*`)", text)
    return "".join(part if i % 2 else re.sub(r"([<>*_~\[\]])", r"\\\1", part) for i, part in enumerate(parts))


def _compares(kind: type[Generated[Any]]) -> bool:
    """Whether the verifier compares with the gold answer; those that check a property do not call `judged`."""
    return "judged" in kind.verify.__code__.co_names


def shown(task: Generated[Any]) -> tuple[str, ...]:
    """The styles that its examples have worked replies in: the answer alone and with the work, or its own first one."""
    return tuple(s for s in ("direct", "trace") if s in task.styles) or task.styles[:1]


def _example(task: Generated[Any], index: int) -> list[str]:
    """A problem of the train split with its gold answer and worked replies, as a block of text."""
    problem = task.problem(index)
    said = {"prompt": problem.question.prompt, "gold": problem.answer}
    said |= {s: task.demonstration(problem, s, rng(0, "page", index, s)) for s in shown(task)}
    width = max(map(len, said)) + 3
    rows = [(name if i == 0 else "").ljust(width) + line for name, text in said.items() for i, line in enumerate(text.split("\n"))]
    return ["```text", *(row.rstrip() for row in rows), "```"]


def write_page(path: Path) -> None:
    """Write the page. Raises StorageError where that cannot be done."""
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page(), encoding="utf-8")
