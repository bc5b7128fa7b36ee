"""A folder of runs, a client with the token, and a real browser on a real dashboard."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .support import Client, made

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that learnt, one whose every text is hostile, a comparison."""
    return made(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="package")
def client(folder: Path) -> Client:
    return Client(folder)


@pytest.fixture(scope="package")
def served(folder: Path) -> Iterator[str]:
    """The address of a dashboard at work."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    words = [sys.executable, "-m", "thinkery", "dashboard", str(folder), "--port", str(port), "--no-open"]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert child.stdout is not None
    line = child.stdout.readline()
    assert f"http://127.0.0.1:{port}/?token=" in line
    for _ in range(100):
        with socket.socket() as place:
            if place.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    yield line.split()[-1]
    child.terminate()
    child.communicate(timeout=20)


@pytest.fixture
def browser(served: str) -> Iterator[tuple[Any, str]]:
    """A page in chromium that has the cookie, and what it complained of."""
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip("no chromium: apt-get install chromium")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright.sync_playwright() as p:
        opened = p.chromium.launch(executable_path=str(CHROMIUM), args=flags)
        page = opened.new_context(viewport={"width": 390, "height": 800}).new_page()
        said: list[str] = []
        page.on("console", lambda m: said.append(m.text))
        page.on("pageerror", lambda e: said.append(str(e)))
        page.on("dialog", lambda d: said.append(d.message))
        page.goto(served)
        yield page, served.split("/?")[0]
        opened.close()
    assert said == []
