"""Builds the documentation as a site: `python docs/site/build.py` leaves it in build/site. Nothing is loaded from the network, then or later.

The pages are README, docs/, the notebooks as they were executed, and two made here: the commands, from their own help, and the Python
front door, from its docstrings. A link or an address that leads nowhere, or a page that would load something from elsewhere, is an error.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import thinkery
from thinkery.cli.main import COMMANDS, GROUPS, main
from thinkery.lab import api, catalogue

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build"
GUIDES = ("model", "task", "method", "compare", "claims", "dashboard", "remote")
NOTEBOOKS = ("own_task", "own_reward", "compare")
REFERENCE = (
    "commands",
    "python",
    "store",
    "events",
    "data",
    "verifiers",
    "environments",
    "reasoning_gym",
    "memory",
    "serving",
    "doctor",
    "dependencies",
    "interactions",
)
RESULTS = (api.Evaluation, api.RunResult, api.Comparison, api.Audit, api.Memory, api.Plan)
FENCE = re.compile(r"^(```+).*?^\1$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?)\[([^\[\]]*)\]\(([^)\s]+)\)")
COLUMN = re.compile(r"^\S+( +\S+)?  +\S", re.MULTILINE)  # a name, then what it is
LOADED = re.compile(r"(?:@import\s+|url\()[\"']?((?:https?:)?//[^\"')]+)")  # by a style sheet, from elsewhere


# ---- pages that are made


def commands_page() -> str:
    """Every command's own help."""
    names = [[name] for name in COMMANDS] + [[group, name] for group, (_, found) in GROUPS.items() for name in found]
    parts = ["# Commands\n\nWhat `thinkery COMMAND --help` says of each."]
    for words in names:
        parts.append(f"## {' '.join(words)}\n\n```text\n{helped(words)}\n```")
    return "\n\n".join(parts) + "\n"


def helped(words: list[str]) -> str:
    """A command's help, as a terminal of 84 columns shows it, which is what a page has room for."""
    told, before = io.StringIO(), dict(os.environ)
    os.environ |= {"COLUMNS": "84", "NO_COLOR": "1", "TERM": "dumb"}
    try:
        with contextlib.redirect_stdout(told):
            main([*words, "--help"])
    finally:
        os.environ.clear()
        os.environ.update(before)
    return "\n".join(line.rstrip() for line in told.getvalue().strip().splitlines())


def python_page() -> str:
    """The names of the package, and what its functions give, from the docstrings."""
    parts = ["# Python\n\nWhat `import thinkery` gives. Names are loaded when they are first used."]
    for name in thinkery.__all__:
        if not name.startswith("_") and not inspect.isclass(getattr(thinkery, name)):
            parts.append(described(name, getattr(thinkery, name)))
    for kind in RESULTS:
        parts.append(described(kind.__name__, kind))
        for name, member in vars(kind).items():
            if not name.startswith("_") and (isinstance(member, property) or inspect.isfunction(member)) and member.__doc__:
                call = "" if isinstance(member, property) else "()"
                parts.append(f"**`.{name}{call}`**\n\n{prose(inspect.getdoc(member) or '')}")
    return "\n\n".join(parts) + "\n"


def described(name: str, thing: object) -> str:
    """A function's or class's call, and its docstring."""
    if dataclasses.is_dataclass(thing):
        given = ", ".join(f.name for f in dataclasses.fields(thing))
    else:
        given = ", ".join(str(p).split(":")[0].split(" =")[0] for p in inspect.signature(thing).parameters.values())  # type: ignore[arg-type]
    return f"## {name}\n\n```text\n{name}({given})\n```\n\n{prose(inspect.getdoc(thing) or '')}"


def prose(docstring: str) -> str:
    """A docstring as Markdown: what is laid out in columns stays so, the rest is text."""
    whole = docstring.replace("&", "&amp;").replace("<", "&lt;")
    return "\n\n".join(
        f"```text\n{plain}\n```" if COLUMN.search(plain) else part for plain, part in zip(docstring.split("\n\n"), whole.split("\n\n"))
    )


def notebook_page(path: Path) -> str:
    """A notebook as Markdown: its text, its code, and what came out."""
    parts = []
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        parts += [shown(output) for output in cell.get("outputs", ())]
    return "\n\n".join(parts) + "\n"


def shown(output: dict[str, object]) -> str:
    """One output. What is HTML comes from the package, which escapes all that a model wrote; a blank line would end it."""
    data = output.get("data", {})
    assert isinstance(data, dict)
    if "text/html" in data:
        return re.sub(r"\n\s*\n", "\n", "".join(data["text/html"])).replace("\n", " ")
    text = "".join(data.get("text/plain", output.get("text", "")))  # type: ignore[arg-type]
    return f"```text\n{text.rstrip()}\n```"


# ---- the tree of pages


