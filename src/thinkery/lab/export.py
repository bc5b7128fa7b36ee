"""Out of the laboratory: a trained model as one folder that transformers and vLLM load, or as one file that llama.cpp loads.

The file's layout is GGUF's (github.com/ggml-org/ggml, docs/gguf.md), its names are those that llama.cpp looks up.
"""

from __future__ import annotations

import json
import math
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from ..core.errors import BadConfig, BadModel, MissingExtra
from ..learning.checkpoint import storage
from ..models.adapters import FILES
from ..models.checkpoint import read_config, read_raw
from ..models.decoder import DecoderConfig
from ..models.model import find, load_model
from ..models.tokenizer import Tokenizer, load_tokenizer

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
LARGEST = float(np.finfo(np.float16).max)

# names of Hugging Face's tensors -> llama.cpp's
TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
BLOCK = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
ARCHITECTURES = {"llama": "llama", "mistral": "llama", "ministral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}

# what splits a text before byte pairs are merged -> llama.cpp's name for it
WHOLE = "whole words first"  # a word that is a token is taken at once
CASELESS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
CASES = rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*|\p{{N}}"
SPLITS = {
    (CASELESS + r"\p{N}" + REST, "bytes"): "qwen2",
    (CASELESS + r"\p{N}{1,3}" + REST, "bytes"): "smaug-bpe",
    (CASELESS + r"\p{N}{1,3}" + REST, "bytes", WHOLE): "llama-bpe",
    (CASES + REST.replace(r"[\r\n]*", r"[\r\n/]*"), "bytes", WHOLE): "tekken",
    ("words and bytes",): "gpt-2",
    ("digits", "words and bytes"): "smollm",
}


def model_folder(path: str | Path) -> Path:
    """The model's folder of a run, a model folder or a built-in size. Raises BadModel for a run without a model, UnknownName."""
    run = Path(path)
    if not (run / "run.json").is_file():
        return find(path)
    if not (run / "model").is_dir():
        raise BadModel(f"the run {run} has no model yet: it is written when training ends; go on with --resume, or name a model folder")
    return run / "model"


def export(path: str | Path, to: str = "hf", out: str | Path | None = None, dtype: str = "float32") -> Path:
    """Write a run's model, a model folder or a built-in size as a whole model: `to` "hf" a folder, "gguf" a file. Returns where.

    An adapter is merged into its base. Raises BadConfig, BadModel (also for what llama.cpp cannot hold), MissingExtra, StorageError.
    """
    if dtype not in DTYPES or to not in ("hf", "gguf"):
        raise BadConfig(f"to {to!r}, dtype {dtype!r}: choose hf or gguf, and {', '.join(DTYPES)}")
    folder = model_folder(path)
    name = _name(folder)
    target = Path(out) if out is not None else Path(f"{name}-hf" if to == "hf" else f"{name}-{dtype}.gguf")
    if target.exists():
        raise BadConfig(f"{target} exists; choose another --out")
    with storage(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if to == "hf":
            _whole(folder, target, dtype)
        else:
            _file(folder, target, dtype, name)
    return target


def commands(path: Path) -> list[str]:
    """The command lines that serve what was exported."""
    at = shlex.quote(str(path))
    return [f"llama-server -m {at}"] if path.is_file() else [f"vllm serve {at}", f"transformers serve {at}"]


def _name(folder: Path) -> str:
    """How a model is called outside: by its run, if it is one's."""
    folder = folder.resolve()
    return folder.parent.name if (folder.parent / "run.json").is_file() else folder.name


def _whole(folder: Path, target: Path, dtype: str) -> None:
    """Save as one model without adapters."""
    model = load_model(folder)
    for name, p in model.decoder.named_parameters():
        _check_range(name, p.detach().abs().max().item(), dtype)
    model.save(target, DTYPES[dtype], merge=True)


def _check_range(name: str, largest: float, dtype: str) -> None:
    if not math.isfinite(largest):
        raise BadModel(f"{name} holds a value that is not finite; the training has diverged, take an earlier checkpoint")
    if dtype == "float16" and largest > LARGEST:
        raise BadModel(f"{name} holds {largest:g}, float16 ends at {LARGEST:g}; use --dtype bfloat16")


# ---- GGUF


def _file(folder: Path, target: Path, dtype: str, name: str) -> None:
    """Convert a folder, with its adapter merged, to one file that appears whole or not at all."""
    try:
        import gguf  # noqa: F401
    except ImportError as error:
        raise MissingExtra("gguf", "gguf", "exporting to gguf") from error
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        if (folder / FILES[0]).is_file():
            _whole(folder, Path(scratch) / "model", "float32")
            folder = Path(scratch) / "model"
        part = Path(scratch) / "file"
        _write(folder, part, dtype, name)
        part.rename(target)


def _write(folder: Path, path: Path, dtype: str, name: str) -> None:
    """Convert a folder without adapters, tensor by tensor: no more than one is held at a time."""
    import gguf

    architecture = ARCHITECTURES[_family(folder)]
    config, raw = read_config(folder)
    tokens = vocabulary(load_tokenizer(folder, raw), config.vocabulary, str(folder))
    scaling, factors = rope(config)
    about = {"general.name": name, "general.file_type": {"float32": 0, "float16": 1, "bfloat16": 32}[dtype]}
    about |= {f"{architecture}.{key}": value for key, value in (sizes(config) | scaling).items()}
    about |= {f"tokenizer.{key}": value for key, value in tokens.items()}
    writer = gguf.GGUFWriter(path, architecture)
    add: dict[type, Callable[[str, Any], None]] = {
        bool: writer.add_bool,
        int: writer.add_uint32,
        float: writer.add_float32,
        str: writer.add_string,
        list: writer.add_array,
    }
    for key, value in about.items():
        add[type(value)](key, value)
    chosen = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}[dtype]
    # llama.cpp wants norms, biases and tables in float32
    kind = lambda x: gguf.GGMLQuantizationType[chosen if x.ndim > 1 else "F32"]
    for key, x in _tensors(folder, architecture, config, dtype, factors):
        stored = gguf.quantize(x, kind(x))
        writer.add_tensor_info(key, stored.shape, stored.dtype, stored.nbytes, raw_dtype=kind(x))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _, x in _tensors(folder, architecture, config, dtype, factors):
        writer.write_tensor_data(gguf.quantize(x, kind(x)))
    writer.close()


def _family(folder: Path) -> str:
    """The model_type. Raises BadModel for what cannot be written."""
    path, raw = folder / "config.json", read_raw(folder)
    family = raw.get("model_type")
    if family not in ARCHITECTURES:
        raise BadModel(
            f"{path}: a model of type {family!r} cannot be written as gguf here (only {', '.join(ARCHITECTURES)}); "
            "use llama.cpp's own convert_hf_to_gguf.py on a folder made with --to hf"
        )
    if family == "qwen3" and raw.get("attention_bias"):
        raise BadModel(f"{path}: llama.cpp's qwen3 has no attention biases, this model has; serve it with vLLM or transformers (--to hf)")
    return str(family)


def sizes(c: DecoderConfig) -> dict[str, int | float]:
    """The model's sizes by llama.cpp's keys."""
    return {
        "vocab_size": c.vocabulary,
        "context_length": c.context,
        "embedding_length": c.width,
        "block_count": c.layers,
        "feed_forward_length": c.feed_forward,
        "attention.head_count": c.heads,
        "attention.head_count_kv": c.kv_heads,
        "attention.key_length": c.head_width,
        "attention.value_length": c.head_width,
        "attention.layer_norm_rms_epsilon": c.eps,
        "rope.dimension_count": c.head_width,
        "rope.freq_base": c.theta,
    }


def rope(c: DecoderConfig) -> tuple[dict[str, int | float | str], NDArray[np.float32] | None]:
    """How positions are stretched, by llama.cpp's keys, and what each rate [E / 2] is divided by (Llama 3); None: no such table.

    Raises BadModel for YaRN with settings that llama.cpp has no keys for.
    """
    if c.rope is None:
        return {}, None
    if c.rope.kind == "llama3":
        rates = c.theta ** (-torch.arange(0, c.head_width, 2, dtype=torch.float64) / c.head_width)
        return {}, (rates / c.rope.stretch(rates, c.theta)).float().numpy()
    found: dict[str, int | float | str] = {"rope.scaling.type": c.rope.kind, "rope.scaling.factor": c.rope.factor}
    if c.rope.kind == "linear":
        return found, None
    if not (c.rope.whole and math.isclose(c.rope.attention, 1 + 0.1 * math.log(max(c.rope.factor, 1)), rel_tol=1e-3)):
        raise BadModel(f"llama.cpp has no keys for positions as in {c.rope}; serve the model with vLLM or transformers (--to hf)")
    bounds = {"rope.scaling.yarn_beta_slow": c.rope.low, "rope.scaling.yarn_beta_fast": c.rope.high}
    return found | {"rope.scaling.original_context_length": c.rope.original} | bounds, None


def _tensors(
    folder: Path, architecture: str, c: DecoderConfig, dtype: str, factors: NDArray[np.float32] | None
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """(llama.cpp's name, values in float32) of each tensor. Raises BadModel for one that is missing or unknown."""
    if factors is not None:
        yield "rope_freqs.weight", factors
    left = {f"blk.{i}.{x}.weight" for i in range(c.layers) for x in BLOCK.values() if c.qk_norm or x not in ("attn_q_norm", "attn_k_norm")}
    left |= {f"{x}.weight" for x in TOP.values() if not c.tied or x != "output"}
    left |= {f"blk.{i}.attn_{x}.bias" for i in range(c.layers) for x in "qkv" if c.qkv_bias}
    for path in sorted(folder.glob("model*.safetensors")):
        with safe_open(str(path), "pt") as f:
            for theirs in f.keys():  # noqa: SIM118 (not a dict)
                if theirs.endswith("rotary_emb.inv_freq") or (c.tied and theirs == "lm_head.weight"):
                    continue
                name, values = _renamed(theirs, folder), f.get_tensor(theirs).float().numpy()
                _check_range(theirs, float(np.abs(values).max()), dtype)
                turned = architecture == "llama" and any(part in name for part in ("attn_q.", "attn_k."))
                yield name, interleaved(values, c.heads if "attn_q." in name else c.kv_heads) if turned else values
                left.discard(name)
    if left:
        raise BadModel(f"{folder}: the weights lack what llama.cpp calls {min(left)!r}; the files do not match config.json")


def _renamed(theirs: str, folder: Path) -> str:
    """llama.cpp's name of one of Hugging Face's tensors."""
    stem, _, end = theirs.rpartition(".")
    number, _, part = stem.removeprefix("model.layers.").partition(".")
    if stem in TOP:
        return f"{TOP[stem]}.{end}"
    if part not in BLOCK or not number.isdigit() or end not in ("weight", "bias"):
        raise BadModel(f"{folder}: llama.cpp has no place for the tensor {theirs!r}; serve the model with vLLM or transformers (--to hf)")
    return f"blk.{number}.{BLOCK[part]}.{end}"


def interleaved(x: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows of q or k as llama.cpp's llama turns them: pairs (i, i + E/2) of each head side by side. [heads * E, …] -> the same shape."""
    return np.ascontiguousarray(x.reshape(heads, 2, len(x) // heads // 2, -1).swapaxes(1, 2)).reshape(x.shape)


# ---- vocabulary


def vocabulary(t: Tokenizer, size: int, where: str) -> dict[str, Any]:
    """A byte-level BPE tokenizer by llama.cpp's keys, filled up to the embedding's `size`. Raises BadModel for one it cannot hold.

    Unicode normalisation is not written: llama.cpp does none.
    """
    given = json.loads(t.backend.to_str())
    kind, added = given["model"], {a["id"]: a for a in given["added_tokens"]}
    pre = SPLITS.get(_splits(given)) or (SPLITS.get((*_splits(given), WHOLE)) if _whole_anyway(t) else None)
    why = _unfit(given, pre)
    if why:
        raise BadModel(
            f"{where}: llama.cpp cannot hold this vocabulary: {why[:300]}. A gguf file takes byte-level BPE as Llama 3, Qwen and GPT-2 have it; "
            "serve the model with vLLM or transformers (--to hf), or start from a model with such a vocabulary (thinkery model new)"
        )
    by_id = {i: token for token, i in kind["vocab"].items()} | {i: a["content"] for i, a in added.items()}
    types = [1 if i not in added else 3 if added[i]["special"] else 4 for i in sorted(by_id)]  # normal, control, user-defined
    spare = [i for i in range(size) if i not in by_id]
    if spare and min(spare) < len(by_id):
        raise BadModel(f"{where}: the vocabulary has no token {min(spare)}; mend tokenizer.json")
    found = {
        "ggml.model": "gpt2",
        "ggml.pre": pre,
        "ggml.tokens": [by_id[i] for i in sorted(by_id)] + [f"[PAD{i}]" for i in spare],
        "ggml.token_type": types + [5] * len(spare),
        "ggml.merges": [m if isinstance(m, str) else " ".join(m) for m in kind["merges"]],
        "ggml.bos_token_id": t.begin,
        "ggml.eos_token_id": t.end,
        "ggml.padding_token_id": t.pad,
        "ggml.add_bos_token": bool(t.start),
        "chat_template": None if t.chat is None else t.chat.templates["default"],
    }
    return {key: value for key, value in found.items() if value is not None}


def _unfit(given: Mapping[str, Any], pre: str | None) -> str:
    """Why llama.cpp cannot hold a tokenizer; empty: it can."""
    if given["model"]["type"] != "BPE":
        return f"it is of the kind {given['model']['type']}"
    if pre is None:
        return f"it splits texts by {given['pre_tokenizer']}"
    if (given["normalizer"] or {"type": "NFC"})["type"] != "NFC":
        return f"it changes texts by {given['normalizer']}"
    return "" if given["model"]["merges"] else "it has bytes alone and merges nothing"


def _whole_anyway(t: Tokenizer) -> bool:
    """Whether merging makes every token of the vocabulary one again, so that taking whole words first changes nothing."""
    added = t.backend.get_added_tokens_decoder()
    tokens = (token for token, i in t.backend.get_vocab(with_added_tokens=False).items() if i not in added)
    return all(len(t.backend.model.tokenize(token)) == 1 for token in tokens)


def _splits(given: Mapping[str, Any]) -> tuple[str, ...]:
    """How a tokenizer splits a text, in words or as a pattern."""
    pre = given["pre_tokenizer"] or {"type": "none"}
    found = []
    for step in pre["pretokenizers"] if pre["type"] == "Sequence" else [pre]:
        if step["type"] == "ByteLevel" and not step["add_prefix_space"]:
            found.append("words and bytes" if step["use_regex"] else "bytes")
        elif step["type"] == "Digits" and step["individual_digits"]:
            found.append("digits")
        elif step["type"] == "Split" and step["behavior"] == "Isolated" and not step["invert"]:
            found.append(step["pattern"].get("Regex", ""))
        else:
            found.append(f"{step['type']}?")
    return (*found, WHOLE) if given["model"].get("ignore_merges") else tuple(found)
