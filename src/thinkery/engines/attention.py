"""Where a position looks: attention weights, worked out again from the keys and values that an engine keeps."""

from __future__ import annotations

import torch
from torch import Tensor

from ..models import ops_torch as ops
from ..models.decoder import Decoder


@torch.no_grad()
def last_row(decoder: Decoder, token: int, keys: Tensor, values: Tensor) -> Tensor:
    """The attention of the last of n positions, which holds `token`, averaged over heads, by layer: float32 [layers, n].

    keys, values   [layers, n, key/value heads, head width], the keys rotated, the last position's own among them
    """
    c, d, w, n = decoder.config, decoder, decoder.weight, keys.shape[1]
    cos, sin = d.cos[n - 1 :][:1].to(d.dtype), d.sin[n - 1 :][:1].to(d.dtype)
    x = w(d.embed)[token][None]
    rows = []
    for i, layer in enumerate(d.blocks):
        qkv = d.linear(d.ops.rms_norm(x, w(layer.attention_norm), c.eps), layer, "qkv")
        if layer.q_norm is not None:
            qkv = d.norm_heads(qkv, layer)
        q = ops.rotate(qkv.view(1, -1, c.head_width)[:, : c.heads], cos, sin).view(c.kv_heads, -1, c.head_width)
        weights = (q @ keys[i].permute(1, 2, 0)).float().mul(c.head_width**-0.5).softmax(-1)  # [kv heads, heads of each, n]
        rows.append(weights.flatten(0, 1).mean(0))
        x = x + d.linear((weights.to(d.dtype) @ values[i].transpose(0, 1)).reshape(1, -1), layer, "out")
        h = d.linear(d.ops.rms_norm(x, w(layer.ff_norm), c.eps), layer, "gate_up")
        x = x + d.linear(d.ops.swiglu(h), layer, "down")
    return torch.stack(rows).cpu()
