"""Several runs in one report, side by side: accuracies, which differences the problems show, what was set otherwise, curves, replies, cost.

A run is one seed: an interval here says what other problems would have changed. What other seeds would have changed `compare` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import combinations, count
from pathlib import Path
from typing import Any

from ..core.errors import BadConfig
from .chart import Curve, Range, chart, intervals
from .document import Bullets, Code, Document, Facts, Figure, Figures, Replies, Section, Table, Words
from .report import CURVES, difference, interval, numbers, told, with_speed
from .statistics import ALPHA, holm
from .store import seconds_of
from .telling import Sample, Side, Telling, read_samples, shown, verdict
from .text import clean, duration, one_line, percent

DIFFERING = 6  # problems shown that the runs answer differently
Record = Mapping[str, Any]


def together(runs: Sequence[Path]) -> dict[str, Any]:
    """What is said of each run, by name, and how their answers to the same test problems differ, pair by pair. Raises BadConfig, BadData."""
    names = named(runs)
    about = {name: told(run) for name, run in zip(names, runs)}
    return {"title": title(about), "runs": about, "differences": differences(_answered(names, runs))}


def named(runs: Sequence[Path]) -> list[str]:
    """What the runs are called: the last parts of their paths, as few as tell them apart. Raises BadConfig for a run named twice."""
    paths = [run.resolve() for run in runs]
    if len(set(paths)) < len(runs):
        raise BadConfig("a run stands twice among those to report on; name each once")
    tails = ([clean("/".join(path.parts[-n:])) for path in paths] for n in count(1))
    return next(names for names in tails if len(set(names)) == len(names))


def title(about: Mapping[str, Record]) -> str:
    """In words."""
    tasks = sorted({str(it["run"].get("task", "a task")) for it in about.values()})
    return clean(f"{len(about)} runs on {', '.join(tasks)}")


def document(runs: Sequence[Path]) -> Document:
    """The report."""
    it, names = together(runs), named(runs)
    about, pairs = it["runs"], it["differences"]
    seconds = {name: seconds_of(run) for name, run in zip(names, runs)}
    telling = list(_differing(_answered(names, runs)))
    alike, unlike = _settings(about)
    commands = "\n".join(dict.fromkeys(a["command"] for a in about.values() if a["command"]))
    found = [f"{name}: {line}" for name, a in about.items() for line in a["findings"]]
    sections = [
        Section("Accuracy", list(_accuracy(about))),
        Section("Which differences the problems show", _pairs(pairs)),
        Section("What was set otherwise", [unlike] if len(unlike.rows) > 1 else [Words(["Nothing that is recorded."])]),
        Section("What all have in common", [alike] if alike.items else []),
        Section("Curves", [Figures(figures, "Running means of what was measured on each step's own problems.")])
        if (figures := list(_charts(about, seconds)))
        else Section("Curves", []),
        Section("Test problems that they answer differently", [Replies(telling)] if telling else []),
        Section("Findings", [Bullets(found)] if found else []),
        Section("What they cost", [_cost(about)]),
        Section("Run them again", [Code(commands)] if commands else []),
    ]
    notices = [f"{name}: {a['unfinished']}" for name, a in about.items() if a["unfinished"]]
    return Document(it["title"], "Side by side: " + ", ".join(names), sections, notices)


# ---- accuracies


def _accuracy(about: Mapping[str, Record]) -> Iterator[Figures | Table | Words]:
    """Each run's accuracy, drawn and as a table."""
    scores = {name: it["run"].get("evaluations") or {} for name, it in about.items()}
    if not any(scores.values()):
        yield Words(["The accuracy was not measured in these runs."])
        return
    rows = [["run", "before", "95 % interval", "after", "95 % interval", "change", "95 % interval", "problems"]]
    for name, it in about.items():
        cells, d = [name], it["change"]
        for label in ("before", "after"):
            s = scores[name].get(label)
            cells += ["—", ""] if s is None else [percent(s["accuracy"]), f"{percent(s['low'])} to {percent(s['high'])}"]
        cells += ["—", ""] if d is None else [f"{100 * d['mean']:+.1f}", interval(d["low"], d["high"])]
        rows.append([*cells, str(next((s["n"] for s in scores[name].values()), ""))])
    ends = {name: s["after"] for name, s in scores.items() if "after" in s}
    drawn = intervals(
        [
            Range(one_line(n, 36), s["accuracy"], (s["low"], s["high"]), percent(s["accuracy"]), list(about).index(n))
            for n, s in ends.items()
        ],
        unit="accuracy after training",
    )
    if drawn:
        yield Figures([Figure(drawn, [], "share of test problems answered correctly, with the 95 % interval (Wilson)")])
    note = "Intervals say what other problems would have changed (Wilson; of a change Student's), not what other seeds would have."
    yield Table(rows, note)


def _answered(names: Sequence[str], runs: Sequence[Path]) -> dict[str, list[Sample]]:
    """Each run's answers to test problems after training, of those that have any."""
    found = {name: read_samples(run) for name, run in zip(names, runs)}
    return {name: samples.after for name, samples in found.items() if samples is not None and samples.after}


