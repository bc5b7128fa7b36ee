"""Verifiers for data files, by name: how a gold answer and a reply are read, and when they are the same.

A reply's answer stands behind its last marker: "#", "answer:", "answer is" or inside "\\boxed{}". Replies are hostile: only their
last characters are read, and every pattern is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from ..core.errors import UnknownName
from ..core.records import Reply, Verdict

LONGEST = 20_000  # characters of a reply that are read, from its end
ENDINGS = 16  # markers looked at, from the last
TOLERANCE = Fraction(1, 10**6)  # of numbers that are not both whole, relative to the gold one

MARKER = re.compile(r"#+|\banswer(?:\*\*)?(?: is)?:?|\\boxed\{", re.IGNORECASE)

Verify = Callable[[str, Reply], Verdict]


def verifier(name: str) -> Verify:
    """(gold, reply) -> Verdict, for one of the names in VERIFIERS. Never raises on any text. UnknownName for another name."""
    if name not in VERIFIERS:
        raise UnknownName("verifier", name, VERIFIERS)
    return VERIFIERS[name]
