"""A message says what was wrong, the value and what to do; these are read by people in a hurry."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from thinkery.core.errors import BadData, InputError, MissingExtra, RunError, ThinkeryError, UnknownName


def test_unknown_names_suggest_what_was_meant() -> None:
    assert (
        str(UnknownName("method", "grop", ["grpo", "rloo", "dapo"])) == "unknown method 'grop'. Did you mean grpo? Known: dapo, grpo, rloo."
    )
    assert str(UnknownName("model", "x", [], "Give a folder.")) == "unknown model 'x'. Give a folder."
    many = str(UnknownName("task", "zzz", [f"t{i:02}" for i in range(30)]))
    assert "t19, …." in many
    assert "t20" not in many
    assert "Did you mean" not in many


def test_data_errors_name_the_place() -> None:
    error = BadData("tasks.jsonl", "no answer", 7)
    assert str(error) == "tasks.jsonl, line 7: no answer"
    assert (error.path, error.line, error.reason) == ("tasks.jsonl", 7, "no answer")
    assert str(BadData("tasks.jsonl", "empty")) == "tasks.jsonl: empty"


def test_a_missing_extra_says_how_to_install_it() -> None:
    message = str(MissingExtra("transformers", "hf", "loading this model"))
    assert message == "loading this model needs the package 'transformers'; install it with: pip install 'thinkery[hf]'"


def test_errors_are_caught_as_their_standard_kinds() -> None:
    with pytest.raises(ValueError, match="no answer"):
        raise BadData("a", "no answer")
    assert issubclass(RunError, RuntimeError)
    assert not issubclass(RunError, InputError)
    assert {InputError.status, RunError.status, ThinkeryError.status} == {2, 1}


def test_importing_costs_nothing() -> None:
    """The command line must answer at once; torch takes seconds to load."""
    code = "import sys, thinkery, thinkery.core.rng, thinkery.core.errors; print([m for m in ('torch', 'numba', 'transformers') if m in sys.modules])"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout.strip() == "[]"
