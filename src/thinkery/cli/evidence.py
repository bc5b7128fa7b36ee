"""Claims checked, frozen, listed and verified."""

from __future__ import annotations

import json as form
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..core.errors import InputError
from ..lab.events import Event
from .commands import Flag, _mode
from .live import View


def check_(
    method: str,
    *,
    seeds: int | None = None,
    reduced: Flag = False,
    pilot: Flag = False,
    jobs: int | None = None,
    report: Path | None = None,
    json: Flag = False,
    quiet: Flag = False,
) -> int:
    """Check a method's claim: run its arms side by side on the same seeds and judge it. Writes evidence/METHOD.json.

    The claim must have been frozen. Interrupted, the same command goes on with the next trial.

    Args:
        method: a method that makes a claim (see: thinkery evidence table)
        seeds: how many confirmatory seeds; by default as the claim says
        reduced: half of the test problems; the evidence says so
        pilot: other seeds, to set a claim up; nothing is written
        jobs: arms at once; by default as many as there are processors
        report: write what was found there, too, also of pilot seeds: .html, .md or .json (again, at any time: thinkery evidence report METHOD)
        json: one event a line, for machines
        quiet: warnings and the result alone
    """
    from ..lab import evidence
    from ..lab.document import form_of
    from ..lab.reports import write_check

    if jobs is not None and jobs < 1:
        raise InputError(f"--jobs {jobs}: give at least 1")
    if report is not None:
        form_of(report)
    with View(_mode(json, quiet)) as view:
        found = evidence.check(method, seeds=seeds, reduced=reduced, pilot=pilot, jobs=jobs, listen=view)
        if report is not None:
            view(Event("saved", {"path": str(write_check(found, report)), "what": "report"}))
        view(
            Event(
                "verdict", {k: found[k] for k in ("method", "verdict", "seeds", "scale", "comparisons", "mechanism", "controls", "reasons")}
            )
        )
    if not json:
        for kind in ("comparisons", "mechanism", "controls"):
            for row in found[kind]:
                view.say(f"{row['role']}: {row['verdict']}: {row['text']}{_figures(row)}")
        view.say(found["line"])
        view.say(f"revision {found['revisions']}" if not pilot else "pilot seeds: nothing was written, and this is no verdict")
    return 0


def _figures(row: dict[str, Any]) -> str:
    """Effect, interval and the smallest effect that so many seeds would find, where there are any."""
    if "low" not in row:
        return ""
    interval = f"interval {row['low']:.3f} to {row['high']:.3f} at {100 * row['level']:.2f} %"
    return f": {row['a']:.3f} against {row['b']:.3f}, effect {row['effect']:.3f}, {interval}, detectable {row['detectable']:.3f}"


def evidence_freeze(method: str) -> int:
    """Fix a method's claim, setting and file before its confirmatory seeds are run. Another claim is another revision, with new seeds.

    Args:
        method: a method that makes a claim
    """
    from ..lab import evidence

    found = evidence.freeze(method)
    print(f"{found['method']}: revision {found['revision']} is frozen; claim {found['claim']}, file {found['file']}")
    return 0


def evidence_report(method: str, *, out: Path | None = None, md: Flag = False, json: Flag = False) -> int:
    """Write the report of a check as its evidence stands: one HTML file that opens offline and prints.

    Args:
        method: a method whose check was run (see: thinkery evidence table)
        out: where to; by default METHOD-report.html here
        md: as Markdown
        json: as JSON, as the evidence has it
    """
    from ..lab.check_page import evidence_of
    from ..lab.reports import write_check

    if md and json:
        raise InputError("say either --md or --json")
    form = "md" if md else "json" if json else "html"
    print(write_check(evidence_of(method), out or Path(f"{method}-report.{form}"), form))
    return 0


def evidence_table(*, json: Flag = False, readme: Path | None = None) -> int:
    """The verdicts on all methods that make a claim.

    Args:
        json: for machines
        readme: a Markdown file whose table between the marks of verdicts is written anew
    """
    from ..lab import evidence, verdicts

    rows = verdicts.table()
    if readme is not None:
        evidence.write_table(readme, rows)
    elif json:
        print(form.dumps(rows, indent=1, ensure_ascii=False))
    else:
        table = Table(show_edge=False)
        for name in verdicts.COLUMNS:
            table.add_column(name, overflow="fold")
        for row in rows:
            table.add_row(*map(Text, verdicts.cells(row)))
        Console().print(table)
    return 0


def evidence_pages(*, out: Path = Path("docs/methods")) -> int:
    """Write a page for every method of the package, from its file and the evidence; pages of no method are removed.

    Args:
        out: the folder of the pages
    """
    from ..lab import pages

    changed = pages.write_pages(out)
    for name in changed:
        print(out / name)
    if not changed:
        print("all pages are of today")
    return 0


def evidence_map(folders: Annotated[list[Path], Parameter(consume_multiple=True)], *, out: Path = Path("docs/interactions.md")) -> int:
    """Write a page of which methods add up, from comparisons with --pairs. Example: thinkery evidence map runs/compare-chain

    Args:
        folders: of the comparisons
        out: the page
    """
    from ..lab.interaction_map import page

    text = page(folders)
    out.write_text(text, "utf-8")
    print(f"wrote {out}")
    return 0


def evidence_verify() -> int:
    """Whether the evidence at hand is whole: as written, judged as its numbers say, of the claim as frozen, and of today's code."""
    from ..lab import evidence

    wrong = evidence.verify()
    for line in wrong:
        print(line)
    if not wrong:
        print("all evidence holds")
    return 1 if wrong else 0
