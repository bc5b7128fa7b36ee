"""A small part of Python: programs of growing size, and an interpreter that says what every line did.

Numbers, lists of numbers, assignments, if, for over a range, functions. Whatever else a text asks for is a Fault; time and sizes are
bounded, so the text may come from anywhere.
"""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from ..core.rng import Stream

LARGEST = 10**9  # number
LONGEST = 50  # list
STEPS = 500  # statements and calls of one run
TEXT = re.compile(r"[a-z0-9 \n()\[\]=+*/%<>!,:.-]{1,600}")

OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Lt: operator.lt,
    ast.Gt: operator.gt,
    ast.LtE: operator.le,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
BUILTINS: dict[str, Callable[..., Any]] = {"len": len, "sum": sum, "max": max, "min": min, "abs": abs, "range": range}

Names = dict[str, Any]


class Fault(Exception):
    """What a program did that it may not do."""


class _Returned(Exception):
    """The value of a return statement on its way to the call."""


class Machine:
    """Runs programs. `output`: what was printed. `steps`: each change of a variable, `b=7`, in order."""

    def __init__(self) -> None:
        self.output: list[str] = []
        self.steps: list[str] = []
        self.names: Names = {}
        self.left = STEPS

    def run(self, program: str) -> None:
        """Run a program from its first line to its last. Raises Fault."""
        try:
            self._block(parsed(program).body, self.names)
        except (_Returned, RecursionError):
            raise Fault("a return outside functions, or functions too deep") from None

    def call(self, function: str, *values: int) -> Any:
        """What a function of the program returns. Raises Fault."""
        try:
            return self._call(function, list(values), self.names)
        except RecursionError:
            raise Fault("functions call each other too deep") from None

    def _spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Fault("runs too long")

    def _block(self, body: list[ast.stmt], names: Names) -> None:
        for statement in body:
            self._spend()
            self._statement(statement, names)

    def _statement(self, statement: ast.stmt, names: Names) -> None:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self._set(name, self._value(value, names), names)
            case ast.AugAssign(target=ast.Name(id=name), op=op, value=value):
                self._set(name, self._operate(op, self._name(name, names), self._value(value, names)), names)
            case ast.If(test=test, body=body, orelse=orelse):
                self._block(body if self._value(test, names) else orelse, names)
            case ast.For(target=ast.Name(id=name), iter=values, body=body, orelse=[]):
                for item in self._items(self._value(values, names)):
                    names[name] = item
                    self._block(body, names)
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="append"), args=[value], keywords=[])):
                held = self._name(name, names)
                if not isinstance(held, list):
                    raise Fault(f"{name} is no list")
                self._set(name, held, names, self._value(value, names))
            case ast.Expr(value=ast.Call(func=ast.Name(id="print"), args=[value], keywords=[])):
                self.output.append(repr(self._value(value, names)))
            case ast.FunctionDef(name=name, decorator_list=[]):
                names[name] = statement
            case ast.Return(value=ast.expr() as value):
                raise _Returned(self._value(value, names))
            case _:
                raise Fault(f"{type(statement).__name__.lower()} is not known here")

    def _set(self, name: str, value: Any, names: Names, *more: Any) -> None:
        if more:
            value.extend(more)
        names[name] = bounded(value)
        self.steps.append(f"{name}={value!r}".replace(" ", ""))

    def _name(self, name: str, names: Names) -> Any:
        value = names.get(name, self.names.get(name))
        if value is None or isinstance(value, ast.FunctionDef):
            raise Fault(f"{name} has no value")
        return value

    def _items(self, values: Any) -> Iterator[int]:
        if not isinstance(values, (list, range)):
            raise Fault("only ranges and lists can be gone through")
        for value in values:
            self._spend()
            yield value

    def _value(self, node: ast.expr, names: Names) -> Any:
        self._spend()
        match node:
            case ast.Constant(value=int() as value) if type(value) is int:
                return bounded(value)
            case ast.Name(id=name):
                return self._name(name, names)
            case ast.List(elts=elements):
                return bounded([self._value(e, names) for e in elements])
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self._operate(ast.Sub(), 0, self._value(operand, names))
            case ast.BinOp(left=left, op=op, right=right):
                return self._operate(op, self._value(left, names), self._value(right, names))
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return self._operate(op, self._value(left, names), self._value(right, names))
            case ast.Subscript(value=held, slice=index):
                return self._operate(None, self._value(held, names), self._value(index, names))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                return self._call(name, [self._value(a, names) for a in args], names)
        raise Fault(f"{type(node).__name__.lower()} is not known here")

    def _operate(self, op: ast.AST | None, left: Any, right: Any) -> Any:
        """Left op right; of no operation: the element of a list."""
        try:
            if op is None:
                return operator.getitem(left, right)
            if isinstance(left, range) or isinstance(right, range):
                raise Fault("a range can only be gone through")
            if isinstance(op, ast.Mult) and (isinstance(left, list) or isinstance(right, list)):
                raise Fault("a list cannot be multiplied")
            return bounded(OPERATORS[type(op)](left, right))
        except (TypeError, ValueError, IndexError, ZeroDivisionError, KeyError) as error:
            raise Fault(f"{type(error).__name__}: {error}".lower()) from None

    def _call(self, name: str, values: list[Any], names: Names) -> Any:
        function = self.names.get(name)
        if not isinstance(function, ast.FunctionDef):
            if name not in BUILTINS:
                raise Fault(f"there is no function {name}")
            if any(isinstance(v, range) and len(v) > STEPS for v in values):
                raise Fault("a range is too long")
            try:
                return BUILTINS[name](*values)
            except (TypeError, ValueError, OverflowError) as error:
                raise Fault(f"{type(error).__name__}: {error}".lower()) from None
        parameters = [a.arg for a in function.args.args]
        if len(parameters) != len(values):
            raise Fault(f"{name} takes {len(parameters)} values, not {len(values)}")
        try:
            self._block(function.body, dict(zip(parameters, values)))
        except _Returned as returned:
            return returned.args[0]
        raise Fault(f"{name} returns nothing")


