"""What is particular to decoding by transformers' modules: rows are grouped by length, prompts shared, rows leave, precision is the module's."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from tests.engines.foreign import folder_of
from tests.support import SOLVERS, asked, model_of, rollouts_of
from thinkery.core.context import Turn
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Session
from thinkery.engines.transformers_engine import TransformersEngine
from thinkery.models.model import Model, load_model


@pytest.mark.parametrize("name", SOLVERS)
def test_every_way_of_thinking_gets_the_tokens_of_the_local_engine(name: str) -> None:
    model = model_of()
    cast = {"judge": LocalEngine(model_of(seed=5))}, {"judge": TransformersEngine(model_of(seed=5))}
    ours, theirs = (rollouts_of(kind(model), SOLVERS[name], cast=c) for kind, c in zip((LocalEngine, TransformersEngine), cast))
    for a, b in zip(ours, theirs):
        assert [t.ids for t in a.turns] == [t.ids for t in b.turns]
        assert [t.ended for t in a.turns] == [t.ended for t in b.turns]
        assert all(np.abs(x.logp - y.logp).max() < 1e-4 for x, y in zip(a.turns, b.turns))


async def crowd(model: Session) -> list[Turn]:
    return list(await asyncio.gather(*(model.branch(i).ask("1" * (1 + i % 4) + "+2=", 2 + i % 5) for i in range(24))))


def test_one_prefill_for_all_that_share_a_prompt() -> None:
    engine = TransformersEngine(model_of())
    (turns,) = asked(engine, crowd)
    prompts = sum({t.context.ids: t.context.n for t in turns}.values())
    assert engine.stats["nodes"] == prompts + sum(t.n - 1 for t in turns), "a prompt once; of a row that is over nothing more"
    assert engine.stats["steps"] == max(t.n for t in turns)


@pytest.mark.parametrize(("rows", "cells"), [(1, 1), (3, 9), (7, 1 << 15), (256, 1)])
def test_small_groups_change_nothing_but_time(rows: int, cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of()
    (want,) = asked(TransformersEngine(model), crowd)
    monkeypatch.setattr("thinkery.engines.transformers_engine.CELLS", cells)
    engine = TransformersEngine(model, rows)
    (found,) = asked(engine, crowd)
    assert [t.ids for t in found] == [t.ids for t in want]
    if rows < 24:
        assert engine.stats["steps"] > max(t.n for t in want), "asks had to wait"


@pytest.mark.parametrize("kind", ["qwen3_5_text", "gemma2"])
def test_half_precision_is_what_the_learner_computes(kind: str, tmp_path: Path) -> None:
    """Masters in float32, computed in bfloat16: decoded token by token and in one pass the values agree to its rounding."""
    folder_of(kind, tmp_path)
    model = load_model(tmp_path, dtype=torch.bfloat16)

    def drawn(model: Model, within: float) -> list[Turn]:
        engine = TransformersEngine(model)
        (turns,) = asked(engine, crowd)
        assert max(float(np.abs(t.logp - engine.score(t.context, t.ids)).mean()) for t in turns) < within
        return turns

    half, whole = drawn(model, 0.1), drawn(load_model(tmp_path), 1e-4)
    assert abs(half[0].logp[0] - whole[0].logp[0]) > 0.001 or half[0].ids[0] != whole[0].ids[0]
