"""Programs by tests. Program and tests run in interpreters of their own, and only plain values pass between them, so a program
cannot see the tests, change what "==" means, or end them early.

A gold text is Python (asserts that call the program's functions, as MBPP has; or `check(candidate)` and its call, as HumanEval has),
or JSON: {"inputs": […], "outputs": […]} for a program that reads and prints, with "fn_name" for a function, as APPS has.
"""

from __future__ import annotations

import ast
import builtins
import json
from functools import lru_cache
from typing import Any

from ...core.errors import VerifierError
from ...core.records import Verdict
from ...tools.python import SECONDS, SLACK, Result, encodable
from ...tools.workers import call
from .judge import SHOWN, Judge, fenced


def passed(code: str, tests: str, seconds: float = SECONDS) -> Verdict:
    """1 if the program passes all tests, within that many seconds for all of them.

    Raises VerifierError where the sandbox lacks what program or tests use: that is neither right nor wrong.
    """
    if not code.strip():
        return Verdict(0.0, reason="no program to be read")
    found = Result(**call("thinkery.tasks.checkers.trial:tested", encodable(code), tests, seconds, seconds=4 * seconds + SLACK))
    if found.ended == "unsupported":
        raise VerifierError(f"the sandbox lacks {found.error}, which program or tests use: {code.strip()[:SHOWN]!r}")
    right = found.ended == "done"
    return Verdict(float(right), code.strip()[:SHOWN], reason="right" if right else found.error[:SHOWN])


# ---- gold texts


def names_tested(tests: str) -> list[str]:
    """The program's names that tests use: those that they do not define, or else the one built-in's that all their asserts are about."""
    tree = ast.parse(tests)
    names = [n for n in ast.walk(tree) if isinstance(n, ast.Name)]
    bound = {n.id for n in names if not isinstance(n.ctx, ast.Load)}
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            bound |= {(a.asname or a.name).partition(".")[0] for a in node.names}
    used = {n.id for n in names if isinstance(n.ctx, ast.Load)} - bound
    return sorted(n for n in used if not hasattr(builtins, n)) or sorted(replaced(tree) & used)


def replaced(tree: ast.Module) -> set[str]:
    """The built-in that a program is to replace, as in `assert sorted(sum(1, 2)) == …`: the innermost call, one and the same in all."""
    found = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            left = node.test.left if isinstance(node.test, ast.Compare) else node.test
            calls = [n for n in ast.walk(left) if isinstance(n, ast.Call)]
            inner = [c for c in calls if not any(isinstance(n, ast.Call) for a in (*c.args, *c.keywords) for n in ast.walk(a))]
            found |= {c.func.id if isinstance(c.func, ast.Name) else "" for c in inner}
    return found if len(found) == 1 and hasattr(builtins, *found) else set()


def defines(code: str, name: str) -> bool:
    """Whether a program that Python can read gives a name of its own to something, at its top."""
    for node in ast.parse(code).body:
        named = [getattr(node, "name", None), *(t.id for t in getattr(node, "targets", ()) if isinstance(t, ast.Name))]
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            named += [a.asname or a.name for a in node.names]
        if name in named:
            return True
    return False


def read_cases(text: str) -> dict[str, Any] | None:
    """JSON tests as {"inputs", "outputs"[, "fn_name"]}; None where the text is no such thing."""
    try:
        cases = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(cases, list) and cases and all(isinstance(c, dict) and {"input", "output"} <= set(c) for c in cases):
        cases = {"inputs": [c["input"] for c in cases], "outputs": [c["output"] for c in cases]}
    if not isinstance(cases, dict) or not isinstance(cases.get("inputs"), list) or not isinstance(cases.get("outputs"), list):
        return None
    if not cases["inputs"] or len(cases["inputs"]) != len(cases["outputs"]):
        return None
    of_kind = (lambda x: isinstance(x, list)) if "fn_name" in cases else (lambda x: isinstance(x, str))
    if not all(map(of_kind, cases["inputs"])) or ("fn_name" not in cases and not all(map(of_kind, cases["outputs"]))):
        return None
    return cases


@lru_cache(maxsize=4096)
def gold_of(text: str) -> str | None:
    """The tests, if they can be read and test something."""
    if read_cases(text) is not None:
        return text
    try:
        return text if names_tested(text) and "assert" in text else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def judged(gold: str, text: str) -> Verdict:
    """See `passed`."""
    return passed(fenced(text, ("python", "py", "python3")), gold)


PROGRAM = Judge("test in Python or JSON", gold_of, judged, "End with the whole program, in a ```python block.")
