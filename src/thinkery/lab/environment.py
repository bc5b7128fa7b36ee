"""What this machine has and what will work on it, found without importing anything heavy."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1]
OK, WARN, MISSING = "OK", "WARN", "MISSING"
VECTORS = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "AVX-512 BF16", "amx_bf16": "AMX BF16", "asimd": "NEON", "sve": "SVE"}
NUMBER = re.compile(r"\d+")
GIB = 1 << 30
VLLM_PORT = 8000  # where a vLLM server listens unless it is told otherwise


@dataclass(frozen=True)
class Check:
    """name; status: OK, WARN or MISSING; seen: the facts; mend: the command or deed that would make it OK; required: nothing works without."""

    name: str
    status: str
    seen: str
    mend: str = ""
    required: bool = False


@dataclass(frozen=True)
class Environment:
    """What there is (`machine`, by name), each package against its bounds, and what will work."""

    machine: dict[str, Any]
    packages: list[Check]
    abilities: list[Check]

    @property
    def broken(self) -> bool:
        """Whether something required is missing or does not fit."""
        return any(c.required and c.status != OK for c in (*self.packages, *self.abilities))

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        checks = {key: [vars(c) for c in getattr(self, key)] for key in ("packages", "abilities")}
        return {"machine": self.machine, **checks, "broken": self.broken}


def environment(folder: Path = Path()) -> Environment:
    """Look at this machine; `folder` is where runs would go. Takes well under a second, for torch is not imported."""
    gpus = cuda_devices()
    machine = {
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "python": f"{platform.python_version()} ({sys.executable})",
        "torch": torch_build(),
        "cpu": {"cores": cores(), "vectors": vector_extensions()},
        "memory_gib": round(memory() / GIB, 1),
        "disk_free_gib": round(shutil.disk_usage(folder).free / GIB, 1),
        "compiled_kernels": kernels_cached(),
        "gpus": gpus,
    }
    packages = list(_packages())
    have = {c.name: c.status == OK for c in packages}
    return Environment(machine, packages, list(_abilities(machine, have)))


# ---- the machine


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> int:
    """Bytes of main memory, or of the container's share of it; 0 where the system does not tell."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")] if hasattr(os, "sysconf") else []
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = _read(limit).strip()
        found += [int(text)] if text.isdigit() else []
    return min(found, default=0)


def vector_extensions() -> list[str]:
    """The vector extensions that matter here; empty where the system does not tell."""
    if platform.system() == "Darwin":
        return ["NEON"] if platform.machine() == "arm64" else ["AVX2"]
    line = re.search(r"^(?:flags|Features)\s*:(.*)$", _read("/proc/cpuinfo"), re.MULTILINE)
    flags = set(line[1].split()) if line else set()
    return [shown for flag, shown in VECTORS.items() if flag in flags]


def torch_build() -> dict[str, str] | None:
    """The torch that is installed: version, and the CUDA or ROCm that it was built for; None: there is none."""
    try:
        found = {"version": version("torch")}
        spec = importlib.util.find_spec("torch")
    except (PackageNotFoundError, ValueError):
        return None
    text = _read(Path(spec.origin).with_name("version.py")) if spec is not None and spec.origin else ""
    built = dict(re.findall(r"^(cuda|hip)(?:\s*:.*?)?\s*=\s*['\"]([\d.]+)", text, re.MULTILINE))
    names = {"cuda": "CUDA", "hip": "ROCm"}
    return found | {"build": next((f"{names[k]} {v}" for k, v in built.items()), "CPU")}


