"""What else comes from outside, broken at random: texts of models, settings, folders of models, records, comparisons, requests, messages of tools."""

from __future__ import annotations

import asyncio
import inspect
import json
import random
import re
import shutil
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lab.dashboard import support
from tests.support import Sums, model_of
from tests.test_fuzz import GOLDS, REPLIES, ROUNDS, broken, refused
from thinkery.cli.commands import _config
from thinkery.core.context import Context
from thinkery.core.records import Question, Reply
from thinkery.lab.comparison_page import read_comparison
from thinkery.lab.loading import load_model
from thinkery.lab.memory import Memory
from thinkery.lab.report import read_run
from thinkery.lab.reports import write_report
from thinkery.lab.runs import export, listed
from thinkery.lab.store import metrics_of, search, seconds_of
from thinkery.learning import checkpoint
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Recipe, Setting, Stage
from thinkery.models.chat import split_thought
from thinkery.solvers import SOLVERS, solver
from thinkery.solvers.react import bound, called
from thinkery.tasks import TASKS, load_task
from thinkery.tasks.checkers import math, units
from thinkery.tasks.verifiers import VERIFIERS
from thinkery.tools import mcp
from thinkery.tools.calculator import calculate
from thinkery.tools.tool import Toolbox

FEW = settings(max_examples=ROUNDS, derandomize=True, deadline=None, database=None)
PIECES = st.sampled_from(
    [*REPLIES, "<call>", "</call>", "<tool_call>", "</tool_call>", "<think>", "</think>", '{"name": ', '"arguments": {', "}", "calculate ",
     '"expression": "1+1"', "\\boxed{", "\\frac{", "^{", "}", "#", "answer is ", "9" * 5000, "-", "1e999", "(", ")" * 99, "\ud800", "\x00", "\u202e",
     "\u0661", "[" * 3000, "\n", "```sql\n", "```", " km/h", ","]
)  # fmt: skip
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=12)), max_size=9).map("".join)
HUGE = st.one_of(
    st.integers(-(10**30), 10**30).map(str),
    st.sampled_from(["nan", "inf", "1e999", "-0", "true", "", "0", "3-1", "9-9999999999", "\u0661"]),
)


def bounded(work: Callable[..., Any], *given: Any, seconds: float = 5.0) -> Any:
    """What it gives, within so much time of the processor."""
    began = time.thread_time()
    found = work(*given)
    assert time.thread_time() - began < seconds
    return found


@FEW
@given(text=TEXTS)
def test_what_a_model_writes_is_read_or_not_read(text: str) -> None:
    for name, gold in GOLDS.items():
        verdict = bounded(VERIFIERS[name], gold, Reply(text))
        assert verdict.score in (0.0, 1.0) and isinstance(verdict.reason, str)
    for reading in (math.answers, units.answers):
        assert all(isinstance(x, str) for x in bounded(list, reading(text)))
    thought, said = split_thought(text)[:2]
    assert (thought or "") in text and said.strip() in text
    for name in VERIFIERS:  # a gold answer of a file is read or is none
        assert isinstance(bounded(VERIFIERS[name].gold, text), str | None)


@FEW
@given(text=TEXTS, closed=st.sampled_from(["", "</call>", "</tool_call>"]))
def test_a_call_that_a_model_writes_gets_an_answer(text: str, closed: str) -> None:
    found = bounded(called, text + closed)
    if found is None:
        assert not closed or closed.replace("/", "") not in text
        return
    tools = Toolbox([calculate])
    given = bounded(lambda: asyncio.run(tools.call(found[0], bound(tools.get(found[0]), found[1]))))
    assert given.text and len(given.text) < 5000 and (given.error in ("", given.text))
    json.dumps(tools.record())


SETTINGS = st.tuples(
    st.sampled_from(sorted(SOLVERS)), st.one_of(st.sampled_from(["width", "samples", "score", "depth", "x"]), st.text(max_size=5)), HUGE
)


