"""Readers of what models and users write, driven by coverage: run by hand, for as long as one likes.

    pip install atheris
    PYTHONPATH=src:. python tests/fuzz_atheris.py -max_total_time=300 -timeout=10 -max_len=2000

It ends with the input that raised something that is not ours, or took longer than `-timeout` seconds.
"""

from __future__ import annotations

import contextlib
import sys
import warnings

import atheris

with atheris.instrument_imports(include=["thinkery"]):
    from tests.test_fuzz import GOLDS
    from thinkery.core.errors import ThinkeryError
    from thinkery.core.reading import loads, toml
    from thinkery.core.records import Reply
    from thinkery.models.chat import split_thought
    from thinkery.solvers import solver
    from thinkery.solvers.react import bound, called
    from thinkery.tasks import load_task
    from thinkery.tasks.checkers import math, units
    from thinkery.tasks.verifiers import VERIFIERS
    from thinkery.tools.calculator import calculate
    from thinkery.tools.tool import object_of


def settings(text: str) -> None:
    for name in ("beam:", "best_of_n:", "majority:"):
        with contextlib.suppress(ThinkeryError):
            solver(name + text)
    with contextlib.suppress(ThinkeryError):
        load_task("addition:" + text).problem(0)


def one(data: bytes) -> None:
    """Give one text to every reader."""
    text = data.decode("utf-8", "surrogateescape")
    for name, gold in GOLDS.items():
        VERIFIERS[name](gold, Reply(text))
        VERIFIERS[name].gold(text)
    list(math.answers(text)), list(units.answers(text)), split_thought(text)
    found = called(text)
    for read in (lambda: loads(text), lambda: toml(text)):
        with contextlib.suppress(ValueError):
            read()
    for ask in (lambda: calculate(text), lambda: object_of(bound(None, found[1] if found else text))):
        with contextlib.suppress(ThinkeryError):
            ask()
    settings(text)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
