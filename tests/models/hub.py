"""Small random models as transformers makes and saves them, one of every shape that the decoder claims to compute."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from thinkery.models.layout import rectangle
from thinkery.models.model import Model
from thinkery.models.tokenizer import character_tokenizer

THETA, LONG = 5000.0, 64


def rope(kind: str, **more: Any) -> dict[str, Any]:
    """Positions stretched from 16 tokens to 64."""
    return {"rope_parameters": {"rope_type": kind, "rope_theta": THETA, "factor": 4.0, **more}}


LLAMA3 = rope("llama3", original_max_position_embeddings=16, low_freq_factor=1.0, high_freq_factor=4.0)
YARN = rope("yarn", original_max_position_embeddings=16)
SHAPES: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama, one head each": {"num_key_value_heads": 4},
    "llama, one key head": {"num_key_value_heads": 1},
    "llama, biases": {"attention_bias": True},
    "llama, all biases": {"attention_bias": True, "mlp_bias": True},
    "llama, untied": {"tie_word_embeddings": False, "head_dim": 16},
    "llama, linear": rope("linear"),
    "llama, llama3": LLAMA3,
    "llama, yarn": YARN,
    "llama, yarn, whole context": rope("yarn") | {"max_position_embeddings": 16},
    "llama, yarn, its own weight": rope("yarn", original_max_position_embeddings=16, attention_factor=0.8, beta_fast=8.0, beta_slow=2.0),
    "llama, yarn, mscale": rope("yarn", original_max_position_embeddings=16, mscale=1.0, mscale_all_dim=0.4, truncate=False),
    "mistral": {"sliding_window": None},
    "mistral, wide": {"sliding_window": None, "head_dim": 20, "tie_word_embeddings": False},
    "ministral": {"sliding_window": 64, "head_dim": 12},
    "qwen2": {},
    "qwen2, untied, yarn": {"tie_word_embeddings": False, **YARN},
    "qwen3": {"head_dim": 24},
    "qwen3, biases": {"attention_bias": True, "head_dim": 24},
    "qwen3, untied, yarn": {"tie_word_embeddings": False, "head_dim": 16, **YARN},
    "seed_oss": {"head_dim": 16, "attention_out_bias": True, "mlp_bias": True},
    "seed_oss, no bias out": {"head_dim": 16},
}  # fmt: skip
IDS = [1, 30, 31, 5, 9, 9, 40, 63, 2, 17]
LONGER = [(7 * i * i + 3 * i + 5) % 64 for i in range(56)]  # past what the scaled shapes were first made for


def reference(shape: str, folder: Path, **changes: Any) -> Any:
    """transformers' model of a shape, saved to the folder with a tokenizer."""
    transformers = pytest.importorskip("transformers")
    config = transformers.AutoConfig.for_model(
        shape.split(",")[0],
        **{
            "vocab_size": 64, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
            "intermediate_size": 80, "max_position_embeddings": LONG, "rms_norm_eps": 1e-5, "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": THETA}, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
            **json.loads(json.dumps(SHAPES[shape])), **changes,
        },
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape) * 0.2 + (1 if p.dim() == 1 else 0))
    model.save_pretrained(folder)
    character_tokenizer().save(folder, LONG)
    return model


def loaded(folder: Path) -> Any:
    """A folder as transformers loads it."""
    transformers = pytest.importorskip("transformers")
    return transformers.AutoModelForCausalLM.from_pretrained(folder).eval()


def theirs(model: Any, ids: list[int]) -> torch.Tensor:
    """Log-probabilities [n, V] by transformers."""
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].log_softmax(-1)  # type: ignore[no-any-return]


def ours(model: Model, ids: list[int], plain: bool = False) -> torch.Tensor:
    """Log-probabilities [n, V] by the decoder."""
    model.decoder.plain = plain
    with torch.no_grad():
        return model.decoder.logits(model.decoder(rectangle([ids]))).log_softmax(-1)


def config_of(folder: Path) -> dict[str, Any]:
    """What its config.json says."""
    return json.loads((folder / "config.json").read_text())  # type: ignore[no-any-return]


def rewrite(folder: Path, drop: tuple[str, ...] = (), name: str = "config.json", **changes: Any) -> None:
    """Change what one of its JSON files says."""
    path = folder / name
    raw = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({k: v for k, v in raw.items() if k not in drop} | changes))
