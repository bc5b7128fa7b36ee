"""Runs as the pages show them, read from their folders: plain values, cleaned of what no person can read."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import isfinite
from os.path import isfile
from pathlib import Path
from typing import Any

from ...core.errors import BadData
from ...core.reading import UNREADABLE
from .. import control, schema, store
from ..chart import Curve, chart, columns
from ..report import read_run
from ..runs import listed
from ..text import clean, duration

LIVE_S = 120.0  # a run whose record was written within is at work
CHARTS = (
    (("reward", "accuracy"), "mean per reply", (0.0, 1.0), "reward and accuracy on the training problems of each step"),
    (("length",), "tokens", (0.0, 0.0), "length of a reply"),
    (("entropy",), "nats", (0.0, 0.0), "entropy per token: near 0, the model has stopped trying alternatives"),
    (("loss/kl",), "nats", (0.0, 0.0), "divergence from the reference, times its weight in the loss"),
    (("mixed",), "share", (0.0, 1.0), "groups with signal: their replies differ in reward, and only these teach"),
    (("truncated", "unparsed"), "share", (0.0, 1.0), "replies cut off, and replies without a readable answer"),
    (("loss/sft",), "nats per token", (0.0, 0.0), "cross-entropy of the demonstrations"),
    (("drift",), "nats", (0.0, 0.0), "how far sampler and learner differ in a token's log-probability"),
    (("gradient_norm",), "", (0.0, 0.0), "norm of the gradient"),
    (("speed",), "tokens/s", (0.0, 0.0), "tokens sampled over the whole step"),
)
NOW = (("reward", "{:.3g}"), ("accuracy", "{:.1%}"), ("length", "{:.0f}"), ("entropy", "{:.3g}"), ("mixed", "{:.0%}"), ("speed", "{:,.0f}"))
FIRST = ("reward", "accuracy", "length", "entropy", "loss/kl", "mixed", "speed")  # curves of a run at work
SAID = {"mixed": "groups with signal", "speed": "tokens/s", "length": "tokens a reply"}
LOG = 10  # a chart whose highest value is so many times the lowest offers a logarithmic axis
EVENTS = 40
LEVELS = ("fatal", "warning", "note", "fine")


def changed(run: Path) -> float:
    """When a run's record was last written; 0 where there is none."""
    found = [p.stat().st_mtime for p in (run / schema.FILE, run / f"{schema.FILE}-wal", run / "run.json") if p.exists()]
    return max(found, default=0.0)


def live(run: Path, about: Mapping[str, Any]) -> bool:
    """Whether a run is at work: it listens, or has just written."""
    return about.get("status") == "running" and (bool(control.listens(run)) or time.time() - changed(run) < LIVE_S)


def runs(folder: Path, words: str = "") -> list[dict[str, Any]]:
    """All runs, newest first, of which the words say something; `live`: at work now."""
    rows = []
    for row in listed(folder):
        run = Path(row["run"])
        said = " ".join(str(v) for v in row.values()).lower()
        if all(w in said for w in words.lower().split()):
            shown = {k: clean(str(v)) if isinstance(v, str) else v for k, v in row.items()}
            rows.append(shown | {"name": run.name, "live": live(run, row)})
    return rows


def now(folder: Path) -> list[dict[str, Any]]:
    """What the runs at work say of themselves, those of comparisons too: where they stand, their last figures, curves, warnings."""
    found = []
    for run in everywhere(folder):
        with suppress(*UNREADABLE):  # a run that cannot be read must not hide the others
            if live(run, read_run(run)):
                it = overview(run, name_of(folder, run))
                charts = [c for c in it["charts"] if c["names"][0] in FIRST]
                found.append(it | {"charts": charts, "events": [e for e in it["events"] if e["kind"] in LEVELS[:2]][:3]})
    return found


def everywhere(folder: Path) -> list[Path]:
    """Folders of runs, those within comparisons too."""
    return [p.parent for pattern in ("*/run.json", "*/*/seed-*/run.json") for p in folder.glob(pattern)]


def name_of(folder: Path, run: Path) -> str:
    """What a run is called in addresses."""
    return run.relative_to(folder).as_posix()


