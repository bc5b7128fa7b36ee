"""A start of random weights has the shape of the model it names and nothing of what that one learnt, or learning from nothing is none."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from tests.support import model_of, weights_of
from thinkery.core.errors import UnknownName
from thinkery.models.model import config_of, load_model, tokenizer_of


def test_it_has_the_shape_of_the_named_model_and_other_weights_that_stay_the_same(tmp_path: Path) -> None:
    trained = model_of()
    trained.save(tmp_path / "m")
    path = f"random:{tmp_path / 'm'}"
    one, two, named = load_model(path), load_model(path), load_model(tmp_path / "m")
    assert one.decoder.config == named.decoder.config == config_of(path)[0]
    assert one.tokenizer.same(named.tokenizer)
    assert tokenizer_of(path).same(named.tokenizer)
    assert weights_of(one) == weights_of(two) != weights_of(named)
    assert one.name == path
    assert load_model(path, dtype=torch.bfloat16).decoder.compute == torch.bfloat16


def test_it_says_about_the_same_of_every_token() -> None:
    said = load_model("random:tiny").logprobs("3+4*2-7=", "3+4:7,7*2:4,4-7:7#7")
    assert (said + math.log(64)).abs().max() < 1


def test_a_shape_that_is_not_there_is_named() -> None:
    with pytest.raises(UnknownName, match="tyni"):
        load_model("random:tyni")
