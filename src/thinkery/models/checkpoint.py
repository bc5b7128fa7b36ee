"""Model folders in Hugging Face's format: config.json, safetensors (one file or shards), tokenizer files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..core.errors import BadModel
from ..core.reading import loads
from .decoder import Decoder, DecoderConfig
from .rope import KINDS, read_rope

COMMON = {"rms_norm_eps": 1e-6, "tie_word_embeddings": False, "hidden_act": "silu", "rope_theta": 10000.0, "max_window_layers": 28}
# what transformers assumes where a family's config.json is silent
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": COMMON | {"max_position_embeddings": 2048},
    "mistral": COMMON | {"max_position_embeddings": 131072, "num_key_value_heads": 8, "sliding_window": 4096},
    "ministral": COMMON | {"max_position_embeddings": 131072, "num_key_value_heads": 8, "sliding_window": 4096},
    "qwen2": COMMON | {"max_position_embeddings": 32768, "num_key_value_heads": 32, "sliding_window": 4096},
    "qwen3": COMMON | {"max_position_embeddings": 32768, "num_key_value_heads": 32, "head_dim": 128, "sliding_window": 4096},
    "seed_oss": COMMON | {"max_position_embeddings": 524288, "num_key_value_heads": 8, "head_dim": 128, "attention_bias": True},
}
CLASSES = {"qwen3": "Qwen3ForCausalLM", "qwen2": "Qwen2ForCausalLM", "llama": "LlamaForCausalLM", "seed_oss": "SeedOssForCausalLM"}
SIZES = ("vocabulary", "width", "layers", "heads", "kv_heads", "head_width", "feed_forward", "context")
SHARD_BYTES = 5 * 10**9
INDEX, ONE = "model.safetensors.index.json", "model.safetensors"


# ---- config.json


def read_raw(folder: Path) -> dict[str, Any]:
    """config.json as it stands. Raises BadModel where it is missing or no JSON object."""
    path = folder / "config.json"
    if not path.is_file():
        raise BadModel(f"{folder} has no config.json; give a Hugging Face model folder or a built-in size (tiny)")
    try:
        raw = loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadModel(f"{path} cannot be read as a model config: {type(error).__name__} {error}") from error
    if not isinstance(raw, dict):
        raise BadModel(f"{path} cannot be read as a model config: it holds a {type(raw).__name__}, not an object")
    return raw


def native(folder: Path) -> str | None:
    """None: the decoder computes this folder's model; else why it does not, in words. Raises BadModel for a broken config.json."""
    raw = read_raw(folder)
    family = raw.get("model_type")
    if not isinstance(family, str) or family not in FAMILIES:
        return f"model_type {family}"
    rope, act = _rope(raw), raw.get("hidden_act", "silu")
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", *KINDS):
        return f"rope type {kind}, which has no fixed table"
    if rope.get("partial_rotary_factor", 1) != 1:
        return f"partial_rotary_factor {rope['partial_rotary_factor']}"
    if raw.get("quantization_config"):
        return "quantised weights"
    return None if act == "silu" else f"hidden_act {act}"


def read_config(folder: Path) -> tuple[DecoderConfig, dict[str, Any]]:
    """The decoder's sizes and the whole config.json. Raises BadModel, also for what is not `native`."""
    path, reason = folder / "config.json", native(folder)
    if reason is not None:
        raise BadModel(f"{path}: {reason} is not decoded here; supported: {', '.join(FAMILIES)}, with silu and rope {', '.join(KINDS)}")
    raw = read_raw(folder)
    try:
        config = _config(raw)
        for size in SIZES:
            if type(getattr(config, size)) is not int or getattr(config, size) < 1:
                raise ValueError(f"{size} is {getattr(config, size)!r}, it must be a positive whole number")
        if config.heads % config.kv_heads or config.head_width % 2:
            shape = f"{config.heads} heads of {config.head_width} over {config.kv_heads} key-value heads"
            raise ValueError(f"{shape}: heads must be a multiple of key-value heads, and their width even")
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise BadModel(f"{path} cannot be read as a model config: {type(error).__name__} {error}") from error
    return config, raw


