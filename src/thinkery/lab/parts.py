"""What a result hangs on, as hashes: values by content, and the code of a method with the parts that it names.

Code is compared definition by definition, without comments and docstrings, and only what is named is followed: a change elsewhere
in the same file is no change.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from ..core.errors import BadData

NUMERICS = 1  # raised by hand when sampling, gradients or the loop give other numbers than before
SOURCE = Path(__file__).resolve().parents[1]
NAMED = re.compile(r'"([\w.]+):(\w+)')
FOLLOWED = ("methods", "learning", "solvers", "tasks")


def digest(value: Any) -> str:
    """Sixteen hexadecimal digits that stand for plain JSON values."""
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=8).hexdigest()


def described(value: Any, spare: bool = False) -> Any:
    """A value as plain JSON values that say its content: functions by name and what they hold, objects by class and attributes.

    `spare` leaves out fields at their defaults, so that a new slot with a default changes nothing.
    """
    say = lambda x: described(x, spare)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, partial):
        return ["partial", say(value.func), say(value.args), say(value.keywords)]
    if isinstance(value, type):
        return f"{value.__module__}:{value.__qualname__}"
    if is_dataclass(value):
        kept = {f.name: say(getattr(value, f.name)) for f in fields(value)}
        return [say(type(value)), {f.name: kept[f.name] for f in fields(value) if not (spare and kept[f.name] == _default(f))}]
    if isinstance(value, Mapping):
        return [[say(k), say(v)] for k, v in value.items()]
    if isinstance(value, (list, tuple)):
        return [say(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(say, value), key=str)
    if hasattr(value, "__code__"):
        held = [c.cell_contents for c in value.__closure__ or ()]
        return [f"{value.__module__}:{value.__qualname__}", say(held), say(value.__defaults__), say(value.__kwdefaults__)]
    if hasattr(value, "pattern"):
        return value.pattern
    return [say(type(value)), {k: say(v) for k, v in sorted(vars(value).items())}]


def _default(f: Field[Any]) -> Any:
    """A field's default, described; what nothing equals where it has none."""
    if f.default_factory is not MISSING:
        return described(f.default_factory(), True)
    return object() if f.default is MISSING else described(f.default, True)


# ---- code


class _Module:
    """A source file: its top-level statements by the names they bind, and what its imports bring in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.statements: dict[str, list[ast.stmt]] = {}
        self.imported: dict[str, tuple[Path, str | None]] = {}
        try:
            tree = ast.parse(path.read_bytes(), filename=str(path))
        except (OSError, SyntaxError) as error:
            raise BadData(path, f"cannot be read: {error}") from error
        for node in tree.body:
            if isinstance(node, ast.ImportFrom):
                self._import(node)
            else:
                for name in _bound(node):
                    self.statements.setdefault(name, []).append(node)

    def _import(self, node: ast.ImportFrom) -> None:
        """Note where names come from, if from a part that is followed."""
        if node.level:
            base = (
                self.path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
                if node.module
                else self.path.parents[node.level - 1]
            )
        elif (node.module or "").split(".")[0] == "thinkery":
            base = SOURCE.joinpath(*(node.module or "").split(".")[1:])
        else:
            return
        for name in node.names:
            inner = _file(base / name.name)
            found = (inner, None) if inner is not None else (_file(base), name.name)
            if found[0] is not None and _followed(found[0]):
                self.imported[name.asname or name.name] = (found[0], found[1])


def _bound(node: ast.stmt) -> list[str]:
    """The names that a top-level statement binds; "" for one that binds none."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, (ast.AnnAssign, ast.AugAssign)) else []
    return [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)] or [""]


def _file(base: Path) -> Path | None:
    """The source file of a module or package."""
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


def _followed(path: Path) -> bool:
    return path.is_relative_to(SOURCE) and path.relative_to(SOURCE).parts[0] in FOLLOWED


@cache
def _module(path: Path, stamp: int) -> _Module:
    return _Module(path)


def _bare(node: ast.stmt) -> str:
    """A statement without comments, positions and docstrings."""
    copy = ast.parse(ast.unparse(node))
    for inner in ast.walk(copy):
        body = getattr(inner, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr) and isinstance(getattr(body[0].value, "value", None), str):
            body[:1] = [] if len(body) > 1 else [ast.Pass()]
    return ast.dump(copy)


def code(*methods: Path) -> str:
    """The hash of methods' files, whole, and of every definition that they name in the package, in turn. Raises BadData."""
    files = [p.resolve() for p in methods]
    return _closure([(p, name) for p in files for name in _read(p).statements])


def own(method: Path) -> str:
    """The hash of a method's file alone."""
    return digest(sorted(_bare(n) for nodes in _read(method.resolve()).statements.values() for n in nodes))


def code_in(*values: Any) -> str:
    """The hash of the functions and classes that `described` values name, and of what these name in turn."""
    found: list[tuple[Path, str]] = []
    for module, name in sorted(set(NAMED.findall(json.dumps(values)))):
        file = getattr(sys.modules.get(module), "__file__", None)
        if file is not None and _followed(Path(file)):
            found.append((Path(file), name))
    return _closure(found)


def _read(path: Path) -> _Module:
    return _module(path, path.stat().st_mtime_ns)


def _closure(todo: list[tuple[Path, str]]) -> str:
    """The hash of definitions and of all that they name."""
    met: dict[tuple[Path, str], list[str]] = {}
    while todo:
        path, name = todo.pop()
        if (path, name) in met:
            continue
        module = _read(path)
        if name not in module.statements:
            met[path, name] = []
            todo += _target(module, name)
            continue
        nodes = module.statements[name]
        met[path, name] = [_bare(n) for n in nodes]
        for node in nodes:
            todo += _named(module, node)
    where = lambda path: path.relative_to(SOURCE).as_posix() if path.is_relative_to(SOURCE) else path.name
    return digest(sorted([where(path), name, text] for (path, name), text in met.items() if text))


def _target(module: _Module, name: str) -> list[tuple[Path, str]]:
    """Where an imported name is defined."""
    found = module.imported.get(name)
    return [(found[0], found[1])] if found is not None and found[1] is not None else []


def _named(module: _Module, node: ast.stmt) -> list[tuple[Path, str]]:
    """What a statement names: definitions of its own file, imported ones, and attributes of imported modules."""
    found: list[tuple[Path, str]] = []
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name):
            target = module.imported.get(inner.value.id)
            if target is not None and target[1] is None:
                found.append((target[0], inner.attr))
        if isinstance(inner, ast.Name):
            found += [(module.path, inner.id)] if inner.id in module.statements else _target(module, inner.id)
    return found
