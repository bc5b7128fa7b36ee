"""In a real browser: hostile replies run nothing, pages fit a phone, runs appear and are stopped, and a keyboard is enough."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from thinkery.lab.control import Control, pending
from thinkery.lab.store import Store, query

from .test_dashboard_pages import PAGES


def legend(page: Any, figure: int = 0) -> dict[str, str]:
    """What a chart says of the place of its cursor."""
    rows = page.locator("figure").nth(figure).locator("tr.u-series:not(.quiet)").all()
    return {r.locator(".u-label").inner_text(): r.locator(".u-value").inner_text() for r in rows}


def test_hostile_replies_run_nothing_and_pages_fit_a_phone(browser: tuple[Any, str]) -> None:
    page, base = browser
    for path in PAGES:
        page.goto(base + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.evaluate(
            "[...document.querySelectorAll('button, .button, select, input')].every(it => it.hidden || it.getBoundingClientRect().height >= 24)"
        )


def test_a_run_appears_and_its_steps_come_by_themselves(browser: tuple[Any, str], folder: Path) -> None:
    page, base = browser
    page.goto(base + "/")
    page.wait_for_selector("#live >> text=live")
    page.wait_for_timeout(1500)
    run = folder / "later"
    run.mkdir()
    (run / "run.json").write_text(
        json.dumps({"status": "running", "method": "grpo", "task": "sums", "stages": [{"name": "rl", "steps": 9}]})
    )
    page.wait_for_selector("td >> text=later", timeout=10_000)
    record = Store(run)
    page.click("td >> text=later")
    page.wait_for_selector("#live >> text=live")
    page.wait_for_timeout(1500)
    for step in (1, 2, 3):
        record.write(step, "rl", {"reward": step / 3}, 0.1)
        page.wait_for_selector(f"text=step {step} of 9", timeout=10_000)
        if step == 1:
            page.evaluate("document.querySelector('figure canvas').kept = true; document.querySelector('figure').focus()")
            page.keyboard.press("End")
    assert page.evaluate("document.querySelector('figure canvas').kept && document.activeElement.matches('figure')")  # the same drawing
    assert json.loads(page.get_attribute("figure", "data-chart"))["x"] == [1, 2, 3]
    page.keyboard.press("End")
    assert legend(page) == {"step": "3", "reward": "1"}
    record.close()
    (run / "run.json").write_text(json.dumps({"status": "done", "method": "grpo", "task": "sums", "stages": [{"name": "rl", "steps": 9}]}))


def test_a_real_run_checkpoints_and_stops_when_the_page_asks(browser: tuple[Any, str], folder: Path) -> None:
    page, base = browser
    run = folder / "real"
    words = [sys.executable, "-m", "thinkery", "train", "grpo", "--task", "chain", "--steps", "5000", "--out", str(run)]
    words += ["--evaluate", "0", "--workers", "1", "--quiet", "--set", "problems=1", "--set", "samples=2", "--set", "max_tokens=8"]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        page.goto(base + "/")
        page.wait_for_selector("h3 >> text=grpo on chain", timeout=120_000)
        page.goto(base + "/run/real")
        page.wait_for_selector("text=Checkpoint now", timeout=60_000)
        page.click("text=Checkpoint now")
        page.wait_for_url("**/run/real")
        page.wait_for_selector("summary.button", timeout=30_000)
        kept = len(query(run, "SELECT id FROM events WHERE kind = 'checkpoint'")[1])
        assert kept >= 1 and child.poll() is None
        page.focus("summary.button")
        page.keyboard.press("Enter")
        page.wait_for_timeout(2500)  # steps come in meanwhile, and what was opened stays open
        page.focus("button.bad")
        page.keyboard.press("Enter")
        assert child.wait(timeout=60) == 130
        page.goto(base + "/run/real")
        page.wait_for_selector("text=interrupted")
        assert not page.query_selector("text=Checkpoint now") and not (run / "request.json").exists()
        assert any((run / "checkpoints").iterdir())
    finally:
        child.kill()
        child.communicate()


def test_a_page_elsewhere_cannot_ask_even_from_this_machine(browser: tuple[Any, str], folder: Path) -> None:
    page, base = browser
    run = folder / "asked"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"status": "running"}))

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(f'<form method="post" action="{base}/run/asked/ask/stop"><button>free cake</button></form>'.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with Control(run).listening():
            other = page.context.new_page()
            for host, status in (("127.0.0.1", 403), ("localhost", 401)):  # the cookie goes along from the first
                other.goto(f"http://{host}:{server.server_port}/")
                with other.expect_response(f"{base}/run/asked/ask/stop") as answer:
                    other.click("text=free cake")
                assert answer.value.status == status and pending(run) == ""
            other.close()
            page.goto(base + "/run/asked")
            page.click("text=Checkpoint now")
            page.wait_for_selector("text=Asked: for a checkpoint")
            assert pending(run) == "checkpoint"
    finally:
        server.shutdown()
        server.server_close()
        (run / "run.json").write_text(json.dumps({"status": "done"}))


def test_a_keyboard_is_enough(browser: tuple[Any, str]) -> None:
    page, base = browser
    page.goto(base + "/")
    page.keyboard.press("/")
    page.keyboard.type("sums done 25")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=sums+done+25")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/run/good")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/rollouts")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/problem/*")
    page.focus("svg.tree a")
    page.keyboard.press("Enter")
    page.wait_for_url("**#b*")
    assert page.evaluate("document.querySelector('.branches li:target').getBoundingClientRect().height") > 0  # the list has opened
    page.keyboard.press("u")
    page.wait_for_url("**/rollouts?step=*")
