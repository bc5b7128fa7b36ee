"""What tests of the dashboard share: a page taken apart, a client that has the token, a folder of runs, comparisons."""

from __future__ import annotations

import asyncio
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from tests.support import Sums, model_of

from thinkery.core.records import Problem, Question, Reply, Rollout, Verdict
from thinkery.lab.dashboard import application
from thinkery.lab.store import Store
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Recipe, Setting, Stage

httpx = pytest.importorskip("httpx")
TOKEN, PORT = "secret-token", 8765
HOSTILE = "<script>alert(1)</script>\x1b[31mred\x1b[0m\u202eevil {{ 7*7 }} <img src=x onerror=alert(2)>"


class Page(HTMLParser):
    """A page's tags, its links, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [v or "" for k, v in attrs if k in ("href", "src", "action")]
        assert not [k for k, _ in attrs if k.startswith("on") or k == "style"]  # the policy forbids both

    def handle_data(self, data: str) -> None:
        self.text += data


class Client:
    """Asks the application as a browser would, with the cookie."""

    def __init__(self, folder: Path, token: str = TOKEN) -> None:
        self.transport = httpx.ASGITransport(application(folder, TOKEN, PORT))
        self.token = token

    def get(self, path: str, host: str = f"127.0.0.1:{PORT}", method: str = "GET", **headers: str) -> Any:
        async def ask() -> Any:
            async with httpx.AsyncClient(transport=self.transport, base_url=f"http://{host}", cookies={"thinkery": self.token}) as client:
                return await client.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})

        return asyncio.run(ask())


def learnt(run: Path) -> None:
    """A run that learnt, with its model and its answers to test problems."""
    model = model_of()
    learning = Learning(Recipe((Stage(steps=3, problems=3, samples=4),)), Setting(Sums()), model)
    run.mkdir()
    record = Store(run)
    while not learning.done:
        metrics = learning.step()
        record.write(learning.state.total, "rl", metrics, 0.5, learning.rollouts, learning.learnt)
    learning.leave()
    record.close()
    model.save(run / "model")
    score = {"accuracy": 0.25, "low": 0.1, "high": 0.4, "n": 40}
    about = {"status": "done", "method": "grpo", "task": "sums", "model": "m", "seed": 3, "stages": [{"name": "rl", "steps": 3}]}
    (run / "run.json").write_text(json.dumps(about | {"evaluations": {"before": score, "after": score}}))
    answer = lambda n, reply, x: {"prompt": f"problem {n}", "gold": "1", "reply": reply, "score": x, "reason": "", "truncated": False}
    before = [answer(n, HOSTILE if n == 3 else "0", x) for n, x in enumerate((1.0, 1.0, 0.0, 0.0, None))]
    after = [answer(n, "1", x) for n, x in enumerate((1.0, 0.0, 1.0, 0.0, None))]
    (run / "samples.json").write_text(json.dumps({"before": before, "after": after}))


def hostile(run: Path) -> None:
    """A run whose every text is hostile; one reply is a line of a megabyte."""
    run.mkdir()
    record = Store(run)
    problem = Problem("p", Question(HOSTILE), HOSTILE)
    texts = (HOSTILE, HOSTILE, HOSTILE + "<b>" * 350_000)
    made = [
        Rollout(1, 0, k, problem, [], Reply(t), Verdict(k / 2, HOSTILE, reason=HOSTILE), rewards={HOSTILE: 1.0})
        for k, t in enumerate(texts)
    ]
    record.write(1, "rl", {"reward": 0.5, "loss/" + HOSTILE: 1.0}, 0.1, made)
    record.close()
    (run / "run.json").write_text(json.dumps(dict.fromkeys(("status", "method", "task", "model", "command"), HOSTILE)))


def compared(folder: Path, run: Path) -> None:
    """A comparison of three methods, one of hostile name and one combined, with one run of the first."""
    shutil.copytree(run, folder / "grpo" / "seed-0")
    figure = lambda x, d=0.1: {"mean": x, "low": x - d, "high": x + d}
    means = lambda x: {"accuracy": figure(x), "tokens": {"mean": 12345.0 + x, "low": None, "high": None}}
    curve = lambda x: [{"seed": 0, "points": [[10, 1.0, 0.1], [20, 2.0, x]]}]
    arm = lambda name, x: {"method": name, "means": means(x), "seeds": [{"seed": 0}], "curves": curve(x)}
    pair = lambda b, x: {"a": "grpo", "b": b, "mean": -x, "low": -x - 0.05, "high": -x + 0.05, "real": True}
    both = {"a": "rloo", "b": HOSTILE, "kind": "less than their sum", "beyond": figure(-0.2)}
    told = {
        "task": HOSTILE,
        "model": "m",
        "n": 9,
        "seeds": 1,
        "start": arm("start", 0.1),
        "arms": [arm("grpo", 0.5), arm(HOSTILE, 0.75), arm("rloo", 0.55)],
        "pairs": [pair(HOSTILE, 0.25), pair("rloo", 0.05)],
        "interactions": [both],
        "skipped": {f"dapo+{HOSTILE}": HOSTILE},
    }
    (folder / "compare.json").write_text(json.dumps(told | {"summary": [HOSTILE]}))


def made(top: Path) -> Path:
    """A folder with all of these."""
    learnt(top / "good")
    hostile(top / "bad")
    compared(top / "which", top / "good")
    return top
