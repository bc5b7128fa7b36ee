"""Folders with a small tokenizer and a template that behaves as a family's does: what the tests of chats load."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer

from thinkery.models.chat import Chat
from thinkery.models.tokenizer import load_tokenizer

TEMPLATES = Path(__file__).parent / "templates"
IM = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TOOLS = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
HEADERS = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|python_tag|>"]
TURN = ["<|turn>", "<turn|>", "<|think|>", "<|channel>", "<channel|>", '<|"|>']
CALLS = ["<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>"]
BRACKETS = ["[INST]", "[/INST]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"]

# family: special tokens, other added tokens, begin, end, further end tokens
FAMILIES: dict[str, tuple[list[str], list[str], str | None, str, list[str]]] = {
    "qwen3": (IM, ["<think>", "</think>", *TOOLS], None, "<|im_end|>", ["<|endoftext|>"]),
    "qwen35": (IM, ["<think>", "</think>", *TOOLS], None, "<|im_end|>", []),
    "llama3": (HEADERS, [], "<|begin_of_text|>", "<|eot_id|>", []),
    "smollm3": (IM, ["<think>", "</think>"], None, "<|im_end|>", []),
    "gemma3": (["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"], ["\n\n", "<table>"], "<bos>", "<eos>", ["<end_of_turn>"]),
    "gemma4": (["<bos>", "<eos>", *TURN, *CALLS], ["\n\n"], "<bos>", "<eos>", ["<turn|>"]),
    "mistral": (["<s>", "</s>", *BRACKETS], [], "<s>", "</s>", []),
}
THINKING = ("qwen3", "qwen35", "smollm3", "gemma4")
TEXTS = [
    "The user asks what 12+34 is, the assistant thinks and answers 46. Paris is the capital of France; it rains today.",
    '{"name": "search", "arguments": {"query": "rain", "n": 3, "deep": {"on": true, "off": null}}}',
    "user assistant system model tool think thought im_start im_end start_of_turn end_of_turn\n\nhello world  spaces   here\n",
    "two\n\n",
]


@lru_cache(maxsize=1)
def bytewise() -> Tokenizer:
    """A byte-level BPE vocabulary of 400 tokens."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(TEXTS * 3, BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False))
    return made


@lru_cache(maxsize=1)
def spaced() -> Tokenizer:
    """A vocabulary as SentencePiece makes them: spaces are letters, one stands before a text, control tokens are part of it."""
    made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    special = ["<unk>", *FAMILIES["mistral"][0], *(f"<0x{b:02X}>" for b in range(256))]
    made.train_from_iterator(TEXTS * 3, BpeTrainer(vocab_size=600, special_tokens=special, show_progress=False))
    whole = json.loads(made.to_str())
    whole["added_tokens"] = [t for t in whole["added_tokens"] if not t["content"].startswith("<0x")]
    return Tokenizer.from_str(json.dumps(whole))


def write(name: str, folder: Path, template: bool = True, **settings: Any) -> Path:
    """A tokenizer's files of a family in `folder`, as its models have them."""
    special, added, begin, end, ends = FAMILIES[name]
    made = Tokenizer.from_str((spaced() if name == "mistral" else bytewise()).to_str())
    made.add_special_tokens(special)
    made.add_tokens([AddedToken(t, normalized=False) for t in added])
    if begin is not None:
        made.post_processor = processors.TemplateProcessing(f"{begin} $A", special_tokens=[(begin, made.token_to_id(begin))])
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": begin, "eos_token": end, "clean_up_tokenization_spaces": False}
    source = (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8").removesuffix("\n")
    config |= ({"chat_template": source} if template else {}) | settings
    (folder / "tokenizer_config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}), encoding="utf-8")
    generation = {"eos_token_id": [made.token_to_id(t) for t in (end, *ends)]}
    (folder / "generation_config.json").write_text(json.dumps(generation))
    return folder


def chat_of(folder: Path) -> Chat:
    """The chat that the folder's tokenizer has."""
    chat = load_tokenizer(folder, {}).chat
    assert chat is not None
    return chat
