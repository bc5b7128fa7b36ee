"""The decoder: RMSNorm, rotary positions, grouped-query attention, SwiGLU; optional biases, q/k norms, tied embeddings.

Tokens come packed (a Layout), so one forward serves padded rows and token trees. Weights stand as Hugging Face keeps them,
except that q, k, v and gate, up are one matrix each (`checkpoint` splits and joins them).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..core.errors import PromptTooLong
from . import ops_cpu, ops_torch
from .adapters import Lora, Update
from .layout import Layout
from .quantize import Quantized
from .rope import Rope


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes and switches; names in brackets are those of a Hugging Face config."""

    vocabulary: int  # vocab_size
    width: int  # hidden_size
    layers: int  # num_hidden_layers
    heads: int  # num_attention_heads
    kv_heads: int  # num_key_value_heads
    head_width: int  # head_dim
    feed_forward: int  # intermediate_size
    context: int = 512  # max_position_embeddings
    theta: float = 10000.0  # rope_theta
    eps: float = 1e-6  # rms_norm_eps
    tied: bool = True  # tie_word_embeddings
    qkv_bias: bool = False  # attention biases on q, k, v (Qwen2; Llama with attention_bias)
    out_bias: bool = False  # and on the output (Llama with attention_bias)
    ff_bias: bool = False  # on all of the feed-forward (Llama with mlp_bias)
    qk_norm: bool = False  # q_norm and k_norm (Qwen3)
    rope: Rope | None = None  # how positions are stretched (rope_scaling, or rope_parameters)

    @property
    def qkv_rows(self) -> tuple[int, int, int]:
        """Rows of the joined q, k, v matrix, apart."""
        return self.heads * self.head_width, self.kv_heads * self.head_width, self.kv_heads * self.head_width

    @property
    def matrices(self) -> int:
        """Values of all layers' matrices: what may be quantised."""
        return self.layers * self.width * (sum(self.qkv_rows) + self.qkv_rows[0] + 3 * self.feed_forward)

    @property
    def embeddings(self) -> int:
        """Values of the embedding, and of the output matrix where it is another."""
        return self.vocabulary * self.width * (1 if self.tied else 2)


class Layer(nn.Module):
    """One block: attention and feed-forward, each behind a norm and added to the stream.

    A matrix may be `Quantized` instead of a parameter; `updates` holds what an adapter adds to it, by its name.
    """

    def __init__(self, c: DecoderConfig) -> None:
        super().__init__()
        self.attention_norm = nn.Parameter(torch.ones(c.width))
        self.qkv = nn.Parameter(torch.empty(sum(c.qkv_rows), c.width))
        self.qkv_bias = nn.Parameter(torch.zeros(sum(c.qkv_rows))) if c.qkv_bias else None
        self.q_norm = nn.Parameter(torch.ones(c.head_width)) if c.qk_norm else None
        self.k_norm = nn.Parameter(torch.ones(c.head_width)) if c.qk_norm else None
        self.out = nn.Parameter(torch.empty(c.width, c.heads * c.head_width))
        self.out_bias = nn.Parameter(torch.zeros(c.width)) if c.out_bias else None
        self.ff_norm = nn.Parameter(torch.ones(c.width))
        self.gate_up = nn.Parameter(torch.empty(2 * c.feed_forward, c.width))
        self.gate_up_bias = nn.Parameter(torch.zeros(2 * c.feed_forward)) if c.ff_bias else None
        self.down = nn.Parameter(torch.empty(c.width, c.feed_forward))
        self.down_bias = nn.Parameter(torch.zeros(c.width)) if c.ff_bias else None
        self.updates = nn.ModuleDict()

    def matrix(self, name: str) -> tuple[Tensor | Quantized, Update | None]:
        """A matrix and its update."""
        return getattr(self, name), cast("Update", self.updates[name]) if name in self.updates else None


