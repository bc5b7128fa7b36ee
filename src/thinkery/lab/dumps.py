"""Rollouts that other trainers left: TRL's completions, verl's dumps, prime-rl's token exports, and plain JSONL or Parquet, as one record.

Formats as found in TRL f2cd577 (completions_STEP.parquet: step, prompt, completion, one column for each reward function, advantage), verl
b178a3c (STEP.jsonl: input, output, gts, score, step, further columns of the reward) and prime-rl 559b447 (token_exports/step_N/rank_R.jsonl:
token_ids, loss_mask, advantages, inference_logprobs, trainer_logprobs). A plain file may use any of the names below.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import BadData, InputError, MissingExtra
from ..core.reading import loads
from ..tasks import inspect_logs

NAMES: dict[str, tuple[str, ...]] = {
    "prompt": ("prompt", "prompts", "input", "question", "query", "problem"),
    "text": ("completion", "completions", "output", "response", "reply", "generation", "generated", "text"),
    "reward": ("reward", "score", "total_reward", "rewards"),
    "gold": ("gts", "gold", "ground_truth", "answer", "solution", "target", "label"),
    "advantage": ("advantage", "advantages"),
    "group": ("group", "problem_id", "example_id", "prompt_id", "uid", "task_id"),
    "step": ("step", "global_step", "iteration"),
    "truncated": ("is_truncated", "truncated", "finish_reason", "stop_reason"),
    "tokens": ("token_ids", "completion_ids", "completion_length", "response_length", "num_tokens", "tokens"),
    "sampler": ("inference_logprobs", "rollout_log_probs", "sampling_logprobs", "vllm_logprobs", "old_logprobs"),
    "learner": ("trainer_logprobs", "policy_logprobs", "log_probs", "logprobs"),
    "mask": ("loss_mask", "response_mask", "completion_mask", "assistant_mask"),
    "version": ("policy_version", "weight_version", "off_policy_level"),
    "error": ("error", "exception"),
}
ENDS = (".jsonl", ".json", ".parquet", ".eval")
MOST = 200_000  # rows that are read; a run's dumps can be any size


@dataclass(frozen=True)
class Sample:
    """One reply of a run, as far as the file tells; None is what it does not.

    group      what the samples of one problem share; parts: rewards by function, and other figures of the reward; where: file and line
    sampler, learner, mask   by token
    """

    prompt: str
    text: str
    group: str
    where: str
    step: int | None = None
    reward: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    gold: str | None = None
    advantage: float | None = None
    truncated: bool | None = None
    tokens: int | None = None
    sampler: Any = None
    learner: Any = None
    mask: Any = None
    version: float | None = None
    error: str = ""


def load(paths: Sequence[Path]) -> tuple[str, list[Sample]]:
    """Which trainer's files these are (trl, verl, prime-rl or plain), and all samples, by step. Raises InputError, BadData, MissingExtra."""
    files = [f for path in paths for f in _files(Path(path))]
    samples, kinds = list[Sample](), dict[str, None]()
    for file in files:
        for where, row in _rows(file):
            kinds[kind_of(row, file)] = None
            samples.append(sample(row, file, where))
            if len(samples) >= MOST:
                break
    if not samples:
        raise InputError(f"no rollouts in {', '.join(map(str, paths))}: give a JSONL or Parquet file, or a folder of them")
    samples.sort(key=lambda s: -1 if s.step is None else s.step)
    return "+".join(kinds), samples


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise BadData(path, "no such file or folder")
    number = lambda p: [int(x) if x.isdigit() else x for x in re.split(r"(\d+)", str(p))]
    return sorted((p for p in path.rglob("*") if p.suffix in ENDS and p.is_file()), key=lambda p: [str(x).zfill(12) for x in number(p)])


