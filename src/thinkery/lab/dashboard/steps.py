"""Two steps of one run side by side: the samples of the problems that both met, those whose answer turned first, then those of one alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from ...core.errors import InputError
from .. import store
from ..evaluation import wilson
from ..statistics import paired, t_quantile
from ..telling import shown
from ..text import clean, one_line
from .rollouts import outcome, whole

PAGE = 60  # problems on a page
ALONE = 20  # of one step alone
REPLIES = 4  # different ones of a problem that are shown on a side
OFFERED = 12  # steps that are named for having most in common
KINDS = ("turned wrong", "turned right", "right less often", "right more often", "as before", "failed")
Row = dict[str, Any]
ASKED = (
    "SELECT r.problem, r.number, r.k, r.reply, r.score, r.error, r.tokens, r.reward, r.truncated, p.prompt, p.gold "
    "FROM rollouts r JOIN problems p ON p.id = r.problem WHERE r.step = ? ORDER BY r.problem, r.k"
)
THERE = "EXISTS (SELECT 1 FROM rollouts r WHERE r.step = s.step{})"  # found by the index on (step, number)
KNOWN = f"SELECT s.step FROM steps s WHERE {THERE.format('')} ORDER BY s.step"
COMMON = (
    "WITH met AS (SELECT DISTINCT number, problem FROM rollouts WHERE step = ?) SELECT s.step, count(*) n FROM steps s CROSS JOIN met "
    f"WHERE s.step <> ? AND {THERE.format(' AND r.number = met.number AND r.problem = met.problem')} GROUP BY s.step ORDER BY n DESC, s.step DESC"
)


def steps(run: Path, asked: Mapping[str, str]) -> dict[str, Any]:
    """Two steps' samples of the same problems; by default the first step and the one that has most in common with it. Raises InputError."""
    known = [step for (step,) in store.query(run, KNOWN)[1]]
    if not known:
        raise InputError("the run has no rollouts yet")
    a = whole("a", asked["a"]) if asked.get("a") else known[0]
    common: dict[int, int] = dict(store.query(run, COMMON, (a, a))[1])
    b = whole("b", asked["b"]) if asked.get("b") else next(iter(common), known[0] if a == known[-1] else known[-1])
    if a == b:
        raise InputError(f"step {a} cannot stand beside itself; choose two steps between {known[0]} and {known[-1]}")
    for step in (a, b):
        if step not in known:
            raise InputError(f"no rollouts of step {step} are recorded; there are some of steps {known[0]} to {known[-1]}")
    left, right = _problems(run, a), _problems(run, b)
    both = [(left[p], right[p]) for p in left if p in right]
    alone = [left[p] for p in left if p not in right], [right[p] for p in right if p not in left]
    kinds = [_kind(x, y) for x, y in both]
    only = asked.get("only", "")
    order = sorted(range(len(both)), key=lambda i: (KINDS.index(kinds[i]), both[i][0][0]["number"]))
    rows = [_row(kinds[i], *both[i]) for i in order if not only or kinds[i] == only]
    kept = store.query(run, "SELECT DISTINCT step FROM events WHERE kind = 'checkpoint' ORDER BY step")[1]
    return {
        "a": a,
        "b": b,
        "only": only,
        "kinds": KINDS,
        "rows": rows[:PAGE],
        "hidden": len(rows) - len(rows[:PAGE]),
        "n": len(both),
        "alone": tuple({"n": len(its), "rows": list(map(_alone, its[:ALONE]))} for its in alone),
        "counts": list(_counted(kinds)),
        "figures": list(_compared([x for x, _ in both], [y for _, y in both]) if both else _compared(*alone, apart=True)),
        "common": sorted(list(common.items())[:OFFERED]),
        "checkpoints": [step for (step,) in kept if step in known],
        "ends": (known[0], known[-1]),
        "tested": (run / "samples.json").exists(),
    }


def _problems(run: Path, step: int) -> dict[str, list[Row]]:
    """A step's samples by problem."""
    columns, found = store.query(run, ASKED, (step,))
    return {p: list(part) for p, part in groupby((dict(zip(columns, row)) for row in found), key=lambda s: s["problem"])}


def _mean(samples: Sequence[Row], name: str) -> float | None:
    """Of the samples that have it; None where none has."""
    known = [s[name] for s in samples if s[name] is not None]
    return fmean(known) if known else None


