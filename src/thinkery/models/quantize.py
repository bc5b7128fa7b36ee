"""Matrices in four bits: NormalFloat (NF4), as QLoRA keeps a frozen base (Dettmers et al. 2023, arXiv:2305.14314).

Every 64 values share a scale, their largest absolute value; the scales of 256 blocks stand in 8 bits between their least and
their largest. That is 4.13 bits a value. What is computed with is the matrix written out again, which is always the same one.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

CODE = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
BLOCK, GROUP = 64, 256  # values of one scale; scales of one range
BYTES = (4 + (8 + 64 / GROUP) / BLOCK) / 8  # of one value


class Quantized(nn.Module):
    """A frozen matrix [O, I] in NF4.

    packed       uint8 [blocks, 32]: two codes a byte, the first in the high half
    scales       uint8 [groups, 256], between `low` and `low + 255 * step` of their group, float32 [groups, 1]
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.shape = weight.shape
        blocks = _padded(weight.detach().reshape(-1), BLOCK).float()
        largest = blocks.abs().amax(1, keepdim=True)
        codes = nearest(blocks / largest.where(largest > 0, 1))
        scales = _padded(largest[:, 0], GROUP)
        low, high = scales.amin(1, keepdim=True), scales.amax(1, keepdim=True)
        step = (high - low) / 255
        self.register_buffer("packed", codes[:, 0::2] << 4 | codes[:, 1::2])
        self.register_buffer("scales", ((scales - low) / step.where(step > 0, 1)).round().to(torch.uint8))
        self.register_buffer("low", low)
        self.register_buffer("step", step)
        self.packed: Tensor
        self.scales: Tensor
        self.low: Tensor
        self.step: Tensor

    def dense(self, dtype: torch.dtype) -> Tensor:
        """The matrix [O, I] written out."""
        scale = (self.low.float() + self.step.float() * self.scales.float()).reshape(-1)[: len(self.packed)]
        if self.packed.is_cuda and _has_kernel():
            return _dense_on_gpu(self.packed, scale, self.shape, dtype)
        values = _pairs(self.packed.device)[self.packed.int()].reshape(len(scale), BLOCK) * scale[:, None]
        return values.reshape(-1)[: self.shape.numel()].to(dtype).reshape(self.shape)


def nearest(x: Tensor) -> Tensor:
    """The code of the value nearest to each x in [-1, 1], uint8."""
    code = torch.tensor(CODE, device=x.device)
    return torch.bucketize(x, (code[1:] + code[:-1]) / 2, out_int32=True).to(torch.uint8)


def linear(x: Tensor, weight: Quantized, bias: Tensor | None = None) -> Tensor:
    """x @ weight.T + bias; the matrix is written out for the product and again for its gradient, never kept."""
    return _Linear.apply(x, weight, bias)  # type: ignore[no-any-return,no-untyped-call]


class _Linear(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Quantized, bias: Tensor | None) -> Tensor:
        ctx.weight = weight
        return F.linear(x, weight.dense(x.dtype), bias)

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor, None, None]:
        return dout @ ctx.weight.dense(dout.dtype), None, None


def _padded(flat: Tensor, width: int) -> Tensor:
    """[n] as rows of `width`, the last filled up with its last value."""
    more = -len(flat) % width
    return torch.cat([flat, flat[-1:].expand(more)]).view(-1, width)


@cache
def _pairs(device: torch.device) -> Tensor:
    """The two values of every byte, float32 [256, 2]."""
    code = torch.tensor(CODE, device=device)
    byte = torch.arange(256, device=device)
    return torch.stack([code[byte >> 4], code[byte & 15]], 1)


@cache
def _has_kernel() -> bool:
    return find_spec("bitsandbytes") is not None


def _dense_on_gpu(packed: Tensor, scale: Tensor, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """The same by bitsandbytes' kernel, which keeps no table of indices."""
    from bitsandbytes.functional import QuantState, dequantize_4bit

    code = torch.tensor(CODE, device=packed.device)
    whole = torch.Size([packed.numel() * 2])
    state = QuantState(absmax=scale.contiguous(), shape=whole, code=code, blocksize=BLOCK, quant_type="nf4", dtype=dtype)
    values: Tensor = dequantize_4bit(packed.reshape(-1, 1), state)
    return values.reshape(-1)[: shape.numel()].view(shape)
