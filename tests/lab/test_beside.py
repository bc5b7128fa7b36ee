"""Work in processes beside each other: the same results, errors that are raised, nobody left behind."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

import pytest

from thinkery.core.errors import BadData, EngineError
from thinkery.lab.beside import Tick, beside


def square(n: int, tick: Tick) -> tuple[int, int]:
    tick(0.5)
    return n * n, os.getpid()


@pytest.mark.parametrize("jobs", [1, 2, 9])
def test_all_are_done_whatever_the_number(jobs: int) -> None:
    heard: list[tuple[int, float]] = []
    found = dict(beside([partial(square, n) for n in range(5)], jobs, lambda i, share: heard.append((i, share))))
    assert {i: value for i, (value, _) in found.items()} == {n: n * n for n in range(5)}
    assert sorted(heard) == [(n, 0.5) for n in range(5)]
    assert len({pid for _, pid in found.values()}) == (1 if jobs == 1 else 5)
    assert (os.getpid() in {pid for _, pid in found.values()}) == (jobs == 1)


def fails(tick: Tick) -> None:
    raise BadData("a file", "is broken")


def sleeps(path: Path, tick: Tick) -> None:
    path.write_text(str(os.getpid()))
    while True:
        tick(0.0)
        time.sleep(0.02)


def dies(tick: Tick) -> None:
    os._exit(9)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize(("work", "error", "said"), [(fails, BadData, "is broken"), (dies, EngineError, "--jobs")])
def test_an_error_is_raised_and_the_others_stop(work: object, error: type[Exception], said: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=said):
        list(beside([partial(sleeps, tmp_path / "pid"), work], 2, lambda i, share: None))  # type: ignore[list-item]
    assert not (tmp_path / "pid").exists() or gone(int((tmp_path / "pid").read_text()))


def test_who_stops_early_leaves_nobody(tmp_path: Path) -> None:
    met = beside([partial(square, 1), partial(sleeps, tmp_path / "pid")], 2, lambda i, share: None)
    assert next(met)[1][0] == 1
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.01)
    met.close()  # type: ignore[attr-defined]
    assert gone(int((tmp_path / "pid").read_text()))


def test_children_go_with_their_parent(tmp_path: Path) -> None:
    parent = os.fork()
    if not parent:
        list(beside([partial(sleeps, tmp_path / "a"), partial(sleeps, tmp_path / "b")], 2, lambda i, share: None))
    files = [tmp_path / "a", tmp_path / "b"]
    while not all(f.exists() and f.read_text() for f in files):
        time.sleep(0.01)
    os.kill(parent, 9)
    os.waitpid(parent, 0)
    until = time.monotonic() + 5
    while time.monotonic() < until and not all(gone(int(f.read_text())) for f in files):
        time.sleep(0.02)
    assert all(gone(int(f.read_text())) for f in files)