@FEW
@given(drawn=st.lists(SETTINGS, min_size=1, max_size=3), glue=st.sampled_from([",", ":", ";", "=", ""]))
def test_settings_of_solvers(drawn: list[tuple[str, str, str]], glue: str) -> None:
    name = drawn[0][0]
    for each in (name, *SOLVERS):
        refused(partial(solver, f"{each}:{glue.join(f'{key}={value}' for _, key, value in drawn)}"))
    for key in inspect.signature(SOLVERS[name]).parameters:
        refused(partial(solver, f"{name}:{key}={drawn[0][2]}"))


KEYS = [f"{name}:{f.name}" for name, task in sorted(TASKS.items()) for f in fields(task().default)]
OTHERS = [
    "addition:nope",
    "addition:",
    "graph:bfs:nodes",
    "synlogic:sudoku:level",
    "synlogic:nope:x",
    "oracle:addition:digits",
    "hf:x",
    "gym:x:y",
    "acted:boxoban:x",
]


@FEW
@given(key=st.sampled_from([*KEYS, *OTHERS]), value=HUGE)
def test_settings_of_tasks(key: str, value: str) -> None:
    refused(lambda: bounded(lambda: load_task(f"{key}={value}").problem(0)))


@FEW
@given(pairs=st.lists(st.one_of(st.text(max_size=20), st.tuples(st.text(max_size=8), HUGE).map("=".join)), max_size=4))
def test_settings_on_the_command_line(pairs: list[str]) -> None:
    refused(lambda: _config(None, pairs))


TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% if enable_thinking %}<think>{% endif %}{% endif %}"
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a template in shards, and an adapter of it."""
    path: Path = tmp_path_factory.mktemp("models")
    model_of().save(path / "base", max_shard_bytes=20_000)
    (path / "base" / "chat_template.jinja").write_text(TEMPLATE)
    load_model(path / "base", memory=Memory(lora=2)).save(path / "adapter")
    return path


def used(path: Path) -> None:
    """Load it and write down a question as it would be asked."""
    model = load_model(path)
    assert model.context(Context.root(model.tokenizer), Question("1+1=")).segment


NAMES = ("base/model.safetensors.index.json", "base/chat_template.jinja", "base/generation_config.json", "base/tokenizer_config.json",
         "base/model-00004-of-00007.safetensors", "adapter/adapter_config.json", "adapter/adapter_model.safetensors")  # fmt: skip
LURES = (b"../../secret", b"/etc/passwd", b".", b"", b"adapter", b"base/../base", b"{{ self.__init__.__globals__ }}", b"{% include '/etc/passwd' %}",
         b"{% for i in range(10 ** 12) %}{% endfor %}", b"{{ 'x' * 10 ** 12 }}", b"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
         b"4294967296", b"-3", b"0.5")  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_folders_of_models_and_adapters(name: str, folders: Path, tmp_path: Path) -> None:
    copy, draw, said = Path(shutil.copytree(folders, tmp_path / "models")), random.Random(name), set()
    whole = (copy / name).read_bytes().replace(str(folders).encode(), str(copy).encode())
    for path in (copy / "adapter").glob("*.json"):
        path.write_text(path.read_text().replace(str(folders), str(copy)))
    folder = (copy / name).parent
    assert refused(lambda: used(folder)) == ""
    for i in range(ROUNDS):
        (copy / name).write_bytes(harmed(whole, draw, broken if i % 3 else lured))
        said.add(refused(lambda: bounded(used, folder, seconds=20)))
    assert len(said) > 3
    assert sorted(p.name for p in copy.rglob("*")) == sorted(p.name for p in folders.rglob("*"))


def harmed(whole: bytes, draw: random.Random, harm: Callable[[bytes, random.Random], bytes]) -> bytes:
    """The file with harm done to it, to its header alone where it holds weights."""
    size = int.from_bytes(whole[:8], "little")
    if size > len(whole):
        return harm(whole, draw)
    header = harm(whole[8 : 8 + size], draw)
    return len(header).to_bytes(8, "little") + header + whole[8 + size :]


def lured(whole: bytes, draw: random.Random) -> bytes:
    """One of its values is something that leads astray."""
    values = list(re.finditer(rb"-?\d+(?:\.\d+)?|(?<=\")[^\"]*(?=\")|\{[{%].*?[%}]\}", whole))
    m = draw.choice(values)
    return whole[: m.start()] + draw.choice(LURES) + whole[m.end() :]


def test_an_adapter_of_itself(folders: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folders / "adapter", tmp_path / "adapter"))
    about = json.loads((copy / "adapter_config.json").read_text()) | {"base_model_name_or_path": str(copy)}
    (copy / "adapter_config.json").write_text(json.dumps(about))
    assert "is itself an adapter" in refused(lambda: used(copy))
    assert "unknown model" in refused(lambda: load_model("x" * 9000)) and "unknown model" in refused(lambda: load_model("x\0"))


PAGES = ("/", "/?q=sums", "/run/r", "/run/r/rollouts", "/run/r/rollouts?outcome=right&ended=stop&part=x", "/run/r/step/2/problem/0", "/run/r/problem/0", "/run/r/steps",
         "/beside?a=r:before&b=r:after", "/compare", "/compare/which", "/map/which")  # fmt: skip
VALUES = (None, "", "x", -1, 0, 2**62, 1e308, float("inf"), b"", b"\0\1\2", b"\xff" * 64, "\x00", "[" * 3000, "{}", "\u202e<script>")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that learnt, and a comparison of methods."""
    folder: Path = tmp_path_factory.mktemp("runs")
    support.learnt(folder / "r")
    support.compared(folder / "which", folder / "r")
    return folder


