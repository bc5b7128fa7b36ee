"""Every switch of the decoder computes the same on compiled kernels as on plain torch, over trees; a bias that one path forgets would go unseen on models without it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support import VARIANTS, draws, model_of, twin
from thinkery.models.decoder import Decoder
from thinkery.models.layout import Layout, preorder, rectangle
from thinkery.models.model import Model


def forest(n: int, vocabulary: int) -> Layout:
    g = draws("forest", n)
    parent = np.array([-1, *(int(g.integers(max(-1, i - 4), i)) for i in range(1, n))], np.int32)
    depth = np.zeros(n, np.int64)
    for i in range(1, n):
        depth[i] = 0 if parent[i] < 0 else depth[parent[i]] + 1
    return preorder(parent, g.integers(0, vocabulary, n), depth)[0]


def values(decoder: Decoder, layout: Layout) -> list[Tensor]:
    """Log-probabilities and entropies at two temperatures, and the gradients of all parameters."""
    hidden = decoder(layout)
    targets = torch.as_tensor(np.roll(layout.tokens, 1))
    logp, entropy = decoder.token_logprobs(hidden, targets, torch.where(torch.arange(len(layout)) % 2 == 0, 1.0, 0.6))
    weights = torch.as_tensor(draws("weights").standard_normal((2, len(layout)))).to(logp)
    loss = (weights[0] * logp + weights[1] * entropy).sum()
    return [hidden.detach(), logp.detach(), entropy.detach(), *torch.autograd.grad(loss, list(decoder.parameters()))]


@pytest.mark.parametrize("variant", VARIANTS)
def test_compiled_equals_plain(variant: str) -> None:
    model = model_of(VARIANTS[variant])
    layout = forest(60, model.decoder.config.vocabulary)
    fast, slow = (values(twin(model.decoder, plain=plain), layout) for plain in (False, True))
    assert len(fast) == 3 + len(list(model.decoder.parameters()))
    for a, b in zip(fast, slow):
        assert a.dtype == torch.float64
        assert b.abs().max() > 0, "every parameter takes part"
        assert (a - b).abs().max() <= 1e-12 * b.abs().max().clamp_min(1)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_tree_equals_its_paths(variant: str) -> None:
    """In float32, to the bit: every node as if its path stood alone."""
    model = model_of(VARIANTS[variant])
    layout = forest(40, model.decoder.config.vocabulary)
    up = np.where(layout.first == np.arange(40), layout.parents, np.arange(40) - 1)
    with torch.no_grad():
        whole = model.decoder(layout)
        for i in range(40):
            path, at = [], i
            while at >= 0:
                path.append(int(layout.tokens[at]))
                at = int(up[at])
            assert torch.equal(model.decoder(rectangle([path[::-1]]))[-1], whole[i])


def test_which_kernels_serve(fresh: Model) -> None:
    decoder = fresh.decoder
    assert decoder.compiled
    assert twin(decoder).compiled
    assert not twin(decoder, plain=True).compiled
    assert not twin(decoder, torch.bfloat16).compiled
    decoder.compute = torch.bfloat16
    assert not decoder.compiled
    assert decoder.dtype == torch.bfloat16


def test_a_prompt_and_its_reply(tiny: Model) -> None:
    found = tiny.logprobs("1+2=", "34")
    ids = (1, *tiny.tokenizer.encode("1+2=34"))
    with torch.no_grad():
        logps = tiny.decoder.logits(tiny.decoder(rectangle([ids]))).log_softmax(-1)
    want = [float(logps[4, ids[5]]), float(logps[5, ids[6]])]
    assert found.tolist() == pytest.approx(want, abs=1e-5)


def test_initial_weights_follow_the_seed() -> None:
    same: Any = lambda a, b: all(torch.equal(p, q) for p, q in zip(a.decoder.parameters(), b.decoder.parameters()))
    assert same(model_of(seed=3), model_of(seed=3))
    assert not same(model_of(seed=3), model_of(seed=4))
