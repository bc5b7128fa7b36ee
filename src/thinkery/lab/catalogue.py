"""The methods that can be found: one file each, known by its card without being imported.

A method is a Python file whose top level says `CARD = Card(...)` with literal values. Files come from this package
(`methods/<family>/<id>.py`), from other packages (entry points of the group "thinkery.methods", each naming a module or a
package), and from folders or files of one's own (the environment variable THINKERY_METHODS, or a path given as a name).
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import re
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, fields
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import msgspec

from thinkery.core.errors import BadConfig, BadData, UnknownName
from thinkery.core.records import Card
from thinkery.core.rng import name_hash

PACKAGE = Path(__file__).resolve().parents[1] / "methods"
GROUP = "thinkery.methods"
FIELDS = tuple(f.name for f in fields(Card))
VARIABLE = "THINKERY_METHODS"
ARXIV = re.compile(r"(?:arxiv[: ]*)?(\d{4}\.\d{4,5})(?:v\d+)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Entry:
    """A method as found: its card, its file, its module's name ("" for a file of one's own) and its docstring."""

    card: Card
    path: Path
    module: str
    doc: str

    @property
    def summary(self) -> str:
        """The first line of the docstring, else the title."""
        return self.doc.split("\n", 1)[0] or self.card.title


def _card(path: Path, call: ast.Call) -> Card:
    """The card that a call `Card(id=..., ...)` writes down, its fields checked."""
    values: dict[str, Any] = {}
    for key in call.keywords:
        if key.arg not in FIELDS:
            raise BadData(path, f"a card has no field {key.arg or '**'!r}; it has {', '.join(FIELDS)}", key.value.lineno)
        try:
            values[key.arg] = ast.literal_eval(key.value)
        except (ValueError, TypeError):
            reason = f"{key.arg} must be a literal, for cards are read without running the file"
            raise BadData(path, reason, key.value.lineno) from None
    try:
        return msgspec.convert(values, Card)
    except msgspec.ValidationError as error:
        raise BadData(path, f"the card does not hold: {error}", call.lineno) from None


def read_card(path: Path) -> tuple[Card, str] | None:
    """The card and docstring of a method's file, or None where it has no CARD. Raises BadData with file and line."""
    try:
        source = path.read_bytes()
        if b"CARD" not in source:
            return None
        tree = ast.parse(source, filename=str(path))
    except SyntaxError as error:
        raise BadData(path, f"not valid Python: {error.msg}", error.lineno) from None
    except (OSError, ValueError) as error:
        raise BadData(path, f"cannot be read: {error}") from None
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and _names(node) == ["CARD"]:
            call = node.value
            if not isinstance(call, ast.Call) or ast.unparse(call.func).rpartition(".")[2] != "Card" or call.args:
                raise BadData(path, "CARD must be written as Card(id=..., family=..., title=..., changes=(...))", node.lineno)
            return _card(path, call), ast.get_docstring(tree) or ""
    return None


def claims(path: Path) -> bool:
    """Whether a method's file makes a claim (`CLAIM = ...` at its top level); nothing of it is run."""
    source = path.read_bytes()
    if b"CLAIM" not in source:
        return False
    return any(isinstance(n, ast.Assign | ast.AnnAssign) and _names(n) == ["CLAIM"] for n in ast.parse(source).body)


def _names(node: ast.Assign | ast.AnnAssign) -> list[str]:
    """The plain names that a statement assigns to."""
    return [t.id for t in (node.targets if isinstance(node, ast.Assign) else [node.target]) if isinstance(t, ast.Name)]


def _files(where: Path) -> list[Path]:
    """Public Python files at a path (a file, or a folder and what is below it), in order."""
    where = where.resolve()
    if where.is_file():
        return [where]
    return sorted(p for p in where.rglob("*.py") if not any(part.startswith(("_", ".")) for part in p.relative_to(where).parts))


def _own() -> Iterator[Entry]:
    """Methods of this package: `methods/<family>/<id>.py`, where the card must say the same family and id."""
    for path in _files(PACKAGE):
        family, name = path.parent.name, path.stem
        found = read_card(path)
        if found is None:
            raise BadData(path, "no CARD: every public file under methods/ is a method; start a helper's name with _")
        card, doc = found
        if (card.family, card.id) != (family, name):
            raise BadData(path, f"the card says {card.family}/{card.id}, the file {family}/{name}; make them agree")
        yield Entry(card, path, f"thinkery.methods.{family}.{name}", doc)


