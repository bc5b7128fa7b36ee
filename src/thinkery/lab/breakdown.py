"""One number hides where a model fails: scores and tokens by difficulty, and by the parts of verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.records import Rollout

LEVELS = 6  # of difficulty, at most


def by_part(rollouts: Sequence[Rollout]) -> dict[str, tuple[float, int]]:
    """For each part that verdicts have: its mean over those that have it, and how many these are."""
    values: dict[str, list[float]] = {}
    for r in rollouts:
        for name, value in r.verdict.parts.items() if r.verdict is not None else ():
            values.setdefault(name, []).append(value)
    return {name: (sum(found) / len(found), len(found)) for name, found in sorted(values.items())}


def by_difficulty(rollouts: Sequence[Rollout]) -> list[dict[str, Any]]:
    """Rows {difficulty: [from, to], n, accuracy, tokens}, the easiest first: a row for each difficulty there is, or, of more than LEVELS, that many
    of about as many rollouts each. Nothing where all are alike. Rollouts without a verdict do not count.
    """
    judged = sorted((r.problem.difficulty, r.verdict.score, r.tokens) for r in rollouts if r.verdict is not None)
    levels = sorted({difficulty for difficulty, _, _ in judged})
    if len(levels) < 2:
        return []
    if len(levels) > LEVELS:
        levels = sorted({judged[len(judged) * k // LEVELS][0] for k in range(LEVELS)})
    out = []
    for low, high in zip(levels, [*levels[1:], float("inf")]):
        rows = [row for row in judged if low <= row[0] < high]
        mean = lambda column, rows=rows: sum(row[column] for row in rows) / len(rows)
        out.append({"difficulty": [rows[0][0], rows[-1][0]], "n": len(rows), "accuracy": mean(1), "tokens": mean(2)})
    return out
