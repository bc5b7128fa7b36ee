"""Logs of Inspect (inspect.aisi.org.uk, EvalLog version 2), one JSON file or a zip of them (.eval), as rows: what was asked, what is right, what was answered."""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..core.errors import BadData, MissingExtra
from ..core.reading import loads

LETTERS = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}  # Inspect's correct, incorrect, partial, no answer


def is_log(path: Path, text: str = "") -> bool:
    """Whether a file is such a log: by its name, or by how a JSON file begins."""
    return path.suffix.lower() == ".eval" or (path.suffix.lower() == ".json" and '"eval"' in text[:4000] and '"version"' in text[:4000])


def rows(path: Path) -> list[dict[str, Any]]:
    """Each sample: id, epoch, input, target, completion, score (None: not scored), parsed, explanation, stop_reason, error. Raises BadData."""
    return [row(sample, path) for sample in _samples(path)]


def _samples(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        if path.suffix.lower() == ".eval":
            with contextlib.suppress(ImportError):
                import zipfile_zstd  # noqa: F401  # teaches zipfile what Inspect packs with
            with zipfile.ZipFile(path) as archive:
                names = sorted(n for n in archive.namelist() if n.startswith("samples/") and n.endswith(".json"))
                found: Any = [loads(archive.read(n).decode("utf-8")) for n in names]
        else:
            log = loads(path.read_text(encoding="utf-8"))
            found = log.get("samples") if isinstance(log, dict) else None
    except OSError as error:
        raise BadData(path, error.strerror or str(error)) from error
    except NotImplementedError as error:
        raise MissingExtra("zipfile-zstd", "inspect", f"reading {path.name}, which is packed by zstandard,") from error
    except (ValueError, zipfile.BadZipFile, KeyError, zlib.error, RuntimeError, EOFError) as error:
        raise BadData(path, f"not a log of Inspect: {error}") from error
    if not isinstance(found, list) or not found:
        raise BadData(path, "a log of Inspect without samples: it has not run, or was written without them")
    yield from found


def row(sample: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """One sample. Raises BadData for what is none."""
    try:
        output = sample.get("output") or {}
        choice = (output.get("choices") or [{}])[0]
        scores = sample.get("scores") or {}
        first: Mapping[str, Any] = next(iter(scores.values()), {}) if isinstance(scores, dict) else {}
        target = sample["target"]
        return {
            "id": str(sample["id"]),
            "epoch": int(sample.get("epoch", 1)),
            "input": _asked(sample["input"]),
            "target": str(target[0] if isinstance(target, list) and target else target),
            "completion": output.get("completion") or said((choice.get("message") or {}).get("content")),
            "score": _number(first.get("value")),
            "parsed": first.get("answer"),
            "explanation": first.get("explanation") or "",
            "stop_reason": choice.get("stop_reason"),
            "error": (sample.get("error") or {}).get("message", ""),
        }
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise BadData(path, f"not a sample of Inspect: {type(error).__name__} {error}") from error


def _asked(x: Any) -> str:
    """What a user said: text, or the messages that are not the system's."""
    return x if isinstance(x, str) else "\n\n".join(said(m.get("content")) for m in x if m.get("role") == "user")


def said(content: Any) -> str:
    """The text of a message, which may come in pieces."""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return "" if content is None else str(content)


def _number(value: Any) -> float | None:
    """A score as a number: Inspect's letters, booleans, numbers; None for others."""
    if isinstance(value, str):
        return LETTERS.get(value)
    return float(value) if isinstance(value, int | float) else None
