"""A config.json means here what it means to transformers: silence, null, both spellings, windows; and what is not decoded here is said.

A wrong default or window changes no shape: the model loads, writes plausible text, and is another model.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models.hub import LONGER, SHAPES, config_of, loaded, ours, reference, rewrite, rope, theirs
from tests.support import model_of
from thinkery.core.errors import BadModel
from thinkery.models.checkpoint import FAMILIES, native, read_config
from thinkery.models.decoder import Decoder, rotary_tables
from thinkery.models.foreign import ForeignDecoder
from thinkery.models.model import load_model

CLOSE = 1e-4  # of log-probabilities in float32


# ---- ways to write a config


@pytest.mark.parametrize("shape", SHAPES)
def test_the_spelling_of_transformers_4(shape: str, tmp_path: Path) -> None:
    """rope_theta beside rope_scaling, its type under either name, torch_dtype."""
    reference(shape, tmp_path)
    want, raw = read_config(tmp_path)[0], config_of(tmp_path)
    parameters = raw["rope_parameters"]
    scaling = None if parameters["rope_type"] == "default" else {k: v for k, v in parameters.items() if k != "rope_theta"}
    old = {"rope_theta": parameters["rope_theta"], "torch_dtype": "float32"}
    rewrite(tmp_path, ("rope_parameters", "dtype"), rope_scaling=scaling, **old)
    assert read_config(tmp_path)[0] == want
    if scaling:
        rewrite(tmp_path, rope_scaling={k: v for k, v in scaling.items() if k != "rope_type"} | {"type": scaling["rope_type"]})
        assert read_config(tmp_path)[0] == want
    load_model(tmp_path).save(tmp_path / "half", torch.bfloat16)
    saved = config_of(tmp_path / "half")
    assert (saved["torch_dtype"], saved["dtype"]) == ("bfloat16", "bfloat16")
    assert loaded(tmp_path / "half").dtype == torch.bfloat16


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_not_said_is_what_transformers_assumes(family: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    default = transformers.AutoConfig.for_model(family, use_sliding_window=True)
    for key in FAMILIES[family].keys() - {"rope_theta", "max_window_layers"}:
        assert FAMILIES[family][key] == getattr(default, key), key
    assert FAMILIES[family]["rope_theta"] == default.rope_parameters["rope_theta"]
    said = {"vocab_size": 64, "hidden_size": 256, "num_hidden_layers": 2, "num_attention_heads": 32, "intermediate_size": 80}
    said |= {"head_dim": 8} if family == "ministral" else {}  # transformers cannot do without
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family, **said}))
    found, module = (
        read_config(tmp_path)[0],
        transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.from_pretrained(tmp_path)),
    )
    shapes = {name.removeprefix("model.layers.0."): list(p.shape) for name, p in module.named_parameters() if ".1." not in name}
    assert shapes["self_attn.q_proj.weight"] == [found.heads * found.head_width, found.width]
    assert shapes["self_attn.k_proj.weight"] == [found.kv_heads * found.head_width, found.width]
    assert found.qkv_bias == ("self_attn.q_proj.bias" in shapes)
    assert found.out_bias == ("self_attn.o_proj.bias" in shapes)
    assert found.ff_bias == ("mlp.up_proj.bias" in shapes)
    assert found.qk_norm == ("self_attn.q_norm.weight" in shapes)
    assert found.tied == module.config.tie_word_embeddings


def test_null_is_not_silence(tmp_path: Path) -> None:
    """transformers derives what is null, and assumes a default for what is absent."""
    reference("qwen3", tmp_path)
    rewrite(tmp_path, head_dim=None, num_key_value_heads=None)
    found = read_config(tmp_path)[0]
    assert (found.head_width, found.kv_heads) == (12, 4)
    rewrite(tmp_path, ("head_dim", "num_key_value_heads"), num_attention_heads=32)
    found = read_config(tmp_path)[0]
    assert (found.head_width, found.kv_heads) == (128, 32)


WINDOWS = [
    ("llama", {"sliding_window": 8}, 64),
    ("mistral", {"sliding_window": 8}, 8),
    ("mistral", {"sliding_window": None}, 64),
    ("ministral", {"sliding_window": 8, "layer_types": ["full_attention", "sliding_attention"]}, 8),
    ("ministral", {"sliding_window": 8, "layer_types": ["full_attention", "full_attention"]}, 64),
    ("qwen2", {"sliding_window": 8, "use_sliding_window": False}, 64),
    ("qwen2", {"sliding_window": 8, "use_sliding_window": True, "max_window_layers": 1}, 8),
    ("qwen2", {"sliding_window": 8, "use_sliding_window": True, "max_window_layers": 2}, 64),
    ("qwen3", {"sliding_window": 8, "use_sliding_window": True, "layer_types": ["full_attention", "sliding_attention"]}, 8),
]


@pytest.mark.parametrize(("family", "changes", "context"), WINDOWS)
def test_a_window_bounds_the_context(family: str, changes: dict[str, Any], context: int, tmp_path: Path) -> None:
    """Inside the window it hides nothing, so all that is needed is to stay inside; beyond it transformers says other things."""
    model = reference(family, tmp_path, **changes)
    if "layer_types" not in changes:
        rewrite(tmp_path, ("layer_types",))
    mine = load_model(tmp_path)
    assert mine.decoder.config.context == context
    want = theirs(model, LONGER)[:context]
    assert (ours(mine, LONGER[:context]) - want).abs().max() < CLOSE
    beyond = replace(mine.decoder.config, context=64)
    mine.decoder.config, (mine.decoder.cos, mine.decoder.sin) = beyond, (t.float() for t in rotary_tables(beyond))
    same = (ours(mine, LONGER) - theirs(model, LONGER)).abs().max() < CLOSE
    assert bool(same) == (context == 64)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model_type": "mamba"}, "model_type mamba"),
        ({"model_type": "gemma2"}, "model_type gemma2"),
        ({"model_type": None}, "model_type None"),
        ({"model_type": ["llama"]}, r"model_type \['llama'\]"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope type dynamic, which has no fixed table"),
        ({"rope_parameters": {"rope_type": "longrope"}}, "rope type longrope"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor 0.5"),
        ({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "partial_rotary_factor 0.5"),
        ({"hidden_act": "gelu"}, "hidden_act gelu"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantised weights"),
    ],
)
def test_what_is_not_decoded_here_is_said(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    model_of().save(tmp_path / "m")
    assert native(tmp_path / "m") is None
    rewrite(tmp_path / "m", **changes)
    assert native(tmp_path / "m") is not None
    with pytest.raises(
        BadModel, match=f"{says}.* is not decoded here; supported: llama, mistral, .* with silu and rope linear, llama3, yarn"
    ):
        read_config(tmp_path / "m")


@pytest.mark.parametrize("changes", [{"rope_parameters": {**rope("dynamic")["rope_parameters"]}}, {"hidden_act": "gelu"}])
def test_a_family_with_what_is_not_decoded_here_runs_through_transformers(changes: dict[str, Any], tmp_path: Path) -> None:
    model = reference("llama", tmp_path, **changes)
    mine, reason = load_model(tmp_path), native(tmp_path)
    assert isinstance(mine.decoder, ForeignDecoder)
    assert reason is not None
    assert reason in mine.decoder.remark
    assert (ours(mine, LONGER) - theirs(model, LONGER)).abs().max() < CLOSE


@pytest.mark.parametrize(
    "changes",
    [
        {"rope_parameters": {"rope_type": "llama3", "factor": 4.0}},
        {"rope_parameters": {"rope_type": "linear", "factor": "far"}},
        {"rope_parameters": {"rope_type": "yarn", "factor": 0.0, "original_max_position_embeddings": -1}},
        {"num_key_value_heads": 3},
        {"head_dim": 15},
        {"rms_norm_eps": None},
    ],
)
def test_broken_values_are_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    model_of().save(tmp_path / "m")
    rewrite(tmp_path / "m", **changes)
    with pytest.raises(BadModel, match="cannot be read as a model config"):
        load_model(tmp_path / "m")


LLAMA32 = {"factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"}
PUBLISHED = [  # sizes as the checkpoints' config.json has them, and how many parameters they hold
    ("qwen3", 596_049_920, 40960, (151936, 1024, 28, 16, 8, 128, 3072), {"tie_word_embeddings": True, "max_position_embeddings": 40960}),
    ("qwen3", 8_190_735_360, 40960, (151936, 4096, 36, 32, 8, 128, 12288), {"max_position_embeddings": 40960}),
    ("qwen2", 494_032_768, 32768, (151936, 896, 24, 14, 2, None, 4864), {"tie_word_embeddings": True, "sliding_window": 32768}),
    ("llama", 1_235_814_400, 131072, (128256, 2048, 16, 32, 8, 64, 8192),
     {"tie_word_embeddings": True, "max_position_embeddings": 131072, "rope_scaling": LLAMA32}),
    ("llama", 134_515_008, 8192, (49152, 576, 30, 9, 3, None, 1536), {"tie_word_embeddings": True, "max_position_embeddings": 8192}),
    ("mistral", 7_241_732_096, 4096, (32000, 4096, 32, 32, 8, None, 14336), {"max_position_embeddings": 32768, "sliding_window": 4096}),
    ("mistral", 7_248_023_552, 32768, (32768, 4096, 32, 32, 8, None, 14336), {"max_position_embeddings": 32768, "sliding_window": None}),
]  # fmt: skip


@pytest.mark.parametrize(("family", "parameters", "context", "sizes", "more"), PUBLISHED)
def test_published_models_have_their_size(
    family: str, parameters: int, context: int, sizes: tuple[int, ...], more: dict[str, Any], tmp_path: Path
) -> None:
    """Qwen3 0.6B and 8B, Qwen2.5 0.5B, Llama 3.2 1B, SmolLM2 135M, Mistral 7B v0.1 and v0.3."""
    names = (
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "intermediate_size",
    )
    said = {name: size for name, size in zip(names, sizes) if size is not None}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family, **said, **more}))
    config = read_config(tmp_path)[0]
    assert config.context == context
    with torch.device("meta"):
        assert sum(p.numel() for p in Decoder(config).parameters()) == parameters
