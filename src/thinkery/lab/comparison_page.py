"""A comparison's report: what was compared on what, the table, which differences are real, curves, replies, cost, findings, the command."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..core.errors import BadData
from ..core.reading import loads
from .chart import Curve, Range, chart, intervals
from .comparison import COLUMNS, START, Arm, Comparison, Measured, points, span
from .document import Bullets, Code, Document, Facts, Figure, Figures, Replies, Section, Table, Words, html, put
from .report import command_of, findings, read_run
from .statistics import t_interval
from .telling import Side, Telling, shown, verdict
from .text import clean, duration, one_line, percent

FILE = "compare.json"
Points = Sequence[Sequence[float]]  # of a seed: sampled tokens, seconds and accuracy by the end of each step
WINDOWS = 24  # points of a curve, each the mean over as many steps: what one step measures is mostly chance
SHOWN = 6  # problems
OWN = ("schema", "start", "arms", "pairs", "interactions", "spread", "detectable", "summary")  # in compare.json beside what arms share
AXES = (("step", "steps that sampled"), ("tokens", "tokens sampled in training"), ("seconds", "seconds of training"))
MEANING = (
    "Means over seeds. Intervals say what other seeds would have changed (Student), for an accuracy also what other problems would have "
    "(Wilson), whichever is wider. Differences are in percentage points, paired by seed; where every seed is tested on the same rows of a "
    "file, other rows may still change them. Accuracy is greedy; pass@8, the majority, ECE and Brier are of replies at temperature 1 to "
    "{} of the problems."
)


def write_page(found: Comparison) -> Path:
    """Writes compare.html into the comparison's folder and returns its path. Raises BadData, StorageError."""
    return put(Path(found.folder) / "compare.html", html(document(found)))


def read_comparison(folder: Path) -> Comparison:
    """A comparison from its folder, as far as it has come. Raises BadData."""
    path = folder / FILE
    try:
        it = loads(path.read_text("utf-8"))
        about = {k: v for k, v in it.items() if k not in OWN}
        return Comparison(about, _arm(it["start"]), tuple(map(_arm, it["arms"])), str(folder))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadData(path, f"cannot be read ({type(error).__name__}: {error}); the same 'thinkery compare' writes it anew") from None


def _arm(it: Mapping[str, Any]) -> Arm:
    seeds = {s["seed"]: Measured(**{k: v for k, v in s.items() if k != "seed"}) for s in it["seeds"]}
    return Arm(it["method"], seeds, {c["seed"]: [tuple(p) for p in c["points"]] for c in it["curves"]}, it["dropped"])


def plain(found: Comparison) -> dict[str, Any]:
    """The report as plain values: compare.json, the findings, and how the runs were started."""
    run = _run(found)
    return found.to_dict() | {"findings": _findings(found), "command": command_of(run), "versions": run.get("versions") or {}}


def document(found: Comparison) -> Document:
    """The report."""
    about, names = found.about, [clean(arm.method) for arm in found.arms]
    run, first = _run(found), names[0]
    warned, pairs = _findings(found), found.pairs()
    command = command_of(run)
    sections = [
        Section("What was found", [Words([clean(line) for line in found.words()])]),
        Section("What was compared", [Facts(list(_facts(found, run)))]),
        Section("What was measured", [_accuracies(found), *_measured(found)]),
        Section("All pairs", _pairs(found) if pairs else []),
        Section("Combinations", [_combinations(found, first)] if found.interactions() else []),
        Section("Learning", list(_curves(found))),
        Section("Test problems, side by side", [Replies(list(_problems(found)))]),
        Section("Findings", [Bullets(warned)] if warned else []),
        Section("What it cost", [_cost(found)]),
        Section("Run it again", [Code(command) if command else Words(["The runs do not say how they were started."]), _versions(run)]),
    ]
    left_out = [clean(f"{name} was left out: {reason}") for name, reason in about["skipped"].items()]
    unfinished = [f"{about['seeds']} of {about['of_seeds']} seeds are in."] if about["seeds"] < about["of_seeds"] else []
    return Document(clean(f"{', '.join(names)} on {about['task']}"), _subtitle(about), sections, [*unfinished, *left_out])


def _subtitle(about: Mapping[str, Any]) -> str:
    ends = [f"{about['steps']} steps" if about["steps"] else "", f"{about['budget']:,} sampled tokens" if about["budget"] else ""]
    lasts = " or ".join(filter(None, ends)) or "as many steps as each recipe says"
    return clean(f"Model: {about['model']} · {about['n']} test problems · {about['seeds']} seeds · {lasts}")


# ---- what was compared


