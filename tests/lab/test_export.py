"""What leaves the laboratory must be the same model elsewhere: a head turned the wrong way or a vocabulary split otherwise still loads, and
writes nonsense."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.models.families import write as family
from tests.support import TINY, VARIANTS, model_of
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.trainers import BpeTrainer

from thinkery.core.errors import BadConfig, BadModel, UnknownName
from thinkery.lab.export import SPLITS, WHOLE, commands, export, interleaved, model_folder, rope, vocabulary
from thinkery.models.adapters import Lora, attach
from thinkery.models.checkpoint import read_config
from thinkery.models.layout import rectangle
from thinkery.models.model import Model, load_model, new_model
from thinkery.models.rope import Rope
from thinkery.models.tokenizer import load_tokenizer, train_tokenizer

TEXTS = ["the cat sat on 12 mats, isn't it? We'll see 345 Dogs.\n\n  indent", "3+4=7 1234567 I'M HERE  \t\r\n naïve café 日本語 😀"] * 5
ASKED = [
    "the cat isn't 12345 dogs",
    "  I'M HERE\n\n café 日本語 😀😀 x  y",
    "naïve WE'LL\r\n\t12 34.5",
    "<|im_start|>user <think> a",
    "½ 三 １２３ ٣٤",
]
IDS = [1, 30, 31, 5, 9, 9, 40, 63, 2, 17, 200, 250]
KINDS: dict[str, dict[str, Any]] = {
    "llama": {"tie_word_embeddings": False},
    "llama biased": {"attention_bias": True},
    "mistral": {"sliding_window": None},
    "qwen2": {},
    "qwen3": {"head_dim": 128},  # what transformers takes for granted when it reads a gguf file of this family
    "llama linear": {"rope_parameters": {"rope_type": "linear", "rope_theta": 5000.0, "factor": 2.0}},
    "llama scaled": {
        "max_position_embeddings": 128,
        "rope_parameters": {
            "rope_type": "llama3", "rope_theta": 5000.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        },
    },
    "qwen2 yarn": {
        "max_position_embeddings": 128,
        "rope_parameters": {"rope_type": "yarn", "rope_theta": 5000.0, "factor": 4.0, "original_max_position_embeddings": 32},
    },
}  # fmt: skip


def tokenizer(pre: str, whole: bool = True) -> Tokenizer:
    """A small byte-level vocabulary that splits texts as the one that llama.cpp calls `pre`."""
    split = next(split for split, name in SPLITS.items() if name == pre)
    made = Tokenizer(models.BPE(ignore_merges=whole and WHOLE in split))
    words, raw = (pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regex) for regex in (True, False))
    first = {"gpt-2": [], "smollm": [pre_tokenizers.Digits(individual_digits=True)]}.get(
        pre, [pre_tokenizers.Split(Regex(split[0]), "isolated")]
    )
    last = words if pre in ("gpt-2", "smollm") else raw
    made.pre_tokenizer = pre_tokenizers.Sequence([*first, last]) if first else last
    made.decoder = decoders.ByteLevel()
    special, alphabet = ["<pad>", "<s>", "</s>"], pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(TEXTS, BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False))
    made.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    made.add_tokens([AddedToken("<think>", normalized=False)])
    if pre == "qwen2":
        made.normalizer = normalizers.NFC()
    return made


def write(folder: Path, kind: str, pre: str = "qwen2", **changes: Any) -> Any:
    """A random model of a family as transformers saves it, with such a vocabulary."""
    transformers = pytest.importorskip("transformers")
    family = kind.split()[0]
    config = transformers.AutoConfig.for_model(
        family,
        **{
            "vocab_size": 420, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
            "intermediate_size": 96, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0}, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
            **KINDS.get(kind, {}), **changes,
        },
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape) * 0.3 + (1 if p.dim() == 1 else 0))
    model.save_pretrained(folder)
    tokenizer(pre).save(str(folder / "tokenizer.json"))
    words = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "add_bos_token": True,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(words))
    return model


def logits(model: Any, ids: list[int] = IDS) -> torch.Tensor:
    with torch.no_grad():
        if isinstance(model, Model):
            return model.decoder.logits(model.decoder(rectangle([ids])))
        return model(torch.tensor([ids])).logits[0]


def tensors(path: Path) -> dict[str, np.ndarray]:
    """All tensors of a file, in float32."""
    gguf = pytest.importorskip("gguf")
    return {t.name: np.array(gguf.dequantize(t.data, t.tensor_type), np.float32) for t in gguf.GGUFReader(path).tensors}


def field(path: Path, key: str) -> Any:
    gguf = pytest.importorskip("gguf")
    found = gguf.GGUFReader(path).fields.get(key)
    return None if found is None else found.contents()


# ---- a folder


def test_a_merged_folder_is_the_adapted_model(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model_of().save(tmp_path / "base")
    model = load_model(tmp_path / "base")
    attach(model.decoder, Lora(4, base=str(tmp_path / "base")))
    with torch.no_grad():
        for p in model.decoder.parameters():
            p.add_(0.1 * torch.ones_like(p) if p.requires_grad else 0)
    run = tmp_path / "runs" / "add"
    model.save(run / "model")
    (run / "run.json").write_text("{}")
    path = export(run, out=tmp_path / "whole")
    assert not (path / "adapter_config.json").exists()
    ids = IDS[:8]
    theirs = logits(transformers.AutoModelForCausalLM.from_pretrained(path), ids)
    assert (theirs - logits(model, ids)).abs().max() < 1e-4
    assert (theirs - logits(load_model(tmp_path / "base"), ids)).abs().max() > 1e-2, "the adapter changes nothing: the test is blind"


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_folder_in_half_precision(dtype: str, tmp_path: Path) -> None:
    model = model_of()
    model.save(tmp_path / "m")
    path = export(tmp_path / "m", "hf", tmp_path / "half", dtype)
    assert json.loads((path / "config.json").read_text())["dtype"] == dtype
    own = dict(model.decoder.named_parameters())
    for name, p in load_model(path).decoder.named_parameters():
        assert torch.equal(p, own[name].to(getattr(torch, dtype)).float())


# ---- GGUF


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3"])
def test_transformers_reads_the_file_as_the_same_model(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    transformers = pytest.importorskip("transformers")
    model = write(tmp_path / "m", kind)
    path = export(tmp_path / "m", "gguf", tmp_path / "m.gguf")
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=path.name, dtype=torch.float32)
    assert (logits(again) - logits(model)).abs().max() < 1e-4
    assert not list(tmp_path.glob(".*")), "nothing is left lying about"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_tensors_equal_ours(dtype: str, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    write(tmp_path / "m", "llama biased")
    found = tensors(export(tmp_path / "m", "gguf", tmp_path / "m.gguf", dtype))
    d = load_model(tmp_path / "m").decoder
    layer, c = d.blocks[1], d.config
    q, k, v = layer.qkv.detach().split(c.qkv_rows)
    q_bias, k_bias, v_bias = layer.qkv_bias.detach().split(c.qkv_rows)
    gate, up = layer.gate_up.detach().split(c.feed_forward)
    turned = lambda x, heads: torch.from_numpy(interleaved(x.numpy(), heads))
    want = {
        "attn_q.weight": turned(q, c.heads), "attn_k.weight": turned(k, c.kv_heads), "attn_v.weight": v, "attn_output.weight": layer.out,
        "attn_q.bias": turned(q_bias, c.heads), "attn_k.bias": turned(k_bias, c.kv_heads), "attn_v.bias": v_bias,
        "attn_output.bias": layer.out_bias, "attn_norm.weight": layer.attention_norm, "ffn_norm.weight": layer.ff_norm,
        "ffn_gate.weight": gate, "ffn_up.weight": up, "ffn_down.weight": layer.down,
    }  # fmt: skip
    for name, x in want.items():
        kept = x.detach() if x.dim() == 1 else x.detach().to(getattr(torch, dtype)).float()
        assert np.array_equal(found[f"blk.1.{name}"], kept.numpy()), name
    assert len(found) == 2 * len(want) + 2, "all layers, the embedding and the last norm, no head of its own"


def test_pairs_stand_side_by_side() -> None:
    """One head of four rows by hand: rows 0 and 2 turn together, as do 1 and 3."""
    assert interleaved(np.array([[0.0], [1], [2], [3]], np.float32), 1).tolist() == [[0], [2], [1], [3]]


@pytest.mark.parametrize("kind", KINDS)
def test_llama_cpp_computes_the_same(kind: str, tmp_path: Path) -> None:
    llama = pytest.importorskip("llama_cpp")
    model = write(tmp_path / "m", kind)
    path = export(tmp_path / "m", "gguf", tmp_path / "m.gguf")
    theirs = llama.Llama(str(path), n_ctx=64, logits_all=True, verbose=False, n_threads=1, type_k=0, type_v=0)
    theirs.eval(IDS * 4)
    got = torch.tensor(np.array(theirs.scores[: 4 * len(IDS)]))
    assert (got - logits(model, IDS * 4)).abs().max() < 1e-3


@pytest.mark.parametrize("pre", SPLITS.values())
def test_llama_cpp_splits_texts_the_same(pre: str, tmp_path: Path) -> None:
    llama = pytest.importorskip("llama_cpp")
    write(tmp_path / "m", "llama", pre)
    theirs = llama.Llama(str(export(tmp_path / "m", "gguf", tmp_path / "m.gguf")), n_ctx=64, verbose=False, vocab_only=True)
    ours = load_model(tmp_path / "m").tokenizer
    for text in ASKED:
        assert theirs.tokenize(text.encode(), add_bos=True, special=False) == [*ours.start, *ours.encode(text)]


@pytest.mark.parametrize("pre", SPLITS.values())
def test_vocabularies_are_recognised_by_how_they_split(pre: str, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    write(folder, "llama", pre)
    found = vocabulary(load_tokenizer(folder, {}), 420, "m")
    assert (found["ggml.pre"], found["ggml.add_bos_token"], found["ggml.bos_token_id"], found["ggml.eos_token_id"]) == (pre, True, 1, 2)
    tokens, types = found["ggml.tokens"], found["ggml.token_type"]
    assert len(tokens) == len(types) == 420
    assert (types[tokens.index("<s>")], types[tokens.index("<think>")], types[tokens.index("a")], types[-1]) == (3, 4, 1, 5)
    assert all(len(merge.split(" ")) == 2 and merge.replace(" ", "") in tokens for merge in found["ggml.merges"])


def test_the_chat_template_goes_along(tmp_path: Path) -> None:
    folder = family("qwen3", tmp_path)
    found = vocabulary(load_tokenizer(folder, {}), 500, "m")
    assert found["chat_template"] == json.loads((folder / "tokenizer_config.json").read_text())["chat_template"]
    assert found["ggml.tokens"][found["ggml.eos_token_id"]] == "<|im_end|>" and "ggml.bos_token_id" not in found


def test_transformers_splits_texts_the_same(tmp_path: Path) -> None:
    """transformers knows these names too; it takes no whole words first, which the small vocabularies do not show."""
    pytest.importorskip("gguf")
    transformers = pytest.importorskip("transformers")
    for pre in ("qwen2", "smaug-bpe", "llama-bpe", "tekken", "gpt-2"):
        write(tmp_path / pre, "llama", pre)
        path = export(tmp_path / pre, "gguf", tmp_path / f"{pre}.gguf")
        theirs, ours = transformers.AutoTokenizer.from_pretrained(tmp_path, gguf_file=path.name), load_model(tmp_path / pre).tokenizer
        for text in ASKED:
            found = theirs(text.replace("<|im_start|>", ""), add_special_tokens=False)["input_ids"]
            assert tuple(found) == as_transformers(ours, text.replace("<|im_start|>", "")), (pre, text)


def as_transformers(ours: Any, text: str) -> tuple[int, ...]:
    """Tokens as transformers makes them: names of special tokens in a text are those tokens."""
    ours.backend.encode_special_tokens = False
    return tuple(ours.backend.encode(text, add_special_tokens=False).ids)


def test_whole_words_first_matters_only_where_merges_do_not_reach_them(tmp_path: Path) -> None:
    write(tmp_path / "m", "llama")
    made = tokenizer("tekken", whole=False)
    made.save(str(tmp_path / "m" / "tokenizer.json"))
    assert vocabulary(load_tokenizer(tmp_path / "m", {}), 420, "m")["ggml.pre"] == "tekken"
    raw = json.loads(made.to_str())
    raw["model"]["merges"] = raw["model"]["merges"][:-1]  # the last token made is out of reach
    (tmp_path / "m" / "tokenizer.json").write_text(json.dumps(raw))
    with pytest.raises(BadModel, match="it splits texts by"):
        vocabulary(load_tokenizer(tmp_path / "m", {}), 420, "m")


def test_what_model_new_makes_can_be_exported(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    made = train_tokenizer(TEXTS, 320)
    new_model(replace(TINY, vocabulary=320), made, "mine").save(tmp_path / "mine")
    path = export(tmp_path / "mine", "gguf", tmp_path / "mine.gguf")
    assert (field(path, "tokenizer.ggml.pre"), field(path, "general.name")) == ("smollm", "mine")


def test_stretched_positions_are_written(tmp_path: Path) -> None:
    """The table is what Llama 3's rates are divided by; transformers' own rates are the oracle."""
    pytest.importorskip("gguf")
    model, plain = write(tmp_path / "m", "llama scaled"), write(tmp_path / "plain", "llama")
    factors = tensors(export(tmp_path / "m", "gguf", tmp_path / "m.gguf"))["rope_freqs.weight"]
    want = plain.model.rotary_emb.inv_freq / model.model.rotary_emb.inv_freq
    assert np.allclose(factors, want.numpy(), rtol=1e-5) and factors.min() == 1 and factors.max() == 4
    c = read_config(tmp_path / "plain")[0]
    yarn = Rope("yarn", 4.0, 32, 1.0, 16.0, 1 + 0.1 * math.log(4))
    assert rope(replace(c, rope=yarn)) == (
        {
            "rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 32,
            "rope.scaling.yarn_beta_slow": 1.0, "rope.scaling.yarn_beta_fast": 16.0,
        },
        None,
    )  # fmt: skip
    assert rope(replace(c, rope=Rope("linear", 2.0, 32))) == ({"rope.scaling.type": "linear", "rope.scaling.factor": 2.0}, None)
    for odd in (replace(yarn, attention=1.0), replace(yarn, whole=False)):
        with pytest.raises(BadModel, match="no keys"):
            rope(replace(c, rope=odd))


# ---- what is refused, and what is left behind then: nothing


def test_refusals_say_what_to_do(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    write(tmp_path / "m", "qwen3")
    write(tmp_path / "biased", "qwen3", attention_bias=True)
    model_of(VARIANTS["qwen3"]).save(tmp_path / "characters")
    new_model(replace(TINY, vocabulary=300), train_tokenizer(["1"], 300), "bytes").save(tmp_path / "bytes")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    (tmp_path / "there").mkdir()
    out = tmp_path / "new.gguf"
    for path, to, target, dtype, kind, says in (
        (tmp_path / "characters", "gguf", out, "float32", BadModel, "cannot hold this vocabulary.*--to hf"),
        (tmp_path / "bytes", "gguf", out, "float32", BadModel, "merges nothing"),
        (tmp_path / "biased", "gguf", out, "float32", BadModel, "no attention biases"),
        (tmp_path / "run", "hf", out, "float32", BadModel, "no model yet"),
        (tmp_path / "nowhere", "hf", out, "float32", UnknownName, "nowhere"),
        (tmp_path / "m", "hf", tmp_path / "there", "float32", BadConfig, "exists"),
        (tmp_path / "m", "onnx", out, "float32", BadConfig, "onnx"),
        (tmp_path / "m", "gguf", out, "int8", BadConfig, "int8"),
    ):
        with pytest.raises(kind, match=says):
            export(path, to, target, dtype)
        assert not out.exists() and not list(tmp_path.glob(".*"))


def test_values_that_do_not_fit_are_refused(tmp_path: Path, fresh: Model) -> None:
    pytest.importorskip("gguf")
    with torch.no_grad():
        fresh.decoder.blocks[0].out[0, 0] = 1e5
    fresh.save(tmp_path / "large")
    with pytest.raises(BadModel, match="bfloat16"):
        export(tmp_path / "large", "hf", tmp_path / "half", "float16")
    with torch.no_grad():
        fresh.decoder.blocks[0].out[0, 0] = float("nan")
    fresh.save(tmp_path / "nan")
    with pytest.raises(BadModel, match="not finite"):
        export(tmp_path / "nan", "hf", tmp_path / "whole")
    write(tmp_path / "m", "llama")
    path = next((tmp_path / "m").glob("model*.safetensors"))
    from safetensors.torch import load_file, save_file

    kept = load_file(str(path))
    for change, says in (
        ({"model.layers.1.mlp.up_proj.weight": None}, "lack.*blk.1.ffn_up"),
        ({"model.layers.1.mlp.router.weight": torch.ones(64)}, "no place for.*router"),
        ({"model.norm.weight": kept["model.norm.weight"] * float("inf")}, "not finite"),
    ):
        save_file({k: v for k, v in (kept | change).items() if v is not None}, str(path), {"format": "pt"})
        with pytest.raises(BadModel, match=says):
            export(tmp_path / "m", "gguf", tmp_path / "m.gguf")
        assert not (tmp_path / "m.gguf").exists()


def test_a_run_lends_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model_of().save(tmp_path / "add" / "model")
    (tmp_path / "add" / "run.json").write_text("{}")
    assert model_folder("add") == Path("add/model")
    assert export("add") == Path("add-hf")
    assert commands(Path("add-hf"))[0] == "vllm serve add-hf"
    (tmp_path / "a b.gguf").touch()
    assert commands(tmp_path / "a b.gguf") == [f"llama-server -m '{tmp_path}/a b.gguf'"]
