"""The page in a browser: nothing in the console, nothing asked for, nothing beyond the edge, tables that sort."""

import re

import pytest
from browser import CHROMIUM, Browser

from seqgnn.comparison import Comparison, Row, compare
from seqgnn.page import write_page

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")]

WIDE = """[...document.querySelectorAll('body *')].filter(part => !part.closest('.unseen')
  && !(part.closest('.scroll') && !part.matches('.scroll')) && !part.closest('svg g')
  && (part.getBoundingClientRect().right > innerWidth + 1 || part.getBoundingClientRect().left < -1))
  .map(part => part.tagName + '.' + part.className)"""
CLIPPED = """[...document.querySelectorAll('svg[role] text')].filter(text => {
  const [a, b] = [text.getBoundingClientRect(), text.closest('svg').getBoundingClientRect()];
  return a.left < b.left - 2 || a.right > b.right + 2 || a.top < b.top - 2 || a.bottom > b.bottom + 2;
}).map(text => text.textContent)"""
SMALLEST = """Math.min(...[...document.querySelectorAll('svg[role] text')].map(text => {
  const svg = text.closest('svg');
  return parseFloat(getComputedStyle(text).fontSize) * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
}))"""
CONTRAST = """(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const light = color => {
    canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3)
      .map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
  };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  return [...document.querySelectorAll('p, li, td, th, h1, h3, figcaption, svg text')]
    .map(part => light(getComputedStyle(part)[part.matches('svg text') ? 'fill' : 'color']))
    .map(of => Math.max(of, paper) / Math.min(of, paper)).reduce((a, b) => Math.min(a, b));
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A grid with a long label in it, one seed of text, and a comparison in which everything failed."""
    out = tmp_path_factory.mktemp("page")
    options = {"steps": 30, "hidden": 8, "batch_size": 8, "progress": False, "out": out}
    long = Row("LSTM, " + "a_label_without_any_blank_" * 3 + "<script>document.title = 'broken'</script>", "lstm",
               forget_bias=2.0)  # fmt: skip
    grid = compare("recall", models=["rnn", long, "gcn", "gcn-in-lstm"], lengths=[6, 12], seeds=[0, 1], **options)
    text = compare("text", models=["gru", "gcn"], lengths=[10], seeds=[0], **options)
    failed = Comparison("trees", "accuracy", ("LSTM",), (4,), (0,), failures={("LSTM", 4, 0): "ValueError: x"})
    return write_page([grid, text, failed], out / "report.html", ["some/very/long/path/" * 12 + "run.json: damaged"])


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_and_is_quiet(browser, page, width, scheme):
    browser.open(page, width, scheme)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate(WIDE) == []
    assert browser.evaluate(CLIPPED) == []
    assert browser.evaluate(SMALLEST) >= 10.5
    assert browser.evaluate("document.title") == "recall, text and trees – seqgnn"
    dark = browser.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark") and browser.evaluate(CONTRAST) >= 4.5
    assert browser.complaints() == [] and browser.requests() == [page.resolve().as_uri()]


def test_tables_sort_by_figures_and_names(browser, page):
    browser.open(page, 1280)
    column = "[...document.querySelectorAll('table.sortable')[0].tBodies[0].rows].map(row => row.cells[%d].textContent)"
    button = (
        "document.querySelectorAll('table.sortable')[0].tHead.rows[0].cells[%d].querySelector('[role=button]').click()"
    )
    before = browser.evaluate(column % 2)
    browser.evaluate(button % 2)
    up = [float(score) for score in browser.evaluate(column % 2)]
    browser.evaluate(button % 2)
    down = [float(score) for score in browser.evaluate(column % 2)]
    assert up == sorted(map(float, before)) and down == up[::-1]
    browser.evaluate(button % 8)
    steps = browser.evaluate(column % 8)
    assert steps[-1] == "–" and "–" not in steps[: len(steps) - steps.count("–")]
    press = "new KeyboardEvent('keydown', {key: 'Enter', bubbles: true})"
    browser.evaluate((button % 0).replace("click()", f"dispatchEvent({press})"))
    names = browser.evaluate(column % 0)
    assert names == sorted(names, key=str.lower)
    assert browser.complaints() == []


def test_a_script_that_is_not_the_page_s_own_does_not_run(browser, page, tmp_path):
    copy = tmp_path / "copy.html"
    copy.write_text(page.read_text().replace("</main>", "</main><script>document.title = 'broken'</script>"))
    browser.open(copy, 1280)
    assert browser.evaluate("document.title") != "broken"
    assert re.search("Content Security Policy", str(browser.complaints()))
