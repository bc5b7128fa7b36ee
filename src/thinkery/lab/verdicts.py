"""The verdicts as they stand: read from the evidence without loading what made it, as rows, and as a table in a Markdown file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import BadData
from ..core.reading import loads
from . import catalogue
from .parts import NUMERICS, code, digest
from .text import markdown_table

NOT_RUN, STALE = "not run", "stale"
BEGIN, END = "<!-- verdicts: written by the command evidence table, with --readme -->", "<!-- end of verdicts -->"
COLUMNS = ("method", "verdict", "claim", "effect", "interval", "detectable", "seeds", "scale", "revisions")


def evidence_folder() -> Path:
    """The clone's folder, else one in the current folder."""
    root = Path(__file__).resolve().parents[3]
    return (root if (root / "pyproject.toml").is_file() else Path.cwd()) / "evidence"


def content(value: Mapping[str, Any]) -> str:
    """The hash of all that a file says but this hash."""
    return digest({k: v for k, v in value.items() if k != "content"})


def read(path: Path) -> dict[str, Any]:
    """What a file of evidence says. Raises BadData for one that is not as it was written."""
    try:
        found: dict[str, Any] = loads(path.read_text(encoding="utf-8"))
        if found["content"] != content(found):
            raise BadData(path, "edited by hand: its content does not fit its hash; restore it, or run the check again")
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, BadData):
            raise
        raise BadData(path, f"not evidence: {type(error).__name__} {error}") from error
    return found


def parts(name: str, arms: Sequence[str] = ()) -> str:
    """The hash of a method's code, with that of the methods that are arms of its claim, and of all they name."""
    return code(*(catalogue.entry(n).path for n in (name, *sorted(set(arms)))))


def stale(found: Mapping[str, Any]) -> bool:
    """Whether the method's file, what it names, or NUMERICS is another than when the evidence was made."""
    if found["numerics"] != NUMERICS:
        return True
    return bool(parts(found["method"], found["others"]) != found["parts"])


def verdict_of(name: str, folder: Path | None = None) -> str:
    """The verdict on a method as it stands: what its evidence says, or stale, or not run. Raises BadData for an edited file."""
    path = (folder or evidence_folder()) / f"{name}.json"
    if not path.is_file():
        return NOT_RUN
    found = read(path)
    return STALE if stale(found) else str(found["verdict"])


def table(folder: Path | None = None) -> list[dict[str, Any]]:
    """A row for each method that makes a claim: verdict, primary comparison, effect, interval, seeds, scale, revisions."""
    where, rows = folder or evidence_folder(), []
    for name, entry in catalogue.methods().items():
        if not catalogue.claims(entry.path):
            continue
        verdict = verdict_of(name, where)
        row: dict[str, Any] = {"method": name, "verdict": verdict, "claim": None, "effect": None, "interval": None}
        row |= {"detectable": None, "seeds": 0, "scale": None, "revisions": 0}
        if verdict != NOT_RUN:
            found = read(where / f"{name}.json")
            first = found["comparisons"][0]
            row |= {"claim": first["text"], "effect": first.get("effect"), "detectable": first.get("detectable")}
            row |= {"interval": [first["low"], first["high"]] if "low" in first else None}
            row |= {k: found[k] for k in ("seeds", "scale", "revisions")}
        rows.append(row)
    return rows


def cells(row: Mapping[str, Any]) -> list[str]:
    """A row of `evidence.table` as text."""
    number = lambda v: "" if v is None else f"{v:.3f}"
    interval = row["interval"]
    shown = {
        **{k: str(row[k] or "") for k in ("method", "verdict", "claim", "scale")},
        **{k: number(row[k]) for k in ("effect", "detectable")},
        "interval": "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}",
        **{k: str(row[k]) for k in ("seeds", "revisions")},
    }
    return [shown[c] for c in COLUMNS]


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table in Markdown."""
    return "\n".join(markdown_table(COLUMNS, map(cells, rows)))


def placed(text: str, rows: Sequence[Mapping[str, Any]], path: Path) -> str:
    """A Markdown text with the table between its marks. Raises BadData where they are missing."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise BadData(path, f"no place for the verdicts: put {BEGIN} and {END} on lines of their own")
    return f"{head}{begin}\n{markdown(rows)}\n{end}{tail}"
