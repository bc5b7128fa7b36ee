"""Decoding in plain torch: any device and dtype, and the reference for `plan_cpu`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..core.rng import uniforms
from ..models import ops_torch as ops
from ..models.decoder import Decoder
from .plan_cpu import distinct
from .tree import child


class TorchPlan:
    """The same interface as CpuPlan: pool of keys and values by node, `extend`, `sample`."""

    exact = False  # a matrix product may round differently in other company

    def __init__(self, decoder: Decoder, slots: int = 1024) -> None:
        self.decoder, self.config = decoder, decoder.config
        c = self.config
        make = lambda *shape: torch.zeros(*shape, dtype=decoder.dtype, device=decoder.device)
        self.keys, self.values = (make(c.layers, slots, c.kv_heads, c.head_width) for _ in range(2))
        self.hidden = make(slots, c.width)
        self.refresh()

    @staticmethod
    def slot_bytes(decoder: Decoder) -> int:
        """Memory of one node, in bytes."""
        c = decoder.config
        return decoder.dtype.itemsize * (2 * c.layers * c.kv_heads * c.head_width + c.width)

    @property
    def slots(self) -> int:
        return self.hidden.shape[0]

    def grow(self, slots: int) -> None:
        """Make the pool this large; what it holds stays."""
        more = slots - self.slots
        wider = lambda x: torch.cat([x, x.new_zeros(x.shape[0], more, *x.shape[2:])], 1)
        self.keys, self.values = wider(self.keys), wider(self.values)
        self.hidden = torch.cat([self.hidden, self.hidden.new_zeros(more, self.config.width)])

    def refresh(self) -> None:
        """Take the decoder's weights as they are now."""
        self.head = self.decoder.weight(self.decoder.head).detach()

    @torch.no_grad()
    def extend(self, tokens: Any, positions: Any, slots: Any, index: Any, i0: Any, count: Any) -> None:
        """Compute nodes given in topological order, wave by wave: a wave's ancestors are all computed."""
        flat = index.reshape(-1)
        mine = {int(s): r for r, s in enumerate(slots)}
        wave = np.zeros(len(tokens), np.int64)
        for r in range(len(tokens)):
            above = mine.get(int(flat[i0[r] + count[r] - 2])) if count[r] > 1 else None
            wave[r] = wave[above] + 1 if above is not None else 0
        for w in range(int(wave.max()) + 1 if len(wave) else 0):
            rows = np.flatnonzero(wave == w)
            longest = int(count[rows].max())
            at = np.minimum(np.arange(longest), count[rows][:, None] - 1)
            paths = flat[i0[rows][:, None] + at]
            self._wave(tokens[rows], positions[rows], slots[rows], paths, np.arange(longest) < count[rows][:, None])

    def _wave(self, tokens: Any, positions: Any, slots: Any, paths: Any, mask: Any) -> None:
        c, d = self.config, self.decoder
        to = lambda x: torch.as_tensor(np.ascontiguousarray(x), device=d.device)
        n, w = len(tokens), d.weight
        slot, path, seen = to(slots).long(), to(paths).long(), to(mask)[:, None, None]
        at = to(positions).long()
        cos, sin = d.cos[at].to(d.dtype), d.sin[at].to(d.dtype)
        x = F.embedding(to(tokens).long(), w(d.embed))
        for i, layer in enumerate(d.blocks):
            qkv = d.linear(ops.rms_norm(x, w(layer.attention_norm), c.eps), layer, "qkv")
            if layer.q_norm is not None:
                qkv = d.norm_heads(qkv, layer)
            heads = qkv.view(n, -1, c.head_width)
            qk = ops.rotate(heads[:, : c.heads + c.kv_heads], cos, sin)
            self.keys[i, slot], self.values[i, slot] = qk[:, c.heads :], heads[:, c.heads + c.kv_heads :]
            q = qk[:, : c.heads].reshape(n, c.kv_heads, -1, c.head_width)
            k, v = self.keys[i][path].transpose(1, 2), self.values[i][path].transpose(1, 2)
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=seen).reshape(n, -1)
            x = x + d.linear(out, layer, "out")
            x = x + d.linear(ops.swiglu(d.linear(ops.rms_norm(x, w(layer.ff_norm), c.eps), layer, "gate_up")), layer, "down")
        self.hidden[slot] = ops.rms_norm(x, w(d.norm), c.eps)

    def _log_softmax(self, slots: Any, scale: Tensor) -> Tensor:
        at = torch.as_tensor(np.ascontiguousarray(slots), device=self.decoder.device).long()
        return (F.linear(self.hidden[at], self.head).float() * scale[:, None]).log_softmax(-1)

    @torch.no_grad()
    def sample(self, live: Any, lanes: Any, slot_of: Any, settings: Any, ends: Any, tree: Any) -> NDArray[np.bool_]:
        """One token for every live lane, recorded there; True where the reply is over by one of the `ends` [V] or limit."""
        row_of, first = distinct(live, lanes.at, lanes.setting)
        temperature, top_p, top_k = (torch.as_tensor(s[lanes.setting[first]], device=self.decoder.device) for s in settings)
        greedy = temperature <= 0
        logps = self._log_softmax(slot_of[lanes.at[first]], 1 / temperature.where(~greedy, 1).float())
        pos = lanes.pos[live]
        u = torch.as_tensor(uniforms(lanes.address[live], pos.astype(np.int64)), device=logps.device)
        row = torch.as_tensor(row_of, device=logps.device).long()
        token = draw(logps, row, u, greedy, top_p, top_k)
        logp, entropy = logps[row, token].cpu().numpy(), entropies(logps)[row].cpu().numpy()
        tokens = token.to(torch.int32).cpu().numpy()
        tree.room(len(live))
        arrays = (tree.parent, tree.token, tree.depth, tree.table, tree.count)
        below = np.array([child(*arrays, lanes.at[lane], t) for lane, t in zip(live, tokens)], np.int32)
        lanes.token[live, pos], lanes.logp[live, pos], lanes.entropy[live, pos] = tokens, logp, entropy
        lanes.at[live], lanes.pos[live] = below, pos + 1
        return ends[tokens] | (pos + 1 >= lanes.limit[live])  # type: ignore[no-any-return]

    @torch.no_grad()
    def log_softmax(self, slots: NDArray[np.int32], temperature: float = 1.0) -> NDArray[np.float32]:
        """Log-probabilities of the next token after each slot's node, float32 [n, V]."""
        scale = torch.full((len(slots),), 1 / temperature, device=self.decoder.device)
        return self._log_softmax(slots, scale).cpu().numpy()  # type: ignore[no-any-return]

    def states(self, slots: NDArray[np.int32]) -> Tensor:
        """Final hidden states, float32 [n, D]."""
        return self.hidden[torch.as_tensor(slots, device=self.decoder.device).long()].float().cpu()

    def banks(self, slots: NDArray[np.int32]) -> tuple[Tensor, Tensor]:
        """Rotated keys, and values, [layers, n, key/value heads, head width] each."""
        at = torch.as_tensor(slots, device=self.decoder.device).long()
        return self.keys[:, at], self.values[:, at]


