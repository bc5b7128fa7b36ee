"""A comparison as one HTML file that opens offline: the table, what it says in words, curves with bands, replies side by side."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from ..core.errors import BadData
from ..learning.checkpoint import storage
from .chart import Curve, chart
from .comparison import Arm, Comparison, points, span
from .text import clean

TEMPLATE = Path(__file__).with_name("compare.html")


def write_page(found: Comparison) -> Path:
    """Writes compare.html into the comparison's folder and returns its path. Raises BadData, StorageError."""
    target = Path(found.folder) / "compare.html"
    env = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = env.from_string(TEMPLATE.read_text("utf-8")).render(**_shown(found))
    part = target.with_name(".compare.html.tmp")
    with storage(target):
        part.write_text(page, "utf-8")
        part.replace(target)
    return target


def _shown(found: Comparison) -> dict[str, Any]:
    """What the template shows."""
    about = found.about
    ends = [f"{about['steps']} steps" if about["steps"] else "", f"{about['budget']:,} sampled tokens" if about["budget"] else ""]
    head, *rows = found.rows()
    return {
        "title": clean(f"{', '.join(arm.method for arm in found.arms)} on {about['task']}"),
        "subtitle": clean(
            f"Model: {about['model']} · {about['n']} test problems · {' or '.join(filter(None, ends)) or 'as many steps as each recipe says'}"
        ),
        "unfinished": f"{about['seeds']} of {about['of_seeds']} seeds are in." if about["seeds"] < about["of_seeds"] else "",
        "words": [clean(line) for line in found.words()],
        "head": head,
        "sampled": about["sampled_n"],
        "rows": [[clean(cell) for cell in row] for row in rows],
        "pairs": [
            {
                "a": clean(p.a),
                "b": clean(p.b),
                "mean": points(p.difference.mean),
                "interval": span(p.difference.low, p.difference.high, True) if p.difference.n > 1 else "one seed",
                "p": f"{p.adjusted:.3g}" if p.difference.n > 1 else "—",
                "real": "real" if p.real else "not told apart",
            }
            for p in found.pairs()
        ],
        "interactions": [
            {
                "name": clean(f"{x.a} + {x.b}"),
                "gains": [points(x.alone[0]), points(x.alone[1]), points(x.together.mean), points(x.beyond.mean)],
                "interval": span(x.beyond.low, x.beyond.high, True) if x.beyond.n > 1 else "one seed",
                "kind": x.kind,
            }
            for x in found.interactions()
        ],
        "first": clean(found.arms[0].method),
        "charts": list(_charts(found)),
        "names": [clean(arm.method) for arm in found.arms],
        "problem": _problem(found),
        "skipped": [(clean(k), clean(v)) for k, v in about["skipped"].items()],
    }


def _charts(found: Comparison) -> Iterator[dict[str, Any]]:
    for column, over, caption in ((0, "tokens", "over the tokens sampled in training"), (1, "seconds", "over the seconds of training")):
        svg = chart([_curve(arm, column) for arm in found.arms], unit="accuracy in training", bounds=(0.0, 1.0), over=over)
        if svg:
            yield {"svg": svg, "caption": caption}


def _curve(arm: Arm, column: int) -> Curve:
    """The mean over seeds, step by step, in the band between the lowest and the highest seed."""
    steps = list(zip(*arm.curves.values()))
    middle = [(statistics.fmean(p[column] for p in step), statistics.fmean(p[2] for p in step)) for step in steps]
    band = [(x, min(p[2] for p in step), max(p[2] for p in step)) for (x, _), step in zip(middle, steps)]
    return Curve(arm.method, middle, band if len(arm.curves) > 1 else ())


def _problem(found: Comparison) -> dict[str, Any]:
    """One problem of the first seed with every arm's reply: one that not all arms answer alike, if there is one."""
    before = replies(found, found.start)
    after = {arm.method: replies(found, arm) for arm in found.arms}
    right = lambda i: [samples[i]["score"] for samples in after.values()]
    order = lambda i: (before[i]["score"] != 0, len(set(right(i))) == 1, not any(right(i)), i)
    i = min(range(len(before)), key=order)
    sides = [("before training", before[i]), *((name, samples[i]) for name, samples in after.items())]
    return {
        "prompt": clean(before[i]["prompt"]),
        "gold": clean(before[i]["gold"]),
        "sides": [
            {
                "label": clean(name),
                "right": s["score"] == 1,
                "verdict": "failed, not counted" if s["score"] is None else f"score {s['score']:g}",
                "reply": clean(s["reply"]) or "(empty)",
            }
            for name, s in sides
        ],
    }


def replies(found: Comparison, arm: Arm) -> list[dict[str, Any]]:
    """An arm's greedy replies to the test problems of the first seed, as evaluations hold them. Raises BadData."""
    name, key = ("evaluation.json", "samples") if arm.method == found.start.method else ("samples.json", "after")
    path = Path(found.folder) / arm.method / "seed-0" / name
    try:
        return list(json.loads(path.read_text("utf-8"))[key])
    except (OSError, ValueError, KeyError) as error:
        raise BadData(path, f"cannot be read: {error}") from error
