"""Tokenizer: text to token ids and back, in Hugging Face's tokenizer.json format."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Regex, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as _Tokenizer
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer

from ..core.context import Ids
from ..core.errors import BadModel, InputError
from ..core.reading import loads
from .chat import Chat, load_chat

PAD, BEGIN, END, UNKNOWN = "<pad>", "<s>", "</s>", "<unk>"
CHARACTERS = "\n0123456789+-*/=()<>,.;:#?!&|~ abcdefghijklmnopqrstuvwxyz[]%"  # of the built-in models
REMEMBERED = 500_000  # tokens whose text is remembered
ALONE = {"type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Isolated", "invert": False}  # each character by itself


class Tokenizer:
    """Encodes plain text (special tokens in the text are not interpreted) and decodes ids.

    start   tokens every context begins with; `end` ends a reply, and so would any of `ends`
    chat    how it puts messages; None: it has no template
    """

    def __init__(
        self, backend: _Tokenizer, begin: int | None, end: int, pad: int, chat: Chat | None = None, ends: Iterable[int] = ()
    ) -> None:
        self.backend, self.end, self.pad, self.chat = backend, end, pad, chat
        self.ends = frozenset({end, *ends})
        self.start: Ids = () if begin is None else (begin,)
        self.begin = begin
        self.unknown = backend.token_to_id(UNKNOWN)
        self._decoded: dict[Ids, str] = {}
        self._remembered = 0
        backend.encode_special_tokens = True  # a "</s>" typed by a user stays text

    @cached_property
    def signature(self) -> str:
        """What decides how text becomes tokens; equal signatures, equal tokens."""
        said = json.loads(self.backend.to_str()) | {"post_processor": None}  # `start` says what that would add
        return f"{json.dumps(said)}{self.start}{self.end}"

    def same(self, other: object) -> bool:
        """Whether another codec gives the same tokens."""
        return self is other or (isinstance(other, Tokenizer) and self.signature == other.signature)

    @property
    def size(self) -> int:
        return self.backend.get_vocab_size()  # type: ignore[no-any-return]

    @cached_property
    def letters(self) -> dict[str, int]:
        """The id of each character where every token is one, whatever stands beside it, or special; else nothing."""
        said, special = (
            json.loads(self.backend.to_str()),
            {t.content for t in self.backend.get_added_tokens_decoder().values() if t.special},
        )
        alone = said["model"]["type"] == "WordLevel" and not said["normalizer"] and said["pre_tokenizer"] == ALONE
        found = {t: i for t, i in self.backend.get_vocab().items() if t not in special}
        return found if alone and said["decoder"] == {"type": "Fuse"} and all(len(t) == 1 for t in found) else {}

    @cached_property
    def names(self) -> dict[int, str]:
        """The characters of `letters` by id."""
        return {i: c for c, i in self.letters.items()}

    def encode(self, text: str) -> Ids:
        """Token ids of plain text; raises InputError where the vocabulary lacks a character."""
        if self.letters and self.letters.keys() >= set(text):
            return tuple([self.letters[c] for c in text])
        ids = tuple(self.backend.encode(text, add_special_tokens=False).ids)
        if self.unknown is not None and self.unknown in ids:
            bad = next(c for c in text if self.unknown in self.backend.encode(c, add_special_tokens=False).ids)
            raise InputError(
                f"the model's vocabulary lacks the character {bad!r} in {text[:60]!r}; use a model whose tokenizer covers the task's text"
            )
        return ids

    def decode(self, ids: Ids) -> str:
        """Text of the ids; special tokens leave nothing. Remembered: samples of a group often agree."""
        found = self._decoded.get(ids)
        if found is None:
            self._remembered += len(ids)
            if self._remembered > REMEMBERED:
                self._decoded.clear()
                self._remembered = len(ids)
            found = (
                "".join([self.names.get(i, "") for i in ids]) if self.names else self.backend.decode(list(ids), skip_special_tokens=True)
            )
            self._decoded[ids] = found
        return found

    @cached_property
    def pieces(self) -> list[str]:
        """What each token adds to a text, as UTF-8 bytes, a character a byte; specials add nothing. For matching stop strings on tokens."""
        special = {i for i, t in self.backend.get_added_tokens_decoder().items() if t.special}
        before = list(self.backend.encode("a", add_special_tokens=False).ids)  # some decoders strip what stands first
        skip = len(self.backend.decode(before))
        texts = self.backend.decode_batch([[*before, i] for i in range(self.size)], skip_special_tokens=False)
        return ["" if i in special else _bytes(self.backend.id_to_token(i) or "", text[skip:]) for i, text in enumerate(texts)]

    def save(self, folder: Path, context: int) -> None:
        """Write tokenizer.json and tokenizer_config.json, as transformers reads them."""
        backend = self.backend
        if self.begin is not None and not _template_begins(backend, self.begin):  # transformers goes by the file alone
            backend, begin = _Tokenizer.from_str(backend.to_str()), backend.id_to_token(self.begin)
            backend.post_processor = TemplateProcessing(single=f"{begin} $A", special_tokens=[(begin, self.begin)])
        backend.save(str(folder / "tokenizer.json"))
        name = lambda i: None if i is None else self.backend.id_to_token(i)
        config: dict[str, Any] = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": name(self.begin),
            "eos_token": name(self.end),
            "pad_token": name(self.pad),
            "unk_token": name(self.unknown),
            "model_max_length": context,
            "clean_up_tokenization_spaces": False,
            "add_bos_token": False if self.begin is None else None,
        }
        if self.chat is not None:
            templates = [{"name": n, "template": t} for n, t in self.chat.templates.items()]
            config |= self.chat.words | {"chat_template": templates if len(templates) > 1 else templates[0]["template"]}
        (folder / "tokenizer_config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}, indent=1) + "\n")


def _byte_alphabet() -> dict[str, int]:
    """The characters by which byte-level vocabularies write bytes (GPT-2): printable ones stand for themselves."""
    themselves = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in themselves]
    return {chr(b): b for b in themselves} | {chr(256 + n): b for n, b in enumerate(others)}


BYTES = _byte_alphabet()


def _bytes(token: str, text: str) -> str:
    """A token's bytes, as characters: of its text, or, where it is only a part of a character, as its name spells them."""
    if "\ufffd" in text:
        if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            return chr(int(token[3:5], 16))
        if all(c in BYTES for c in token):
            return "".join(chr(BYTES[c]) for c in token)
    return text.encode("utf-8", "replace").decode("latin-1")