def cuda_devices() -> list[dict[str, Any]]:
    """NVIDIA's devices as the driver tells of them: name, memory and free memory in GiB, compute capability, driver."""
    asked = ("name", "memory.total", "memory.free", "compute_cap", "driver_version")
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        done = subprocess.run(
            [program, f"--query-gpu={','.join(asked)}", "--format=csv,noheader,nounits"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    found = []
    for line in done.stdout.splitlines() if done.returncode == 0 else []:
        name, total, free, capability, driver = (x.strip() for x in line.rsplit(",", 4))
        gib = lambda mib: round(float(mib) / 1024, 1) if NUMBER.match(mib) else None
        found.append({"name": name, "gib": gib(total), "free_gib": gib(free), "capability": capability, "driver": driver})
    return found


def kernels_cached() -> bool:
    """Whether numba keeps compiled kernels for this package already, in the places where it looks for them."""
    own = os.environ.get("NUMBA_CACHE_DIR")
    users = Path.home() / (".cache" if platform.system() != "Darwin" else "Library/Caches") / "numba"
    where = [Path(own)] if own else [PACKAGE / "engines" / "__pycache__", users]
    return any(next(place.rglob("plan_cpu._extend-*.nbi"), None) is not None for place in where if place.is_dir())


def listening(port: int) -> bool:
    """Whether a program on this machine takes connections at a port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
    except OSError:
        return False
    return True


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


# ---- packages


def bounds() -> dict[str, list[tuple[str, str]]]:
    """What we need by extra, "" for what is needed always: (package, bounds as in ">=2.9,<2.14")."""
    try:
        lines = requires("thinkery") or []
    except PackageNotFoundError:  # run from its source
        project = tomllib.loads(_read(PACKAGE.parents[1] / "pyproject.toml")).get("project", {})
        extras = project.get("optional-dependencies", {})
        lines = [*project.get("dependencies", []), *(f'{x}; extra == "{name}"' for name, xs in extras.items() for x in xs)]
    found: dict[str, list[tuple[str, str]]] = {}
    for line in lines:
        need, _, marker = line.partition(";")
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)", marker)
        name = re.match(r"[\w.-]+", need.strip())
        if name is not None:
            bound = re.sub(r"\[.*?\]|\s|[()]", "", need.strip()[name.end() :])
            lowest_first = ",".join(sorted(bound.split(","), reverse=True))  # metadata has them in an order of its own
            found.setdefault(extra[1] if extra else "", []).append((name[0], lowest_first))
    return found


def satisfies(have: str, bound: str) -> bool:
    """Whether a version lies within bounds, by the numbers of its release: "2.13.0+cpu" in ">=2.9,<2.14"."""
    compare = {">=": lambda a, b: a >= b, "<": lambda a, b: a < b, ">": lambda a, b: a > b, "<=": lambda a, b: a <= b}
    compare |= {"==": lambda a, b: a == b, "!=": lambda a, b: a != b, "~=": lambda a, b: a >= b}
    for part in filter(None, bound.split(",")):
        sign = re.match(r"[<>=!~]+", part)
        if sign is None or sign[0] not in compare or not compare[sign[0]](*_aligned(have, part[sign.end() :])):
            return False
    return True


def _aligned(a: str, b: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    numbers = [tuple(int(n) for n in NUMBER.findall(re.split(r"[+a-z]", x, maxsplit=1)[0])) for x in (a, b)]
    length = max(map(len, numbers))
    first, second = (n + (0,) * (length - len(n)) for n in numbers)
    return first, second


def _packages() -> Iterator[Check]:
    """Every package by its extra, installed or not."""
    python = platform.python_version()
    fits = sys.version_info >= (3, 11)
    yield Check("python", OK if fits else MISSING, python, "" if fits else "install Python 3.11 or newer", required=True)
    for extra, needs in sorted(bounds().items()):
        for name, bound in needs:
            if extra in ("dev", "test"):
                continue
            have, must = installed(name), extra == ""
            whose = "" if must else f" (extra {extra})"
            mend = f"pip install '{name}{bound}'" if must else f"pip install 'thinkery[{extra}]'"
            if have is None:
                yield Check(name, MISSING, f"not installed{whose}", mend, must)
            elif not satisfies(have, bound):
                yield Check(name, WARN, f"{have}, we need {bound}{whose}", f"pip install '{name}{bound}'", must)
            else:
                yield Check(name, OK, f"{have}{whose}", required=must)


def installed(name: str) -> str | None:
    """The version of an installed package."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


# ---- what will work


def _abilities(machine: Mapping[str, Any], have: Mapping[str, bool]) -> Iterator[Check]:
    vectors, gpus, torch, cores = machine["cpu"]["vectors"], machine["gpus"], machine["torch"], machine["cpu"]["cores"]
    core, fast = have.get("torch", False) and have.get("numba", False), bool(set(vectors) & {"AVX2", "AVX-512", "NEON"})
    warm = "compiled" if machine["compiled_kernels"] else "compiled at first use, about half a minute"
    seen = f"kernels {warm}" + ("" if fast else "; no AVX2 or NEON seen, so they will be slow")
    yield Check("train on the CPU", OK if core and fast else WARN if core else MISSING, seen, "" if core else "see torch and numba above")
    yield Check("several workers", OK if cores > 1 else WARN, f"{cores} cores; what a run learns does not depend on their number")
    ram, disk = machine["memory_gib"], machine["disk_free_gib"]
    mend = "" if disk >= 1 else "free some disk: checkpoints and models go there"
    yield Check("room", OK if disk >= 1 and ram >= 2 else WARN, f"{ram} GiB of memory, {disk} GiB of disk free", mend)
    yield _cuda(gpus, torch)
    yield from _precision(gpus, torch, vectors, have)
    yield _optional("transformers engine", have, "transformers", "hf", "models that the decoder does not cover")
    yield _optional("push to the Hub", have, "huggingface-hub", "hf", "thinkery model push")
    yield _optional("export to gguf", have, "gguf", "gguf", "thinkery model export --to gguf, for llama.cpp")
    server, here = installed("vllm"), listening(VLLM_PORT)
    seen = f"{server or 'not installed here'}; {'something answers' if here else 'nothing answers'} at 127.0.0.1:{VLLM_PORT}"
    yield Check("vLLM", OK if server or here else MISSING, seen, "" if server or here else "pip install vllm, or give a server's address")


def _usable(gpus: list[Any], torch: Any) -> bool:
    return bool(gpus) and torch is not None and torch["build"].startswith("CUDA")


def _cuda(gpus: list[Any], torch: Any) -> Check:
    shown = "; ".join(f"{g['name']}, {g['gib']} GiB ({g['free_gib']} free), compute capability {g['capability']}" for g in gpus)
    if not gpus:
        return Check(
            "train on a GPU", MISSING, "no NVIDIA device or no driver (nvidia-smi)", "runs go to the CPU; rent a GPU for larger models"
        )
    if torch is None or not torch["build"].startswith("CUDA"):
        mend = f"pip install --force-reinstall 'torch{dict(bounds().get('', [])).get('torch', '')}'"  # PyPI's build for Linux has CUDA
        return Check("train on a GPU", MISSING, f"{shown}; but torch is built for {'nothing' if torch is None else torch['build']}", mend)
    return Check("train on a GPU", OK, f"{shown}; torch is built for {torch['build']}")


def _precision(gpus: list[Any], torch: Any, vectors: list[str], have: Mapping[str, bool]) -> Iterator[Check]:
    """bfloat16, four-bit bases, eight-bit optimizer."""
    gpu = _usable(gpus, torch)
    new = all(NUMBER.match(g["capability"]) and float(g["capability"]) >= 8 for g in gpus)
    fast = new if gpu else any("BF16" in v for v in vectors)
    where = "in hardware" if fast else "computed, but slowly: this hardware has none"
    yield Check("bfloat16", OK if fast else WARN, where, "" if fast else "use float32 here")
    bits = have.get("bitsandbytes", False)
    yield Check("QLoRA", OK if gpu else WARN, "--lora 16 --quantize nf4" + ("" if gpu else ": works on a CPU too, meant for GPUs"))
    seen = "adamw8bit" if bits and gpu else "needs a GPU" if bits else "adamw8bit needs bitsandbytes"
    yield Check("8-bit optimizer", OK if bits and gpu else WARN if bits else MISSING, seen, "" if bits else "pip install 'thinkery[bits]'")


def _optional(name: str, have: Mapping[str, bool], package: str, extra: str, what: str) -> Check:
    there = have.get(package, have.get(package.replace("-", "_"), False))
    return Check(name, OK if there else MISSING, what, "" if there else f"pip install 'thinkery[{extra}]'")
