"""Tiny models of families that only transformers runs, with random weights and the character tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from thinkery.models.tokenizer import character_tokenizer

COMMON = {
    "vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
    "intermediate_size": 48, "max_position_embeddings": 160, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
GATED = {"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
KINDS: dict[str, dict[str, Any]] = {
    "gemma2": {"sliding_window": 8, "query_pre_attn_scalar": 8, "final_logit_softcapping": 3.0, "attn_logit_softcapping": 5.0},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen3_moe": EXPERTS,
    "granite": {"logits_scaling": 3.0},
    "qwen3_5_text": {**GATED, "layer_types": ["linear_attention", "full_attention"]},
}


def module_of(kind: str, seed: int = 0) -> Any:
    """A random model as transformers makes it; norms and biases are moved too."""
    import transformers

    config = transformers.AutoConfig.for_model(kind, **(COMMON | KINDS[kind]))
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # some parameters keep what transformers drew for them
        module = transformers.AutoModelForCausalLM.from_config(config).eval()
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(p.shape, generator=noise) * 0.3 if p.dim() > 1 else p + 0.1 * torch.randn(p.shape, generator=noise))
    return module


def folder_of(kind: str, folder: Path, seed: int = 0) -> Any:
    """Such a model saved with its tokenizer; returns the module."""
    module = module_of(kind, seed)
    module.save_pretrained(folder)
    character_tokenizer().save(folder, COMMON["max_position_embeddings"])
    return module
