"""Stop strings matched on tokens: a finite automaton over the text of the pieces, filled in as it is used."""

from __future__ import annotations

import numpy as np
from numba import njit


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

    def learn(self, state: int, token: int) -> None:
        """Work out the state after a token."""
        self.next[state, token] = self._follow(self.states[state] + self.pieces[token])

    def _follow(self, text: str) -> int:
        if any(s in text for s in self.strings):
            return self.hit
        return next(self.index[text[i:]] for i in range(len(text) + 1) if text[i:] in self.index)


@njit(cache=True, nogil=True)
def match(which, following, complete, live, stops, state, token, pos, hit, over, begin):  # type: ignore[no-untyped-def]
    """Move each lane of the automaton `which` by its last token; `hit` and `over` where a stop string is complete.

    Begins at live[begin]; returns where it met a transition that is not worked out yet, or how many there are.
    """
    for i in range(begin, live.shape[0]):
        lane = live[i]
        if stops[lane] == which:
            after = following[state[lane], token[lane, pos[lane] - 1]]
            if after < 0:
                return i
            state[lane] = after
            if after == complete:
                hit[i] = over[i] = True
    return live.shape[0]
