"""Products equal numpy's, and a row is the same bits in any company; a tile that reads past a panel or a pass that starts late would not show in sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import draws
from thinkery.models import gemm

DTYPES = {"float32": 2e-6, "float64": 1e-14}


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b by the compiled kernels; a may be a transposed view."""
    rows, inner = a.shape
    size = a.itemsize
    base = a if a.base is None else a.base
    out = np.full((rows, b.shape[1]), np.nan, a.dtype)
    strides = (a.strides[0] // size, a.strides[1] // size)
    gemm.multiply(base.reshape(-1), 0, *strides, rows, gemm.panels_of(b), 0, inner, b.shape[1], out.reshape(-1), 0, b.shape[1])
    return out


@settings(max_examples=120)
@given(
    rows=st.integers(1, 40),
    inner=st.one_of(st.integers(1, 40), st.integers(1, 1100)),
    columns=st.integers(1, 130),
    dtype=st.sampled_from(sorted(DTYPES)),
    left=st.booleans(),
    right=st.booleans(),
)
def test_equals_numpy(rows: int, inner: int, columns: int, dtype: str, left: bool, right: bool) -> None:
    """`left` and `right`: the operand is a transposed view, as gradients and weights are."""
    g = draws("gemm", rows, inner, columns)
    make = lambda m, n, turned: g.standard_normal((n, m)).astype(dtype).T if turned else g.standard_normal((m, n)).astype(dtype)
    a, b = make(rows, inner, left), make(inner, columns, right)
    got = product(a, b)
    scale = np.abs(a.astype(float)) @ np.abs(b.astype(float))
    assert (np.abs(got - a.astype(float) @ b.astype(float)) <= DTYPES[dtype] * scale).all()


@settings(max_examples=60)
@given(
    rows=st.integers(2, 40),
    inner=st.one_of(st.integers(1, 40), st.integers(1000, 1100)),
    columns=st.integers(1, 130),
    dtype=st.sampled_from(sorted(DTYPES)),
    data=st.data(),
)
def test_a_row_is_the_same_bits_in_any_company(rows: int, inner: int, columns: int, dtype: str, data: Any) -> None:
    g = draws("company", rows, inner, columns)
    a, b = g.standard_normal((rows, inner)).astype(dtype), g.standard_normal((inner, columns)).astype(dtype)
    whole = product(a, b)
    chosen = data.draw(st.lists(st.integers(0, rows - 1), min_size=1, max_size=rows))
    assert product(a[chosen].copy(), b).tobytes() == whole[chosen].tobytes()
    assert product(a[:1].copy(), b).tobytes() == whole[:1].tobytes()


def test_an_element_is_one_chain_in_inner_order() -> None:
    """1e8 + 1 - 1e8 keeps the 1 only where partial sums are taken in another order or precision."""
    a = np.zeros((7, 5), np.float32)
    a[:] = [1e8, 1, -1e8, 0, 0]
    b = np.ones((5, 3), np.float32)
    assert (product(a, b) == 0).all()
    assert (product(a.astype(np.float64), b.astype(np.float64)) == 1).all()


def test_nan_and_infinity_stay_in_their_row_and_column() -> None:
    a, b = np.ones((9, 33), np.float32), np.ones((33, 70), np.float32)
    a[4, 7], b[2, 69] = np.nan, np.inf
    out = product(a, b)
    assert np.isnan(out[4]).all()
    assert np.isinf(out[[0, 8], 69]).all()
    assert (out[np.arange(9) != 4][:, :69] == 33).all()


@pytest.mark.parametrize("columns", [1, gemm.PANEL - 1, gemm.PANEL, gemm.PANEL + 1])
def test_panels_end_in_zeros(columns: int) -> None:
    w = draws("panels").standard_normal((3, columns)).astype(np.float32)
    panels = gemm.panels_of(w).reshape(-1, 3, gemm.PANEL)
    joined = np.concatenate(list(panels), 1)
    assert (joined[:, :columns] == w).all()
    assert (joined[:, columns:] == 0).all()