def overview(run: Path, name: str) -> dict[str, Any]:
    """A run's page: what was asked, where it stands, what it can be asked, curves, what was said."""
    about, metrics, seconds = read_run(run), store.metrics_of(run), store.seconds_of(run)
    for m in metrics:
        if m.get("tokens") and seconds.get(m["step"]):
            m["speed"] = m["tokens"] / seconds[m["step"]]
    done, steps, goes = len(metrics), sum(int(s.get("steps", 0)) for s in about.get("stages") or ()), live(run, about)
    last = metrics[-1] if metrics else {}
    return {
        "name": name,
        "about": {k: "" if about.get(k) is None else clean(str(about[k])) for k in ("method", "task", "model", "seed", "command")},
        "status": clean(str(about.get("status"))),
        "live": goes,
        "listens": goes and bool(control.listens(run)),
        "pending": control.pending(run),
        "done": done,
        "steps": steps,
        "left": duration(_left(about, metrics, seconds, steps)) if goes and steps > done and seconds else "",
        "figures": [(SAID.get(k, k), form.format(last[k])) for k, form in NOW if isinstance(last.get(k), float) and isfinite(last[k])],
        "scores": {k: v for k, v in (about.get("evaluations") or {}).items() if v},
        "charts": [c for names, unit, bounds, caption in CHARTS if (c := _charted(metrics, names, unit, bounds, caption)) is not None],
        "events": events(run),
        "tested": (run / "samples.json").exists(),
        "last": last_sampled(run),
    }


def _left(about: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]], seconds: Mapping[int, float], steps: int) -> float:
    """Seconds of training left, at the pace so far: to the last step, or to the end of the budget of tokens."""
    left, budget = float(steps - len(metrics)), (about.get("config") or {}).get("budget")
    spent = sum(m.get("tokens") or 0.0 for m in metrics)
    if isinstance(budget, int) and spent:
        left = min(left, max(0.0, budget - spent) / spent * len(metrics))
    return left * sum(seconds.values()) / len(seconds)


def _charted(
    metrics: Sequence[Mapping[str, Any]], names: Sequence[str], unit: str, bounds: tuple[float, float], caption: str
) -> dict[str, Any] | None:
    """A run's curves over steps, where they have something to show."""
    curves = [Curve(n, [(m["step"], float(m[n])) for m in metrics if m.get(n) is not None]) for n in names]
    curves = [c for c in curves if any(y for _, y in c.points)]
    return drawn(curves, caption, unit=unit, bounds=bounds) if curves else None


def drawn(
    curves: Sequence[Curve], caption: str, *, unit: str, bounds: tuple[float, float] | None = None, over: str = "step"
) -> dict[str, Any] | None:
    """A chart with its caption: what the page's script draws, and the same drawn for where none runs. None where no curve has a value."""
    svg = chart(curves, unit=unit, bounds=bounds, over=over)
    if not svg:
        return None
    told = columns(curves)
    values = [y for c in told["curves"] for y in c["y"] if y is not None]
    low, high = bounds or (None, None)
    wide = low == high and 0 < LOG * min(values) <= max(values)  # a share keeps its axis
    about = {"unit": unit, "over": over, "bounds": (low, high), "log": wide}
    return {"svg": svg, "names": [c.name for c in curves], "caption": caption, "over": over, "told": json.dumps(told | about)}


def events(run: Path) -> list[dict[str, Any]]:
    """What the run said that a person should read: what is grave first, then the newest; nothing twice."""
    if not (run / schema.FILE).exists():
        return []
    sql = "SELECT step, kind, data FROM events WHERE kind IN ('finding', 'warning', 'note') ORDER BY id DESC LIMIT 200"
    rows = [(step, kind, json.loads(data)) for step, kind, data in store.query(run, sql)[1]]
    said = {(clean(str(d.get("level", kind))), clean(_said(d))): step for step, kind, d in reversed(rows)}
    found = [{"step": step, "kind": level, "text": text} for (level, text), step in reversed(said.items())]
    return sorted(found, key=lambda e: LEVELS.index(e["kind"]) if e["kind"] in LEVELS else 0)[:EVENTS]


def _said(d: Mapping[str, Any]) -> str:
    """A note, a warning or a finding of the doctor, in one line."""
    return str(d["text"]) if "text" in d else f"{d.get('check')}: {d.get('seen')}{' → ' + d['advice'] if d.get('advice') else ''}"


def last_sampled(run: Path) -> int:
    """The last step with rollouts; 0 where there is none."""
    return int(store.query(run, "SELECT coalesce(max(step), 0) FROM rollouts")[1][0][0]) if (run / schema.FILE).exists() else 0


# ---- names


def inside(folder: Path, name: str) -> Path:
    """A folder within the folder of runs. Raises BadData for any other."""
    place = (folder / name.replace("\0", "�")).resolve()
    if not name or not place.is_relative_to(folder) or place == folder:
        raise BadData(name, "no run of that name")
    return place


def found(folder: Path, name: str) -> Path:
    """A run's folder by its name. Raises BadData where there is none in the folder of runs."""
    run = inside(folder, name)
    if not isfile(run / "run.json"):  # unlike `is_file` also of names that no file can have
        raise BadData(name, "no run of that name")
    return run
