"""A card is read by people who cannot check it: each figure must be the run's own, and what was not measured must say so. What is sent must
arrive whole, with no token in anything shown."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.support import model_of, recorded

from thinkery.core.errors import BadModel, InputError, RunError, UnknownName
from thinkery.lab.card import card, push
from thinkery.models.adapters import Lora, attach
from thinkery.models.model import load_model

TOKEN = "hf_secret0123456789"
ABOUT: dict[str, Any] = {
    "schema": 1, "method": "grpo+dapo", "task": "addition", "model": "tiny", "seed": 3, "size": "tiny", "config": {"lr": "1e-4"},
    "solver": None, "command": "thinkery train grpo+dapo --task addition --seed 3", "stages": [{"name": "rl", "steps": 40}],
    "parameters": 598912, "status": "done", "steps": 40, "tokens": 12345, "wall_s": 75.0, "versions": {"torch": "2.13.0"},
    "evaluations": {
        when: {
            "accuracy": accuracy, "low": accuracy - 0.05, "high": accuracy + 0.05, "n": 321, "samples_per_problem": 1, "split": "test",
            "task": "addition", "solver": "single", "temperature": 0.0,
        }
        for when, accuracy in (("before", 0.125), ("after", 0.75))
    },
}  # fmt: skip


def run_of(folder: Path, steps: int = 40, **changes: Any) -> Path:
    """A run's folder with a model, and a curve whose reward is a hundredth of the step."""
    model_of().save(folder / "model")
    (folder / "run.json").write_text(json.dumps(ABOUT | changes))
    lines = [{"step": i + 1, "stage": "rl", "reward": (i + 1) / 100, "length": 7.0} for i in range(steps)]
    recorded(folder, lines)
    return folder


# ---- the card


def test_the_card_tells_what_the_run_did(tmp_path: Path) -> None:
    text = card(run_of(tmp_path / "add") / "model", "jane/adder", "mit")
    front, body = text.split("---\n")[1:3]
    assert "license: mit" in front and '- "grpo"' in front and '- "dapo"' in front and "base_model" not in front
    for fact in (
        "| before | 12.5 % | 7.5 % to 17.5 % | 321 |",
        "| after | 75.0 % | 70.0 % to 80.0 % | 321 |",
        "temperature 0 (greedy)",
        "| lr | 1e-4 |",
        "| tokens sampled | 12345 |",
        "| time | 1 min 15 s |",
        "598,912 parameters",
        "https://arxiv.org/abs/2402.03300",
        "thinkery train grpo+dapo --task addition --seed 3",
        'AutoModelForCausalLM.from_pretrained("jane/adder")',
        "vllm serve jane/adder",
        "- grpo: not measured",
    ):
        assert fact in body, fact


def test_the_curve_has_the_means_of_its_steps(tmp_path: Path) -> None:
    lines = card(run_of(tmp_path / "add") / "model", "a/b").splitlines()
    assert "| 1–5 | 0.03 | 7 |" in lines and "| 36–40 | 0.38 | 7 |" in lines
    assert sum("–" in line and line.startswith("| ") for line in lines) == 8
    short = card(run_of(tmp_path / "short", steps=2) / "model", "a/b")
    assert "| 1–1 | 0.01 | 7 |" in short and "| 2–2 | 0.02 | 7 |" in short


def test_what_was_not_measured_is_said_to_be_so(tmp_path: Path) -> None:
    text = card(run_of(tmp_path / "add", steps=0, evaluations={}, status="interrupted") / "model", "a/b")
    assert "Not measured." in text and "## Curve" not in text and "it has not ended" in text
    half = card(run_of(tmp_path / "half", evaluations={"before": ABOUT["evaluations"]["before"]}) / "model", "a/b")
    assert "| after | not measured | not measured | — |" in half
    model_of().save(tmp_path / "alone")
    alone = card(tmp_path / "alone", "a/b")
    assert "What it can do was not measured here." in alone and "## Accuracy" not in alone


def test_evidence_is_told_where_there_is_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "grpo.json").write_text(json.dumps({"verdict": "contradicted", "scale": "miniature"}))
    text = card(run_of(tmp_path / "add") / "model", "a/b")
    assert "- grpo: contradicted (scale: miniature)" in text and "- dapo: not measured" in text


