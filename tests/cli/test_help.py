"""Help is what a newcomer reads first: each command shows an example that is a command, and says what each option does."""

from __future__ import annotations

import importlib
import inspect
import re
import shlex
from collections.abc import Callable
from typing import Any

import pytest

from thinkery.cli.main import COMMANDS, FILES, GROUPS

ABOUT = COMMANDS | {f"{group} {name}": about for group, (_, names) in GROUPS.items() for name, about in names.items()}


def function(words: str) -> Callable[..., Any]:
    """What a command runs."""
    group, _, name = words.partition(" ")
    module = importlib.import_module(f"thinkery.cli.{FILES.get(words) or FILES.get(group, 'commands')}")
    found: Any = getattr(module, f"{group}_{name}")
    return found.default_command if words == "doctor" else found  # type: ignore[no-any-return]


@pytest.mark.parametrize("words", ABOUT)
def test_a_command_shows_an_example_that_is_one(words: str) -> None:
    examples = [e for e in re.findall(r"`([^`]+)`", ABOUT[words]) if f"thinkery {words}" in e]
    assert examples, f"thinkery {words} --help has no example"
    options = {name.replace("_", "-") for name in inspect.signature(function(words)).parameters}
    for example in examples:
        given = {w[2:].partition("=")[0] for w in shlex.split(example) if w.startswith("--")}
        assert words == "doctor" or given <= options, f"{example} has options that there are not: {given - options}"


@pytest.mark.parametrize("words", ABOUT)
def test_every_option_is_told(words: str) -> None:
    it = function(words)
    told = set(re.findall(r"^ +(\w+): ", inspect.getdoc(it) or "", re.MULTILINE)) - {"Args", "Example"}
    wanted = set(inspect.signature(it).parameters)
    assert wanted <= told, f"thinkery {words} --help does not tell {', '.join(sorted(wanted - told))}"
