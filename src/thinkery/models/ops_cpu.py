"""The decoder's operations on a CPU in float32 and float64: autograd around the compiled kernels.

Each equals its namesake in `ops_torch` up to rounding; attention costs the sum of path lengths, so a tree is never a dense mask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd import Function
from torch.utils.weak import WeakIdKeyDictionary

from . import gemm, kernels
from .adapters import Update
from .layout import Layout
from .quantize import Quantized

KEEP = 1 << 23  # log-probabilities kept for the backward pass, rows x vocabulary; above, they are recomputed
CHUNK = 1 << 21

_packed: WeakIdKeyDictionary = WeakIdKeyDictionary()  # weight -> {transposed: (version, panels)}
_whole: WeakKeyDictionary[nn.Module, tuple[Any, Tensor]] = WeakKeyDictionary()  # quantised matrix or update -> (version, effective weight)


def panels(weight: Tensor, transposed: bool) -> NDArray[Any]:
    """Packed panels of weight.T (for x @ weight.T) or of weight; made once per version of the weight."""
    kept = _packed.setdefault(weight, {})
    version = (weight._version, weight.data_ptr())
    found = kept.get(transposed)
    if found is None or found[0] != version:
        w = weight.detach().numpy()
        found = kept[transposed] = (version, gemm.panels_of(w.T if transposed else w))
    return found[1]  # type: ignore[no-any-return]


def effective(weight: Tensor | Quantized, update: Update | None, dtype: torch.dtype) -> Tensor:
    """The matrix that is multiplied with: written out, its update added; made once per version of both, and for decoding too."""
    base = weight if isinstance(weight, Tensor) else _once(weight, dtype, [weight.packed], lambda: weight.dense(dtype))
    parts = [] if update is None else list(update.parts())
    if update is None or not any(b.detach().any() for _, b, _, _ in parts):
        return base

    def add() -> Tensor:
        whole = base.detach().clone()
        for a, b, low, high in parts:
            a, b = a.detach().to(dtype), b.detach().to(dtype)
            whole[low:high] += _times(b, panels(a, False), a.shape[1]) * update.scale
        return whole

    return _once(update, dtype, [base, *(p for a, b, _, _ in parts for p in (a, b))], add)


def _once(owner: nn.Module, dtype: torch.dtype, sources: list[Tensor], make: Callable[[], Tensor]) -> Tensor:
    version = (dtype, *((t._version, t.data_ptr()) for t in sources))
    found = _whole.get(owner)
    if found is None or found[0] != version:
        found = _whole[owner] = (version, make())
    return found[1]


def _flat(x: Tensor) -> NDArray[Any]:
    return x.detach().numpy().reshape(-1)  # type: ignore[no-any-return]


def _times(x: Tensor, packed: NDArray[Any], columns: int) -> Tensor:
    """x [M, inner] @ packed -> [M, columns]."""
    rows, inner = x.shape
    out = x.new_empty(rows, columns)
    gemm.multiply(_flat(x), 0, inner, 1, rows, packed, 0, inner, columns, _flat(out), 0, columns)
    return out


def _outer(d: Tensor, x: Tensor) -> Tensor:
    """d.T @ x: [M, O], [M, I] -> [O, I]."""
    m, o = d.shape
    out = x.new_empty(o, x.shape[1])
    gemm.multiply(_flat(d), 0, 1, o, o, gemm.panels_of(x.detach().numpy()), 0, m, x.shape[1], _flat(out), 0, x.shape[1])
    return out


class _RMSNorm(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        out, inverse = torch.empty_like(x), x.new_empty(x.shape[0])
        kernels.rms_norm(x.detach().numpy(), weight.detach().numpy(), eps, out.numpy(), inverse.numpy())
        ctx.save_for_backward(x, weight, inverse)
        return out

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight, inverse = ctx.saved_tensors
        dx, dw = torch.empty_like(x), torch.zeros_like(weight)
        arrays = (t.detach().numpy() for t in (dout.contiguous(), x, weight, inverse, dx, dw))
        kernels.rms_norm_backward(*arrays)
        return dx, dw, None


class _Linear(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.bias = bias is not None
        out = _times(x, panels(weight, True), weight.shape[0])
        return out if bias is None else out.add_(bias)

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        dout = dout.contiguous()
        dx = _times(dout, panels(weight, False), weight.shape[1]) if ctx.needs_input_grad[0] else None
        dw = _outer(dout, x) if ctx.needs_input_grad[1] else None
        return dx, dw, dout.sum(0) if ctx.bias else None


class _Updated(Function):
    """x @ (weight + scale * B A).T + bias, whose weight is whole already: gradients reach A and B by products of their rank."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, scale: float, rows: list[tuple[int, int]], *parts: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, weight, *parts)
        ctx.scale, ctx.rows = scale, rows
        out = _times(x, panels(weight, True), weight.shape[0])
        return out if bias is None else out.add_(bias)

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, *parts = ctx.saved_tensors
        dx = _times(dout.contiguous(), panels(weight, False), weight.shape[1]) if ctx.needs_input_grad[0] else None
        grads = []
        for a, b, (low, high) in zip(parts[::2], parts[1::2], ctx.rows):
            d = dout[:, low:high].contiguous() * ctx.scale
            grads += [_outer(_times(d, panels(b, False), len(a)), x), _outer(d, _times(x, panels(a, True), len(a)))]
        return dx, None, None, None, None, *grads


