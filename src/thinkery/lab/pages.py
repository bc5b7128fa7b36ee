"""A page in Markdown for every method of the package, from its card, its docstring and its evidence; nothing of it is run.

A docstring's sections begin at the margin with their name. `Formula` has equations, one a line; `Setup` what was published, as
`name = value (where it was read)`, joined with semicolons.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ..core.errors import BadData
from ..learning.checkpoint import storage
from . import catalogue
from .chart import HEIGHT, WIDTH, Curve, chart
from .text import markdown_table
from .verdicts import NOT_RUN, STALE, evidence_folder, read, verdict_of

SECTION = re.compile(r"([A-Z][a-z]+) +(\S.*)")
SETUP = re.compile(r"\s*(.+?) = (.+) \((.+?)\)\s*")
COLOURS = ("#0b68cb", "#b4530a", "#177245", "#8a3ffc", "#60646c", "#b3261e")
STYLE = (
    "svg{background:#fcfcfd}text{fill:#60646c;font:11px system-ui,sans-serif}.axis{stroke:#60646c;fill:none}.grid{stroke:#d9dce1}"
    ".raw,.mean{fill:none;stroke-linejoin:round}.raw{opacity:.4}.mean{stroke-width:2}.band{stroke:none;opacity:.15}"
) + "".join(f".c{i}{{stroke:{c}}}.band.c{i}{{stroke:none;fill:{c}}}" for i, c in enumerate(COLOURS))
LINE = 16  # height of a line of the legend
INDEX = "README.md"


def sections(doc: str) -> dict[str, list[str]]:
    """The lines of each section of a docstring, by name, in order."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in doc.split("\n")[1:]:
        if start := SECTION.fullmatch(line):
            name = start[1]
            found[name] = [start[2]]
        elif name and line.startswith(" "):
            found[name].append(line.strip())
    return found


def page(entry: catalogue.Entry, folder: Path) -> str:
    """A method's page; `folder` has the evidence. Raises BadData for evidence that was edited, or a Setup that cannot be read."""
    card, said = entry.card, sections(entry.doc)
    prose = lambda name: [f"**{name}.** {' '.join(said[name])}", ""] if name in said else []
    lines = [f"# {card.id}: {card.title}", "", entry.summary, "", *prose("Paper"), *prose("Problem"), *prose("New")]
    lines += [f"Family: {card.family}. Slots of the default recipe that it replaces: {', '.join(card.changes) or 'none'}.", ""]
    if "Formula" in said:
        lines += ["## Equations", "", "```", *said["Formula"], "```", ""]
    if "Differs" in said:
        lines += ["## What differs from what was published", "", " ".join(said["Differs"]), ""]
    if "Setup" in said:
        lines += ["## As published", "", *markdown_table(("what", "value", "read in"), _setup(entry, said["Setup"])), ""]
    use = f"thinkery train {card.id} --data problems.jsonl --question question --answer answer --model path/to/model"
    lines += ["## On a model and problems of your own", "", "```", use, "```", ""]
    return "\n".join([*lines, "## What was measured", "", *_measured(entry, folder)]) + "\n"


def _setup(entry: catalogue.Entry, lines: Sequence[str]) -> list[tuple[str, ...]]:
    """What was published: name, value, source."""
    rows = []
    for part in " ".join(lines).rstrip(".").split(";"):
        found = SETUP.fullmatch(part)
        if found is None:
            raise BadData(entry.path, f"Setup has {part.strip()!r}; write it as: name = value (where it was read)")
        rows.append(found.groups())
    return rows


def _measured(entry: catalogue.Entry, folder: Path) -> list[str]:
    """The verdict with its comparisons and the command that gives it."""
    name = entry.card.id
    if not catalogue.claims(entry.path):
        return ["Verdict: not run. The method makes no claim yet; `thinkery compare` measures it against others on your task."]
    again = ["Check it:", "", "```", f"thinkery check {name}", "```"]
    verdict = verdict_of(name, folder)
    if verdict == NOT_RUN:
        return ["Verdict: not run. The claim stands in the method's file, and no confirmatory seeds were run.", "", *again]
    found = read(folder / f"{name}.json")
    lines = [f"Verdict: **{verdict}**", ""]
    if verdict == STALE:
        lines += ["The code has changed since; what follows was measured before.", ""]
    lines += [found["line"][0].upper() + found["line"][1:] + ".", ""]
    rows = [cells(row) for kind in ("comparisons", "mechanism", "controls") for row in found[kind]]
    lines += [*markdown_table(("role", "comparison", "verdict", "effect", "interval", "why"), rows), ""]
    lines += [f"The paper: {found['paper']}", ""] if found["paper"] else []
    if curves_of(found):
        lines += [f"![Accuracy of the replies while each arm is trained]({name}.svg)", ""]
        lines += ["Accuracy of the replies sampled in training, the mean over seeds.", ""]
    return [*lines, *again]


