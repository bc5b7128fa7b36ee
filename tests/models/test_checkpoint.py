"""Folders load as transformers loads them and save without loss; a tensor read under the wrong name or shape would be a silently worse model."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models.hub import IDS, reference
from tests.support import TINY, VARIANTS, model_of
from thinkery.core.errors import BadModel, InputError, UnknownName
from thinkery.learning import optimizer
from thinkery.learning.recipe import Optimizer
from thinkery.models.layout import rectangle
from thinkery.models.model import Model, load_model, new_model
from thinkery.models.tokenizer import character_tokenizer, train_tokenizer


def logits_of(model: Model, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model.decoder.logits(model.decoder(rectangle([ids])))


# ---- transformers


@pytest.mark.parametrize("variant", VARIANTS)
def test_transformers_loads_what_we_save(variant: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model = model_of(VARIANTS[variant])
    model.save(tmp_path / "m")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "m")
    with torch.no_grad():
        want = theirs(torch.tensor([IDS])).logits[0]
    assert (logits_of(model, IDS) - want).abs().max() < 1e-4 * want.abs().max().clamp_min(1)
    assert tuple(tokenizer("12+3=", add_special_tokens=False)["input_ids"]) == model.tokenizer.encode("12+3=")
    assert tuple(tokenizer("12+3=")["input_ids"]) == (*model.tokenizer.start, *model.tokenizer.encode("12+3="))
    assert tokenizer.eos_token_id == model.tokenizer.end


# ---- save and load


@pytest.mark.parametrize("variant", VARIANTS)
def test_save_and_load_are_bit_equal(variant: str, tmp_path: Path) -> None:
    model = model_of(VARIANTS[variant])
    model.save(tmp_path / "m")
    again = load_model(tmp_path / "m")
    assert again.decoder.config == model.decoder.config
    own = dict(model.decoder.named_parameters())
    assert all(torch.equal(p, own[n]) for n, p in again.decoder.named_parameters())
    assert torch.equal(logits_of(again, IDS), logits_of(model, IDS))
    assert again.tokenizer.signature == model.tokenizer.signature
    model.save(tmp_path / "m")  # over an existing folder
    assert not list(tmp_path.glob(".m-*")), "nothing is left lying about"


def test_shards_of_transformers_load(tmp_path: Path) -> None:
    whole = reference("llama", tmp_path / "one")
    whole.save_pretrained(tmp_path / "many", max_shard_size="40KB")
    character_tokenizer().save(tmp_path / "many", 64)
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 2
    assert torch.equal(logits_of(load_model(tmp_path / "many"), IDS), logits_of(load_model(tmp_path / "one"), IDS))


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_trained_model_saved_and_loaded_gives_the_same(kind: str, tmp_path: Path, fresh: Model) -> None:
    """Fused optimizers write weights without telling autograd: what was packed from them must be packed anew."""
    before = fresh.logprobs("1+2=", "345")
    optimizers = optimizer.build(Optimizer(kind=kind), fresh.decoder)
    gradient = torch.randn(sum(p.numel() for p in fresh.decoder.parameters()), generator=torch.Generator().manual_seed(0))
    optimizer.apply(Optimizer(kind=kind, lr=0.01), optimizers, fresh.decoder, gradient, 1.0)
    after = fresh.logprobs("1+2=", "345")
    assert not torch.allclose(after, before, atol=1e-3)
    fresh.save(tmp_path / "m")
    assert torch.equal(load_model(tmp_path / "m").logprobs("1+2=", "345"), after)


def test_half_precision_is_saved_and_close(tmp_path: Path, tiny: Model) -> None:
    tiny.save(tmp_path / "m", torch.bfloat16)
    assert json.loads((tmp_path / "m" / "config.json").read_text())["dtype"] == "bfloat16"
    assert load_file(str(tmp_path / "m" / "model.safetensors"))["model.norm.weight"].dtype == torch.bfloat16
    again = load_model(tmp_path / "m")
    assert again.decoder.embed.dtype == torch.float32
    assert (again.logprobs("1+2=", "345") - tiny.logprobs("1+2=", "345")).abs().max() < 0.2


@pytest.mark.parametrize("variant", VARIANTS)
def test_bfloat16_compute_is_close(variant: str, tmp_path: Path) -> None:
    model = model_of(VARIANTS[variant], sharp=1.0)
    model.save(tmp_path / "m")
    half = load_model(tmp_path / "m", dtype=torch.bfloat16)
    assert half.decoder.dtype == torch.bfloat16
    assert half.decoder.embed.dtype == torch.float32
    found = half.logprobs("1+2=", "345")
    assert found.dtype == torch.float32
    assert 0 < (found - model.logprobs("1+2=", "345")).abs().max() < 0.15


# ---- refusals


@pytest.fixture
def folder(tmp_path: Path, tiny: Model) -> Path:
    tiny.save(tmp_path / "m")
    return tmp_path / "m"


def config(folder: Path, **changes: Any) -> None:
    raw = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(raw | changes))


def weights(folder: Path, change: Any) -> None:
    tensors = load_file(str(folder / "model.safetensors"))
    change(tensors)
    save_file(tensors, str(folder / "model.safetensors"))


def test_missing_files_are_named(folder: Path) -> None:
    for name, says in {
        "model.safetensors": r"has no model.safetensors; weights must be safetensors \(pickle files are never loaded\)",
        "tokenizer.json": r"has no tokenizer.json; save the tokenizer",
        "config.json": r"has no config.json; give a Hugging Face model folder",
    }.items():
        (folder / name).unlink()
        with pytest.raises(BadModel, match=says):
            load_model(folder)
        if name == "model.safetensors":
            torch.save({"model.norm.weight": torch.ones(3)}, folder / "pytorch_model.bin")
            with pytest.raises(
                BadModel,
                match=r"pickle files are never loaded.: load an old pytorch_model.bin with transformers and save_pretrained it again",
            ):
                load_model(folder)


def test_unknown_folder() -> None:
    with pytest.raises(UnknownName, match=r"unknown model 'no/such/folder'.*Give a built-in size"):
        load_model("no/such/folder")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"hidden_size": "wide"}, "cannot be read as a model config: .* width is 'wide'"),
        ({"num_hidden_layers": 0}, "layers is 0, it must be a positive whole number"),
        ({"hidden_size": 16, "head_dim": 16}, "has shape .* config.json asks for"),
        ({"num_hidden_layers": 3}, "lack 'model.layers.2"),
        ({"num_hidden_layers": 1}, "hold .model.layers.1.*config.json leaves no place"),
        ({"tie_word_embeddings": False}, "lack 'lm_head.weight'"),
        ({"vocab_size": 63}, "has shape"),
        ({"attention_bias": True}, "lack 'model.layers.0.self_attn.q_proj.bias'"),
    ],
)
def test_configs_that_do_not_fit_are_refused(folder: Path, changes: dict[str, Any], says: str) -> None:
    config(folder, **changes)
    with pytest.raises(BadModel, match=says):
        load_model(folder)


def test_a_config_without_sizes_is_refused(folder: Path) -> None:
    raw = json.loads((folder / "config.json").read_text())
    del raw["num_attention_heads"]
    (folder / "config.json").write_text(json.dumps(raw))
    with pytest.raises(BadModel, match="cannot be read as a model config: KeyError 'num_attention_heads'"):
        load_model(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(BadModel, match="cannot be read as a model config: JSONDecodeError"):
        load_model(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(BadModel, match="cannot be read"):
        load_model(folder)


def test_tensors_that_do_not_fit_are_refused(folder: Path) -> None:
    for extra in ("model.layers.0.self_attn.o_proj.bias", "model.layers.1.mlp.gate_proj.bias"):
        weights(folder, lambda t, extra=extra: t.update({extra: torch.ones(32)}))
        with pytest.raises(BadModel, match=f"hold '{extra}', for which config.json leaves no place"):
            load_model(folder)
        weights(folder, lambda t, extra=extra: t.pop(extra))
    weights(folder, lambda t: t.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)}))
    load_model(folder)
    weights(folder, lambda t: t.pop("model.layers.1.mlp.up_proj.weight"))
    with pytest.raises(BadModel, match=r"lack 'model.layers.1.mlp.up_proj.weight'"):
        load_model(folder)


def test_parts_of_the_right_total_but_wrong_sizes_are_refused(folder: Path) -> None:
    """q, k, v are one matrix here: sizes that only add up to the right number would be read as each other."""

    def shift(t: dict[str, torch.Tensor]) -> None:
        q, k = t["model.layers.0.self_attn.q_proj.weight"], t["model.layers.0.self_attn.k_proj.weight"]
        t["model.layers.0.self_attn.q_proj.weight"], t["model.layers.0.self_attn.k_proj.weight"] = q[:-16].clone(), torch.cat([k, q[-16:]])

    weights(folder, shift)
    with pytest.raises(BadModel, match=r"[qk]_proj.weight.*shape"):
        load_model(folder)


def test_damaged_files_are_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for cut in (len(whole) - 10, 100, 4, 0):
        path.write_bytes(whole[:cut])
        with pytest.raises(BadModel, match=r"model.safetensors is not a valid safetensors file"):
            load_model(folder)
    path.write_bytes(whole)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../../outside.safetensors"}}')
    with pytest.raises(BadModel, match=r"has no ../../outside.safetensors"):
        load_model(folder)
    for broken in ("{", "{}", "[]", '{"weight_map": ["x"]}'):
        (folder / "model.safetensors.index.json").write_text(broken)
        with pytest.raises(BadModel, match="not a valid index"):
            load_model(folder)


def test_a_vocabulary_that_does_not_fit_is_refused(folder: Path) -> None:
    train_tokenizer(["some text"] * 3, 300).save(folder, 64)
    with pytest.raises(BadModel, match=r"the tokenizer has \d+ tokens, the embedding only 64; the tokenizer belongs to another model"):
        load_model(folder)


def test_a_broken_tokenizer_is_refused(folder: Path) -> None:
    kept = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(BadModel, match=r"tokenizer.json cannot be read as a tokenizer"):
        load_model(folder)
    (folder / "tokenizer.json").write_text(kept)
    (folder / "tokenizer_config.json").write_text("{")
    with pytest.raises(BadModel, match="is not valid JSON"):
        load_model(folder)
    for name in ("tokenizer_config.json", "generation_config.json"):
        (folder / name).unlink()
    config(folder, eos_token_id=None)
    with pytest.raises(BadModel, match="names no end token: set eos_token"):
        load_model(folder)


# ---- tokenizers


def test_characters_round_trip() -> None:
    tokenizer = character_tokenizer()
    text = "12+3=15; is it?\n[ok] 50%"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(tokenizer.encode(text)) == len(text)
    assert tokenizer.decode((1, *tokenizer.encode("a"), 2, 0)) == "a"
    with pytest.raises(InputError, match=r"lacks the character 'é' in 'caf.*'; use a model whose tokenizer covers"):
        tokenizer.encode("café")


def test_special_tokens_in_a_text_stay_text() -> None:
    """A user who types the end token must not end the reply."""
    for tokenizer in (character_tokenizer(), train_tokenizer(["a </s> b"] * 3, 270)):
        ids = tokenizer.encode("a</s>b<s>")
        assert tokenizer.end not in ids
        assert tokenizer.begin not in ids
        assert tokenizer.decode(ids) == "a</s>b<s>"


def test_learnt_vocabulary_keeps_digits_apart(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(["12345 + 12345 = 24690"] * 20, 300)
    assert len(tokenizer.encode("12345")) == 5
    text = "any text: é 字 \n\t 123"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    config = replace(TINY, vocabulary=320)
    new_model(config, tokenizer, "learnt").save(tmp_path / "m")
    again = load_model(tmp_path / "m").tokenizer
    assert again.encode(text) == tokenizer.encode(text)
    assert (again.start, again.end, again.pad) == (tokenizer.start, tokenizer.end, tokenizer.pad)


def test_a_folder_moves(folder: Path, tmp_path: Path, tiny: Model) -> None:
    shutil.move(folder, tmp_path / "elsewhere")
    model = load_model(tmp_path / "elsewhere")
    assert model.name == "elsewhere"
    assert torch.equal(model.logprobs("1", "2"), tiny.logprobs("1", "2"))
