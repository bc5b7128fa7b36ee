"""Reports of what lies in folders: a run, several runs side by side, a comparison; and of a check. Each as HTML, Markdown or JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import BadConfig, BadData, InputError, UnknownName
from ..core.reading import UNREADABLE
from . import check_page, comparison_page, report, side_by_side
from .comparison import Comparison
from .document import FORMS, Document, dumps, form_of, html, markdown, put


def write_report(folders: Path | Sequence[Path], path: Path | None = None, form: str = "html") -> Path:
    """Writes the report of a run's or comparison's folder, or of several runs side by side, and returns its path.

    By default it is report.html (.md, .json) in the folder; of several runs, beside the first one's. Raises BadData, BadConfig,
    StorageError, UnknownName.
    """
    if form not in FORMS:
        raise UnknownName("form of a report", form, FORMS)
    those = [Path(folders)] if isinstance(folders, str | Path) else [Path(f) for f in folders]
    place = those[0] if len(those) == 1 else those[0].resolve().parent
    try:
        text = _page(those, form)
    except InputError:
        raise
    except UNREADABLE as error:
        raise BadData(
            place, f"holds what no report can be made of ({type(error).__name__} {error}); was it written by another program?"
        ) from error
    return put(place / f"report.{form}" if path is None else Path(path), text)


def write_comparison(found: Comparison, path: Path) -> Path:
    """Writes a comparison's report; the file's name says the form. Raises BadData, StorageError, UnknownName."""
    return put(path, _formed(form_of(path), lambda: comparison_page.document(found), lambda: comparison_page.plain(found)))


def write_check(found: Mapping[str, Any], path: Path, form: str | None = None) -> Path:
    """Writes the report of what `check` found; by default the file's name says the form. Raises StorageError, UnknownName."""
    return put(path, _formed(form or form_of(path), lambda: check_page.document(found), lambda: found))


def _page(those: Sequence[Path], form: str) -> str:
    """What is to be written of folders."""
    comparisons = [f for f in those if (f / comparison_page.FILE).is_file()]
    if comparisons and len(those) > 1:
        raise BadConfig(f"{comparisons[0]} is a comparison, which has a report of its own: name it alone, or name runs (its ARM/seed-N)")
    if comparisons:
        found = comparison_page.read_comparison(those[0])
        return _formed(form, lambda: comparison_page.document(found), lambda: comparison_page.plain(found))
    if len(those) == 1:
        return _formed(form, lambda: report.document(those[0]), lambda: report.told(those[0]))
    return _formed(form, lambda: side_by_side.document(those), lambda: side_by_side.together(those))


def _formed(form: str, document: Callable[[], Document], plain: Callable[[], Any]) -> str:
    """A report in one of its forms."""
    return dumps(plain()) if form == "json" else html(document()) if form == "html" else markdown(document())