def _run(found: Comparison) -> dict[str, Any]:
    """What a run of the comparison says of itself; nothing where its folder is gone."""
    for arm in found.arms:
        for seed in arm.seeds:
            try:
                return read_run(_place(found, arm, seed))
            except BadData:
                continue
    return {}


def _place(found: Comparison, arm: Arm, seed: int) -> Path:
    return Path(found.folder) / arm.method / f"seed-{seed}"


def _facts(found: Comparison, run: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The setting that all arms share."""
    about = found.about
    yield "Methods", clean(", ".join(arm.method for arm in found.arms))
    yield "Task", clean(about["task"] + (f", {about['difficulty']}" if about.get("difficulty") else ""))
    size = max((int(v) for v in found.start.values("parameters")), default=0)
    yield "Model", clean(f"{about['model']}, {size:,} parameters")
    yield "Test problems", f"{about['n']}, of which {about['sampled_n']} with several replies"
    yield "Seeds", f"{about['seeds']}; every arm began alike and met the same problems"
    if about.get("solver"):
        yield "Way of thinking", clean(about["solver"])
    stages = ", ".join(f"{s['name']}: {s['steps']} steps" for s in run.get("stages") or ())
    if stages:
        yield f"Stages of {clean(str(run.get('method')))}", clean(stages)
    if about.get("config"):
        yield "Settings", clean(", ".join(f"{k}={v}" for k, v in about["config"].items()))


def _versions(run: Mapping[str, Any]) -> Facts:
    return Facts([(clean(str(k)), clean(str(v))) for k, v in (run.get("versions") or {}).items()])


# ---- what was measured


def _accuracies(found: Comparison) -> Figures:
    """Accuracies with intervals, and each arm's difference to the first."""
    rows = [Range("before training", found.start.accuracy, found.start.interval(), percent(found.start.accuracy))]
    rows += [Range(one_line(a.method, 36), a.accuracy, a.interval(), percent(a.accuracy), i) for i, a in enumerate(found.arms)]
    return Figures([Figure(intervals(rows, unit="accuracy"), [], "mean over seeds with its 95 % interval")])


def _measured(found: Comparison) -> list[Table]:
    """The comparison's table in two parts that fit a page."""
    rows = [[clean(cell) for cell in row] for row in found.rows()]
    cut = len(rows[0]) - len(COLUMNS)
    return [Table([r[:cut] for r in rows]), Table([r[:1] + r[cut:] for r in rows], MEANING.format(found.about["sampled_n"]))]


def _pairs(found: Comparison) -> list[Figures | Table]:
    """Every pair's difference, drawn and as a table."""
    rows, drawn = [["pair", "difference", "95 % interval", "p (Holm)", ""]], []
    for p in found.pairs():
        d, several = p.difference, p.difference.n > 1
        name = clean(f"{p.a} − {p.b}")
        within = span(d.low, d.high, True) if several else "one seed"
        rows.append([name, points(d.mean), within, f"{p.adjusted:.3g}" if several else "—", "real" if p.real else "not told apart"])
        ends = (100 * max(-1.0, d.low), 100 * min(1.0, d.high)) if several else None
        drawn.append(Range(one_line(name, 40), 100 * d.mean, ends, points(d.mean) + (" real" if p.real else "")))
    svg = intervals(drawn, unit="percentage points", zero=0.0)
    caption = "differences in accuracy with their 95 % intervals; real: told apart after Holm's correction for all pairs"
    return [Figures([Figure(svg, [], caption)]), Table(rows)]


def _combinations(found: Comparison, first: str) -> Table:
    rows = [["a + b", "a gains", "b gains", "together", "beyond the sum", "95 % interval", ""]]
    for x in found.interactions():
        gains = [points(x.alone[0]), points(x.alone[1]), points(x.together.mean), points(x.beyond.mean)]
        within = span(x.beyond.low, x.beyond.high, True) if x.beyond.n > 1 else "one seed"
        rows.append([clean(f"{x.a} + {x.b}"), *gains, within, x.kind])
    return Table(
        rows,
        f"Gains in accuracy over {first}, in percentage points. Beyond the sum: what both gain together, minus what each gains alone.",
    )


# ---- curves


def _curves(found: Comparison) -> Iterator[Figures]:
    """Training accuracy of all arms over steps, tokens and seconds."""
    names, items = [clean(arm.method) for arm in found.arms], []
    over_axes = zip(*(curves(name, list(arm.curves.values())) for name, arm in zip(names, found.arms)))
    for drawn, (over, caption) in zip(over_axes, AXES):
        svg = chart(drawn, unit="accuracy in training", bounds=(0.0, 1.0), over=over)
        if svg:
            items.append(Figure(svg, names, f"over the {caption}"))
    if items:
        note = "Share of right replies among those sampled in training: the mean over seeds, in the band of its 95 % interval (Student)."
        yield Figures(items, note, _ends(found), "Accuracy in training, mean over seeds, in the first and the last part of the steps.")


def _windows(seeds: Sequence[Points]) -> Iterator[tuple[list[float], tuple[float, float, float]]]:
    """Parts of the training, as far as all seeds go: the mean step, tokens and seconds, and the mean accuracy with its interval over seeds."""
    steps = min(map(len, seeds), default=0)
    cuts = [round(i * steps / min(WINDOWS, steps)) for i in range(min(WINDOWS, steps) + 1)] if steps else [0]
    for low, high in pairwise(cuts):
        by_seed = [[statistics.fmean(column) for column in zip(*its[low:high])] for its in seeds]
        tokens, seconds, _ = (statistics.fmean(column) for column in zip(*by_seed))
        mean, least, most = t_interval([accuracy for *_, accuracy in by_seed])
        yield [(low + high + 1) / 2, tokens, seconds], (mean, max(0.0, least), min(1.0, most))


def curves(name: str, seeds: Sequence[Points]) -> list[Curve]:
    """Accuracy in training over steps, tokens and seconds: the mean over seeds part by part, in the band of its interval."""
    windows, banded = list(_windows(seeds)), len(seeds) > 1
    return [
        Curve(name, [(x[i], y) for x, (y, _, _) in windows], [(x[i], low, high) for x, (_, low, high) in windows] if banded else ())
        for i in range(len(AXES))
    ]


def _ends(found: Comparison) -> list[list[str]]:
    """Where each curve begins and ends, as a table."""
    rows = [["method", "first", "95 % interval", "last", "95 % interval"]]
    for arm in found.arms:
        cells = [clean(arm.method)]
        windows = list(_windows(list(arm.curves.values())))
        for _, (mean, low, high) in windows[:1] + windows[-1:]:
            cells += [percent(mean), span(low, high) if len(arm.curves) > 1 else "one seed"]
        rows.append(cells + ["—"] * (5 - len(cells)))
    return rows


# ---- replies, findings, cost


def _problems(found: Comparison) -> Iterator[Telling]:
    """Problems of the first seed with every arm's reply: first those that were wrong before and that not all arms answer alike."""
    before = replies(found, found.start)
    after = {clean(arm.method): replies(found, arm) for arm in found.arms}
    right = lambda i: [samples[i]["score"] for samples in after.values()]
    order = lambda i: (before[i]["score"] != 0, len(set(right(i))) == 1, not any(right(i)), i)
    for i in sorted(range(len(before)), key=order)[:SHOWN]:
        sides = [_side("before training", before[i]), *(_side(name, samples[i]) for name, samples in after.items())]
        solved = ", ".join(side.label for side in sides if side.solved)
        why = f"right: {solved}" if solved else "right: none"
        yield Telling("Test problem", why, shown(before[i]["prompt"]), shown(before[i]["gold"]), tuple(sides))


def _side(label: str, s: Mapping[str, Any]) -> Side:
    score = s["score"]
    return Side(label, None if score is None else score >= 1, verdict(score), shown(s["reply"]), shown(s.get("reason", "")))


def replies(found: Comparison, arm: Arm) -> list[dict[str, Any]]:
    """An arm's greedy replies to the test problems of the first seed, as evaluations hold them. Raises BadData."""
    name, key = ("evaluation.json", "samples") if arm.method == START else ("samples.json", "after")
    path = _place(found, arm, 0) / name
    try:
        return list(loads(path.read_text(encoding="utf-8"))[key])
    except (OSError, ValueError, KeyError) as error:
        raise BadData(path, f"cannot be read: {error}") from error


def _findings(found: Comparison) -> list[str]:
    """What the doctor and the runs warned of, each once for an arm, with the seeds."""
    seen: dict[tuple[str, str], list[str]] = {}
    for arm in found.arms:
        for seed in arm.seeds:
            for line in findings(_place(found, arm, seed)):
                seen.setdefault((clean(arm.method), line), []).append(str(seed))
    return [f"{arm} (seed {', '.join(seeds)}): {line}" for (arm, line), seeds in seen.items()]


def _cost(found: Comparison) -> Table:
    """Tokens and seconds of each arm, for one run and all together."""
    rows = [["method", "steps", "sampled tokens a run", "time a run", "sampled tokens", "time"]]
    for arm in found.arms:
        steps, tokens, seconds = (arm.values(name) for name in ("steps", "tokens", "seconds"))
        mean = statistics.fmean
        rows.append(
            [clean(arm.method), f"{mean(steps):,.0f}", f"{mean(tokens):,.0f}", duration(mean(seconds)), f"{sum(tokens):,.0f}"]
            + [duration(sum(seconds))]
        )
    return Table(rows, "Time includes each run's evaluations.")
