"""Search by meaning: vectors of texts, compared by cosine. Any embedding model: a function, a server, a folder of transformers."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from ..core.errors import BadConfig, BadModel, EngineError, MissingExtra
from .corpus import Corpus
from .search import LONGEST, Hit, best, check, words

Vectors = NDArray[np.float32]  # a row for each text

BATCH = 64  # texts that are embedded at once
SECONDS = 60.0  # to wait for a server
FOLDED = 512  # tokens of a text that a model of transformers reads at most


class Embed(Protocol):
    """An embedding model.

    name   stands for the model in the names of files that keep its vectors; "" where none are to be kept
    """

    name: str

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """A vector for each text."""
        ...


class Dense:
    """Cosine of the query's vector and the documents', which are kept beside the corpus where that can be written."""

    def __init__(self, corpus: Corpus, embed: Embed) -> None:
        """Raises EngineError for vectors that are none, and whatever the model raises."""
        self.corpus, self._embed = corpus, embed
        file = kept(corpus, embed.name)
        found = None if file is None else loaded(file, len(corpus))
        if found is not None:
            self._vectors: Vectors = found
        else:
            texts = [f"{d.title}\n{d.text}".strip() for d in corpus.documents]
            self._vectors = unit(np.concatenate([rows(embed, part) for part in batches(texts)] or [np.zeros((0, 1), np.float32)]))
            if file is not None:
                with contextlib.suppress(OSError):  # the corpus may stand where nothing can be written
                    save(file, self._vectors)

    def search(self, query: str, k: int = 10) -> list[Hit]:
        """See search.Index. Nothing is too far to be a hit."""
        check(k)
        if not words(query) or not self.corpus.documents:
            return []
        asked = unit(rows(self._embed, [query[:LONGEST]]))[0]
        if len(asked) != self._vectors.shape[1]:
            raise EngineError(
                f"the query's vector has {len(asked)} numbers, those of the documents {self._vectors.shape[1]}; use one model"
            )
        return best(self.corpus, self._vectors @ asked, k)


class Each:
    """A function text -> vector as an embedding model. Its vectors are kept only under a name."""

    def __init__(self, function: Callable[[str], Sequence[float]], name: str = "") -> None:
        self.function, self.name = function, name

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """See Embed."""
        return np.array([self.function(text) for text in texts], np.float32)


class Served:
    """A model of a server that speaks OpenAI's protocol: POST URL/embeddings. The key is OPENAI_API_KEY's."""

    def __init__(self, url: str, model: str) -> None:
        """Raises BadConfig for what is no address."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadConfig(f"{url!r} is no address of a server; write http://HOST:PORT/v1")
        self.url, self.model, self.name = url.rstrip("/").removesuffix("/embeddings"), model, f"{url} {model}"

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """See Embed. Raises EngineError with what the server says."""
        status, raw = self._post(json.dumps({"model": self.model, "input": list(texts)}))
        try:
            if status != 200:
                raise ValueError(f"status {status}")
            found = sorted(json.loads(raw)["data"], key=lambda row: row["index"])
            return np.array([row["embedding"] for row in found], np.float32)
        except (ValueError, LookupError, TypeError) as error:
            reason = f"{type(error).__name__} {error}: {raw[:200].decode('utf-8', 'replace')}"
            raise EngineError(f"{self.url}/embeddings gave no vectors ({reason}); is {self.model!r} an embedding model there?") from None

    def _post(self, body: str) -> tuple[int, bytes]:
        parts, key = urlsplit(self.url), os.environ.get("OPENAI_API_KEY")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        with contextlib.closing(kind(parts.hostname or "", parts.port, timeout=SECONDS)) as connection:
            try:
                connection.request("POST", f"{parts.path}/embeddings", body, headers)
                reply = connection.getresponse()
                return reply.status, reply.read()
            except (OSError, http.client.HTTPException) as error:
                raise EngineError(f"{self.url}/embeddings did not answer: {type(error).__name__} {error}; is the server up?") from None


class Pooled:
    """A folder of transformers: the mean of its last hidden states over a text's tokens, as sentence encoders are trained."""

    def __init__(self, folder: str | Path) -> None:
        """Raises MissingExtra, BadModel."""
        try:
            import torch
            from transformers import AutoModel, AutoTokenizer
        except ImportError:
            raise MissingExtra("transformers", "embed", "an embedding model from a folder") from None
        place = Path(folder)
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(place, local_files_only=True)
            self.model: Any = AutoModel.from_pretrained(place, local_files_only=True, dtype=torch.float32).eval()
        except (OSError, ValueError, KeyError) as error:
            raise BadModel(f"{place} cannot be read as an embedding model: {str(error).splitlines()[0]}") from None
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token or self.tokenizer.unk_token
        self._lock = threading.Lock()
        self.longest = min(FOLDED, getattr(self.model.config, "max_position_embeddings", FOLDED))
        weights = sorted(p for p in place.iterdir() if p.suffix in (".safetensors", ".bin", ".json"))
        self.name = f"{place.name} {hashlib.blake2b(b''.join(p.read_bytes() for p in weights), digest_size=8).hexdigest()}"

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """See Embed. A text's vector does not depend on those beside it, but for rounding."""
        import torch

        with self._lock:  # it keeps its padding within itself
            coded = self.tokenizer(list(texts), padding=True, truncation=True, max_length=self.longest, return_tensors="pt")
        with torch.inference_mode():
            states = self.model(input_ids=coded["input_ids"], attention_mask=coded["attention_mask"]).last_hidden_state
        mask = coded["attention_mask"].unsqueeze(-1)
        mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
        return np.asarray(mean.numpy(), np.float32)


# ---- vectors


def batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """The texts in parts."""
    return (texts[i : i + BATCH] for i in range(0, len(texts), BATCH))


def rows(embed: Embed, texts: Sequence[str]) -> Vectors:
    """The model's vectors of the texts. Raises EngineError unless there is one of finite numbers for each."""
    found = np.asarray(embed(texts), np.float32)
    if found.ndim != 2 or len(found) != len(texts) or not np.isfinite(found).all():
        raise EngineError(f"the embedding model gave numbers of shape {found.shape} for {len(texts)} texts; each needs one finite vector")
    return found


def unit(vectors: Vectors) -> Vectors:
    """Each vector at length 1; one of zeros stays."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1), np.float32)


def kept(corpus: Corpus, name: str) -> Path | None:
    """Where the vectors of a corpus by a model are kept: a file whose name stands for both."""
    if corpus.path is None or not name:
        return None
    path = corpus.path.resolve()
    model = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
    return path.with_name(f"{path.name}.{corpus.digest()}-{model}.vectors.npy")


def loaded(file: Path, count: int) -> Vectors | None:
    """The vectors that a file keeps; None where it is not there, or is not what was written."""
    try:
        found = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.ndim == 2 and len(found) == count and found.dtype == np.float32 else None


def save(file: Path, vectors: Vectors) -> None:
    """Write the file whole, or not at all."""
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as out:
            np.save(out, vectors, allow_pickle=False)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