class _SwiGLU(Function):
    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        out = gate_up.new_empty(gate_up.shape[0], gate_up.shape[1] // 2)
        kernels.swiglu(gate_up.detach().numpy(), out.numpy())
        ctx.save_for_backward(gate_up)
        return out

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> Tensor:
        (gate_up,) = ctx.saved_tensors
        d = torch.empty_like(gate_up)
        kernels.swiglu_backward(dout.contiguous().numpy(), gate_up.numpy(), d.numpy())
        return d


class _Attention(Function):
    @staticmethod
    def forward(ctx: Any, qkv: Tensor, heads: int, kv: int, cos: Tensor, sin: Tensor, layout: Layout) -> Tensor:
        n, width = len(layout), qkv.shape[1] // (heads + 2 * kv)
        turned = qkv.detach().clone()
        kernels.rotate_rows(turned.numpy(), heads + kv, cos.numpy(), sin.numpy(), layout.positions, 1)
        turned[:, : heads * width] *= width**-0.5
        out, lse = qkv.new_empty(n, heads * width), qkv.new_empty(n, heads)
        kernels.tree_attention(turned.numpy(), heads, kv, layout.first, layout.parents, out.numpy(), lse.numpy())
        ctx.save_for_backward(turned, out, lse, cos, sin)
        ctx.shape = heads, kv, layout
        return out

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        turned, out, lse, cos, sin = ctx.saved_tensors
        heads, kv, layout = ctx.shape
        d = torch.zeros_like(turned)
        arrays = [t.numpy() for t in (dout.contiguous(), turned, out, lse)]
        kernels.tree_attention_backward(*arrays, heads, kv, layout.first, layout.parents, d.numpy())
        width = turned.shape[1] // (heads + 2 * kv)
        d[:, : heads * width] *= width**-0.5
        kernels.rotate_rows(d.numpy(), heads + kv, cos.numpy(), sin.numpy(), layout.positions, -1)
        return d, None, None, None, None, None


class _TokenLogprobs(Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, inverse_temperature: Tensor) -> tuple[Tensor, Tensor]:
        m, vocabulary = hidden.shape[0], head.shape[0]
        logp, entropy = hidden.new_empty(m), hidden.new_empty(m)
        rows = max(1, CHUNK // vocabulary)
        keep = m * vocabulary <= KEEP
        kept = []
        for i in range(0, m, rows):
            s = slice(i, i + rows)
            logps = _times(hidden[s], panels(head, True), vocabulary)
            kernels.token_logprobs(
                *(
                    t.numpy() if isinstance(t, Tensor) else t
                    for t in (logps, vocabulary, inverse_temperature[s], targets[s], logp[s], entropy[s])
                )
            )
            if keep:
                kept.append(logps)
        ctx.save_for_backward(hidden, head, targets, inverse_temperature, entropy, *kept)
        ctx.rows = rows
        return logp, entropy

    @staticmethod
    def backward(ctx: Any, dlogp: Tensor, dentropy: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        hidden, head, targets, scale, entropy, *kept = ctx.saved_tensors
        vocabulary, rows = head.shape[0], ctx.rows
        dhidden, dhead = torch.empty_like(hidden), torch.zeros_like(head) if ctx.needs_input_grad[1] else None
        for c, i in enumerate(range(0, hidden.shape[0], rows)):
            s = slice(i, i + rows)
            if kept:
                logps = kept[c].clone()
            else:
                logps = _times(hidden[s], panels(head, True), vocabulary)
                unused = hidden.new_empty(logps.shape[0])
                kernels.token_logprobs(logps.numpy(), vocabulary, scale[s].numpy(), targets[s].numpy(), unused.numpy(), unused.numpy())
            arrays = [t.contiguous().numpy() for t in (scale[s], targets[s], entropy[s], dlogp[s], dentropy[s])]
            kernels.token_logprobs_backward(logps.numpy(), vocabulary, *arrays)
            dhidden[s] = _times(logps, panels(head, False), head.shape[1])
            if dhead is not None:
                dhead += _outer(logps, hidden[s])
        return dhidden, dhead, None, None


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / rms(x) * weight over the last dimension."""
    shape = x.shape
    return _RMSNorm.apply(x.reshape(-1, shape[-1]), weight, eps).view(shape)  # type: ignore[no-any-return,no-untyped-call]


def linear(x: Tensor, weight: Tensor | Quantized, bias: Tensor | None = None, update: Update | None = None) -> Tensor:
    """x @ (weight + update).T + bias."""
    whole = effective(weight, update, x.dtype)
    if update is None:
        return _Linear.apply(x, whole, bias)  # type: ignore[no-any-return,no-untyped-call]
    parts = list(update.parts())
    tensors = [p.to(x.dtype) for a, b, _, _ in parts for p in (a, b)]
    rows = [(low, high) for _, _, low, high in parts]
    return _Updated.apply(x, whole, bias, update.scale, rows, *tensors)  # type: ignore[no-any-return,no-untyped-call]


def swiglu(gate_up: Tensor) -> Tensor:
    """silu(gate) * up; gate_up [N, 2F] -> [N, F]."""
    return _SwiGLU.apply(gate_up)  # type: ignore[no-any-return,no-untyped-call]


def attention(qkv: Tensor, heads: int, kv: int, cos: Tensor, sin: Tensor, layout: Layout) -> Tensor:
    """Every token attends to its path: qkv [N, (heads + 2 kv) E] -> [N, heads * E]."""
    return _Attention.apply(qkv, heads, kv, cos, sin, layout)  # type: ignore[no-any-return,no-untyped-call]


def token_logprobs(hidden: Tensor, head: Tensor, targets: Tensor, inverse_temperature: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability of each target and the entropy of its distribution, in nats, [M] each; hidden [M, D], head [V, D]."""
    return _TokenLogprobs.apply(hidden, head, targets, inverse_temperature)  # type: ignore[no-any-return,no-untyped-call]
