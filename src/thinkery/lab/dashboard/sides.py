"""Two sets of answers to the same test problems side by side: before and after training, or of two runs; what differs comes first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...core.errors import BadData
from ..report import difference
from ..telling import Sample, read_samples, shown, verdict
from ..text import clean, one_line
from .data import inside

WHEN = ("before", "after")
PAGE = 100  # problems on a page
KINDS = ("right → wrong", "wrong → right", "one failed", "other score", "both wrong", "both right", "both failed")


def choices(folder: Path) -> list[str]:
    """What can stand on a side: a run's name and when, as in 'grpo:after', newest run first."""
    paths = [*folder.glob("*/samples.json"), *folder.glob("*/*/seed-*/samples.json")]
    runs = [p.parent for p in sorted(paths, key=lambda p: p.stat().st_mtime, reverse=True)]
    return [f"{run.relative_to(folder)}:{when}" for run in runs for when in WHEN if when == "before" or (run / "model").exists()]


def beside(folder: Path, a: str, b: str, only: str) -> dict[str, Any]:
    """The problems that both sides were asked, with both answers, those that differ first. Raises BadData."""
    known = choices(folder)
    told: dict[str, Any] = {
        "known": known,
        "kinds": KINDS,
        "a": a,
        "b": b,
        "only": only,
        "rows": [],
        "counts": {},
        "change": None,
        "asked": bool(a and b),
    }
    if not (a and b):
        return told
    left, right = _answers(folder, a), _answers(folder, b)
    other = {s.prompt: s for s in right}
    pairs = list(zip(left, right)) if [s.prompt for s in left] == [s.prompt for s in right] else []
    pairs = pairs or [(s, other[s.prompt]) for s in left if s.prompt in other]
    kinds = [_kind(x, y) for x, y in pairs]
    order = sorted(range(len(pairs)), key=lambda i: (KINDS.index(kinds[i]), i))
    rows = [_row(i, kinds[i], *pairs[i]) for i in order if not only or kinds[i] == only]
    counts = Counter(kinds)
    return told | {
        "rows": rows[:PAGE],
        "hidden": len(rows) - len(rows[:PAGE]),
        "counts": {k: counts[k] for k in KINDS if counts[k]},
        "n": len(pairs),
        "alone": (len(left) - len(pairs), len(right) - len(pairs)),
        "change": difference([x.score for x, _ in pairs], [y.score for _, y in pairs]) if len(pairs) > 1 else None,
    }


def _answers(folder: Path, side: str) -> Sequence[Sample]:
    """The answers of one side. Raises BadData where there are none."""
    name, _, when = side.rpartition(":")
    if when not in WHEN:
        raise BadData(side, f"names no side: give a run and {' or '.join(WHEN)}, as in 'first:after'")
    samples = read_samples(inside(folder, name))
    answers = getattr(samples, when) if samples is not None else ()
    if not answers:
        raise BadData(name, f"has no answers to test problems {when} training")
    return list(answers)


def _kind(x: Sample, y: Sample) -> str:
    """What came of a problem on both sides, in a word or two."""
    if x.solved is None or y.solved is None:
        return "one failed" if x.solved is not y.solved else "both failed"
    if x.solved != y.solved:
        return KINDS[0] if x.solved else KINDS[1]
    return "both right" if x.solved else "both wrong" if x.score == y.score else "other score"


def _row(number: int, kind: str, x: Sample, y: Sample) -> dict[str, Any]:
    """A problem with both answers; lengths in characters."""
    side = lambda s: {
        "verdict": verdict(s.score),
        "outcome": "failed" if s.solved is None else "right" if s.solved else "wrong",
        "reply": shown(s.reply),
        "length": len(s.reply),
        "reason": clean(s.reason)[:400],
        "cut": s.truncated,
    }
    prompt = {"prompt": shown(x.prompt), "line": one_line(x.prompt, 70), "gold": clean(x.gold)}
    return prompt | {"number": number, "kind": kind, "sides": (side(x), side(y)), "same": x.reply == y.reply}
