"""Whole rollouts as JSON lines: to be read, to be filtered with what methods filter with, and to be learnt from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.context import Context, Turn
from ..core.errors import BadData, InputError, UnknownName
from ..core.records import Rollout
from ..engines.base import Engine
from ..engines.work import run
from ..learning.checkpoint import scratch, storage
from ..learning.collect import record
from ..learning.rewards import CORRECT
from ..learning.select import Asking, Best, Select, by_index, everything, mixed, solved
from ..solvers.best_of_n import confidence
from .inspect_logs import log_of

SELECTIONS: dict[str, Select] = {"all": everything, "solved": solved, "mixed": mixed, "best": Best(lambda r: confidence(r.turns))}
STRANGER = "for a model with another tokenizer: --data FILE --question prompt --answer gold --verifier NAME --solution script"


def turns_of(rollout: Rollout) -> list[dict[str, Any]]:
    """A rollout's turns as JSON: what stood before each and its tokens, as `collect.record` has them, and how they were drawn.

    after    the earlier turn (its number) that the context goes on from, None where it begins anew; before: the context's text from there on
    logp     by token, in nats at `temperature`; None where it was forced, or the engine does not say
    """
    found: list[dict[str, Any]] = record(rollout)["turns"]
    ends: list[tuple[int, ...]] = []
    for row, turn in zip(found, rollout.turns):
        context = tuple(row["context"])
        after = max((i for i, end in enumerate(ends) if context[: len(end)] == end), key=lambda i: len(ends[i]), default=None)
        row["after"] = after
        row["before"] = turn.context.codec.decode(context[0 if after is None else len(ends[after]) :])
        row |= {"writer": list(turn.writer), "temperature": turn.temperature, "forced": turn.forced}
        row["logp"] = None if turn.forced or np.isnan(turn.logp).any() else [round(float(x), 6) for x in turn.logp]
        ends.append(context + turn.ids)
    return found


def row_of(rollout: Rollout, split: str) -> dict[str, Any]:
    """A line of the file: what `collect.record` has, so that it can be learnt from, and what people look for.

    script   all that the model itself wrote, in order: what `--solution` takes, for models with another tokenizer
    """
    v, reply = rollout.verdict, rollout.reply
    row = record(rollout) | {"k": rollout.k, "split": split, "gold": rollout.problem.answer, "difficulty": rollout.problem.difficulty}
    row |= {"reason": "" if v is None else v.reason, "parts": {} if v is None else dict(v.parts), "error": rollout.error or ""}
    row |= {"truncated": reply is not None and reply.truncated, "tokens": rollout.tokens, "calls": [dict(c) for c in rollout.calls]}
    row["script"] = "".join(t.text for t in rollout.turns if not t.forced)
    return row | {"turns": turns_of(rollout)}


def turns_again(rows: Iterable[Mapping[str, Any]], root: Context) -> list[Turn]:
    """The turns that `turns_of` wrote, their contexts below a root."""
    out = []
    for t in rows:
        ids, context = tuple(t["ids"]), tuple(t["context"])
        logp = np.full(len(ids), np.nan, np.float32) if t["logp"] is None else np.array(t["logp"], np.float32)
        rest = context[root.n :]
        at = root + rest if rest else root
        out.append(Turn(at, t["role"], tuple(t["writer"]), t["temperature"], t["ended"], ids, None if t["forced"] else logp))
    return out


class Traces:
    """A file that takes the rollouts of an evaluation which a selection keeps: JSON lines, or if its name ends in .json a log as Inspect reads it.

    `select` is a name of SELECTIONS or a Select; those that ask models need a training step. What failed is written under "all" alone.
    Raises UnknownName, InputError, and StorageError where the file cannot be written: at once, not after hours.
    """

    def __init__(self, path: str | Path, select: str | Select = "all") -> None:
        if isinstance(select, str) and select not in SELECTIONS:
            raise UnknownName("selection", select, SELECTIONS)
        self.select = SELECTIONS[select] if isinstance(select, str) else select
        if isinstance(self.select, Asking):
            raise InputError("this selection asks models, which a training step alone can lend; choose one that does not")
        self.path = Path(path)
        if self.path.is_dir():
            raise BadData(path, "a folder; name a file for the traces, as in traces.jsonl")
        with storage(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.open("a", encoding="utf-8").close()

    def write(self, rollouts: Sequence[Rollout], engine: Engine, task: str, about: Mapping[str, Any]) -> int:
        """Replace the file by what is selected; returns how many. `about`: split, solver, samples, temperature and seed of the evaluation."""
        chosen = list(rollouts)
        if self.select is not everything:
            valid = [r for r in rollouts if r.error is None and r.verdict is not None]
            CORRECT.score(valid)
            (found,) = run([self.select(by_index(valid))], [engine])
            if isinstance(found, BaseException):
                raise found
            chosen = found
        if self.path.suffix.lower() == ".json":
            whole = [log_of(chosen, engine.model.name, task, about)]
        else:
            whole = [row_of(r, about["split"]) for r in chosen]
        part = scratch(self.path)
        with storage(self.path):
            with part.open("w", encoding="utf-8") as f:
                f.writelines(json.dumps(value, ensure_ascii=False) + "\n" for value in whole)
            os.replace(part, self.path)
        return len(chosen)