def test_the_base_is_named_if_the_hub_has_it(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text(json.dumps({"_name_or_path": "Qwen/Qwen3-0.6B"}))
    assert "base_model: Qwen/Qwen3-0.6B\n" in card(run_of(tmp_path / "run", model=str(base)) / "model", "a/b")
    assert "datasets:\n- openai/gsm8k\n" in card(run_of(tmp_path / "two", task="openai/gsm8k") / "model", "a/b")


def test_text_of_others_is_no_markup(tmp_path: Path) -> None:
    run = run_of(tmp_path / "add", task="a|b](http://x)\n# <script>\x1b[31m", method="./my_`method`.py", command="thinkery ```\n# x")
    text = card(run / "model", "a/b")
    assert "\x1b" not in text and "<script>" not in text and "\n# <" not in text and "\n# x" not in text
    assert text.count("```") == 6


def test_an_adapter_says_that_it_needs_its_base(tmp_path: Path) -> None:
    model_of().save(tmp_path / "base")
    model = load_model(tmp_path / "base")
    attach(model.decoder, Lora(4, base="jane/base"))
    model.save(tmp_path / "adapter")
    text = card(tmp_path / "adapter", "a/b")
    assert (
        "library_name: peft" in text and "base_model: jane/base" in text and "AutoPeftModelForCausalLM" in text and "which it needs" in text
    )


def test_an_adapter_of_a_base_that_only_we_have_is_sent_whole(tmp_path: Path) -> None:
    model_of().save(tmp_path / "base")
    run = run_of(tmp_path / "run")
    for base, whole in (("jane/base", False), (str(tmp_path / "base"), True)):
        model = load_model(tmp_path / "base")
        attach(model.decoder, Lora(4, base=base))
        model.save(run / "model")
        ready = push(run, "a/b", dry_run=True)
        assert ("model.safetensors" in ready.files, "adapter_model.safetensors" in ready.files) == (whole, not whole)
        assert ("library_name: transformers" in ready.card) is whole and str(tmp_path) not in ready.card
        assert "| after | 75.0 %" in ready.card


# ---- sending


class Hub(BaseHTTPRequestHandler):
    """As much of the Hub's interface as one commit of small files takes; `log` keeps what came."""

    log: list[tuple[str, str | None, Any]]
    refuse = 0

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        body = [json.loads(line) for line in raw.splitlines() if line] if "commit" in self.path else json.loads(raw)
        self.log.append((self.path, self.headers.get("Authorization"), body))
        if self.refuse and "commit" in self.path:
            return self.answer({"error": "no"}, self.refuse)
        if self.path.endswith("/preupload/main"):
            return self.answer({"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in body["files"]]})
        if "/commit/" in self.path:
            return self.answer({"commitUrl": f"http://{self.headers['Host']}/jane/adder/commit/1", "commitOid": "1", "success": True})
        return self.answer({"url": f"http://{self.headers['Host']}/jane/adder"})

    def do_GET(self) -> None:
        self.log.append((self.path, self.headers.get("Authorization"), None))
        self.answer({"id": "jane/adder", "sha": "0", "siblings": []})

    def answer(self, value: Any, status: int = 200) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """A stand-in for the Hub on this machine, which the real client talks to."""
    constants = pytest.importorskip("huggingface_hub.constants")
    handler = type("Handler", (Hub,), {"log": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_one_commit_brings_model_and_card(tmp_path: Path, hub: type[Hub], capfd: pytest.CaptureFixture[str]) -> None:
    run = run_of(tmp_path / "add")
    (run / "model" / "notes.py").write_text("print('not a part of the model')")
    (run / "model" / ".cache.json").write_text("{}")
    sent = push(run, "jane/adder", private=True, license="mit")
    assert sent.url.endswith("/jane/adder")
    created = next(body for path, _, body in hub.log if path.endswith("/api/repos/create"))
    assert created["name"] == "adder" and (created.get("private") is True or created.get("visibility") == "private")
    (commit,) = [body for path, _, body in hub.log if "/commit/" in path]
    files = {x["value"]["path"]: base64.b64decode(x["value"]["content"]) for x in commit if x["key"] == "file"}
    assert files.pop("README.md").decode() == card(run / "model", "jane/adder", "mit")
    assert files == {p.name: p.read_bytes() for p in (run / "model").iterdir() if p.name not in ("notes.py", ".cache.json")}
    # the client's own threads may ask the place for something else meanwhile, for nobody
    assert {token for _, token, body in hub.log if body is not None} == {f"Bearer {TOKEN}"}
    said = capfd.readouterr()
    assert TOKEN not in said.out + said.err + repr(sent)


def test_a_dry_run_sends_nothing(tmp_path: Path, hub: type[Hub]) -> None:
    ready = push(run_of(tmp_path / "add"), "jane/adder", dry_run=True)
    assert hub.log == [] and ready.url == "" and "model.safetensors" in ready.files and ready.card.startswith("---\n")


def test_a_readme_of_ones_own_is_sent_as_it_is(tmp_path: Path) -> None:
    run = run_of(tmp_path / "add")
    (run / "model" / "README.md").write_text("mine")
    assert push(run, "jane/adder", dry_run=True).card == "mine"


def test_a_refusal_is_an_error_without_the_token(tmp_path: Path, hub: type[Hub]) -> None:
    hub.refuse = 403
    with pytest.raises(RunError, match=r"jane/adder.*rights") as caught:
        push(run_of(tmp_path / "add"), "jane/adder")
    assert TOKEN not in str(caught.value)


def test_what_is_no_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    (tmp_path / "empty").mkdir()
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.json").write_text("{}")
    run = run_of(tmp_path / "add")
    monkeypatch.setattr(hub, "get_token", lambda: None)
    for path, name, license, kind, says in (
        (tmp_path / "empty", "a/b", "", BadModel, "no model"),
        (tmp_path / "half", "a/b", "", BadModel, "no model"),
        (tmp_path / "nowhere", "a/b", "", UnknownName, "nowhere"),
        (run, "adder", "", InputError, "OWNER/NAME"),
        (run, "a/b\nx: y", "", InputError, "OWNER/NAME"),
        (run, "a/b", "MIT\ntags: x", InputError, "license"),
        (run, "a/b", "mit", InputError, "hf auth login"),
    ):
        with pytest.raises(kind, match=says):
            push(path, name, license=license)
