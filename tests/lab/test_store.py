"""A run's record says what happened, token by token, to any reader at any moment; a reader that can change it, a writer that leaves half a
step, or a copy that does not open would make it worthless."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support import Sums, model_of

from thinkery.cli.main import main
from thinkery.core.errors import BadConfig, BadData, InputError, StorageError, UnknownName
from thinkery.core.records import CALLS, Problem, Question, Reply, Rollout, Verdict
from thinkery.engines.session import Session
from thinkery.lab import runs, schema
from thinkery.lab.events import Event
from thinkery.lab.schema import FILE, TABLES
from thinkery.lab.store import Store, metrics_of, query, search, seconds_of
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Recipe, Setting, Stage

HOSTILE = "\x00\x1b[31m\u202e\ud800<script>'; DROP TABLE rollouts; --"


async def twice(model: Session, question: Question, tools: Any) -> Reply:
    """Two turns, the second after a word of the solver's; one sample fails."""
    first = await model.ask(question)
    context = model.context(question) + first + " "
    model.say(context, "#", end=False)
    second = await model.ask(context + "#")
    if len(second.ids) % 2:
        raise ValueError("even ones are enough")
    return Reply(first.text + second.text)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """The record of three steps, and what was to be recorded."""
    folder = tmp_path_factory.mktemp("learnt")
    learning = Learning(Recipe((Stage(steps=3, problems=3, samples=4, solver=twice),)), Setting(Sums()), model_of())
    record, steps = Store(folder), []
    record.listen(Event("note", {"text": HOSTILE}))
    while not learning.done:
        metrics = learning.step()
        record.write(learning.state.total, "rl", metrics, 0.5, learning.rollouts, learning.learnt)
        steps.append((metrics, learning.rollouts, learning.learnt))
    learning.leave()
    record.close()
    (folder / "run.json").write_text(json.dumps({"status": "done", "method": "grpo", "task": "sums"}))
    return folder, steps


def test_what_was_sampled_is_in_it_token_by_token(learnt: tuple[Path, list[Any]]) -> None:
    folder, steps = learnt
    columns, rows = query(
        folder, "SELECT r.*, t.*, c.text AS before FROM rollouts r JOIN turns t ON t.rollout = r.id JOIN contexts c ON c.id = t.context"
    )
    found = {(r["step"], r["number"], r["k"], r["turn"]): r for r in (dict(zip(columns, row)) for row in rows)}
    assert len(found) == sum(len(r.turns) for _, rollouts, _ in steps for r in rollouts)
    failed = 0
    for step, (_, rollouts, (kept, batch)) in enumerate(steps, 1):
        pushed = {(id(kept[i]), j): (reward, push) for i, j, reward, push in zip(batch.rollout, batch.turn, batch.reward, batch.advantage)}
        for r in rollouts:
            failed += r.error is not None
            for j, t in enumerate(r.turns):
                row = found[step, r.index, r.k, j]
                assert np.frombuffer(row["ids"], "<i4").tolist() == list(t.ids)
                assert row["before"] == t.context.text
                assert row["logp"] is None if t.forced else np.array_equal(np.frombuffer(row["logp"], "<f4"), t.logp)
                assert row["entropy"] is None if t.forced else np.array_equal(np.frombuffer(row["entropy"], "<f4"), t.entropy)
                assert row["score"] == (None if r.verdict is None else r.verdict.score)
                reward, push = pushed.get((id(r), j), (None, None))
                assert row["reward"] == reward
                assert row["advantage"] is None if push is None else np.frombuffer(row["advantage"], "<f4") == np.float32(push)
    assert 0 < failed < len(found)


def test_metrics_come_back_as_they_were(learnt: tuple[Path, list[Any]]) -> None:
    folder, steps = learnt
    assert metrics_of(folder) == [{"step": i, "stage": "rl", **m} for i, (m, _, _) in enumerate(steps, 1)]
    assert seconds_of(folder) == {1: 0.5, 2: 0.5, 3: 0.5}
    assert metrics_of(folder / "nowhere") == []