def draw(logps: Tensor, row: Tensor, u: Tensor, greedy: Tensor, top_p: Tensor, top_k: Tensor) -> Tensor:
    """A token [n] for each draw u [n] in [0, 1), by the distribution and the settings of its row: logps [R, V], row [n], settings [R]."""
    sums = _truncate(logps.double().exp(), top_p, top_k).cumsum(-1)
    drawn = torch.searchsorted(sums[row], (u * sums[row, -1])[:, None], right=True)[:, 0].clamp_max(logps.shape[1] - 1)
    return drawn.where(~greedy[row], logps.argmax(-1)[row])


def entropies(logps: Tensor) -> Tensor:
    """The entropy of each row's distribution [R], nats."""
    return -(logps.exp() * logps).nan_to_num().sum(-1)


def _truncate(p: Tensor, top_p: Tensor, top_k: Tensor) -> Tensor:
    """Zero outside the nucleus and the top k, by row."""
    if bool((top_p >= 1).all()) and bool((top_k <= 0).all()):
        return p
    ordered, order = torch.sort(p, dim=-1, descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered
    rank = torch.arange(p.shape[1], device=p.device)
    keep = (before < top_p[:, None]) & ((rank < top_k[:, None]) | (top_k[:, None] <= 0))
    return torch.zeros_like(p).scatter(-1, order, ordered * keep)
