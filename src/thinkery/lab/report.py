"""A run's report: what was trained on what, what came of it, how, at which cost, and how to run it again; as HTML, Markdown and JSON.

Everything in it comes from the run's folder; what was not measured is said to be so, never filled in.
"""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate, pairwise
from math import isfinite
from pathlib import Path
from typing import Any, TypedDict

import msgspec

from ..core.errors import BadData
from ..core.reading import loads
from .chart import Curve, chart
from .document import Bullets, Code, Document, Facts, Figure, Figures, Replies, Scores, Section, Table, Words
from .schema import FILE
from .statistics import Difference, paired
from .store import metrics_of, query, seconds_of
from .telling import Samples, chosen, read_samples
from .text import clean, duration, percent

COLUMNS = ("reward", "accuracy", "length", "truncated", "mixed", "entropy", "loss/sft")
ROWS = 10
OUTCOMES = {
    (False, True): "Wrong before, right after",
    (True, False): "Right before, wrong after",
    (False, False): "Still wrong",
    (True, True): "Right both times",
    (None, None): "Failed, and so not counted",
}
SHARE, NOTHING = (0.0, 1.0), (0.0, 0.0)
CURVES = (
    (("reward", "accuracy"), "mean per reply", SHARE, "on the training problems of each step"),
    (("loss/sft",), "nats per token", NOTHING, "cross-entropy of the demonstrations"),
    (("length",), "tokens", NOTHING, "length of a reply"),
    (("entropy",), "nats", NOTHING, "entropy per token: near 0, the model has stopped trying alternatives"),
    (("mixed",), "share", SHARE, "groups whose replies differ in reward: only these teach"),
    (("speed",), "tokens/s", NOTHING, "tokens sampled (or read, where nothing is sampled), over the whole step"),
)
Record = Mapping[str, Any]


class StageTold(TypedDict):
    name: str
    steps: int


class Told(TypedDict, total=False):
    """What run.json must be like where it says something, as far as pages lean on it."""

    stages: list[StageTold]
    config: dict[str, Any] | None
    evaluations: dict[str, dict[str, Any]]
    versions: dict[str, Any]
    remarks: list[Any]
    status: str
    command: str
    steps: int
    tokens: int
    wall_s: float


