"""Four bits are the published four bits; a base that is rounded otherwise than its adapter's was is another model."""

from __future__ import annotations

from statistics import NormalDist

import pytest
import torch

from thinkery.models import quantize


def test_the_codebook_is_the_published_one() -> None:
    """Quantiles of a normal distribution, 8 above zero and 7 below it, scaled to [-1, 1] (Dettmers et al. 2023, appendix E)."""
    offset = 0.9677083
    quantile = NormalDist().inv_cdf
    above = [quantile(offset + (0.5 - offset) * i / 8) for i in range(8)]
    below = [-quantile(offset + (0.5 - offset) * i / 7) for i in range(7)]
    want = sorted([*below, 0.0, *above])
    assert torch.allclose(torch.tensor(quantize.CODE), torch.tensor(want) / max(want), atol=2e-6)


def test_a_quantised_matrix() -> None:
    """Every value within half a gap of the code times its block's largest; the second quantisation adds its share; 4.13 bits a value."""
    g = torch.Generator().manual_seed(0)
    weight = torch.randn(100, 333, generator=g) * torch.rand(100, 1, generator=g)  # 33300 values: the last block is not full
    q = quantize.Quantized(weight)
    found = q.dense(torch.float32)
    assert found.shape == weight.shape
    flat, more = weight.reshape(-1), -weight.numel() % 64
    largest = torch.cat([flat, flat[-1:].expand(more)]).view(-1, 64).abs().amax(1).repeat_interleave(64)[: flat.numel()].view_as(weight)
    gap = max(b - a for a, b in zip(quantize.CODE, quantize.CODE[1:])) / 2
    second = (largest.max() - largest.min()) / 510
    assert ((found - weight).abs() <= gap * largest + second + 1e-6).all()
    assert (found - weight).square().mean() < 0.011 * weight.square().mean()
    held = sum(t.numel() * t.element_size() for t in q.buffers())
    assert held / weight.numel() == pytest.approx(quantize.BYTES, rel=0.02)
    assert torch.equal(quantize.Quantized(found).packed, q.packed), "what is on the grid stays"
    assert quantize.Quantized(torch.zeros(8, 8)).dense(torch.float32).abs().max() == 0


def test_codes_equal_those_of_bitsandbytes() -> None:
    functional = pytest.importorskip("bitsandbytes.functional")
    weight = torch.randn(96, 128, generator=torch.Generator().manual_seed(3))
    packed, state = functional.quantize_4bit(weight, quant_type="nf4", blocksize=64)
    q = quantize.Quantized(weight)
    assert torch.equal(q.packed.reshape(-1), packed.reshape(-1))
    theirs = quantize._dense_on_gpu(q.packed, state.absmax, q.shape, torch.float32)
    assert (theirs - q.dense(torch.float32)).abs().max() < 0.005 * weight.abs().max()


def test_the_quantised_base_is_never_kept_written_out() -> None:
    """On torch's path the backward pass keeps codes, not matrices; and the gradient of x is that of the written-out matrix."""
    weight = torch.randn(32, 64, generator=torch.Generator().manual_seed(1))
    q, x = quantize.Quantized(weight), torch.randn(5, 64, requires_grad=True)
    sizes: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (sizes.append(t.numel()), t)[1], lambda t: t):
        y = quantize.linear(x, q)
    assert sum(sizes) == 0
    (found,) = torch.autograd.grad(y.square().sum(), x)
    (want,) = torch.autograd.grad(torch.nn.functional.linear(x, q.dense(torch.float32)).square().sum(), x)
    assert torch.allclose(found, want)
