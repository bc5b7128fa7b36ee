"""Claims checked, frozen, listed and verified."""

from __future__ import annotations

import json as form
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..core.errors import InputError
from ..lab.events import Event
from ..lab.text import one_line
from .commands import Flag
from .live import View

SHOWN = ("accuracy", "tokens", "ece", "auroc")


class Arms(View):
    """Arms side by side: seeds done, the share of the one at work, means of what was measured."""

    def __init__(self, mode: str) -> None:
        super().__init__(mode)
        self.arms: dict[str, dict[str, Any]] = {}

    def _row(self, d: dict[str, Any]) -> dict[str, Any]:
        return self.arms.setdefault(d["arm"], {"of": d["of"], "share": 0.0, "metrics": []})

    def _arm(self, d: dict[str, Any]) -> None:
        self._row(d)["share"] = d["share"]
        self._draw()

    def _trial(self, d: dict[str, Any]) -> None:
        row = self._row(d)
        row["metrics"].append(d["metrics"])
        row["share"] = 0.0
        self._draw()
        if self.mode == "plain":
            figures = " · ".join(f"{k} {v:.3g}" for k, v in d["metrics"].items())
            self.say(f"seed {d['seed']} of {d['of']} · {one_line(d['arm'])} · {figures}")

    def _draw(self) -> None:
        if self.live is None:
            return
        table = Table(show_edge=False)
        for name in ("arm", "seeds", *SHOWN):
            table.add_column(name)
        for arm, row in self.arms.items():
            done = row["metrics"]
            mean = lambda k, done=done: [m[k] for m in done if k in m]
            cells = [f"{sum(x) / len(x):.3f}" if (x := mean(k)) else "" for k in SHOWN]
            at = f"{len(done)} of {row['of']}" + (f" + {100 * row['share']:.0f} %" if row["share"] else "")
            table.add_row(*map(Text, (one_line(arm), at, *cells)))
        self.live.update(table)


def check_(
    method: str,
    *,
    seeds: int | None = None,
    reduced: Flag = False,
    pilot: Flag = False,
    jobs: int | None = None,
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
        json: one event a line, for machines
        quiet: the last line alone
    """
    from ..lab import evidence

    if jobs is not None and jobs < 1:
        raise InputError(f"--jobs {jobs}: give at least 1")
    with Arms("json" if json else "quiet" if quiet else "auto") as view:
        found = evidence.check(method, seeds=seeds, reduced=reduced, pilot=pilot, jobs=jobs, listen=view)
        view(
            Event(
                "verdict", {k: found[k] for k in ("method", "verdict", "seeds", "scale", "comparisons", "mechanism", "controls", "reasons")}
            )
        )
    if not json:
        for kind in ("comparisons", "mechanism", "controls"):
            for row in found[kind]:
                print(f"{row['role']}: {row['verdict']}: {row['text']}{_figures(row)}")
        print(found["line"])
        print(f"revision {found['revisions']}" if not pilot else "pilot seeds: nothing was written, and this is no verdict")
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


def evidence_verify() -> int:
    """Whether the evidence at hand is whole: as written, judged as its numbers say, of the claim as frozen, and of today's code."""
    from ..lab import evidence

    wrong = evidence.verify()
    for line in wrong:
        print(line)
    if not wrong:
        print("all evidence holds")
    return 1 if wrong else 0
