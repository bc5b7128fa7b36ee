"""What a command tells while it works: one event type, listened to by the terminal, files and tests alike.

With `--json` each event is a line of its own on standard output: an object whose field `event` is the kind. Fields are added in later
versions, and kinds; none is renamed, taken away, or given another meaning under the same schema (the field of `begin`). A number that
JSON cannot write (an infinity, no number) is null. All text is ASCII with escapes; what a model wrote stands as it was written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .statistics import t_interval

SCHEMA = 1
TEXT, NUMBER, INTEGER, FLAG, LIST, OBJECT = "string", "number", "integer", "boolean", "array", "object"
Fields = dict[str, tuple[str, str]]  # name -> (its JSON type, what it is); a ? after the type: it may be missing; "or null": it may be null

_INTERVAL: Fields = {
    "accuracy": (NUMBER, "in [0, 1]"),
    "low": (NUMBER, "the lower end of its 95 % interval"),
    "high": (NUMBER, "the upper end"),
}
_SAMPLE: Fields = {
    "prompt": (TEXT, ""),
    "gold": (TEXT, "the right answer, empty where only the verifier knows"),
    "reply": (TEXT, ""),
    "parsed": ("string or null", "the answer that was read"),
    "score": ("number or null", "the verifier's, in [0, 1]; null where nothing was verified"),
    "reason": (TEXT, "the verifier's, or what failed"),
    "truncated": (FLAG, "whether a token limit cut it off"),
    "confidence": ("number or null?", "where the solver states one"),
}
_ARM: Fields = {"arm": (TEXT, "its name"), "seed": (INTEGER, "which of its seeds, from 1"), "of": (INTEGER, "how many seeds")}
KINDS: dict[str, tuple[str, Fields]] = {
    "begin": (
        "the first event: what is set out to do",
        {"schema": (INTEGER, f"of these events: {SCHEMA}"), "what": (TEXT, "train, compare, eval or check"), "title": (TEXT, "in words")},
    ),
    "note": ("something worth knowing", {"text": (TEXT, "")}),
    "warning": ("something that a reader of the curves would miss", {"text": (TEXT, "")}),
    "finding": (
        "what the doctor found before or in a stage's first step",
        {
            "check": (TEXT, "what was looked at"),
            "level": (TEXT, "fine, note, warning or fatal"),
            "seen": (TEXT, "what was seen"),
            "advice": (TEXT, "what to do about it"),
        },
    ),
    "preview": ("replies before the first step", {"samples": (LIST, "as in `sample`, with `rendered`: the prompt as the model gets it")}),
    "stage": (
        "a stage begins",
        {
            "name": (TEXT, ""),
            "index": (INTEGER, "from 0"),
            "of": (INTEGER, "how many stages"),
            "steps": (INTEGER, "how many it has"),
        },
    ),
    "step": (
        "a step of training; besides, each of the step's metrics by name: reward, accuracy, length, mixed (the share of groups with signal), …",
        {
            "stage": (TEXT, ""),
            "step": (INTEGER, "of the stage, from 1"),
            "steps": (INTEGER, "how many the stage has"),
            "total": (INTEGER, "steps of all stages that are done"),
            "total_steps": (INTEGER, "how many there are"),
            "tokens_per_s": ("number?", "sampled, or trained on where nothing is sampled; not in `check`"),
            "seconds_left": ("number?", "of training, at the mean pace so far; not in `check`"),
        },
    ),
    "sample": ("a reply, about one each second", _SAMPLE),
    "progress": (
        "how far an evaluation has come, about once a second; short replies are finished first, which the accuracy so far shows",
        {"label": (TEXT, "which evaluation"), "done": (INTEGER, "problems"), "of": (INTEGER, "problems"), **_INTERVAL}
        | {
            "tokens_per_s": (NUMBER, "written"),
            "seconds_left": (NUMBER, "at the mean pace so far"),
            "billed": ("object?", "tokens as the server bills them, written and read: {tokens, prompt_tokens}"),
        },
    ),
    "evaluation": (
        "an accuracy was measured",
        {"label": (TEXT, "before, after, evaluation, …"), **_INTERVAL, "n": (INTEGER, "problems")},
    ),
    "checkpoint": ("a checkpoint was written", {"path": (TEXT, ""), "step": (INTEGER, "steps done")}),
    "saved": ("something to keep was written", {"path": (TEXT, ""), "what": (TEXT, "run folder, model, comparison or report")}),
    "arms": (
        "what is compared",
        {
            "arms": (LIST, "their names, the baseline first"),
            "seeds": (INTEGER, "of each"),
            "metrics": (LIST, "what is measured, the most important first"),
        },
    ),
    "arm": ("how far an arm's run has come", {**_ARM, "share": (NUMBER, "of its training, in [0, 1]")}),
    "trial": (
        "an arm's run is done and measured",
        {
            **_ARM,
            "metrics": (OBJECT, "what was measured of it, by name"),
            "means": (OBJECT, "over the arm's seeds so far, by name: [mean, low, high] with the 95 % interval, null with one seed"),
            "kept": (FLAG, "whether it was done before this command began"),
        },
    ),
    "standings": (
        "a seed of every arm is done",
        {"seed": (INTEGER, "how many"), "of": (INTEGER, "seeds"), "rows": (LIST, "method, seeds, accuracy and interval, as text")},
    ),
    "stopping": ("Ctrl-C was pressed: the step that is at work is finished and a checkpoint written", {}),
    "interrupted": (
        "the command ends before its end, with status 130",
        {"text": (TEXT, "what is kept"), "again": (TEXT, "how to go on")},
    ),
    "verdict": (
        "the end of `check`",
        {
            "method": (TEXT, ""),
            "verdict": (TEXT, ""),
            "seeds": (INTEGER, ""),
            "scale": (TEXT, "pilot, reduced or miniature"),
            "comparisons": (LIST, "with effects and intervals"),
            "mechanism": (LIST, "what holds by construction"),
            "controls": (LIST, "what must move, and the placebo"),
            "reasons": (LIST, "why the verdict is no other, in words"),
        },
    ),
    "result": (
        "the end of `compare`, `eval` and `run replay`: all that was found, under the names that compare.json, `Evaluation` and `Replay` have",
        {"task": (TEXT, "")},
    ),
    "done": (
        "the end of `train`",
        {"folder": (TEXT, "of the run"), "steps": (INTEGER, ""), "tokens": (INTEGER, "sampled"), "seconds": (NUMBER, "at work")},
    ),
}
OPEN = ("step", "result")  # kinds with further fields


@dataclass(frozen=True)
class Event:
    """kind: one of KINDS; data: plain values, by the kind's fields."""

    kind: str
    data: dict[str, Any] = field(default_factory=dict)


Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """Listens to nothing."""


