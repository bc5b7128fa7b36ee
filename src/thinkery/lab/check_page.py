"""A check's report: the claim, its verdict, every comparison with its interval, the arms, curves, cost, and how to run it again.

All of it comes from the evidence (evidence/ID.json), or from what `check --pilot` found and does not write.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from math import inf
from pathlib import Path
from statistics import fmean
from typing import Any

from ..core.errors import InputError
from .chart import Curve, Range, chart, intervals
from .document import Block, Code, Document, Facts, Figure, Figures, Section, Table, Words
from .statistics import t_interval
from .text import clean, duration, one_line
from .verdicts import NOT_RUN, STALE, evidence_folder, read, verdict_of

Record = Mapping[str, Any]
KINDS = {"comparisons": "What is claimed", "mechanism": "What holds by construction", "controls": "Controls"}
HEADS = ("role", "comparison", "verdict", "value", "against", "effect", "interval (level)", "detectable", "why")
EFFECTS = (
    "Effects are differences paired by seed, in favour of what is claimed; intervals are Student's, at a level that allows for each look."
)
NOTE = "Means over seeds, with 95 % intervals (Student), which say what other seeds would have changed; —: not defined for every seed."
WIDE = 4  # metrics in a table
CURVES = (
    ("accuracy", "share right", (0.0, 1.0), "replies sampled in training that are right"),
    ("reward", "mean per reply", (0.0, 0.0), "reward of a reply"),
    ("length", "tokens", (0.0, 0.0), "length of a reply"),
)


def evidence_of(name: str, folder: Path | None = None) -> dict[str, Any]:
    """What is known of a method's claim. Raises InputError where its check was not run, UnknownName, BadData for an edited file."""
    where = folder or evidence_folder()
    verdict = verdict_of(name, where)
    if verdict == NOT_RUN:
        raise InputError(f"{name} has no evidence yet: run 'thinkery check {name}', or see 'thinkery evidence table'")
    return read(where / f"{name}.json") | ({"stale": True} if verdict == STALE else {})


def document(found: Record) -> Document:
    """The report of what `check` returned or `evidence_of` read."""
    pilot = found["scale"] == "pilot"
    sections = [
        Section("Verdict", [Words([_sentence(found["line"])]), *_paper(found)]),
        Section("What was compared", [Facts(list(_facts(found)))]),
        *(Section(title, [_findings(found[kind], kind)] if found[kind] else []) for kind, title in KINDS.items()),
        Section("The arms", list(_arms(found))),
        Section("Learning", list(_curves(found))),
        Section("Findings", [Words([_sentence(reason) for reason in found["reasons"]])] if found["reasons"] else []),
        Section("What it cost", [_cost(found)]),
        Section("Run it again", list(_again(found, pilot))),
    ]
    notices = []
    if found.get("stale"):
        notices.append("The code has changed since: what follows was measured before.")
    if pilot:
        notices.append("Pilot seeds, to set the claim up: this is no verdict, and nothing of it is written as evidence.")
    if found["scale"] == "reduced":
        notices.append("Reduced: fewer problems or seeds than the claim asks for.")
    title = clean(f"{found['method']}: {found['title']}")
    return Document(title, clean(f"{found['verdict']} · {found['seeds']} seeds · {found['scale']}"), sections, notices)


def _sentence(text: str) -> str:
    text = clean(text).strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _paper(found: Record) -> list[Block]:
    return [Words([f"The paper reports, in its own setting: {clean(found['paper'])}"], soft=True)] if found["paper"] else []


# ---- what was compared


def _facts(found: Record) -> Iterator[tuple[str, str]]:
    """The setting, as far as the evidence names it."""
    yield "Arms", clean(", ".join(found["arms"]))
    yield "Baseline", clean(found["baseline"])
    setting = found["setting"][1] if isinstance(found["setting"], list) and len(found["setting"]) == 2 else {}
    task = setting.get("task")
    if isinstance(task, list) and len(task) == 2 and isinstance(task[1], Mapping):
        yield "Task", clean(str(task[1].get("name", task[0].rpartition(":")[2])))
    if isinstance(setting.get("model"), str):
        yield "Model", clean(setting["model"])
    yield "Seeds", f"{found['seeds']}; every arm began alike and met the same problems" + _looks(found["looks"])
    yield "Test problems", f"{found['problems']} for each measurement"
    if found["config"]:
        yield "Settings", clean(", ".join(f"{k}={v}" for k, v in found["config"].items()))
    before = {k: fmean(b[k] for b in found["before"]) for k in found["before"][0]} if found["before"] else {}
    if before:
        yield "Before training", clean(", ".join(f"{k} {v:.3g}" for k, v in before.items()))


def _looks(looks: Sequence[int]) -> str:
    """How often the seeds were looked at before."""
    return f"; looked at after {', '.join(map(str, looks))}" if len(looks) > 1 else ""


# ---- what was measured


def _findings(rows: Sequence[Record], kind: str) -> Table:
    """Comparisons of a kind with effect and interval."""
    number = lambda row, key: f"{row[key]:.4g}" if key in row else "—"
    cells = []
    for row in rows:
        within = f"{row['low']:.3g} to {row['high']:.3g} ({100 * row['level']:.4g} %)" if "low" in row else "—"
        figures = [number(row, "a"), number(row, "b"), number(row, "effect"), within, number(row, "detectable")]
        cells.append([clean(c) for c in (row["role"], row["text"], row["verdict"], *figures, row["why"])])
    return Table([HEADS, *cells], EFFECTS if kind == "comparisons" else "")


