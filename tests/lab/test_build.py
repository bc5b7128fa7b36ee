"""The built-in models are made by the project: sizes as promised, the same seed the same weights, and an interrupted build goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from thinkery.core.errors import UnknownName
from thinkery.lab import build as builder
from thinkery.lab.build import SIZES, Size, build
from thinkery.lab.events import Event
from thinkery.models.decoder import Decoder, DecoderConfig
from thinkery.models.model import load_model

MIB = 1 << 20


def test_sizes_are_as_promised() -> None:
    with torch.device("meta"):
        count = {name: sum(p.numel() for p in Decoder(size.config).parameters()) for name, size in SIZES.items()}
    assert count["tiny"] < 1e6
    assert count["small"] <= 8e6 and 2 * count["small"] < 16 * MIB - 8192  # one bfloat16 file
    assert 25e6 < count["medium"] < 35e6


def test_unknown_size() -> None:
    with pytest.raises(UnknownName, match="huge"):
        build("huge", Path("nowhere"))


def test_interrupted_and_gone_on_with_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = DecoderConfig(vocabulary=64, width=32, layers=1, heads=1, kv_heads=1, head_width=32, feed_forward=64, context=512)
    monkeypatch.setitem(SIZES, "tiny", Size(config, 6, 4))
    monkeypatch.setattr(builder, "CHECKPOINT_S", 0.0)
    build("tiny", tmp_path / "straight")

    def interrupt(event: Event) -> None:
        if event.kind == "step" and event.data["step"] == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build("tiny", tmp_path / "cut", listen=interrupt)
    assert (tmp_path / "cut.build").is_dir() and not (tmp_path / "cut").exists()
    build("tiny", tmp_path / "cut")
    assert not (tmp_path / "cut.build").exists()
    for name in ("straight", "cut"):
        assert load_model(tmp_path / name).decoder.config == config
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("straight", "cut")]
    assert weights[0] == weights[1]
