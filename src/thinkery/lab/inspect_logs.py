"""What an evaluation found as a log that Inspect reads (EvalLog version 2): `inspect view` and its own analyses work on it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from .. import __version__
from ..core.records import Rollout
from .parts import digest

VERSION = 2  # of the log's format
SCORER = "verifier"


def log_of(rollouts: Sequence[Rollout], model: str, task: str, about: Mapping[str, Any]) -> dict[str, Any]:
    """The log. `about`: split, solver, samples, temperature and seed of the evaluation. A sample's `epoch` is which of a problem's it is, from 1."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    valid = [r for r in rollouts if r.error is None and r.verdict is not None]
    scores = [r.verdict.score for r in valid if r.verdict is not None]
    mean = sum(scores) / max(1, len(scores))
    error = math.sqrt(sum((s - mean) ** 2 for s in scores) / max(1, len(scores) - 1) / max(1, len(scores)))
    name = digest([model, task, dict(about), [r.problem.id for r in rollouts]])
    ids = list(dict.fromkeys(r.problem.id for r in rollouts))
    metrics = {"accuracy": mean, "stderr": error}
    usage = {model: {"input_tokens": 0, "output_tokens": sum(r.tokens for r in rollouts), "total_tokens": sum(r.tokens for r in rollouts)}}
    return {
        "version": VERSION,
        "status": "success",
        "eval": {
            "created": now, "task": task, "task_id": name, "run_id": name, "eval_id": name, "task_version": 0, "task_attribs": {}, "task_args": {},
            "dataset": {"name": f"{task} ({about['split']})", "samples": len(ids), "sample_ids": ids, "shuffled": False},
            "model": model, "model_args": {}, "model_generate_config": {}, "config": {"epochs": about["samples"]},
            "packages": {"thinkery": __version__}, "metadata": dict(about),
        },
        "plan": {"name": "plan", "steps": [{"solver": about["solver"], "params": {}}], "config": {"temperature": about["temperature"], "seed": about["seed"]}},
        "results": {
            "total_samples": len(rollouts), "completed_samples": len(valid),
            "scores": [{
                "name": SCORER, "scorer": SCORER, "params": {},
                "metrics": {k: {"name": k, "value": v, "params": {}} for k, v in metrics.items()},
            }],
        },
        "stats": {"started_at": now, "completed_at": now, "model_usage": usage},
        "samples": [sample_of(r, model) for r in rollouts],
    }  # fmt: skip


def sample_of(r: Rollout, model: str) -> dict[str, Any]:
    """A rollout: its turns as the assistant's messages, what came between them as the user's."""
    text, v = "" if r.reply is None else r.reply.text, r.verdict
    asked = r.problem.question.prompt
    messages = [{"role": "user", "content": asked, "source": "input"}]
    before = None
    for t in r.turns:
        if before is not None and t.context.ids[: len(before)] == before and len(t.context.ids) > len(before):
            messages.append({"role": "user", "content": t.context.codec.decode(t.context.ids[len(before) :])})
        messages.append({"role": "assistant", "content": t.text, "source": "generate", "model": model})
        before = t.context.ids + t.ids
    cut = r.reply is not None and r.reply.truncated
    choice = {"message": {"role": "assistant", "content": text, "source": "generate"}, "stop_reason": "max_tokens" if cut else "stop"}
    out: dict[str, Any] = {
        "id": r.problem.id, "epoch": r.k + 1, "input": asked, "target": r.problem.answer, "messages": messages,
        "output": {"model": model, "choices": [choice], "completion": text}, "metadata": {"difficulty": r.problem.difficulty, "family": r.problem.family},
        "store": {}, "events": [], "model_usage": {}, "attachments": {},
    }  # fmt: skip
    if v is not None:
        out["scores"] = {SCORER: {"value": v.score, "answer": v.parsed, "explanation": v.reason, "metadata": dict(v.parts)}}
    if r.error is not None:
        out["error"] = {"message": r.error, "traceback": "", "traceback_ansi": ""}
    return out
