"""A few vector operations that compiled loops do not reach by themselves, written in LLVM IR for numba.

Offsets and strides are in elements of the flat arrays; widths must be multiples of `LANES` (callers fall back otherwise).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16  # elements a step; LLVM splits them over the registers that the machine has
I32, I64 = ir.IntType(32), ir.IntType(64)
# exp on [-0.5 ln 2, 0.5 ln 2]: the Taylor series to x^7 is exact to 1 unit in the last place of float32
TAYLOR = [1.0 / math.factorial(n) for n in range(7, -1, -1)]


class _Vectors:
    """Pointers, loads and fused multiply-adds for one element type."""

    def __init__(self, context: Any, builder: Any, sig: Any, args: Any, typed: int) -> None:
        self.context, self.b, self.sig, self.args = context, builder, sig, args
        self.scalar = context.get_value_type(sig.args[typed].dtype)
        self.size = 4 if isinstance(self.scalar, ir.FloatType) else 8
        self.type = ir.VectorType(self.scalar, LANES)
        self.suffix = f"v{LANES}f{self.size * 8}"

    def pointer(self, array: int, *offsets: Any) -> Any:
        at = self.context.make_array(self.sig.args[array])(self.context, self.b, self.args[array]).data
        for offset in offsets:
            at = self.b.gep(at, [offset])
        return at

    def load(self, at: Any) -> Any:
        v = self.b.load(self.b.bitcast(at, self.type.as_pointer()))
        v.align = self.size
        return v

    def store(self, v: Any, at: Any) -> None:
        self.b.store(v, self.b.bitcast(at, self.type.as_pointer())).align = self.size

    def fma(self, x: Any, y: Any, z: Any) -> Any:
        kind = ir.FunctionType(self.type, [self.type] * 3)
        return self.b.call(cgutils.get_or_insert_function(self.b.module, kind, f"llvm.fma.{self.suffix}"), [x, y, z])

    def spread(self, x: Any) -> Any:
        nothing = ir.Constant(self.type, ir.Undefined)
        first = self.b.insert_element(nothing, x, ir.Constant(I32, 0))
        return self.b.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(I32, LANES), [0] * LANES))

    def total(self, v: Any) -> Any:
        kind = ir.FunctionType(self.scalar, [self.scalar, self.type])
        add = cgutils.get_or_insert_function(self.b.module, kind, f"llvm.vector.reduce.fadd.{self.suffix}")
        return self.b.call(add, [ir.Constant(self.scalar, 0.0), v], fastmath=["reassoc"])

    def zero(self) -> Any:
        return ir.Constant(self.type, [0.0] * LANES)

    def loop(self, count: Any, step: int, sums: int) -> tuple[Any, list[Any], Any]:
        """Open a loop over 0, step, … < count with vector accumulators; returns (index, accumulators, close)."""
        before, body, done = self.b.block, self.b.append_basic_block("body"), self.b.append_basic_block("done")
        self.b.branch(body)
        self.b.position_at_end(body)
        k = self.b.phi(I64)
        k.add_incoming(ir.Constant(I64, 0), before)
        carried = [self.b.phi(self.type) for _ in range(sums)]
        for c in carried:
            c.add_incoming(self.zero(), before)

        def close(new: list[Any]) -> None:
            following = self.b.add(k, ir.Constant(I64, step))
            k.add_incoming(following, body)
            for c, v in zip(carried, new):
                c.add_incoming(v, body)
            self.b.cbranch(self.b.icmp_signed("<", following, count), body, done)
            self.b.position_at_end(done)

        return k, carried, close


@intrinsic  # type: ignore[untyped-decorator]
def dot(typing: Any, a: Any, i: Any, b: Any, j: Any, width: Any) -> Any:
    """sum over e < width of a[i + e] * b[j + e]."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        v = _Vectors(context, builder, sig, args, 0)
        left, right = v.pointer(0, args[1]), v.pointer(2, args[3])
        k, (total,), close = v.loop(args[4], LANES, 1)
        new = v.fma(v.load(builder.gep(left, [k])), v.load(builder.gep(right, [k])), total)
        close([new])
        return v.total(new)

    return a.dtype(a, types.intp, b, types.intp, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def add_scaled(typing: Any, scale: Any, a: Any, i: Any, out: Any, j: Any, width: Any) -> Any:
    """out[j + e] += scale * a[i + e] for e < width."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        v = _Vectors(context, builder, sig, args, 1)
        source, target, factor = v.pointer(1, args[2]), v.pointer(3, args[4]), v.spread(args[0])
        k, _, close = v.loop(args[5], LANES, 0)
        to = builder.gep(target, [k])
        v.store(v.fma(factor, v.load(builder.gep(source, [k])), v.load(to)), to)
        close([])
        return context.get_dummy_value()

    return types.void(scale, a, types.intp, out, types.intp, types.intp), codegen


def _weighted_rows(vectors: int) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def weighted(
        typing: Any, p: Any, p0: Any, index: Any, i0: Any, count: Any, rows: Any, stride: Any, column: Any, out: Any, o0: Any
    ) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            v = _Vectors(context, builder, sig, args, 0)
            weights, where = v.pointer(0, args[1]), v.pointer(2, args[3])
            table, target = v.pointer(5, args[7]), v.pointer(8, args[9])
            k, sums, close = v.loop(args[4], 1, vectors)
            row = builder.mul(builder.sext(builder.load(builder.gep(where, [k])), I64), args[6])
            base, factor = builder.gep(table, [row]), v.spread(builder.load(builder.gep(weights, [k])))
            offset = lambda j: ir.Constant(I64, j * LANES)
            new = [v.fma(factor, v.load(builder.gep(base, [offset(j)])), sums[j]) for j in range(vectors)]
            close(new)
            for j in range(vectors):
                v.store(new[j], builder.gep(target, [offset(j)]))
            return context.get_dummy_value()

        n = types.intp
        return types.void(p, n, index, n, n, rows, n, n, out, n), codegen

    return weighted


weighted_rows_1 = _weighted_rows(1)  # out[o0 : o0 + 16] = sum over t < count of p[p0 + t] * rows[index[i0 + t] * stride + column :]
weighted_rows_2 = _weighted_rows(2)  # the same for 32 columns
weighted_rows_4 = _weighted_rows(4)  # and for 64


def _row_dots(vectors: int, add: bool) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def dots(typing: Any, q: Any, q0: Any, rows: Any, stride: Any, column: Any, index: Any, i0: Any, count: Any, out: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            v = _Vectors(context, builder, sig, args, 0)
            left, table = v.pointer(0, args[1]), v.pointer(2, args[4])
            where, target = v.pointer(5, args[6]), v.pointer(8)
            offset = lambda j: ir.Constant(I64, j * LANES)
            kept = [v.load(builder.gep(left, [offset(j)])) for j in range(vectors)]
            k, _, close = v.loop(args[7], 1, 0)
            base = builder.gep(table, [builder.mul(builder.sext(builder.load(builder.gep(where, [k])), I64), args[3])])
            total = v.zero()
            for j in range(vectors):
                total = v.fma(kept[j], v.load(builder.gep(base, [offset(j)])), total)
            to = builder.gep(target, [k])
            value = v.total(total)
            builder.store(builder.fadd(builder.load(to), value) if add else value, to)
            close([])
            return context.get_dummy_value()

        n = types.intp
        return types.void(q, n, rows, n, n, index, n, n, out), codegen

    return dots


# out[t] (+)= sum over e of q[q0 + e] * rows[index[i0 + t] * stride + column + e], t < count; e < 16, 32 or 64
row_dots_1, row_dots_2, row_dots_4 = (_row_dots(n, False) for n in (1, 2, 4))
more_dots_1, more_dots_2, more_dots_4 = (_row_dots(n, True) for n in (1, 2, 4))


@intrinsic  # type: ignore[untyped-decorator]
def exp(typing: Any, x: Any) -> Any:
    """exp(x), within 2 units in the last place; float32 by a polynomial that loops can vectorise, float64 by the library."""
    single = x == types.float32

    def codegen(context: Any, b: Any, sig: Any, args: Any) -> Any:
        if not single:
            f64 = ir.DoubleType()
            return b.call(cgutils.get_or_insert_function(b.module, ir.FunctionType(f64, [f64]), "llvm.exp.f64"), args)
        f32 = ir.FloatType()
        floor = cgutils.get_or_insert_function(b.module, ir.FunctionType(f32, [f32]), "llvm.floor.f32")
        fma = cgutils.get_or_insert_function(b.module, ir.FunctionType(f32, [f32] * 3), "llvm.fma.f32")
        const = lambda v: ir.Constant(f32, float(np.float32(v)))
        v = args[0]
        v = b.select(b.fcmp_ordered("<", v, const(-87.0)), const(-87.0), v)
        v = b.select(b.fcmp_ordered(">", v, const(88.0)), const(88.0), v)
        n = b.call(floor, [b.call(fma, [v, const(math.log2(math.e)), const(0.5)])])
        r = b.call(fma, [n, const(-0.693359375), v])
        r = b.call(fma, [n, const(2.12194440e-4), r])  # ln 2 in two parts, so that r keeps all its bits
        p = const(TAYLOR[0])
        for c in TAYLOR[1:]:
            p = b.call(fma, [p, r, const(c)])
        power = b.shl(b.add(b.fptosi(n, I32), ir.Constant(I32, 127)), ir.Constant(I32, 23))
        return b.fmul(p, b.bitcast(power, f32))

    return x(x), codegen
