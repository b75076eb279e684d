"""The report in a real browser: it loads in silence and from the disk alone, can be read at any width, and works."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.report import render
from tests.chromium import Chromium, program
from tests.report_exhibits import EXHIBITS
from tests.report_further import FURTHER, GAPS
from tests.report_rows import STRIPS, SUMMARY

STUDY = Path(__file__).parent.parent / "results/report.html"
WIDTHS = (1280, 400)
SMALLEST = 11
PAPER = 720
"""Pixels across a sheet of A4 with margins of a centimetre."""
BROWSER = program()
pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine")

SIZES = """
(() => {
  document.querySelectorAll("details").forEach((part) => { part.open = true; });
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = {};
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement;
    if (!node.data.trim() || parent.closest("script, style, title") || !parent.getClientRects().length) continue;
    let size = parseFloat(getComputedStyle(parent).fontSize);
    const drawing = parent.closest("svg");
    // Letters of a drawing are in its own units.
    if (drawing) size *= Math.hypot(parent.getScreenCTM().a, parent.getScreenCTM().b);
    found[size.toFixed(2)] ??= node.data.trim().slice(0, 40);
  }
  return found;
})()
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with Chromium(str(BROWSER)) as opened:
        yield opened


@pytest.fixture(scope="module", params=["made up", "study"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with every section, and the one of this checkout's study where it has been run."""
    if request.param == "study":
        if not STUDY.is_file():
            pytest.skip("this checkout has no results/report.html")
        return STUDY
    path = tmp_path_factory.mktemp("page") / "report.html"
    data = {"chest": SUMMARY, "skin": SUMMARY}
    path.write_text(render(GAPS, STRIPS, "A study", data, None, None, FURTHER, EXHIBITS), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", WIDTHS)
def test_it_loads_without_an_error_and_without_a_request(browser: Chromium, page: Path, width: int) -> None:
    browser.open(page, width)
    assert browser.evaluate("document.querySelectorAll('section').length") > 5
    assert browser.of("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled") == []
    asked = {sent["request"]["url"].partition(":")[0] for sent in browser.of("Network.requestWillBeSent")}
    assert asked <= {"file", "data"}
    assert sum(sent["request"]["url"].startswith("file:") for sent in browser.of("Network.requestWillBeSent")) == 1
    assert page.stat().st_size < 10_000_000


@pytest.mark.parametrize("width", WIDTHS)
def test_it_is_legible(browser: Chromium, page: Path, width: int) -> None:
    browser.open(page, width)
    found: dict[str, str] = browser.evaluate(SIZES)
    small = {size: words for size, words in found.items() if float(size) < SMALLEST - 0.05}
    assert not small
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_every_picture_is_drawn_and_described(browser: Chromium, page: Path) -> None:
    browser.open(page, 1280)
    pictures = "[...document.querySelectorAll('img')]"
    assert browser.evaluate(f"{pictures}.length") > 0
    assert browser.evaluate(f"{pictures}.every((one) => one.complete && one.naturalWidth > 0 && one.alt)")
    assert browser.evaluate("[...document.querySelectorAll('svg')].every((one) => one.getAttribute('aria-label'))")
    assert browser.evaluate("document.querySelectorAll('svg .tip > title').length") > 10


def datasets(browser: Chromium) -> list[str]:
    found: list[str] = browser.evaluate("[...document.querySelectorAll('#filter input')].map((box) => box.value)")
    return found


def visible(browser: Chromium, dataset: str) -> list[int]:
    """How many parts of the page that are about a data set are visible, dimmed and hidden."""
    script = """
    (() => {
      const parts = [...document.querySelectorAll("[data-dataset]")].filter((p) => p.dataset.dataset === %s);
      const drawn = parts.filter((p) => p instanceof SVGElement), others = parts.filter((p) => !drawn.includes(p));
      const gone = (p) => getComputedStyle(p).display === "none";
      return [others.filter((p) => !p.hidden).length, others.filter(gone).length,
        drawn.filter((p) => p.classList.contains("dim")).length, drawn.length];
    })()
    """
    found: list[int] = browser.evaluate(script % repr(dataset))
    return found


def test_the_filter_shows_a_part_of_the_data_sets_and_all_again(browser: Chromium, page: Path) -> None:
    browser.open(page, 1280)
    first, second, *_ = datasets(browser)
    shown, hidden, dimmed, drawn = visible(browser, first)
    assert shown > 3
    assert drawn > 1
    assert (hidden, dimmed) == (0, 0)
    browser.evaluate("document.querySelector('#filter input').click()")
    assert visible(browser, first) == [0, shown, drawn, drawn]
    assert visible(browser, second)[1:3] == [0, 0]
    count = len(datasets(browser))
    assert browser.evaluate("document.querySelector('#filter output').textContent") == f"{count - 1} of {count} shown"
    browser.evaluate("document.querySelector('#filter button').click()")
    browser.evaluate("new Promise((done) => setTimeout(done, 20))")
    assert visible(browser, first) == [shown, 0, 0, drawn]


COLUMN = """
(() => {
  const body = document.querySelector("table:has(thead button)").tBodies[0];
  return [...body.rows].filter((row) => !row.classList.contains("group")).map((row) => row.cells[%d].dataset.key);
})()
"""


def test_a_table_is_sorted_by_keyboard_and_says_so(browser: Chromium, page: Path) -> None:
    browser.open(page, 1280)
    browser.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    browser.evaluate("document.querySelector('table:has(thead button) th:nth-child(3) button').focus()")
    state = "document.querySelector('table:has(thead button) th:nth-child(3)').getAttribute('aria-sort')"
    assert browser.evaluate(state) is None
    before = browser.evaluate(COLUMN % 2)
    for expected, reverse in (("ascending", False), ("descending", True)):
        browser.press("Enter", 13)
        assert browser.evaluate(state) == expected
        after = browser.evaluate(COLUMN % 2)
        assert sorted(after) == sorted(before)
        numbers = [float(value) for value in after if value]
        assert numbers == sorted(numbers, reverse=reverse)


def test_everything_that_does_something_is_reached_by_the_tab_key_and_shows_it(browser: Chromium, page: Path) -> None:
    browser.open(page, 1280)
    reached: list[Any] = []
    for _ in range(60):
        browser.press("Tab", 9)
        reached.append(
            browser.evaluate(
                "[document.activeElement.tagName, getComputedStyle(document.activeElement).outlineStyle !== 'none']"
            )
        )
    assert {"SUMMARY", "A", "INPUT", "BUTTON", "DIV"} <= {tag for tag, _ in reached}
    assert all(seen for tag, seen in reached if tag != "BODY")


def test_without_scripts_all_is_there_and_no_control_is_dead(browser: Chromium, page: Path) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(page, 1280)
        root = browser.call("DOM.getDocument", depth=-1)["root"]["nodeId"]
        found = browser.call("DOM.querySelector", nodeId=root, selector="#filter")["nodeId"]
        shown = browser.call("DOM.querySelectorAll", nodeId=root, selector="[data-dataset][hidden]")["nodeIds"]
        attributes = browser.call("DOM.getAttributes", nodeId=found)["attributes"]
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert "hidden" in attributes
    assert shown == []


def test_all_details_are_opened_and_closed_at_once(browser: Chromium, page: Path) -> None:
    browser.open(page, 1280)
    closed = "document.querySelectorAll('details:not([open])').length"
    every = browser.evaluate("document.querySelectorAll('details').length")
    assert 0 < browser.evaluate(closed) < every
    for expected in (0, every):
        browser.evaluate("document.getElementById('unfold').click()")
        assert browser.evaluate(closed) == expected


def test_it_can_be_printed(browser: Chromium, page: Path) -> None:
    browser.open(page, PAPER)
    browser.call("Emulation.setEmulatedMedia", media="print")
    wide = browser.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    hidden = browser.evaluate("getComputedStyle(document.querySelector('nav')).display")
    browser.call("Emulation.setEmulatedMedia", media="")
    assert hidden == "none"
    assert wide <= 0
