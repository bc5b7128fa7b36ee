"""The decoder's operations in plain torch: any device, any dtype, and the reference for `ops_cpu`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from . import quantize
from .adapters import Update
from .layout import Layout

CHUNK, CHUNK_GPU = 1 << 22, 1 << 27  # logits held at once: rows x vocabulary


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / rms(x) * weight over the last dimension (Zhang & Sennrich 2019)."""
    return F.rms_norm(x, (x.shape[-1],), weight, eps)


def linear(x: Tensor, weight: Tensor | quantize.Quantized, bias: Tensor | None = None, update: Update | None = None) -> Tensor:
    """x @ (weight + update).T + bias; the update is never added to the weight."""
    y = F.linear(x, weight, bias) if isinstance(weight, Tensor) else quantize.linear(x, weight, bias)
    return y if update is None else y + update(x)


def swiglu(gate_up: Tensor) -> Tensor:
    """silu(gate) * up (Shazeer 2020); gate_up [N, 2F] -> [N, F]."""
    gate, up = gate_up.chunk(2, -1)
    return F.silu(gate) * up


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions (Su et al. 2021), halves convention; x [N, heads, E], cos and sin [N, E / 2]."""
    low, high = x.chunk(2, -1)
    c, s = cos[:, None], sin[:, None]
    return torch.cat([low * c - high * s, high * c + low * s], -1)


def attention(qkv: Tensor, heads: int, kv: int, cos: Tensor, sin: Tensor, layout: Layout) -> Tensor:
    """Every token attends to its path: qkv [N, (heads + 2 kv) E], cos and sin [positions, E / 2] -> [N, heads * E]."""
    n = len(layout)
    width = qkv.shape[1] // (heads + 2 * kv)
    x = qkv.view(n, heads + 2 * kv, width)
    at = torch.as_tensor(layout.positions, device=qkv.device)
    c, s = cos[at].to(qkv.dtype), sin[at].to(qkv.dtype)
    qk = rotate(x[:, : heads + kv], c, s)
    q, k, v = qk[:, :heads], qk[:, heads:], x[:, heads + kv :]
    repeat = heads // kv
    if layout.grid is not None:
        rows, length = layout.grid
        q, k, v = (z.reshape(rows, length, -1, width).transpose(1, 2) for z in (q, k, v))
        out = F.scaled_dot_product_attention(q, k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1), is_causal=True)
        return out.transpose(1, 2).reshape(n, heads * width)
    blocks, inverse, mask = _blocks(layout, qkv.device)
    q, k, v = (torch.cat([z, z.new_zeros(1, *z.shape[1:])])[blocks].transpose(1, 2) for z in (q, k, v))
    out = F.scaled_dot_product_attention(q, k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1), attn_mask=mask[:, None])
    return out.transpose(1, 2).reshape(-1, heads * width)[inverse]


def _blocks(layout: Layout, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """The trees of a layout as padded blocks: index [blocks, longest] (N: padding), its inverse [N], mask of ancestors."""
    n = len(layout)
    up = np.where(layout.first == np.arange(n), layout.parents, np.arange(n) - 1)
    roots = np.flatnonzero(up < 0)
    sizes = np.diff(np.append(roots, n))
    longest = int(sizes.max())
    block, offset = np.repeat(np.arange(len(roots)), sizes), np.arange(n) - np.repeat(roots, sizes)
    index = np.full((len(roots), longest), n)
    index[block, offset] = np.arange(n)
    mask = np.zeros((len(roots), longest, longest), bool)
    mask[:, np.arange(longest), np.arange(longest)] = True
    for i in range(n):  # preorder: a node's ancestors are settled before it
        if up[i] >= 0:
            mask[block[i], offset[i]] |= mask[block[i], offset[up[i]]]
    to = lambda x: torch.as_tensor(x, device=device)
    return to(index), to(block * longest + offset), to(mask)


class _TokenLogprobs(Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, inverse_temperature: Tensor) -> tuple[Tensor, Tensor]:
        logp, entropy = (inverse_temperature.new_empty(len(hidden)) for _ in range(2))
        for s in _chunks(hidden, head):
            logps = _log_softmax(hidden[s], head, inverse_temperature[s])
            logp[s] = logps.gather(1, targets[s, None])[:, 0]
            entropy[s] = -logps.exp().mul_(logps).sum(-1)
            del logps  # before the next chunk is made
        ctx.save_for_backward(hidden, head, targets, inverse_temperature, entropy)
        return logp, entropy

    @staticmethod
    def backward(ctx: Any, dlogp: Tensor, dentropy: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        hidden, head, targets, scale, entropy = ctx.saved_tensors
        dhidden, dhead = torch.empty_like(hidden), torch.zeros_like(head) if ctx.needs_input_grad[1] else None
        for s in _chunks(hidden, head):
            d = _log_softmax(hidden[s], head, scale[s])
            p = d.exp()  # d(logp)/d(logit) = [target] - p, d(entropy)/d(logit) = -p (log p + entropy)
            d.add_(entropy[s, None]).mul_(dentropy[s, None]).add_(dlogp[s, None]).mul_(p).neg_()
            del p
            d = d.scatter_add_(1, targets[s, None], dlogp[s, None]).mul_(scale[s, None]).to(head.dtype)
            dhidden[s] = d @ head
            if dhead is not None:
                dhead.addmm_(d.T, hidden[s])
        return dhidden, dhead, None, None


def _chunks(hidden: Tensor, head: Tensor) -> Iterator[slice]:
    rows = max(1, (CHUNK_GPU if hidden.is_cuda else CHUNK) // head.shape[0])
    return (slice(i, i + rows) for i in range(0, len(hidden), rows))


def _log_softmax(hidden: Tensor, head: Tensor, scale: Tensor) -> Tensor:
    return F.linear(hidden, head).to(scale.dtype).mul_(scale[:, None]).log_softmax(-1)


def token_logprobs(hidden: Tensor, head: Tensor, targets: Tensor, inverse_temperature: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability of each target and the entropy of its distribution, in nats, [M] each.

    hidden [M, D], head [V, D]. Never holds [M, V] at once: chunks of rows, recomputed in the backward pass.
    """
    return _TokenLogprobs.apply(hidden, head, targets, inverse_temperature)  # type: ignore[no-any-return,no-untyped-call]
