"""Run every benchmark and write README.md: the machine, the figures, beside each how small the model is, misses as misses.

On a machine that is busy with something else the figures say little; how busy it was stands beside them.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import common
from common import CACHE, CAP, GROUP, HERE, Figure

SCRIPTS = ("vs_trl", "product_path", "asks", "throughput")
PACKAGES = ("torch", "numpy", "numba", "trl", "transformers")
HEAD = f"""# Benchmarks

Written by `python benchmarks/run_all.py`; do not edit. What is measured, and how, stands at the top of each script.

- All models here are tiny (0.15 to 9.5 million parameters, a vocabulary of 64 characters), so figures say what overhead costs, not how large models fare.
- The task is addition of numbers of 3 or 4 digits; replies have at most {CAP} tokens, groups {GROUP} samples, unless a line says otherwise.
- States: *warm*, after supervised fine-tuning on 30 % worked replies and 70 % bare answers; *late*, the same after 100 steps of RL;
  *high entropy*, a wider model after only 40 steps of fine-tuning, whose samples share little.
- *Sharing factor*: sampled tokens by distinct output node of the step's token tree. It falls as the policy's entropy rises, and the gain with it.
- *bf16* is our loop in bfloat16, which on a CPU runs through torch's own operations, not the compiled kernels. TRL runs in fp32.
- Times are medians after a warm-up, the sides of a comparison measured in turn within one run, over the rounds in which other
  processes used least of the machine. A bound in the last column is met or **missed**.
"""


def machine() -> str:
    """The processor, its cores, memory and the versions at work; nothing that names the machine."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    field = lambda name: next((line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith(name)), "")
    wide = next((kind for kind in ("avx512f", "avx2") if kind in field("flags").split()), "no wide vectors")
    processor = f"{field('model name') or platform.processor()}, family {field('cpu family')}, {wide}"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = [f"Python {platform.python_version()}"] + [f"{p} {version(p)}" for p in PACKAGES]
    return f"{processor}; {os.cpu_count()} cores; {memory:.0f} GB; {platform.system()}; {', '.join(versions)}; {time.strftime('%Y-%m-%d')}"


def version(package: str) -> str:
    """The installed version, or that there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def run(script: str, extra: list[str]) -> dict[str, Any]:
    """One benchmark's figures and how busy the machine was. Raises CalledProcessError when it fails."""
    path = CACHE / f"{script}.json"
    path.unlink(missing_ok=True)
    print(f"--- {script}", flush=True)
    subprocess.run([sys.executable, str(HERE / f"{script}.py"), "--json", str(path), *extra], check=True)
    return json.loads(path.read_text())  # type: ignore[no-any-return]


def section(script: str, found: dict[str, Any]) -> list[str]:
    """A script's figures as markdown."""
    figures = [Figure(**f) for f in found["figures"]]
    others = found["others"]
    lines = [
        f"## {script}",
        "",
        f"Other processes used {others['mean']:.2f} cores on average, {others['most']:.2f} at most, in the rounds that count; "
        f"load average {others['load']:.2f} before.",
        "",
    ]
    ratios = [f.text for f in figures if f.name == "ratio"]
    if ratios:
        lines += ["TRL's step time by ours:", "", "```", *ratios, "```", ""]
    lines += ["| what | figure | of what | bound |", "|---|---|---|---|"]
    for f in figures:
        if f.name != "ratio":
            bound = "" if f.met is None else f"{f.bound}: {'met' if f.met else '**missed**'}"
            lines.append(f"| {f.name} | {common.number(f.value)}{' ' + f.unit if f.unit else ''} | {f.about} | {bound} |")
    return [*lines, ""]


def main() -> None:
    parser = common.options(__doc__ or "")
    parser.add_argument("--prototype", type=Path, help="the earlier prototype's file, for product_path")
    parser.add_argument("--only", nargs="+", default=list(SCRIPTS), choices=SCRIPTS, help="run these; the others' last figures stay")
    args = parser.parse_args()
    for state in common.STATES:
        common.checkpoint(state)
    extra = {"product_path": ["--prototype", str(args.prototype)] if args.prototype else [], "vs_trl": ["--bf16"]}
    if version("trl") == "not installed":
        args.only = [s for s in args.only if s != "vs_trl"]
        print("vs_trl: skipped, TRL is not installed")
    for script in args.only:
        run(script, extra.get(script, []))
    lines = [HEAD, f"Machine: {machine()}.", ""]
    for script in SCRIPTS:
        path = CACHE / f"{script}.json"
        lines += section(script, json.loads(path.read_text())) if path.is_file() else [f"## {script}", "", "Not run.", ""]
    (HERE / "README.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