def _origin(module: str) -> Path:
    """A module's file or a package's folder, found without importing it or its parents."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None:
        raise BadConfig(f"an entry point of {GROUP!r} names {module!r}, which is not installed; reinstall or remove that package")
    path = Path(spec.origin)
    path = path.parent if path.name == "__init__.py" else path
    path = path.joinpath(*rest)
    return path if path.exists() else path.with_suffix(".py")


def _others() -> Iterator[Entry]:
    """Methods of other installed packages, by entry points."""
    for point in entry_points(group=GROUP):
        origin = _origin(point.module).resolve()
        for path in _files(origin):
            found = read_card(path)
            if found is not None:
                below = path.with_suffix("").relative_to(origin).parts if origin.is_dir() else ()
                yield Entry(found[0], path, ".".join((point.module, *below)), found[1])


def _mine() -> Iterator[Entry]:
    """Methods in the folders and files that THINKERY_METHODS lists."""
    for place in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        where = Path(place).expanduser()
        if not where.exists():
            raise BadConfig(f"{VARIABLE} (or --methods) names {place!r}, which does not exist")
        for path in _files(where):
            found = read_card(path)
            if found is not None:
                yield Entry(found[0], path, "", found[1])


def methods() -> dict[str, Entry]:
    """Every method that can be found, by id, in alphabetical order. Raises BadData for a broken card or a name used twice."""
    found: dict[str, Entry] = {}
    for source in (_own(), _others(), _mine()):
        for entry in source:
            other = found.setdefault(entry.card.id, entry)
            if other.path != entry.path:
                raise BadData(entry.path, f"the id {entry.card.id!r} is taken by {other.path}; rename one of them")
    return dict(sorted(found.items()))


def entry(name: str) -> Entry:
    """The method of that id, or in that file where the name ends in .py. Raises UnknownName or BadData."""
    if name.endswith(".py"):
        path = Path(name).expanduser().resolve()
        if not path.is_file():
            raise BadData(name, "no such file")
        found = read_card(path)
        if found is None:
            raise BadData(name, "no CARD = Card(...) at its top level; 'thinkery new method' writes one to start from")
        return Entry(found[0], path, "", found[1])
    known = methods()
    if name not in known:
        raise UnknownName("method", name, known, "'thinkery list methods' describes them; a path that ends in .py works too.")
    return known[name]


def load(name: str) -> types.ModuleType:
    """The module of a method, imported: the only place where a method's code runs. Raises UnknownName or BadData."""
    found = entry(name)
    try:
        return importlib.import_module(found.module) if found.module else _by_path(found.path)
    except Exception as error:
        lines = [f.tb_lineno for f in _frames(error) if f.tb_frame.f_code.co_filename == str(found.path)]
        raise BadData(found.path, f"importing it raised {type(error).__name__}: {error}", lines[-1] if lines else None) from error


def _frames(error: BaseException) -> Iterator[types.TracebackType]:
    trace = error.__traceback__
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _by_path(path: Path) -> types.ModuleType:
    """A file imported once under a name of its own, so that two files of one name do not meet."""
    name = f"thinkery_method_{path.stem}_{name_hash(str(path)):016x}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before running it: dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def find(query: str) -> list[Entry]:
    """Methods that a query names: an id, a number in the catalogue, an arXiv id, or words of the title; best first, maybe none."""
    known = methods()
    wanted = query.strip()
    if wanted.lower() in known:
        return [known[wanted.lower()]]
    if wanted.isdigit():
        return [e for e in known.values() if e.card.number == int(wanted)]
    arxiv = ARXIV.search(wanted)
    if arxiv:
        return [e for e in known.values() if arxiv[1] in e.card.paper]
    words = wanted.lower().replace("-", " ").replace("_", " ").split()
    text = {e.card.id: f"{e.card.id} {e.card.title}".lower().replace("-", " ").replace("_", " ") for e in known.values()}
    return [e for e in known.values() if words and all(word in text[e.card.id] for word in words)]