def character_tokenizer(characters: str = CHARACTERS) -> Tokenizer:
    """One token a character, after the specials <pad>, <s>, </s> and <unk>."""
    vocabulary = {t: i for i, t in enumerate([PAD, BEGIN, END, UNKNOWN, *characters])}
    backend = _Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    backend.decoder = decoders.Fuse()
    backend.add_special_tokens([PAD, BEGIN, END, UNKNOWN])
    return Tokenizer(backend, 1, 2, 0)


def train_tokenizer(texts: list[str], size: int) -> Tokenizer:
    """A byte-level BPE vocabulary of `size` tokens learnt from texts; digits stand one by one, so arithmetic stays visible."""
    backend = _Tokenizer(BPE(unk_token=None, byte_fallback=False))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=size, special_tokens=[PAD, BEGIN, END], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    return Tokenizer(backend, 1, 2, 0)


def load_tokenizer(folder: Path, config: dict[str, Any]) -> Tokenizer:
    """The tokenizer of a model folder; `config` is the model's config.json. Raises BadModel when it is missing or broken."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise BadModel(f"{folder} has no tokenizer.json; save the tokenizer beside the weights (tokenizer.save_pretrained('{folder}'))")
    try:
        backend = _Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises a bare Exception for every fault of the file
        raise BadModel(f"{path} cannot be read as a tokenizer: {error}") from error
    settings = read_json(folder / "tokenizer_config.json")
    generation = read_json(folder / "generation_config.json")

    def special(name: str) -> int | None:
        token = settings.get(f"{name}_token")
        token = token.get("content") if isinstance(token, dict) else token
        found = backend.token_to_id(token) if isinstance(token, str) else None
        if found is None:
            found = generation.get(f"{name}_token_id", config.get(f"{name}_token_id"))
            found = found[0] if isinstance(found, list) else found
        return found if isinstance(found, int) else None

    end = special("eos")
    if end is None:
        raise BadModel(f"{folder} names no end token: set eos_token in tokenizer_config.json or eos_token_id in config.json")
    chat = load_chat(folder, settings, backend)
    sampled, named = _ids(generation.get("eos_token_id")), _ids(config.get("eos_token_id"))
    end = next((i for i in ([] if chat is None else chat.closing) if i in (*sampled, *named)), end)  # of several the one that ends a turn
    pad = special("pad")
    adds = settings.get("add_bos_token", backend.token_to_id(BEGIN) is not None or _template_begins(backend, special("bos")))
    return Tokenizer(backend, special("bos") if adds else None, end, end if pad is None else pad, chat, sampled or named)


def _ids(x: Any) -> list[int]:
    return [i for i in (x if isinstance(x, list) else [x]) if isinstance(i, int)]


def _template_begins(backend: _Tokenizer, begin: int | None) -> bool:
    """Whether the tokenizer itself puts the begin token before a text."""
    return begin is not None and backend.encode("a").ids[:1] == [begin]


def read_json(path: Path) -> dict[str, Any]:
    """The object that a file holds; nothing where there is no file. Raises BadModel."""
    if not path.is_file():
        return {}
    try:
        found = loads(path.read_text(encoding="utf-8"))
        json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair can be spelled, but is no text
    except ValueError as error:
        raise BadModel(f"{path} is not valid JSON: {error}") from error
    return found if isinstance(found, dict) else {}
