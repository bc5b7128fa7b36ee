"""Where vllm is installed a server of one's own comes up with the right weights and goes with its engine; one that fails says why."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.engines.test_openai import ask
from tests.support import model_of
from thinkery.core.errors import BadConfig, EngineError
from thinkery.engines import choice
from thinkery.engines.choice import engine_of
from thinkery.engines.vllm import VllmEngine
from thinkery.engines.vllm_server import OwnServer, answers
from thinkery.models.adapters import Lora, attach

ROOT = Path(__file__).resolve().parents[2]
SERVING = f"""#!{sys.executable}
import sys, time
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "src")!r}]
words = sys.argv[1:]
assert words[0] == "serve" and words[words.index("--logprobs-mode") + 1] == "processed_logprobs", words
print("weights from", words[1], "lora" if "--enable-lora" in words else "whole", flush=True)
from tests.engines import servers
from tests.engines.vllm_stub import Vllm
from thinkery.models.model import load_model
servers.PORT = int(words[words.index("--port") + 1])
Vllm(load_model(words[1]))
time.sleep(600)
"""
FAILING = f"""#!{sys.executable}
import sys
print("CUDA error: no device")
sys.exit(3)
"""


@pytest.fixture(autouse=True)
def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever runs on this machine is not asked."""
    monkeypatch.setattr(choice, "VLLM", "http://127.0.0.1:9")


def installed(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program named vllm, first in the path."""
    program = folder / "vllm"
    program.write_text(text, encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize("adapted", [False, True], ids=["whole", "adapter"])
def test_a_server_comes_up_and_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, adapted: bool) -> None:
    installed(tmp_path, SERVING, monkeypatch)
    model = model_of()
    if adapted:
        model.save(tmp_path / "base")
        attach(model.decoder, Lora(4, base=str(tmp_path / "base")))
    engine = engine_of(model, "vllm")
    assert isinstance(engine, VllmEngine)
    own: OwnServer = engine.own
    engine.reset()  # compares log-probabilities with the learner's
    assert ask(engine, "1+2=", max_tokens=4).n > 0
    assert ("--enable-lora" in own.arguments(model)) == adapted
    process, url, folder = own.process, own.url, own.folder
    del engine, own
    for _ in range(100):
        if process.poll() is not None:
            break
        time.sleep(0.1)
    assert process.poll() is not None and not answers(url) and not folder.exists()


def test_one_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, FAILING, monkeypatch)
    with pytest.raises(EngineError, match=r"ended with status 3(?s:.*)CUDA error: no device"):
        engine_of(model_of(), "vllm")


def test_one_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, f"#!{sys.executable}\nimport time\ntime.sleep(600)\n", monkeypatch)
    with pytest.raises(EngineError, match="did not come up in 1 seconds"):
        OwnServer(model_of(), wait_s=1.0)


def test_without_vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadConfig, match="vllm is not installed"):
        engine_of(model_of(), "vllm")


def test_it_ends_with_a_driver_that_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(
        tmp_path,
        f"#!{sys.executable}\nimport os, time\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)\n",
        monkeypatch,
    )
    code = "from tests.support import model_of\nfrom thinkery.engines.vllm_server import OwnServer\nOwnServer(model_of())"
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    driver = subprocess.Popen([sys.executable, "-c", code], env=os.environ | paths)
    for _ in range(300):
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            break
        time.sleep(0.1)
    pid = int((tmp_path / "pid").read_text())
    driver.kill()
    driver.wait()
    for _ in range(50):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        time.sleep(0.1)
    raise AssertionError("the server outlived its driver")
