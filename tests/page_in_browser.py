"""What holds for every page in a real browser: it loads in silence and from the disk alone, can be read, and works."""

from pathlib import Path
from typing import Any

import pytest

from tests.chromium import Chromium

WIDTHS = (1280, 400)
SMALLEST = 11
PAPER = 720
"""Pixels across a sheet of A4 with margins of a centimetre."""
STOPS = 400
"""Presses of the tab key after which a page has no end."""

OPENED = 'document.querySelectorAll("details").forEach((part) => { part.open = true; });'
TEXTS = f"""
(() => {{
  {OPENED}
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {{
    const parent = node.parentElement;
    if (!node.data.trim() || parent.closest("script, style, title") || !parent.getClientRects().length) continue;
    found.push([node, parent]);
  }}
"""
SIZES = (
    TEXTS
    + """
  const sizes = {};
  for (const [node, parent] of found) {
    let size = parseFloat(getComputedStyle(parent).fontSize);
    const drawing = parent.closest("svg");
    // Letters of a drawing are in its own units.
    if (drawing) size *= Math.hypot(parent.getScreenCTM().a, parent.getScreenCTM().b);
    sizes[size.toFixed(2)] ??= node.data.trim().slice(0, 40);
  }
  return sizes;
})()
"""
)
BROKEN = (
    TEXTS
    + """
  const broken = [], range = document.createRange();
  for (const [node, parent] of found) {
    if (parent.closest("svg, code, pre")) continue;
    for (const word of node.data.matchAll(/(?<![^\\s])[A-Za-z]{2,16}(?![^\\s])/g)) {
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      const lines = new Set([...range.getClientRects()].map((box) => Math.round(box.top)));
      if (lines.size > 1) broken.push(word[0]);
    }
  }
  return broken;
})()
"""
)
COLUMN = """
(() => {
  const body = document.querySelector("table:has(thead button)").tBodies[0];
  return [...body.rows].filter((row) => !row.classList.contains("group")).map((row) => row.cells[%d].dataset.key);
})()
"""
VISIBLE = """
(() => {
  const parts = [...document.querySelectorAll("[data-dataset]")].filter((p) => p.dataset.dataset === %s);
  const drawn = parts.filter((p) => p instanceof SVGElement), others = parts.filter((p) => !drawn.includes(p));
  const gone = (p) => getComputedStyle(p).display === "none";
  return [others.filter((p) => !p.hidden).length, others.filter(gone).length,
    drawn.filter((p) => p.classList.contains("dim")).length, drawn.length];
})()
"""
DATASETS = "[...document.querySelectorAll('#filter input')].map((box) => box.value)"


