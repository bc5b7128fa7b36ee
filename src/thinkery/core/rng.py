"""Randomness by address: every draw is a function of where it is used, never of what ran before.

`address(seed, "sample", step, problem, k)` names a stream; `uniforms(address, position)` gives its draws, one by one or
vectorised; `Stream` reads them in order with the usual helpers. Arrival order, batching and worker count cannot enter.
`seed + i` is forbidden: neighbouring seeds would overlap.
"""

from __future__ import annotations

import hashlib
from collections.abc import MutableSequence, Sequence
from functools import lru_cache
from math import cos, log, pi, sqrt
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

MASK = (1 << 64) - 1
GOLDEN, MIX1, MIX2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # splitmix64 (Steele, Lea & Flood 2014)


def mix(x: int) -> int:
    """splitmix64's finaliser: a bijection of 64-bit integers whose output bits all depend on all input bits."""
    x = ((x ^ x >> 30) * MIX1) & MASK
    x = ((x ^ x >> 27) * MIX2) & MASK
    return x ^ x >> 31


@lru_cache(maxsize=4096)
def name_hash(text: str) -> int:
    """A 64-bit hash of a name, equal in every process (Python's own `hash` is not)."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def address(*parts: int | str, base: int = 0) -> int:
    """A 64-bit address; order matters, and strings enter by `name_hash`. address(a, b, c) == address(c, base=address(a, b))."""
    h = base
    for part in parts:
        h = mix((h + GOLDEN + ((name_hash(part) if type(part) is str else part) & MASK)) & MASK)  # type: ignore[operator]
    return h


def addresses(base: NDArray[np.uint64] | int, *parts: Any) -> NDArray[np.uint64]:
    """`address(*parts, base=base)` for whole arrays of 64-bit integers at once; they broadcast, and a string stands for all."""
    h = np.asarray(base, np.uint64)
    with np.errstate(over="ignore"):
        for part in parts:
            numbers = np.uint64(name_hash(part)) if isinstance(part, str) else np.asarray(part).astype(np.uint64, copy=False)
            h = h + np.uint64(GOLDEN) + numbers
            h = (h ^ h >> np.uint64(30)) * np.uint64(MIX1)
            h = (h ^ h >> np.uint64(27)) * np.uint64(MIX2)
            h = h ^ h >> np.uint64(31)
    return h


def uniforms(addresses: NDArray[np.uint64], positions: NDArray[np.int64]) -> NDArray[np.float64]:
    """One draw in [0, 1) for each (address, position); float64, 53 bits; the two arrays broadcast."""
    with np.errstate(over="ignore"):
        x = addresses + (positions.astype(np.uint64) + np.uint64(1)) * np.uint64(GOLDEN)
        for _ in range(2):
            x = (x ^ x >> np.uint64(30)) * np.uint64(MIX1)
            x = (x ^ x >> np.uint64(27)) * np.uint64(MIX2)
            x ^= x >> np.uint64(31)
    return (x >> np.uint64(11)).astype(np.float64) * 2.0**-53


class Stream:
    """The draws of one address in order: the scalar form of `uniforms`, with the usual helpers."""

    __slots__ = ("address", "position")

    def __init__(self, addr: int) -> None:
        self.address, self.position = addr, 0

    def random(self) -> float:
        """The next draw in [0, 1)."""
        self.position += 1
        return (mix(mix((self.address + self.position * GOLDEN) & MASK)) >> 11) * 2.0**-53

    def below(self, n: int) -> int:
        """An integer in 0..n-1."""
        return int(self.random() * n)

    def between(self, low: int, high: int) -> int:
        """An integer in low..high, both included."""
        return low + int(self.random() * (high - low + 1))

    def choice(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[int(self.random() * len(items))]

    def weighted(self, weights: Sequence[float]) -> int:
        """An index, drawn in proportion to its weight (not normalised)."""
        u = self.random() * sum(weights)
        for i, w in enumerate(weights):
            u -= w
            if u < 0:
                return i
        return max(i for i, w in enumerate(weights) if w > 0)

    def shuffle(self, items: MutableSequence[T]) -> MutableSequence[T]:
        """The same sequence in a new order, in place (Fisher-Yates); returned for convenience."""
        for i in range(len(items) - 1, 0, -1):
            j = int(self.random() * (i + 1))
            items[i], items[j] = items[j], items[i]
        return items

    def sample(self, items: Sequence[T], k: int) -> list[T]:
        """k different items, in random order."""
        pool = list(items)
        for i in range(k):
            j = i + int(self.random() * (len(pool) - i))
            pool[i], pool[j] = pool[j], pool[i]
        return pool[:k]

    def normal(self) -> float:
        """A standard normal draw (Box-Muller, two uniforms)."""
        return sqrt(-2 * log(1 - self.random())) * cos(2 * pi * self.random())


def rng(*parts: int | str) -> Stream:
    """A stream of draws named by its address: `rng(seed, "task", "addition", split, i)`."""
    return Stream(address(*parts))
