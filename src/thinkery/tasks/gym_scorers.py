"""Scorers of our own for reasoning-gym data sets whose own ones evaluate the answer as code, or pay for a constant.

Each is called with (reading, item) and says whether the reading answers the item; text that cannot be read is a wrong answer. Nothing
here evaluates text: expressions are parsed, and only arithmetic and elementary functions are walked.
"""

from __future__ import annotations

import ast
import cmath
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ..core.errors import InputError
from ..core.rng import rng
from ..tools.calculator import calculate

Item = Mapping[str, Any]

LONGEST = 1000  # characters of an expression
HIGHEST = 1000  # exponent of a polynomial's term
NEAR = Fraction(1, 1000)  # relative: a probability may be rounded to three places that count
SAME = 1e-6  # relative: two derivatives agree
POINTS, ENOUGH = 24, 4  # at which derivatives are compared, and at how many of them both must exist
UNIT = 1e-6  # a complex number's parts agree

ORNAMENT = " \t*`\"'$"
PLAIN = str.maketrans({"−": "-", "·": "*", "×": "*", "^": "**"})
TIMES = re.compile(r"(?<![A-Za-z_])(\d)(?=[A-Za-z(])")  # 2x and 2(x+1) leave out a sign
COMPLEX = re.compile(r"(?:([-+]?[0-9]{1,30}(?:\.[0-9]{1,30})?)(?![0-9.ij]))?(?:([-+]?(?:[0-9]{1,30}(?:\.[0-9]{1,30})?)?)[ij])?")
NUMBER = re.compile(r"[0-9]{1,40}(?:\.[0-9]{1,400})?(?:[eE]-?[0-9]{1,3})?|[0-9]{1,400}/[0-9]{1,400}")


def plain(text: str) -> str:
    """Lines without ornament around them, extra spaces, empty lines, and a full stop at the very end."""
    lines = (" ".join(line.strip(ORNAMENT).split()) for line in text.strip(ORNAMENT + "\n").splitlines())
    return "\n".join(filter(None, lines)).removesuffix(".")


def same_text(reading: str, item: Item) -> bool:
    """The gold text, whatever the spaces."""
    return plain(reading) == plain(item["answer"])


def same_word(reading: str, item: Item) -> bool:
    """The gold word in any case."""
    return plain(reading).casefold() == str(item["answer"]).casefold()


def queens(reading: str, item: Item) -> bool:
    """One of the boards that complete the puzzle."""
    return plain(reading) in {plain(board) for board in item["metadata"]["valid_answers"]}


def target(value: int | None) -> Callable[[str, Item], bool]:
    """All the numbers, each once, make the value (None: the item's target)."""

    def score(reading: str, item: Item) -> bool:
        text, about = reading.translate(PLAIN), item["metadata"]
        if Counter(re.findall(r"[0-9]+", text)) != Counter(map(str, about["numbers"])):
            return False
        try:
            return calculate(text) == str(about["target"] if value is None else value)
        except InputError:
            return False

    return score


def probability(reading: str, item: Item) -> bool:
    """The probability as a fraction or a decimal, right to three places that count."""
    text, exact = plain(reading).replace(" ", ""), item["metadata"]["rational"]
    gold = Fraction(exact["numerator"], exact["denominator"])
    if not NUMBER.fullmatch(text):
        return False
    try:
        return abs(Fraction(text) - gold) <= NEAR * gold
    except ZeroDivisionError:
        return False


def complex_number(reading: str, item: Item) -> bool:
    """The complex number a + bi, parts in this order."""
    found = COMPLEX.fullmatch(plain(reading).replace(" ", "").strip("()"))
    if not found or not found[0]:
        return False
    real = float(found[1] or 0)
    imaginary = 0.0 if found[2] is None else float(found[2] + "1" if found[2] in ("", "+", "-") else found[2])
    gold = item["metadata"]["result"]
    return all(abs(a - b) <= UNIT * max(1.0, abs(b)) for a, b in zip((real, imaginary), gold))


# ---- polynomials, multiplied out

