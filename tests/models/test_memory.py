"""What the backward pass keeps, counted; gradients that are right but kept whole would only fail on a model that matters."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from tests.models.test_adapters import adapted, values
from tests.models.test_decoder import forest
from tests.support import VARIANTS, model_of, twin
from thinkery.models import ops_torch


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("lora", [False, True])
def test_checkpointed_layers_give_the_same_gradients(plain: bool, lora: bool) -> None:
    decoder = twin(adapted("qwen3").decoder if lora else model_of(VARIANTS["qwen3"]).decoder, torch.float64, plain)
    straight = values(decoder)
    kept = saved(lambda: decoder(forest(50, 70)))
    decoder.checkpointing = True
    assert all(torch.equal(a, b) for a, b in zip(straight, values(decoder)))
    assert saved(lambda: decoder(forest(50, 70))) < kept / 3


def saved(forward: Any) -> int:
    """Values kept for the backward pass, parameters left out."""
    found: dict[int, int] = {}

    def note(t: Tensor) -> Tensor:
        if not isinstance(t, torch.nn.Parameter):
            found[t.data_ptr()] = t.numel()
        return t

    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        out = forward()
    del out
    return sum(found.values())


def test_logits_are_never_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept grows with the tokens by the hidden states, not by the vocabulary; and sums of losses get the right gradients."""
    g = torch.Generator().manual_seed(0)
    head = torch.randn(500, 16, generator=g, dtype=torch.float64, requires_grad=True)

    def parts(n: int) -> tuple[Tensor, Tensor, Tensor]:
        hidden = torch.randn(n, 16, generator=torch.Generator().manual_seed(n), dtype=torch.float64, requires_grad=True)
        logp, entropy = ops_torch.token_logprobs(hidden, head, torch.arange(n) % 500, torch.full((n,), 1.25, dtype=torch.float64))
        return hidden, logp, entropy

    hidden = parts(60)[0]
    logps = (hidden @ head.T * 1.25).log_softmax(-1)
    whole = _two_losses(hidden, logps[torch.arange(60), torch.arange(60)], -(logps.exp() * logps).sum(-1), head)
    monkeypatch.setattr(ops_torch, "CHUNK", 500 * 4)
    sizes = [saved(lambda n=n: parts(n)) for n in (60, 120)]
    assert sizes[1] - sizes[0] <= 60 * (16 + 4), "per token: its hidden state, target, temperature"
    for a, b in zip(whole, _two_losses(*parts(60), head)):
        assert torch.allclose(a, b, rtol=1e-12)


class Peak(TorchDispatchMode):
    """The most bytes that tensors made inside held at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.known = WeakIdKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for t in tree_leaves(out):
            if isinstance(t, Tensor) and t.untyped_storage() not in self.known:
                storage = t.untyped_storage()
                self.known[storage] = True
                self.now += storage.nbytes()
                weakref.finalize(storage, self.free, storage.nbytes())
        self.most = max(self.most, self.now)
        return out

    def free(self, size: int) -> None:
        self.now -= size


def test_the_peak_is_one_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten bytes for each logit of a chunk, as the plan says, however many tokens there are."""
    monkeypatch.setattr(ops_torch, "CHUNK", 32 * 1024)

    def peak(n: int) -> int:
        hidden, head = torch.randn(n, 8, dtype=torch.bfloat16, requires_grad=True), torch.randn(1024, 8, dtype=torch.bfloat16)
        targets, scale = torch.zeros(n, dtype=torch.long), torch.ones(n)
        with Peak() as found:
            logp, entropy = ops_torch.token_logprobs(hidden, head, targets, scale)
            torch.autograd.grad((logp + entropy).sum(), hidden)
        return found.most

    few, many = peak(64), peak(1024)
    assert 8 * 32 * 1024 < few < 11 * 32 * 1024
    assert many - few < 960 * 64, "per token its values and gradients alone: nothing of the size of the vocabulary"


def _two_losses(hidden: Tensor, logp: Tensor, entropy: Tensor, head: Tensor) -> list[Tensor]:
    """Gradients of two losses apart, of their sum, and of their weighted sum."""
    first, second = (logp.exp() * torch.arange(len(logp))).sum(), (entropy.square()).mean()
    out: list[Tensor] = []
    for loss in (first, second, first + second, 0.3 * first - 2 * second):
        out += torch.autograd.grad(loss, (hidden, head), retain_graph=True)
    assert torch.allclose(out[4], out[0] + out[2])
    assert torch.allclose(out[7], 0.3 * out[1] - 2 * out[3])
    return out