def _config(raw: dict[str, Any]) -> DecoderConfig:
    family = raw["model_type"]
    full = FAMILIES[family] | raw
    rope, heads, context = _rope(full), full["num_attention_heads"], full["max_position_embeddings"]
    scaled = read_rope(rope, context)
    if scaled is not None and scaled.kind == "yarn":  # often set by hand, with the context left as it was trained
        context = max(context, round(scaled.factor * scaled.original))
    biased = family in ("llama", "qwen3", "seed_oss") and bool(full.get("attention_bias"))
    return DecoderConfig(
        vocabulary=full["vocab_size"],
        width=full["hidden_size"],
        layers=full["num_hidden_layers"],
        heads=heads,
        kv_heads=full.get("num_key_value_heads") or heads,
        head_width=full.get("head_dim") or full["hidden_size"] // heads,
        feed_forward=full["intermediate_size"],
        context=min(context, _window(family, full) or context),  # up to there a window hides nothing
        theta=float(rope.get("rope_theta") or full["rope_theta"]),
        eps=float(full["rms_norm_eps"]),
        tied=bool(full["tie_word_embeddings"]),
        qkv_bias=family == "qwen2" or biased,
        out_bias=bool(full.get("attention_out_bias")) if family == "seed_oss" else biased,
        ff_bias=family in ("llama", "seed_oss") and bool(full.get("mlp_bias")),
        qk_norm=family == "qwen3",
        rope=scaled,
    )


def _rope(raw: dict[str, Any]) -> dict[str, Any]:
    """What a config says of rotary positions: rope_scaling beside rope_theta, or rope_parameters (transformers 5)."""
    found = raw.get("rope_scaling") or raw.get("rope_parameters") or {}
    outside = ("original_max_position_embeddings", "partial_rotary_factor")
    return {key: raw[key] for key in outside if raw.get(key) is not None} | found if isinstance(found, dict) else {"rope_type": found}


def _window(family: str, full: dict[str, Any]) -> int | None:
    """How many tokens back a layer with a sliding window sees; None: every layer sees all."""
    kinds, layers = full.get("layer_types"), full["num_hidden_layers"]
    if family in ("qwen2", "qwen3"):
        windowed = full.get("use_sliding_window") and ("sliding_attention" in kinds if kinds else layers > full["max_window_layers"])
    else:
        windowed = family == "mistral" or (family == "ministral" and (not kinds or "sliding_attention" in kinds))
    return full["sliding_window"] if windowed else None


def config_json(c: DecoderConfig, begin: int | None, end: int, pad: int, dtype: str, raw: dict[str, Any] | None = None) -> dict[str, Any]:
    """The config.json under which transformers loads what `save_weights` wrote: the one that was read (`raw`), or a new one."""
    if raw is not None:
        return raw | {key: dtype for key in ("dtype", "torch_dtype") if key == "dtype" or key in raw}
    family = "qwen3" if c.qk_norm else "llama" if c.qkv_bias == c.out_bias else "seed_oss" if c.out_bias or c.ff_bias else "qwen2"
    rope: dict[str, Any] = {"rope_type": "default"} if c.rope is None else c.rope.json()
    return {
        "architectures": [CLASSES[family]],
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
        "rope_parameters": rope | {"rope_theta": c.theta},
        "rms_norm_eps": c.eps,
        "tie_word_embeddings": c.tied,
        "attention_bias": c.qkv_bias,
        "attention_out_bias": c.out_bias,
        "mlp_bias": c.ff_bias,
        "hidden_act": "silu",
        "bos_token_id": begin,
        "eos_token_id": end,
        "pad_token_id": pad,
        "dtype": dtype,
    }


# ---- weights


def _names(c: DecoderConfig) -> dict[str, tuple[str, ...]]:
    """Our parameter -> the Hugging Face tensors it joins."""
    out: dict[str, tuple[str, ...]] = {"embed": ("model.embed_tokens.weight",), "norm": ("model.norm.weight",)}
    if not c.tied:
        out["untied"] = ("lm_head.weight",)
    for i in range(c.layers):
        attention, mlp = f"model.layers.{i}.self_attn.", f"model.layers.{i}.mlp."
        joined = {
            "qkv": (tuple(f"{attention}{x}_proj" for x in "qkv"), c.qkv_bias),
            "out": ((f"{attention}o_proj",), c.out_bias),
            "gate_up": ((f"{mlp}gate_proj", f"{mlp}up_proj"), c.ff_bias),
            "down": ((f"{mlp}down_proj",), c.ff_bias),
        }
        ours = f"layers.{i}."
        out[ours + "attention_norm"] = (f"model.layers.{i}.input_layernorm.weight",)
        out[ours + "ff_norm"] = (f"model.layers.{i}.post_attention_layernorm.weight",)
        for name, (theirs, biased) in joined.items():
            out[ours + name] = tuple(f"{x}.weight" for x in theirs)
            if biased:
                out[f"{ours}{name}_bias"] = tuple(f"{x}.bias" for x in theirs)
        if c.qk_norm:
            out[ours + "q_norm"], out[ours + "k_norm"] = (f"{attention}q_norm.weight",), (f"{attention}k_norm.weight",)
    return out


