"""A program must be unable to reach the machine or to run on for ever, and what the sandbox lacks must not look like a wrong program."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from thinkery.core.errors import InputError
from thinkery.tools.python import Session, lacking, run, told

in_a_jail = pytest.mark.usefixtures("jail")


@pytest.fixture
def jail() -> None:
    """Skips where there is none."""
    if reason := lacking():
        pytest.skip(f"no CPython in a jail here: {reason}")


@pytest.mark.parametrize(
    ("code", "value", "output"),
    [
        ("1 + 1", "2", ""),
        ("print('a', 'b', sep=',')", None, "a,b\n"),
        ("def f(n): return n if n < 2 else f(n - 1) + f(n - 2)\nf(10)", "55", ""),
        ("import math\nmath.gcd(12, 18)", "6", ""),
        ("{'a': (1, 2)}", "{'a': (1, 2)}", ""),
        ("2 ** 100", str(2**100), ""),
    ],
)
def test_programs_run(code: str, value: str | None, output: str) -> None:
    found = run(code)
    assert (found.ended, found.value, found.output, found.error) == ("done", value, output, "")


@pytest.mark.parametrize(
    ("code", "ended", "said"),
    [
        ("1 / 0", "error", "ZeroDivisionError"),
        ("raise SystemExit(0)", "error", "SystemExit"),
        ("import sys\nsys.exit(0)", "error", "SystemExit"),
        ("exit()", "error", "SystemExit"),
        ("from sys import exit\nexit()", "unsupported", "sys.exit"),
        ("def f(:", "error", "SyntaxError"),
        ("nothing", "error", "NameError"),
        ("'a'.nonsense()", "error", "nonsense"),
        ("import nosuchmodule", "error", "nosuchmodule"),
        ("__import__('os')", "error", "__import__"),
        ("().__class__", "error", "__class__"),
        ("open('/etc/passwd').read()", "error", "Permission"),
        ("import os\nos.environ['HOME']", "error", ""),
        ("\ud800", "error", ""),
        ("while True: pass", "limit", "time limit"),
        ("while True:\n  try:\n    while True: pass\n  except BaseException: pass", "limit", "time limit"),
        ("x = [0] * 10**10", "limit", "memory"),
        ("def f(): return f()\nf()", "limit", "recursion"),
        ("while True: print('x' * 1000)", "limit", "limit"),
        ("pass\n" * 100_000, "limit", "longer"),
        ("import heapq", "unsupported", "import heapq"),
        ("import numpy", "unsupported", "import numpy"),
        ("def g():\n  yield 1", "unsupported", "yield"),
        ("class A(Exception): pass", "unsupported", "inheritance"),
        ("from collections import OrderedDict", "unsupported", "OrderedDict"),
        ("'a'.format_map({})", "unsupported", "str.format_map"),
        ("import os\nos.system('true')", "unsupported", "os.system"),
    ],
)
def test_what_does_not_run_says_why(code: str, ended: str, said: str) -> None:
    began = time.monotonic()
    found = run(code, seconds=0.5, sandbox="monty")
    assert found.ended == ended
    assert said in found.error
    assert found.value is None
    assert time.monotonic() - began < 15


def test_input_reads_what_was_given_and_then_ends() -> None:
    assert run("print(int(input()) + int(input()))", stdin="3\n4\n").output == "7\n"
    assert run("input()", stdin="").error.endswith("EOF when reading a line")  # the sandbox has no EOFError
    assert run("input()").error.endswith("EOF when reading a line")


def test_a_run_does_not_see_another_and_touches_nothing(tmp_path: Path) -> None:
    run("leak = 1")
    assert run("leak").ended == "error"
    assert run(f"open({str(tmp_path / 'x')!r}, 'w').write('x')").ended == "error"
    assert not list(tmp_path.iterdir())


def test_clock_and_draws_are_fixed_and_sleeping_costs_nothing() -> None:
    code = "import random, time, datetime\ntime.sleep(30)\n(random.random(), str(datetime.datetime.now()))"
    began = time.monotonic()
    assert run(code).value == run(code).value is not None
    assert time.monotonic() - began < 15


def test_inputs_are_bound() -> None:
    assert run("x[0] + y", inputs={"x": [1, 2], "y": 3}).value == "4"


def test_input_is_read_as_often_as_a_program_likes() -> None:
    assert run("sum(int(input()) for _ in range(3000))", stdin="1\n" * 3000).value == "3000"


def test_a_lack_that_a_program_hides_is_still_a_lack() -> None:
    """It would go on, and give another answer than Python."""
    code = "try:\n  import heapq\nexcept ImportError:\n  heapq = None\nheapq is None"
    assert run(code, sandbox="monty").error == "import heapq"


@in_a_jail
@pytest.mark.parametrize(
    ("code", "value", "output"),
    [
        ("import numpy as np\nprint(np.arange(3))\nint(np.linalg.det(np.eye(2)))", "1", "[0 1 2]\n"),
        ("import sympy as s\nx = s.symbols('x')\ns.integrate(x ** 2, x)", "x**3/3", ""),
        ("import heapq\nh = [3, 1]\nheapq.heapify(h)\nh", "[1, 3]", ""),
        ("def g():\n  yield 1\nlist(g())", "[1]", ""),
        ("class A(Exception): pass\ntry:\n  raise A(3)\nexcept A as a:\n  print(a)", None, "3\n"),
        ("import asyncio\nasync def f(): return 3\nasync def g():\n  yield 1\nasyncio.run(f())", "3", ""),
        ("import threading\nt = threading.Thread(target=print, args=('hi',))\nt.start()\nt.join()", None, "hi\n"),
        ("import sys\nprint(sys.stdin.read().upper())", None, "A\nB\n"),
        ("import os\nos.write(1, b'raw ')\nprint(input('no prompt'))", None, "raw a\n"),
        (
            "from dataclasses import dataclass\nimport pickle\n@dataclass\nclass A:\n  x: int\npickle.loads(pickle.dumps(A(3)))",
            "A(x=3)",
            "",
        ),
    ],
)
def test_a_program_that_needs_python_itself_gets_it(code: str, value: str | None, output: str) -> None:
    found = run(code, stdin="a\nb")
    assert (found.ended, found.value, found.output, found.error) == ("done", value, output, "")
    assert run(code, stdin="a\nb", sandbox="monty").ended == "unsupported"


@in_a_jail
def test_both_sandboxes_agree_on_what_both_know() -> None:
    for code in (
        "1 / 0",
        "print('x')\n[1][5]",
        "sorted([3, 1])",
        "{'b': 1}",
        "'%.3f' % (1 / 3)",
        "def f(:",
        "input() + 'b'",
        "None",
        "x = 5",
        "nothing",
    ):
        one, other = run(code, stdin="a", sandbox="monty"), run(code, stdin="a", sandbox="cpython")
        assert (one.ended, one.value, one.output, one.error.partition(":")[0]) == (
            other.ended,
            other.value,
            other.output,
            other.error.partition(":")[0],
        )


@in_a_jail
def test_in_a_jail_too_clock_and_draws_are_fixed() -> None:
    code = """
