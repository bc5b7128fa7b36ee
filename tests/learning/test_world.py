"""Two and four processes, under torch's own data parallelism, work out every method's gradient as one does.

What it proves: a pass's losses are a forward pass that DDP and FSDP2 can wrap; denominators, weights and couplings are settled for the whole step,
so gradients of shares add up to the step's with no factor between, whoever has how many parts. Under FSDP2 torch's own operations compute:
compiled kernels keep views of the weights, whose memory it frees.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.learning.gloo import DTYPES, EPOCH, KINDS, WORLDS
from tests.learning.steps import METHODS, Step, distance, rounding, steps, truth

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 500.0  # seconds; a tenth of it does
pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without torch.distributed")


def heard() -> Iterator[Step]:
    """Every method's stages that learn something."""
    return (s for name in METHODS for s in steps(name) if truth(name, s.number, EPOCH).any())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the processes left what they found; they end with the pipe that they hold, or are killed."""
    where = tmp_path_factory.mktemp("world")
    (where / "steps").write_bytes(pickle.dumps(list(heard())))
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    started = []
    for rank in range(max(WORLDS)):
        with (where / f"{rank}.log").open("wb") as log:
            command = [sys.executable, "-m", "tests.learning.gloo", str(where), str(rank)]
            started.append(subprocess.Popen(command, cwd=ROOT, env=os.environ | one, stdin=subprocess.PIPE, stdout=log, stderr=log))
    try:
        until = time.monotonic() + LIMIT
        while any(p.poll() is None for p in started) and not any(p.poll() for p in started) and time.monotonic() < until:
            time.sleep(0.1)
        logs = "\n".join((where / f"{rank}.log").read_text() for rank in range(len(started)))
        assert [p.poll() for p in started] == [0] * len(started), logs[-4000:]
        yield where
    finally:
        for p in started:
            p.kill()
            p.wait()
            assert p.stdin is not None
            p.stdin.close()


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_world_finds_what_one_process_finds(folder: Path, kind: str, world: int) -> None:
    found = torch.load(folder / f"{kind}-{world}.pt")
    assert {name for name, _, _ in found} == set(METHODS)
    for (name, stage, dtype), gradient in found.items():
        at = (name, stage, EPOCH)
        bound = 1e-12 if dtype == torch.float64 else 3 * max(rounding(*at).values())
        assert distance(gradient, truth(*at)) < bound, f"{name}, stage {stage}, {dtype}"
    assert len(found) == len(DTYPES[world]) * len(list(heard()))
