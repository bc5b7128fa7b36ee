"""The compiled operations equal plain torch, forward and backward; a wrong derivative would slow learning, never stop it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from torch import Tensor

from tests.support import draws
from thinkery.models import kernels, ops_cpu, ops_torch
from thinkery.models.decoder import DecoderConfig, rotary_tables
from thinkery.models.layout import Layout, preorder, rectangle
from thinkery.models.simd import exp

BAR = 1e-12


def random(*shape: int, name: str = "x", scale: float = 1.0) -> Tensor:
    return torch.as_tensor(draws(name, *shape).standard_normal(shape) * scale).requires_grad_()


def agree(operation: str, tensors: list[Tensor], *rest: Any, pick: Callable[[Any], Tensor] = lambda x: x) -> None:
    """Values and all gradients of both versions, under one random weighting of the output."""
    found = []
    for ops in (ops_cpu, ops_torch):
        own = [t.detach().clone().requires_grad_() for t in tensors]
        out = pick(getattr(ops, operation)(*own, *rest))
        weights = torch.as_tensor(draws("weights", *out.shape).standard_normal(out.shape))
        grads = torch.autograd.grad((out * weights).sum(), own)
        found.append([out.detach(), *grads])
    for ours, plain in zip(*found):
        assert ours.shape == plain.shape
        assert (ours - plain).abs().max() <= BAR * max(1.0, float(plain.abs().max()))


# ---- exp


@njit
def _exp(x, out):  # type: ignore[no-untyped-def]
    for i in range(x.shape[0]):
        out[i] = exp(x[i])


@pytest.mark.parametrize(("dtype", "ulps"), [(np.float32, 2), (np.float64, 2)])
def test_exp_within_two_units_in_the_last_place(dtype: Any, ulps: int) -> None:
    edges = np.array([0.0, -0.0, 1.0, -87.0, 88.0, np.log(2) / 2, -np.log(2) / 2, 1e-30, -1e-30])
    x = np.concatenate([np.linspace(-87, 88, 400_001), draws("exp").uniform(-1, 1, 200_001), edges]).astype(dtype)
    out = np.empty_like(x)
    _exp(x, out)
    exact = np.exp(x.astype(np.longdouble))
    assert (np.abs(out - exact) <= ulps * np.spacing(exact.astype(dtype))).all()
    assert out[np.flatnonzero(x == 0)[0]] == 1


def test_exp_outside_the_range_saturates() -> None:
    x, out = np.array([-1e4, -np.inf, 1e4, np.inf, np.nan], np.float32), np.empty(5, np.float32)
    _exp(x, out)
    assert (out[:2] < 2e-38).all()
    assert (out[2:4] > 1e38).all()
    assert np.isnan(out[4]), "a model that diverged says so"


# ---- operations on rows

sizes = st.integers(1, 70)


@settings(max_examples=40)
@given(rows=sizes, width=sizes, scale=st.sampled_from([1e-3, 1.0, 30.0]))
def test_rms_norm(rows: int, width: int, scale: float) -> None:
    agree("rms_norm", [random(rows, width, scale=scale), random(width, name="w")], 1e-6)


def test_rms_norm_of_heads() -> None:
    agree("rms_norm", [random(5, 3, 20), random(20, name="w")], 1e-5)


@settings(max_examples=40)
@given(rows=sizes, inner=sizes, columns=sizes, bias=st.booleans())
def test_linear(rows: int, inner: int, columns: int, bias: bool) -> None:
    agree("linear", [random(rows, inner), random(columns, inner, name="w"), *([random(columns, name="b")] if bias else [])])


@settings(max_examples=40)
@given(rows=sizes, width=sizes, scale=st.sampled_from([1.0, 30.0]))
def test_swiglu(rows: int, width: int, scale: float) -> None:
    agree("swiglu", [random(rows, 2 * width, scale=scale)])


# ---- attention over trees


@st.composite
def layouts(draw: Any) -> Layout:
    """A forest: each node hangs on an earlier one, often the last (long runs), or is a root."""
    n = draw(st.integers(1, 40))
    chain = draw(st.floats(0, 1))
    parent = [-1]
    for i in range(1, n):
        parent.append(i - 1 if draw(st.floats(0, 1)) < chain else draw(st.integers(-1, i - 1)))
    depth = [0] * n
    for i, p in enumerate(parent):
        depth[i] = 0 if p < 0 else depth[p] + 1
    tokens = np.arange(n, dtype=np.int64)
    return preorder(np.array(parent, np.int32), tokens, np.array(depth, np.int64))[0]


def tables(width: int, length: int = 64) -> tuple[Tensor, Tensor]:
    c = DecoderConfig(vocabulary=1, width=1, layers=1, heads=1, kv_heads=1, head_width=width, feed_forward=1, context=length)
    return rotary_tables(c)


@settings(max_examples=60)
@given(layout=layouts(), kv=st.integers(1, 3), group=st.integers(1, 3), width=st.sampled_from([2, 6, 16, 20, 32, 48, 64, 80]))
def test_tree_attention(layout: Layout, kv: int, group: int, width: int) -> None:
    heads = kv * group
    qkv = random(len(layout), (heads + 2 * kv) * width)
    agree("attention", [qkv], heads, kv, *tables(width), layout)


@settings(max_examples=15)
@given(lengths=st.lists(st.integers(1, 20), min_size=1, max_size=5), width=st.sampled_from([6, 16]))
def test_attention_over_padded_rows(lengths: list[int], width: int) -> None:
    """A rectangle goes to torch's causal attention; the compiled kernels see it as a forest of chains."""
    layout = rectangle([list(range(n)) for n in lengths])
    agree("attention", [random(len(layout), 4 * width)], 2, 1, *tables(width), layout)