def _metrics(found: Record) -> list[str]:
    """What was measured of any arm: what is compared first, then the rest."""
    compared = [row["text"].partition(":")[0] for kind in KINDS for row in found[kind]]
    return list(dict.fromkeys([*compared, "accuracy", *(k for arm in found["arms"].values() for m in arm["metrics"] for k in m)]))


def _values(arm: Record, name: str) -> list[float]:
    """A metric by seed; nothing where it is not defined for every seed."""
    found = [m[name] for m in arm["metrics"] if name in m]
    return found if len(found) == len(arm["metrics"]) else []


def _arms(found: Record) -> Iterator[Figures | Table]:
    """Every metric of every arm, drawn for what is compared and as tables that fit a page."""
    names, arms = _metrics(found), found["arms"]
    compared = {row["text"].partition(":")[0] for kind in KINDS for row in found[kind]}
    items = []
    for name in (n for n in names if n in compared):
        rows = [_range(arm, v, i) for i, (arm, what) in enumerate(arms.items()) if (v := _values(what, name))]
        if rows:
            items.append(Figure(intervals(rows, unit=clean(name)), [], f"{clean(name)}: mean over seeds with its 95 % interval"))
    if items:
        yield Figures(items)
    for i in range(0, len(names), WIDE):
        part = names[i : i + WIDE]
        cells = [[clean(arm), *(_within(_values(what, n)) for n in part)] for arm, what in arms.items()]
        yield Table([["arm", *map(clean, part)], *cells], NOTE if i + WIDE >= len(names) else "")


def _range(arm: str, values: Sequence[float], colour: int) -> Range:
    mean, low, high = t_interval(values)
    return Range(one_line(arm, 36), mean, None if high == inf else (low, high), f"{mean:.4g}", colour)


def _within(values: Sequence[float]) -> str:
    if not values:
        return "—"
    mean, low, high = t_interval(values)
    return f"{mean:.4g}" if high == inf else f"{mean:.4g} [{low:.3g}, {high:.3g}]"


def _curves(found: Record) -> Iterator[Figures]:
    """What the arms' replies were like while they were trained: over the share of the steps, the accuracy over tokens, too."""
    names, items = [clean(arm) for arm in found["arms"]], []
    for key, unit, bounds, caption in CURVES:
        svg = chart([Curve(n, _over_steps(a["curves"].get(key, []))) for n, a in zip(names, found["arms"].values())], unit=unit, bounds=bounds,
                    over="% of the steps")  # fmt: skip
        if svg:
            items.append(Figure(svg, names, caption))
    by_tokens = [Curve(n, _over_tokens(a, found["seeds"])) for n, a in zip(names, found["arms"].values())]
    svg = chart(by_tokens, unit="share right", bounds=(0.0, 1.0), over="tokens")
    if svg:
        items.append(Figure(svg, names, "replies sampled in training that are right, over the tokens sampled by then"))
    if items:
        note = "Means over seeds; the evidence keeps no others, so curves have no intervals, nor does it keep the seconds of each step."
        yield Figures(items, note, _table(found), "Accuracy of the replies sampled in training, over parts of it.")


def _over_steps(y: Sequence[float]) -> list[tuple[float, float]]:
    return [(100 * (i + 0.5) / len(y), v) for i, v in enumerate(y)]


def _over_tokens(arm: Record, seeds: int) -> list[tuple[float, float]]:
    """Accuracy over the tokens of a run: each part of the curve sampled as many as its replies were long, as all parts have as many replies."""
    length, accuracy = arm["curves"].get("length", []), arm["curves"].get("accuracy", [])
    if not sum(length) or len(length) != len(accuracy):
        return []
    spent = accumulate(length)
    return [(arm["tokens"] / seeds * s / sum(length), v) for s, v in zip(spent, accuracy)]


def _table(found: Record) -> list[list[str]]:
    """The curves of accuracy at five points."""
    curves = {arm: what["curves"].get("accuracy", []) for arm, what in found["arms"].items()}
    at = (0.0, 0.25, 0.5, 0.75, 1.0)
    rows = [[clean(arm), *(f"{y[round(s * (len(y) - 1))]:.3f}" for s in at)] for arm, y in curves.items() if y]
    return [["arm", *(f"{100 * s:.0f} %" for s in at)], *rows] if rows else []


# ---- cost, and how to run it again


def _cost(found: Record) -> Table:
    arms = found["arms"].items()
    rows = [[clean(arm), f"{what['tokens']:,}", duration(what["cpu_s"])] for arm, what in arms]
    total = ["all", f"{sum(what['tokens'] for _, what in arms):,}", duration(sum(what["cpu_s"] for _, what in arms))]
    return Table([["arm", "sampled tokens, all seeds", "CPU time"], *rows, total], "CPU time includes the evaluations.")


def _again(found: Record, pilot: bool) -> Iterator[Block]:
    flag = " --pilot" if pilot else " --reduced" if found["scale"] == "reduced" else ""
    yield Code(clean(f"thinkery check {found['method']} --seeds {found['seeds']}{flag}"))
    frozen = found["freeze"]
    facts = [("Claim", frozen["claim"]), ("File", frozen["file"]), ("Parts", found["parts"]), ("Numerics", str(found["numerics"]))]
    facts = [("Revision", str(frozen["revision"])), *facts, ("Written", found["written"])]
    facts += [*found["hardware"].items(), *found["versions"].items()]
    yield Facts([(clean(k), clean(str(v))) for k, v in facts])
    yield Code(clean(json.dumps({"setting": found["setting"], "config": found["config"]}, indent=2, ensure_ascii=False)), "Setting")
