"""What there is: methods, tasks, ways of thinking, models, runs, versions; as tables for people or as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..lab.text import clean
from .commands import Flag


def _show(rows: list[dict[str, Any]], as_json: bool) -> None:
    """A listing for people, or the same as JSON."""
    if as_json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    if not rows:
        print("nothing yet")
        return
    table = Table(show_edge=False)
    for name in rows[0]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if v is None else clean(str(v))) for v in row.values()))
    Console().print(table)


def show_(query: str, *, json: Flag = False) -> int:
    """Show methods by id, number, arXiv number or words of the title. Example: thinkery show grpo

    Args:
        query: an id, a number of the catalogue, an arXiv number, or words of the title
        json: as JSON, for programs
    """
    from ..core.errors import UnknownName
    from ..lab import catalogue

    found = catalogue.find(query)
    if not found:
        raise UnknownName("method", query, catalogue.methods())
    rows = [
        {**{f: getattr(e.card, f) for f in ("id", "number", "family", "title", "year", "paper")}, "changes": ", ".join(e.card.changes)}
        for e in found
    ]
    if json:
        _show(rows, True)
        return 0
    for row, e in zip(rows, found):
        _show([{"": k, " ": v} for k, v in row.items() if v is not None], False)
        print(f"\n{e.doc}\n\ntry: thinkery train {e.card.id} --task addition\n")
    return 0


def version_() -> int:
    """Versions of Thinkery and of what its numbers depend on."""
    from importlib.metadata import PackageNotFoundError, version
    from platform import python_version

    from .. import __version__

    print(f"thinkery {__version__}\npython {python_version()}")
    for package in ("torch", "numpy", "numba", "tokenizers"):
        try:
            print(package, version(package))
        except PackageNotFoundError:
            print(package, "not installed")
    return 0


def list_methods(*, json: Flag = False) -> int:
    """The methods that can be trained with, and the verdict on what they claim.

    Args:
        json: as JSON, for programs
    """
    from ..lab import catalogue, verdicts

    rows = []
    for e in catalogue.methods().values():
        verdict = verdicts.verdict_of(e.card.id) if catalogue.claims(e.path) else None
        rows.append(
            {"id": e.card.id, "family": e.card.family, "title": e.card.title, "changes": ", ".join(e.card.changes), "verdict": verdict}
        )
    _show(rows, json)
    return 0


def list_tasks(*, gym: Flag = False, page: Path | None = None, json: Flag = False) -> int:
    """The built-in tasks, each with a problem, and the data sets, each with its sizes where its files are found.

    Args:
        gym: list the data sets of reasoning-gym instead, and whose scorer judges each
        page: write a Markdown page of all built-in tasks there instead: keys, examples, families, verifiers
        json: as JSON, for programs
    """
    from ..tasks import TASKS, VIEWS, gym_listing, load_task

    if gym:
        _show(gym_listing(), json)
        return 0
    if page is not None:
        from ..lab.task_pages import write_page

        write_page(page)
        print(f"wrote {page}: {len(TASKS)} tasks")
        return 0
    built_in = []
    for name, made in sorted({**TASKS, **VIEWS}.items()):
        problem = load_task(name).problem(0)
        built_in.append(
            {
                "task": name,
                "what": (getattr(made, "func", made).__doc__ or "").split("\n")[0],
                "example": problem.question.prompt,
                "answer": problem.answer,
            }
        )
    published = _data_sets()
    if json:
        _show([*built_in, *published], True)
        return 0
    _show(built_in, False)
    print()
    _show(published, False)
    print("\nData sets are read from the folder that THINKERY_DATA names, else from ./data; docs/data.md says where to get them.")
    return 0


def _data_sets() -> list[dict[str, Any]]:
    """A row for each data set."""
    from ..tasks import DATASETS, SPLITS, load_task, task_names

    there = task_names()
    rows = []
    for d in DATASETS.values():
        task = load_task(d.name) if d.name in there else None
        sizes = "not found" if task is None else ", ".join(f"{split} {task.size(split)}" for split in SPLITS if task.size(split))
        rows.append({"task": d.name, "tests": d.tests, "splits": sizes, "verifier": d.verifier, "licence": d.licence, "source": d.source})
    return rows


def list_solvers(*, measure: Path | None = None, json: Flag = False) -> int:
    """The ways of thinking, and what each costs a question: asks, tokens sampled, tokens read before them, tokens computed.

    Settings follow the name: --solver beam:width=4,expand=2

    Args:
        measure: measure the costs of all of them anew and write them there, as JSON
        json: as JSON, for programs
    """
    from dataclasses import asdict

    from ..lab import solver_costs
    from ..solvers import SOLVERS

    if measure is not None:
        print(f"wrote {measure}: the costs of {solver_costs.write_costs(measure)} solvers")
        return 0
    kept, rows = solver_costs.costs(), []
    for name, f in SOLVERS.items():
        cost = asdict(kept[name]) if name in kept else {}
        row = {"solver": name, "what": (getattr(f, "func", f).__doc__ or "").split("\n")[0]}
        rows.append(row | {key: cost.get(key) for key in ("task", "asks", "sampled", "read", "computed")})
    _show(rows, json)
    if not json:
        print(f"\n{solver_costs.about()}")
    return 0


def list_models(*, json: Flag = False) -> int:
    """The models that ship with the package.

    Args:
        json: as JSON, for programs
    """
    from ..models.checkpoint import read_config
    from ..models.model import BUILT_IN, built_in

    sizes = {name: read_config(BUILT_IN / name)[0] for name in built_in()}
    _show(
        [{"model": n, "layers": c.layers, "width": c.width, "vocabulary": c.vocabulary, "context": c.context} for n, c in sizes.items()],
        json,
    )
    return 0
