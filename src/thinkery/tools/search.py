"""Search in a corpus by words. Queries are hostile: they are read as words, never as a language, and what they may cost is bounded.

`Lexical` is SQLite's FTS5, which is always there; `Bm25` is the package bm25s; `tools.dense.Dense` goes by meaning. Each gives the same
hits for the same query, and hits of one score in the order of their ids. Any number of threads may search at once.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import tempfile
import threading
import weakref
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError, MissingExtra, StorageError
from .corpus import Corpus

LONGEST = 10_000  # characters of a query that are read
WORDS = 64  # different words of a query that are looked for
MOST = 1000  # hits that may be asked for
PATIENCE = 2_000  # ten thousands of SQLite's instructions, some millions of matches
WORD = re.compile(r"[^\W_]+")
MADE = "CREATE VIRTUAL TABLE words USING fts5(title, text, content='', tokenize='porter unicode61 remove_diacritics 2')"
ASKED = "SELECT rowid, -bm25(words) FROM words WHERE words MATCH ? ORDER BY 2 DESC, rowid LIMIT ?"


class Hit(NamedTuple):
    """A document that was found. `score`: the higher the better, comparable within one search alone."""

    id: str
    title: str
    text: str
    score: float


class Index(Protocol):
    """A corpus that can be searched."""

    corpus: Corpus

    def search(self, query: str, k: int = 10) -> list[Hit]:
        """At most k hits, the best first. Raises InputError for a k outside 1..MOST, and for a search that costs too much."""
        ...


class Lexical:
    """BM25 (k1 1.2, b 0.75) over stemmed words, by SQLite. The index is a temporary file, gone when the object is."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        folder = Path(tempfile.mkdtemp(prefix="thinkery-"))
        self._file, self._free = folder / "index", list[sqlite3.Connection]()
        self._room = threading.BoundedSemaphore(2 * (os.cpu_count() or 1))
        weakref.finalize(self, dropped, self._free, folder)
        try:
            self._free.append(written(corpus, self._file))
        except sqlite3.OperationalError as error:
            raise StorageError(
                f"no search index can be kept in {folder}: {error}; make room, or set TMPDIR to where there is some"
            ) from None

    def search(self, query: str, k: int = 10) -> list[Hit]:
        """See Index."""
        check(k)
        asked = " OR ".join(f'"{word}"' for word in words(query))
        if not asked or not self.corpus.documents:
            return []
        with self._room:
            connection = self._taken()
            steps = iter(range(PATIENCE))
            connection.set_progress_handler(lambda: next(steps, None) is None, 10_000)
            try:
                return [hit(self.corpus, place, score) for place, score in connection.execute(ASKED, (asked, k))]
            except sqlite3.OperationalError as error:
                if str(error) != "interrupted":
                    raise
                raise InputError("too many documents have these words; ask with rarer ones") from None
            finally:
                self._free.append(connection)

    def _taken(self) -> sqlite3.Connection:
        """A connection that nobody else uses."""
        try:
            return self._free.pop()
        except IndexError:
            return sqlite3.connect(f"{self._file.as_uri()}?mode=ro", uri=True, check_same_thread=False)


class Bm25:
    """BM25 as Lucene has it (k1 1.5, b 0.75) over words without English stop words, by the package bm25s."""

    def __init__(self, corpus: Corpus) -> None:
        """Raises MissingExtra."""
        try:
            import bm25s
        except ImportError:
            raise MissingExtra("bm25s", "retrieval", "the index Bm25") from None
        self.corpus, self._stop = corpus, frozenset(bm25s.stopwords.STOPWORDS_EN)
        listed = [self._words(f"{d.title} {d.text}") for d in corpus.documents]
        self._index: Any = None
        if any(listed):  # the package has no index of nothing
            self._index = bm25s.BM25(method="lucene")
            self._index.index(listed, show_progress=False)

    def search(self, query: str, k: int = 10) -> list[Hit]:
        """See Index."""
        check(k)
        known = self._index.vocab_dict if self._index is not None else {}
        asked = [word for word in words(query) if word in known]
        if not asked:
            return []
        scores = self._index.get_scores(asked)
        return [h for h in best(self.corpus, scores, k) if h.score > 0]

    def _words(self, text: str) -> list[str]:
        return [word for word in WORD.findall(text.casefold()) if word not in self._stop]


def written(corpus: Corpus, file: Path) -> sqlite3.Connection:
    """An index in a file, and a connection to it."""
    connection = sqlite3.connect(file, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    with connection:
        connection.execute(MADE)
        rows = ((i, d.title, d.text) for i, d in enumerate(corpus.documents))
        connection.executemany("INSERT INTO words(rowid, title, text) VALUES (?, ?, ?)", rows)
    return connection


def words(query: str) -> list[str]:
    """The different words of a query, as many as are looked for."""
    return list(dict.fromkeys(WORD.findall(query[:LONGEST].casefold())))[:WORDS]


def check(k: int) -> None:
    """Raises InputError for a number of hits that cannot be had."""
    if not 1 <= k <= MOST:
        raise InputError(f"{k} hits were asked for; ask for 1 to {MOST}")


def hit(corpus: Corpus, place: int, score: float) -> Hit:
    """The document at a place in the corpus, as found."""
    return Hit(*corpus.documents[place], float(score))


def best(corpus: Corpus, scores: NDArray[Any], k: int) -> list[Hit]:
    """The k documents of the highest scores, given in the corpus' order. Scores that differ by rounding alone count as equal."""
    rounded = np.round(np.asarray(scores, np.float64), 6)
    return [hit(corpus, int(i), rounded[i]) for i in np.argsort(-rounded, kind="stable")[:k]]


def dropped(connections: list[sqlite3.Connection], folder: Path) -> None:
    """Close what is open and remove the index."""
    for connection in connections:
        connection.close()
    shutil.rmtree(folder, ignore_errors=True)
