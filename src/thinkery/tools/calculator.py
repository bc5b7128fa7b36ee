"""A calculator for model-written arithmetic: exact, bounded, never `eval`."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from fractions import Fraction

from ..core.errors import InputError

OPERATIONS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
LONGEST = 200  # characters of an expression
LARGEST = 10**18
CHARACTERS = re.compile(r"[0-9.+\-*/() ]+")


def calculate(expression: str) -> str:
    """The value of + - * / ( ) over decimal numbers, as an integer or a decimal of at most six places.

    Raises InputError with what is wrong; the text is what a model may be shown.
    """
    if len(expression) > LONGEST:
        raise InputError(f"expression longer than {LONGEST} characters")
    if not CHARACTERS.fullmatch(expression):
        raise InputError("not an arithmetic expression")
    try:
        value = _value(ast.parse(expression.strip(), mode="eval").body)
    except ZeroDivisionError:
        raise InputError("division by zero") from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("not an arithmetic expression") from None
    return number_text(value)


def number_text(value: Fraction) -> str:
    """An integer as such, anything else rounded to six places without trailing zeros."""
    if value.denominator == 1:
        return str(value.numerator)
    return f"{float(value):.6f}".rstrip("0").rstrip(".")


def _value(node: ast.expr) -> Fraction:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        value = Fraction(str(node.value))
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATIONS:
        value = OPERATIONS[type(node.op)](_value(node.left), _value(node.right))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = -_value(node.operand)
    else:
        raise InputError("not an arithmetic expression")
    if abs(value) > LARGEST or value.denominator > LARGEST:
        raise InputError(f"a number beyond {LARGEST}")
    return value
