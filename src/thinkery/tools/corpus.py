"""Documents to search: a folder of text files, or a JSONL file with a document a line."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from ..core.errors import BadData
from .text import encodable

KINDS = {".txt", ".md"}  # files of a folder that are read


class Document(NamedTuple):
    """A text under a title, by an id that no other document has."""

    id: str
    title: str
    text: str


class Row(msgspec.Struct):
    """A document as a line of JSON."""

    id: str | int
    text: str
    title: str = ""


class Corpus:
    """Documents in the order of their ids.

    path   the file or folder they were read from, None where they come from elsewhere
    """

    def __init__(self, documents: Iterable[Document], path: Path | None = None) -> None:
        """Raises BadData for two documents of one id."""
        self.path = path
        self.documents = tuple(sorted((Document(*map(encodable, d)) for d in documents), key=lambda d: d.id))
        self.places = {d.id: i for i, d in enumerate(self.documents)}
        if len(self.places) < len(self.documents):
            twice = next(a.id for a, b in zip(self.documents, self.documents[1:]) if a.id == b.id)
            raise BadData(path or "the corpus", f"two documents have the id {twice!r}; give each its own")

    def __len__(self) -> int:
        return len(self.documents)

    def digest(self) -> str:
        """Sixteen hexadecimal digits that stand for all that the documents say."""
        whole = hashlib.blake2b(digest_size=8)
        for part in (part for document in self.documents for part in document):
            raw = part.encode()
            whole.update(len(raw).to_bytes(8, "little") + raw)
        return whole.hexdigest()


def read_corpus(path: str | Path) -> Corpus:
    """The documents of a folder (its .txt and .md files, at any depth, named by their paths) or of a JSONL file (id, title, text).

    Raises BadData, which names the file and the line.
    """
    place = Path(path)
    if place.is_dir():
        return Corpus(filed(place), place)
    if not place.is_file():
        raise BadData(place, "no such file or folder; give a folder of .txt and .md files or a JSONL file with id, title and text")
    return Corpus(listed(place), place)


def filed(folder: Path) -> Iterator[Document]:
    """A document a file: its id is its path below the folder, its title its name."""
    for path in sorted(p for p in folder.rglob("*") if p.suffix in KINDS and p.is_file()):
        try:
            yield Document(path.relative_to(folder).as_posix(), path.stem, path.read_bytes().decode())
        except UnicodeDecodeError as error:
            raise BadData(path, f"not UTF-8 at byte {error.start}; convert it") from None
        except OSError as error:
            raise BadData(path, error.strerror or str(error)) from None


def listed(path: Path) -> Iterator[Document]:
    """A document a line."""
    lines: dict[str, int] = {}
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            if not raw.strip():
                continue
            try:
                row = msgspec.json.decode(raw, type=Row)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise BadData(path, f'{error}; a line is {{"id": …, "title": …, "text": …}} in UTF-8', number) from None
            name = str(row.id)
            if lines.setdefault(name, number) != number:
                raise BadData(path, f"the id {name!r} is line {lines[name]}'s already", number)
            yield Document(name, row.title, row.text)