class PageInBrowser:
    """The tests of one page; a test class of this has a fixture `page` that returns its path."""

    @pytest.mark.parametrize("width", WIDTHS)
    def test_it_loads_without_an_error_and_without_a_request(self, browser: Chromium, page: Path, width: int) -> None:
        browser.open(page, width)
        assert browser.evaluate("document.querySelectorAll('section').length") > 5
        assert browser.of("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled") == []
        asked = [sent["request"]["url"].partition(":")[0] for sent in browser.of("Network.requestWillBeSent")]
        assert set(asked) <= {"file", "data"}
        assert asked.count("file") == 1
        assert page.stat().st_size < 10_000_000

    @pytest.mark.parametrize("width", WIDTHS)
    def test_it_is_legible(self, browser: Chromium, page: Path, width: int) -> None:
        browser.open(page, width)
        found: dict[str, str] = browser.evaluate(SIZES)
        small = {size: words for size, words in found.items() if float(size) < SMALLEST - 0.05}
        assert not small
        assert browser.evaluate(BROKEN) == []
        assert browser.evaluate("document.documentElement.scrollWidth") <= width

    def test_every_picture_is_drawn_and_described(self, browser: Chromium, page: Path) -> None:
        browser.open(page, 1280)
        pictures = "[...document.querySelectorAll('img')]"
        assert browser.evaluate(f"{pictures}.length") > 0
        assert browser.evaluate(f"{pictures}.every((one) => one.complete && one.naturalWidth > 0 && one.alt)")
        assert browser.evaluate("[...document.querySelectorAll('svg')].every((one) => one.getAttribute('aria-label'))")
        marks = browser.evaluate("document.querySelectorAll('svg .tip').length")
        assert marks > 0
        assert browser.evaluate("document.querySelectorAll('svg .tip > title').length") == marks

    def test_the_filter_shows_a_part_of_the_data_sets_and_all_again(self, browser: Chromium, page: Path) -> None:
        browser.open(page, 1280)
        names = browser.evaluate(DATASETS)
        named = set(browser.evaluate("[...document.querySelectorAll('[data-dataset]')].map((p) => p.dataset.dataset)"))
        # There is nothing to choose from a single data set.
        assert len(names) != 1
        assert set(names) == (named if len(named) > 1 else set())
        if not names:
            return
        first, second, *_ = names
        shown, hidden, dimmed, drawn = visible(browser, first)
        assert shown > 3
        assert drawn > 1
        assert (hidden, dimmed) == (0, 0)
        browser.evaluate("document.querySelector('#filter input').click()")
        assert visible(browser, first) == [0, shown, drawn, drawn]
        assert visible(browser, second)[1:3] == [0, 0]
        said = browser.evaluate("document.querySelector('#filter output').textContent")
        assert said == f"{len(names) - 1} of {len(names)} shown"
        browser.evaluate("document.querySelector('#filter button').click()")
        browser.evaluate("new Promise((done) => setTimeout(done, 20))")
        assert visible(browser, first) == [shown, 0, 0, drawn]

    def test_a_table_is_sorted_by_keyboard_and_says_so(self, browser: Chromium, page: Path) -> None:
        browser.open(page, 1280)
        browser.evaluate(OPENED)
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

    def test_everything_that_does_something_is_reached_by_the_tab_key_and_shows_it(
        self, browser: Chromium, page: Path
    ) -> None:
        browser.open(page, 1280)
        reached: set[Any] = set()
        seen = "[document.activeElement.tagName, getComputedStyle(document.activeElement).outlineStyle !== 'none']"
        for _ in range(STOPS):
            browser.press("Tab", 9)
            tag, outlined = browser.evaluate(seen)
            if tag == "BODY":
                break
            assert outlined, tag
            reached.add(tag)
        inputs = {"INPUT"} if browser.evaluate(f"{DATASETS}.length") else set()
        assert {"SUMMARY", "A", "BUTTON", "DIV"} | inputs <= reached

    def test_without_scripts_all_is_there_and_no_control_is_dead(self, browser: Chromium, page: Path) -> None:
        browser.call("Emulation.setScriptExecutionDisabled", value=True)
        try:
            browser.open(page, 1280)
            root = browser.call("DOM.getDocument", depth=-1)["root"]["nodeId"]
            alive = browser.call(
                "DOM.querySelectorAll", nodeId=root, selector="#filter:not([hidden]), #unfold:not([hidden])"
            )
            gone = browser.call("DOM.querySelectorAll", nodeId=root, selector="[data-dataset][hidden]")
            parts = browser.call("DOM.querySelectorAll", nodeId=root, selector="[data-dataset]")
        finally:
            browser.call("Emulation.setScriptExecutionDisabled", value=False)
        assert parts["nodeIds"]
        assert alive["nodeIds"] == gone["nodeIds"] == []

    def test_all_details_are_opened_and_closed_at_once(self, browser: Chromium, page: Path) -> None:
        browser.open(page, 1280)
        closed = "document.querySelectorAll('details:not([open])').length"
        every = browser.evaluate("document.querySelectorAll('details').length")
        assert 0 < browser.evaluate(closed) < every
        for expected in (0, every):
            browser.evaluate("document.getElementById('unfold').click()")
            assert browser.evaluate(closed) == expected

    def test_it_can_be_printed(self, browser: Chromium, page: Path) -> None:
        browser.open(page, PAPER)
        browser.call("Emulation.setEmulatedMedia", media="print")
        browser.evaluate(OPENED)
        wide = browser.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        hidden = browser.evaluate("getComputedStyle(document.querySelector('nav')).display")
        browser.call("Emulation.setEmulatedMedia", media="")
        assert hidden == "none"
        assert wide <= 0


def visible(browser: Chromium, dataset: str) -> list[int]:
    """How many parts of the page that are about a data set are visible, hidden, dimmed and drawn."""
    found: list[int] = browser.evaluate(VISIBLE % repr(dataset))
    return found