def read_all(folder: Path, out: Path) -> None:
    """Everything that reads a folder of runs."""
    run = folder / "r"
    for read in (lambda: listed(folder), lambda: metrics_of(run), lambda: seconds_of(run), lambda: search(run, "one"), lambda: read_run(run),
                 lambda: write_report([run], out / "report.html"), lambda: export(run, "jsonl", out / "tables"), lambda: read_comparison(folder / "which")):  # fmt: skip
        refused(partial(bounded, read))
    shutil.rmtree(out / "tables", ignore_errors=True)
    client = support.Client(folder)
    for path in PAGES:
        assert bounded(client.get, path).status_code in (200, 404, 500), path
    assert client.get("/").status_code == client.get("/compare").status_code == 200, "what is broken does not hide the others"


def spoilt(record: Path, draw: random.Random) -> None:
    """One to three things are done to a record's tables."""
    with closing(sqlite3.connect(record)) as connection, connection:
        for _ in range(draw.randint(1, 3)):
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            if not tables:
                return
            table = draw.choice(tables)
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            column, value = draw.choice(columns), draw.choice(VALUES)
            change = draw.choice([
                f"DROP TABLE {table}", f'ALTER TABLE {table} RENAME COLUMN "{column}" TO other',
                f"CREATE TABLE other{draw.randrange(10**9)} AS SELECT * FROM {table}", f"DELETE FROM {table}",
                f'UPDATE OR IGNORE {table} SET "{column}" = ?1', f'UPDATE OR IGNORE {table} SET "{column}" = ?1', f'UPDATE OR IGNORE {table} SET "{column}" = ?1',
            ])  # fmt: skip
            with suppress(sqlite3.Error, OverflowError):
                connection.execute(change, (value,) if "?1" in change else ())


