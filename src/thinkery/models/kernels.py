"""The hot loops on a CPU, compiled by numba: norms, rotary positions, attention over a token tree, gated units, softmax.

Each works row by row in a fixed order, so a row's bits never depend on its company. The same functions serve float32 and
float64 (the oracle of the gradient tests). Backward kernels take what the forward saved and add nothing of their own.

A packed tree is laid out in preorder as runs of only children: `first[n]` is the node where n's run starts, and
`parents[first[n]]` the node above the run (-1: none). A node attends to its path: its own run up to itself, the run above, …

numba caches compiled code by file: after editing this file, `gemm` or `simd`, delete the __pycache__ folders, or callers elsewhere keep
the old code.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .simd import (
    LANES,
    add_scaled,
    dot,
    exp,
    more_dots_1,
    more_dots_2,
    more_dots_4,
    row_dots_1,
    row_dots_2,
    row_dots_4,
    weighted_rows_1,
    weighted_rows_2,
    weighted_rows_4,
)

# sums may be vectorised: the order is then fixed by the compiled code; no branch for a division by zero
FAST = {"fastmath": {"reassoc", "contract", "nsz", "arcp"}, "error_model": "numpy", "cache": True, "nogil": True}


@njit(**FAST)
def rms_norm(x, w, eps, out, inverse):  # type: ignore[no-untyped-def]
    """out[n] = x[n] * inverse[n] * w, inverse[n] = 1 / sqrt(mean(x[n]^2) + eps)."""
    rows, width = x.shape
    for n in range(rows):
        s = x[n, 0] * x[n, 0]
        for j in range(1, width):
            s += x[n, j] * x[n, j]
        r = x.dtype.type(1) / np.sqrt(s / x.dtype.type(width) + x.dtype.type(eps))
        inverse[n] = r
        for j in range(width):
            out[n, j] = x[n, j] * r * w[j]


@njit(**FAST)
def rms_norm_backward(dout, x, w, inverse, dx, dw):  # type: ignore[no-untyped-def]
    """dx is written, dw is added to."""
    rows, width = x.shape
    for n in range(rows):
        r = inverse[n]
        s = dout[n, 0] * w[0] * x[n, 0]
        for j in range(1, width):
            s += dout[n, j] * w[j] * x[n, j]
        s *= r * r * r / x.dtype.type(width)
        for j in range(width):
            dx[n, j] = dout[n, j] * w[j] * r - x[n, j] * s
            dw[j] += dout[n, j] * x[n, j] * r


@njit(**FAST)
def swiglu(gate_up, out):  # type: ignore[no-untyped-def]
    """out = silu(gate) * up, with gate_up [N, 2F]."""
    rows, width = out.shape
    one = gate_up.dtype.type(1)
    for n in range(rows):
        gate, up, to = gate_up[n, :width], gate_up[n, width:], out[n]
        for j in range(width):
            to[j] = gate[j] / (one + exp(-gate[j])) * up[j]


@njit(**FAST)
def swiglu_backward(dout, gate_up, d):  # type: ignore[no-untyped-def]
    """d [N, 2F] is written."""
    rows, width = dout.shape
    one = gate_up.dtype.type(1)
    for n in range(rows):
        gate, up, above = gate_up[n, :width], gate_up[n, width:], dout[n]
        d_gate, d_up = d[n, :width], d[n, width:]
        for j in range(width):
            g = gate[j]
            s = one / (one + exp(-g))
            d_gate[j] = above[j] * up[j] * s * (one + g * (one - s))
            d_up[j] = above[j] * g * s


@njit(**FAST)
def rotate(x, n, column, heads, cos, sin, position, sign):  # type: ignore[no-untyped-def]
    """Turn `heads` heads of x[n, column:] by their position, in place (halves convention; sign -1 turns back)."""
    half = cos.shape[1]
    c, s = cos[position], sin[position]
    for h in range(heads):
        at = column + 2 * h * half
        low, high = x[n, at : at + half], x[n, at + half : at + 2 * half]
        for e in range(half):
            a, b, t = low[e], high[e], sign * s[e]
            low[e] = a * c[e] - b * t
            high[e] = b * c[e] + a * t


@njit(cache=True, nogil=True)
def rotate_rows(x, heads, cos, sin, positions, sign):  # type: ignore[no-untyped-def]
    """`rotate` for the first `heads` heads of every row."""
    for n in range(x.shape[0]):
        rotate(x, n, 0, heads, cos, sin, positions[n], x.dtype.type(sign))


@njit(**FAST)
def product(a, i, b, j, width):  # type: ignore[no-untyped-def]
    """dot of two stretches of flat arrays, of any width."""
    if width % LANES == 0:
        return dot(a, i, b, j, width)
    total = a[i] * b[j]
    for e in range(1, width):
        total += a[i + e] * b[j + e]
    return total


@njit(**FAST)
def accumulate(scale, a, i, out, j, width):  # type: ignore[no-untyped-def]
    """out[j :] += scale * a[i :] over `width` elements."""
    if width % LANES == 0:
        add_scaled(scale, a, i, out, j, width)
    else:
        for e in range(width):
            out[j + e] += scale * a[i + e]


@njit(**FAST)
def products(q, q0, rows, stride, column, index, i0, count, out, width):  # type: ignore[no-untyped-def]
    """out[t] = dot of q[q0:] and rows[index[i0 + t] * stride + column :] over `width` elements, for t < count; count > 0."""
    if width % LANES:
        for t in range(count):
            out[t] = product(q, q0, rows, index[i0 + t] * stride + column, width)
        return
    e = 0
    while width - e >= 4 * LANES:
        if e:
            more_dots_4(q, q0 + e, rows, stride, column + e, index, i0, count, out)
        else:
            row_dots_4(q, q0, rows, stride, column, index, i0, count, out)
        e += 4 * LANES
    if width - e >= 2 * LANES:
        if e:
            more_dots_2(q, q0 + e, rows, stride, column + e, index, i0, count, out)
        else:
            row_dots_2(q, q0, rows, stride, column, index, i0, count, out)
        e += 2 * LANES
    if width - e >= LANES:
        if e:
            more_dots_1(q, q0 + e, rows, stride, column + e, index, i0, count, out)
        else:
            row_dots_1(q, q0, rows, stride, column, index, i0, count, out)


@njit(**FAST)
def mixture(p, p0, index, i0, count, rows, stride, column, out, o0, width):  # type: ignore[no-untyped-def]
    """out[o0 : o0 + width] = sum over t < count of p[p0 + t] * rows[index[i0 + t] * stride + column :]."""
    e = 0
    while width - e >= 4 * LANES:
        weighted_rows_4(p, p0, index, i0, count, rows, stride, column + e, out, o0 + e)
        e += 4 * LANES
    while width - e >= 2 * LANES:
        weighted_rows_2(p, p0, index, i0, count, rows, stride, column + e, out, o0 + e)
        e += 2 * LANES
    while width - e >= LANES:
        weighted_rows_1(p, p0, index, i0, count, rows, stride, column + e, out, o0 + e)
        e += LANES
    while e < width:
        total = p[p0] * rows[index[i0] * stride + column + e]
        for t in range(1, count):
            total += p[p0 + t] * rows[index[i0 + t] * stride + column + e]
        out[o0 + e] = total
        e += 1


@njit(**FAST)
def softmax(scores, count):  # type: ignore[no-untyped-def]
    """scores[:count] become probabilities; returns the log-sum-exp."""
    top = scores[0]
    for t in range(1, count):
        top = max(top, scores[t])
    total = scores[0] - scores[0]
    for t in range(count):
        p = exp(scores[t] - top)
        scores[t] = p
        total += p
    for t in range(count):
        scores[t] /= total
    return top + np.log(total)


@njit(**FAST)
def attend(q, q0, heads, kv, width, keys, values, stride, column, index, i0, count, scores, out, o0, lse, l0):  # type: ignore[no-untyped-def]
    """One row over the `count` entries listed in index[i0:]: entry s has its keys at keys[s * stride + column :], kv heads in turn.

    All arrays are flat. Writes out[o0 : o0 + heads * width] and lse[l0 : l0 + heads].
    """
    group = heads // kv
    for h in range(kv):
        at = column + h * width
        for g in range(group):
            head = h * group + g
            products(q, q0 + head * width, keys, stride, at, index, i0, count, scores, width)
            lse[l0 + head] = softmax(scores, count)
            mixture(scores, 0, index, i0, count, values, stride, at, out, o0 + head * width, width)


@njit(cache=True, nogil=True)
def path_length(first, parents, n):  # type: ignore[no-untyped-def]
    """Nodes on the path to n, n included."""
    count = 0
    while n >= 0:
        count += n - first[n] + 1
        n = parents[first[n]]
    return count


@njit(cache=True, nogil=True)
def path(first, parents, n, count, index):  # type: ignore[no-untyped-def]
    """Write the `count` nodes on the path to n into `index`, the root first."""
    while n >= 0:
        begin = first[n]
        for j in range(n, begin - 1, -1):
            count -= 1
            index[count] = j
        n = parents[begin]


@njit(cache=True, nogil=True)
def longest_path(first, parents):  # type: ignore[no-untyped-def]
    """The length of the longest path."""
    longest = 1
    for n in range(first.shape[0]):
        longest = max(longest, path_length(first, parents, n))
    return longest


@njit(**FAST)
def tree_attention(qkv, heads, kv, first, parents, out, lse):  # type: ignore[no-untyped-def]
    """Every node attends to its path. qkv [N, (heads + 2 kv) * E], rotated, q scaled; out [N, heads * E]; lse [N, heads]."""
    nodes, stride = qkv.shape
    width = stride // (heads + 2 * kv)
    longest = longest_path(first, parents)
    index, scores = np.empty(longest, np.int32), np.empty(longest, qkv.dtype)
    flat, flat_out, flat_lse = qkv.ravel(), out.ravel(), lse.ravel()
    values = flat[kv * width :]  # so that keys and values of a node share one column offset
    column = heads * width
    for n in range(nodes):
        count = path_length(first, parents, n)
        path(first, parents, n, count, index)
        attend(
            flat,
            n * stride,
            heads,
            kv,
            width,
            flat,
            values,
            stride,
            column,
            index,
            0,
            count,
            scores,
            flat_out,
            n * column,
            flat_lse,
            n * heads,
        )


@njit(**FAST)
def tree_attention_backward(dout, qkv, out, lse, heads, kv, first, parents, d):  # type: ignore[no-untyped-def]
    """d [N, (heads + 2 kv) * E] must come zeroed; the gradients of the rotated, scaled qkv are written to it."""
    nodes, stride = qkv.shape
    width = stride // (heads + 2 * kv)
    group = heads // kv
    longest = longest_path(first, parents)
    index, share, slope = np.empty(longest, np.int32), np.empty(longest, qkv.dtype), np.empty(longest, qkv.dtype)
    x, dx, o, do = qkv.ravel(), d.ravel(), out.ravel(), dout.ravel()
    for n in range(nodes):
        count = path_length(first, parents, n)
        path(first, parents, n, count, index)
        for head in range(heads):
            h = head // group
            q = n * stride + head * width
            k, v = (heads + h) * width, (heads + kv + h) * width
            g = (n * heads + head) * width
            delta = product(do, g, o, g, width)
            top = lse[n, head]
            products(x, q, x, stride, k, index, 0, count, share, width)
            products(do, g, x, stride, v, index, 0, count, slope, width)
            for t in range(count):
                p = exp(share[t] - top)
                share[t] = p
                slope[t] = (slope[t] - delta) * p
            mixture(slope, 0, index, 0, count, x, stride, k, dx, q, width)
            for t in range(count):
                s = index[t] * stride
                accumulate(slope[t], x, q, dx, s + k, width)
                accumulate(share[t], do, g, dx, s + v, width)


@njit(**FAST)
def log_softmax_row(logits, columns, scale):  # type: ignore[no-untyped-def]
    """logits[:columns] become the log-probabilities of logits * scale."""
    top = logits[0] * scale
    for v in range(columns):
        z = logits[v] * scale
        logits[v] = z
        top = max(top, z)
    total = logits[0] - logits[0]
    for v in range(columns):
        total += exp(logits[v] - top)
    total = top + np.log(total)
    for v in range(columns):
        logits[v] -= total


@njit(**FAST)
def entropy_row(logps, columns):  # type: ignore[no-untyped-def]
    """The entropy of logps[:columns], nats."""
    total = logps[0] - logps[0]
    for v in range(columns):
        total -= exp(logps[v]) * logps[v]
    return total


@njit(**FAST)
def token_logprobs(logits, columns, inverse_temperature, targets, logp, entropy):  # type: ignore[no-untyped-def]
    """logp[m] of targets[m] and the entropy of each row, in nats; logits [M, >= columns] become log-probabilities in place."""
    for m in range(logits.shape[0]):
        row = logits[m]
        log_softmax_row(row, columns, inverse_temperature[m])
        logp[m] = row[targets[m]]
        entropy[m] = entropy_row(row, columns)


@njit(**FAST)
def token_logprobs_backward(logps, columns, inverse_temperature, targets, entropy, dlogp, dentropy):  # type: ignore[no-untyped-def]
    """logps [M, >= columns] (log-probabilities) become the gradient of the logits in place."""
    for m in range(logps.shape[0]):
        scale, a, b = inverse_temperature[m], dlogp[m], dentropy[m]
        for v in range(columns):
            lp = logps[m, v]
            p = exp(lp)
            logps[m, v] = -scale * p * (a + b * (lp + entropy[m]))
        logps[m, targets[m]] += scale * a