def both(first: Listener, second: Listener) -> Listener:
    """Tells one after the other."""

    def listen(event: Event) -> None:
        first(event)
        second(event)

    return listen


def of_arm(listen: Listener, arm: str, seed: int) -> Listener:
    """Tells with each event which arm and seed it is of."""
    return lambda event: listen(Event(event.kind, event.data | {"arm": arm, "seed": seed}))


def running(found: Sequence[Mapping[str, float]]) -> dict[str, list[float | None]]:
    """Means of what was measured with each seed, by name: [mean, low, high] with the 95 % interval, null with one seed."""
    out: dict[str, list[float | None]] = {}
    for name in dict.fromkeys(k for metrics in found for k in metrics):
        values = [m[name] for m in found if name in m]
        mean, low, high = t_interval(values)
        out[name] = [mean, *((low, high) if len(values) > 1 else (None, None))]
    return out


def begin(what: str, title: str) -> Event:
    """The first event of a command."""
    return Event("begin", {"schema": SCHEMA, "what": what, "title": title})


def events_page() -> str:
    """The kinds as a Markdown page."""
    lines = ["# Events", "", (__doc__ or "").strip(), ""]
    lines += ["`thinkery train grpo --task addition --json | jq -c 'select(.event == \"step\") | [.step, .reward]'` picks what is wanted."]
    lines += ["In `compare` and `check`, events of one run also have `arm` and `seed`. A `?` marks a field that may be missing.", ""]
    for kind, (what, fields) in KINDS.items():
        lines += [f"## {kind}", "", what[0].upper() + what[1:] + ".", ""]
        if fields:
            lines += ["| field | type | what |", "|---|---|---|"]
            lines += [f"| {name} | {type_} | {meaning} |" for name, (type_, meaning) in fields.items()] + [""]
    return "\n".join(lines)