def read_run(run: Path) -> dict[str, Any]:
    """What a run's folder says of itself (run.json). Raises BadData where there is none or it cannot be read."""
    path = run / "run.json"
    try:
        found = loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise BadData(run, "not a run's folder: it has no run.json; 'thinkery list runs' names those there are") from None
    except (OSError, ValueError) as error:
        raise BadData(path, f"cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise BadData(path, f"holds a {type(found).__name__}, not an object")
    try:
        msgspec.convert(found, Told)
    except msgspec.ValidationError as error:
        raise BadData(path, f"is damaged: {error}") from None
    return found


def told(run_dir: Path) -> dict[str, Any]:
    """All that a report says, as plain values; text is clean, but for `run`, which is run.json, and the metrics."""
    run, metrics, samples = read_run(run_dir), metrics_of(run_dir), read_samples(run_dir)
    return {
        "title": clean(f"{run.get('method', 'A method')} on {run.get('task', 'a task')}"),
        "subtitle": clean(f"Model: {run.get('model', 'not recorded')} · seed {run.get('seed', 'not recorded')} · {len(metrics)} steps"),
        "unfinished": _unfinished(run, len(metrics)),
        "remarks": [clean(str(remark)) for remark in run.get("remarks") or ()],
        "setup": list(_setup(run)),
        "scores": list(_scores(run)),
        "change": _change(samples),
        "outcomes": _outcomes(samples),
        "telling": [asdict(t) for t in chosen(run_dir)],
        "findings": findings(run_dir),
        "cost": list(_cost(run, metrics)),
        "command": command_of(run),
        "facts": [(clean(str(k)), clean(str(v))) for k, v in (run.get("versions") or {}).items()],
        "config": clean(json.dumps(run.get("config") or {}, indent=2, ensure_ascii=False)),
        "run": run,
        "metrics": metrics,
    }


def document(run_dir: Path) -> Document:
    """The report of a run."""
    it = told(run_dir)
    figures = Figures(
        list(charts(it["metrics"], seconds_of(run_dir))),
        "Thin: as measured on that step's own problems. Bold: the running mean.",
        parts(it["metrics"]),
        "Means over parts of the training.",
    )
    total = sum(n for _, n in it["outcomes"])
    outcomes = [("the same test problems", "how many"), *((name, f"{n} of {total}") for name, n in it["outcomes"])]
    again = [Code(it["command"]) if it["command"] else Words(["The run does not say how it was started."]), Facts(it["facts"])]
    telling = chosen(run_dir)
    sections = [
        Section("Accuracy", list(_accuracy(it))),
        Section("What was trained", [Facts(it["setup"])]),
        Section("What happened, step by step", [figures] if figures.items else []),
        Section("What training changed", [Table(outcomes)] if total else []),
        Section(f"{_number(len(telling))} telling rollouts", [Replies(telling)] if telling else []),
        Section("Findings", [Bullets(it["findings"])] if it["findings"] else []),
        Section("What it cost", [Facts(it["cost"])]),
        Section("Run it again", [*again, Code(it["config"], "Configuration")]),
    ]
    return Document(it["title"], it["subtitle"], sections, [*filter(None, [it["unfinished"]]), *it["remarks"]])


def _number(n: int) -> str:
    words = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten", "Eleven", "Twelve")
    return words[n]


def _accuracy(it: Record) -> Iterator[Scores | Words]:
    """Before, after and the change, with what the intervals mean."""
    if not it["scores"]:
        yield Words(["The accuracy was not measured in this run."])
        return
    scores = [(s["label"], s["accuracy"], s["detail"]) for s in it["scores"]]
    if (d := it["change"]) is not None:
        scores.append(("change", f"{100 * d['mean']:+.1f} points", f"{interval(d['low'], d['high'])}, paired by problem"))
    yield Scores(scores)
    yield Words(
        [
            "Share of test problems answered correctly; in brackets the 95 % interval (Wilson; of the change Student's), which says how far "
            "the number may be off because only so many problems were asked. It does not cover what another seed would have changed."
        ],
        soft=True,
    )


def interval(low: float, high: float) -> str:
    """The ends of an interval of a difference in percentage points; what is wider than the scale is cut there."""
    return f"[{100 * max(-1.0, low):+.1f}, {100 * min(1.0, high):+.1f}]"


def parts(metrics: Sequence[Record], columns: Sequence[str] = COLUMNS, most: int = ROWS) -> list[list[str]]:
    """A table of means over parts of the training, its head first; empty where nothing was measured."""
    shown = [c for c in columns if any(isinstance(m.get(c), int | float) for m in metrics)]
    if not shown:
        return []
    cuts = [round(i * len(metrics) / min(most, len(metrics))) for i in range(min(most, len(metrics)) + 1)]
    rows = [["steps", *shown]]
    for low, high in pairwise(cuts):
        part = metrics[low:high]
        values = [[v for v in numbers(part, c) if v is not None and isfinite(v)] for c in shown]
        rows.append([f"{part[0]['step']}–{part[-1]['step']}", *(f"{sum(v) / len(v):.3g}" if v else "—" for v in values)])
    return rows


def findings(run_dir: Path) -> list[str]:
    """What the doctor and the run itself warned of, each once, with the step."""
    if not (run_dir / FILE).exists():
        return []
    rows = query(run_dir, "SELECT step, kind, data FROM events WHERE kind IN ('finding', 'warning') ORDER BY id")[1]
    said = [(step, kind, loads(data)) for step, kind, data in rows]
    lines = [f"step {step}: {clean(_said(kind, d))}" for step, kind, d in said if kind == "warning" or d["level"] != "fine"]
    return list(dict.fromkeys(lines))


def _said(kind: str, d: Record) -> str:
    """A warning or a finding in one line."""
    return str(d["text"]) if kind == "warning" else f"{d['check']}: {d['seen']}{' → ' + d['advice'] if d['advice'] else ''}"


def _unfinished(run: Record, steps: int) -> str:
    """A sentence on a run that did not end by itself, or nothing."""
    said = {
        "running": f"This run had not ended when the report was written; it stood at step {steps}.",
        "interrupted": f"This run was interrupted after {steps} steps, so what follows is not its end.",
        "failed": f"This run failed after {steps} steps, so what follows is not its end.",
    }
    return said.get(str(run.get("status")), "")


def _setup(run: Record) -> Iterator[tuple[str, str]]:
    """What was trained on what, as far as it is recorded."""
    wanted = {"method": "Method", "task": "Task", "model": "Model", "solver": "Way of thinking", "seed": "Seed"}
    yield from ((name, clean(str(run[key]))) for key, name in wanted.items() if run.get(key) is not None)
    if run.get("parameters"):
        yield "Parameters", f"{run['parameters']:,}"
    if run.get("stages"):
        yield "Stages", clean(", ".join(f"{s['name']}: {s['steps']} steps" for s in run["stages"]))
    if run.get("config"):
        yield "Settings", clean(", ".join(f"{k}={v}" for k, v in run["config"].items()))


def _scores(run: Record) -> Iterator[dict[str, str]]:
    """Accuracy before and after, each with its interval and count, where it was measured."""
    for label in ("before", "after"):
        score = (run.get("evaluations") or {}).get(label)
        if score:
            low, high = percent(score["low"]), percent(score["high"])
            yield {"label": label, "accuracy": percent(score["accuracy"]), "detail": f"[{low}, {high}], n = {score['n']} problems"}


def _change(samples: Samples | None) -> dict[str, float] | None:
    """What training changed in score, problem by problem; None where fewer than two problems were answered twice."""
    found = None if samples is None else difference([s.score for s in samples.before], [s.score for s in samples.after])
    return None if found is None else asdict(found)


def difference(before: Sequence[float | None], after: Sequence[float | None]) -> Difference | None:
    """How much greater the second scores are, problem by problem, those that failed left out; None with fewer than two.

    The spread is not believed below that of one problem that differs: where none does, another one may.
    """
    both = [(b, a) for b, a in zip(before, after) if b is not None and a is not None]
    return paired([a for _, a in both], [b for b, _ in both], len(both) ** -0.5) if len(both) > 1 else None


def _outcomes(samples: Samples | None) -> list[tuple[str, int]]:
    """How many test problems training changed in which way."""
    pairs = zip(samples.before, samples.after) if samples is not None else ()
    found = Counter(OUTCOMES.get((b.solved, a.solved), OUTCOMES[None, None]) for b, a in pairs)
    return [(name, found[name]) for name in OUTCOMES.values() if found[name]]


def numbers(records: Sequence[Record], key: str) -> list[float | None]:
    """One value per record; None where it was not measured."""
    return [float(r[key]) if isinstance(r.get(key), int | float) else None for r in records]


def charts(metrics: Sequence[Record], seconds: Mapping[int, float]) -> Iterator[Figure]:
    """The charts that have something to show."""
    records = with_speed(metrics, seconds)
    for keys, unit, bounds, caption in CURVES:
        columns = {key: [(r["step"], v) for r, v in zip(records, numbers(records, key)) if v is not None] for key in keys}
        curves = [Curve(key, points) for key, points in columns.items() if any(y for _, y in points)]
        svg = chart(curves, unit=unit, bounds=bounds)
        if svg:
            yield Figure(svg, [c.name for c in curves], caption)


def with_speed(metrics: Sequence[Record], seconds: Mapping[int, float]) -> list[Record]:
    """The metrics, each with its tokens per second where both are known, and with the tokens and seconds spent by then."""
    tokens = [s or t for s, t in zip(numbers(metrics, "tokens"), numbers(metrics, "trained_tokens"))]
    spent = accumulate(t or 0.0 for t in numbers(metrics, "tokens"))
    passed = accumulate(seconds.get(m["step"], 0.0) for m in metrics)
    rows = [{**m, "spent": n, "passed": s} for m, n, s in zip(metrics, spent, passed)]
    return [{**m, "speed": n / seconds[m["step"]]} if n and seconds.get(m["step"]) else m for m, n in zip(rows, tokens)]


def _cost(run: Record, metrics: Sequence[Record]) -> Iterator[tuple[str, str]]:
    """What the run used, in tokens and seconds."""
    tokens = [t for t in numbers(metrics, "tokens") if t is not None]
    yield "Tokens sampled in training", f"{sum(tokens):,.0f}" if tokens else "not recorded"
    wall = run.get("wall_s")
    yield "Time, evaluations included", duration(wall) if isinstance(wall, int | float) else "not recorded"
    for label in ("before", "after"):
        score = (run.get("evaluations") or {}).get(label) or {}
        if score.get("tokens_per_reply") is not None:
            yield f"Tokens per reply {label}", f"{score['tokens_per_reply']:.1f}"


def command_of(run: Record) -> str:
    """The command that started the run, as one would type it."""
    command = run.get("command") or ""
    return clean(command if isinstance(command, str) else shlex.join(map(str, command)))
