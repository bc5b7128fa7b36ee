"""What is wrong with a run that another trainer made, by its rollouts alone: causes of runs that learn nothing, the most certain first.

Each check looks for one cause and says what it saw, so that it can be checked by eye. A file tells only some things: what it does not
hold is not looked at, and `looked` says what was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..dumps import load
from ..finding import Finding
from . import pay, replies, updates
from .seen import Seen


@dataclass(frozen=True)
class Diagnosis:
    """kind: whose rollouts; how many samples, groups and steps; findings, the worst first; looked: which columns there were."""

    kind: str
    samples: int
    groups: int
    steps: int
    findings: tuple[Finding, ...]
    looked: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        return not any(f.level in ("warning", "fatal") for f in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "healthy": self.healthy}


LEVELS = ("fatal", "warning", "note", "fine")


def diagnose(paths: Sequence[str | Path]) -> Diagnosis:
    """What the rollouts in files or folders of JSONL or Parquet show. Raises InputError, BadData, MissingExtra."""
    kind, samples = load([Path(p) for p in paths])
    seen = Seen(samples)
    found = [f for check in (*replies.CHECKS, *pay.CHECKS, *updates.CHECKS) if (f := check(seen)) is not None]
    found.sort(key=lambda f: LEVELS.index(f.level))
    has = lambda name: any(
        getattr(s, name) not in (None, "") and not (isinstance(getattr(s, name), dict) and not getattr(s, name)) for s in samples
    )
    looked = tuple(n for n in ("prompt", "text", "reward", "parts", "gold", "advantage", "truncated", "tokens", "version") if has(n))
    looked += tuple(n for n in ("sampler", "learner", "mask") if any(getattr(s, n) is not None for s in samples))
    steps = len({s.step for s in samples if s.step is not None})
    return Diagnosis(kind, len(samples), len({(s.step, s.group) for s in samples}), steps, tuple(found), looked)