Terms = dict[tuple[tuple[str, int], ...], Fraction]  # coefficient by ((variable, exponent), …)


def polynomial(reading: str, item: Item) -> bool:
    """The same polynomial as a sum of terms: a product that is not multiplied out is only the question again."""
    gold, found = terms(item["answer"]), terms(reading)
    return found is not None and found == gold


def terms(text: str) -> Terms | None:
    """The terms of a sum, like ones collected; None where the text is no such sum."""
    tree = parsed(text)
    out: Terms = {}
    pending: list[tuple[ast.expr, int]] = [] if tree is None else [(tree, 1)]
    try:
        while pending:
            node, sign = pending.pop()
            if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
                pending += [(node.left, sign), (node.right, sign if isinstance(node.op, ast.Add) else -sign)]
            else:
                number, powers = term(node)
                key = tuple(sorted(powers.items()))
                out[key] = out.get(key, Fraction(0)) + sign * number
    except (Unreadable, ZeroDivisionError, OverflowError, ValueError, RecursionError):
        return None
    return None if tree is None else {key: value for key, value in out.items() if value}


class Unreadable(Exception):
    """Not an expression of the kind asked for. Never leaves this file."""


def term(node: ast.expr) -> tuple[Fraction, Counter[str]]:
    """Coefficient and exponents of a product of numbers and powers of variables."""
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return Fraction(str(value)), Counter()
        case ast.Name(id=name) if len(name) == 1:
            return Fraction(1), Counter({name: 1})
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            number, powers = term(inner)
            return -number, powers
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            (a, p), (b, q) = term(left), term(right)
            return a * b, p + q
        case ast.BinOp(left=left, op=ast.Div(), right=ast.Constant(value=int() as value)):
            number, powers = term(left)
            return number / value, powers
        case ast.BinOp(left=ast.Name(id=name), op=ast.Pow(), right=ast.Constant(value=int() as power)) if len(name) == 1:
            if 0 <= power <= HIGHEST:
                return Fraction(1), +Counter({name: power})
    raise Unreadable


def parsed(text: str) -> ast.expr | None:
    """The syntax tree of an expression; None where the text is none, or is too long."""
    text = TIMES.sub(r"\1*", plain(text).translate(PLAIN)).replace("\n", " ")
    if len(text) > LONGEST or re.search(r"[0-9]{40}|[^ -~]", text):
        return None
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


# ---- antiderivatives, by their derivative at points


@dataclass(frozen=True)
class Dual:
    """A value and its derivative (forward differentiation, over complex numbers)."""

    value: complex
    slope: complex = 0j


FUNCTIONS: dict[str, tuple[Callable[[complex], complex], Callable[[complex], complex]]] = {  # f and f'
    "sin": (cmath.sin, cmath.cos),
    "cos": (cmath.cos, lambda x: -cmath.sin(x)),
    "tan": (cmath.tan, lambda x: 1 / cmath.cos(x) ** 2),
    "sec": (lambda x: 1 / cmath.cos(x), lambda x: cmath.sin(x) / cmath.cos(x) ** 2),
    "csc": (lambda x: 1 / cmath.sin(x), lambda x: -cmath.cos(x) / cmath.sin(x) ** 2),
    "cot": (lambda x: cmath.cos(x) / cmath.sin(x), lambda x: -1 / cmath.sin(x) ** 2),
    "exp": (cmath.exp, cmath.exp),
    "log": (cmath.log, lambda x: 1 / x),
    "sqrt": (cmath.sqrt, lambda x: 0.5 / cmath.sqrt(x)),
    "asin": (cmath.asin, lambda x: 1 / cmath.sqrt(1 - x * x)),
    "acos": (cmath.acos, lambda x: -1 / cmath.sqrt(1 - x * x)),
    "atan": (cmath.atan, lambda x: 1 / (1 + x * x)),
    "sinh": (cmath.sinh, cmath.cosh),
    "cosh": (cmath.cosh, cmath.sinh),
    "tanh": (cmath.tanh, lambda x: 1 / cmath.cosh(x) ** 2),
    "abs": (lambda x: complex(abs(x)), lambda x: math.copysign(1, x.real)),
}
ALSO = {"ln": "log", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "Abs": "abs"}
CONSTANTS = {"C": 0.0, "c": 0.0, "pi": math.pi, "E": math.e, "e": math.e}


