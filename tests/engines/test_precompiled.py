"""The first run of all, which compiles, has the bits of every later one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import hashlib
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Recipe, Setting, Stage, imitation
from thinkery.models.model import load_model
from thinkery.tasks import load_task
task, model = load_task("chain"), load_model("tiny")
learning = Learning(Recipe((imitation(2, {"trace": 1.0}), Stage(steps=2, problems=4, samples=8))), Setting(task, seed=1), model)
while not learning.done:
    learning.step()
print(hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in model.decoder.parameters())).hexdigest())
"""


def test_the_first_run_has_the_bits_of_the_second(tmp_path: Path) -> None:
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "kernels")}
    found = [subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, timeout=900) for _ in range(2)]
    assert [f.returncode for f in found] == [0, 0], found[0].stderr + found[1].stderr
    assert found[0].stdout == found[1].stdout != ""
    assert list((tmp_path / "kernels").rglob("*.nbc")), "kernels were compiled anew, in a place of their own"
