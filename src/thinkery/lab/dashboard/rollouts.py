"""What the pages show of a run's rollouts: found by what they are, side by side, token by token, as a tree, and a problem through training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import lru_cache
from itertools import groupby
from math import isfinite, nan
from pathlib import Path
from sqlite3 import Connection
from statistics import fmean
from typing import Any

import numpy as np

from ...core.errors import InputError, ThinkeryError
from ...models.checkpoint import read_config
from ...models.model import BUILT_IN
from ...models.tokenizer import Tokenizer, load_tokenizer
from .. import schema, store
from ..report import read_run
from ..text import clean, one_line
from . import tree
from .tree import Element, Sample

PAGE = 50  # rollouts on a page
LONGEST = 20_000  # characters of a text that are shown
TOKENS = 3_000  # of a reply that are shown
TAIL = 1_500  # characters of the end of one that has more
SAMPLES = 64  # of a problem that are shown
BRANCHES = 200  # of a tree that are shown
SHADES = 4  # of either sign
SHADINGS = ("advantage", "surprise", "entropy", "none")
COLUMN = {"advantage": "advantage", "surprise": "logp", "entropy": "entropy", "none": "NULL"}  # of a turn, a number for each token
FULL = {"advantage": 1.5, "surprise": 4.0, "entropy": 2.0}  # what has the strongest shade; the last two in nats
OUTCOMES = {
    "right": "r.score >= 1",
    "wrong": "r.score < 1",
    "failed": "r.error IS NOT NULL",
    "cut off": "r.truncated = 1",
    "unreadable": "r.parsed IS NULL AND r.score IS NOT NULL",
    "rewarded, not right": "r.reward > 0 AND r.score < 1",
    "right, not rewarded": "r.reward <= 0 AND r.score >= 1",
}
ENDS = ("stop", "length", "said")
NUMBERS = (
    ("step", "r.step = ?"),
    ("number", "r.number = ?"),
    ("shortest", "r.tokens >= ?"),
    ("longest", "r.tokens <= ?"),
    ("easiest", "p.difficulty >= ?"),
    ("hardest", "p.difficulty <= ?"),
    ("before", "r.id < ?"),
)
FRACTIONS = ("easiest", "hardest")
PART = "EXISTS (SELECT 1 FROM rewards w WHERE w.rollout = r.id AND w.name IN ({}) AND w.value {} 0)"
ENDED = "(SELECT t.ended FROM turns t WHERE t.rollout = r.id ORDER BY t.turn DESC LIMIT 1) = ?"
SIGNS = (">", "=", "<")


def rollouts(run: Path, asked: Mapping[str, str]) -> dict[str, Any]:
    """A page of rollouts, newest first: those that are all that is asked for. Raises InputError for what cannot be asked."""
    where, given = ["1"], list[Any]()
    for sql, values in _wanted(run, asked):
        where.append(sql)
        given += values
    sql = (
        "SELECT r.id, r.step, r.number, r.k, p.prompt, r.reply, r.parsed, r.score, r.reason, r.error, r.truncated, r.tokens, r.reward "
        f"FROM rollouts r JOIN problems p ON p.id = r.problem WHERE {' AND '.join(where)} ORDER BY r.id DESC LIMIT {PAGE + 1}"
    )
    columns, rows = store.query(run, sql, given)
    shown = [_row(dict(zip(columns, row))) for row in rows[:PAGE]]
    return {"rows": shown, "older": shown[-1]["id"] if len(rows) > PAGE else None, "parts": list(map(clean, _parts(run)))}


def _wanted(run: Path, asked: Mapping[str, str]) -> Iterator[tuple[str, list[Any]]]:
    """Conditions with their values."""
    for name, sql in NUMBERS:
        if asked.get(name):
            yield sql, [_figure(name, asked[name]) if name in FRACTIONS else whole(name, asked[name])]
    if outcome := asked.get("outcome"):
        if outcome not in OUTCOMES:
            raise InputError(f"no outcome {outcome!r}: {', '.join(OUTCOMES)}")
        yield f"({OUTCOMES[outcome]})", []
    if ended := asked.get("ended"):
        if ended not in ENDS:
            raise InputError(f"no reason to stop {ended!r}: {', '.join(ENDS)}")
        yield ENDED, [ended]
    if part := asked.get("part"):
        name, _, sign = part.rpartition(" ")
        if sign not in SIGNS:
            raise InputError(f"the part of the reward {part!r}: give its name and one of {', '.join(SIGNS)}, as in 'format >'")
        same = [n for n in _parts(run) if clean(n) == name]  # shown clean, recorded as it is
        yield PART.format(", ".join("?" * len(same)), sign), same
    if asked.get("words", "").strip():
        found = [row["id"] for row in store.search(run, asked["words"], 5000)]
        yield f"r.id IN ({', '.join(map(str, found))})", []


def whole(name: str, value: str) -> int:
    """A number that came with an address. Raises InputError."""
    if not value.strip().lstrip("-").isdecimal() or len(value) > 18:
        raise InputError(f"{name} is {value!r}; give a whole number")
    return int(value)


def _figure(name: str, value: str) -> float:
    """A number that came with an address and may have decimals. Raises InputError."""
    try:
        found = float(value)
    except ValueError:
        found = nan
    if not isfinite(found):
        raise InputError(f"{name} is {value!r}; give a number")
    return found


def _parts(run: Path) -> list[str]:
    """Names of the parts of the reward, as the first and the last rollouts have them."""
    if not (run / schema.FILE).exists():
        return []
    sql = "SELECT DISTINCT name FROM rewards WHERE rollout <= 500 OR rollout > (SELECT max(id) FROM rollouts) - 500 ORDER BY name"
    return [str(n) for (n,) in store.query(run, sql)[1]]


def _row(row: dict[str, Any]) -> dict[str, Any]:
    """A rollout as a line of a table."""
    row["prompt"], row["reply"] = one_line(row["prompt"] or "", 60), one_line(row["reply"] or "", 90)
    row["reason"] = one_line(row["error"] or row["reason"] or "", 80)
    return row | {"outcome": outcome(row)}


def outcome(row: Mapping[str, Any]) -> str:
    """right, wrong or failed, in a word."""
    return "failed" if row["error"] else "—" if row["score"] is None else "right" if row["score"] >= 1 else "wrong"


# ---- a problem's samples of a step


def group(run: Path, step: int, number: int, by: str) -> dict[str, Any]:
    """A problem's samples of a step side by side and as a tree, shaded by what is asked for. Raises InputError."""
    if by not in SHADINGS:
        raise InputError(f"no shading {by!r}: {', '.join(SHADINGS)}")
    sql = "SELECT r.*, p.prompt, p.gold, p.difficulty FROM rollouts r JOIN problems p ON p.id = r.problem WHERE r.step = ? AND r.number = ? ORDER BY k"
    with closing(store.opened(run)) as connection:
        cursor = connection.execute(sql, (step, number))
        names = [c[0] for c in cursor.description]
        everything = [dict(zip(names, row)) for row in cursor.fetchall()]
        if not everything:
            raise InputError(f"the run has no sample of problem {number} in step {step}")
        samples, tokenizer = everything[:SAMPLES], tokenizer_of(run)
        for s in samples:
            s["turns"] = _turns(connection, s["id"], tokenizer, by)
            paid = connection.execute("SELECT name, value FROM rewards WHERE rollout = ? ORDER BY name", (s["id"],))
            s["parts"] = [(clean(name), value) for name, value in paid]
            s["outcome"], s["reason"], s["parsed"] = outcome(s), clean(s["error"] or s["reason"] or ""), clean(s["parsed"] or "")
        others = [n for (n,) in connection.execute("SELECT DISTINCT number FROM rollouts WHERE step = ? ORDER BY number", (step,))]
        met = [
            m
            for (m,) in connection.execute(
                f"SELECT DISTINCT step FROM ({MET}) WHERE problem = ? ORDER BY step", (number, everything[0]["problem"])
            )
        ]
    first = samples[0]
    about = {"prompt": clean(first["prompt"][:LONGEST]), "gold": clean(first["gold"] or ""), "difficulty": first["difficulty"]}
    about |= {"samples": samples, "hidden": len(everything) - len(samples), "tree": _tree(samples, by)}
    return about | {"others": others, "met": met, "step": step, "number": number, "by": by}


