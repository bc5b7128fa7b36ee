"""A vLLM server gets the right requests and the right weights, and one that is silently wrong is caught and its fault named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from tests.engines.servers import Fault
from tests.engines.test_openai import Adder, ask
from tests.engines.vllm_stub import Vllm
from tests.support import model_of
from thinkery.core.errors import BadConfig, EngineError
from thinkery.engines.choice import engine_of
from thinkery.engines.remote import Server
from thinkery.engines.vllm import IDS, TEXT, VllmEngine
from thinkery.models.adapters import Lora, attach
from thinkery.models.model import Model

STUBS: list[Vllm] = []


@pytest.fixture(autouse=True)
def close() -> Iterator[None]:
    yield
    while STUBS:
        STUBS.pop().close()


def served(model: Model, **routes: bool) -> tuple[Vllm, VllmEngine]:
    """A stub with these weights, and an engine that asks it."""
    stub = Vllm(model, **routes)
    STUBS.append(stub)
    return stub, VllmEngine(model, stub.url, server=Server(stub.url, timeout=20.0, pause=0.01))


def move(model: Model, scale: float = 0.3) -> None:
    """Change what learns."""
    generator = torch.Generator().manual_seed(model.decoder.version)
    with torch.no_grad():
        for p in model.decoder.parameters():
            if p.requires_grad:
                p += scale * torch.randn(p.shape, generator=generator)
    model.decoder.changed()


def adapted() -> Model:
    model = model_of()
    attach(model.decoder, Lora(4, base="tiny"))
    return model


# ---- requests


def test_nothing_is_left_to_defaults() -> None:
    stub, engine = served(model_of(), ids=False)
    assert engine.route == TEXT
    turn = ask(engine, "12+3=", max_tokens=5, temperature=0.5)
    body = stub.bodies(TEXT)[-1]
    seed = body.pop("seed")
    assert 0 <= seed < 2**31
    assert body == {
        "model": "base", "prompt": list(turn.context.ids), "return_token_ids": True, "skip_special_tokens": False, "max_tokens": 5,
        "temperature": 0.5, "top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0,
        "frequency_penalty": 0.0, "logprobs": 0, "stop_token_ids": [engine.model.tokenizer.end],
    }  # fmt: skip
    assert engine.stats == {"asks": 1, "tokens": turn.n, "cancelled": 0}


def test_the_newer_route_is_used_where_it_is() -> None:
    stub, engine = served(model_of())
    assert engine.route == IDS
    turn = ask(engine, "12+3=", max_tokens=5)
    assert stub.bodies(IDS)[-1]["token_ids"] == list(turn.context.ids)
    stopped = ask(engine, "12+3=", max_tokens=50, stop=("7", "+"))
    assert stub.bodies(TEXT)[-1]["stop"] == ["7", "+"]
    assert stub.bodies(TEXT)[-1]["include_stop_str_in_output"]
    assert stopped.text.endswith(("7", "+")) or stopped.n == 50
    older = served(model_of(), ids=False)[1]
    assert ask(older, "12+3=", max_tokens=5).ids == turn.ids


def test_log_probabilities_of_a_cut_distribution_are_not_taken() -> None:
    _, engine = served(model_of())
    for settings in ({"top_p": 0.9}, {"top_k": 5}):
        assert np.isnan(ask(engine, "12+3=", **settings).logp).all()
    assert np.isfinite(ask(engine, "12+3=").logp).all()


# ---- weights


def test_full_weights_are_sent_and_used() -> None:
    model = model_of()
    stub, engine = served(model)
    first = ask(engine, "12+3=", temperature=0, max_tokens=12)
    assert not stub.bodies("/collective_rpc"), "the server began with these weights"
    move(model)
    second = ask(engine, "12+3=", temperature=0, max_tokens=12)
    assert second.ids == ask(engine_of(model, "local"), "12+3=", temperature=0, max_tokens=12).ids != first.ids
    assert second.writer == (model.name, 1)
    assert [b["method"] for b in stub.bodies("/collective_rpc")] == ["reload_weights"]
    assert len(stub.bodies("/reset_prefix_cache")) == 1
    ask(engine, "12+3=")
    assert len(stub.bodies("/collective_rpc")) == 1, "once a version"


def test_adapters_are_sent_under_new_names() -> None:
    model = adapted()
    stub, engine = served(model_of())
    engine = VllmEngine(model, stub.url)
    turns = []
    for _ in range(3):
        turns.append(ask(engine, "12+3=", temperature=0, max_tokens=12).ids)
        assert turns[-1] == ask(engine_of(model, "local"), "12+3=", temperature=0, max_tokens=12).ids
        move(model)
    names = [b["lora_name"] for b in stub.bodies("/v1/load_lora_adapter")]
    assert len(set(names)) == 3
    assert len(set(turns)) > 1
    assert list(stub.weights) == ["base", names[-1]], "old ones are dropped"
    assert stub.bodies(IDS)[-1]["model"] == names[-1]
    assert not stub.bodies("/collective_rpc")


def test_servers_that_take_no_weights() -> None:
    model = model_of()
    stub, engine = served(model, development=False, adapters=False)
    ask(engine, "1+1=")
    move(model)
    with pytest.raises(BadConfig, match=r"takes no new weights: start vLLM with VLLM_SERVER_DEV_MODE=1 on 127.0.0.1, or train an adapter"):
        ask(engine, "1+1=")
    with pytest.raises(BadConfig, match="loads no adapters: start vLLM with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"):
        ask(VllmEngine(adapted(), stub.url), "1+1=")
    engine.server.host = "192.0.2.1"
    with pytest.raises(BadConfig, match="is on another machine, which cannot read new weights"):
        engine.reset()


# ---- agreement


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("raw", "raw log-probabilities, which know nothing of temperature 0.7: start vLLM with --logprobs-mode processed_logprobs"),
        ("hot", r"it samples at temperature 1\.1\d* instead of 0.7"),
    ],
)
def test_silent_faults_are_named(fault: str, says: str, ids: bool) -> None:
    stub, engine = served(model_of(), ids=ids)
    stub.flags = {fault}
    with pytest.raises(EngineError, match=rf"nats off the learner's on average .* Likely cause: {says}"):
        ask(engine, "1+1=")
    stub.flags = set()
    ask(engine, "1+1=")


@pytest.mark.parametrize("lora", [True, False])
def test_stale_weights_are_named(lora: bool) -> None:
    model = adapted() if lora else model_of()
    stub, _ = served(model_of())
    engine = VllmEngine(model, stub.url)
    ask(engine, "1+1=")
    stub.flags = {"stale"}
    move(model, 1.0)
    with pytest.raises(EngineError, match="it still answers with the weights of the step before: an adapter or prefix cache"):
        ask(engine, "1+1=")


def test_another_model_is_named() -> None:
    stub, _ = served(model_of(seed=5))
    with pytest.raises(EngineError, match="other weights than the learner's: another base model"):
        ask(VllmEngine(model_of(), stub.url), "1+1=")


def test_answers_that_lack_something() -> None:
    stub, engine = served(model_of(), ids=False)
    stub.flags = {"old"}
    with pytest.raises(EngineError, match=r"gives no token ids with log-probabilities .*too old for `return_token_ids`"):
        ask(engine, "1+1=")
    stub.flags = {"reads"}
    with pytest.raises(EngineError, match="read other tokens than were sent"):
        ask(engine, "1+1=")
    stub.flags = set()
    ask(engine, "1+1=")
    stub.faults = [Fault(200, {"choices": [{"token_ids": [1], "logprobs": {"token_logprobs": [0.0]}, "finish_reason": "abort"}]})]
    with pytest.raises(EngineError, match="broke a reply off: 1 tokens, 1 log-probabilities, 'abort'"):
        ask(engine, "1+1=")


def test_other_servers_are_refused() -> None:
    adder: Any = Adder()
    adder.routes["/version"] = lambda _: "hello"
    STUBS.append(adder)
    with pytest.raises(BadConfig, match=r"is no vLLM server .*for others give --model"):
        VllmEngine(model_of(), adder.url)