def _share(samples: Sequence[Row]) -> float | None:
    """How many of the samples that were verified are right; None where none was."""
    known = [float(s["score"] >= 1) for s in samples if s["score"] is not None]
    return fmean(known) if known else None


def _kind(x: Sequence[Row], y: Sequence[Row]) -> str:
    """What became of a problem. Its answer is right where more than half of its samples are."""
    before, after = _share(x), _share(y)
    if before is None or after is None:
        return "failed"
    if (before > 0.5) != (after > 0.5):
        return "turned right" if after > 0.5 else "turned wrong"
    return "as before" if before == after else "right more often" if after > before else "right less often"


def _counted(kinds: Sequence[str]) -> Iterator[tuple[str, int, float, float]]:
    """How many problems went which way, and the 95 % interval of their share."""
    counts = Counter(kinds)
    for kind in KINDS:
        if counts[kind]:
            yield kind, counts[kind], *wilson(counts[kind], len(kinds))


def _compared(left: Sequence[list[Row]], right: Sequence[list[Row]], apart: bool = False) -> Iterator[dict[str, Any]]:
    """Share right, reward and length at both steps and how they differ: problem by problem, or `apart` where the problems are others."""
    of = {"right": _share, "reward": lambda s: _mean(s, "reward"), "tokens": lambda s: _mean(s, "tokens")}
    for name, measure in of.items():
        before, after = list(map(measure, left)), list(map(measure, right))
        if not apart:
            pairs = [(u, v) for u, v in zip(before, after) if u is not None and v is not None]
            before, after = [u for u, _ in pairs], [v for _, v in pairs]
        x, y = [v for v in before if v is not None], [v for v in after if v is not None]
        if x and y:
            floor = 1 / (min(map(len, (*left, *right))) * sqrt(len(x))) if name == "right" else 0.0  # where no sample differs, another may
            enough = len(x) > 1 and len(y) > 1
            change = (_welch(x, y, floor) if apart else paired(y, x, floor)) if enough else None
            yield {"name": name, "before": fmean(x), "after": fmean(y), "change": change}


def _welch(x: Sequence[float], y: Sequence[float], floor: float) -> dict[str, float]:
    """How much greater the mean of `y` is, with its 95 % interval (Welch 1947); neither spread is believed below `floor`."""
    a, b = (max(stdev(v), floor) ** 2 / len(v) for v in (x, y))
    mean, df = fmean(y) - fmean(x), (a + b) ** 2 / (a**2 / (len(x) - 1) + b**2 / (len(y) - 1)) if a + b else 1.0
    half = t_quantile(0.975, df) * sqrt(a + b)
    return {"mean": mean, "low": mean - half, "high": mean + half}


def _alone(samples: list[Row]) -> dict[str, Any]:
    """A problem that one step alone met."""
    first = samples[0]
    return _side(samples) | {"line": one_line(first["prompt"], 50), "prompt": shown(first["prompt"]), "gold": clean(first["gold"] or "")}


def _row(kind: str, x: list[Row], y: list[Row]) -> dict[str, Any]:
    """A problem with its samples at both steps."""
    first = x[0]
    about = {"prompt": shown(first["prompt"]), "line": one_line(first["prompt"], 70), "gold": clean(first["gold"] or "")}
    return about | {"number": first["number"], "kind": kind, "sides": (_side(x), _side(y))}


def _side(samples: list[Row]) -> dict[str, Any]:
    """A problem's samples at a step, equal replies together, the most frequent first."""
    replies: dict[str, list[Row]] = {}
    for s in samples:
        replies.setdefault(s["reply"] or "", []).append(s)
    told = [
        {
            "text": shown(text),
            "n": len(same),
            "outcome": outcome(same[0]),
            "k": same[0]["k"],
            "tokens": same[0]["tokens"],
            "cut": same[0]["truncated"],
        }
        for text, same in sorted(replies.items(), key=lambda item: -len(item[1]))
    ]
    figures = {"share": _share(samples), "reward": _mean(samples, "reward"), "tokens": _mean(samples, "tokens")}
    return figures | {"number": samples[0]["number"], "n": len(samples), "replies": told[:REPLIES], "more": len(told[REPLIES:])}