import datetime, os, random, secrets, time, uuid, numpy
time.sleep(1000)
draws = [random.random(), random.Random().random(), secrets.token_hex(4), os.urandom(4), uuid.uuid4(), hash("a"), list({"a", "b", "c"})]
draws += [float(numpy.random.rand()), float(numpy.random.default_rng().random())]
now = [time.time(), time.ctime(), time.strftime("%Y-%m-%d"), datetime.datetime.now(), datetime.datetime.now(datetime.UTC), datetime.date.today()]
print(draws, now)
"""
    one = run(code, sandbox="cpython")
    assert one == run(code, sandbox="cpython")
    assert "datetime.datetime(2025, 1, 1, 0, 0), datetime.datetime(2025, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)" in one.output
    assert "1735689600.0, 'Wed Jan  1 00:00:00 2025', '2025-01-01'" in one.output


@in_a_jail
def test_what_the_jail_has_not_is_unsupported() -> None:
    assert run("import torch", sandbox="cpython").error == "import torch"
    assert run("import nosuchmodule", sandbox="cpython").ended == "error"
    assert run("import os\nos.fork()", sandbox="cpython").ended == "unsupported"
    assert run("open('/x', 'w')", sandbox="cpython").ended == "unsupported"


def test_a_session_sees_what_was_defined_and_a_copy_goes_its_own_way() -> None:
    session = Session({"start": 2}, stdin="7\n8\n")
    assert session.python("x = start + int(input())\nprint('once')") == "once\n"
    assert session.python("x") == "9"
    assert session.run("y = x\n1 / 0").ended == "error"
    assert session.run("while True: pass").ended == "limit"
    other = session.copy()
    assert other.python("x = 0\nint(input())") == "8"
    assert (session.python("(x, y)"), other.python("x")) == ("(9, 9)", "0")


@in_a_jail
def test_a_session_moves_to_the_jail_when_it_needs_it() -> None:
    session = Session()
    session.run("import random\nn = 3")
    assert session.sandbox == "auto"
    assert session.python("import numpy as np\nx = np.arange(n)\nprint('made')") == "made\n"
    assert session.sandbox == "cpython"
    assert session.python("int(x.sum())") == "3"


def test_a_model_is_told_what_came_of_it() -> None:
    assert told(run("print('a')\n3")) == "a\n3"
    assert told(run("x = 1")) == "(nothing was printed)"
    with pytest.raises(InputError, match="ZeroDivisionError: division by zero\nprinted before:\na\n"):
        told(run("print('a')\n1 / 0"))
    with pytest.raises(InputError, match="stopped: TimeoutError"):
        told(run("while True: pass", seconds=0.2, sandbox="monty"))
    with pytest.raises(InputError, match="not supported here: import torch"):
        told(run("import torch"))


def test_a_sandbox_that_is_not_there_is_said_to_be_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thinkery.tools.python.lacking", lambda: "bwrap is not installed")
    with pytest.raises(InputError, match="bwrap is not installed"):
        run("1", sandbox="cpython")
    assert run("import heapq").ended == "unsupported"
