"""Charts in a real browser: values by mouse and keys, zoom, cursors that go together, a logarithmic axis; and a drawing where no script runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from thinkery.lab.store import Store

from .test_dashboard_browser import legend

STEPS = 90
RANGE = "figure => { const x = figure.querySelector('.u-over').getBoundingClientRect(); return [x.x, x.y, x.width, x.height]; }"


@pytest.fixture(scope="module", autouse=True)
def long(folder: Path) -> None:
    """A run of many steps beside the others."""
    run = folder / "long"
    run.mkdir()
    record = Store(run)
    for step in range(1, STEPS + 1):
        figures = {"reward": step / STEPS, "accuracy": 0.5, "length": 10.0 + step % 7, "gradient_norm": 10.0 ** (step % 4)}
        record.write(step, "rl", figures, 0.1)
    record.close()
    (run / "run.json").write_text(
        json.dumps({"status": "done", "method": "grpo", "task": "sums", "stages": [{"name": "rl", "steps": STEPS}]})
    )


def until(page: Any, expression: str) -> None:
    """Wait till it holds; the page's policy keeps the browser from looking by itself."""
    for _ in range(200):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(expression)


def drag(page: Any, figure: int, left: float, right: float) -> None:
    """Select a part of a chart, in shares of its width."""
    page.locator("figure").nth(figure).scroll_into_view_if_needed()
    x, y, width, height = page.locator("figure").nth(figure).evaluate(RANGE)
    page.mouse.move(x + left * width, y + height / 2)
    page.mouse.down()
    page.mouse.move(x + right * width, y + height / 2, steps=4)
    page.mouse.up()
    page.mouse.move(0, 0)


def seen(page: Any, figure: int) -> tuple[int, int]:
    """The first and the last step that a chart shows, read with its own keys."""
    page.locator("figure").nth(figure).focus()
    found = []
    for key in ("Home", "End"):
        page.keyboard.press(key)
        found.append(int(legend(page, figure)["step"]))
    return found[0], found[1]


@pytest.mark.parametrize("path", ["/run/good", "/compare/which"])
def test_values_are_read_by_arrow_keys_and_by_mouse(browser: tuple[Any, str], path: str) -> None:
    page, base = browser
    page.goto(base + path)
    figure = page.locator("figure").first
    told = json.loads(figure.get_attribute("data-chart"))
    name, y = told["curves"][0]["name"], told["curves"][0]["y"]
    figure.focus()
    for x, value in zip(told["x"], y):
        page.keyboard.press("ArrowRight")
        assert legend(page)["step"] == f"{x:g}" and legend(page)[name] == f"{value:.4g}"
    page.keyboard.press("ArrowLeft")
    assert legend(page)["step"] == f"{told['x'][-2]:g}"
    page.keyboard.press("Escape")
    assert legend(page)["step"] == "—" == legend(page)[name]
    figure.locator(".u-over").hover()
    until(page, "document.querySelector('figure .u-value').textContent !== '—'")


def test_cursor_and_zoom_go_through_all_charts_of_a_run(browser: tuple[Any, str]) -> None:
    page, base = browser
    page.goto(base + "/run/long")
    assert page.locator("figure canvas").count() == 3 and page.locator("figure svg").count() == 0
    assert seen(page, 0) == (1, STEPS) and legend(page, 1)["step"] == str(STEPS)
    drag(page, 0, 0.25, 0.75)
    first, last = seen(page, 0)
    assert 20 <= first <= 27 and 65 <= last <= 71 and seen(page, 2) == (first, last)
    page.keyboard.press("+")
    inner = seen(page, 1)
    assert first <= inner[0] and inner[1] - inner[0] < 0.6 * (last - first) and seen(page, 0) == inner
    page.keyboard.press("0")
    assert seen(page, 2) == (1, STEPS) == seen(page, 0)


def test_a_logarithmic_axis_is_offered_where_values_span_it(browser: tuple[Any, str]) -> None:
    page, base = browser
    page.goto(base + "/run/long")
    assert [b.is_visible() for b in page.locator("figure button.log").all()] == [False, False, True]
    pixels = "() => document.querySelectorAll('figure canvas')[2].toDataURL()"
    drag(page, 2, 0.5, 1.0)
    first, last = seen(page, 2)
    page.keyboard.press("ArrowLeft")
    linear = page.evaluate(pixels)
    button = page.locator("figure button.log").nth(2)
    button.click()
    assert button.get_attribute("aria-pressed") == "true" and page.evaluate(pixels) != linear
    assert legend(page, 2)["step"] == str(last - 1) and seen(page, 2) == (first, last) and first > 40  # cursor and zoom stay
    page.locator("figure").nth(2).focus()
    page.keyboard.press("l")
    assert button.get_attribute("aria-pressed") == "false"


def test_colours_follow_the_light_and_the_width(browser: tuple[Any, str]) -> None:
    page, base = browser
    page.goto(base + "/run/long")
    canvas = "document.querySelector('figure canvas')"
    page.evaluate(f"light = {canvas}.toDataURL()")
    page.emulate_media(color_scheme="dark")
    until(page, f"{canvas}.toDataURL() !== light")
    page.evaluate(f"narrow = {canvas}.clientWidth")
    page.set_viewport_size({"width": 1300, "height": 800})
    until(page, f"{canvas}.clientWidth !== narrow")


def test_without_scripts_the_drawing_is_there(browser: tuple[Any, str], served: str) -> None:
    page, base = browser
    plain = page.context.browser.new_context(java_script_enabled=False).new_page()
    plain.goto(served)
    plain.goto(base + "/run/long")
    figures = plain.locator("figure")
    assert figures.count() == 3 and figures.locator("svg").count() == 3 and figures.locator("canvas").count() == 0
    assert figures.locator("svg").first.is_visible() and "reward" in figures.locator("figcaption").first.inner_text()
    assert not figures.locator("button").first.is_visible()
