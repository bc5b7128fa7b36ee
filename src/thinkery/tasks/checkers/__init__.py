"""Verifiers that need more than reading: mathematics, quantities, programs, queries, assignments, plans, judges."""

from __future__ import annotations

from ..verifiers import Check
from .math import MATH
from .program import PROGRAM
from .sql import SQL
from .units import QUANTITY

CHECKERS: dict[str, Check] = {"math": MATH, "units": QUANTITY, "program": PROGRAM, "sql": SQL}
