"""The table of docs/verifiers.md: how often the verifiers of the built-in tasks and of the data sets at hand err.

It audits all of them, which takes minutes, or those that are named; --write brings the page up to date. THINKERY_DATA names the folder
of the data sets.
"""

from __future__ import annotations

import sys
from pathlib import Path

from thinkery.cli.task import every
from thinkery.lab.audit import Audit, Rate, audit

PAGE = Path(__file__).resolve().parents[1] / "docs" / "verifiers.md"
BEGIN, END = "<!-- table: written by benchmarks/audit_table.py -->\n", "<!-- end of table -->"
HEAD = ("task", "read as", "gold refused", "right refused", "wrong paid", "hostile paid", "broken calls", "verdict")


def cell(rate: Rate) -> str:
    """Errors of trials, with the upper end of the 95 % interval."""
    return f"{rate.errors} of {rate.n:,} (≤ {rate.to_dict()['high']:.1%})" if rate.n else "—"


def row(found: Audit) -> str:
    """One task's line."""
    rates = map(cell, (found.gold, found.false_negatives, found.false_positives, found.hostile))
    cells = (found.task, found.verifier, *rates, str(sum(found.broken.values())), "passes" if found.passed else "fails")
    return f"| {' | '.join(cells)} |\n"


def page(text: str, rows: dict[str, str]) -> str:
    """The page with these rows in their places, or at the end."""
    head, rest = text.split(BEGIN)
    old, tail = rest.split(END)
    kept = {line.split(" | ")[0].removeprefix("| "): f"{line}\n" for line in old.splitlines()[2:]}
    table = f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}\n{''.join((kept | rows).values())}"
    return head + BEGIN + table + END + tail


def main() -> None:
    """Audit, print the rows and what is wrong, write them if asked to."""
    names = {a for a in sys.argv[1:] if a != "--write"}
    rows = {}
    for task in (t for t in every() if not names or t.name in names):
        found = audit(task)
        rows[task.name] = row(found)
        print(row(found), *found.faults, sep="", end="\n" if found.faults else "", flush=True)
    if "--write" in sys.argv:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), rows), encoding="utf-8")


if __name__ == "__main__":
    main()
