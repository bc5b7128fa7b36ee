"""Kernels are compiled by a process of their own, before any other uses them.

A process that compiles keeps each function by itself and in every function that calls it, and may run either; one that loads what was compiled has the
latter alone. Vectorised sums of the two differ in the last bits. So whoever needs kernels loads them, the first time, too: the first run of all
has the bits of every later one, and a run that is killed in it goes on to the same bytes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from .plan_cpu import _extend, compiled

BUSY = "THINKERY_COMPILES"  # set in the process that compiles
LIMIT_S = 900.0


@lru_cache(maxsize=1)
def ready() -> None:
    """Have the kernels compiled, if they are not yet. What cannot be kept (a folder that is read-only) is compiled where it is used."""
    place = Path(_extend.stats.cache_path)
    kept = os.access(place if place.is_dir() else place.parent, os.W_OK)
    if compiled() or BUSY in os.environ or not sys.executable or not kept:
        return
    command = [sys.executable, "-c", "from thinkery.lab.warm import main; main()"]
    path = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
    subprocess.run(command, env={**os.environ, BUSY: "1", "PYTHONPATH": path}, capture_output=True, timeout=LIMIT_S, check=False)
