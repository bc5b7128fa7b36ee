"""An adapter changes what the decoder computes in every path alike, and nothing else; a path that forgot it would sample from another policy than it trains."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.models.test_decoder import forest
from tests.support import SOLVERS, VARIANTS, Sums, draws, model_of, rollouts_of, twin, weights_of
from thinkery.core.errors import BadConfig, BadModel, MissingExtra
from thinkery.engines.local import LocalEngine
from thinkery.learning import checkpoint, losses, optimizer
from thinkery.learning.batch import build
from thinkery.learning.forward import logprobs
from thinkery.learning.gradient import snapshot, trained
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Optimizer, Recipe, Setting, Stage
from thinkery.learning.signals import logprobs_of
from thinkery.models.adapters import TARGETS, Lora, attach, merged
from thinkery.models.adapters import quantize as quantize_decoder
from thinkery.models.decoder import Decoder
from thinkery.models.layout import rectangle
from thinkery.models.model import Model, load_model

SPECS = {"all": Lora(3, 8.0), "some": Lora(2, 5.0, stable=True, targets=("q_proj", "v_proj", "up_proj"))}
STAGE = Stage(steps=4, problems=3, samples=4, shards=2, max_tokens=6, optimizer=Optimizer(lr=3e-2))


def adapted(variant: str = "plain", spec: Lora = SPECS["all"], nf4: bool = False, moved: float = 0.3) -> Model:
    """A tiny model with an adapter whose B has moved."""
    model = model_of(VARIANTS[variant])
    if nf4:
        quantize_decoder(model.decoder)
    attach(model.decoder, spec, seed=1)
    move(model.decoder, moved)
    return model


def move(decoder: Decoder, by: float) -> None:
    noise = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, p in trained(decoder).items():
            if ".b." in name:
                p += by * torch.randn(p.shape, generator=noise)
    decoder.changed()


def values(decoder: Decoder) -> list[Tensor]:
    """Log-probabilities, entropies and the adapter's gradients over a tree."""
    layout = forest(50, decoder.config.vocabulary)
    hidden = decoder(layout)
    logp, entropy = decoder.token_logprobs(hidden, torch.as_tensor(layout.tokens).roll(1), torch.ones(len(layout)))
    weights = torch.as_tensor(draws("weights").standard_normal((2, len(layout)))).to(logp)
    parts = list(trained(decoder).values())
    return [logp.detach(), entropy.detach(), *torch.autograd.grad((weights[0] * logp + weights[1] * entropy).sum(), parts)]


# ---- LoRA


@pytest.mark.parametrize("nf4", [False, True])
@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("variant", ["plain", "qwen3", "biased"])
def test_added_to_the_weight_or_to_the_product(variant: str, spec: str, nf4: bool) -> None:
    """Compiled kernels add it to the weight, torch's operations to the product: values and gradients are the same."""
    model = adapted(variant, SPECS[spec], nf4)
    fast, slow = (values(twin(model.decoder, plain=plain)) for plain in (False, True))
    assert len(fast) == 2 + 2 * VARIANTS[variant].layers * len(SPECS[spec].targets)
    for a, b in zip(fast, slow):
        assert b.abs().max() > 0
        assert (a - b).abs().max() <= 1e-11 * b.abs().max().clamp_min(1)


def test_it_equals_the_merged_weights_and_is_nothing_at_first() -> None:
    model = adapted()
    assert all(p.requires_grad == (".updates." in name) for name, p in model.decoder.named_parameters())
    layout = forest(30, 64)
    with torch.no_grad():
        assert (merged(model.decoder)(layout) - model.decoder(layout)).abs().max() < 1e-5
        plain, fresh = model_of().decoder, adapted(moved=0.0).decoder
        assert torch.equal(plain(layout), fresh(layout))
        assert (plain(layout) - model.decoder(layout)).abs().max() > 0.1


@pytest.mark.parametrize("nf4", [False, True])
@pytest.mark.parametrize("way", ["single", "fork"])
def test_what_is_sampled_is_what_is_trained(way: str, nf4: bool) -> None:
    """To the bit, before and after the adapter has moved: the engine takes the new weights."""
    model = adapted(nf4=nf4)
    engine = LocalEngine(model)
    for _ in range(2):
        batch = build(rollouts_of(engine, SOLVERS[way]), engine.tree, ("policy",))
        with torch.no_grad():
            logp = logprobs(model.decoder, batch, *_all(batch))[0]
        assert torch.equal(logp[torch.as_tensor(batch.mask)], torch.as_tensor(batch.behaviour[batch.mask]).to(logp))
        move(model.decoder, 0.2)