def test_records_whose_tables_are_not_ours(runs: Path, tmp_path: Path) -> None:
    draw, folder = random.Random(11), Path(shutil.copytree(runs, tmp_path / "runs"))
    whole = (runs / "r" / "run.sqlite").read_bytes()
    read_all(folder, tmp_path)
    for _ in range(ROUNDS // 4):
        (folder / "r" / "run.sqlite").write_bytes(whole)
        spoilt(folder / "r" / "run.sqlite", draw)
        read_all(folder, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} <= {"runs", "report.html", "tables"}


@pytest.mark.parametrize("name", ["r/run.json", "r/samples.json", "which/compare.json", "r/run.sqlite"])
def test_folders_of_runs(name: str, runs: Path, tmp_path: Path) -> None:
    draw, folder = random.Random(name), Path(shutil.copytree(runs, tmp_path / "runs"))
    whole = (runs / name).read_bytes()
    for _ in range(ROUNDS // 8):
        (folder / name).write_bytes(broken(whole, draw))
        read_all(folder, tmp_path)


# ---- requests to the dashboard

HERE = f"127.0.0.1:{support.PORT}"
COOKIE = f"thinkery={support.TOKEN}"
AWRY = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["../" * 9 + "etc/passwd", "..%2f..%2fetc", "\x00", "r/../../x", "%00", "[" * 999, "9" * 400, "-1", "1e999", "nan", "\ud800"]
    ),
)
PATHS = st.one_of(
    st.sampled_from(PAGES), st.text("/.%-_~abcr0123456789", max_size=40).map("/".__add__),
    st.tuples(st.sampled_from(["/run/", "/compare/", "/map/", "/run/r/step/", "/run/r/problem/", "/static/", "/paper/", "/run/r/ask/"]), AWRY).map("".join),
)  # fmt: skip
ASKED = ("q", "words", "step", "number", "by", "a", "b", "part", "before", "shortest", "easiest", "token", "since")
QUERIES = st.one_of(st.just(""), st.text(max_size=40), st.tuples(st.sampled_from(ASKED), AWRY).map("=".join))
METHODS = st.sampled_from(["GET"] * 6 + ["HEAD", "POST", "PUT", "TRACE", "CONNECT", "", "get", "X" * 300])


async def asked(application: Any, method: str, path: str, query: str, headers: list[tuple[bytes, bytes]]) -> tuple[int, bytes]:
    """A status and a body, as a server gets them for a request that it has read."""
    scope = {"type": "http", "http_version": "1.1", "method": method, "scheme": "http", "path": path, "raw_path": path.encode("utf-8", "replace"),
             "query_string": query.encode("latin-1", "replace"), "headers": headers, "server": ("127.0.0.1", 1), "client": ("127.0.0.1", 2), "root_path": ""}  # fmt: skip
    status, body = 0, b""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"x" * 100_000, "more_body": True}  # without end

    async def send(message: Any) -> None:
        nonlocal status, body
        status, body = message.get("status", status), body + message.get("body", b"")

    await application(scope, receive, send)
    return status, body


@FEW
@given(
    method=METHODS,
    path=PATHS,
    query=QUERIES,
    host=st.sampled_from([HERE] * 5 + ["", "evil", HERE + ".evil", "[::1]"]),
    cookie=st.sampled_from([COOKIE] * 6 + ["", "thinkery=", "thinkery=\xff", "thinkery=" + "x" * 9999, ";;=", "thinkery"]),
    origin=st.sampled_from(["", "null", f"http://{HERE}"]),
)
def test_requests(runs: Path, method: str, path: str, query: str, host: str, cookie: str, origin: str) -> None:
    application, before = support.application(runs, support.TOKEN, support.PORT), sorted(runs.rglob("*"))
    headers = [(k, v.encode("latin-1")) for k, v in ((b"host", host), (b"cookie", cookie), (b"origin", origin)) if v]
    status, body = bounded(asyncio.run, asked(application, method, path, query, headers))
    assert 200 <= status < 500 and b"Traceback" not in body and b"root:" not in body
    if host != HERE:
        assert status == 421
    elif cookie != COOKIE:
        assert status in (400, 401, 405) and b"sums" not in body
    assert sorted(runs.rglob("*")) == before or path.startswith("/run/r/rollouts"), "nothing is written, but the index of a search"


