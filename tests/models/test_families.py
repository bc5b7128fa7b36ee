"""A Hugging Face model means here what it means to transformers: every family, in both directions, to its last token.

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

from tests.models.hub import IDS, LONGER, SHAPES, config_of, loaded, ours, reference, rewrite, rope, theirs
from tests.support import TINY, asked, model_of, twin
from thinkery.core.context import Context, Turn
from thinkery.core.errors import BadModel
from thinkery.engines.local import LocalEngine
from thinkery.engines.plan_cpu import CpuPlan
from thinkery.engines.plan_torch import TorchPlan
from thinkery.engines.session import Session
from thinkery.engines.transformers_engine import TransformersEngine
from thinkery.models.checkpoint import native, read_config
from thinkery.models.decoder import rotary_tables
from thinkery.models.layout import rectangle
from thinkery.models.model import load_model, new_model
from thinkery.models.rope import Rope
from thinkery.models.tokenizer import character_tokenizer

CLOSE = 1e-4  # of log-probabilities in float32
SCALED = [s for s in SHAPES if any(kind in s for kind in ("linear", "llama3", "yarn"))]
BIASED = ["llama, all biases", "seed_oss, no bias out"]


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
