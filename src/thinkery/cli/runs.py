"""What runs did: reports, questions to their records, tags, files of them."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from ..core.errors import BadConfig
from .commands import Flag
from .listings import _show


def list_runs(folder: Path = Path("runs"), *, tag: str | None = None, json: Flag = False) -> int:
    """The runs in a folder, newest first; of those at work, how far they are.

    Args:
        folder: where the runs are
        tag: only those with this tag
        json: as JSON, for programs
    """
    from ..lab.runs import listed

    _show(listed(folder, tag), json)
    return 0


def run_report(
    runs: Annotated[list[Path], Parameter(consume_multiple=True)], *, out: Path | None = None, md: Flag = False, json: Flag = False
) -> int:
    """Write the report of a run, of a comparison, or of several runs side by side: one HTML file that opens offline and prints.

    Args:
        runs: a run's folder, several, or the folder of a comparison (the report of a check: thinkery evidence report)
        out: where to; by default report.html in the folder, of several runs beside the first one's
        md: as Markdown
        json: as JSON; of runs with every step's metrics
    """
    from ..lab.reports import write_report

    if md and json:
        raise BadConfig("say either --md or --json")
    print(write_report(runs, out, "md" if md else "json" if json else "html"))
    return 0


def run_query(run: Path, sql: str | None = None, *, limit: int = 1000, json: Flag = False) -> int:
    """Ask a run's record in SQL, also while the run goes on; without a query, what its tables hold.

    thinkery run query runs/add "SELECT step, value FROM metrics WHERE name = 'reward'"

    thinkery run query runs/add "SELECT reply, count(*) AS n FROM rollouts WHERE score = 0 GROUP BY reply ORDER BY n DESC" --limit 10

    Args:
        run: its folder
        sql: the query, which can only read
        limit: rows at most
        json: as JSON, for programs
    """
    from ..lab import schema, store

    if sql is None:
        store.opened(run).close()
        rows = [{"table": t, "column": c, "what": what} for t, (_, columns) in schema.TABLES.items() for c, (_, what) in columns.items()]
        _show(rows, json)
        return 0
    columns, found = store.query(run, sql)
    plain = lambda v: f"{len(v)} bytes" if isinstance(v, bytes) else v
    _show([dict(zip(columns, map(plain, row))) for row in found[:limit]], json)
    if len(found) > limit and not json:
        print(f"{len(found) - limit} more rows; --limit shows more")
    return 0


def run_search(run: Path, words: Annotated[list[str], Parameter(consume_multiple=True)], *, limit: int = 20, json: Flag = False) -> int:
    """The sampled replies in which all the words stand, newest first. Example: thinkery run search runs/add "cut off"

    Args:
        run: its folder
        words: looked for in prompts, replies, reasons of verdicts and errors
        limit: replies at most
        json: as JSON, for programs
    """
    from ..lab import store

    _show(store.search(run, " ".join(words), limit), json)
    return 0


def run_replay(run: Path, *, step: int | None = None, json: Flag = False, quiet: Flag = False) -> int:
    """Make a step of a run once more, from the checkpoint before it, and say where it first differs from the record; status 1 if it does.

    Prompts, tokens, log-probabilities, verdicts, rewards, advantages, metrics and weights must agree to the bit, whatever the number of
    workers. The run is left as it is. Paths in the command that started it count from here.

    Args:
        run: its folder
        step: which one; by default the last
        json: one event a line, for machines
        quiet: the last line alone
    """
    from ..lab import api
    from ..lab.events import Event
    from ..lab.report import read_run
    from ..lab.store import query
    from .commands import _mode, settings_of_train
    from .live import View
    from .main import commands

    words = shlex.split(str(read_run(run).get("command", "")))[1:]
    at = words.index("--methods") if "--methods" in words else None
    if at is not None:
        os.environ["THINKERY_METHODS"] = words[at + 1]
        del words[at : at + 2]
    if words[:1] != ["train"]:
        how = f"was started by thinkery {words[0]}" if words else "was started from Python"
        raise BadConfig(f"{run} {how}: call thinkery.replay(run, step, method, task=...) with the arguments of its training")
    _, bound, _ = commands().parse_args(words, exit_on_error=False, print_error=False)
    bound.apply_defaults()
    last = query(run, "SELECT coalesce(max(step), 0) FROM steps")[1][0][0] if step is None else step
    with View(_mode(json, quiet)) as view:
        settings = settings_of_train(bound.arguments)
        found = api.replay(run, last, bound.arguments["method"], **settings, listen=view)
        if json:
            view(Event("result", {"task": settings["task"].name, **found.to_dict()}))
        else:
            view.say(found.text)
    return 0 if found.same else 1


def run_tag(run: Path, tags: Annotated[list[str], Parameter(consume_multiple=True)], *, remove: Flag = False) -> int:
    """Tag a run, to find it again. Example: thinkery run tag runs/add keep baseline

    Args:
        run: its folder
        tags: words without a comma
        remove: take the tags away instead
    """
    from ..lab.runs import tag

    print(f"{run}: {', '.join(tag(run, tags, remove)) or 'no tags'}")
    return 0


def run_delete(runs: Annotated[list[Path], Parameter(consume_multiple=True)], *, yes: Flag = False, force: Flag = False) -> int:
    """Delete runs, their models too. Example: thinkery run delete runs/add --yes

    Args:
        runs: their folders
        yes: do not ask
        force: also one that says it is still running
    """
    import sys

    from ..lab.report import read_run
    from ..lab.runs import delete

    for run in runs:
        read_run(run)
    if not yes:
        if not sys.stdin.isatty():
            raise BadConfig("nothing was deleted: say --yes")
        if input(f"Delete {', '.join(map(str, runs))} with all they hold? [y/N] ").strip().lower() not in ("y", "yes"):
            print("nothing was deleted")
            return 0
    for run in runs:
        print(f"deleted {run}: {delete(run, force) / 1e6:.1f} MB")
    return 0


def run_export(run: Path, *, to: Literal["jsonl", "parquet"] = "jsonl", out: Path | None = None) -> int:
    """Write a run's record as files, one for each table. Example: thinkery run export runs/add --to parquet --out add-record

    Args:
        run: its folder
        to: JSON lines, or Parquet (with the extra "data")
        out: a new folder; by default RUN/record
    """
    from ..lab.runs import export

    for path in export(run, to, out or run / "record"):
        print(f"wrote {path}")
    return 0
