"""A Hugging Face model means here what it means to transformers: every family, every way to write its config, in both directions.

A wrong table of positions, bias, default or end token changes no shape: the model loads, writes plausible text, and is another model.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.models.hub import IDS, LONGER, SHAPES, loaded, ours, reference, rope, theirs
from tests.support import TINY, asked, model_of, twin
from thinkery.core.context import Context, Turn
from thinkery.core.errors import BadModel
from thinkery.engines.local import LocalEngine
from thinkery.engines.plan_cpu import CpuPlan
from thinkery.engines.plan_torch import TorchPlan
from thinkery.engines.session import Session
from thinkery.engines.transformers_engine import TransformersEngine
from thinkery.models.checkpoint import FAMILIES, native, read_config
from thinkery.models.decoder import Decoder, rotary_tables
from thinkery.models.foreign import ForeignDecoder
from thinkery.models.layout import rectangle
from thinkery.models.model import load_model, new_model
from thinkery.models.rope import Rope
from thinkery.models.tokenizer import character_tokenizer

CLOSE = 1e-4  # of log-probabilities in float32
SCALED = [s for s in SHAPES if any(kind in s for kind in ("linear", "llama3", "yarn"))]
BIASED = ["llama, all biases", "seed_oss, no bias out"]


def config_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())  # type: ignore[no-any-return]


def rewrite(folder: Path, drop: tuple[str, ...] = (), name: str = "config.json", **changes: Any) -> None:
    path = folder / name
    raw = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({k: v for k, v in raw.items() if k not in drop} | changes))


def greedy(folder: Path, prompt: list[int], tokens: int, way: str = "compiled") -> Any:
    """The turn that one of our engines writes after token ids."""
    model = load_model(folder)
    model.decoder.plain = way == "plain"
    engine: Any = TransformersEngine(model) if way == "transformers" else LocalEngine(model)
    assert way == "transformers" or isinstance(engine.plan, TorchPlan if way == "plain" else CpuPlan)
    context = Context(model.tokenizer, None, tuple(prompt))

    async def write(session: Session) -> Turn:
        return await session.ask(context)

    (turn,) = asked(engine, write, max_tokens=tokens, temperature=0.0)
    if isinstance(turn, BaseException):
        raise turn
    return turn


def generated(model: Any, prompt: list[int], tokens: int) -> tuple[int, ...]:
    """What transformers writes after token ids."""
    ids = torch.tensor([prompt])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False)
    return tuple(out[0, len(prompt) :].tolist())


# ---- the same model


@pytest.mark.parametrize("shape", SHAPES)
def test_log_probabilities_and_greedy_tokens_are_those_of_transformers(shape: str, tmp_path: Path) -> None:
    model = reference(shape, tmp_path)
    assert native(tmp_path) is None
    mine, want = load_model(tmp_path), theirs(model, LONGER)
    for way in ("compiled", "plain"):
        assert (ours(mine, LONGER, way == "plain") - want).abs().max() < CLOSE
        written = greedy(tmp_path, IDS, 24, way)
        assert written.ids == generated(model, IDS, 24)
        after = theirs(model, [*IDS, *written.ids])[len(IDS) - 1 : -1]
        assert (torch.tensor(written.logp) - after.gather(1, torch.tensor(written.ids)[:, None])[:, 0]).abs().max() < CLOSE


@pytest.mark.parametrize("shape", SCALED)
def test_the_scaling_matters_where_it_is_tested(shape: str, tmp_path: Path) -> None:
    model = reference(shape, tmp_path)
    mine = load_model(tmp_path)
    mine.decoder.cos, mine.decoder.sin = (t.float() for t in rotary_tables(replace(mine.decoder.config, rope=None)))
    assert (ours(mine, LONGER) - theirs(model, LONGER)).abs().max() > 100 * CLOSE


@pytest.mark.parametrize("shape", [*SCALED[::2], *BIASED])
def test_gradients_go_through_scaled_positions_and_biases(shape: str, tmp_path: Path) -> None:
    reference(shape, tmp_path)
    layout, found = rectangle([LONGER[:20], LONGER[5:25]]), []
    for plain in (False, True):
        decoder = twin(load_model(tmp_path).decoder, torch.float64, plain)
        decoder.logits(decoder(layout)).log_softmax(-1)[:, 7].sum().backward()
        found.append({name: p.grad for name, p in decoder.named_parameters()})
    for name, wanted in found[1].items():
        assert torch.allclose(found[0][name], wanted, rtol=1e-9, atol=1e-9), name
        assert wanted.abs().max() > 0, name


@pytest.mark.parametrize("shape", SHAPES)
def test_transformers_loads_what_we_save_as_what_it_was(shape: str, tmp_path: Path) -> None:
    """Into shards and back, the same family, the same bits."""
    model = reference(shape, tmp_path / "a")
    rewrite(tmp_path / "a", a_key_of_another="kept", use_cache=False)
    load_model(tmp_path / "a").save(tmp_path / "b", max_shard_bytes=20_000)
    assert len(list((tmp_path / "b").glob("model-*-of-*.safetensors"))) > 2
    assert config_of(tmp_path / "b") == config_of(tmp_path / "a")
    again = loaded(tmp_path / "b")
    assert type(again) is type(model)
    assert torch.equal(theirs(again, LONGER), theirs(model, LONGER))
    assert torch.equal(ours(load_model(tmp_path / "b"), LONGER), ours(load_model(tmp_path / "a"), LONGER))


@pytest.mark.parametrize("shape", [s for s in SHAPES if "mistral" not in s and "ministral" not in s])
def test_a_new_model_of_any_shape_is_read_by_transformers(shape: str, tmp_path: Path) -> None:
    """Nothing was read that could be saved again: the config is written from the sizes alone."""
    reference(shape, tmp_path / "a")
    mine = new_model(load_model(tmp_path / "a").decoder.config, character_tokenizer(), "new")
    with torch.no_grad():
        for p in mine.decoder.parameters():
            p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(1)) * 0.2)
    mine.save(tmp_path / "b")
    assert load_model(tmp_path / "b").decoder.config == mine.decoder.config
    assert (theirs(loaded(tmp_path / "b"), LONGER) - ours(mine, LONGER)).abs().max() < CLOSE


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


# ---- tensors


def test_an_output_matrix_beside_tied_embeddings(tmp_path: Path) -> None:
    """Some files hold it all the same; where it is another matrix, nobody knows which was meant."""
    model = reference("llama", tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(str(path))
    save_file(tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"].clone()}, str(path), {"format": "pt"})
    assert (ours(load_model(tmp_path), IDS) - theirs(model, IDS)).abs().max() < CLOSE
    save_file(tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"] + 1}, str(path), {"format": "pt"})
    with pytest.raises(
        BadModel, match=r"lm_head.weight is not the embedding, though config.json ties them; set tie_word_embeddings to false"
    ):
        load_model(tmp_path)
    rewrite(tmp_path, tie_word_embeddings=False)
    assert (ours(load_model(tmp_path), IDS) - theirs(loaded(tmp_path), IDS)).abs().max() < CLOSE


def test_a_missing_shard_and_a_missing_tensor_are_named(tmp_path: Path) -> None:
    model_of().save(tmp_path / "m", max_shard_bytes=10_000)
    shards = sorted((tmp_path / "m").glob("*.safetensors"))
    index = json.loads((tmp_path / "m" / "model.safetensors.index.json").read_text())
    assert {p.name for p in shards} == set(index["weight_map"].values())
    assert index["metadata"]["total_size"] == sum(t.nbytes for p in shards for t in load_file(str(p)).values())
    for path in shards:
        with safe_open(str(path), "pt") as f:
            names = list(f.keys())
        assert all(index["weight_map"][name] == path.name for name in names)
        assert len(names) == 1 or path.stat().st_size < 12_000
    kept = shards[1].read_bytes()
    shards[1].unlink()
    with pytest.raises(BadModel, match=f"has no {shards[1].name}; weights must be safetensors"):
        load_model(tmp_path / "m")
    shards[1].write_bytes(kept)
    index["weight_map"] = {k: v for k, v in index["weight_map"].items() if v != shards[1].name}
    (tmp_path / "m" / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(BadModel, match=r"the weights lack 'model\..*'; the file does not match config.json"):
        load_model(tmp_path / "m")


def test_bfloat16_files_are_read_and_written(tmp_path: Path) -> None:
    reference("qwen3", tmp_path / "a").to(torch.bfloat16).save_pretrained(tmp_path / "half")
    character_tokenizer().save(tmp_path / "half", 64)
    mine = load_model(tmp_path / "half")
    assert mine.decoder.embed.dtype == torch.float32
    wide = loaded(tmp_path / "half").float()
    assert (ours(mine, LONGER) - theirs(wide, LONGER)).abs().max() < CLOSE
    mine.save(tmp_path / "again", torch.bfloat16, max_shard_bytes=20_000)
    before = load_file(str(tmp_path / "half" / "model.safetensors"))
    after = {k: v for p in (tmp_path / "again").glob("*.safetensors") for k, v in load_file(str(p)).items()}
    assert before.keys() == after.keys()
    assert all(torch.equal(before[k], after[k]) and after[k].dtype == torch.bfloat16 for k in before)


# ---- end tokens


@pytest.mark.parametrize("where", ["generation_config.json", "config.json"])
@pytest.mark.parametrize("way", ["compiled", "plain", "transformers"])
def test_a_reply_ends_at_any_of_the_end_tokens(where: str, way: str, tmp_path: Path) -> None:
    model = reference("llama, untied", tmp_path)
    whole = greedy(tmp_path, IDS, 24).ids
    third = next(t for t in whole[3:] if t not in whole[:3])
    (tmp_path / "generation_config.json").unlink()
    rewrite(tmp_path, name=where, eos_token_id=[2, third])
    mine = load_model(tmp_path)
    assert (mine.tokenizer.end, mine.tokenizer.ends) == (2, {2, third})
    turn = greedy(tmp_path, IDS, 24, way)
    assert turn.ended == "stop"
    assert turn.ids == whole[: whole.index(third) + 1]
    assert turn.text == mine.tokenizer.decode(turn.ids[:-1])
    assert turn.ids == generated(loaded(tmp_path), IDS, 24)
    assert generated(model, IDS, 24) == whole


def test_what_generation_was_told_is_saved_again(tmp_path: Path) -> None:
    reference("llama", tmp_path / "a")
    told = {"eos_token_id": [2, 40], "temperature": 0.6, "do_sample": True, "top_p": 0.9, "bos_token_id": 1}
    (tmp_path / "a" / "generation_config.json").write_text(json.dumps(told))
    load_model(tmp_path / "a").save(tmp_path / "b")
    assert json.loads((tmp_path / "b" / "generation_config.json").read_text()) == told
    assert load_model(tmp_path / "b").tokenizer.ends == {2, 40}
    new = new_model(TINY, character_tokenizer(), "new")
    new.save(tmp_path / "c")
    assert json.loads((tmp_path / "c" / "generation_config.json").read_text())["eos_token_id"] == 2


# ---- positions


def test_a_stretch_by_one_changes_nothing() -> None:
    plain = rotary_tables(TINY)
    for kind in ("linear", "llama3", "yarn"):
        table = rotary_tables(replace(TINY, rope=Rope(kind, 1.0, 32, 1.0, 4.0)))
        assert all(torch.allclose(x, y, atol=1e-12) for x, y in zip(table, plain))


def test_yarn_reaches_as_far_as_it_stretches(tmp_path: Path) -> None:
    """It is switched on by hand, in a config whose context stays what the model was trained on."""
    model = reference("qwen2", tmp_path, max_position_embeddings=16)
    assert read_config(tmp_path)[0].context == 16
    rewrite(tmp_path, **rope("yarn", original_max_position_embeddings=16))
    assert read_config(tmp_path)[0].context == 64
    assert (ours(load_model(tmp_path), LONGER) - theirs(loaded(tmp_path), LONGER)).abs().max() < CLOSE
    assert (theirs(loaded(tmp_path), LONGER) - theirs(model, LONGER)).abs().max() > 100 * CLOSE
