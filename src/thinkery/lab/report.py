"""A run as one HTML file that opens anywhere: no scripts, no network, light and dark, readable on a phone.

Everything in it comes from the run's folder; what was not measured is said to be so, never filled in.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment, StrictUndefined

from thinkery.core.errors import BadData, StorageError

from .chart import Curve, chart
from .text import clean, duration, percent

TEMPLATE = Path(__file__).with_name("report.html")
SHOWN = 6  # problems shown of each kind
KINDS = {
    (False, True): "Wrong before, right after",
    (True, False): "Right before, wrong after",
    (False, False): "Still wrong",
    (True, True): "Right both times",
    (None, None): "Failed, and so not counted",
}
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Sample:
    """One evaluated problem, as samples.json holds it."""

    prompt: str
    gold: str
    reply: str
    score: float | None  # None: the sample failed, which is not a wrong answer
    reason: str = ""

    @property
    def solved(self) -> bool | None:
        """Whether the answer was right in full; None where the sample failed."""
        return None if self.score is None else self.score >= 1


@dataclass(frozen=True)
class Samples:
    """The same problems before and after training; `after` is missing while a run goes on."""

    before: list[Sample]
    after: list[Sample] = field(default_factory=list)


def read_run(run: Path) -> dict[str, Any]:
    """What a run's folder says of itself (run.json). Raises BadData where there is none or it cannot be read."""
    path = run / "run.json"
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise BadData(run, "not a run's folder: it has no run.json; 'thinkery list runs' names those there are") from None
    except (OSError, ValueError) as error:
        raise BadData(path, f"cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise BadData(path, f"holds a {type(found).__name__}, not an object")
    return found


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a JSONL file; none where there is no file. A last line that a kill cut short is left out; others raise BadData."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise BadData(path, f"cannot be read: {error}") from None
    lines = text.split("\n")  # not splitlines: a JSON string may hold U+2028
    records = []
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last newline is empty, or was cut short
        try:
            records.append(json.loads(line))
        except ValueError as error:
            raise BadData(path, f"not JSON: {error}", number) from None
    return records


def write_report(run_dir: Path, path: Path | None = None) -> Path:
    """Writes the report of a run and returns its path (by default report.html in the run's folder). Raises BadData, StorageError."""
    run_dir = Path(run_dir)
    target = run_dir / "report.html" if path is None else Path(path)
    page = render(run_dir)
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(page, "utf-8")
        os.replace(part, target)
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error.strerror}; choose another place") from error
    return target


def render(run_dir: Path) -> str:
    """The report of a run as HTML."""
    run = read_run(run_dir)
    metrics, timing = read_lines(run_dir / "metrics.jsonl"), read_lines(run_dir / "timing.jsonl")
    groups, pairs = _problems(run_dir / "samples.json")
    env = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return env.from_string(TEMPLATE.read_text("utf-8")).render(
        title=clean(f"{run.get('method', 'A method')} on {run.get('task', 'a task')}"),
        subtitle=clean(f"Model: {run.get('model', 'not recorded')} · seed {run.get('seed', 'not recorded')} · {len(metrics)} steps"),
        unfinished=_unfinished(run, len(metrics)),
        remarks=[clean(str(remark)) for remark in run.get("remarks") or ()],
        scores=list(_scores(run)),
        charts=list(_charts(metrics, timing)),
        groups=groups,
        pairs=pairs,
        cost=list(_cost(run, metrics)),
        command=_command(run),
        facts=[(clean(str(k)), clean(str(v))) for k, v in (run.get("versions") or {}).items()],
        config=clean(json.dumps(run.get("config") or {}, indent=2, ensure_ascii=False)),
    )


def _unfinished(run: Record, steps: int) -> str:
    """A sentence on a run that did not end by itself, or nothing."""
    said = {
        "running": f"This run had not ended when the report was written; it stood at step {steps}.",
        "interrupted": f"This run was interrupted after {steps} steps, so what follows is not its end.",
        "failed": f"This run failed after {steps} steps, so what follows is not its end.",
    }
    return said.get(str(run.get("status")), "")


def _scores(run: Record) -> Iterator[dict[str, str]]:
    """Accuracy before and after, each with its interval and count, where it was measured."""
    for label in ("before", "after"):
        score = (run.get("evaluations") or {}).get(label)
        if score:
            low, high = percent(score["low"]), percent(score["high"])
            yield {"label": label, "accuracy": percent(score["accuracy"]), "detail": f"[{low}, {high}], n = {score['n']} problems"}


