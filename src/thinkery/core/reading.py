"""Reading what others wrote."""

from __future__ import annotations

import json
import tomllib
from sqlite3 import DatabaseError
from typing import Any

# what our readers raise where a file of our own form holds other values than we write
UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, DatabaseError)


def loads(text: str | bytes) -> Any:
    """JSON as Python values. Raises ValueError for what is none, also where it is nested too deeply for Python's stack."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def toml(text: str) -> dict[str, Any]:
    """TOML as Python values. Raises ValueError as `loads` does."""
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