def test_a_record_cut_back_and_written_again_is_the_same(learnt: tuple[Path, list[Any]], tmp_path: Path) -> None:
    folder, steps = learnt
    shutil.copy(folder / FILE, tmp_path)
    record = Store(tmp_path)
    record.trim(1)
    record.flush()
    assert [m["step"] for m in metrics_of(tmp_path)] == [1]
    for step in (2, 3):
        metrics, rollouts, kept = steps[step - 1]
        record.write(step, "rl", metrics, 0.5, rollouts, kept)
    record.close()
    for table in TABLES:
        assert query(tmp_path, f"SELECT * FROM {table} ORDER BY 1, 2") == query(folder, f"SELECT * FROM {table} ORDER BY 1, 2")


def test_it_is_read_while_it_is_written(tmp_path: Path) -> None:
    record, seen, stop = Store(tmp_path), list[int](), threading.Event()

    def read() -> None:
        while not stop.is_set():
            found = metrics_of(tmp_path)
            assert all(len(m) == 2 + 50 for m in found)  # no step is there in part
            seen.append(len(found))

    reader = threading.Thread(target=read)
    reader.start()
    for step in range(1, 60):
        record.write(step, "rl", {f"m{i}": float(i) for i in range(50)}, 0.1)
        time.sleep(0.005)
    stop.set()
    reader.join()
    assert seen == sorted(seen) and len(set(seen)) > 2
    record.close()


def _half(folder: Path, wait_s: float) -> None:
    """Write a step and die in the middle of the next."""
    record = Store(folder)
    record.write(1, "rl", {"reward": 1.0}, 0.1)
    record.flush()
    problem = Problem("p", Question("?"), "")
    record.write(2, "rl", {"reward": 1.0}, 0.1, [Rollout(2, 0, k, problem, [], Reply("half"), Verdict(0.0)) for k in range(3000)])
    time.sleep(wait_s)
    os._exit(9)


@pytest.mark.parametrize("wait_s", [0.0, 0.002, 0.005, 0.01])
def test_a_writer_that_was_killed_leaves_whole_steps(wait_s: float, tmp_path: Path) -> None:
    child = multiprocessing.get_context("fork").Process(target=_half, args=(tmp_path, wait_s))
    child.start()
    child.join()
    steps = [m["step"] for m in metrics_of(tmp_path)]
    assert steps in ([1], [1, 2])
    assert query(tmp_path, "SELECT count(*) FROM rollouts")[1] == [(3000 * (len(steps) - 1),)]
    again = Store(tmp_path)
    again.trim(1)
    again.write(2, "rl", {"reward": 0.5}, 0.1)
    again.close()
    assert [m["reward"] for m in metrics_of(tmp_path)] == [1.0, 0.5]