class Decoder(nn.Module):
    """A causal language model over packed tokens.

    dtype     what it computes in; parameters are the masters and may be wider (float32 masters, bfloat16 compute)
    version   raised whenever the weights change: engines drop their keys and values by it
    plain     True: use torch's own operations even where compiled kernels would do (the reference path)
    adapter   what was attached to the frozen weights (see `adapters`)
    heads     what a critic reads off the hidden states: one number a token by name (see `equip`)
    checkpointing   True: a layer keeps its input alone and computes the rest again in the backward pass
    """

    def __init__(self, config: DecoderConfig, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.config = config
        self.compute = dtype
        self.version = 0
        self.plain = False
        self.adapter: Lora | None = None
        self.checkpointing = False
        self.shareable = True  # a node's value depends on its path alone, so prefixes may be shared
        self.embed = nn.Parameter(torch.empty(config.vocabulary, config.width))
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = nn.Parameter(torch.ones(config.width))
        self.heads = nn.ParameterDict()
        self.untied = None if config.tied else nn.Parameter(torch.empty(config.vocabulary, config.width))
        cos, sin = rotary_tables(config)
        self.register_buffer("cos", cos.float(), persistent=False)
        self.register_buffer("sin", sin.float(), persistent=False)
        self.cos: Tensor
        self.sin: Tensor

    @property
    def blocks(self) -> list[Layer]:
        """The layers."""
        return cast("list[Layer]", list(self.layers))

    @property
    def head(self) -> Tensor:
        """[V, D]: the output matrix."""
        return self.embed if self.untied is None else self.untied

    @property
    def device(self) -> torch.device:
        return self.embed.device

    @property
    def dtype(self) -> torch.dtype:
        """What the forward pass computes in."""
        return self.compute or self.embed.dtype

    @property
    def compiled(self) -> bool:
        """Whether the compiled CPU kernels serve this model."""
        return (
            not self.plain and self.device.type == "cpu" and self.dtype == self.embed.dtype and self.dtype in (torch.float32, torch.float64)
        )

    @property
    def ops(self) -> Any:
        return ops_cpu if self.compiled else ops_torch

    def initialise(self, generator: torch.Generator) -> Decoder:
        """Random weights: normal with deviation 0.6 / sqrt(fan-in), outputs to the stream smaller by sqrt(2 L)."""
        small = 1 / math.sqrt(2 * self.config.layers)
        with torch.no_grad():
            for name, p in self.named_parameters():
                if p.dim() == 2:
                    end = name.rsplit(".", 1)[-1]
                    std = 0.05 if end in ("embed", "untied") else 0.6 / math.sqrt(p.shape[1]) * (small if end in ("out", "down") else 1)
                    p.copy_(torch.randn(p.shape, generator=generator) * std)
        return self

    def changed(self) -> None:
        """Say that the weights have changed: what was derived from them is made anew."""
        self.version += 1
        learnt = [p for p in self.parameters() if p.requires_grad]
        torch.autograd.graph.increment_version(learnt)  # fused optimizers and other processes do not

    def weight(self, p: Tensor) -> Tensor:
        """A parameter as the forward pass uses it (autograd sees the cast)."""
        return p if p.dtype == self.dtype else p.to(self.dtype)

    def check_length(self, tokens: int) -> None:
        """Raises PromptTooLong for a sequence of more tokens than there are positions."""
        if tokens > self.config.context:
            raise PromptTooLong(
                f"a sequence of {tokens} tokens is too long, the model's context holds {self.config.context}: "
                "shorten the text or use a model with a longer context"
            )

    def forward(self, layout: Layout) -> Tensor:
        """Hidden states [N, D], after the final norm. Raises PromptTooLong."""
        c, w, ops = self.config, self.weight, self.ops
        self.check_length(int(layout.positions.max()) + 1)
        x = nn.functional.embedding(torch.as_tensor(layout.tokens, device=self.device), w(self.embed))
        again = self.checkpointing and torch.is_grad_enabled()
        for layer in self.blocks:
            x = (
                checkpoint(self.block, x, layer, layout, use_reentrant=False, preserve_rng_state=False)
                if again
                else self.block(x, layer, layout)
            )
        return ops.rms_norm(x, w(self.norm), c.eps)  # type: ignore[no-any-return]

    def block(self, x: Tensor, layer: Layer, layout: Layout) -> Tensor:
        """The stream [N, D] after one more layer."""
        c, w, ops = self.config, self.weight, self.ops
        qkv = self.linear(ops.rms_norm(x, w(layer.attention_norm), c.eps), layer, "qkv")
        if layer.q_norm is not None:
            qkv = self.norm_heads(qkv, layer)
        x = x + self.linear(ops.attention(qkv, c.heads, c.kv_heads, self.cos, self.sin, layout), layer, "out")
        h = self.linear(ops.rms_norm(x, w(layer.ff_norm), c.eps), layer, "gate_up")
        return x + self.linear(ops.swiglu(h), layer, "down")  # type: ignore[no-any-return]

    def linear(self, x: Tensor, layer: Layer, name: str) -> Tensor:
        """x through one of a layer's matrices, its bias and its adapter's update included."""
        matrix, update = layer.matrix(name)
        bias = getattr(layer, f"{name}_bias", None)
        weight = self.weight(matrix) if isinstance(matrix, Tensor) else matrix
        return self.ops.linear(x, weight, None if bias is None else self.weight(bias), update)  # type: ignore[no-any-return]

    def norm_heads(self, qkv: Tensor, layer: Layer) -> Tensor:
        """q and k normed head by head (Qwen3)."""
        assert layer.q_norm is not None
        assert layer.k_norm is not None
        q_norm, k_norm = self.weight(layer.q_norm), self.weight(layer.k_norm)
        c = self.config
        q, k, v = qkv.split(c.qkv_rows, 1)
        q, k = (self.ops.rms_norm(z.reshape(len(z), -1, c.head_width), n, c.eps).reshape(len(z), -1) for z, n in ((q, q_norm), (k, k_norm)))
        return torch.cat([q, k, v], 1)

    def logits(self, hidden: Tensor) -> Tensor:
        """[M, V] from hidden states [M, D]."""
        return self.ops.linear(hidden, self.weight(self.head))  # type: ignore[no-any-return]

    def equip(self, heads: Sequence[str]) -> None:
        """Have these heads and no others: weights and a bias, [D + 1], of 0."""
        wide = torch.promote_types(self.embed.dtype, torch.float32)
        self.heads = nn.ParameterDict({name: nn.Parameter(self.embed.new_zeros(self.config.width + 1, dtype=wide)) for name in heads})

    def head_values(self, hidden: Tensor) -> dict[str, Tensor]:
        """What each head says of hidden states [M, D]: [M]."""
        return {name: hidden.to(w.dtype) @ w[:-1] + w[-1] for name, w in self.heads.items()}

    def token_logprobs(self, hidden: Tensor, targets: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability of each target and entropy, in nats, [M] each, at each row's temperature; hidden [M, D]."""
        wide = torch.float64 if self.dtype == torch.float64 else torch.float32
        scale = (1 / temperature.to(wide)).to(self.device)
        return self.ops.token_logprobs(hidden, self.weight(self.head), targets.to(self.device), scale)  # type: ignore[no-any-return]


def rotary_tables(c: DecoderConfig) -> tuple[Tensor, Tensor]:
    """cos and sin, float64 [context, E / 2] (Su et al. 2021), stretched and weighted as the config's `rope` says."""
    rates = c.theta ** (-torch.arange(0, c.head_width, 2, dtype=torch.float64) / c.head_width)
    rates, weight = (rates, 1.0) if c.rope is None else (c.rope.stretch(rates, c.theta), c.rope.attention)
    angles = torch.outer(torch.arange(c.context, dtype=torch.float64), rates)
    return angles.cos() * weight, angles.sin() * weight
