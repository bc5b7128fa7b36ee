"""Which engine decodes for a model."""

from __future__ import annotations

from ..core.errors import BadConfig
from ..models.foreign import ForeignDecoder
from ..models.model import Model
from .base import Engine
from .local import KV_BYTES, LocalEngine
from .transformers_engine import TransformersEngine
from .vllm import VllmEngine
from .vllm_server import OwnServer, answers

KINDS = ("auto", "local", "transformers", "vllm")
VLLM = "http://127.0.0.1:8000"  # where vLLM listens unless it is told otherwise


def check_kind(kind: str) -> None:
    """Raises BadConfig for an engine that there is not."""
    if kind not in KINDS and not remote(kind):
        raise BadConfig(f"unknown engine {kind!r}; choose {', '.join(KINDS)}, or give the address of a vLLM server (http://HOST:PORT)")


def remote(kind: str) -> bool:
    """Whether tokens are drawn on a server, whose log-probabilities differ from the learner's."""
    return kind == "vllm" or "://" in kind


def engine_of(model: Model, kind: str = "auto", kv_bytes: int = KV_BYTES) -> Engine:
    """An engine for a model: the local one, but for models that only transformers runs; "vllm" or an address is a vLLM server that
    holds its weights, started here if none listens and vllm is installed. Raises BadConfig where they do not fit.
    """
    check_kind(kind)
    if kind == "vllm" and not answers(VLLM):
        own = OwnServer(model)
        engine = VllmEngine(model, own.url)
        engine.own = own  # it stops with the engine
        return engine
    if remote(kind):
        return VllmEngine(model, VLLM if kind == "vllm" else kind)
    foreign = isinstance(model.decoder, ForeignDecoder)
    if foreign and kind == "local":
        raise BadConfig(f"{model.name} cannot be decoded by the local engine: {model.decoder.remark}; use --engine transformers")
    return TransformersEngine(model) if foreign or kind == "transformers" else LocalEngine(model, kv_bytes)