def test_a_copy_opens_where_nothing_can_be_written(learnt: tuple[Path, list[Any]], tmp_path: Path) -> None:
    folder, _ = learnt
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(folder / FILE, copy)
    copy.chmod(0o500)
    try:
        assert metrics_of(copy) == metrics_of(folder)
        assert len(search(copy, "1")) == len(search(folder, "1"))
    finally:
        copy.chmod(0o700)


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM steps",
        "DROP TABLE turns",
        "ATTACH DATABASE 'other.db' AS o",
        "VACUUM INTO 'other.db'",
        "nonsense",
        "SELECT 1; SELECT 2",
    ],
)
def test_a_query_changes_nothing_anywhere(
    learnt: tuple[Path, list[Any]], sql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder, _ = learnt
    before = (folder / FILE).read_bytes()
    with pytest.raises(InputError, match="the query failed"):
        query(folder, sql)
    assert (folder / FILE).read_bytes() == before and not list(tmp_path.iterdir())


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    record = Store(tmp_path)
    problem = Problem(HOSTILE, Question(HOSTILE), HOSTILE)
    infinite = {"plus": float("inf"), "minus": -float("inf"), "none": float("nan"), "slash": 0.1}
    made = [Rollout(1, 0, 0, problem, [], Reply(HOSTILE), Verdict(0.0, HOSTILE, reason=HOSTILE), infinite)]
    record.write(1, "rl", {"nan": float("nan"), "inf": float("inf")}, 0.1, made)
    record.listen(Event("warning", {"text": HOSTILE}))
    record.close()
    (reply,) = query(tmp_path, "SELECT reply FROM rollouts")[1]
    assert reply[0] == HOSTILE.replace("\ud800", "?").replace("\0", "␀")
    rewards = dict(query(tmp_path, "SELECT name, value FROM rewards")[1])
    assert rewards == infinite | {"none": None}
    (metrics,) = metrics_of(tmp_path)
    assert np.isnan(metrics["nan"]) and metrics["inf"] == float("inf")
    assert len(search(tmp_path, "DROP")) == 1 and len(search(tmp_path, '" OR "x')) == 0


def test_search_finds_what_came_later(tmp_path: Path) -> None:
    record = Store(tmp_path)
    made = lambda i, text: Rollout(1, i, 0, Problem(f"p{i}", Question(f"prompt{i}"), ""), [], Reply(text), Verdict(0.0, reason="cut off"))
    record.write(1, "rl", {}, 0.1, [made(0, "apples and pears")])
    record.flush()
    assert [f["reply"] for f in search(tmp_path, "pears apples")] == ["apples and pears"]
    record.write(2, "rl", {}, 0.1, [made(1, "only pears")])
    record.flush()
    assert [f["number"] for f in search(tmp_path, "pears")] == [1, 0]  # the newest first
    assert [f["number"] for f in search(tmp_path, "cut off prompt0")] == [0]
    record.trim(1)
    record.flush()
    assert [f["number"] for f in search(tmp_path, "pears")] == [0]
    with pytest.raises(InputError, match="nothing to search for"):
        search(tmp_path, "  ")
    record.close()


def test_files_that_are_no_record_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="holds no run"):
        query(tmp_path, "SELECT 1")
    (tmp_path / FILE).write_bytes(b"no database at all" * 99)
    for reads in (lambda: query(tmp_path, "SELECT 1"), lambda: Store(tmp_path)):
        with pytest.raises(BadData, match="cannot be read"):
            reads()
    (tmp_path / FILE).unlink()
    with sqlite3.connect(tmp_path / FILE) as other:
        other.execute("PRAGMA user_version = 99")
    with pytest.raises(BadData, match="version 99"):
        query(tmp_path, "SELECT 1")
    with pytest.raises(BadData, match="version 99"):
        Store(tmp_path)
    with pytest.raises(StorageError, match="cannot write"):
        Store(tmp_path / "nowhere")


@pytest.mark.parametrize("form", runs.FORMS)
def test_tables_go_out_as_files(learnt: tuple[Path, list[Any]], form: str, tmp_path: Path) -> None:
    folder, _ = learnt
    files = {p.stem: p for p in runs.export(folder, form, tmp_path / "out")}
    assert set(files) == set(TABLES)
    if form == "parquet":
        read = pytest.importorskip("pyarrow.parquet").read_table
        rows = {t: read(p).to_pylist() for t, p in files.items()}
    else:
        rows = {t: [json.loads(line) for line in p.read_text("utf-8").split("\n")[:-1]] for t, p in files.items()}
    for table in TABLES:
        columns, found = query(folder, f"SELECT * FROM {table} ORDER BY 1, 2")
        plain = lambda n, v: np.frombuffer(v, runs.NUMBERS[n]).tolist() if isinstance(v, bytes) else v
        assert rows[table] == [{n: plain(n, v) for n, v in zip(columns, row)} for row in found]
    with pytest.raises(BadConfig, match="not empty"):
        runs.export(folder, form, tmp_path / "out")
    with pytest.raises(UnknownName):
        runs.export(folder, "csv", tmp_path / "other")


