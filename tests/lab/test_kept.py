"""An evaluation may take days and money: what is finished must outlive an interruption, and never be mistaken for another's."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.engines.servers import Fault
from tests.engines.test_openai import CHAT, Adder
from tests.support import Sums, model_of

from thinkery.core.context import Context, Turn
from thinkery.core.records import Reply, Rollout, Verdict
from thinkery.lab import api
from thinkery.lab.events import Event
from thinkery.lab.kept import Kept, identity
from thinkery.models.tokenizer import character_tokenizer
from thinkery.tasks import load_file

ROOT = Context.root(character_tokenizer())


@pytest.fixture
def adder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Adder]:
    for key in ("OPENAI_API_KEY", "THINKERY_API_KEY"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("THINKERY_CACHE", str(tmp_path / "cache"))
    stub = Adder()
    yield stub
    stub.close()


def plain(found: api.Evaluation) -> dict[str, Any]:
    return found.to_dict(samples=True) | {"seconds": 0.0}


def test_only_what_is_missing_is_asked_and_paid_again(adder: Adder, tmp_path: Path) -> None:
    whole = api.evaluate(adder.url, Sums(), n=20)
    assert list((tmp_path / "cache" / "evaluations").iterdir()) == [], "a complete evaluation leaves nothing"
    honest = adder.routes[CHAT]

    def tired(body: Any) -> Any:
        if body["messages"][-1]["content"].startswith(("3", "4")):
            raise Fault(422, {"error": {"message": "not now"}})
        return honest(body)

    adder.routes[CHAT] = tired
    told: list[Event] = []
    assert api.evaluate(adder.url, Sums(), n=20, listen=told.append).errors == 8
    assert any("tries these again" in e.data["text"] for e in told if e.kind == "note")
    (kept,) = (tmp_path / "cache" / "evaluations").iterdir()
    assert len(kept.read_text().splitlines()) == 12, "what failed is not kept"
    adder.routes[CHAT], before = honest, len(adder.bodies(CHAT))
    assert plain(api.evaluate(adder.url, Sums(), n=20)) == plain(whole)
    assert len(adder.bodies(CHAT)) == before + 8
    assert not kept.exists()


def sums(path: Path, more: int = 1) -> Path:
    path.write_text("".join(json.dumps({"q": f"{a}+1=", "a": a + more}) + "\n" for a in range(30)))
    return path


def test_another_setting_is_another_evaluation(tmp_path: Path) -> None:
    settings: list[dict[str, Any]] = [{}, {"seed": 1}, {"temperature": 1.0}, {"samples": 2}, {"system": "Add."}, {"split": "train"}]
    assert len({Kept(tmp_path, Sums(), s).path for s in settings}) == len(settings)
    tasks = [load_file(sums(tmp_path / "sums.jsonl"), "q", "a", verifier) for verifier in ("number", "exact")]
    assert Kept(tmp_path, tasks[0], {}).path != Kept(tmp_path, tasks[1], {}).path


def test_what_is_read_is_what_was_written_of_the_same_problem(tmp_path: Path) -> None:
    task = load_file(sums(tmp_path / "sums.jsonl"), "q", "a", "number")
    kept, turns = Kept(tmp_path / "k", task, {}), lambda row: [Turn(ROOT, "policy", ("m", 0), 0.0, "kept", (0,) * row["tokens"], ())]
    reply, verdict = Reply("1 \u2028\n", True, {"confidence": None, "kept": object()}), Verdict(0.5, None, {"a": 0.25}, "so")
    first = Rollout(0, 0, 1, task.problem(0), turns({"tokens": 3}), reply, verdict)
    kept.add(first, first.tokens)
    kept.add(Rollout(0, 1, 0, task.problem(1), error="solver: failed"), 0)
    kept.close(False)
    with kept.path.open("a") as f:
        f.write('{"index": 0, "k"')  # it was killed while it wrote
    ((place, found),) = kept.rollouts(task.problem, turns).items()  # type: ignore[arg-type]
    assert (place, found.tokens, found.verdict, found.problem) == ((0, 1), 3, verdict, first.problem)
    assert found.reply == Reply("1 \u2028\n", True, {"confidence": None})
    other = load_file(sums(tmp_path / "sums.jsonl", more=2), "q", "a", "number")
    assert kept.rollouts(other.problem, turns) == {}, "the answers are others"  # type: ignore[arg-type]


def test_a_model_whose_files_changed_is_another(tmp_path: Path) -> None:
    model_of().save(tmp_path / "m")
    before = identity(tmp_path / "m")
    assert before == identity(tmp_path / "m")
    shutil.copytree(tmp_path / "m", tmp_path / "other")
    assert identity(tmp_path / "other") != before
    os.utime(tmp_path / "m" / "model.safetensors", (1e9, 1e9))
    assert identity(tmp_path / "m") != before


def test_a_cache_that_cannot_be_written_stops_nothing(adder: Adder, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    told: list[Event] = []
    assert api.evaluate(adder.url, Sums(), n=5, listen=told.append).accuracy == 1.0
    assert [e.data["text"][:23] for e in told if e.kind == "warning"] == ["replies cannot be kept "]


def test_a_server_s_bill_is_told(adder: Adder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thinkery.lab.evaluation.TELL_S", 0.0)
    told: list[Event] = []
    found = api.evaluate(adder.url, Sums(), n=20, listen=told.append)
    last = [e.data for e in told if e.kind == "progress"][-1]
    assert (last["done"], last["accuracy"]) == (20, 1.0)
    assert last["billed"] == {"tokens": round(20 * found.tokens_per_reply), "prompt_tokens": 140}
