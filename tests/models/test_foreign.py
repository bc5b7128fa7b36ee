"""A model that transformers runs has the decoder's interface and values. Padding, precision, a head of its own kind or a frozen weight could differ."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from tests.engines.foreign import KINDS, folder_of
from tests.support import SOLVERS, Sums, rollouts_of, weights_of
from thinkery.core.errors import BadConfig, BadModel, MissingExtra, PromptTooLong
from thinkery.engines.transformers_engine import TransformersEngine
from thinkery.learning import checkpoint, losses, optimizer
from thinkery.learning.batch import build
from thinkery.learning.forward import logprobs
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Optimizer, Recipe, Setting, Stage
from thinkery.learning.signals import logprobs_of
from thinkery.models.adapters import Lora, attach
from thinkery.models.foreign import ForeignDecoder
from thinkery.models.layout import rectangle
from thinkery.models.model import Model, load_model

ROWS = [[1, 30, 31, 5, 9, 9, 40, 63, 2, 17, 8, 8, 21], [1, 5, 9, 7], [1, 60], [44, 3, 3, 3, 3, 3, 3, 3, 3, 50, 11]]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def loaded(kind: str, folder: Path) -> tuple[Model, Any]:
    """The model as loaded here, and the module it was saved from."""
    module = folder_of(kind, folder)
    return load_model(folder), module


def test_rows_are_what_transformers_says_of_each_alone(kind: str, tmp_path: Path) -> None:
    model, module = loaded(kind, tmp_path)
    decoder = model.decoder
    assert isinstance(decoder, ForeignDecoder)
    assert decoder.remark.startswith(f"model_type {kind}: it runs through transformers")
    with torch.no_grad():
        found = decoder.logits(decoder(rectangle(ROWS))).view(len(ROWS), len(ROWS[0]), -1)
        for row, ids in zip(found, ROWS):
            want = module(torch.tensor([ids])).logits[0]
            assert (row[: len(ids)] - want).abs().max() < 1e-4


def test_token_logprobs_in_chunks(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = loaded(kind, tmp_path)
    decoder = model.decoder
    hidden = decoder(rectangle([ROWS[0]])).detach().requires_grad_()
    targets, temperature = torch.tensor(ROWS[0]), torch.linspace(0.5, 2, len(ROWS[0]))
    logps = (decoder.logits(hidden) / temperature[:, None]).log_softmax(-1)
    want = logps.gather(1, targets[:, None])[:, 0], -(logps.exp() * logps).sum(-1)
    wanted = torch.autograd.grad((want[0] + 0.3 * want[1]).sum(), [hidden, decoder.head])
    monkeypatch.setattr("thinkery.models.foreign.CHUNK", 64 * 5)
    logp, entropy = decoder.token_logprobs(hidden, targets, temperature)
    assert torch.allclose(logp, want[0], atol=1e-5)
    assert torch.allclose(entropy, want[1], atol=1e-5)
    found = torch.autograd.grad((logp + 0.3 * entropy).sum(), [hidden, decoder.head])
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(found, wanted))


@pytest.mark.parametrize("double", [False, True])
def test_the_learner_has_the_gradient_of_the_plain_loss(kind: str, double: bool, tmp_path: Path) -> None:
    """Turns of several lengths and temperatures, padded to one rectangle here; one by one and unpadded there."""
    model, module = loaded(kind, tmp_path)
    rollouts = rollouts_of(TransformersEngine(model), SOLVERS["fork"], problems=2, samples=2)
    if double:
        for m in (model.decoder.double().module, module.double()):
            m.set_experts_implementation("eager")  # the grouped product has no float64
    engine = TransformersEngine(model)
    batch = build(rollouts, engine.tree)
    rows = np.arange(len(batch))
    weight = torch.linspace(-1, 1, batch.mask.size, dtype=model.decoder.dtype).view(batch.mask.shape) * torch.tensor(batch.mask)
    (weight * logprobs(model.decoder, batch, rows, batch.mask.sum(1)).logp).sum().backward()
    total = torch.zeros((), dtype=model.decoder.dtype)
    turns = [t for r in rollouts for t in r.turns]
    for turn, w in zip(turns, weight):
        ids = (*turn.context.ids, *turn.ids)
        logits = module(torch.tensor([ids[:-1]])).logits[0, turn.context.n - 1 :] / float(np.float32(turn.temperature))
        total = total + (w[: turn.n] * logits.log_softmax(-1)[torch.arange(turn.n), torch.tensor(turn.ids)]).sum()
    total.backward()
    theirs = dict(module.named_parameters())
    for name, p in model.decoder.module.named_parameters():
        want = theirs[name].grad
        want = torch.zeros_like(p) if want is None else want
        have = torch.zeros_like(p) if p.grad is None else p.grad
        assert (have - want).abs().max() <= (1e-5 if double else 1e-3) * max(1.0, float(want.abs().max())), name


def test_bfloat16_computes_as_transformers_does_in_bfloat16(kind: str, tmp_path: Path) -> None:
    import transformers

    folder_of(kind, tmp_path)
    module = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    decoder = load_model(tmp_path, dtype=torch.bfloat16).decoder
    assert decoder.embed.dtype == torch.float32
    with torch.no_grad():
        want = module(torch.tensor([ROWS[0]])).logits[0]
        found = decoder.logits(decoder(rectangle([ROWS[0]])))
        assert torch.equal(found, want)
        before = decoder.logits(decoder(rectangle([ROWS[0]])))
        for p in decoder.parameters():
            p.mul_(1.5)
        decoder.changed()
        assert not torch.equal(decoder.logits(decoder(rectangle([ROWS[0]]))), before), "what was cast is cast anew"
    hidden = decoder(rectangle([ROWS[0]]))
    decoder.token_logprobs(hidden, torch.tensor(ROWS[0]), torch.ones(len(ROWS[0])))[0].sum().backward()
    assert decoder.embed.grad is not None
    assert decoder.embed.grad.dtype == torch.float32


def test_save_and_load(kind: str, tmp_path: Path) -> None:
    import transformers

    model, _ = loaded(kind, tmp_path / "m")
    with torch.no_grad():
        for p in model.decoder.parameters():
            p.mul_(1.1)
    model.save(tmp_path / "n")
    again = load_model(tmp_path / "n")
    assert weights_of(again) == weights_of(model)
    assert again.logprobs("1+2=", "345").equal(model.logprobs("1+2=", "345"))
    assert again.tokenizer.signature == model.tokenizer.signature
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "n")
    with torch.no_grad():
        want = theirs(torch.tensor([ROWS[0]])).logits[0]
        assert (model.decoder.logits(model.decoder(rectangle([ROWS[0]]))) - want).abs().max() < 1e-4
    model.save(tmp_path / "half", torch.bfloat16)
    assert json.loads((tmp_path / "half" / "config.json").read_text())["dtype"] == "bfloat16"
    assert model.decoder.embed.dtype == torch.float32


def test_it_learns_the_same_with_one_worker_and_two(tmp_path: Path) -> None:
    chosen = (losses.policy_gradient(), losses.entropy_bonus(0.01), losses.kl_penalty(0.1))
    stage = Stage(steps=2, problems=4, samples=4, losses=chosen, signals={"ref": logprobs_of("reference")})

    def run(workers: int) -> bytes:
        model = load_model(tmp_path)
        before = weights_of(model)
        learning = Learning(Recipe((stage,)), Setting(Sums()), model, workers)
        while not learning.done:
            metrics = learning.step()
        learning.leave()
        assert np.isfinite(metrics["drift"])
        assert metrics["drift"] < 1e-4, "what was sampled is what is trained"
        assert weights_of(model) != before
        return weights_of(model)

    folder_of("gemma2", tmp_path)
    assert run(1) == run(2)


def test_a_resumed_run_ends_the_same(tmp_path: Path) -> None:
    stage = Stage(
        steps=4,
        problems=2,
        samples=2,
        losses=(losses.entropy_bonus(0.1), losses.kl_penalty(0.1)),
        signals={"ref": logprobs_of("reference")},
    )
    start = lambda: Learning(Recipe((stage,)), Setting(Sums()), load_model(tmp_path / "m"))
    folder_of("qwen3_5_text", tmp_path / "m")
    whole, first, second = start(), start(), start()
    for _ in range(4):
        whole.step()
    for _ in range(2):
        first.step()
    checkpoint.load(second, checkpoint.save(first, tmp_path / "checkpoints"))
    for _ in range(2):
        second.step()
    assert weights_of(second.model) == weights_of(whole.model) != weights_of(first.model)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_optimizers_know_its_matrices(kind: str, tmp_path: Path) -> None:
    folder_of("gemma2", tmp_path)
    built = optimizer.build(Optimizer(kind=kind), load_model(tmp_path).decoder)
    assert len(built) == (2 if kind == "muon" else 1)


# ---- refusals


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = folder_of("gemma2", tmp_path)
    decoder = load_model(tmp_path).decoder
    with pytest.raises(PromptTooLong, match="161 tokens is too long"):
        decoder(rectangle([[1] * 161]))
    with monkeypatch.context() as m:
        m.setitem(sys.modules, "transformers", None)
        with pytest.raises(MissingExtra, match=r"model_type gemma2\) needs the package 'transformers'"):
            load_model(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(BadModel, match=r"(?s)model_type gemma2\): transformers cannot load it: .*num_hidden_layers"):
        load_model(tmp_path)
    three = {"num_hidden_layers": 3, "layer_types": ["full_attention"] * 3}
    (tmp_path / "config.json").write_text(json.dumps(config | three))
    with pytest.raises(BadModel, match=r"the weights lack 'model.layers.2"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"intermediate_size": 50}))
    with pytest.raises(BadModel, match=r"mlp.down_proj.weight has shape \[32, 48\], config.json asks for \[32, 50\]"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").unlink()
    torch.save(module.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(BadModel, match="pickle files are never loaded"):
        load_model(tmp_path)


def test_adapters_are_refused(tmp_path: Path) -> None:
    folder_of("gemma2", tmp_path)
    with pytest.raises(BadConfig, match=r"model_type gemma2: it runs through transformers.*adapters and quantised weights are only for"):
        attach(load_model(tmp_path).decoder, Lora(4))


def test_code_in_the_folder_is_never_run(tmp_path: Path) -> None:
    folder_of("gemma2", tmp_path)
    mark = tmp_path / "ran"
    (tmp_path / "theirs.py").write_text(f"open({str(mark)!r}, 'w')\n")
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "newest", "auto_map": {"AutoConfig": "theirs.Config", "AutoModelForCausalLM": "theirs.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadModel, match="model_type newest"):
        load_model(tmp_path)
    assert not mark.exists()
