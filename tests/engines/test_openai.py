"""A chat server is asked with the right messages, faults are survived or named, and what it does not tell is never made up."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.engines.servers import Fault, Stub
from tests.support import Sums, asked
from thinkery.core.context import Context, Turn
from thinkery.core.errors import BadConfig, EngineError, InputError, PromptTooLong
from thinkery.core.records import Question
from thinkery.engines.openai import Bytes, OpenAIEngine, messages
from thinkery.engines.remote import Call, Cancelled, Server
from thinkery.engines.session import Session

CHAT = "/v1/chat/completions"


def complete(text: str, reason: str = "stop", **usage: int) -> dict[str, Any]:
    usage = usage or {"completion_tokens": len(text) + 1, "prompt_tokens": 7}
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}], "usage": usage}


class Adder(Stub):
    """Adds what the last message asks for; `wait` seconds a reply."""

    def __init__(self) -> None:
        super().__init__({"/v1/models": lambda _: {"data": [{"id": "adder"}]}, CHAT: self.chat})
        self.wait = 0.0

    def chat(self, body: Any) -> Any:
        time.sleep(self.wait)
        a, b = body["messages"][-1]["content"].rstrip("=").split("+")
        return complete(str(int(a) + int(b)))


@pytest.fixture
def adder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Adder]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("THINKERY_API_KEY", raising=False)
    stub = Adder()
    yield stub
    stub.close()


def engine_at(stub: Stub, **more: Any) -> OpenAIEngine:
    return OpenAIEngine(stub.url, server=Server(stub.url, timeout=2.0, pause=0.01), **more)


def ask(engine: OpenAIEngine, prompt: str = "3+4=", **settings: Any) -> Turn:
    async def once(model: Session) -> Turn:
        return await model.ask(prompt, **settings)

    (turn,) = asked(engine, once)
    if isinstance(turn, BaseException):
        raise turn
    return turn  # type: ignore[no-any-return]


# ---- text and messages


def test_bytes_are_a_codec() -> None:
    codec = Bytes()
    for text in ("", "3+4=", "é 字 🙂\n\x00"):
        assert codec.decode(codec.encode(text)) == text
        assert codec.decode((*codec.encode(text), codec.end)) == text
    assert max(codec.encode("ÿ🙂")) < codec.end
    assert codec.same(Bytes())
    assert not codec.same(None)


def test_a_context_is_its_messages() -> None:
    codec = Bytes()
    root = Context.root(codec)
    reply = Turn(root, "policy", ("m", 0), 1.0, "stop", (*codec.encode("7 or [3*4"), codec.end))
    start = root + "3+" + "4="
    assert messages(start) == [{"role": "user", "content": "3+4="}]
    talk = start + reply + "=12" + "]" + reply + reply
    assert [m["role"] for m in messages(talk)] == ["user", "assistant", "user", "assistant", "assistant"]
    assert [m["content"] for m in messages(talk)] == ["3+4=", "7 or [3*4", "=12]", "7 or [3*4", "7 or [3*4"]
    half = "é".encode()
    assert messages(root + (half[0],) + (half[1],)) == [{"role": "user", "content": "é"}], "a character cut by two appends is one"


def test_a_turn(adder: Adder) -> None:
    engine = engine_at(adder)
    turn = ask(engine, max_tokens=9, temperature=0.5)
    assert (turn.text, turn.ended, turn.writer, turn.temperature) == ("7", "stop", ("adder", 0), 0.5)
    assert turn.ids == (ord("7"), engine.model.tokenizer.end)
    assert np.isnan(turn.logp).all(), "what is not known is not 0"
    assert not turn.forced
    (body,) = adder.bodies(CHAT)
    seed = body.pop("seed")
    assert body == {
        "model": "adder", "messages": [{"role": "user", "content": "3+4="}], "temperature": 0.5, "top_p": 1.0, "max_tokens": 9,
    }  # fmt: skip
    assert 0 <= seed < 2**31
    assert engine.stats == {"asks": 1, "tokens": 2, "prompt_tokens": 7, "cancelled": 0}
    ask(engine, max_tokens=9, temperature=0.5)
    assert adder.bodies(CHAT)[1]["seed"] == seed, "the same address, the same seed"


def test_seeds_differ_between_samples(adder: Adder) -> None:
    async def twice(model: Session) -> None:
        question = Question("1+1=")
        await asyncio.gather(model.ask(question), model.ask(question), model.branch(0).ask(question), model.ask("2+1=", top_k=5))

    asked(engine_at(adder), twice, 5)
    assert len({body["seed"] for body in adder.bodies(CHAT)}) == 20
    assert {body.get("top_k") for body in adder.bodies(CHAT)} == {None, 5}


def test_tool_loops_become_talks(adder: Adder) -> None:
    async def talk(model: Session) -> str:
        context = model.context(Question("1+1="))
        first = await model.ask(context)
        return (await model.ask(context + first + "5+6=")).text

    assert asked(engine_at(adder), talk) == ["11"]
    assert [m["content"] for m in adder.bodies(CHAT)[1]["messages"]] == ["1+1=", "2", "5+6="]


def test_instructions_and_a_system_message(adder: Adder) -> None:
    adder.routes[CHAT] = lambda body: complete("7")

    async def once(model: Session) -> str:
        return (await model.ask(Question("3+4=", instruction="One number."))).text

    assert asked(engine_at(adder, system="Be brief."), once) == ["7"]
    said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "3+4=\n\nOne number."}]
    assert adder.bodies(CHAT)[-1]["messages"] == said


def test_stop_strings_are_cut_here(adder: Adder) -> None:
    adder.routes[CHAT] = lambda body: complete("so [1+2] then [3]", "length")
    engine = engine_at(adder)
    turn = ask(engine, stop=("]", "then"))
    assert (turn.text, turn.ended) == ("so [1+2]", "stop")
    assert "stop" not in adder.bodies(CHAT)[0]
    turn = ask(engine, stop=("never",))
    assert (turn.text, turn.ended) == ("so [1+2] then [3]", "length")


# ---- bounds, cancelling


def test_no_more_calls_than_allowed_are_under_way(adder: Adder) -> None:
    adder.wait = 0.02

    async def many(model: Session) -> list[str]:
        return [t.text for t in await asyncio.gather(*(model.ask(f"{i}+1=") for i in range(40)))]

    assert asked(engine_at(adder, at_once=5), many) == [[str(i + 1) for i in range(40)]]
    assert 2 <= adder.at_once <= 5


def test_cancelling_closes_the_call(adder: Adder) -> None:
    adder.wait = 5.0

    async def impatient(model: Session) -> str:
        asks = [model.ask(f"{i}+1=") for i in range(8)]
        await asyncio.sleep(0.1)
        for a in reversed(asks):  # those that wait before those under way, whose going would let them on
            a.cancel()
        adder.wait = 0.0
        return (await model.ask("1+1=")).text

    engine, began = engine_at(adder, at_once=2), time.monotonic()
    assert asked(engine, impatient) == ["2"]
    assert time.monotonic() - began < 4.5
    assert engine.stats["cancelled"] == 8
    assert len(adder.bodies(CHAT)) < 9, "most of those that waited were never sent"
    call = Call()
    call.abort()
    with pytest.raises(Cancelled):
        engine.server.call("/v1/models", None, call)


# ---- faults


@pytest.mark.parametrize(
    "faults",
    [
        [Fault(429, {"error": {"message": "slow down"}}, {"Retry-After": "0.02"})] * 3,
        [Fault(500), Fault(502), Fault(503), Fault(0)],
        [Fault(3, "hang")],
    ],
)
def test_passing_faults_are_survived(adder: Adder, faults: list[Fault]) -> None:
    engine = engine_at(adder)
    engine.server.timeout = 0.2
    adder.faults = list(faults)
    assert ask(engine).text == "7"
    assert len(adder.bodies(CHAT)) == len(faults) + 1


def test_faults_that_stay_are_named(adder: Adder) -> None:
    engine = engine_at(adder)
    for faults, error, says in [
        ([Fault(503, "busy")] * 9, EngineError, r"did not answer in 6 tries; the last: status 503: busy. Is the server up"),
        ([Fault(401, {"error": {"message": "bad key"}})], BadConfig, r"refuses the key \(401: bad key\); set THINKERY_API_KEY"),
        ([Fault(404, {"error": {"message": "no model x"}})], BadConfig, r"does not exist \(404: no model x\); check the address"),
        ([Fault(400, {"error": {"message": "maximum context length is 8"}})], PromptTooLong, "maximum context length is 8"),
        ([Fault(422, {"detail": [{"msg": "no such field"}]})], EngineError, r"refused \(422\): .*no such field"),
        ([Fault(200, "<html>hello")] * 9, EngineError, "something that is no chat completion: <html>"),
        ([Fault(200, {"choices": []})] * 9, EngineError, "no chat completion"),
        ([Fault(200, complete("x", "content_filter"))], EngineError, "broke a reply off: finish_reason 'content_filter'"),
    ]:
        adder.faults = list(faults)
        with pytest.raises(error, match=says):
            ask(engine)
        adder.faults = []
    assert ask(engine).text == "7", "the engine goes on"


def test_nobody_there() -> None:
    server = Server("http://127.0.0.1:9", pause=0.001)
    with pytest.raises(EngineError, match=r"http://127.0.0.1:9/v1/models did not answer in 6 tries; the last: ConnectionRefusedError"):
        OpenAIEngine("", server=server)
    for url in ("ftp://x", "http://", "http://host:port", ""):
        with pytest.raises(BadConfig, match="is no address of a server"):
            OpenAIEngine(url)


def test_the_key_is_sent_and_never_shown(adder: Adder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    engine = engine_at(adder)
    ask(engine)
    assert adder.seen[-1][2]["Authorization"] == "Bearer sk-secret"
    assert "secret" not in repr(engine.server)
    adder.faults = [Fault(401, "no")]
    with pytest.raises(BadConfig) as caught:
        ask(engine)
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("THINKERY_API_KEY", "own")
    assert engine_at(adder).server.key == "own"


def test_the_newer_name_of_the_limit(adder: Adder) -> None:
    def picky(body: Any) -> Any:
        if "max_tokens" in body:
            raise Fault(400, {"error": {"message": "Unsupported parameter: use 'max_completion_tokens' instead."}})
        return complete("7")

    adder.routes[CHAT] = picky
    engine = engine_at(adder)
    assert [ask(engine, max_tokens=5).text for _ in range(2)] == ["7", "7"]
    assert [b.get("max_completion_tokens") for b in adder.bodies(CHAT)] == [None, 5, 5]


def test_which_model_is_served(adder: Adder) -> None:
    assert engine_at(adder, served="other").model.name == "other"
    adder.routes["/v1/models"] = lambda _: {"data": [{"id": "a"}, {"id": "b"}]}
    with pytest.raises(BadConfig, match="serves a, b; name one with --served"):
        engine_at(adder)
    del adder.routes["/v1/models"]
    with pytest.raises(BadConfig, match="does not exist"):
        engine_at(adder)


def test_what_it_cannot_do(adder: Adder) -> None:
    engine = engine_at(adder)
    context = engine.model.context(engine.root, "1+1=")
    for refused in (lambda: engine.score(context, (1,)), lambda: engine.look(context, ["hidden"])):
        with pytest.raises(EngineError, match="gives text and no log-probabilities"):
            refused()
    with pytest.raises(InputError, match="the prompt is empty"):
        ask(engine, "")
    with pytest.raises(InputError, match="temperature is -1"):
        ask(engine, temperature=-1)
    adder.routes[CHAT] = lambda _: complete("7") | {"usage": None}
    ask(engine)
    assert engine.stats["unbilled"] == 1
    assert not math.isfinite(ask(engine).logp.sum())
    assert Sums().problem(0).answer == "0"
