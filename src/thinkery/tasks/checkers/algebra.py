"""Comparing formulas by math-verify (Apache-2.0), within a worker: it parses by sympy, which may hang on what a model wrote."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

import math_verify

KINDS = (math_verify.LatexExtractionConfig(), math_verify.ExprExtractionConfig())
logging.getLogger("math_verify").setLevel(logging.CRITICAL)  # it warns that its own time limits, which need the main thread, are off


def equal(gold: str, got: str) -> bool:
    """Whether math-verify takes `got` for `gold`."""
    expected = parsed(gold)
    return bool(expected) and bool(math_verify.verify(expected, parsed(got), float_rounding=6, timeout_seconds=None))


@lru_cache(maxsize=4096)
def parsed(text: str) -> Any:
    """What math-verify reads in a formula: at most one value."""
    return math_verify.parse(f"${text}$", extraction_config=KINDS, parsing_timeout=None)[:1]
