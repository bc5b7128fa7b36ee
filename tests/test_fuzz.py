"""Files and replies from outside, broken at random: each is read, or refused in our own words; nothing raises otherwise, hangs, or writes elsewhere."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import model_of
from thinkery.cli.commands import _config
from thinkery.core.context import Context
from thinkery.core.errors import ThinkeryError
from thinkery.core.records import Problem, Question, Reply, Rollout, Verdict
from thinkery.lab import evidence
from thinkery.lab.loading import load_model
from thinkery.lab.report import read_run
from thinkery.lab.reports import write_report
from thinkery.lab.runs import listed
from thinkery.lab.store import Store, metrics_of, query, search
from thinkery.learning.collect import load_records, replayed
from thinkery.models.tokenizer import character_tokenizer
from thinkery.solvers.react import called
from thinkery.tasks.files import load_file
from thinkery.tasks.verifiers import VERIFIERS

ROUNDS = int(os.environ.get("THINKERY_FUZZ", "60"))  # more of them outside the suite
SPITE = (
    b"", b"\x00", b"\xff\xfe", b"\n", b'"', b"{", b"}", b"[" * 5000, b"null", b"NaN", b"-1", b"1e999", b"99999999999999999999", b"true", b"[]", b"{}", b'"\\ud800"',
    b"../../../etc/passwd", "\u202e".encode(), b"'; DROP TABLE rollouts; --", b"\xf0\x9f", b",", b":", b"=" * 300, b"{{ 7 * 7 }}", b"\r", b'""""', b"#" * 40,
)  # fmt: skip


def broken(data: bytes, draw: random.Random) -> bytes:
    """The bytes with one to four things done to them."""
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(data) + 1)
        to = min(len(data), at + draw.choice((1, 1, 2, 4, 16, 200)))
        what = draw.randrange(7)
        if what == 0:
            data = data[:at] + draw.choice(SPITE) + data[at:]
        elif what == 1:
            data = data[:at] + draw.choice(SPITE) + data[to:]
        elif what == 2:
            data = data[:at] + data[to:]
        elif what == 3:
            data = data[:at]
        elif what == 4:
            data = data[:to] + data[at:]
        elif what == 5 and data:
            i = draw.randrange(len(data))
            data = data[:i] + bytes([data[i] ^ 1 << draw.randrange(8)]) + data[i + 1 :]
        else:
            values = list(re.finditer(rb'-?\d+(?:\.\d+)?|"[^"]*"|true|false|null', data))
            if values:
                m = draw.choice(values)
                data = data[: m.start()] + draw.choice(SPITE) + data[m.end() :]
    return data


JSONL = b"".join(json.dumps({"q": f"{i}+1=", "a": str(i + 1), "s": f"so #{i + 1}"}).encode() + b"\n" for i in range(6))
CSV = b"q,a,s\r\n" + b"".join(f'"{i}+1=",{i + 1},"so, #{i + 1}"\r\n'.encode() for i in range(6))
TOML = b'lr = 1e-3\nsteps = 4\nname = "x"\n[losses]\nkl = 0.1\nwide = [1, 2]\n'
SAVED = {"reply": "2", "score": 1.0, "parsed": "2", "turns": [{"role": "policy", "context": [1, 5, 6], "ids": [7, 1], "ended": "stop"}]}
RECORDS = b"".join(json.dumps({"index": i, **SAVED}).encode() + b"\n" for i in range(4))


def problems(path: Path) -> None:
    task = load_file(path, "q", "a", "number", solution="s")
    task.verify(task.problem(0), Reply("#2"))


def records(path: Path) -> None:
    root = Context.root(character_tokenizer())
    for saved in load_records(path):
        replayed(Rollout(0, 0, 0, Problem("p", Question("?"), "")), saved, root)


READERS: dict[str, tuple[str, bytes, Callable[[Path], Any]]] = {
    "JSONL of problems": ("p.jsonl", JSONL, problems),
    "CSV of problems": ("p.csv", CSV, problems),
    "TOML of settings": ("c.toml", TOML, lambda path: _config(path, [])),
    "records to learn from": ("r.jsonl", RECORDS, records),
}


def refused(read: Callable[[], Any]) -> str:
    """What a reader says to a broken file: "" if it takes it. Another exception than ours goes through."""
    try:
        read()
    except ThinkeryError as error:
        said = str(error)
        assert 3 < len(said) < 5000 and "Traceback" not in said
        return said
    return ""


