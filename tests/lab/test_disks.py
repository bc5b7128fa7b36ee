"""A disk that fills, that can only be read, or that loses the run's folder ends a run in one sentence; the last good checkpoint stays, and with room again the run goes
on to the bytes of one that was left alone."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.lab.test_killed import base as base  # a fixture
from tests.lab.test_killed import ended, forked, outcome, same, train

from thinkery.core.errors import StorageError
from thinkery.lab.events import Event
from thinkery.learning.checkpoint import existing, load_file


def after(step: int, do: Callable[[], Any]) -> Callable[[Event], None]:
    """A listener that does something once, after a step."""

    def listen(event: Event) -> None:
        if event.kind == "step" and event.data["total"] == step:
            do()

    return listen


@pytest.mark.parametrize("room", [0, 4096, 60_000])
def test_no_room_in_the_middle_of_a_run(room: int, base: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk; what is said goes through a pipe."""
    out, (read, write) = tmp_path / "run", os.pipe()

    def work() -> None:
        harm = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        try:
            train(base, out, listen=after(3, harm), evaluate=0)
        except StorageError as error:
            os.write(write, f"{error.status} {error}".encode())

    assert ended(forked(work)) == 0
    os.close(write)
    said = os.read(read, 10_000).decode()
    os.close(read)
    assert said.startswith("2 cannot write "), said or "it said nothing"
    assert "free some space" in said
    assert "\n" not in said
    for folder in existing(out / "checkpoints"):
        assert load_file(str(folder / "model.safetensors"))
    assert not list((out / "checkpoints").glob(".*")), "nothing half written is left"
    train(base, out, evaluate=0)
    train(base, tmp_path / "straight", evaluate=0)
    same(outcome(out), outcome(tmp_path / "straight"))


@pytest.mark.parametrize("left", ["nothing", "an empty folder", "its checkpoints"])
def test_a_folder_that_vanishes_is_not_made_again_by_half(left: str, base: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"

    def vanish() -> None:
        for path in out.iterdir():
            if left == "its checkpoints" and path.name == "checkpoints":
                continue
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if left == "nothing":
            out.rmdir()

    with pytest.raises(StorageError, match="run is gone or was emptied while it was at work"):
        train(base, out, listen=after(3, vanish), evaluate=0)
    assert not (out / "run.json").exists()
    assert not (out / "model").exists()


SCRIPT = """
import sys
from pathlib import Path
from thinkery.core.errors import StorageError
from thinkery.lab import api
base, disk = sys.argv[1:]
try:
    api.train("grpo", task="chain", model=base, out=Path(disk) / "run", config={"steps": 1}, evaluate=0, workers=1)
except StorageError as error:
    print(error.status, error)
"""


def test_a_disk_that_can_only_be_read(base: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o ro tmpfs "$0" && exec "$@"', str(disk)]
    if shutil.which("unshare") is None or subprocess.run([*mount, "true"], capture_output=True).returncode:
        pytest.skip("needs a disk that can only be read: this system lets no user mount one")
    done = subprocess.run([*mount, sys.executable, "-c", SCRIPT, str(base), str(disk)], capture_output=True, text=True, timeout=300)
    assert done.stdout.startswith(f"2 cannot write {disk}/run: Read-only file system; free some space, check permissions"), done.stderr


def test_a_place_below_a_file_is_refused_at_once(base: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot write .*file/run: Not a directory"):
        train(base, tmp_path / "file" / "run")
