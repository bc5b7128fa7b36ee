"""Matrix products whose every element is one chain of fused multiply-adds in the order of the inner index.

So a row of a product is the same bits alone or in company, whatever the number of rows: what BLAS does not promise, because
it picks its kernel by the whole shape. The micro-kernel is written in LLVM IR (numba compiles it for the machine at hand);
it keeps a tile of rows x vectors in registers and streams packed panels of the right operand.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

_WIDE = "avx512f" in llvm.get_host_cpu_features() and llvm.get_host_cpu_features()["avx512f"]
_BYTES = 64 if _WIDE else 32  # one vector register
ROWS, VECTORS = (6, 4) if _WIDE else (6, 2)  # the tile that fits the register file (32 or 16 vectors)
PANEL = 64 if _WIDE else 16  # float32 columns of a panel; a float64 panel has the same columns in twice the vectors
DEPTH = 1024  # inner indices of one pass: a panel of this depth stays in the second-level cache


def _tile(rows: int, add: bool) -> Any:
    """An intrinsic that multiplies `rows` rows by one packed panel: c[r, :PANEL] (+)= sum over k of a[r, k] * b[k, :PANEL]."""

    @intrinsic  # type: ignore[untyped-decorator]
    def tile(typing: Any, a: Any, a0: Any, ra: Any, ka: Any, b: Any, b0: Any, depth: Any, c: Any, c0: Any, rc: Any) -> Any:
        signature = types.void(a, types.intp, types.intp, types.intp, b, types.intp, types.intp, c, types.intp, types.intp)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            _emit(context, builder, sig, args, rows, add)
            return context.get_dummy_value()

        return signature, codegen

    return tile


def _emit(context: Any, b: Any, sig: Any, args: Any, rows: int, add: bool) -> None:
    scalar = context.get_value_type(sig.args[0].dtype)
    size = 4 if isinstance(scalar, ir.FloatType) else 8
    lanes = _BYTES // size
    count = PANEL // lanes
    vector, i64, i32 = ir.VectorType(scalar, lanes), ir.IntType(64), ir.IntType(32)
    pointer = lambda i, offset: b.gep(context.make_array(sig.args[i])(context, b, args[i]).data, [args[offset]])
    x, w, out = pointer(0, 1), pointer(4, 5), pointer(7, 8)
    row_stride, inner_stride, depth, out_stride = args[2], args[3], args[6], args[9]
    name = f"llvm.fma.v{lanes}f{size * 8}"
    fma = cgutils.get_or_insert_function(b.module, ir.FunctionType(vector, [vector] * 3), name)
    index = lambda n: ir.Constant(i64, n)
    starts = [b.gep(x, [b.mul(row_stride, index(r))]) for r in range(rows)]
    before, loop, done = b.block, b.append_basic_block("inner"), b.append_basic_block("done")
    b.branch(loop)
    b.position_at_end(loop)
    k = b.phi(i64)
    k.add_incoming(index(0), before)
    sums = [[b.phi(vector) for _ in range(count)] for _ in range(rows)]
    for row in sums:
        for s in row:
            s.add_incoming(ir.Constant(vector, [0.0] * lanes), before)
    panel = b.gep(w, [b.mul(k, index(PANEL))])

    def load(at: Any) -> Any:
        v = b.load(b.bitcast(at, vector.as_pointer()))
        v.align = size
        return v

    columns = [load(b.gep(panel, [index(v * lanes)])) for v in range(count)]
    step = b.mul(k, inner_stride)
    nothing = ir.Constant(vector, ir.Undefined)
    new = []
    for r in range(rows):
        one = b.insert_element(nothing, b.load(b.gep(starts[r], [step])), ir.Constant(i32, 0))
        spread = b.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(i32, lanes), [0] * lanes))
        new.append([b.call(fma, [spread, columns[v], sums[r][v]]) for v in range(count)])
    following = b.add(k, index(1))
    k.add_incoming(following, loop)
    for r in range(rows):
        for v in range(count):
            sums[r][v].add_incoming(new[r][v], loop)
    b.cbranch(b.icmp_signed("<", following, depth), loop, done)
    b.position_at_end(done)
    for r in range(rows):
        to = b.gep(out, [b.mul(out_stride, index(r))])
        for v in range(count):
            at = b.gep(to, [index(v * lanes)])
            value = b.fadd(load(at), new[r][v]) if add else new[r][v]
            b.store(value, b.bitcast(at, vector.as_pointer())).align = size


_set6, _set4, _set2, _set1 = (_tile(r, False) for r in (ROWS, 4, 2, 1))
_add6, _add4, _add2, _add1 = (_tile(r, True) for r in (ROWS, 4, 2, 1))


@njit(cache=True, nogil=True)
def pack(w: Any, panels: Any) -> None:
    """Copy w [inner, columns] (any strides) into panels [ceil(columns / PANEL), inner, PANEL], zeros after the last column."""
    inner, columns = w.shape
    for p in range(panels.shape[0]):
        left = p * PANEL
        width = min(PANEL, columns - left)
        for k in range(inner):
            for j in range(width):
                panels[p, k, j] = w[k, left + j]
            for j in range(width, PANEL):
                panels[p, k, j] = 0


@njit(cache=True, nogil=True)
def _block(a, a0, ra, ka, b, b0, depth, c, c0, rc, rows, add):  # type: ignore[no-untyped-def]
    """All rows of one panel, one pass over `depth` inner indices."""
    i = 0
    while i < rows:
        if rows - i >= ROWS:
            if add:
                _add6(a, a0 + i * ra, ra, ka, b, b0, depth, c, c0 + i * rc, rc)
            else:
                _set6(a, a0 + i * ra, ra, ka, b, b0, depth, c, c0 + i * rc, rc)
            i += ROWS
        elif rows - i >= 4:
            if add:
                _add4(a, a0 + i * ra, ra, ka, b, b0, depth, c, c0 + i * rc, rc)
            else:
                _set4(a, a0 + i * ra, ra, ka, b, b0, depth, c, c0 + i * rc, rc)
            i += 4
        elif rows - i >= 2:
            if add:
                _add2(a, a0 + i * ra, ra, ka, b, b0, depth, c, c0 + i * rc, rc)
            else:
                _set2(a, a0 + i * ra, ra, ka, b, b0, depth, c, c0 + i * rc, rc)
            i += 2
        else:
            if add:
                _add1(a, a0 + i * ra, ra, ka, b, b0, depth, c, c0 + i * rc, rc)
            else:
                _set1(a, a0 + i * ra, ra, ka, b, b0, depth, c, c0 + i * rc, rc)
            i += 1


@njit(cache=True, nogil=True)
def multiply(a, a0, ra, ka, rows, panels, p0, inner, columns, c, c0, width):  # type: ignore[no-untyped-def]
    """c[c0 + r * width + j] = sum over k < inner of A[r, k] * B[k, j], for r < rows, j < columns; all arrays flat.

    A[r, k] = a[a0 + r * ra + k * ka]; B is packed at panels[p0:].
    """
    scratch = np.empty(max(rows, 1) * PANEL if columns % PANEL else 1, c.dtype)
    for p in range(-(-columns // PANEL)):
        cut = columns - p * PANEL
        for k0 in range(0, inner, DEPTH):
            depth = min(DEPTH, inner - k0)
            b0 = p0 + (p * inner + k0) * PANEL
            more = k0 > 0
            if cut >= PANEL:
                _block(a, a0 + k0 * ka, ra, ka, panels, b0, depth, c, c0 + p * PANEL, width, rows, more)
            else:
                _block(a, a0 + k0 * ka, ra, ka, panels, b0, depth, scratch, 0, PANEL, rows, False)
                for r in range(rows):
                    for j in range(cut):
                        s = scratch[r * PANEL + j]
                        at = c0 + r * width + p * PANEL + j
                        c[at] = c[at] + s if more else s


def panels_of(w: NDArray[Any]) -> NDArray[Any]:
    """The packed panels of w [inner, columns], flat; w may be a transposed view."""
    out = np.empty((-(-w.shape[1] // PANEL), w.shape[0], PANEL), w.dtype)
    pack(w, out)
    return out.reshape(-1)
