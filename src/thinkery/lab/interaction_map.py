"""Where methods add and where they clash, as one page: made of comparisons that trained every two of them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import BadData
from ..core.reading import loads
from .comparison import points, span

HEAD = """# Which methods add up

Two methods join where they change different parts of the recipe; where they change the same one they clash, and the cell names it. A
number is what two bring together beyond the sum of what each brings alone, in points of accuracy, with its 95 % interval over paired
seeds; **bold** where it is told apart from 0 after Holm's correction for all pairs of the task. Where a
combination learns the same as one of the two alone, the cell says so. The diagonal is what a method brings alone, against the
first one. Made by `thinkery compare METHOD… --pairs --skip-unfit` and `thinkery evidence map`.
"""


def page(folders: Sequence[Path]) -> str:
    """The map of comparisons, a section for each, as Markdown. Raises BadData for a folder without a comparison of combinations."""
    return "\n".join([HEAD, *(_section(read(folder)) for folder in folders)])


def read(folder: Path) -> dict[str, Any]:
    """A comparison as compare.json holds it. Raises BadData."""
    path = Path(folder) / "compare.json"
    try:
        found = loads(path.read_text("utf-8"))
        if not found["interactions"]:
            raise BadData(path, "holds no combinations: compare with --pairs")
        return dict(found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadData(path, f"is no comparison of combinations: {error}") from error


def _section(found: Mapping[str, Any]) -> str:
    """One task's map."""
    first, *others = [a["method"] for a in found["arms"] if "+" not in a["method"]]
    gains = {p["b"]: p for p in found["pairs"] if p["a"] == first}
    pairs = {frozenset((x["a"], x["b"])): x for x in found["interactions"]}
    clashes = {frozenset(name.split("+")): reason for name, reason in found["skipped"].items()}
    start, base = (a["means"]["accuracy"]["mean"] for a in (found["start"], found["arms"][0]))
    rows = [f"| | {' | '.join(f'`{m}`' for m in others)} |", "|---" * (len(others) + 1) + "|"]
    for a in others:
        cells = [_alone(gains[a]) if a == b else _both(pairs.get(frozenset((a, b))), clashes.get(frozenset((a, b)), "")) for b in others]
        rows.append(f"| `{a}` | {' | '.join(cells)} |")
    about = (
        f"Model {found['model']}, {found['steps'] or 'the methods’ own'} steps, {found['seeds']} seeds, {found['n']} test problems. "
        f"Start {100 * start:.1f} %, `{first}` {100 * base:.1f} %. "
        f"A true difference between two methods of {points(found['detectable']).lstrip('+')} points would be found four times in five."
    )
    return "\n".join([f"## {found['task']}", "", about, "", *rows, ""])


def _alone(pair: Mapping[str, Any]) -> str:
    """What a method brings against the first one; the pair is the first one's against it."""
    said = f"{points(-pair['mean'])} ({span(-pair['high'], -pair['low'], True)})"
    return f"**{said}**" if pair["real"] else said


def _both(x: Mapping[str, Any] | None, reason: str) -> str:
    """What two bring beyond their sum, or why they cannot be joined."""
    if x is None:
        return _clash(reason)
    if "changes nothing" in x["kind"]:
        return str(x["kind"])
    said = f"{points(x['beyond']['mean'])} ({span(x['beyond']['low'], x['beyond']['high'], True)})"
    return said if x["kind"].startswith("not") else f"**{said}**"


def _clash(reason: str) -> str:
    """The part that both change, in a word."""
    _, _, rest = reason.partition("'")
    slot, _, after = rest.partition("'")
    part = after.split(";")[0].strip(" ,")
    return f"clash: {slot}{' ' + part if part.startswith('(') else ''}" if slot else "—"
