"""Settings of a solver, written as text: `width=4,score=grade`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ..core.errors import BadConfig, UnknownName

READ: dict[str, Callable[[str], Any]] = {
    "int": int,
    "float": float,
    "bool": lambda text: {"true": True, "false": False}[text],
    "str": str,
}


def settings_of(name: str, solver: Callable[..., Any], text: str) -> dict[str, Any]:
    """The settings, of the kinds that the solver's parameters say. Raises UnknownName for one it lacks, BadConfig for what cannot be read."""
    kinds = {p.name: str(p.annotation).removesuffix(" | None") for p in list(inspect.signature(solver).parameters.values())[3:]}
    known = [key for key, kind in kinds.items() if kind in READ]
    found: dict[str, Any] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals or key in found:
            raise BadConfig(
                f"{part!r} is no setting of the solver {name!r}: write NAME:key=value,key=value, as in beam:width=4, each key once"
            )
        if key not in known:
            raise UnknownName("setting", key, known, f"(of the solver {name!r})")
        try:
            found[key] = READ[kinds[key]](value)
        except (ValueError, KeyError):
            raise BadConfig(f"the setting {key!r} of the solver {name!r} is {value!r}, which is no {kinds[key]}") from None
    return found
