"""Options of train and eval reach the model's context, and what a model cannot do is said instead of left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.models.families import write
from tests.solvers.test_thinking import model_of

from thinkery.core.context import Context
from thinkery.core.errors import BadConfig, InputError
from thinkery.core.records import Question
from thinkery.lab import api, doctor
from thinkery.lab.events import Event
from thinkery.lab.manner import spoken_to, tell_format
from thinkery.models.model import Model, load_model


def context_of(model: object) -> str:
    assert isinstance(model, Model) and model.chat is not None
    ids = model.context(Context.root(model.tokenizer), Question("1+1=", instruction="Be brief.")).ids
    return str(model.tokenizer.backend.decode(list(ids), skip_special_tokens=False))


def test_thinking_and_system_reach_the_context() -> None:
    model = model_of("qwen35")
    assert context_of(spoken_to(model, "on")) == context_of(spoken_to(model)) != context_of(spoken_to(model, "off"))
    assert context_of(spoken_to(model, "off")).endswith("</think>\n\n")
    assert context_of(spoken_to(model, system="You add.")).startswith(
        "<|im_start|>system\nYou add.<|im_end|>\n<|im_start|>user\n1+1=\n\nBe brief."
    )
    assert model.chat is not None and model.chat.thinking is None and not model.chat.system, "the model handed in stays as it was"


def test_what_cannot_be_done_is_said() -> None:
    heard: list[Event] = []
    base = model_of("qwen3", template=False)
    assert spoken_to(base) is base
    tell_format(base, heard.append)
    assert [e.kind for e in heard] == ["note"] and "no chat template" in heard[0].data["text"]
    tell_format(load_model("tiny"), heard.append)  # the built-in models are made for plain text
    tell_format(model_of("llama3"), heard.append)
    assert len(heard) == 1
    for wrong in ({"thinking": "on"}, {"thinking": "off"}, {"system": "Be brief."}):
        with pytest.raises(InputError, match="no chat template"):
            spoken_to(base, **wrong)
    with pytest.raises(InputError, match="knows no thoughts"):
        spoken_to(model_of("llama3"), "on")
    with pytest.raises(BadConfig, match="auto, on, off"):
        spoken_to(base, "maybe")


def test_evaluation_and_training_speak_by_the_template(tmp_path: Path) -> None:
    model_of("qwen35").save(tmp_path / "m")
    heard: list[Event] = []
    found = api.evaluate(tmp_path / "m", "addition", n=2, thinking="off", system="You add.", listen=heard.append)
    assert found.n == 2 and not [e for e in heard if e.kind == "note"]
    config = {"problems": 1, "samples": 2, "max_tokens": 4, "shards": 1}
    result = api.train(
        "grpo", task="addition", model=tmp_path / "m", steps=1, evaluate=0, out=tmp_path / "run", config=config, workers=1, thinking="off",
        system="You add.", listen=heard.append, doctor_stops=False,
    )  # fmt: skip
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["config"]["thinking"] == "off" and about["config"]["system"] == "You add."
    (preview,) = [e for e in heard if e.kind == "preview"]
    assert "You add." in preview.data["samples"][0]["rendered"] and 'End with "#"' in preview.data["samples"][0]["rendered"]
    assert load_model(result.folder / "model").chat is not None
    with pytest.raises(BadConfig, match="was started with config"):
        api.train(
            "grpo", task="addition", model=tmp_path / "m", steps=1, evaluate=0, out=tmp_path / "run", config=config, workers=1, resume=True
        )


def test_the_doctor_looks_at_the_model_as_it_will_be_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With another template or without its adapter it would find the faults of another run."""
    model_of("qwen35").save(tmp_path / "m")
    seen: list[Any] = []
    monkeypatch.setattr(doctor, "after", lambda rollouts, metrics, stage, model, learnt: seen.append((rollouts, model)) or [])
    config = {"problems": 1, "samples": 2, "max_tokens": 4, "shards": 1}
    api.examine("grpo", task="addition", model=tmp_path / "m", config=config, thinking="off", system="You add.")
    ((rollouts, _),) = seen
    assert "You add." in rollouts[0].turns[0].context.text
    api.examine("grpo", task="addition", config=config, memory=api.Memory(lora=2))
    learning = [name for name, p in seen[1][1].decoder.named_parameters() if p.requires_grad]
    assert learning
    assert all(".updates." in name for name in learning)
    with pytest.raises(BadConfig, match="auto, on, off"):
        api.examine("grpo", task="addition", model=tmp_path / "m", config=config, thinking="maybe")


def test_plain_text_is_said_aloud(tmp_path: Path) -> None:
    base, heard = model_of("qwen3", template=False), list[Event]()
    base.save(tmp_path / "base")
    api.evaluate(tmp_path / "base", "addition", n=1, listen=heard.append)
    assert "base has no chat template" in next(e for e in heard if e.kind == "note").data["text"]


def test_a_template_that_is_broken_is_bad_input(tmp_path: Path) -> None:
    model_of("qwen3").save(tmp_path / "m")
    write("qwen3", tmp_path / "m", chat_template="{% if %}")
    with pytest.raises(InputError, match="cannot be compiled"):
        api.evaluate(tmp_path / "m", "addition", n=1)
