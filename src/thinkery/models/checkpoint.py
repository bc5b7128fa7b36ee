"""Model folders in Hugging Face's format: config.json, safetensors (one file or shards), tokenizer files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..core.errors import BadModel
from .decoder import Decoder, DecoderConfig

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
SIZES = ("vocabulary", "width", "layers", "heads", "kv_heads", "head_width", "feed_forward", "context")


def read_config(folder: Path) -> tuple[DecoderConfig, dict[str, Any]]:
    """The decoder's sizes and the whole config.json. Raises BadModel for a family or feature that is not supported."""
    path = folder / "config.json"
    if not path.is_file():
        raise BadModel(f"{folder} has no config.json; give a Hugging Face model folder or a built-in size (tiny)")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        family = raw.get("model_type")
        if family not in FAMILIES:
            raise BadModel(f"{path}: model_type {family!r} is not supported yet; supported: {', '.join(FAMILIES)}")
        rope = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind != "default":
            raise BadModel(f"{path}: rope type {kind!r} is not supported yet; supported: default")
        heads, biased = raw["num_attention_heads"], family in ("llama", "qwen3") and bool(raw.get("attention_bias", False))
        windowed = family == "mistral" or raw.get("use_sliding_window")
        window = raw.get("sliding_window") if windowed else None
        config = DecoderConfig(
            vocabulary=raw["vocab_size"],
            width=raw["hidden_size"],
            layers=raw["num_hidden_layers"],
            heads=heads,
            kv_heads=raw.get("num_key_value_heads") or heads,
            head_width=raw.get("head_dim") or raw["hidden_size"] // heads,
            feed_forward=raw["intermediate_size"],
            context=min(raw.get("max_position_embeddings", 2048), window or 1 << 30),  # up to there a window hides nothing
            theta=float(rope.get("rope_theta", raw.get("rope_theta", 10000.0))),
            eps=float(raw.get("rms_norm_eps", 1e-6)),
            tied=bool(raw.get("tie_word_embeddings", False)),
            qkv_bias=family == "qwen2" or biased,
            out_bias=biased,
            qk_norm=family == "qwen3",
        )
        for size in SIZES:
            if type(getattr(config, size)) is not int or getattr(config, size) < 1:
                raise ValueError(f"{size} is {getattr(config, size)!r}, it must be a positive whole number")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, BadModel):
            raise
        raise BadModel(f"{path} cannot be read as a model config: {type(error).__name__} {error}") from error
    if raw.get("hidden_act", "silu") != "silu":
        raise BadModel(f"{path}: hidden_act {raw['hidden_act']!r} is not supported; supported: silu")
    return config, raw


def _names(c: DecoderConfig) -> dict[str, tuple[str, ...]]:
    """Our parameter -> the Hugging Face tensors it joins."""
    out: dict[str, tuple[str, ...]] = {"embed": ("model.embed_tokens.weight",), "norm": ("model.norm.weight",)}
    if not c.tied:
        out["untied"] = ("lm_head.weight",)
    for i in range(c.layers):
        hf, ours = f"model.layers.{i}.", f"layers.{i}."
        out[ours + "attention_norm"] = (hf + "input_layernorm.weight",)
        out[ours + "ff_norm"] = (hf + "post_attention_layernorm.weight",)
        out[ours + "qkv"] = tuple(f"{hf}self_attn.{x}_proj.weight" for x in "qkv")
        out[ours + "out"] = (hf + "self_attn.o_proj.weight",)
        out[ours + "gate_up"] = tuple(f"{hf}mlp.{x}_proj.weight" for x in ("gate", "up"))
        out[ours + "down"] = (hf + "mlp.down_proj.weight",)
        if c.qkv_bias:
            out[ours + "qkv_bias"] = tuple(f"{hf}self_attn.{x}_proj.bias" for x in "qkv")
        if c.out_bias:
            out[ours + "out_bias"] = (hf + "self_attn.o_proj.bias",)
        if c.qk_norm:
            out[ours + "q_norm"], out[ours + "k_norm"] = (hf + "self_attn.q_norm.weight",), (hf + "self_attn.k_norm.weight",)
    return out


