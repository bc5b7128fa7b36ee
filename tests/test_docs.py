"""What the documents name must exist: paths, commands with their options, links, Python names. They go stale with every rename."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
import runpy
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import thinkery
from thinkery.cli.main import main
from thinkery.lab import api, catalogue
from thinkery.lab.scaffold import FAMILIES

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs").glob("*/*.md"))]
README = DOCUMENTS[0].read_text("utf-8")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return [body for kind, body in BLOCK.findall(text) if kind == language]


def listed() -> Iterator[str]:
    """Every path of the README's tree, from the root of the repository."""
    above: list[tuple[int, str]] = []
    for line in blocks(README, "")[-1].splitlines():
        depth, name = len(line) - len(line.lstrip()), line.split()[0]
        above = [(d, path) for d, path in above if d < depth]
        path = "".join(p for _, p in above[-1:]) + name
        above.append((depth, path))
        yield path


def commands() -> list[str]:
    """Every `thinkery ...` of the documents, in blocks, and of README and guides in text."""
    texts = {d: d.read_text("utf-8") for d in DOCUMENTS}
    lines = [
        line.split("  #")[0] for text in texts.values() for block in blocks(text, "sh") for line in block.replace("\\\n", " ").splitlines()
    ]
    spoken = [text for d, text in texts.items() if d.parent in (ROOT, ROOT / "docs" / "guides")]
    inline = [found for text in spoken for found in re.findall(r"`(thinkery [^`]+)`", BLOCK.sub("", text))]
    return [re.split(r" [|>] ", line)[0].strip() for line in [*lines, *inline] if line.startswith("thinkery ")]


def test_every_path_of_the_tree_exists_and_says_what_it_is() -> None:
    paths = list(listed())
    assert len(paths) > 15
    for path in paths:
        assert (ROOT / path).exists(), path
        assert (ROOT / path).is_dir() == path.endswith("/"), path
    assert all(len(line.split()) > 1 for line in blocks(README, "")[-1].splitlines())


def test_the_tree_leaves_no_layer_out() -> None:
    layers = {p.name for p in (ROOT / "src" / "thinkery").iterdir() if (p / "__init__.py").is_file()}
    assert layers == {path.split("/")[2] for path in listed() if path.startswith("src/thinkery/") and path.count("/") > 2}
    design = blocks((ROOT / "docs" / "design.md").read_text("utf-8"), "")[0]
    assert layers == {line.split()[0] for line in design.splitlines()}


def test_every_command_parses_with_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []

    def instead(function: Callable[..., int]) -> Callable[..., int]:
        """Takes what the command takes, and does nothing."""

        @functools.wraps(function)
        def stub(*given: Any, **named: Any) -> int:
            called.append(function.__name__)
            return 0

        return stub

    for module in (m for m in (ROOT / "src" / "thinkery" / "cli").glob("*.py") if m.stem not in ("__init__", "main", "live")):
        loaded = importlib.import_module(f"thinkery.cli.{module.stem}")
        for name, function in list(vars(loaded).items()):
            if inspect.isfunction(function) and function.__module__ == loaded.__name__ and not name.startswith("_"):
                monkeypatch.setattr(loaded, name, instead(function))
    found = commands()
    assert len(found) > 60
    for line in found:
        called.clear()
        assert main(shlex.split(line)[1:]) == 0, line
        assert len(called) == 1, line
    assert main(["train", "grpo", "--tsk", "addition"]) == 2


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    named = {line.split()[1] for block in blocks(README, "sh") for line in block.splitlines() if line.startswith("make ")}
    assert {"demo", "test"} <= named <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_links_resolve(document: Path) -> None:
    text = document.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", BLOCK.sub("", text)):
        assert target.startswith("https://") or (document.parent / target).exists(), target


def test_python_blocks_use_what_there_is() -> None:
    text = "\n".join(d.read_text("utf-8") for d in DOCUMENTS)
    trees = [ast.parse(block) for block in blocks(text, "python")]
    assert trees
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    front = [c for c in calls if isinstance(c.func, ast.Attribute) and ast.unparse(c.func.value) == "thinkery"]
    assert {c.func.attr for c in front if isinstance(c.func, ast.Attribute)} == {"audit", "load_model", "evaluate", "train"}
    for call in front:
        assert isinstance(call.func, ast.Attribute)
        signature = inspect.signature(getattr(thinkery, call.func.attr))
        signature.bind(*call.args, **{str(k.arg): None for k in call.keywords})
    names = {f.name for kind in (api.RunResult, api.Evaluation) for f in kind.__dataclass_fields__.values()}
    assert {"before", "after", "folder", "model", "accuracy"} <= names


def test_python_blocks_that_are_marked_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    marked = [
        body
        for d in DOCUMENTS
        for body in re.findall(r"^<!-- runs -->\n```python\n(.*?)^```$", d.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    ]
    assert marked
    for body in marked:
        exec(compile(body, "block", "exec"), {})


def test_methods_families_and_the_question_are_named() -> None:
    for name in catalogue.methods():
        assert f"`{name}`" in README
    design = (ROOT / "docs" / "design.md").read_text("utf-8")
    for family in FAMILIES:
        assert re.search(rf"\b{family}\b", design)
    assert README.splitlines()[2].endswith("?**")
    assert "What has not been run yet" in README


def test_the_changelog_knows_this_version() -> None:
    assert f"## {thinkery.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_memory_table_is_up_to_date() -> None:
    found = runpy.run_path(str(ROOT / "benchmarks" / "memory_table.py"))
    text = found["PAGE"].read_text("utf-8")
    assert found["page"](text) == text, "run: python benchmarks/memory_table.py --write"
