"""Logs of Inspect are written so that Inspect reads them, and read whoever wrote them: as problems, and as rollouts for the doctor."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from thinkery.cli.main import main
from thinkery.core.errors import BadData
from thinkery.lab import api
from thinkery.lab.dumps import load
from thinkery.tasks import load_file
from thinkery.tasks.inspect_logs import rows

SAMPLE: dict[str, Any] = {  # as version 0.3.285 writes it, what is not read left out
    "id": 1,
    "epoch": 1,
    "input": "3+4=",
    "target": "7",
    "messages": [
        {"role": "user", "content": "3+4=", "source": "input"},
        {"role": "assistant", "content": "the answer is 7", "source": "generate"},
    ],
    "output": {
        "model": "mockllm/model",
        "choices": [{"message": {"role": "assistant", "content": [{"type": "text", "text": "the answer is 7"}]}, "stop_reason": "stop"}],
        "completion": "the answer is 7",
    },
    "scores": {"match": {"value": "C", "answer": "7", "explanation": "the answer is 7"}},
    "metadata": {},
}
CHAT = SAMPLE | {
    "id": "two",
    "input": [{"role": "system", "content": "Add."}, {"role": "user", "content": [{"type": "text", "text": "6+7="}]}],
    "target": ["13", "thirteen"],
    "output": {"choices": [{"message": {"content": "12"}, "stop_reason": "max_tokens"}]},
    "scores": {"match": {"value": 0, "answer": None}},
}
FAILED = SAMPLE | {"id": "three", "output": {}, "scores": None, "error": {"message": "the server is down", "traceback": ""}}


def written(path: Path, *samples: dict[str, Any]) -> Path:
    log = {"version": 2, "status": "success", "eval": {"task": "sums", "model": "m"}, "samples": list(samples)}
    if path.suffix == ".json":
        path.write_text(json.dumps(log))
        return path
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps(log | {"samples": None}))
        for s in samples:
            archive.writestr(f"samples/{s['id']}_epoch_1.json", json.dumps(s))
    return path


@pytest.mark.parametrize("name", ["log.json", "log.eval"])
def test_a_log_is_read(name: str, tmp_path: Path) -> None:
    found = {row["id"]: row for row in rows(written(tmp_path / name, SAMPLE, CHAT, FAILED))}
    assert found["1"] == {
        "id": "1", "epoch": 1, "input": "3+4=", "target": "7", "completion": "the answer is 7", "score": 1.0, "parsed": "7",
        "explanation": "the answer is 7", "stop_reason": "stop", "error": "",
    }  # fmt: skip
    assert [found["two"][k] for k in ("input", "target", "completion", "score", "stop_reason")] == ["6+7=", "13", "12", 0.0, "max_tokens"]
    assert [found["three"][k] for k in ("completion", "score", "error")] == ["", None, "the server is down"]


def test_what_inspect_packs_by_zstandard(tmp_path: Path) -> None:
    pytest.importorskip("zipfile_zstd")
    with zipfile.ZipFile(tmp_path / "log.eval", "w", 93) as archive:
        archive.writestr("samples/1_epoch_1.json", json.dumps(SAMPLE))
    assert rows(tmp_path / "log.eval")[0]["completion"] == "the answer is 7"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.json", b"{", "not a log of Inspect"),
        ("a.json", b"[1]", "without samples"),
        ("a.json", b'{"eval": 1, "samples": [1]}', "not a sample of Inspect"),
        ("a.json", b'{"eval": 1, "samples": [{"id": 1}]}', "not a sample of Inspect: KeyError"),
        ("a.json", b'{"eval": 1, "samples": [{"id": 1, "target": 1, "input": [3], "output": []}]}', "not a sample of Inspect"),
        ("a.eval", b"PK", "not a log of Inspect"),
        ("a.eval", b"", "not a log of Inspect"),
    ],
)
def test_what_is_none_is_refused_in_a_sentence(name: str, content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadData, match=says):
        rows(tmp_path / name)
    with pytest.raises(BadData):
        rows(tmp_path / "nowhere.json")


def test_its_questions_are_asked_again(tmp_path: Path) -> None:
    task = load_file(written(tmp_path / "log.eval", SAMPLE, CHAT), "input", "target", "number")
    assert sorted((p.question.prompt, p.answer) for part in task.problems.values() for p in part) == [("3+4=", "7"), ("6+7=", "13")]


def test_its_replies_are_looked_at(tmp_path: Path) -> None:
    kind, (first, second, third) = load([written(tmp_path / "log.json", SAMPLE, CHAT, FAILED)])
    assert kind == "inspect"
    assert (first.prompt, first.text, first.gold, first.reward, first.truncated) == ("3+4=", "the answer is 7", "7", 1.0, False)
    assert (second.truncated, second.reward, third.error) == (True, 0.0, "the server is down")


def test_an_evaluation_is_written_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("THINKERY_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    words = ["eval", "--task", "addition", "--n", "6", "--samples", "2", "--temperature", "1", "--trace", "log.json", "--json"]
    assert main(words) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    log = json.loads((tmp_path / "log.json").read_text())
    found = rows(tmp_path / "log.json")
    assert log["results"]["scores"][0]["metrics"]["accuracy"]["value"] == pytest.approx(result["accuracy"])
    assert sum(row["score"] or 0 for row in found) / 12 == pytest.approx(result["accuracy"])
    assert [row["epoch"] for row in found] == [1, 2] * 6
    again = load_file(tmp_path / "log.json", "input", "target", "number")
    assert {p.question.prompt for part in again.problems.values() for p in part} == {row["input"] for row in found}
    assert log["samples"][0]["messages"][0] == {"role": "user", "content": found[0]["input"], "source": "input"}


def test_inspect_reads_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inspect = pytest.importorskip("inspect_ai.log", reason="needs the package inspect-ai, which is not among the extras")
    monkeypatch.setenv("THINKERY_CACHE", str(tmp_path / "cache"))
    api.evaluate("tiny", "addition", n=5, solver="majority:samples=3", trace=tmp_path / "log.json")
    log = inspect.read_eval_log(str(tmp_path / "log.json"))
    assert (log.status, len(log.samples), log.eval.task) == ("success", 5, "addition")
    assert [m.role for m in log.samples[0].messages] == ["user", "assistant", "assistant", "assistant"]
