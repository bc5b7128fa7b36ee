"""Rotary positions stretched past the context that a model was first trained on, as transformers computes them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

KINDS = ("linear", "llama3", "yarn")  # each is one table; others change with the length of the text


@dataclass(frozen=True)
class Rope:
    """How far and in which way the positions are stretched; names in brackets are those of a Hugging Face config.

    kind        "linear" (all rates alike), "llama3" or "yarn" (Peng et al. 2023, arXiv:2309.00071): slow rates more than fast ones
    low, high   turns within `original`, below and above which a rate counts as slow and fast (llama3: low_freq_factor,
                high_freq_factor; yarn: beta_slow, beta_fast)
    attention   what cosines and sines are multiplied by (attention_factor)
    whole       yarn: the bounds are whole columns (truncate)
    """

    kind: str
    factor: float
    original: int  # original_max_position_embeddings
    low: float = 1.0
    high: float = 1.0
    attention: float = 1.0
    whole: bool = True

    def __post_init__(self) -> None:
        bounded = self.kind == "linear" or 0 < self.low < self.high
        if not (self.factor > 0 and self.original > 0 and self.attention > 0 and bounded):
            raise ValueError(f"positions cannot be stretched by {self}")

    def stretch(self, rates: Tensor, theta: float) -> Tensor:
        """The rates [E / 2] in radians a token, float64, as they become."""
        if self.kind == "linear":
            return rates / self.factor
        slow = self._yarn_slow(len(rates), theta) if self.kind == "yarn" else self._llama_slow(rates)
        return rates / self.factor * slow + rates * (1 - slow)

    def _llama_slow(self, rates: Tensor) -> Tensor:
        turns = self.original * rates / (2 * math.pi)
        return 1 - ((turns - self.low) / (self.high - self.low)).clamp(0, 1)

    def _yarn_slow(self, columns: int, theta: float) -> Tensor:
        column = lambda turns: columns * math.log(self.original / (turns * 2 * math.pi)) / math.log(theta)
        first, last = column(self.high), column(self.low)
        if self.whole:
            first, last = math.floor(first), math.ceil(last)
        first, last = max(first, 0), min(last, 2 * columns - 1)
        return ((torch.arange(columns, dtype=torch.float64) - first) / ((last - first) or 0.001)).clamp(0, 1)

    def json(self) -> dict[str, Any]:
        """As a config.json says it."""
        out = {"rope_type": self.kind, "factor": self.factor, "original_max_position_embeddings": self.original}
        if self.kind == "llama3":
            return out | {"low_freq_factor": self.low, "high_freq_factor": self.high}
        if self.kind == "yarn":
            return out | {"beta_slow": self.low, "beta_fast": self.high, "attention_factor": self.attention, "truncate": self.whole}
        return out


def read_rope(raw: dict[str, Any], context: int) -> Rope | None:
    """From the rope_parameters (rope_scaling) of a config.json; `context` stands in for an original that is not named. None: unscaled."""
    kind = raw.get("rope_type", raw.get("type", "default"))
    if kind == "default":
        return None
    original = raw.get("original_max_position_embeddings") or context
    factor = raw.get("factor") or context / original
    if kind == "llama3":
        return Rope(kind, float(factor), original, float(raw["low_freq_factor"]), float(raw["high_freq_factor"]))
    if kind == "linear":
        return Rope(kind, float(factor), original)
    attention, mscale, all_dim = raw.get("attention_factor"), raw.get("mscale"), raw.get("mscale_all_dim")
    if attention is None:
        attention = _mscale(factor, mscale) / _mscale(factor, all_dim) if mscale and all_dim else _mscale(factor, 1)
    bounds = float(raw.get("beta_slow") or 1), float(raw.get("beta_fast") or 32)
    return Rope(kind, float(factor), original, *bounds, float(attention), bool(raw.get("truncate", True)))


def _mscale(factor: float, weight: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1
