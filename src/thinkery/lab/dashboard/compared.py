"""Comparisons as the pages show them: arms with intervals, curves over what was spent, and where methods add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...core.errors import BadData
from ...core.reading import UNREADABLE, loads
from ..chart import Curve
from ..comparison import points, span
from ..comparison_page import AXES, curves
from ..text import clean
from .data import drawn, inside

COLUMNS = ("accuracy", "pass_at_8", "tokens_per_reply", "ece", "tokens")
DRAWN = 8  # arms with a curve: as many as there are colours
SHARE = (0.0, 1.0)


def comparisons(folder: Path) -> list[dict[str, Any]]:
    """The comparisons in a folder, newest first: name, task, methods, and the best of them."""
    rows = []
    for path in sorted(folder.glob("*/compare.json"), key=lambda p: p.stat().st_mtime, reverse=True):
        with suppress(*UNREADABLE):  # one that cannot be read must not hide the others
            rows.append(_row(path.parent.name, _compared(path)))
    return rows


def _row(name: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """A comparison as a line of a table."""
    best = max(told["arms"], key=lambda a: a["means"]["accuracy"]["mean"])
    facts = {"best": clean(best["method"]), "accuracy": best["means"]["accuracy"]["mean"], "seeds": told["seeds"]}
    facts |= {"name": name, "task": clean(told["task"]), "map": bool(told.get("interactions"))}
    return facts | {"methods": [clean(a["method"]) for a in told["arms"]]}


def comparison(folder: Path, name: str) -> dict[str, Any]:
    """A comparison's arms with intervals, its curves, what is real, and what adds up. Raises BadData."""
    place, told = _found(folder, name)
    columns = [c for c in COLUMNS if any(c in a["means"] for a in told["arms"])]
    arms = [
        {
            "method": clean(a["method"]),
            "cells": [a["means"].get(c) for c in columns],
            "runs": [f"{name}/{run}" for s in a["seeds"] if (place / (run := f"{a['method']}/seed-{s['seed']}") / "run.json").is_file()],
        }
        for a in (told["start"], *told["arms"])
    ]
    first, *rest = told["arms"]
    leading = [first, *sorted(rest, key=lambda a: -a["means"]["accuracy"]["mean"])[: DRAWN - 1]]
    return _about(name, told) | {
        "columns": columns,
        "arms": arms,
        "first": clean(first["method"]),
        "charts": [c for c in (*_curves(leading), _spent(leading)) if c is not None],
        "hidden": len(told["arms"]) - len(leading),
        "map": bool(told.get("interactions")),
        "against": _against(told),
        "words": [clean(line) for line in told["summary"]],
    }


def interactions(folder: Path, name: str) -> dict[str, Any]:
    """Where a comparison's methods add up and where they clash: a row and a column for each but the first one. Raises BadData."""
    _, told = _found(folder, name)
    if not told.get("interactions"):
        raise BadData(name, "holds no combinations: compare with --pairs")
    first, *others = [a["method"] for a in told["arms"] if "+" not in a["method"]]
    gains = {p["b"]: p for p in told["pairs"] if p["a"] == first}
    both = {frozenset((x["a"], x["b"])): x for x in told["interactions"]}
    clashes = {frozenset(pair.split("+")): reason for pair, reason in (told.get("skipped") or {}).items()}
    rows = [
        (clean(a), [_alone(gains.get(a)) if a == b else _both(both.get(key := frozenset((a, b))), clashes.get(key, "")) for b in others])
        for a in others
    ]
    return _about(name, told) | {"first": clean(first), "others": [clean(m) for m in others], "rows": rows}


def _found(folder: Path, name: str) -> tuple[Path, dict[str, Any]]:
    """A comparison's folder and what its file says."""
    place = inside(folder, name)
    return place, _compared(place / "compare.json")


def _compared(path: Path) -> dict[str, Any]:
    """A comparison as its file has it. Raises BadData where it has no arms or cannot be read."""
    try:
        told: dict[str, Any] = loads(path.read_text("utf-8"))
        if told["arms"] and told["start"]["means"]:
            return told
    except (OSError, *UNREADABLE):
        pass
    raise BadData(path.parent.name, "no comparison of that name, or one that cannot be read")


def _about(name: str, told: Mapping[str, Any]) -> dict[str, Any]:
    facts = {"task": clean(told["task"]), "model": clean(str(told["model"])), "n": told["n"], "seeds": told["seeds"]}
    return facts | {"name": name, "names": [clean(a["method"]) for a in told["arms"]]}


def _curves(arms: Sequence[Mapping[str, Any]]) -> list[dict[str, Any] | None]:
    """Accuracy in training, the mean over an arm's seeds with its interval, over each axis."""
    of = [curves(clean(a["method"]), [c["points"] for c in a["curves"]]) for a in arms]
    bands = "; bands are 95 % intervals over seeds" if any(c.band for its in of for c in its) else ""
    captions = [f"accuracy in training over the {caption}{bands}" for _, caption in AXES]
    axes = zip(zip(*of), AXES, captions)
    return [drawn(its, caption, unit="accuracy in training", bounds=SHARE, over=over) for its, (over, _), caption in axes]


def _spent(arms: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Accuracy after training against the tokens that training sampled, with its interval over seeds."""
    known = [a for a in arms if a["means"].get("tokens")]
    spent = [a["means"]["tokens"]["mean"] for a in known]
    half = 0.008 * ((max(spent) - min(spent)) or max(spent)) if spent else 0.0
    curves = []
    for arm, x in zip(known, spent):
        found = arm["means"]["accuracy"]
        ends = (found["low"], found["high"])
        band = [] if None in ends else [(at, max(0.0, ends[0]), min(1.0, ends[1])) for at in (x - half, x + half)]
        curves.append(Curve(clean(arm["method"]), [(x, found["mean"])], band))
    caption = "test accuracy after training against the tokens it sampled; bars are 95 % intervals over seeds"
    return drawn(curves, caption, unit="test accuracy", over="tokens") if curves else None


def _against(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each arm's difference from the first, in accuracy; ends are None with one seed."""
    first, minus = told["arms"][0]["method"], lambda x: None if x is None else -x
    return [
        {"method": clean(p["b"]), "mean": -p["mean"], "low": minus(p["high"]), "high": minus(p["low"]), "real": p["real"]}
        for p in told["pairs"]
        if p["a"] == first
    ]


def _alone(pair: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a method brings against the first one; the pair is the first one's against it."""
    if pair is None:
        return {"text": "—", "kind": "alone", "more": ""}
    ends = "" if pair["low"] is None else span(-pair["high"], -pair["low"], True)
    return {"text": points(-pair["mean"]), "kind": "alone real" if pair["real"] else "alone", "more": ends}


def _both(x: Mapping[str, Any] | None, reason: str) -> dict[str, Any]:
    """What two bring beyond their sum, or why they cannot be joined."""
    if x is None:
        return {"text": "clash" if reason else "—", "kind": "clash", "more": clean(reason).removesuffix("; they cannot be combined")}
    if "changes nothing" in x["kind"]:
        return {"text": "the same", "kind": "idle", "more": clean(x["kind"])}
    d = x["beyond"]
    real = "" if x["kind"].startswith("not") else " real"
    kind = ("helps" if d["mean"] > 0 else "harms") + real
    return {"text": points(d["mean"]), "kind": kind, "more": "" if d["low"] is None else span(d["low"], d["high"], True)}
