"""A vLLM server of one's own, where vllm is installed: started with the model's weights, stopped with the engine.

A process beside the learner instead of vLLM inside it: two libraries that both claim the GPU's allocator and pin their own torch do
not live well in one process, and the protocol is the same one that a server elsewhere speaks.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from pathlib import Path
from typing import Any

from ..core.errors import BadConfig, EngineError
from ..models.model import Model, find
from .remote import Server

PROGRAM = "vllm"
SHARE = 0.45  # of the GPU's memory; the rest is the learner's
WAIT_S = 900.0  # to load and compile
SHOWN = 15  # lines of its log, when it fails


class OwnServer:
    """A running `vllm serve` on a free port of this machine. Raises BadConfig without the program, EngineError when it does not come up."""

    def __init__(self, model: Model, wait_s: float = WAIT_S) -> None:
        program = shutil.which(PROGRAM)
        if program is None:
            raise BadConfig(
                "--engine vllm: nothing answers at 127.0.0.1:8000 and vllm is not installed; install it (pip install vllm), start a server "
                "and give its address, or use --engine local"
            )
        self.folder = Path(tempfile.mkdtemp(prefix="thinkery-vllm-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        if model.decoder.adapter is None:
            self.weights = self.folder / "model"
            model.save(self.weights, model.decoder.dtype)
        else:  # the base as it is; the adapter follows under a name of its own
            self.weights = find(model.decoder.adapter.base)
        self.url = f"http://127.0.0.1:{_free_port()}"
        self.log = self.folder / "log.txt"
        environment = os.environ | {"VLLM_SERVER_DEV_MODE": "1", "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [program, *self.arguments(model)],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # a driver that is killed must not leave a GPU occupied
            )
        self.close = weakref.finalize(self, _stop, self.process)
        self._wait(wait_s)

    def arguments(self, model: Model) -> list[str]:
        """Of `vllm serve`."""
        port, c = self.url.rpartition(":")[2], model.decoder.config
        words = ["serve", str(self.weights), "--served-model-name", "base", "--host", "127.0.0.1", "--port", port]
        words += ["--dtype", str(model.decoder.dtype).removeprefix("torch."), "--max-model-len", str(c.context)]
        words += ["--logprobs-mode", "processed_logprobs", "--gpu-memory-utilization", str(SHARE)]
        if model.decoder.adapter is not None:
            words += ["--enable-lora", "--max-lora-rank", str(max(8, 1 << (model.decoder.adapter.rank - 1).bit_length()))]
        return words

    def _wait(self, wait_s: float) -> None:
        """Until it answers."""
        end = time.monotonic() + wait_s
        while not answers(self.url):
            status = self.process.poll()
            if status is not None or time.monotonic() > end:
                how = f"ended with status {status}" if status is not None else f"did not come up in {wait_s:.0f} seconds"
                last = "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-SHOWN:])
                self.close()
                raise EngineError(f"vllm {how}; use --engine local, or start it by hand and give its address. Its last words:\n{last}")
            time.sleep(0.2)


def answers(url: str) -> bool:
    """Whether a vLLM server is there."""
    server = Server(url, timeout=2.0, pause=0.0)
    with socket.socket() as s:
        s.settimeout(0.5)
        if s.connect_ex((server.host, server.port or 80)):
            return False
    with contextlib.suppress(EngineError, BadConfig):
        found: Any = server.call("/version")
        return isinstance(found, dict) and "version" in found
    return False


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and what it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
