"""Every error that Thinkery raises on purpose.

ThinkeryError
├── InputError (ValueError)      the user's input; exit status 2
│   ├── UnknownName              no such method, task, model, solver, setting
│   ├── BadData                  a data file: names the file, the line and the reason
│   ├── BadConfig                an unknown key or a value of the wrong kind
│   ├── BadModel                 a model folder that is incomplete or does not fit
│   ├── PromptTooLong            a prompt longer than the model's context
│   ├── MissingExtra             an optional dependency is not installed
│   ├── Diagnosis                the doctor found that nothing can be learnt
│   └── StorageError             no space, no permission, a folder that vanished
└── RunError (RuntimeError)      something failed while running; exit status 1
    ├── SolverError              a way of thinking raised
    ├── VerifierError            a checker failed by itself: never a score of 0
    ├── RewardError              a reward raised or returned something that is not a number
    ├── EngineError              the engine cannot do what was asked (no memory, no such signal)
    └── BudgetSpent              a server has billed as many tokens as it may

A message says what was wrong, the value, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

LONGEST = 2000  # characters of a message


class ThinkeryError(Exception):
    """Base of all errors raised on purpose."""

    status = 1

    def __str__(self) -> str:
        said = super().__str__()  # which may quote what a file holds
        return said if len(said) <= LONGEST else f"{said[: LONGEST // 2]} … {said[-LONGEST // 2 :]}"

    def __reduce__(self) -> tuple[Any, ...]:
        """The message is made in `__init__`, so an error is not made anew from its arguments when it comes from another process."""
        return _again, (type(self), self.args, vars(self))


def _again(kind: type[ThinkeryError], args: tuple[Any, ...], state: dict[str, Any]) -> ThinkeryError:
    error = kind.__new__(kind)
    error.args = args
    vars(error).update(state)
    return error


class InputError(ThinkeryError, ValueError):
    """The input is at fault; the message says how to mend it."""

    status = 2


class UnknownName(InputError):
    """A name that is not in a listing."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        names = sorted(known)
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
        guess = f" Did you mean {' or '.join(close)}?" if close else ""
        listed = f" Known: {', '.join(names[:20])}{', …' if len(names) > 20 else ''}." if names else ""
        super().__init__(f"unknown {kind} {name!r}.{guess}{listed}{' ' + hint if hint else ''}")


class BadData(InputError):
    """A data file that cannot be read as asked."""

    def __init__(self, path: object, reason: str, line: int | None = None) -> None:
        self.path, self.line, self.reason = str(path), line, reason
        where = f"{path}, line {line}" if line is not None else f"{path}"
        super().__init__(f"{where}: {reason}")


class BadConfig(InputError):
    """An unknown configuration key or a value of the wrong kind."""


class BadModel(InputError):
    """A model folder that is incomplete, or weights that do not fit."""


class PromptTooLong(InputError):
    """A prompt that leaves no room for a reply in the model's context."""


class MissingExtra(InputError):
    """An optional dependency is missing."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package {package!r}; install it with: pip install 'thinkery[{extra}]'")


class Diagnosis(InputError):
    """The doctor found that nothing can be learnt; the message says why and what to do."""


class StorageError(InputError):
    """The disk is full, read-only, or the folder is gone."""


class RunError(ThinkeryError, RuntimeError):
    """Something failed while running."""


class SolverError(RunError):
    """A solver raised; the message names the problem and the sample."""


class VerifierError(RunError):
    """A verifier failed by itself. This is never a score of 0."""


class RewardError(RunError):
    """A reward raised, or returned something that is not a finite number."""


class EngineError(RunError):
    """The engine cannot do what was asked."""


class BudgetSpent(RunError):
    """A server has billed as many tokens as it may."""