def cells(row: Mapping[str, Any]) -> list[str]:
    """A comparison's cells."""
    effect = f"{row['effect']:.3f}" if "effect" in row else ""
    interval = f"{row['low']:.3f} to {row['high']:.3f} ({100 * row['level']:.2f} %)" if "low" in row else ""
    return [row["role"], row["text"], row["verdict"], effect, interval, row["why"]]


def curves_of(found: Mapping[str, Any]) -> list[Curve]:
    """Training accuracy of each arm over the share of its steps."""
    kept = {arm: what["curves"].get("accuracy", []) for arm, what in found["arms"].items()}
    return [Curve(arm, [(100 * (i + 0.5) / len(y), v) for i, v in enumerate(y)]) for arm, y in kept.items() if y]


def drawing(found: Mapping[str, Any]) -> str:
    """The arms' curves with a legend as one SVG file, or nothing where there are none."""
    curves = curves_of(found)
    return standalone(curves, "share right", "% of training") if curves else ""


def standalone(curves: Sequence[Curve], unit: str, over: str) -> str:
    """A chart with a legend as an SVG file of its own."""
    drawn = str(chart(curves, unit=unit, over=over))
    inner = drawn.replace("<svg", f'<svg width="{WIDTH}" height="{HEIGHT}"', 1)
    legend = Markup("").join(
        Markup('<path class="mean c{}" d="M20 {}h18"/><text x="44" y="{}">{}</text>').format(i, y - 4, y, curve.name)
        for i, (curve, y) in enumerate(zip(curves, range(HEIGHT + LINE, HEIGHT + LINE * (len(curves) + 1), LINE)))
    )
    size = f'width="540" viewBox="0 0 {WIDTH} {HEIGHT + LINE * len(curves) + 8}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{STYLE}</style>{inner}{legend}</svg>\n'


def pages(folder: Path | None = None) -> dict[str, str]:
    """What each file of docs/methods says, by its name: a page for each method, drawings, a list of all. `folder` has the evidence."""
    where, out, rows = folder or evidence_folder(), dict[str, str](), []
    for name, entry in catalogue.methods().items():
        if not entry.path.is_relative_to(catalogue.PACKAGE):
            continue
        out[f"{name}.md"] = page(entry, where)
        if catalogue.claims(entry.path) and (where / f"{name}.json").is_file():
            out[f"{name}.svg"] = drawing(read(where / f"{name}.json"))
        rows.append((f"[{name}]({name}.md)", entry.card.family, entry.card.title, verdict_of(name, where)))
    rows.sort(key=lambda row: (row[1], row[0]))
    about = "Written by `thinkery evidence pages` from the methods' files and the evidence."
    out[INDEX] = "\n".join(["# Methods", "", about, "", *markdown_table(("method", "family", "title", "verdict"), rows)]) + "\n"
    return {name: text for name, text in out.items() if text}


def outdated(place: Path, wanted: Mapping[str, str]) -> list[str]:
    """The names of files in a folder that are missing, say something else, or should not be there."""
    there = {p.name: p.read_text(encoding="utf-8") for p in place.iterdir() if p.suffix in (".md", ".svg")} if place.is_dir() else {}
    return sorted(name for name in there.keys() | wanted.keys() if there.get(name) != wanted.get(name))


def write_pages(place: Path, folder: Path | None = None) -> list[str]:
    """Write what is out of date in a folder of pages, remove the pages of no method; the names of what changed."""
    wanted = pages(folder)
    changed = outdated(place, wanted)
    with storage(place):
        place.mkdir(parents=True, exist_ok=True)
        for name in changed:
            if name in wanted:
                (place / name).write_text(wanted[name], encoding="utf-8")
            else:
                (place / name).unlink()
    return changed