def _places(model: Decoder) -> dict[str, Tensor]:
    """A Hugging Face tensor's name -> the part of a parameter that it is, sharing its memory."""
    c, own = model.config, dict(model.named_parameters())
    out: dict[str, Tensor] = {}
    for ours, theirs in _names(c).items():
        whole, end = own[ours].detach(), ours.rsplit(".", 1)[-1].removesuffix("_bias")
        rows = {"qkv": c.qkv_rows, "gate_up": (c.feed_forward, c.feed_forward)}.get(end, (len(whole),))
        out.update(zip(theirs, whole.split(rows)))
    return out


def load_weights(folder: Path, config: DecoderConfig, dtype: torch.dtype = torch.float32) -> Decoder:
    """A decoder with the folder's weights in `dtype`. Raises BadModel naming the file or tensor that is missing or does not fit."""
    model = Decoder(config).to(dtype)
    places, head = _places(model), None
    for name, tensor in _read(folder):
        place = places.pop(name, None)
        if config.tied and name == "lm_head.weight":
            head = tensor
        elif place is not None and tensor.shape != place.shape:
            raise BadModel(f"{folder}: {name} has shape {list(tensor.shape)}, config.json asks for {list(place.shape)}")
        elif place is not None:
            place.copy_(tensor)
        elif not name.endswith("rotary_emb.inv_freq"):
            raise BadModel(f"{folder}: the weights hold {name!r}, for which config.json leaves no place")
    if places:
        raise BadModel(f"{folder}: the weights lack {next(iter(places))!r}; the file does not match config.json")
    if head is not None and not torch.equal(head.to(dtype), model.embed):
        raise BadModel(
            f"{folder}: lm_head.weight is not the embedding, though config.json ties them; set tie_word_embeddings to false there"
        )
    return model


def _read(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a folder by itself, from one file or from the shards that the index names."""
    index = folder / INDEX
    try:
        files = sorted({str(f) for f in loads(index.read_text())["weight_map"].values()}) if index.is_file() else [ONE]
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise BadModel(f"{index} is not a valid index: {type(error).__name__} {error}") from error
    for name in files:
        path = folder / name
        if path.parent != folder or not os.path.isfile(path):
            raise BadModel(
                f"{folder} has no {name}; weights must be safetensors (pickle files are never loaded): "
                "load an old pytorch_model.bin with transformers and save_pretrained it again"
            )
        try:
            with safe_open(str(path), "pt") as f:
                for key in f.keys():  # noqa: SIM118 (not a dict)
                    yield key, f.get_tensor(key)
        except SafetensorError as error:
            raise BadModel(f"{path} is not a valid safetensors file: {error}") from error


def save_weights(model: Decoder, folder: Path, dtype: torch.dtype | None = None, max_shard_bytes: int = SHARD_BYTES) -> None:
    """Write the weights under Hugging Face's names: model.safetensors, or shards of at most so many bytes (or one tensor) and their index."""
    places = _places(model)
    sizes = {name: t.numel() * (dtype or t.dtype).itemsize for name, t in places.items()}
    shards: list[list[str]] = [[]]
    for name, size in sizes.items():
        if shards[-1] and sum(sizes[n] for n in shards[-1]) + size > max_shard_bytes:
            shards.append([])
        shards[-1].append(name)
    files = [ONE] if len(shards) == 1 else [f"model-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
    for file, shard in zip(files, shards):
        save_file({n: places[n].to("cpu", dtype).contiguous() for n in shard}, str(folder / file), {"format": "pt"})
    if len(shards) > 1:
        where = {name: file for file, shard in zip(files, shards) for name in shard}
        index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": where}
        (folder / INDEX).write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")