def test_messages_of_a_server_of_tools() -> None:
    pytest.importorskip("mcp")
    server = mcp.Server(f"{sys.executable} {Path(__file__).parent / 'tools' / 'mcp_garbler.py'}", seconds=0.3)
    try:
        found = [asyncio.run(Toolbox(server.tools).call("calculate", '{"expression": "6 * 7"}')) for _ in range(ROUNDS // 6)]
    finally:
        server.close()
    assert all(x.text and x.error in ("", x.text) for x in found)
    assert any(x.error for x in found), "what is garbled is told"


@pytest.mark.parametrize("name", ["state.json", "outputs.json", "model.safetensors", "optimizer.safetensors"])
def test_checkpoints(name: str, tmp_path: Path) -> None:
    model, draw, said = model_of(), random.Random(name), set()
    learning = Learning(Recipe((Stage(steps=3, problems=2, samples=2),)), Setting(Sums()), model)
    learning.step()
    folder = checkpoint.save(learning, tmp_path)
    whole = (folder / name).read_bytes()
    for _ in range(ROUNDS // 3):
        (folder / name).write_bytes(harmed(whole, draw, broken))
        said.add(refused(lambda: bounded(checkpoint.load, learning, folder)))
    assert len(said) > 3


LINES = (b"GET / HTTP/1.1", b"POST /run/r/ask/stop HTTP/1.1", b"GET /" + b"x" * 70_000 + b" HTTP/1.1", b"GET http://evil/ HTTP/1.1", b"\xff\xfe", b"GET /\x00 HTTP/9.9",
         b"Host: " + HERE.encode(), b"Host: evil", b"Host: a\r\nHost: b", b"Content-Length: 99999999999999999999", b"Content-Length: -1",
         b"Content-Length: 5", b"Transfer-Encoding: chunked",
         b"Expect: 100-continue", b"Upgrade: websocket\r\nConnection: Upgrade", b"X: " + b"y" * 100_000, b"", b"", b"zz\r\n", b"\x00" * 99)  # fmt: skip


def test_bytes_that_are_no_request(runs: Path) -> None:
    uvicorn, draw = pytest.importorskip("uvicorn"), random.Random(17)
    with closing(socket.socket()) as place:
        place.bind(("127.0.0.1", 0))
        place.listen()
        port = place.getsockname()[1]
        served = uvicorn.Server(
            uvicorn.Config(support.application(runs, support.TOKEN, port), log_level="critical", timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=served.run, kwargs={"sockets": [place]}, daemon=True)
        thread.start()
        host = f"127.0.0.1:{port}".encode()
        sound = b"GET / HTTP/1.1\r\nHost: " + host + b"\r\nCookie: " + COOKIE.encode() + b"\r\nConnection: close\r\n\r\n"
        try:
            assert said(port, sound).startswith(b"HTTP/1.1 200")
            for _ in range(ROUNDS):
                lines = [draw.choice(LINES).replace(HERE.encode(), host) for _ in range(draw.randint(1, 6))]
                answer = said(port, b"\r\n".join(lines) + b"\r\n\r\n", 0.05)
                assert b"sums" not in answer and (not answer or re.match(rb"HTTP/1.1 (100|4\d\d)", answer)), answer[:200]
            assert said(port, sound).startswith(b"HTTP/1.1 200")
        finally:
            served.should_exit = True
            thread.join(30)


def said(port: int, data: bytes, seconds: float = 30.0) -> bytes:
    """What a server answers until it closes or the time is up."""
    answer = b""
    with closing(socket.create_connection(("127.0.0.1", port), 30)) as line, suppress(OSError):
        line.settimeout(seconds)
        line.sendall(data)
        while found := line.recv(65536):
            answer += found
    return answer