def _rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows, each with where it stands."""
    if file.suffix == ".parquet":
        try:
            import pyarrow.parquet as parquet
        except ImportError as error:
            raise MissingExtra("pyarrow", "data", "reading Parquet files") from error
        try:
            table = parquet.ParquetFile(file)
            n = 0
            for batch in table.iter_batches(1024):
                for row in batch.to_pylist():
                    n += 1
                    yield f"{file.name} row {n}", row
        except Exception as error:  # pyarrow has a class of its own for each way in which a file can be broken
            raise BadData(file, f"not a Parquet file: {error}") from error
        return
    try:
        with file.open(encoding="utf-8", errors="replace") as f:
            if inspect_logs.is_log(file, f.read(4000)):
                yield from ((f"{file.name} sample {row['id']}", row) for row in inspect_logs.rows(file))
                return
            f.seek(0)
            for n, line in enumerate(f, 1):
                if line.strip():
                    yield f"{file.name} line {n}", _row(file, n, line)
    except OSError as error:
        raise BadData(file, error.strerror or str(error)) from error


def _row(file: Path, n: int, line: str) -> dict[str, Any]:
    try:
        row = loads(line)
    except ValueError as error:
        raise BadData(file, f"not valid JSON: {error}", n) from error
    if not isinstance(row, dict):
        raise BadData(file, f"a {type(row).__name__}, not an object", n)
    return row


def kind_of(row: Mapping[str, Any], file: Path) -> str:
    """Whose row this is."""
    if "token_ids" in row and "inference_logprobs" in row:
        return "prime-rl"
    if {"input", "output", "score"} <= row.keys():
        return "verl"
    if {"input", "target", "completion", "epoch"} <= row.keys():
        return "inspect"
    if {"prompt", "completion", "advantage"} <= row.keys() and "reward" not in row:
        return "trl"
    return "plain"


def sample(row: Mapping[str, Any], file: Path, where: str) -> Sample:
    """A row under our names. Raises BadData where it holds no reply."""
    used = {of: name for of, names in NAMES.items() for name in names if name in row}
    used = {of: next(n for n in NAMES[of] if n in row) for of in used}
    has = lambda of: row[used[of]] if of in used else None
    ids = has("tokens")
    if "text" not in used and not isinstance(ids, list):
        known = ", ".join(sorted(row)[:12]) or "nothing"
        raise BadData(file, f"no reply in it: it has {known}; a reply is called {', '.join(NAMES['text'][:4])} or {NAMES['tokens'][0]}")
    mask, prompt, text = has("mask"), written(has("prompt")), written(has("text"))
    kept = {used[of] for of in used} | {"rank", "micro_step", "micro_sequence_idx", "export_sequence_idx", "schema_version", "position_ids"}
    parts = {k: float(v) for k, v in row.items() if k not in kept and isinstance(v, (int, float))}
    reward = number(has("reward"))
    if reward is None and kind_of(row, file) == "trl":
        reward = sum(parts.values()) if parts else None
    advantage, of_tokens = has("advantage"), has("advantage")
    if isinstance(of_tokens, list):
        inside = [a for i, a in enumerate(of_tokens) if not isinstance(mask, list) or (i < len(mask) and mask[i])]
        advantage = inside[-1] if inside else None
    gold, group, counted = has("gold"), has("group"), number(ids)
    return Sample(
        prompt=prompt, text=text, group=str(group) if group is not None else prompt or where, where=where,
        step=_step(has("step"), file), reward=reward, parts=parts, gold=None if gold is None else written(gold), advantage=number(advantage),
        truncated=_cut(has("truncated")), tokens=len(ids) if isinstance(ids, list) else None if counted is None or not math.isfinite(counted) else int(counted),
        sampler=_floats(has("sampler")), learner=_floats(has("learner")), mask=_flags(mask),
        version=number(has("version")), error="" if not has("error") else str(has("error")),
    )  # fmt: skip


def written(x: Any) -> str:
    """Text, or the messages of a conversation one after another."""
    if isinstance(x, list):
        return "\n".join(f"{m.get('role', '')}: {written(m.get('content'))}" if isinstance(m, dict) else str(m) for m in x)
    if isinstance(x, dict):
        return written(x["content"]) if "content" in x else json.dumps(x, ensure_ascii=False, sort_keys=True)
    return "" if x is None else str(x)


def number(x: Any) -> float | None:
    """A number as it is, nan included; None for what is none."""
    if isinstance(x, (int, float)):
        return float(x)
    if isinstance(x, str):
        try:
            return float(x)
        except ValueError:
            return None
    return None


def _floats(x: Any) -> Any:
    """Log-probabilities by token; None where one is not a number."""
    if not isinstance(x, list) or not x or not all(isinstance(v, (int, float)) or v is None for v in x):
        return None
    return np.array([math.nan if v is None else float(v) for v in x])


def _flags(x: Any) -> Any:
    """What is in the loss, by token; None where it is no list of flags."""
    return np.array(x, bool) if isinstance(x, list) and all(isinstance(v, (bool, int, float)) for v in x) else None


def _cut(x: Any) -> bool | None:
    if isinstance(x, bool):
        return x
    return None if not isinstance(x, str) else x in ("length", "max_tokens", "max_length")


def _step(x: Any, file: Path) -> int | None:
    """The step that a row or its file's name tells."""
    told = number(x)
    if told is not None and math.isfinite(told):
        return int(told)
    numbers = re.findall(r"(?:step|completions)?[_-]?(\d+)", f"{file.parent.name}/{file.stem}")
    return int(numbers[-1]) if numbers and len(numbers[-1]) < 9 else None
