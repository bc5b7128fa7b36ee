"""`look(…, ("attention",))` against the attention of a forward pass in plain torch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.engines.test_exactness import plain
from tests.support import VARIANTS, asked, model_of, twin
from thinkery.core.context import Context
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Session
from thinkery.models.decoder import Decoder, Layer
from thinkery.models.layout import rectangle


def weights(decoder: Decoder, ids: tuple[int, ...]) -> Tensor:
    """[layers, n] of the last position: each layer's q and k caught from its projection, scored head by head."""
    c, n, linear = decoder.config, len(ids), decoder.linear
    caught: list[Tensor] = []

    def catching(x: Tensor, layer: Layer, name: str) -> Tensor:
        out = linear(x, layer, name)
        if name == "qkv":
            caught.append(decoder.norm_heads(out, layer) if layer.q_norm is not None else out)
        return out

    decoder.linear = catching  # type: ignore[method-assign]
    with torch.no_grad():
        decoder(rectangle([ids]))
    half, rows = c.head_width // 2, []
    turn = torch.complex(decoder.cos[:n], decoder.sin[:n])
    for qkv in caught:
        heads = torch.complex(*qkv.view(n, -1, 2, half)[:, : c.heads + c.kv_heads].unbind(2)) * turn[:, None]
        q, k = heads[-1, : c.heads], heads[:, c.heads :]
        of = [k[:, h * c.kv_heads // c.heads] for h in range(c.heads)]
        scores = torch.stack([(q[h] * of[h].conj()).real.sum(1) for h in range(c.heads)])
        rows.append((scores / c.head_width**0.5).softmax(1).mean(0))
    return torch.stack(rows)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("compiled", [True, False])
def test_the_last_positions_attention(variant: str, compiled: bool) -> None:
    """After a prompt, and after a turn that the engine wrote; a longer path beside it must not show."""
    model = model_of(VARIANTS[variant])
    engine = LocalEngine(model) if compiled else plain(model)
    reference = twin(model.decoder, plain=True)

    async def work(session: Session) -> list[tuple[Context, Tensor]]:
        turn = await session.ask("12+30=", 9, top_k=0)
        contexts = [session.context("12+30="), turn.context + turn, session.context("12+30=" + "7" * 40), session.context("12")]
        return [(c, session.look(c, ("attention",))["attention"]) for c in contexts]

    (found,) = asked(engine, work)
    assert len(found) == 4
    for context, seen in found:
        assert seen.shape == (model.decoder.config.layers, context.n)
        assert seen.dtype == torch.float32
        assert torch.allclose(seen.sum(1), torch.ones(len(seen)), atol=1e-5)
        assert (seen - weights(reference, context.ids)).abs().max() < 1e-5