def _turns(connection: Connection, rollout: int, tokenizer: Tokenizer | None, by: str) -> list[dict[str, Any]]:
    """A rollout's turns: who wrote, what was said to it before that no model wrote, its tokens as elements and as pieces of one shade."""
    sql = (
        f"SELECT t.role, t.text, t.ended, t.forced, t.ids, {COLUMN[by]}, c.text FROM turns t JOIN contexts c ON c.id = t.context "
        "WHERE t.rollout = ? ORDER BY t.turn"
    )
    shown, known, room = [], list[str](), TOKENS
    for role, text, ended, forced, ids, numbers, context in connection.execute(sql, (rollout,)):
        begun = max((len(before) for before in known if context.startswith(before)), default=0)
        told = clean(context[begun:][-LONGEST:])
        elements, left = _elements(text, ids, _values(len(ids) // 4, numbers), tokenizer, room)
        room -= len(elements)
        pieces = [("".join(e.text for e in part), degree) for degree, part in groupby(elements, key=lambda e: shade(e.value, by))]
        turn = {"role": clean(role), "context": told, "told": one_line(told, 60), "pieces": pieces, "ended": ended, "forced": forced}
        shown.append(turn | {"elements": elements, "left": left, "tail": clean(text[-TAIL:]) if left else ""})
        known += [context, context + text]
    return shown


def _values(n: int, blob: bytes | None) -> list[float]:
    """A number for each of n tokens; nan where there is none."""
    found = np.frombuffer(blob, "<f4") if blob else np.full(1, nan, "<f4")
    return [float(x) for x in (np.broadcast_to(found, (n,)) if len(found) == 1 else found)]


def _elements(text: str, ids: bytes, values: list[float], tokenizer: Tokenizer | None, room: int) -> tuple[list[Element], int]:
    """A turn's tokens, and how many more there were than there is room for; all of its text as one where no tokenizer is left."""
    if tokenizer is None:
        mean = [v for v in values if isfinite(v)]
        return [Element(text, clean(text[:LONGEST]), fmean(mean) if mean else nan)], 0
    tokens = np.frombuffer(ids, "<i4").tolist()
    texts = {t: clean(piece(tokenizer, t)) for t in set(tokens[:room])}
    return [Element(t, texts[t], v) for t, v in zip(tokens[:room], values)], max(0, len(tokens) - room)


def _tree(samples: Sequence[Mapping[str, Any]], by: str) -> dict[str, Any] | None:
    """The samples' tree as a drawing and as a list; None where there is nothing to merge."""
    made = []
    for s in samples:
        elements = list[Element]()
        for i, turn in enumerate(s["turns"]):
            elements += [Element(turn["context"], f" ⟨{turn['told']}⟩ ")] if i and turn["context"] else []
            elements += turn["elements"]
        made.append(Sample(s["k"], s["outcome"], elements))
    if len(made) < 2 or not any(s.elements for s in made):
        return None
    branches = list(tree.listed(tree.grown(made)))
    shades = [shade(b.value, by) for _, b in branches]
    rows = [
        {"level": min(level, 9), "shade": degree, "branch": b, "place": i, "share": len(b.samples)}
        for i, ((level, b), degree) in enumerate(zip(branches, shades))
        if b.size
    ]
    return {"svg": tree.drawing(branches, shades), "rows": rows[:BRANCHES], "hidden": len(rows) - len(rows[:BRANCHES]), "n": len(made)}


def piece(tokenizer: Tokenizer, token: int) -> str:
    """What a token adds to a text; half a character shows as a replacement character, an end token as ■."""
    if token in tokenizer.ends:
        return "■"
    raw = tokenizer.pieces[token] if token < len(tokenizer.pieces) else ""
    return raw.encode("latin-1", "replace").decode("utf-8", "replace")


def shade(value: float, by: str) -> int:
    """-SHADES to SHADES, full at FULL: advantages by sign and size, log-probabilities by how far below 0, entropies by size; 0 for nan."""
    return max(-SHADES, min(SHADES, round(SHADES * value / FULL[by]))) if isfinite(value) else 0


def tokenizer_of(run: Path) -> Tokenizer | None:
    """The tokenizer of the run's model; None where its folder is gone."""
    about = read_run(run)
    for folder in (run / "model", BUILT_IN / str(about.get("model")), Path(str(about.get("model")))):
        if (folder / "tokenizer.json").is_file():
            return _tokenizer(folder, (folder / "tokenizer.json").stat().st_mtime)
    return None


@lru_cache(maxsize=4)
def _tokenizer(folder: Path, written: float) -> Tokenizer | None:
    try:
        return load_tokenizer(folder, read_config(folder)[1] if (folder / "config.json").is_file() else {})
    except (ThinkeryError, OSError):
        return None


# ---- a problem through training

MET = "SELECT * FROM rollouts WHERE step IN (SELECT step FROM steps) AND number = ?"  # by the index, step for step
MOST = 200  # steps that are shown


def problem(run: Path, number: int) -> dict[str, Any]:
    """All samples of a problem of the training split, step by step as it was met: how its replies changed. Raises InputError."""
    sql = (
        "SELECT r.step, r.k, r.problem, r.reply, r.score, r.error, r.tokens, r.reward, r.truncated, p.prompt, p.gold, p.difficulty "
        f"FROM ({MET}) r JOIN problems p ON p.id = r.problem ORDER BY r.step, r.k"
    )
    columns, rows = store.query(run, sql, (number,))
    samples = [dict(zip(columns, row)) for row in rows]
    if not samples:
        raise InputError(f"the run met no problem {number}")
    steps = [_met(step, list(part)) for step, part in groupby(samples, key=lambda s: s["step"])]
    changes = [{"prompt": one_line(s["prompt"], 80), "step": s["step"]} for s in {s["problem"]: s for s in reversed(samples)}.values()]
    first = samples[0]
    about = {"prompt": clean(first["prompt"][:LONGEST]), "gold": clean(first["gold"] or ""), "difficulty": first["difficulty"]}
    shown = steps if len(steps) <= MOST else steps[: MOST // 2] + steps[-MOST // 2 :]
    return about | {"number": number, "steps": shown, "hidden": len(steps) - len(shown), "prompts": changes[::-1]}


def _met(step: int, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A problem's samples of one step, in figures and by the replies, the most frequent first."""
    mean = lambda name: fmean(known) if (known := [s[name] for s in samples if s[name] is not None]) else None
    replies: dict[str, list[dict[str, Any]]] = {}
    for s in samples:
        replies.setdefault(s["reply"] or "", []).append(s)
    told = [
        {"text": one_line(text, 160), "n": len(same), "outcome": outcome(same[0]), "k": same[0]["k"]}
        for text, same in sorted(replies.items(), key=lambda item: -len(item[1]))
    ]
    figures = {name: mean(name) for name in ("score", "reward", "tokens")}
    return figures | {
        "step": step,
        "n": len(samples),
        "outcomes": [outcome(s) for s in samples],
        "replies": told[:3],
        "more": len(told[3:]),
    }
