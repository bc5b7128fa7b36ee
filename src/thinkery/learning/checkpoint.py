"""Exact checkpoints: everything that decides what comes next, in a folder that appears whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..core.errors import BadModel, StorageError
from ..core.reading import loads
from . import optimizer
from .gradient import snapshot, trained
from .loop import Learning, State

KEEP = 2  # the newest and the one before it


@contextlib.contextmanager
def storage(path: Path) -> Iterator[None]:
    """Turn the system's refusals into one clear message."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}; free some space, check permissions, or choose another --out"
        ) from error
    except Exception as error:  # safetensors reports a full disk in an exception of its own
        if "I/O error" in str(error) or "os error" in str(error):
            raise StorageError(f"cannot write {path}: {error}; free some space or choose another --out") from error
        raise


def scratch(path: Path) -> Path:
    """Where a file is written before it takes its place."""
    return path.with_name(f".{path.name}.tmp")


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file at once: a reader sees the old or the new one, never half."""
    with storage(path):
        temporary = scratch(path)
        with temporary.open("w", encoding="utf-8") as f:
            json.dump(value, f, indent=1, ensure_ascii=False)
            f.write("\n")
            f.flush()
            os.fsync(f.fileno())
        temporary.replace(path)


def save(learning: Learning, folder: Path) -> Path:
    """Write folder/step-N and drop older checkpoints but one. Raises StorageError; the last good checkpoint stays."""
    name = f"step-{learning.state.total:08d}"
    part, final = scratch(folder / name), folder / name
    with storage(final):
        for left in folder.glob(".step-*.tmp"):  # of a run that was killed while it wrote
            shutil.rmtree(left, ignore_errors=True)
        try:
            part.mkdir(parents=True)
            _write(learning, part)
            shutil.rmtree(final, ignore_errors=True)
            part.rename(final)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        for old in existing(folder)[:-KEEP]:
            shutil.rmtree(old, ignore_errors=True)
    return final


def _write(learning: Learning, folder: Path) -> None:
    learnt = trained(learning.model.decoder)
    tensors = lambda decoder: {k: v.detach().cpu().contiguous() for k, v in decoder.named_parameters() if k in learnt}
    save_file(tensors(learning.model.decoder), str(folder / "model.safetensors"))
    save_file(optimizer.state_tensors(learning.optimizers), str(folder / "optimizer.safetensors"))
    if "reference" in learning.frozen:  # the others are loaded from their folders when the stage is entered
        save_file(tensors(learning.frozen["reference"]), str(folder / "reference.safetensors"))
    (folder / "outputs.json").write_text(json.dumps({k: v for k, v in learning.outputs.items() if k in learning.kept}) + "\n")
    (folder / "state.json").write_text(json.dumps(asdict(learning.state)) + "\n")
    for path in folder.iterdir():
        with path.open("rb") as f:
            os.fsync(f.fileno())


def existing(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    return sorted(p for p in folder.glob("step-*") if (p / "state.json").is_file()) if folder.is_dir() else []


def load(learning: Learning, folder: Path) -> None:
    """Put a run back where the checkpoint `folder` left it. Raises BadModel when it does not fit the run."""
    learning.frozen.pop("reference", None)  # of another checkpoint, which could be read in part
    try:
        learning.state = State(**loads((folder / "state.json").read_text()))
        learning.outputs = loads((folder / "outputs.json").read_text())
        weights = load_file(str(folder / "model.safetensors"))
        moments = load_file(str(folder / "optimizer.safetensors"))
        decoder = learning.model.decoder
        decoder.equip(() if learning.done else learning.stage.heads)
        with torch.no_grad():
            for name, p in trained(decoder).items():
                if name in weights or not name.startswith("heads."):  # a stage that had not begun has its heads new
                    p.copy_(weights[name])
        decoder.changed()
        if learning.done:
            return
        learning.optimizers = optimizer.build(learning.stage.optimizer, decoder)
        if moments:
            optimizer.load_state(learning.optimizers, moments)
        if (folder / "reference.safetensors").is_file():
            reference = learning.frozen["reference"] = snapshot(decoder)
            saved = load_file(str(folder / "reference.safetensors"))
            with torch.no_grad():
                for name, p in reference.named_parameters():
                    if name in saved:
                        p.copy_(saved[name])
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise BadModel(
            f"the checkpoint {folder} does not fit this run: {type(error).__name__} {error}; start anew with another --out"
        ) from error