def test_a_tree_equals_its_paths_one_by_one() -> None:
    """By hand: 0 -> 1 -> (2 -> 3, 4), and 5 alone. Node 4 sees 0, 1, 4 and nothing of 2 and 3."""
    parent = np.array([-1, 0, 1, 2, 1, -1], np.int32)
    depth = np.array([0, 1, 2, 3, 2, 0])
    layout, place = preorder(parent, np.arange(6), depth)
    qkv = random(6, 3 * 16).detach()
    out = ops_cpu.attention(qkv[np.argsort(place)], 1, 1, *tables(16), layout)[place]
    for path in ([0, 1, 2, 3], [0, 1, 4], [5]):
        alone = ops_torch.attention(qkv[path], 1, 1, *tables(16), rectangle([path]))
        assert (alone[-1] - out[path[-1]]).abs().max() < BAR


@settings(max_examples=60)
@given(layout=layouts())
def test_preorder_keeps_the_forest(layout: Layout) -> None:
    n = len(layout)
    up = np.where(layout.first == np.arange(n), layout.parents, np.arange(n) - 1)
    assert (up < np.arange(n)).all(), "a node stands behind the one above it"
    for i in range(n):
        count = kernels.path_length(layout.first, layout.parents, i)
        assert count == layout.positions[i] + 1
        path = np.empty(count, np.int32)
        kernels.path(layout.first, layout.parents, i, count, path)
        at, want = i, []
        while at >= 0:
            want.append(at)
            at = up[at]
        assert path.tolist() == want[::-1]


# ---- log-probabilities


@settings(max_examples=40)
@given(rows=st.integers(1, 30), vocabulary=st.integers(2, 150), width=st.integers(1, 40), scale=st.sampled_from([0.3, 3.0]))
def test_token_logprobs(rows: int, vocabulary: int, width: int, scale: float) -> None:
    """Both outputs weighed, each row at its own temperature."""
    g = draws("targets", rows, vocabulary)
    targets = torch.as_tensor(g.integers(0, vocabulary, rows))
    inverse = torch.as_tensor(g.choice([0.5, 1.0, 1 / 0.7, 3.0], rows))
    both = lambda out: torch.stack(out)
    agree("token_logprobs", [random(rows, width), random(vocabulary, width, name="head", scale=scale)], targets, inverse, pick=both)


@pytest.mark.parametrize("ops", [ops_cpu, ops_torch])
@pytest.mark.parametrize("keep", [0, 1 << 30])
def test_chunks_change_nothing(ops: Any, keep: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the log-probabilities are kept for the backward pass or made again, and however many rows a chunk has."""
    hidden, head, targets, inverse = random(23, 12), random(31, 12, name="head"), torch.arange(23), torch.linspace(0.5, 2, 23).double()

    def run() -> list[Tensor]:
        logp, entropy = ops.token_logprobs(hidden, head, targets, inverse)
        return [logp, entropy, *torch.autograd.grad((logp * torch.arange(23)).sum() + (entropy * entropy).sum(), [hidden, head])]

    whole = run()
    if ops is ops_cpu:
        monkeypatch.setattr(ops, "KEEP", keep)
    for rows in (1, 4, 22, 23):
        monkeypatch.setattr(ops, "CHUNK", rows * 31)
        for a, b in zip(run(), whole):
            assert (a - b).abs().max() < 1e-12


def test_twice_backward_gives_the_same() -> None:
    """Losses are differentiated one by one on one graph, so nothing saved may be overwritten."""
    hidden, head, targets, inverse = random(9, 12), random(31, 12, name="head"), torch.arange(9), torch.ones(9).double()
    logp, entropy = ops_cpu.token_logprobs(hidden, head, targets, inverse)
    first, second = (torch.autograd.grad(logp.sum() + entropy.sum(), [hidden, head], retain_graph=True) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second))


# ---- packed weights


def test_packed_weights_follow_their_weights() -> None:
    x, w = random(3, 5), torch.nn.Parameter(random(4, 5).detach())
    before = ops_cpu.linear(x, w)
    with torch.no_grad():
        w.mul_(2)
    assert torch.allclose(ops_cpu.linear(x, w), 2 * before)
    w.data = -w.data
    assert torch.allclose(ops_cpu.linear(x, w), -2 * before)
