"""Context: what a model has before it. Turn: what was written after it.

A Context is an immutable, append-only value, interned under its root: equal appends give the same object, so contexts of
many samples merge by look-up. Text is encoded once, when appended; tokens that a model wrote are never decoded and encoded
again. Where a chat template rewrites the past, the result is a new Context.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from .rng import MASK

BASE = 0x9E3779B97F4A7C15 | 5  # an odd multiplier: position enters the hash
Ids = tuple[int, ...]


class Codec(Protocol):
    """What a Context needs of a tokenizer."""

    start: Ids  # tokens that every context begins with (usually the begin-of-text token, or nothing)
    end: int  # the token that ends a reply
    ends: frozenset[int]  # and all that would

    def encode(self, text: str) -> Ids: ...
    def decode(self, ids: Ids) -> str: ...


class Context:
    """A token sequence as a chain of segments.

    `hash` and `n` (tokens) depend on the tokens alone, not on how they were cut into appends; the hash addresses draws
    and is not collision-proof, so identity is always by content.
    """

    __slots__ = ("_kids", "_place", "codec", "hash", "n", "parent", "segment")

    def __init__(self, codec: Codec, parent: Context | None, segment: Ids) -> None:
        h = parent.hash if parent is not None else 0
        for token in segment:
            h = (h * BASE + token + 1) & MASK
        self.codec, self.parent, self.segment = codec, parent, segment
        self.hash: int = h
        self.n: int = (parent.n if parent is not None else 0) + len(segment)
        self._kids: dict[str | Ids, Context] = {}
        self._place: tuple[object, int] | None = None  # (tree, node): where an engine keeps it

    @classmethod
    def root(cls, codec: Codec) -> Context:
        """A new empty context with its own table of interned appends; drop the root and the table goes with it."""
        return cls(codec, None, codec.start)

    @classmethod
    def of(cls, text: str, codec: Codec) -> Context:
        """A context of its own that holds `text`."""
        return cls.root(codec) + text

    def __add__(self, x: str | Turn | Ids) -> Context:
        """This context with text, a turn's tokens, or tokens appended."""
        key: str | Ids = x.ids if isinstance(x, Turn) else x
        found = self._kids.get(key)
        if found is not None:
            return found
        segment = self.codec.encode(key) if isinstance(key, str) else key
        if not segment:
            return self
        found = self._kids.get(segment)
        if found is None:
            found = self._kids[segment] = Context(self.codec, self, segment)
        if isinstance(key, str):
            self._kids[key] = found
        elif isinstance(x, Turn) and x.context is self:
            found._place = x._place  # the engine that wrote it knows where it stands
        return found

    def release(self) -> None:
        """Forget all that was appended below: who holds one of those keeps it and what is before it, the rest goes at once.

        Otherwise contexts, and the tree that they stand in, would wait for the collector, as parents and children know each other.
        """
        below = [self]
        while below:
            context = below.pop()
            if context._kids:
                below += context._kids.values()
                context._kids.clear()

    def chain(self) -> Iterator[Context]:
        """This context and its ancestors, the root first."""
        up: list[Context] = []
        c: Context | None = self
        while c is not None:
            up.append(c)
            c = c.parent
        return reversed(up)

    @property
    def ids(self) -> Ids:
        """All tokens."""
        return tuple(t for c in self.chain() for t in c.segment)

    @property
    def text(self) -> str:
        """All tokens decoded (for people; never encoded again)."""
        return self.codec.decode(self.ids)

    def __hash__(self) -> int:
        return self.hash >> 3

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Context) and self.hash == other.hash and self.ids == other.ids)

    def __repr__(self) -> str:
        return f"Context({self.text!r}, n={self.n})"


class Turn(msgspec.Struct, eq=False):
    """What one ask or say wrote: the unit that is recorded, billed and trained.

    context      what it was written after
    role         who the solver cast it as; `writer` is (model name, weights version)
    ids          its n tokens, the end token included when the model wrote one
    logp         [n] float32, nats, at `temperature`, as sampled; 0 where forced
    entropy      [n] float32, nats, of the distribution that each token was drawn from, before top_p and top_k cut it (at temperature 1
                 where the likeliest was taken); None where forced, or the engine does not say
    sampled      [n] bool; False where `say` forced the token
    weight       [n] float32 or None: how much each forced token counts in supervised losses
    ended        "stop" (end token or stop string), "length" (token limit) or "said"
    """

    context: Context
    role: str
    writer: tuple[str, int]
    temperature: float
    ended: str
    _ids: NDArray[np.int32] | Ids
    _logp: NDArray[np.float32] | None = None
    weight: NDArray[np.float32] | None = None
    _place: tuple[object, int] | None = None  # (tree, last node): where the engine that wrote it keeps it
    _text: str | None = None
    entropy: NDArray[np.float32] | None = None

    @property
    def forced(self) -> bool:
        return self._logp is None

    @property
    def ids(self) -> Ids:
        if not isinstance(self._ids, tuple):
            self._ids = tuple(self._ids.tolist())
        return self._ids

    @property
    def n(self) -> int:
        return len(self._ids)

    @property
    def logp(self) -> NDArray[np.float32]:
        return np.zeros(self.n, np.float32) if self._logp is None else self._logp

    @property
    def sampled(self) -> NDArray[np.bool_]:
        return np.full(self.n, not self.forced)

    @property
    def text(self) -> str:
        """The tokens decoded, without the end token."""
        if self._text is None:
            ids = self.ids
            self._text = self.context.codec.decode(ids[:-1] if ids and ids[-1] in self.context.codec.ends else ids)
        return self._text

    def __repr__(self) -> str:
        return f"Turn({self.text!r}, {self.ended}, n={self.n})"