@pytest.mark.parametrize("what", READERS)
def test_files_of_users(what: str, tmp_path: Path) -> None:
    name, whole, read = READERS[what]
    draw, said = random.Random(f"{what}"), set()
    path = tmp_path / name
    path.write_bytes(whole)
    assert refused(lambda: read(path)) == ""
    for _ in range(4 * ROUNDS):
        path.write_bytes(broken(whole, draw))
        began = time.thread_time()
        said.add(refused(lambda: read(path)))
        assert time.thread_time() - began < 5
    assert len(said) > 5 and "" in said
    assert sorted(p.name for p in tmp_path.iterdir()) == [name]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("fuzz") / "model"
    model_of().save(path)
    return path


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
def test_model_folders(name: str, folder: Path, tmp_path: Path) -> None:
    draw, said = random.Random(name), set()
    whole = (folder / name).read_bytes()
    copy = Path(shutil.copytree(folder, tmp_path / "model"))
    for _ in range(ROUNDS):
        if name == "model.safetensors":
            (size,) = struct.unpack("<Q", whole[:8])
            header = broken(whole[8 : 8 + size], draw)
            length = len(header) if draw.random() < 0.8 else draw.choice((0, 1, 2**40, 2**63))
            (copy / name).write_bytes(struct.pack("<Q", length) + header + whole[8 + size :])
        else:
            (copy / name).write_bytes(broken(whole, draw))
        said.add(refused(lambda: load_model(copy)))
    assert len(said) > 3
    assert sorted(p.name for p in copy.iterdir()) == sorted(p.name for p in folder.iterdir())


def test_evidence(tmp_path: Path) -> None:
    draw, source = random.Random(5), next(p for p in sorted(evidence.evidence_folder().glob("*.json")))
    whole = source.read_bytes()
    for _ in range(ROUNDS):
        changed = broken(whole, draw)
        (tmp_path / source.name).write_bytes(changed)
        try:
            if json.loads(changed) == json.loads(whole):  # white space
                continue
        except (ValueError, RecursionError):
            pass
        try:
            faults = evidence.verify(tmp_path)
        except ThinkeryError:
            continue
        assert faults, "a changed file is found out"


def test_records_of_runs(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "r"
    run.mkdir(parents=True)
    store = Store(run)
    problem = Problem("p", Question("1+1="), "2")
    for step in range(1, 9):
        store.write(step, "rl", {"reward": 0.5}, 0.1, [Rollout(step, 0, k, problem, [], Reply("two"), Verdict(1.0)) for k in range(8)])
    store.close()
    (run / "run.json").write_text(
        json.dumps({"method": "grpo", "task": "sums", "status": "done", "stages": [{"name": "rl", "steps": 8}], "config": {}})
    )
    draw, files = random.Random(7), {p: p.read_bytes() for p in (run / "run.sqlite", run / "run.json")}
    for i in range(2 * ROUNDS):
        for path, whole in files.items():
            path.write_bytes(whole if (i % 2) == (path.suffix == ".json") else broken(whole, draw))
        (run / "search.sqlite").unlink(missing_ok=True)
        refused(lambda: read_run(run))
        refused(lambda: metrics_of(run))
        refused(lambda: query(run, "SELECT * FROM rollouts"))
        refused(lambda: search(run, "two"))
        refused(lambda: listed(tmp_path / "runs"))
        refused(lambda: write_report([run], tmp_path / "out.html"))
    assert {p.name for p in tmp_path.iterdir()} <= {"runs", "out.html"}


REPLIES = (
    'Thought: so\nAction: search\nAction Input: {"query": "x"}\n',
    '<tool_call>{"name": "python", "arguments": {"code": "1"}}</tool_call>',
    "<think>a</think>#7", "\\boxed{\\frac{1}{2}}", "The answer is (B).", "```python\nprint(1)\n```", "SELECT 1", "1,2;3", "3 km/h", "A is a knight",
)  # fmt: skip
GOLDS = {"number": "7", "exact": "tea", "choice": "B", "set": "1,2", "math": "\\frac{1}{2}", "units": "3 km/h"}


def test_replies_and_calls() -> None:
    draw = random.Random(9)
    for _ in range(6 * ROUNDS):
        text = broken(draw.choice(REPLIES).encode(), draw).decode("utf-8", draw.choice(("replace", "surrogateescape")))
        found = called(text)
        assert found is None or all(isinstance(x, str) for x in found)
        for name, gold in GOLDS.items():
            began = time.thread_time()
            assert 0 <= VERIFIERS[name](gold, Reply(text)).score <= 1
            assert time.thread_time() - began < 3