@pytest.mark.parametrize("nf4", [False, True])
def test_torch_s_own_operations_sample_what_they_train(nf4: bool) -> None:
    model = adapted("qwen3", nf4=nf4)
    model.decoder.plain = True
    engine = LocalEngine(model)
    batch = build(rollouts_of(engine, SOLVERS["fork"]), engine.tree, ("policy",))
    with torch.no_grad():
        logp = logprobs(model.decoder, batch, *_all(batch))[0].numpy()
    assert abs(logp - batch.behaviour)[batch.mask].max() < 1e-4


def _all(batch: Any) -> Any:
    return torch.arange(len(batch)).numpy(), batch.mask.sum(1)


def test_the_reference_shares_the_base() -> None:
    """No second model: only the adapter is copied, and the copy stays where it was."""
    model = adapted(moved=0.0)
    learning = Learning(Recipe((kl_stage(),)), Setting(Sums()), model)
    learning.enter()
    reference = learning.frozen["reference"]
    own = dict(model.decoder.named_parameters())
    for name, p in reference.named_parameters():
        assert (p is own[name]) == (".updates." not in name)
        assert not p.requires_grad
    assert reference.cos is model.decoder.cos
    layout = forest(20, 64)
    with torch.no_grad():
        before = reference(layout)
        move(model.decoder, 0.3)
        assert torch.equal(reference(layout), before)
        assert torch.equal(before, model_of().decoder(layout)), "of a new adapter it is the base"
        assert not torch.equal(model.decoder(layout), before)


def kl_stage(**changes: Any) -> Stage:
    parts = (losses.policy_gradient(), losses.entropy_bonus(0.5), losses.kl_penalty(0.1))
    return replace(STAGE, losses=parts, signals={"ref": logprobs_of("reference")}, **changes)


@pytest.mark.parametrize(("kind", "nf4"), [("adamw", False), ("muon", False), ("adamw8bit", True)])
def test_resumed_equals_straight(tmp_path: Path, kind: str, nf4: bool) -> None:
    """A checkpoint holds the adapter alone and the run goes on as if nothing had happened."""
    if kind == "adamw8bit":
        pytest.importorskip("bitsandbytes")

    def start() -> Learning:
        spec = replace(STAGE.optimizer, kind=kind)
        return Learning(Recipe((kl_stage(optimizer=spec),)), Setting(Sums(), seed=4), adapted(spec=Lora(64), nf4=nf4, moved=0.0))

    straight = start()
    base = {n: p.clone() for n, p in straight.model.decoder.named_parameters() if not p.requires_grad}
    lines = [straight.step() for _ in range(2)]
    folder = checkpoint.save(straight, tmp_path)
    lines += [straight.step() for _ in range(2)]
    learnt = sum(p.numel() for p in trained(straight.model.decoder).values())
    assert (folder / "model.safetensors").stat().st_size < 4.2 * learnt + 8192
    again = start()
    checkpoint.load(again, folder)
    assert [again.step() for _ in range(2)] == lines[2:]
    assert weights_of(again.model) == weights_of(straight.model)
    assert lines[0]["gradient_norm"] > 0 and lines[-1]["loss/kl"] > 0
    for name, p in base.items():
        assert torch.equal(p, dict(straight.model.decoder.named_parameters())[name])


def test_workers_change_nothing() -> None:
    def weights(workers: int) -> bytes:
        learning = Learning(Recipe((kl_stage(epochs=2),)), Setting(Sums()), adapted(moved=0.0), workers)
        for _ in range(2):
            learning.step()
        learning.leave()
        return weights_of(learning.model)

    assert weights(1) == weights(2)


@pytest.mark.parametrize("nf4", [False, True])
def test_bfloat16_keeps_the_adapter_in_float32(nf4: bool) -> None:
    model = model_of()
    model.decoder.compute = torch.bfloat16
    if nf4:
        quantize_decoder(model.decoder)
    attach(model.decoder, Lora(4))
    dtypes = {p.requires_grad: p.dtype for p in model.decoder.parameters()}
    assert dtypes == {True: torch.float32, False: torch.bfloat16}
    learning = Learning(Recipe((kl_stage(),)), Setting(Sums()), model)
    assert learning.step()["gradient_norm"] > 0
    assert {p.dtype for p in trained(model.decoder).values()} == {torch.float32}


