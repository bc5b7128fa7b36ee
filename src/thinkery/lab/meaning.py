"""Finding texts by what they mean, without a model: words cut to their stems, words of one sense counted as one, and latent semantic analysis.

Deerwester et al. 1990, "Indexing by latent semantic analysis": the documents' weighted words are projected onto the directions in which
they vary most, so that texts are near each other that share no word but share company.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

STEM = 5  # letters that tell a word from another
RANK = 40  # directions kept
SHARE = 0.5  # of the score that the directions give; the words themselves give the rest
COMMON = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "but",
        "by",
        "can",
        "do",
        "for",
        "from",
        "has",
        "have",
        "how",
        "in",
        "is",
        "it",
        "its",
        "may",
        "more",
        "no",
        "not",
        "of",
        "on",
        "or",
        "so",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "they",
        "this",
        "to",
        "what",
        "when",
        "where",
        "which",
        "who",
        "will",
        "with",
        "without",
        "you",
        "your",
    ]
)
SENSES = (  # words that the field uses for one thing
    "brief short shorter shorten concise length tokens efficient overthinking compression cheap budget quota",
    "image images visual vision picture pictures photo pixels see multimodal perception",
    "video videos frames film movie clip",
    "medicine medical doctor diagnosis diagnose patient brain clinical disease",
    "finance stock market price prediction investment",
    "robot robots robotics embodied manipulation arm",
    "confidence calibration uncertainty sure probability Brier doubt",
    "retrieval search documents lookup passages ranking reranking sources",
    "hop multi-hop questions facts",
    "graph graphs nodes edges network",
    "code program programs programming software Python patch repair",
    "execute execution run interpreter sandbox tool tools calculator function calls",
    "database databases SQL query queries",
    "memory remember context long forget recurrence window",
    "student teacher distillation imitate imitation demonstrations fine-tuning",
    "weak weaker small little tiny",
    "difficulty hard easy curriculum staged levels",
    "agent agents environment acting act web page interface cursor",
    "game games chess play player board",
    "speech voice sound audio emotion dubbing",
    "logic logical puzzles satisfiability deduction proof rules truth",
    "reward rewards paid pay scoring",
    "judge judging critic verifier evaluation grading",
    "multilingual languages scripts translation transliteration",
    "noise noisy wrong mistakes errors corrupted mislabelled",
    "mixture mixing proportions domains sources data",
    "several many multiple objectives trade-off weights",
    "hidden latent state internal implicit",
    "repeat repetition loop degenerate",
    "moral social norms ethics behaviour",
    "chemistry molecules chemist reactions",
    "table tables numbers figures",
    "self-play co-evolution without labels own",
    "ask questions dialogue conversation",
)


def words(text: str) -> list[str]:
    """The stems of a text's words, and the senses that they have."""
    found = [w[:STEM] for w in re.findall(r"[a-z]{2,}", text.lower()) if w not in COMMON]
    return found + [sense for w in found for sense in MEANT.get(w, ())]


MEANT: dict[str, list[str]] = {}
for number, sense in enumerate(SENSES):
    for word in re.findall(r"[a-z]{2,}", sense.lower()):
        if f"#{number}" not in MEANT.setdefault(word[:STEM], []):
            MEANT[word[:STEM]].append(f"#{number}")


class Index:
    """Texts that can be asked for by meaning."""

    def __init__(self, texts: Sequence[str]) -> None:
        counts = [Counter(words(t)) for t in texts]
        spread = Counter(w for found in counts for w in found)
        self.column = {w: i for i, w in enumerate(sorted(spread))}
        self.weight = {w: math.log(len(texts) / n) + 0.1 for w, n in spread.items()}
        self.rows = np.array([self._row(found) for found in counts])
        _, _, directions = np.linalg.svd(self.rows, full_matrices=False)
        self.directions = directions[:RANK].T
        self.near = unit(self.rows @ self.directions)

    def _row(self, found: Counter[str]) -> NDArray[np.float64]:
        row = np.zeros(len(self.column))
        for w, n in found.items():
            if w in self.column:
                row[self.column[w]] = math.sqrt(n) * self.weight[w]
        return unit(row)

    def scores(self, text: str) -> NDArray[np.float64]:
        """How near each text is to this one, at most 1; all 0 where no word is known."""
        row = self._row(Counter(words(text)))
        return (1 - SHARE) * self.rows @ row + SHARE * self.near @ unit(row @ self.directions)


def unit(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of length 1; rows of zeros stay."""
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    return x / np.where(length > 0, length, 1.0)
