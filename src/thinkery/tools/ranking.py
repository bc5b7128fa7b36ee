"""How good a ranking of documents is, by the judgements of people: as trec_eval computes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log2


def recall(ranked: Sequence[str], grades: Mapping[str, float], k: int) -> float:
    """The share of the relevant documents that are among the first k. `grades`: of those judged; relevant is what is above 0.

    Raises ValueError where nothing is relevant: such a question says nothing about a ranking, and is left out of means.
    """
    relevant = {name for name, grade in grades.items() if grade > 0}
    if not relevant:
        raise ValueError("no document is relevant; leave this query out")
    return len(relevant.intersection(ranked[:k])) / len(relevant)


def ndcg(ranked: Sequence[str], grades: Mapping[str, float], k: int) -> float:
    """Normalised discounted cumulative gain of the first k: grades over log2(1 + rank), by what the best order gives
    (Järvelin & Kekäläinen 2002). Raises ValueError where nothing is relevant."""
    best = gain(sorted(grades.values(), reverse=True)[:k])
    if not best:
        raise ValueError("no document is relevant; leave this query out")
    return gain([grades.get(name, 0.0) for name in dict.fromkeys(ranked[:k])]) / best


def reciprocal_rank(ranked: Sequence[str], grades: Mapping[str, float]) -> float:
    """1 over the rank of the first relevant document, 0 without one. Its mean over queries is the MRR."""
    return next((1 / rank for rank, name in enumerate(ranked, 1) if grades.get(name, 0.0) > 0), 0.0)


def gain(grades: Sequence[float]) -> float:
    """The discounted cumulative gain; what is graded below 0 counts as 0."""
    return sum(max(0.0, grade) / log2(1 + rank) for rank, grade in enumerate(grades, 1))