def _parts(c: DecoderConfig, name: str) -> tuple[int, ...] | None:
    """How many rows each joined tensor has; None: the parameter is one tensor."""
    end = name.rsplit(".", 1)[-1]
    return c.qkv_rows if end.startswith("qkv") else (c.feed_forward,) * 2 if end == "gate_up" else None


def load_weights(folder: Path, config: DecoderConfig, dtype: torch.dtype = torch.float32) -> Decoder:
    """A decoder with the folder's weights. Raises BadModel naming the file or tensor that is missing or does not fit."""
    tensors = _read(folder)
    model = Decoder(config)
    own = dict(model.named_parameters())
    with torch.no_grad():
        for ours, theirs in _names(config).items():
            whole = own[ours]
            rows = _parts(config, ours) or (len(whole),)
            for name, place in zip(theirs, whole.split(rows)):
                found = tensors.pop(name, None)
                if found is None:
                    raise BadModel(f"{folder}: the weights lack {name!r}; the file does not match config.json")
                if found.shape != place.shape:
                    raise BadModel(f"{folder}: {name} has shape {list(found.shape)}, config.json asks for {list(place.shape)}")
                place.copy_(found)
    left = [name for name in tensors if not name.endswith("rotary_emb.inv_freq") and not (config.tied and name == "lm_head.weight")]
    if left:
        raise BadModel(f"{folder}: the weights hold {left[0]!r}, for which config.json leaves no place; such models are not supported yet")
    return model.to(dtype)


def _read(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder, from one file or from the shards that the index names."""
    index = folder / "model.safetensors.index.json"
    try:
        files = sorted(set(json.loads(index.read_text())["weight_map"].values())) if index.is_file() else ["model.safetensors"]
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise BadModel(f"{index} is not a valid index: {type(error).__name__} {error}") from error
    tensors: dict[str, Tensor] = {}
    for name in files:
        path = folder / name
        if path.parent != folder or not path.is_file():
            raise BadModel(f"{folder} has no {name}; weights must be safetensors (pickle files are never loaded)")
        try:
            with safe_open(str(path), "pt") as f:
                tensors.update({k: f.get_tensor(k) for k in f.keys()})  # noqa: SIM118 (not a dict)
        except SafetensorError as error:
            raise BadModel(f"{path} is not a valid safetensors file: {error}") from error
    return tensors


def save_weights(model: Decoder, folder: Path, dtype: torch.dtype | None = None) -> None:
    """Write model.safetensors with Hugging Face's names."""
    tensors: dict[str, Tensor] = {}
    own = dict(model.named_parameters())
    for ours, theirs in _names(model.config).items():
        value = own[ours].detach().cpu()
        value = value if dtype is None else value.to(dtype)
        pieces = value.split(_parts(model.config, ours) or (len(value),))
        tensors.update({t: p.contiguous() for t, p in zip(theirs, pieces)})
    save_file(tensors, str(folder / "model.safetensors"), {"format": "pt"})


def config_json(c: DecoderConfig, begin: int | None, end: int, pad: int, dtype: str = "float32") -> dict[str, Any]:
    """The config.json under which transformers loads what `save_weights` wrote."""
    family = "qwen3" if c.qk_norm else "qwen2" if c.qkv_bias and not c.out_bias else "llama"
    classes = {"qwen3": "Qwen3ForCausalLM", "qwen2": "Qwen2ForCausalLM", "llama": "LlamaForCausalLM"}
    return {
        "architectures": [classes[family]],
        "model_type": family,
        "vocab_size": c.vocabulary,
        "hidden_size": c.width,
        "num_hidden_layers": c.layers,
        "num_attention_heads": c.heads,
        "num_key_value_heads": c.kv_heads,
        "head_dim": c.head_width,
        "intermediate_size": c.feed_forward,
        "max_position_embeddings": c.context,
        "rope_theta": c.theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": c.theta},
        "rms_norm_eps": c.eps,
        "tie_word_embeddings": c.tied,
        "attention_bias": c.out_bias,
        "hidden_act": "silu",
        "bos_token_id": begin,
        "eos_token_id": end,
        "pad_token_id": pad,
        "dtype": dtype,
    }
