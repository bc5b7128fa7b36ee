"""A draw is a function of its address alone, the same in every process and vectorised; overlapping streams would correlate whole runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinkery.core.rng import GOLDEN, MASK, Stream, address, mix, name_hash, rng, uniforms
from thinkery.engines.plan_cpu import uniform

words = st.integers(0, MASK)


@given(addresses=st.lists(words, min_size=1, max_size=5), n=st.integers(1, 20))
def test_scalar_vectorised_and_compiled_are_the_same(addresses: list[int], n: int) -> None:
    table = uniforms(np.array(addresses, np.uint64)[:, None], np.arange(n))
    assert table.shape == (len(addresses), n)
    for a, row in zip(addresses, table):
        stream = Stream(a)
        assert [stream.random() for _ in range(n)] == row.tolist()
        assert [uniform(np.uint64(a), np.int32(i)) for i in range(n)] == row.tolist()


def test_goldens() -> None:
    """Fixed for ever: a change here changes every run that was ever recorded."""
    assert mix(GOLDEN) == 0xE220A8397B1DCDAF  # the first output of splitmix64 from seed 0, as published
    assert mix(2 * GOLDEN & MASK) == 0x6E789E6AA1B965F4  # and the second
    assert name_hash("sample") == int.from_bytes(bytes.fromhex("1e7d7cb01fe10e0d"), "little")
    assert address() == 0
    assert address(0, "sample", 3, 17, 2) == 13256727490823694199
    assert rng(0, "sample", 3).random() == 0.559848165346454


def test_other_processes_agree() -> None:
    code = "from thinkery.core.rng import *; print(address(1, 'a', 'b', -2), rng('x', 5).random())"
    env = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]}
    out = {
        subprocess.run([sys.executable, "-c", code], env=env | {"PYTHONHASHSEED": h}, capture_output=True, text=True, check=True).stdout
        for h in "123"
    }
    assert out == {f"{address(1, 'a', 'b', -2)} {rng('x', 5).random()}\n"}


def test_order_and_kind_of_parts_matter() -> None:
    addresses = [address(*p) for p in ((), (0,), (0, 0), (1, 2), (2, 1), ("1", 2), (12,), ("12",), ("1", "2"), ("a", "b"), ("ab",), (-1,))]
    assert len(set(addresses)) == len(addresses)
    assert all(0 <= a <= MASK for a in addresses)


N = 200_000
BOUND = 4.5 / N**0.5  # of a mean of N correlations, in deviations


@pytest.mark.parametrize("along", ["positions", "seeds", "steps", "samples", "last bit"])
def test_neighbours_are_uncorrelated(along: str) -> None:
    if along == "positions":
        x = uniforms(np.full(N, address(7), np.uint64), np.arange(N))
    else:
        make = {"seeds": lambda i: (i,), "steps": lambda i: (0, "sample", i, 3), "samples": lambda i: (0, "sample", 3, i)}
        at = [address(*make[along](i)) for i in range(N)] if along in make else [(address(i // 2) ^ (i % 2)) for i in range(N)]
        x = uniforms(np.array(at, np.uint64), np.zeros(N, np.int64))
    centred = (x - 0.5) * 12**0.5
    assert abs(centred.mean()) < BOUND
    assert abs((centred**2).mean() - 1) < 3 * BOUND
    for lag in (1, 2, 3, 16):
        assert abs((centred[lag:] * centred[:-lag]).mean()) < BOUND
    counts = np.bincount((x * 64).astype(int), minlength=64)
    assert ((counts - N / 64) ** 2 / (N / 64)).sum() < 63 + 5 * (2 * 63) ** 0.5


def test_streams_of_neighbouring_seeds_share_no_draw() -> None:
    """`seed + i` would: stream 1 of seed 5 would be stream 0 of seed 6."""
    drawn = [rng(seed, "task", i).random() for seed in range(100) for i in range(100)]
    assert len(set(drawn)) == len(drawn)


# ---- helpers


@given(seed=words, n=st.integers(1, 50))
def test_helpers_stay_in_range(seed: int, n: int) -> None:
    s = rng(seed, "helpers")
    assert all(0 <= s.below(n) < n for _ in range(20))
    assert all(-3 <= s.between(-3, n) <= n for _ in range(20))
    items = list(range(n))
    assert s.choice(items) in items
    assert sorted(s.shuffle(items.copy())) == items
    k = s.between(0, n)
    picked = s.sample(items, k)
    assert len(set(picked)) == k
    assert set(picked) <= set(items)
    assert items == list(range(n)), "sampling leaves the items as they are"


def test_helpers_are_fair() -> None:
    s, n = rng("fair"), 30_000
    fair = lambda counts, share: all(abs(c / n - share) < 5 * (share / n) ** 0.5 for c in counts)
    assert fair(Counter(s.between(2, 6) for _ in range(n)).values(), 1 / 5)
    assert fair(Counter(tuple(s.shuffle([1, 2, 3])) for _ in range(n)).values(), 1 / 6)
    assert fair(Counter(tuple(s.sample("abc", 2)) for _ in range(n)).values(), 1 / 6)
    drawn = Counter(s.weighted([1, 0, 3, 4]) for _ in range(n))
    assert drawn[1] == 0
    assert all(abs(drawn[i] / n - share) < 0.015 for i, share in ((0, 1 / 8), (2, 3 / 8), (3, 1 / 2)))
    x = np.array([s.normal() for _ in range(n)])
    assert abs(x.mean()) < 0.03
    assert abs(x.std() - 1) < 0.03
    assert abs((x**3).mean()) < 0.1


def test_a_weight_of_nothing_is_never_drawn_at_the_edge() -> None:
    """Where rounding leaves something over after the last weight, the last one that counts is taken."""

    class Edge(Stream):
        def random(self) -> float:
            return 1 - 2**-53

    assert Edge(0).weighted([0.1] * 10 + [0.0, 0.0]) == 9
