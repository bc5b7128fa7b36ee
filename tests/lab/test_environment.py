"""What is said of a machine decides what people install and rent: a bound read wrongly, or a GPU praised that torch cannot use, costs them
a day."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from thinkery.lab import environment as module
from thinkery.lab.environment import Check, bounds, cuda_devices, environment, satisfies

SMI = "NVIDIA H200, 143771, 143000, 9.0, 570.86\nTesla T4, with a comma, 15360, [N/A], 7.5, 570.86\n"
FAST, OLD = (
    {"name": "H200", "gib": 140.4, "free_gib": 139.6, "capability": "9.0"},
    {"capability": "7.5", "name": "T4", "gib": 15.0, "free_gib": 15.0},
)
CUDA, CPU = {"version": "2.13.0", "build": "CUDA 12.8"}, {"version": "2.13.0+cpu", "build": "CPU"}


@pytest.mark.parametrize(
    ("have", "bound", "fits"),
    [
        ("2.13.0+cpu", ">=2.9,<2.14", True),
        ("2.9", ">=2.9.0", True),
        ("2.10.1", ">=2.9", True),
        ("2.14.0", ">=2.9,<2.14", False),
        ("2.8.9", ">=2.9", False),
        ("5.0.0rc1", ">=5,<6", True),
        ("1.0.post1", "==1.0", True),
        ("1.1", "!=1.1.0", False),
        ("3.1.6", "", True),
        ("3.1", "=>3", False),
    ],
)
def test_bounds(have: str, bound: str, fits: bool) -> None:
    assert satisfies(have, bound) is fits


def test_what_is_needed_is_read_from_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "torch<2.14,>=2.9",
        "jinja2>=3.1.6",
        'transformers[torch]<6,>=5; extra == "hf"',
        "x>1; python_version < \"3\" and extra == 'a-b'",
    ]
    monkeypatch.setattr(module, "requires", lambda _: lines)
    assert bounds() == {
        "": [("torch", ">=2.9,<2.14"), ("jinja2", ">=3.1.6")],
        "hf": [("transformers", ">=5,<6")],
        "a-b": [("x", ">1")],
    }


def test_a_source_tree_says_the_same() -> None:
    """Where the package is not installed its pyproject.toml is read."""
    found = bounds()
    assert ("gguf", ">=0.17") in found["gguf"] and "torch" in dict(found[""])
    assert {name for name, _ in found["hf"]} == {"transformers", "huggingface-hub", "datasets"}


def least() -> dict[str, str]:
    """The least versions that we need, by package."""
    return {name: next(b for b in bound.split(",") if b[0] in ">=").strip(">=") for needs in bounds().values() for name, bound in needs}


def status(found: list[Check], name: str) -> str:
    return next(c.status for c in found if c.name == name)


def test_missing_and_old_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    have = {"torch": "2.1.0", "transformers": "4.57.0", "numba": "0.70"}
    monkeypatch.setattr(module, "installed", have.get)
    found = environment()
    assert found.broken
    by = {c.name: c for c in found.packages}
    assert (by["torch"].status, by["torch"].mend) == ("WARN", "pip install 'torch>=2.9,<2.14'")
    assert (by["safetensors"].status, by["gguf"].status, by["gguf"].mend) == ("MISSING", "MISSING", "pip install 'thinkery[gguf]'")
    assert status(found.abilities, "transformers engine") == "MISSING" and status(found.abilities, "train on the CPU") == "MISSING"
    monkeypatch.setattr(module, "installed", least().get)
    assert not environment().broken


def test_devices_as_the_driver_tells_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!{sys.executable}\nprint({SMI!r}, end='')\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    first, second = cuda_devices()
    assert first == {"name": "NVIDIA H200", "gib": 140.4, "free_gib": 139.6, "capability": "9.0", "driver": "570.86"}
    assert (second["name"], second["free_gib"], second["capability"]) == ("Tesla T4, with a comma", None, "7.5")
    program.write_text(f"#!{sys.executable}\nimport sys\nprint('NVIDIA-SMI has failed')\nsys.exit(9)\n")
    assert cuda_devices() == []
    monkeypatch.setenv("PATH", "")
    assert cuda_devices() == []


@pytest.mark.parametrize(
    ("gpus", "torch", "vectors", "want"),
    [
        ([FAST], CUDA, [], {"train on a GPU": "OK", "bfloat16": "OK", "QLoRA": "OK", "8-bit optimizer": "OK"}),
        ([OLD], CUDA, ["AVX2", "AVX-512 BF16"], {"train on a GPU": "OK", "bfloat16": "WARN"}),
        ([FAST], CPU, ["AVX2"], {"train on a GPU": "MISSING", "bfloat16": "WARN", "8-bit optimizer": "WARN"}),
        ([], CPU, ["AVX2", "AVX-512 BF16"], {"train on a GPU": "MISSING", "bfloat16": "OK", "QLoRA": "WARN", "train on the CPU": "OK"}),
        ([], CPU, [], {"train on the CPU": "WARN"}),
    ],
)
def test_what_will_work(
    gpus: list[Any], torch: dict[str, str], vectors: list[str], want: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("cuda_devices", gpus), ("torch_build", torch), ("vector_extensions", vectors)):
        monkeypatch.setattr(module, name, lambda value=value: value)
    monkeypatch.setattr(module, "installed", least().get)
    found = environment().abilities
    assert {name: status(found, name) for name in want} == want
    if gpus and torch is CPU:
        assert "'torch>=2.9,<2.14'" in next(c.mend for c in found if c.name == "train on a GPU")


def test_a_server_on_this_machine_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "installed", lambda name: None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(module, "VLLM_PORT", server.getsockname()[1])
        assert status(environment().abilities, "vLLM") == "OK"
    assert status(environment().abilities, "vLLM") == "MISSING"


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1 << 20}))
    assert status(environment().abilities, "room") == "WARN"


def test_torch_is_found_and_not_imported() -> None:
    code = (
        "import sys; from thinkery.lab.environment import environment; found = environment();"
        " assert found.machine['torch']['version'], found; sys.exit(sum(m in sys.modules for m in ('torch', 'numpy', 'numba', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(module.PACKAGE.parent)}).returncode == 0
    found = environment().machine
    import torch

    assert found["torch"]["version"] == torch.__version__
    assert found["torch"]["build"].startswith("CUDA") is (torch.version.cuda is not None)