def _numbers(records: Sequence[Record], key: str) -> list[float | None]:
    """One value per record; None where it was not measured."""
    return [float(r[key]) if isinstance(r.get(key), int | float) else None for r in records]


def _charts(metrics: Sequence[Record], timing: Sequence[Record]) -> Iterator[dict[str, Any]]:
    """The charts that have something to show."""
    share, nothing = (0.0, 1.0), (0.0, 0.0)
    wanted = (
        (("reward", "accuracy"), "mean per reply", share, "on the training problems of each step"),
        (("loss/sft",), "nats per token", nothing, "cross-entropy of the demonstrations"),
        (("length",), "tokens", nothing, "length of a reply"),
        (("entropy",), "nats", nothing, "entropy per token: near 0, the model has stopped trying alternatives"),
        (("mixed",), "share", share, "groups whose replies differ in reward: only these teach"),
        (("speed",), "tokens/s", nothing, "tokens sampled (or read, where nothing is sampled), over the whole step"),
    )
    records = _with_speed(metrics, timing)
    for keys, unit, bounds, caption in wanted:
        columns = {key: [(r["step"], v) for r, v in zip(records, _numbers(records, key)) if v is not None] for key in keys}
        curves = [Curve(key, points) for key, points in columns.items() if any(y for _, y in points)]
        svg = chart(curves, unit=unit, bounds=bounds)
        if svg:
            yield {"svg": svg, "names": [c.name for c in curves], "caption": caption}


def _with_speed(metrics: Sequence[Record], timing: Sequence[Record]) -> list[Record]:
    """The metrics, each with its tokens per second where both are known."""
    seconds = {t["step"]: t["seconds"] for t in timing}
    tokens = [s or t for s, t in zip(_numbers(metrics, "tokens"), _numbers(metrics, "trained_tokens"))]
    return [{**m, "speed": n / seconds[m["step"]]} if n and seconds.get(m["step"]) else m for m, n in zip(metrics, tokens)]


def _problems(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The evaluated problems in four kinds by what training changed, and how many there are."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Samples)
    except FileNotFoundError:
        return [], 0
    except (OSError, msgspec.MsgspecError) as error:
        raise BadData(path, f"cannot be read: {error}") from None
    if not found.after:
        return [], 0
    if [s.prompt for s in found.before] != [s.prompt for s in found.after]:
        raise BadData(path, "the problems before and after training differ, so they cannot stand side by side")
    kinds: dict[str, list[dict[str, Any]]] = {title: [] for title in KINDS.values()}
    for before, after in zip(found.before, found.after):
        pair = {"prompt": clean(after.prompt), "gold": clean(after.gold), "sides": [_side("before", before), _side("after", after)]}
        kinds[KINDS.get((before.solved, after.solved), KINDS[None, None])].append(pair)
    return [{"title": t, "total": len(p), "shown": p[:SHOWN]} for t, p in kinds.items() if p], len(found.after)


def _side(label: str, sample: Sample) -> dict[str, Any]:
    verdict = {True: "✓ right", False: "✗ wrong", None: "failed, not counted"}[sample.solved]
    return {
        "label": label,
        "solved": sample.solved,
        "verdict": verdict,
        "reply": clean(sample.reply) or "(empty)",
        "reason": clean(sample.reason),
    }


def _cost(run: Record, metrics: Sequence[Record]) -> Iterator[tuple[str, str]]:
    """What the run used, in tokens and seconds."""
    tokens = [t for t in _numbers(metrics, "tokens") if t is not None]
    yield "Tokens sampled in training", f"{sum(tokens):,.0f}" if tokens else "not recorded"
    wall = run.get("wall_s")
    yield "Time, evaluations included", duration(wall) if isinstance(wall, int | float) else "not recorded"
    for label in ("before", "after"):
        score = (run.get("evaluations") or {}).get(label) or {}
        if score.get("tokens_per_reply") is not None:
            yield f"Tokens per reply {label}", f"{score['tokens_per_reply']:.1f}"


def _command(run: Record) -> str:
    """The command that started the run, as one would type it."""
    command = run.get("command") or ""
    return clean(command if isinstance(command, str) else shlex.join(map(str, command)))
