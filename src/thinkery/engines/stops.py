"""Stop strings matched on tokens: a finite automaton over the text of the pieces, filled in as it is used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Stops:
    """The automaton of one set of stop strings.

    A state is the longest tail of the text so far that begins a stop string; a stop may begin or end inside a piece. All is in
    bytes, a character a byte: a token may be half a character.
    """

    def __init__(self, strings: tuple[str, ...], pieces: list[str]) -> None:
        self.strings, self.pieces = tuple(s.encode().decode("latin-1") for s in strings), pieces
        self.states = sorted({s[:i] for s in self.strings for i in range(len(s))} | {""}, key=len)
        self.index = {s: i for i, s in enumerate(self.states)}
        self.hit = len(self.states)
        self.next = np.full((len(self.states), len(pieces)), -1, np.int16)  # -1: not worked out yet

    def advance(self, states: NDArray[np.int16], tokens: NDArray[np.int32]) -> NDArray[np.int16]:
        """The states after one more token each; `hit` where a stop string is complete."""
        found = self.next[states, tokens]
        for i in np.flatnonzero(found < 0).tolist():
            state, token = int(states[i]), int(tokens[i])
            found[i] = self.next[state, token] = self._follow(self.states[state] + self.pieces[token])
        return found  # type: ignore[no-any-return]

    def _follow(self, text: str) -> int:
        if any(s in text for s in self.strings):
            return self.hit
        return next(self.index[text[i:]] for i in range(len(text) + 1) if text[i:] in self.index)