def _same(a: Sequence[Sample], b: Sequence[Sample]) -> bool:
    """Whether two runs were asked the same."""
    return [s.prompt for s in a] == [s.prompt for s in b]


def differences(answered: Mapping[str, Sequence[Sample]]) -> list[dict[str, Any]]:
    """How much better b is than a, of all pairs that were asked the same problems; p_holm: corrected for the number of pairs."""
    found = []
    for (a, left), (b, right) in combinations(answered.items(), 2):
        d = difference([s.score for s in left], [s.score for s in right]) if _same(left, right) else None
        if d is not None:
            found.append({"a": a, "b": b, **asdict(d)})
    adjusted = holm([f["p"] for f in found])
    return [f | {"p_holm": p, "real": p < ALPHA} for f, p in zip(found, adjusted)]


def _pairs(found: Sequence[Record]) -> list[Table | Words]:
    """The differences, pair by pair."""
    if not found:
        return [Words(["No two of the runs answered the same test problems after training, so their accuracies cannot be paired."])]
    rows = [["pair", "difference", "95 % interval", "p (Holm)", "on these problems"]]
    for f in found:
        told_apart = "real" if f["real"] else "not told apart"
        rows.append([f"{f['b']} − {f['a']}", f"{100 * f['mean']:+.1f}", interval(f["low"], f["high"]), f"{f['p_holm']:.3g}", told_apart])
    note = "In percentage points, paired by problem. Each run is one seed: another seed may turn the order round, which 'thinkery compare' measures."
    return [Table(rows, note)]


def _differing(answered: Mapping[str, Sequence[Sample]]) -> Iterator[Telling]:
    """Problems that some runs solve and others do not, those first that fewest solve, then in order."""
    names = list(answered)
    if len(names) < 2 or not all(_same(answered[names[0]], answered[n]) for n in names):
        return
    rows = list(zip(*answered.values()))
    split = [i for i, row in enumerate(rows) if {True, False} <= {s.solved for s in row}]
    for i in sorted(split, key=lambda i: (sum(bool(s.solved) for s in rows[i]), i))[:DIFFERING]:
        right = ", ".join(n for n, s in zip(names, rows[i]) if s.solved)
        sides = [Side(n, s.solved, verdict(s.score), shown(s.reply), shown(s.reason)) for n, s in zip(names, rows[i])]
        yield Telling("Answered differently", f"right: {right}", shown(rows[i][0].prompt), shown(rows[i][0].gold), tuple(sides))


# ---- settings, curves, cost


def _settings(about: Mapping[str, Record]) -> tuple[Facts, Table]:
    """What all were set to alike, and a table of the rest."""
    given = {name: dict(it["setup"]) | dict(it["facts"]) for name, it in about.items()}
    keys = list(dict.fromkeys(k for settings in given.values() for k in settings))
    values = {k: [settings.get(k, "—") for settings in given.values()] for k in keys}
    alike = [(k, v[0]) for k, v in values.items() if len(set(v)) == 1]
    return Facts(alike), Table([["", *about], *([k, *v] for k, v in values.items() if len(set(v)) > 1)])


def _charts(about: Mapping[str, Record], seconds: Mapping[str, Mapping[int, float]]) -> Iterator[Figure]:
    """A chart for each metric with a curve for each run, over steps; the accuracy over tokens and seconds, too."""
    records = {name: with_speed(it["metrics"], seconds[name]) for name, it in about.items()}
    wanted = [(key, "step", unit, bounds, caption) for keys, unit, bounds, caption in CURVES for key in keys]
    share, again = (0.0, 1.0), "accuracy on the training problems of each step, over the"
    wanted += [("accuracy", "spent", "accuracy", share, f"{again} tokens sampled by then")]
    wanted += [("accuracy", "passed", "accuracy", share, f"{again} seconds spent by then")]
    axes = {"step": "step", "spent": "tokens", "passed": "seconds"}
    for key, over, unit, bounds, caption in wanted:
        curves = [Curve(n, [(r[over], v) for r, v in zip(rows, numbers(rows, key)) if v is not None]) for n, rows in records.items()]
        if any(y for c in curves for _, y in c.points):
            yield Figure(
                chart(curves, unit=unit, bounds=bounds, over=axes[over]), list(about), f"{key}: {caption}" if over == "step" else caption
            )


def _cost(about: Mapping[str, Record]) -> Table:
    """Tokens and seconds of each."""
    rows = [["run", "steps", "tokens sampled", "time", "tokens per reply after"]]
    for name, it in about.items():
        run, tokens = it["run"], [t for t in numbers(it["metrics"], "tokens") if t is not None]
        wall, after = run.get("wall_s"), (run.get("evaluations") or {}).get("after") or {}
        per = after.get("tokens_per_reply")
        rows.append(
            [
                name,
                str(len(it["metrics"])),
                f"{sum(tokens):,.0f}" if tokens else "not recorded",
                duration(wall) if isinstance(wall, int | float) else "not recorded",
                "—" if per is None else f"{per:.1f}",
            ]
        )
    return Table(rows, "Time includes the evaluations.")
