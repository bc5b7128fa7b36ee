"""A server that drops, delays or garbles a fifth of its replies costs time, and nothing else: no reply is lost, none is made up, none is billed twice."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.engines.servers import Fault, Stub
from tests.engines.test_openai import CHAT, Adder, complete, engine_at
from tests.support import Sums
from thinkery.core.errors import SolverError
from thinkery.core.rng import rng
from thinkery.engines.openai import OpenAIEngine
from thinkery.engines.remote import TRIES, Server
from thinkery.lab import api
from thinkery.lab.evaluation import evaluate_model

SHARE = 20  # per cent of all requests
GOOD = complete("7")
GARBLED: dict[str, Any] = {
    "half of its JSON": json.dumps(GOOD)[:40],
    "nothing": "",
    "words": "Service starting",
    "a page": "<html><body>502 Bad Gateway</body></html>",
    "an error as a success": {"error": {"message": "overloaded"}},
    "no choices": {"choices": [], "usage": {}},
    "choices of another kind": {"choices": "7"},
    "no message": {"choices": [{"finish_reason": "stop"}]},
    "a number as text": {"choices": [{"message": {"content": 7}, "finish_reason": "stop"}]},
    "a list": [1, 2],
    "null": "null",
    "not a number": '{"choices": [{"message": {"content": "7"}, "finish_reason": "stop"}], "usage": {"completion_tokens": NaN}}',
    "a bill that cannot be": GOOD | {"usage": {"completion_tokens": -5, "prompt_tokens": 1}},
    "deep": "[" * 5000 + "]" * 5000,
}
ANSWERED = (408, 409, 425, 429, 500, 502, 503, 504)


class Unlucky(Adder):
    """Adds, but the first tries of a fifth of the requests fail, each in another way; which ones is drawn by what is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.tried: Counter[str] = Counter()
        self.broken: Counter[str] = Counter()
        self.guard = threading.Lock()
        self.routes[CHAT] = self.unlucky

    def unlucky(self, body: Any) -> Any:
        what = body["messages"][-1]["content"] + str(body["seed"])
        with self.guard:
            self.tried[what] += 1
            attempt = self.tried[what]
        dice = rng(0, "unlucky", what, attempt)
        if dice.below(100) >= SHARE or attempt == TRIES:
            return self.chat(body)
        kind = dice.choice(["dropped", "late", "refused", "told when", "garbled"])
        with self.guard:
            self.broken[kind] += 1
        if kind == "dropped":
            raise Fault(0)
        if kind == "refused":
            raise Fault(dice.choice(ANSWERED), "busy")
        if kind == "told when":
            raise Fault(429, "slow down", {"Retry-After": "0.01"})
        if kind == "garbled":
            raise Fault(200, dice.choice([x if isinstance(x, str) else json.dumps(x) for x in GARBLED.values()]))
        time.sleep(0.05)
        return self.chat(body)

    def handle(self, request: BaseHTTPRequestHandler, body: Any) -> None:
        """As it should, but of each hundredth reply the connection is lost in the middle."""
        with self.guard:
            self.tried["all"] += 1
            cut = self.tried["all"] % 100 == 50
        if cut:
            request.send_response(200)
            request.send_header("Content-Length", "1000")
            request.end_headers()
            request.wfile.write(b'{"choices": [')
            request.close_connection = True
            return
        super().handle(request, body)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for key in ("OPENAI_API_KEY", "THINKERY_API_KEY"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("THINKERY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("thinkery.engines.openai.Server", lambda url: Server(url, timeout=5.0, pause=0.002))


@pytest.fixture
def made(request: pytest.FixtureRequest) -> Iterator[Callable[[Stub], Any]]:
    stubs: list[Stub] = []

    def keep(stub: Stub) -> Stub:
        stubs.append(stub)
        return stub

    yield keep
    for stub in stubs:
        stub.close()


@pytest.mark.parametrize("solver", ["single", "majority:samples=3"])
def test_nothing_is_lost(solver: str, made: Callable[[Stub], Any]) -> None:
    sound, unlucky = made(Adder()), made(Unlucky())
    ask = lambda stub: api.evaluate(stub.url, Sums(), n=200, samples=2, temperature=1.0, solver=solver)
    wanted, found = ask(sound), ask(unlucky)
    assert found.errors == 0
    assert found.to_dict(samples=True) | {"seconds": 0} == wanted.to_dict(samples=True) | {"seconds": 0}, "replies, scores and the bill"
    assert set(unlucky.broken) == {"dropped", "late", "refused", "told when", "garbled"}
    asked, needed = len(unlucky.bodies(CHAT)), len(sound.bodies(CHAT))
    assert needed < asked < 1.5 * needed, "what failed is asked again, and nothing else"


@pytest.mark.parametrize("kind", sorted(GARBLED))
def test_garbled_once_is_asked_again_and_garbled_always_is_an_error_with_a_name(kind: str, made: Callable[[Stub], Any]) -> None:
    adder = made(Adder())
    answer = GARBLED[kind] if isinstance(GARBLED[kind], str) else json.dumps(GARBLED[kind])
    adder.faults = [Fault(200, answer)] * 2
    engine = OpenAIEngine(adder.url, "adder")
    assert evaluate_model(engine, Sums(), n=1).accuracy == 1.0
    assert (len(adder.bodies(CHAT)), engine.stats["tokens"]) == (3, 2)
    adder.faults = [Fault(200, answer)] * TRIES
    with pytest.raises(SolverError, match=f"did not answer in {TRIES} tries; the last: .*no chat completion"):
        evaluate_model(OpenAIEngine(adder.url, "adder"), Sums(), n=1)


def test_what_can_never_succeed_is_not_tried_again(made: Callable[[Stub], Any]) -> None:
    adder = made(Adder())
    adder.routes[CHAT] = lambda body: complete("", "content_filter")
    engine = engine_at(adder)
    with pytest.raises(SolverError, match="finish_reason 'content_filter'"):
        evaluate_model(engine, Sums(), n=1)
    assert len(adder.bodies(CHAT)) == 1


def test_an_interrupted_evaluation_goes_on_at_a_bad_server(made: Callable[[Stub], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    unlucky, sound = made(Unlucky()), made(Adder())
    honest, count = unlucky.routes[CHAT], Counter[str]()

    def interrupted(body: Any) -> Any:
        count["asked"] += 1
        if count["asked"] == 90:
            os.kill(os.getpid(), signal.SIGINT)
        return honest(body)

    unlucky.routes[CHAT], unlucky.wait = interrupted, 0.5
    ask = lambda stub: api.evaluate(stub.url, Sums(), n=150, samples=1)
    with pytest.raises(KeyboardInterrupt):
        ask(unlucky)
    before = len(unlucky.bodies(CHAT))
    assert before < 90 + 64, "nothing more is asked, as it may cost money"
    time.sleep(1.0)
    assert len(unlucky.bodies(CHAT)) == before
    assert ask(unlucky).to_dict(samples=True) | {"seconds": 0} == ask(sound).to_dict(samples=True) | {"seconds": 0}
    again = {(body["messages"][-1]["content"], body["seed"]) for body in unlucky.bodies(CHAT)[before:]}
    assert len(again) < 140, "what was finished is not asked again"
