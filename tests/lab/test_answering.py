"""Training and measuring through other engines, from the commands down: notes are told, wrong combinations are refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.engines.foreign import folder_of
from tests.engines.servers import Fault
from tests.engines.test_openai import CHAT, Adder, complete
from tests.engines.vllm_stub import Vllm
from tests.support import Sums, model_of

from thinkery.cli.main import main
from thinkery.core.errors import BadConfig, InputError
from thinkery.lab import api
from thinkery.lab.events import Event
from thinkery.models.model import load_model


@pytest.fixture
def adder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Adder]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("THINKERY_CACHE", str(tmp_path / "cache"))
    stub = Adder()
    yield stub
    stub.close()


def test_a_server_is_measured(adder: Adder) -> None:
    found = api.evaluate(f"{adder.url}/v1", Sums(), n=20)
    assert (found.accuracy, found.errors, found.n) == (1.0, 0, 20)
    assert found.tokens_per_reply == sum(2 if a + b < 10 else 3 for a in range(5) for b in range(4)) / 20
    adder.routes[CHAT] = lambda body: complete("no")
    assert api.evaluate(adder.url, Sums(), n=5, system="Add.").accuracy == 0.0
    assert adder.bodies(CHAT)[-1]["messages"][0] == {"role": "system", "content": "Add."}


def test_replies_that_break_off_are_errors_and_no_zeros(adder: Adder) -> None:
    honest = adder.chat

    def moody(body: Any) -> Any:
        if body["messages"][-1]["content"].startswith("3"):
            raise Fault(422, {"error": {"message": "not three"}})
        return honest(body)

    adder.routes[CHAT] = moody
    found = api.evaluate(adder.url, Sums(), n=10)
    assert (found.accuracy, found.errors) == (1.0, 2)


def test_wrong_combinations(adder: Adder) -> None:
    for more, says in [
        ({"engine": "vllm"}, "--engine vllm decodes for a model folder"),
        ({"thinking": "on"}, "--thinking on needs the model's chat template"),
    ]:
        with pytest.raises(InputError, match=says):
            api.evaluate(adder.url, Sums(), n=2, **more)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="--served x names a model on a server"):
        api.evaluate("tiny", Sums(), n=2, served="x")
    with pytest.raises(BadConfig, match="unknown engine 'jax'; choose auto, local, transformers, vllm, or give the address"):
        api.evaluate("tiny", Sums(), n=2, engine="jax")
    with pytest.raises(BadConfig, match="unknown engine 'jax'"):
        api.train("grpo", task="addition", engine="jax", evaluate=0)


def test_a_foreign_model_is_trained_and_says_so(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    folder_of("gemma2", tmp_path / "m")
    events: list[Event] = []
    common: dict[str, Any] = {"task": "addition", "model": tmp_path / "m", "workers": 1, "device": "cpu"}
    few = {"problems": 2, "samples": 2, "max_tokens": 4}
    result = api.train("sft", steps=2, evaluate=4, out=tmp_path / "run", config=few, listen=events.append, **common)
    assert any("model_type gemma2: it runs through transformers, rows padded, prefixes not shared" in str(e.data) for e in events)
    again = load_model(tmp_path / "run" / "model")
    assert again.logprobs("1+2=", "3").equal(result.model.logprobs("1+2=", "3"))
    with pytest.raises(BadConfig, match="m cannot be decoded by the local engine: model_type gemma2"):
        api.evaluate(tmp_path / "m", "addition", n=2, engine="local")


def test_engines_agree_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("transformers")
    model_of().save(tmp_path / "m")
    stub = Vllm(load_model(tmp_path / "m"))
    try:
        found = []
        for engine in ("local", "transformers", stub.url):
            words = ["eval", "--model", str(tmp_path / "m"), "--task", "addition", "--n", "6", "--engine", engine, "--json"]
            assert main(words) == 0
            line = json.loads(capsys.readouterr().out.splitlines()[-1])
            found.append((line["tokens_per_reply"], line["truncated"]))
        assert found[0] == found[1] == found[2]
    finally:
        stub.close()
    assert main(["eval", "--model", str(tmp_path / "m"), "--task", "addition", "--engine", "http://127.0.0.1:nowhere"]) == 2
    assert "is no address of a server" in capsys.readouterr().err