@pytest.mark.parametrize(("spec", "words"), [({"rank": 0}, "at least 1"), ({"rank": 2, "targets": ("lm_head",)}, "lm_head")])
def test_wrong_settings(spec: dict[str, Any], words: str) -> None:
    with pytest.raises(BadConfig, match=words):
        Lora(**spec)


def test_one_adapter_at_a_time() -> None:
    with pytest.raises(BadConfig, match="already"):
        attach(adapted().decoder, Lora(2))


# ---- files


def test_saved_and_loaded(tmp_path: Path) -> None:
    model_of(VARIANTS["qwen3"]).save(tmp_path / "base")
    model = load_model(tmp_path / "base")
    attach(model.decoder, replace(SPECS["some"], base=str(tmp_path / "base")))
    move(model.decoder, 0.3)
    model.save(tmp_path / "adapter")
    model.save(tmp_path / "whole", merge=True)
    again, whole = load_model(tmp_path / "adapter"), load_model(tmp_path / "whole")
    assert again.decoder.adapter == model.decoder.adapter
    assert whole.decoder.adapter is None
    layout = forest(30, 70)
    with torch.no_grad():
        assert torch.equal(again.decoder(layout), model.decoder(layout))
        assert (whole.decoder(layout) - model.decoder(layout)).abs().max() < 1e-5


@pytest.mark.filterwarnings("ignore:.*:FutureWarning")  # peft's and transformers' between themselves
@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_peft_computes_the_same(tmp_path: Path, family: str) -> None:
    """In both directions: ours in peft, peft's here."""
    peft, transformers = pytest.importorskip("peft"), pytest.importorskip("transformers")
    model_of(VARIANTS["qwen3" if family == "qwen3" else "plain"]).save(tmp_path / "base")
    base = load_model(tmp_path / "base")
    attach(base.decoder, replace(SPECS["some"], base=str(tmp_path / "base")))
    move(base.decoder, 0.3)
    base.save(tmp_path / "ours")
    ids = [3, 1, 4, 1, 5, 9, 2, 6, 5]

    def theirs(m: Any) -> Tensor:
        with torch.no_grad():
            return m(torch.tensor([ids])).logits[0]  # type: ignore[no-any-return]

    def ours(m: Model) -> Tensor:
        with torch.no_grad():
            return m.decoder.logits(m.decoder(rectangle([ids])))

    load = lambda: transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    assert (theirs(peft.PeftModel.from_pretrained(load(), tmp_path / "ours")) - ours(base)).abs().max() < 1e-4
    config = peft.LoraConfig(r=5, lora_alpha=7, target_modules=["k_proj", "o_proj", "gate_proj", "down_proj"], init_lora_weights=False)
    other = peft.get_peft_model(load(), config)
    other.save_pretrained(tmp_path / "theirs")
    found = load_model(tmp_path / "theirs")
    assert found.decoder.adapter == Lora(5, 7.0, False, ("k_proj", "o_proj", "gate_proj", "down_proj"), str(tmp_path / "base"))
    assert (theirs(other) - ours(found)).abs().max() < 1e-4
    assert (ours(found) - ours(load_model(tmp_path / "base"))).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"peft_type": "IA3"}, "only LoRA"),
        ({"use_dora": True}, "use_dora"),
        ({"rank_pattern": {"q_proj": 2}}, "rank_pattern"),
        ({"r": "many"}, "cannot be read"),
        ({"r": 4}, "has shape"),
        ({"base_model_name_or_path": "nowhere"}, "nowhere"),
    ],
)
def test_adapters_that_do_not_fit(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    model_of().save(tmp_path / "base")
    model = load_model(tmp_path / "base")
    attach(model.decoder, replace(SPECS["all"], base=str(tmp_path / "base")))
    model.save(tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(Exception, match=words) as found:
        load_model(tmp_path / "adapter")
    assert isinstance(found.value, BadModel) or "nowhere" in words


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "bitsandbytes.optim.adamw", None)
    with pytest.raises(MissingExtra, match="bitsandbytes"):
        optimizer.build(Optimizer(kind="adamw8bit"), model_of().decoder)


def test_a_snapshot_of_a_whole_model_is_a_copy() -> None:
    decoder = model_of().decoder
    other = snapshot(decoder)
    assert all(a is not b and torch.equal(a, b) for a, b in zip(decoder.parameters(), other.parameters()))
    assert math.isclose(sum(p.numel() for p in copy.deepcopy(decoder).parameters()), sum(p.numel() for p in other.parameters()))
    assert set(TARGETS) == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