def parsed(program: str) -> ast.Module:
    """The program's tree. Raises Fault where it is no Python, or has characters that no program here has."""
    if not TEXT.fullmatch(program):
        raise Fault("this is no program of this language")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise Fault("this is no Python") from None


def bounded(value: Any) -> Any:
    """The value itself. Raises Fault where it has become too large."""
    if isinstance(value, list):
        if len(value) > LONGEST:
            raise Fault("a list became too long")
        if not all(isinstance(v, int) for v in value):
            raise Fault("a list may hold numbers only")
    elif not isinstance(value, int):
        raise Fault("a range can only be gone through")
    elif abs(value) > LARGEST:
        raise Fault("a number became too large")
    return value


def statements(count: int, names: list[str], fresh: list[str], stream: Stream) -> list[str]:
    """So many lines that work on the names of numbers; assignments may also take a fresh name, which then is one of them."""
    lines: list[str] = []
    while (left := count - len(lines)) > 0:
        kind = stream.below(6 if left > 3 else 5 if left > 1 else 3)
        if kind < 2 and fresh:
            value = term(names, stream) if names else str(stream.below(10))
            names.append(fresh.pop(0))
            lines.append(f"{names[-1]}={value}")
        elif kind < 3 or not names:
            lines.append(change(names, stream) if names else "")
        elif kind == 3:
            lines += [f"if {test(names, stream)}:", " " + change(names, stream)]
        elif kind == 4:
            lines += [f"for i in range({stream.between(2, 3)}):", " " + change(names, stream, "i")]
        else:
            lines += [f"if {test(names, stream)}:", " " + change(names, stream), "else:", " " + change(names, stream)]
        lines = [line for line in lines if line]
    return lines


def term(names: list[str], stream: Stream) -> str:
    """A sum, difference, product or remainder of a name and a name or number."""
    op = "+-*%"[stream.below(4)]
    other = stream.choice(names) if op in "+-" and stream.below(2) else str(stream.between(2, 5))
    return stream.choice(names) + op + other


def change(names: list[str], stream: Stream, counter: str = "") -> str:
    """A line that changes a variable; `counter` may be what it changes it by."""
    name, op = stream.choice(names), "+-*"[stream.below(3)]
    by = counter if counter and op != "*" and stream.below(2) else str(stream.between(2, 5))
    return f"{name}{op}={by}" if stream.below(2) else f"{name}={name}{op}{by}"


def test(names: list[str], stream: Stream) -> str:
    """A comparison."""
    return f"{stream.choice(names)}{'<>'[stream.below(2)]}{stream.below(10)}"
