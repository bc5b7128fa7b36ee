"""Whole rollouts are kept, filtered, read and learnt from; what a server bills is bounded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engines.servers import Fault
from tests.engines.test_openai import CHAT, Adder, complete
from tests.support import Sums, model_of

from thinkery.cli.main import main
from thinkery.core.errors import BadData, BudgetSpent, InputError, StorageError, UnknownName
from thinkery.core.records import Rollout
from thinkery.engines.choice import engine_of
from thinkery.engines.session import Sampling
from thinkery.lab import api
from thinkery.lab.traces import row_of, turns_again
from thinkery.learning.collect import Collector, Unit, load_records
from thinkery.learning.select import Asking, Groups
from thinkery.solvers import solver
from thinkery.tasks import load_file, load_task


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("THINKERY_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def adder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Adder]:
    for key in ("OPENAI_API_KEY", "THINKERY_API_KEY"):
        monkeypatch.delenv(key, raising=False)
    stub = Adder()
    yield stub
    stub.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model_of().save(tmp_path / "m")
    return tmp_path / "m"


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def traced(path: Path, model: Any, task: Any = None, **settings: Any) -> list[dict[str, Any]]:
    api.evaluate(model, task or Sums(), trace=path, **{"n": 10, "samples": 4, "temperature": 1.0, "split": "train"} | settings)
    return rows(path)


@pytest.mark.parametrize("name", ["single", "plan_then_solve", "best_of_n", "roles"])
def test_a_line_has_the_whole_rollout(name: str) -> None:
    engine = engine_of(model_of())
    for rollout in Collector(Sums(), engine, solver(name), Sampling(8, 1.0), 0).collect(0, [Unit(i, 0) for i in range(5)]):
        row = json.loads(json.dumps(row_of(rollout, "train")))
        again = turns_again(row["turns"], engine.root)
        for turn, found in zip(rollout.turns, again, strict=True):
            assert (found.context.ids, found.ids, found.text, found.ended) == (turn.context.ids, turn.ids, turn.text, turn.ended)
            assert (found.role, found.writer, found.temperature, found.forced) == (turn.role, turn.writer, turn.temperature, turn.forced)
            assert np.abs(found.logp - turn.logp).max(initial=0) < 1e-6
        said: list[str] = []  # each turn's context is what the turn before it came to, and a text
        for t, turn in zip(row["turns"], rollout.turns):
            text = ("" if t["after"] is None else said[t["after"]]) + t["before"]
            assert text == turn.context.text
            said.append(text + turn.context.codec.decode(turn.ids))
        assert row["script"] == "".join(t.text for t in rollout.turns if not t.forced)


@pytest.mark.parametrize("select", ["all", "solved", "mixed", "best"])
def test_a_selection_is_the_one_that_methods_use(select: str, tmp_path: Path) -> None:
    everything, kept = (
        traced(tmp_path / "all.jsonl", "tiny", "addition"),
        traced(tmp_path / "some.jsonl", "tiny", "addition", select=select),
    )
    scores: dict[int, list[float]] = {}
    for row in everything:
        scores.setdefault(row["index"], []).append(row["score"])
    assert len(everything) == 40
    assert 0 < sum(map(sum, scores.values())) < 40, "some are right, not all"
    wanted = {
        "all": everything,
        "solved": [r for r in everything if r["score"] == 1],
        "mixed": [r for r in everything if len(set(scores[r["index"]])) > 1],
        "best": [r for r in everything if r["k"] == best(everything, r["index"])],
    }[select]
    assert [(r["index"], r["k"], r["turns"]) for r in kept] == [(r["index"], r["k"], r["turns"]) for r in wanted]
    assert len(kept) > 0


def best(found: list[dict[str, Any]], index: int) -> int:
    own = [r for r in found if r["index"] == index]
    mean = lambda r: sum(sum(t["logp"]) for t in r["turns"]) / r["tokens"]
    return max(own, key=lambda r: (not r["truncated"], mean(r)))["k"]  # type: ignore[no-any-return]


def test_a_selection_of_one_s_own(folder: Path, tmp_path: Path) -> None:
    async def brief(groups: Groups) -> list[Rollout]:
        return [min(g, key=lambda r: r.tokens) for g in groups]

    found = traced(tmp_path / "t.jsonl", folder, select=brief)
    assert [r["index"] for r in found] == list(range(10))


def test_what_cannot_be_written_or_selected_is_said_before_anything_is_asked(tmp_path: Path, adder: Adder) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        traced(tmp_path / "file" / "t.jsonl", adder.url)
    with pytest.raises(BadData, match="a folder"):
        traced(tmp_path, adder.url)
    with pytest.raises(UnknownName, match=r"sloved.*Did you mean solved"):
        traced(tmp_path / "t.jsonl", adder.url, select="sloved")
    with pytest.raises(InputError, match="asks models"):
        traced(tmp_path / "t.jsonl", adder.url, select=Asking(lambda groups, ctx: None))  # type: ignore[arg-type, return-value]
    with pytest.raises(InputError, match="--trace FILE"):
        api.evaluate(adder.url, Sums(), select="solved")
    assert adder.bodies(CHAT) == []


def test_an_interrupted_evaluation_leaves_the_same_file(adder: Adder, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"samples": 1, "temperature": 0.0, "n": 20, "solver": "plan_then_solve"}
    sums = adder.routes[CHAT]
    honest = adder.routes[CHAT] = lambda body: sums(body) if body["messages"][-1]["content"].endswith("=") else complete("so")
    whole = traced(tmp_path / "whole.jsonl", adder.url, **settings)
    assert [len(r["turns"]) for r in whole] == [2] * 20

    def tired(body: Any) -> Any:
        if body["messages"][0]["content"].startswith(("3", "4")):
            raise Fault(422, {"error": {"message": "not now"}})
        return honest(body)

    adder.routes[CHAT] = tired
    traced(tmp_path / "t.jsonl", adder.url, **settings)
    adder.routes[CHAT], before = honest, len(adder.bodies(CHAT))
    assert traced(tmp_path / "t.jsonl", adder.url, **settings) == whole
    assert len(adder.bodies(CHAT)) == before + 16, "two turns of each of the eight that failed"


def test_no_more_is_asked_than_the_budget(adder: Adder, folder: Path) -> None:
    asked = lambda: len(adder.bodies(CHAT))
    with pytest.raises(BudgetSpent, match=r"of 100 allowed.*of 200 problems are answered, accuracy so far 100.0 %.*they are kept") as e:
        api.evaluate(adder.url, Sums(), n=200, budget=100)
    assert e.value.status == 1
    spent = asked()
    assert 11 <= spent <= 12 + 64, "each is billed 9, and those under way come to their end"
    assert api.evaluate(adder.url, Sums(), n=200, budget=10**6).accuracy == 1.0
    assert asked() == 200, "what was paid is not asked again"
    with pytest.raises(InputError, match="costs nothing"):
        api.evaluate(folder, Sums(), budget=10)
    with pytest.raises(InputError, match="at least 1"):
        api.evaluate(adder.url, Sums(), budget=0)


# ---- learning from them


def test_a_model_learns_from_its_own_right_replies(tmp_path: Path) -> None:
    path = tmp_path / "right.jsonl"
    traced(path, "tiny", "addition", n=40, samples=8, select="solved")
    result = api.train("sft", task="addition", traces=path, steps=20, evaluate=50, out=tmp_path / "run", workers=1)
    assert result.before and result.after
    assert result.before.accuracy < 0.2 < 0.8 < result.after.accuracy
    assert json.loads((tmp_path / "run" / "run.json").read_text())["config"]["traces"] == str(path)


def test_traces_of_another_tokenizer_are_learnt_through_their_script(adder: Adder, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "served.jsonl"
    assert traced(path, adder.url, samples=1, temperature=0.0)[0]["script"] == "0"
    with pytest.raises(BadData, match="another tokenizer"):
        api.train("sft", task=Sums(), model=folder, traces=path, steps=1, evaluate=0, out=tmp_path / "run", workers=1)
    data = load_file(path, "prompt", "gold", "exact", solution="script")
    result = api.train("sft", task=data, model=folder, steps=2, evaluate=0, out=tmp_path / "other", workers=1)
    assert result.steps == 2


def test_traces_that_may_not_be_learnt_from(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    traced(path, folder, split="test")
    train = lambda method, **more: api.train(method, task=Sums(), steps=1, evaluate=0, out=tmp_path / "run", traces=path, **more)
    with pytest.raises(BadData, match="test problems"):
        train("sft")
    with pytest.raises(InputError, match="replies of its own"):
        train("grpo")
    path.write_text("")
    with pytest.raises(BadData, match="no rollout"):
        train("sft")
    assert load_records(path) == []


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ask = ["eval", "--task", "addition", "--split", "train", "--n", "8", "--samples", "4", "--temperature", "1", "--quiet"]
    assert main([*ask, "--trace", "t.jsonl", "--select", "solved"]) == 0
    found = rows(tmp_path / "t.jsonl")
    assert found and all(load_task("addition").problem(r["index"]).id == r["problem"] for r in found)
    train = ["train", "sft", "--task", "addition", "--traces", "t.jsonl", "--steps", "1", "--evaluate", "0", "--quiet"]
    assert main([*train, "--out", "run", "--workers", "1"]) == 0
    assert main([*ask, "--select", "solved"]) == 2
    assert "--trace FILE" in capsys.readouterr().err
