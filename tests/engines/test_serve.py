"""A real server, `transformers serve`, on a tiny checkpoint: greedy text over HTTP is what the local engine writes here."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.test_openai import ask
from tests.support import model_of
from thinkery.core.errors import EngineError
from thinkery.engines.local import LocalEngine
from thinkery.engines.openai import OpenAIEngine
from thinkery.engines.remote import Server

MISSING = [name for name in ("transformers", "fastapi", "uvicorn", "openai", "accelerate") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"transformers serve needs {', '.join(MISSING)}")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("served") / "m"
    model_of().save(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["chat_template"] = "{{ bos_token }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    start = "from transformers.cli.transformers import main; main()"
    command = [sys.executable, "-c", start, "serve", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    with (folder.parent / "log").open("w") as log:
        process = subprocess.Popen(command, env={**os.environ, "HF_HUB_OFFLINE": "1"}, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            if process.poll() is not None:
                pytest.skip(f"transformers serve does not start here: {(folder.parent / 'log').read_text()[-300:]}")
            try:
                Server(url, pause=0.0).call("/health")
                break
            except EngineError:
                time.sleep(0.1)
        yield url, folder
    finally:
        process.terminate()
        process.wait()


def test_greedy_text_is_the_same(served: tuple[str, Path]) -> None:
    url, folder = served
    engine, local = OpenAIEngine(f"{url}/v1", str(folder)), LocalEngine(model_of())
    for prompt in ("12+3=", "9", "abc;"):
        turn, own = (ask(e, prompt, max_tokens=8, temperature=0) for e in (engine, local))
        assert (turn.text, turn.ended) == (own.text, own.ended)
        assert engine.stats["tokens"] == own.n
        assert engine.stats["prompt_tokens"] == own.context.n


def test_seeds(served: tuple[str, Path]) -> None:
    engine = OpenAIEngine(served[0], str(served[1]))
    texts = [ask(engine, "12+3=", max_tokens=8).text for _ in range(2)]
    assert texts[0] == texts[1]
    assert ask(engine, "12+4=", max_tokens=8).text != texts[0]
