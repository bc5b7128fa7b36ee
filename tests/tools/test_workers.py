"""A check that hangs, dies or raises must cost its own call and nothing else: were it let through, a run would stand still, or a broken
check would count as a wrong answer."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from thinkery.core.errors import VerifierError
from thinkery.tools.workers import CheckFailed, Workers

SOURCE = """
import os, subprocess, sys, time
def add(a, b): return a + b
def hang(): \n    while True: pass
def native(): return 9 ** 9 ** 9
def die(): os._exit(3)
def bad(): raise ValueError("no such thing")
def thing(): return object()
def hashed(): return hash("a text")
def chatter(): print("x" * 10**6); return 1
async def later(x): return 2 * x
def child(path):
    subprocess.Popen([sys.executable, "-c", f"import time; time.sleep(2); open({path!r}, 'w')"])
    time.sleep(60)
def process(): return os.getpid()
"""


@pytest.fixture(scope="module")
def checks(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("checks") / "mine.py"
    path.write_text(SOURCE)
    return f"{path}:"


@pytest.fixture(scope="module")
def workers() -> Any:
    found = Workers(2)
    yield found
    found.close()


def test_values_come_back_and_a_process_serves_again(workers: Workers, checks: str) -> None:
    assert workers.call(checks + "add", 1, 2) == 3
    assert workers.call(checks + "later", 4) == 8
    assert workers.call(checks + "chatter") == 1
    assert workers.call("math:gcd", 12, 18) == 6
    assert workers.call(checks + "process") == workers.call(checks + "process") != os.getpid()


@pytest.mark.parametrize(
    ("name", "how", "said"),
    [
        ("hang", "time", "did not end within 0.3 s"),
        ("native", "time", "did not end"),
        ("die", "died", "status 3"),
        ("bad", "raised", "ValueError: no such thing"),
        ("thing", "raised", "plain values"),
        ("missing", "raised", "has no attribute 'missing'"),
    ],
)
def test_what_fails_is_an_error_and_the_next_call_works(workers: Workers, checks: str, name: str, how: str, said: str) -> None:
    began = time.monotonic()
    with pytest.raises(CheckFailed, match=said) as caught:
        workers.call(checks + name, seconds=0.3)
    assert caught.value.how == how
    assert isinstance(caught.value, VerifierError)
    assert time.monotonic() - began < 15
    assert workers.call(checks + "add", 2, 2) == 4


def test_a_killed_check_leaves_no_children(workers: Workers, checks: str, tmp_path: Path) -> None:
    left = tmp_path / "left"
    with pytest.raises(CheckFailed):
        workers.call(checks + "child", str(left), seconds=0.5)
    time.sleep(2.2)
    assert not left.exists()


def test_hashes_are_the_same_in_every_worker(checks: str) -> None:
    one, other = Workers(1), Workers(1)
    assert one.call(checks + "hashed") == other.call(checks + "hashed")
    one.close()
    other.close()


def test_threads_get_their_own_answers_while_some_hang(workers: Workers, checks: str) -> None:
    answers: dict[int, Any] = {}

    def ask(i: int) -> None:
        try:
            answers[i] = workers.call(checks + ("hang" if i % 5 == 0 else "add"), *([] if i % 5 == 0 else [i, 1]), seconds=0.3)
        except CheckFailed as failure:
            answers[i] = failure.how

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(15)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert answers == {i: "time" if i % 5 == 0 else i + 1 for i in range(15)}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_starts_its_own(workers: Workers, checks: str) -> None:
    mine = workers.call(checks + "process")
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writer, str(workers.call(checks + "process")).encode())
        workers.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(reader, 100)) != mine
    assert workers.call(checks + "process") == mine
