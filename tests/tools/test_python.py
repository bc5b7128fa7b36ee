"""A program must be unable to reach the machine or to run on for ever, and what the sandbox lacks must not look like a wrong program."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from thinkery.tools.python import run


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
    found = run(code, seconds=0.5)
    assert found.ended == ended
    assert said in found.error
    assert found.value is None
    assert time.monotonic() - began < 5


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
    assert time.monotonic() - began < 2


def test_inputs_are_bound() -> None:
    assert run("x[0] + y", inputs={"x": [1, 2], "y": 3}).value == "4"
