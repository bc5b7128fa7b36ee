"""What tools say, as text that a model can be shown."""

from __future__ import annotations

from typing import Any

import msgspec


def encodable(text: str) -> str:
    """The text without lone surrogates, which no file can hold."""
    return text.encode("utf-8", "replace").decode()


def shown(value: Any) -> str:
    """A tool's answer as text: a string as it is, anything else as JSON, or as Python writes it where JSON cannot."""
    if isinstance(value, str):
        return encodable(value)
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, RecursionError):
        return encodable(str(value))


def cut(text: str, longest: int) -> str:
    """At most so many characters, and a note of how many are left out."""
    text = encodable(text)
    return text if len(text) <= longest else f"{text[:longest]} [{len(text) - longest} more characters left out]"
