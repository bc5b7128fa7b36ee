"""The dashboard shows runs to who holds the token, and to nobody else; what a model wrote must stay text, and only a page of its own may ask a run for something."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from thinkery.core.errors import BadData
from thinkery.lab.control import Control, pending
from thinkery.lab.dashboard import data
from thinkery.lab.events import Event
from thinkery.lab.store import Store

from .support import HOSTILE, PORT, TOKEN, Client, Page

PAGES = (
    "/",
    "/?q=sums",
    "/run/good",
    "/run/good/rollouts",
    "/run/good/step/2/problem/4",
    "/run/good/step/2/problem/4?by=surprise",
    "/run/good/step/2/problem/4?by=entropy",
    "/run/good/problem/4",
    "/run/good/steps",
    "/run/good/steps?a=1&b=3",
    "/run/bad",
    "/run/bad/rollouts",
    "/run/bad/step/1/problem/0",
    "/run/bad/problem/0",
    "/beside",
    "/beside?a=good:before&b=good:after",
    "/compare",
    "/compare/which",
    "/map/which",
    "/run/which/grpo/seed-0",
    "/run/which/grpo/seed-0/rollouts",
    "/papers?words=reward&family=objectives",
    "/paper/26",
    "/paper/84",
)
HERE = f"http://127.0.0.1:{PORT}"


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_there_and_keeps_to_the_policy(client: Client, path: str) -> None:
    found = client.get(path)
    assert found.status_code == 200 and "{{" not in found.text.replace("{{ 7*7 }}", "")
    page = Page(found.text)
    assert page.tags.count("script") == 2 and "img" not in page.tags
    assert all(link.startswith(("/", "?", "#", "data:,")) for link in page.links)
    assert not [c for c in "\x1b\u202e" if c in found.text] and len(found.text) < 200_000
    assert "script-src 'self'" in found.headers["content-security-policy"] and found.headers["x-content-type-options"] == "nosniff"
    if "/bad" in path or path.startswith(("/compare", "/map", "/beside?")):
        assert "<script>alert(1)</script>red" in page.text and "49" not in page.text


def test_what_draws_the_curves_comes_from_here_with_its_licence(client: Client) -> None:
    page = Page(client.get("/run/good").text)
    for path in [link for link in page.links if link.startswith("/static/")] + ["/static/charts.js"]:
        assert client.get(path).status_code == 200, path
    assert "/static/uplot/uPlot.iife.min.js" in page.links
    licence = "src/thinkery/lab/dashboard/static/uplot/LICENSE"
    root = Path(__file__).parents[3]
    assert "MIT License" in (root / licence).read_text() and licence in (root / "pyproject.toml").read_text()


def test_who_has_no_token_sees_nothing(folder: Path) -> None:
    for path in (*PAGES, "/static/dashboard.css", "/news"):
        assert Client(folder, "wrong").get(path).status_code == 401
        assert "sums" not in Client(folder, "").get(path).text
    assert Client(folder, "").get("/?token=wrong").status_code == 401
    came = Client(folder, "").get(f"/run/good?token={TOKEN}")
    assert came.status_code == 303 and came.headers["location"].endswith("/run/good")
    assert {"httponly", "samesite=strict"} <= set(re.split(r"; *", came.headers["set-cookie"].lower()))


def test_another_host_or_another_verb_is_refused(client: Client) -> None:
    for host in ("evil.example", f"127.0.0.1:{PORT + 1}", "127.0.0.1"):
        assert client.get("/", host=host).status_code == 421
    assert client.get("/", host=f"localhost:{PORT}").status_code == 200
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH"):
        assert client.get("/run/good", method=method, origin=HERE).status_code == 405
    assert client.get("/run/good", method="POST", origin=HERE).status_code == 405


def test_only_a_page_of_ours_asks_a_run_to_stop(tmp_path: Path) -> None:
    run, runs = tmp_path / "one", Client(tmp_path)
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"status": "running", "method": "grpo"}))
    asked = lambda client, path="/run/one/ask/stop", **headers: client.get(path, method="POST", **headers).status_code
    assert asked(runs, origin=HERE) == 409  # it does not listen
    assert "Checkpoint now" not in runs.get("/run/one").text
    with Control(run).listening() as control:
        assert "Checkpoint now" in runs.get("/run/one").text
        for headers in ({}, {"origin": "null"}, {"origin": "http://evil.example"}, {"origin": f"http://127.0.0.1:{PORT + 1}"},
                        {"origin": f"https://127.0.0.1:{PORT}"}, {"origin": f"http://localhost:{PORT}"},
                        {"origin": HERE, "sec_fetch_site": "same-site"}, {"origin": HERE, "sec_fetch_site": "cross-site"}):  # fmt: skip
            assert asked(runs, **headers) == 403
        assert asked(Client(tmp_path, "wrong"), origin=HERE) == 401
        assert asked(Client(tmp_path, ""), f"/run/one/ask/stop?token={TOKEN}", origin=HERE) == 401
        assert runs.get("/run/one/ask/stop", method="POST", host="evil.example", origin="http://evil.example").status_code == 421
        assert runs.get("/run/one/ask/stop").status_code == 404  # a link asks for nothing
        for path, status in (("/run/one/ask/delete", 409), ("/run/none/ask/stop", 409), ("/run/../ask/stop", 404), ("/run/one/ask/", 404)):
            assert asked(runs, path, origin=HERE) in (status, 404, 405)
        assert pending(run) == "" and control.asked() == ""
        answer = runs.get("/run/one/ask/checkpoint", method="POST", origin=HERE, sec_fetch_site="same-origin")
        assert answer.status_code == 303 and answer.headers["location"] == "/run/one"
        assert "Asked: for a checkpoint" in runs.get("/run/one").text
        assert control.asked() == "checkpoint" and "Asked" not in runs.get("/run/one").text
        assert asked(runs, origin=HERE) == 303 and control.asked() == "stop"


@pytest.mark.parametrize(
    "path",
    ["/run/none", "/run/%2e%2e/x", "/run/..%2f..", "/run/good/step/9/problem/4", "/run/good/problem/99", "/run/good/rollouts?step=x",
     "/run/good/rollouts?outcome=nice", "/run/good/rollouts?part=x", "/run/good/rollouts?part=x+LIKE", "/run/good/rollouts?ended=never",
     "/run/good/rollouts?easiest=nan", "/run/good/rollouts?hardest=x",
     "/run/good/step/2/problem/4?by=magic", "/run/good/rollouts?step=" + "9" * 30, "/compare/none", "/compare/good", "/map/none", "/map/good",
     "/beside?a=none:before&b=good:after", "/beside?a=good&b=good:after", "/beside?a=../x:before&b=good:after", "/beside?a=bad:before&b=good:after",
     "/run/good/model", "/static/../server.py", "/nowhere"],
)  # fmt: skip
def test_what_is_not_there_is_a_page_that_says_so(client: Client, path: str) -> None:
    found = client.get(path)
    assert found.status_code in (404, 401) and "Traceback" not in found.text and "def " not in found.text


def test_a_run_without_a_model_or_a_record_is_still_shown(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "good", tmp_path / "runs" / "moved", ignore=shutil.ignore_patterns("model"))
    (tmp_path / "runs" / "fresh").mkdir()
    (tmp_path / "runs" / "fresh" / "run.json").write_text('{"status": "running"}')
    (tmp_path / "runs" / "torn").mkdir()
    (tmp_path / "runs" / "torn" / "run.json").write_text("{")
    client = Client(tmp_path / "runs")
    for by in ("advantage", "surprise", "entropy", "none"):
        assert client.get(f"/run/moved/step/2/problem/4?by={by}").status_code == 200
    assert "No step was recorded yet" in client.get("/run/fresh").text
    assert "unreadable" in client.get("/").text and client.get("/run/torn").status_code == 404


def test_what_the_doctor_found_is_told_in_full_and_what_is_grave_first(tmp_path: Path) -> None:
    run = tmp_path / "one"
    run.mkdir()
    record = Store(run)
    found = lambda level, seen: Event("finding", {"check": "room", "level": level, "seen": seen, "advice": "raise it"})
    for event in (
        found("fine", "there is room"),
        found("warning", "replies are cut"),
        found("warning", "replies are cut"),
        found("fine", HOSTILE),
    ):
        record.listen(event)
    record.listen(Event("note", {"text": "resumed"}))
    record.write(1, "rl", {"reward": 0.5}, 0.1)
    record.close()
    said = data.events(run)
    assert [e["kind"] for e in said] == ["warning", "note", "fine", "fine"]
    assert said[0]["text"] == "room: replies are cut → raise it"


def test_time_left_is_to_the_last_step_or_the_end_of_the_budget(tmp_path: Path) -> None:
    run = tmp_path / "one"
    run.mkdir()
    record = Store(run)
    for step in range(1, 5):
        record.write(step, "rl", {"reward": 0.5, "tokens": 100.0}, 2.0)
    record.close()
    for config, left in (({}, "12 s"), ({"budget": 10_000}, "12 s"), ({"budget": 600}, "4.0 s"), ({"budget": 100}, "0.0 s")):
        (run / "run.json").write_text(json.dumps({"status": "running", "stages": [{"name": "rl", "steps": 10}], "config": config}))
        told = data.overview(run, "one")
        assert told["left"] == left and told["live"] and ("tokens/s", "50") in told["figures"]


def test_live_runs_stand_first_those_of_comparisons_too(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "good", tmp_path / "which" / "grpo" / "seed-0")
    shutil.copytree(folder / "good", tmp_path / "done")
    client, about = Client(tmp_path), tmp_path / "which" / "grpo" / "seed-0" / "run.json"
    assert "<h2>Now</h2>" not in client.get("/").text
    about.write_text(json.dumps({"status": "running", "method": HOSTILE, "stages": [{"name": "rl", "steps": 9}]}))
    text = client.get("/").text
    assert (
        text.count('<section class="now"') == 1
        and "/run/which/grpo/seed-0" in text
        and "step 3 of 9" in text
        and "groups with signal" in text
    )


def test_nothing_outside_the_folder_is_reached(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "runs" / "x"
    outside.mkdir(parents=True)
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "runs" / "link").symlink_to(folder / "good")
    for name in ("..", "../", "x/../..", "", ".", "link", str(folder / "good")):
        with pytest.raises(BadData):
            data.found((tmp_path / "runs").resolve(), name)