def test_runs_are_tagged_listed_and_deleted(learnt: tuple[Path, list[Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        shutil.copytree(learnt[0], tmp_path / name)
    assert main(["run", "tag", str(tmp_path / "a"), "keep", "best"]) == 0
    assert main(["run", "tag", str(tmp_path / "a"), "best", "--remove"]) == 0
    assert [r["tags"] for r in runs.listed(tmp_path, "keep")] == ["keep"]
    assert len(runs.listed(tmp_path)) == 2
    assert main(["run", "tag", str(tmp_path / "a"), "x,y"]) == 2
    assert main(["run", "delete", str(tmp_path / "b")]) == 2  # nobody to ask
    (tmp_path / "b" / "run.json").write_text('{"status": "running"}')
    assert main(["run", "delete", str(tmp_path / "b"), "--yes"]) == 2
    assert main(["run", "delete", str(tmp_path / "nowhere"), "--yes"]) == 2
    assert (tmp_path / "b").exists()
    assert main(["run", "delete", str(tmp_path / "b"), "--yes", "--force"]) == 0
    assert [Path(r["run"]).name for r in runs.listed(tmp_path)] == ["a"]
    assert "--force" in capsys.readouterr().err


def test_questions_from_the_command_line(learnt: tuple[Path, list[Any]], capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(learnt[0])
    assert main(["run", "query", folder, "SELECT count(*) AS n FROM steps", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"n": 3}]
    assert main(["run", "query", folder, "SELECT * FROM turns", "--limit", "2"]) == 0
    assert "more rows; --limit" in capsys.readouterr().out
    assert main(["run", "query", folder]) == 0 and "rollouts" in capsys.readouterr().out
    assert main(["run", "query", folder, "SELECT nothing"]) == 2
    assert main(["run", "search", folder, "even", "enough", "--json"]) == 0
    assert all("even ones are enough" in f["error"] for f in json.loads(capsys.readouterr().out))


def test_the_page_tells_every_table_and_column() -> None:
    page = Path(__file__).parents[2] / "docs" / "store.md"
    assert page.read_text("utf-8") == schema.schema_page(), (
        "write it again: python -c 'from thinkery.lab.schema import schema_page; print(schema_page(), end=\"\")'"
    )


def test_what_fails_beside_a_step_is_told_at_the_next_call(tmp_path: Path) -> None:
    record = Store(tmp_path)
    record.connection.execute("DROP TABLE rollouts")  # stands for a disk that fails
    record.write(1, "rl", {}, 0.1, [Rollout(1, 0, 0, Problem("p", Question("?"), ""), [], Reply("x"), Verdict(0.0))])
    while record.asked is not None and not record.asked.done():
        time.sleep(0.001)
    for call in (lambda: record.write(2, "rl", {}, 0.1), record.flush, record.close):
        with pytest.raises(StorageError, match="cannot write"):
            call()
    with closing(sqlite3.connect(tmp_path / FILE)) as left:
        assert left.execute("SELECT * FROM steps").fetchall() == []


def test_calls_of_tools_are_kept(tmp_path: Path) -> None:
    record = Store(tmp_path)
    calls = [
        {"tool": "price", "arguments": '{"item": 1}', "text": HOSTILE, "error": ""},
        {"tool": "x", "arguments": "", "text": "no", "error": "no"},
    ]
    made = lambda k, data: Rollout(1, 0, k, Problem("p", Question("?"), ""), [], Reply("x", data=data), Verdict(0.0))
    record.write(1, "rl", {}, 0.1, [made(0, {}), made(1, {CALLS: calls})])
    record.close()
    rows = query(tmp_path, "SELECT k, call, tool, arguments, text, calls.error FROM calls JOIN rollouts ON rollout = id ORDER BY call")[1]
    told = HOSTILE.replace("\ud800", "?").replace("\0", "␀")
    assert rows == [(1, 0, "price", '{"item": 1}', told, ""), (1, 1, "x", "", "no", "no")]