def stage(docs: Path) -> None:
    """Put all pages in a folder, with README as the first."""
    shutil.rmtree(docs, ignore_errors=True)
    skipped = shutil.ignore_patterns("site", "notebooks", "__pycache__")
    shutil.copytree(ROOT / "docs", docs, ignore=skipped)
    (docs / "index.md").write_text(linked((ROOT / "README.md").read_text("utf-8"), ROOT), "utf-8")
    (docs / "benchmarks.md").write_text(linked((ROOT / "benchmarks" / "README.md").read_text("utf-8"), ROOT / "benchmarks"), "utf-8")
    (docs / "methods" / "README.md").rename(docs / "methods" / "index.md")
    (docs / "commands.md").write_text(commands_page(), "utf-8")
    (docs / "python.md").write_text(python_page(), "utf-8")
    (docs / "notebooks").mkdir()
    for name in NOTEBOOKS:
        (docs / "notebooks" / f"{name}.md").write_text(notebook_page(ROOT / "docs" / "notebooks" / f"{name}.ipynb"), "utf-8")
    for path in docs.rglob("*.md"):
        text = path.read_text("utf-8")
        path.write_text(re.sub(r"\]\(((?:\.\./)*(?:methods/)?)README\.md", r"](\1index.md", text).replace(".ipynb)", ".md)"), "utf-8")
    shutil.copy(HERE / "extra.css", docs / "extra.css")


def linked(text: str, home: Path) -> str:
    """A page from outside docs/ with its links as seen from the root of the site; what is no page there stays as text."""

    def moved(found: re.Match[str]) -> str:
        mark, words, target = found.groups()
        if "://" in target or target.startswith("#"):
            return found[0]
        path, _, anchor = target.partition("#")
        place = (home / path).resolve()
        if place == ROOT / "benchmarks" / "README.md":
            return f"[{words}](benchmarks.md)"
        if not place.is_relative_to(ROOT / "docs"):
            return words
        return f"{mark}[{words}]({place.relative_to(ROOT / 'docs').as_posix()}{'#' * bool(anchor)}{anchor})"

    parts, at = [], 0
    for fence in FENCE.finditer(text):
        parts += [LINK.sub(moved, text[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*parts, LINK.sub(moved, text[at:])])


def navigation() -> list[object]:
    """What stands where, for a newcomer."""
    families: dict[str, list[object]] = {}
    for name, entry in catalogue.methods().items():
        if (ROOT / "docs" / "methods" / f"{name}.md").is_file():  # written by `thinkery evidence pages`
            families.setdefault(entry.card.family, []).append(f"methods/{name}.md")
    methods = ["methods/index.md", *({family.capitalize(): pages} for family, pages in sorted(families.items()))]
    return [
        {"Start": "index.md"},
        {"Notebooks": [f"notebooks/{name}.md" for name in NOTEBOOKS]},
        {"Guides": [f"guides/{name}.md" for name in GUIDES]},
        {"Methods": methods},
        {"Built-in tasks": "tasks.md"},
        {"Reference": [f"{name}.md" for name in REFERENCE]},
        {"Benchmarks": "benchmarks.md"},
        {"Design": "design.md"},
        {"Log": "log.md"},
    ]


def inline(value: object) -> str:
    """A value as TOML on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(k)} = {inline(v)}" for k, v in value.items()) + " }"
    return "[" + ", ".join(map(inline, value)) + "]" if isinstance(value, list) else json.dumps(value)


# ---- checking what was built


class Page(HTMLParser):
    """What a page links to, what it loads, and the places in it that can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See HTMLParser."""
        found = dict(attrs)
        self.places |= {found[k] or "" for k in ("id", "name") if k in found}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"] or "")
        if found.get("src"):
            self.loads.append(found["src"] or "")
        if tag == "link" and found.get("href") and found.get("rel") not in ("canonical", "next", "prev"):
            self.loads.append(found["href"] or "")


def faults(site: Path) -> Iterator[str]:
    """Links that lead nowhere, and what would be loaded from elsewhere, in words."""
    pages = {path.resolve(): Page(path.read_text("utf-8")) for path in site.rglob("*.html")}
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        yield from (f"{name} loads {load}" for load in page.loads if urlsplit(load).netloc)
        for link in (*page.links, *(x for x in page.loads if not urlsplit(x).netloc)):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or name.name == "404.html":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                yield f"{name} links to {link}, which is not there"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].places:
                yield f"{name} links to {link}: there is no such place in that page"
    for path in site.rglob("*.css"):
        yield from (f"{path.name} loads {found}" for found in LOADED.findall(path.read_text("utf-8")))


def build(folder: Path = BUILD) -> Path:
    """Build the site under a folder and return where it is. Raises SystemExit with what is wrong."""
    stage(folder / "docs")
    text = (HERE / "zensical.toml").read_text("utf-8").replace("nav = []", f"nav = {inline(navigation())}")
    (folder / "zensical.toml").write_text(text, "utf-8")
    shutil.rmtree(folder / "site", ignore_errors=True)
    made = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--clean", "--strict"], cwd=folder, capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise SystemExit(made.stdout + made.stderr)
    if wrong := list(faults(folder / "site")):
        raise SystemExit("\n".join(wrong))
    return folder / "site"


if __name__ == "__main__":
    print(build())
