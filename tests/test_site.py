"""The site must build whole, offline and without a dead link, and hold what a newcomer looks for; a page that phones out must not pass."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

import thinkery
from thinkery.cli.main import COMMANDS, GROUPS
from thinkery.lab import catalogue

pytest.importorskip("zensical")
ROOT = Path(__file__).resolve().parents[1]
SITE = runpy.run_path(str(ROOT / "docs" / "site" / "build.py"))
CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found: Path = SITE["build"](tmp_path_factory.mktemp("built"))
    return found


def test_it_has_a_page_for_everything(site: Path) -> None:
    there = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    guides = {f"guides/{path.stem}.html" for path in (ROOT / "docs" / "guides").glob("*.md")}
    notebooks = {f"notebooks/{path.stem}.html" for path in (ROOT / "docs" / "notebooks").glob("*.ipynb")}
    methods = {f"methods/{name}.html" for name in catalogue.methods() if (ROOT / "docs" / "methods" / f"{name}.md").exists()}
    others = {f"{path.stem}.html" for path in (ROOT / "docs").glob("*.md")} | {
        "index.html",
        "commands.html",
        "python.html",
        "benchmarks.html",
    }
    assert guides | notebooks | methods | others <= there
    start = SITE["Page"]((site / "index.html").read_text("utf-8"))
    reached = {link.partition("#")[0].removeprefix("./") for link in start.links}
    assert guides | notebooks | methods | others - {"index.html"} <= reached, "not in the navigation"


def test_commands_and_python_are_told_from_their_source(site: Path) -> None:
    commands, python = ((site / f"{name}.html").read_text("utf-8") for name in ("commands", "python"))
    for name in [*COMMANDS, *(f"{group}-{name}" for group, (_, found) in GROUPS.items() for name in found)]:
        assert f'id="{name}"' in commands, name
    assert "--budget" in commands
    for name in thinkery.__all__:
        assert name.startswith("_") or f'id="{name.lower()}"' in python, name


def test_a_dead_link_and_a_load_from_elsewhere_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<link rel="stylesheet" href="https://fonts.example/x.css"><script src="//x.example/y.js"></script><i id="there"></i>'
        '<a href="b.html">b</a><a href="a.html#nowhere">n</a><a href="#there">fine</a><a href="https://example.org">fine</a>'
    )
    (tmp_path / "x.css").write_text("@import 'https://x.example/z.css'; a { background: url(local.png) url(//x.example/p.png) }")
    found = list(SITE["faults"](tmp_path))
    assert len(found) == 6
    assert sum("loads" in fault for fault in found) == 4
    assert any("b.html, which is not there" in fault for fault in found) and any("#nowhere" in fault for fault in found)


def test_links_of_the_readme_lead_into_the_site() -> None:
    text = (
        "[a](docs/store.md#x) ![b](docs/demo-curve.svg) [c](benchmarks/README.md) [d](LICENSE) [e](https://e.org)\n```\n[f](docs/f.md)\n```"
    )
    assert SITE["linked"](text, ROOT) == (
        "[a](store.md#x) ![b](demo-curve.svg) [c](benchmarks.md) d [e](https://e.org)\n```\n[f](docs/f.md)\n```"
    )


@pytest.mark.skipif(not CHROMIUM.exists(), reason="no chromium: apt-get install chromium")
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_browser_asks_nobody_and_no_page_is_wider_than_it(site: Path, width: int, scheme: str) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for name in ("index", "notebooks/compare", "notebooks/own_reward", "commands", "python", "guides/model", "methods/grpo"):
            page.goto(f"file://{site}/{name}.html")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        browser.close()
    assert asked and not [url for url in asked if url.startswith(("http", "ws"))]
