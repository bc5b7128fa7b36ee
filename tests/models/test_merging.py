"""A mean of two models' weights: the ends are the models themselves, and what does not belong together is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.support import TINY, model_of
from thinkery.cli.main import main
from thinkery.core.errors import BadConfig, BadModel
from thinkery.models.merging import merged
from thinkery.models.model import Model, load_model
from thinkery.models.tokenizer import train_tokenizer


def logprobs(model: Model) -> torch.Tensor:
    return model.logprobs("1+2=", "3#3")


def test_the_ends_are_the_models_and_neither_is_changed() -> None:
    a, b = model_of(seed=1), model_of(seed=2)
    before = logprobs(a), logprobs(b)
    assert torch.equal(logprobs(merged(a, b, 0.0)), before[0])
    assert torch.allclose(logprobs(merged(a, b, 1.0)), before[1], atol=1e-5)
    half = merged(a, b, 0.5)
    assert torch.equal(logprobs(a), before[0]) and torch.equal(logprobs(b), before[1])
    for x, y, z in zip(a.decoder.parameters(), b.decoder.parameters(), half.decoder.parameters()):
        assert torch.allclose(z, (x + y) / 2, atol=1e-6)
    assert not torch.allclose(logprobs(half), before[0], atol=1e-3)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_shares_outside_are_refused(share: float) -> None:
    with pytest.raises(BadConfig):
        merged(model_of(), model_of(), share)


def test_what_does_not_belong_together_is_refused() -> None:
    with pytest.raises(BadModel, match="different weights"):
        merged(model_of(), model_of(replace(TINY, layers=TINY.layers + 1)), 0.5)
    pieces = train_tokenizer(["where there were others than these"] * 4, 300)
    other = Model(model_of(replace(TINY, vocabulary=pieces.size)).decoder, pieces, "pieces")
    with pytest.raises(BadModel, match="different tokenizers"):
        merged(model_of(), other, 0.5)


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in (1, 2):
        model_of(seed=seed).save(tmp_path / str(seed))
    command = ["model", "merge", str(tmp_path / "1"), str(tmp_path / "2"), "--share", "0.25", "--out", str(tmp_path / "m")]
    assert main(command) == 0
    expected = logprobs(merged(load_model(tmp_path / "1"), load_model(tmp_path / "2"), 0.25))
    assert torch.allclose(logprobs(load_model(tmp_path / "m")), expected)
    assert "75% of" in capsys.readouterr().out
    assert main(command) == 2