def antiderivative(reading: str, item: Item) -> bool:
    """A function whose derivative is the integrand, at points drawn by the item. An integral that is left standing is no answer."""
    about = item["metadata"]
    tree, integrand, variable = parsed(reading), parsed(about["integrand"]), about["variable"]
    if tree is None or integrand is None:
        return False
    stream, agreed = rng(0, "antiderivative", item["question"]), 0
    for i in range(POINTS):
        x = (0.3, 1.0, 6.0)[i % 3] * (0.1 + 0.9 * stream.random()) * (-1) ** (i // 3)
        wanted = value(integrand, variable, x)
        if wanted is None or abs(wanted.value.imag) > SAME * abs(wanted.value):
            continue  # outside the integrand's domain
        found = value(tree, variable, x)
        if found is None or not abs(found.slope - wanted.value) <= SAME * max(abs(wanted.value), 1e-3):
            return False
        agreed += 1
    return agreed >= ENOUGH


def value(tree: ast.expr, variable: str, x: float) -> Dual | None:
    """Value and derivative of an expression at x; None where it has none."""
    try:
        found = walked(tree, variable, x)
    except (Unreadable, ZeroDivisionError, OverflowError, ValueError, RecursionError):
        return None
    return found if cmath.isfinite(found.value) and cmath.isfinite(found.slope) else None


def walked(node: ast.expr, variable: str, x: float) -> Dual:
    """Value and derivative of a node. Raises Unreadable for anything but arithmetic and elementary functions."""
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return Dual(complex(number))
        case ast.Name(id=name) if name == variable:
            return Dual(complex(x), 1)
        case ast.Name(id=name) if name in CONSTANTS:
            return Dual(complex(CONSTANTS[name]))
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=inner):
            u = walked(inner, variable, x)
            return Dual(-u.value, -u.slope) if isinstance(sign, ast.USub) else u
        case ast.BinOp(left=left, op=op, right=right):
            return combined(op, walked(left, variable, x), walked(right, variable, x))
        case ast.Call(func=ast.Name(id=name), args=[inner], keywords=[]) if ALSO.get(name, name) in FUNCTIONS:
            f, slope = FUNCTIONS[ALSO.get(name, name)]
            u = walked(inner, variable, x)
            return Dual(f(u.value), slope(u.value) * u.slope if u.slope else 0j)
    raise Unreadable


def combined(op: ast.operator, u: Dual, v: Dual) -> Dual:
    """u op v."""
    match op:
        case ast.Add():
            return Dual(u.value + v.value, u.slope + v.slope)
        case ast.Sub():
            return Dual(u.value - v.value, u.slope - v.slope)
        case ast.Mult():
            return Dual(u.value * v.value, u.slope * v.value + u.value * v.slope)
        case ast.Div():
            return Dual(u.value / v.value, (u.slope * v.value - u.value * v.slope) / v.value**2)
        case ast.Pow():
            whole = u.value**v.value
            slope = v.value * u.value ** (v.value - 1) * u.slope if u.slope else 0j
            return Dual(whole, slope + (whole * cmath.log(u.value) * v.slope if v.slope else 0j))
    raise Unreadable


OURS: dict[str, Callable[[str, Item], bool]] = {
    "binary_matrix": same_text,
    "coin_flip": probability,
    "complex_arithmetic": complex_number,
    "countdown": target(None),
    "game_of_life_halting": same_word,
    "intermediate_integration": antiderivative,
    "n_queens": queens,
    "polynomial_multiplication": polynomial,
    "puzzle24": target(24),
    "simple_integration": antiderivative,
    "spiral_matrix": same_text,
    "string_insertion": same_text,
}
