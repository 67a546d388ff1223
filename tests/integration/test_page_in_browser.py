"""The page in a browser: nothing in the console, nothing asked for, nothing beyond the edge, tables that sort."""

import re
import time

import numpy as np
import pytest
import torch

from seqgnn.experiments import Comparison, ModelSpec
from seqgnn.report.html import write_page
from tests.support.browser import CHROMIUM, Browser
from tests.support.comparisons import plan_grid, run_grid

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")]

WIDE = """[...document.querySelectorAll('body *')].filter(part => !part.closest('.unseen')
  && !(part.closest('.scroll') && !part.matches('.scroll')) && !part.closest('svg g')
  && (part.getBoundingClientRect().right > innerWidth + 1 || part.getBoundingClientRect().left < -1))
  .map(part => part.tagName + '.' + part.className)"""
CLIPPED = """[...document.querySelectorAll('svg[role] text')].filter(text => {
  const [a, b] = [text.getBoundingClientRect(), text.closest('svg').getBoundingClientRect()];
  return a.left < b.left - 2 || a.right > b.right + 2 || a.top < b.top - 2 || a.bottom > b.bottom + 2;
}).map(text => text.textContent)"""
SMALLEST = """Math.min(...[...document.querySelectorAll('svg[role] text')].filter(text => text.checkVisibility())
  .map(text => {
  const svg = text.closest('svg');
  return parseFloat(getComputedStyle(text).fontSize) * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
}))"""
SAID = """[...document.querySelectorAll('svg[role]')].map(
  svg => svg.getAttribute('aria-labelledby').split(' ').map(id => document.getElementById(id).textContent.trim()))"""
SCALES = """[...document.querySelectorAll('svg[role]')].slice(-2).map(svg => [...svg.querySelectorAll('path, use')]
  .map(part => getComputedStyle(part).fill).filter(fill => fill != 'none'))"""
FIGURES = """[...document.querySelectorAll('svg[role]')].filter(svg => svg.checkVisibility())
  .map(svg => svg.getBoundingClientRect().width / document.querySelector('main').getBoundingClientRect().width)"""
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
    long = ModelSpec("LSTM, " + "a_label_without_any_blank_" * 3 + "<script>document.title = 'broken'</script>", "lstm",
               forget_bias=2.0)  # fmt: skip
    grid = run_grid("recall", models=["rnn", long, "gcn", "gcn-in-lstm"], sizes=[6, 12], seeds=[0, 1], **options)
    text = run_grid("text", models=["gru", "gcn"], sizes=[10], seeds=[0], **options)
    failed = Comparison("trees", "accuracy", ("LSTM",), (4,), (0,), failures={("LSTM", 4, 0): "ValueError: x"})
    return write_page([grid, text, failed], out / "report.html", ["some/very/long/path/" * 12 + "run.json: damaged"])


@pytest.fixture(scope="module")
def forecasts(tmp_path_factory):
    """Two forecasters of a signal at three nodes, one with a name that would be a script, one with a long name."""
    out = tmp_path_factory.mktemp("forecasts")
    names = ["<script>document.title = 'broken'</script>", "a_node_without_any_blank_" * 3, "$x$ & <b>"]
    values = torch.randn(60, 3, generator=torch.Generator().manual_seed(0)).cumsum(0).tolist()
    days = np.datetime64("2024-01-01") + np.arange(60)
    lines = [",".join(["time", *names])] + [",".join([str(day), *map(str, row)]) for day, row in zip(days, values)]
    (out / "signal.csv").write_text("\n".join(lines) + "\n")
    (out / "edges.csv").write_text(f"from,to\n{names[0]},{names[1]}\n{names[1]},{names[2]}\n")
    options = {"lags": 3, "sizes": [2], "seeds": [0, 1], "steps": 4, "hidden": 4, "batch_size": 8}
    plan = plan_grid(
        "forecast", data=out / "signal.csv", graph=out / "edges.csv", models=["lstm", "gcrn"], out=out, **options
    )
    return write_page([plan.run(progress=False)], out / "report.html")


def check_screen(browser, page, width, scheme, title):
    browser.open(page, width, scheme)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate(WIDE) == []
    assert browser.evaluate(CLIPPED) == []
    assert browser.evaluate(SMALLEST) >= 10.5
    assert browser.evaluate("document.title") == f"{title} – seqgnn"
    dark = browser.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark") and browser.evaluate(CONTRAST) >= 4.5
    assert browser.complaints() == [] and browser.requests() == [page.resolve().as_uri()]


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_in_browser_fits_without_errors_or_requests(browser, page, width, scheme):
    check_screen(browser, page, width, scheme, "recall, text and trees")


@pytest.mark.parametrize("width", [360, 1280])
def test_forecast_page_in_browser_fits_and_has_equal_map_colors(browser, forecasts, width):
    fills = {}
    for scheme in ("light", "dark"):
        check_screen(browser, forecasts, width, scheme, "forecast")
        fills[scheme] = browser.evaluate(SCALES)
        said = browser.evaluate(SAID)
        assert len(said) == 2 + 1 + 3 + 2 + 2  # scores, wide and narrow; curves; nodes; by step and day; maps
        assert all(title and description for title, description in said)
        assert sum("<script>document.title" in title + description for title, description in said) >= 1
    assert fills["light"] == fills["dark"] and all(len(set(of)) >= 4 for of in fills["light"])
    assert browser.evaluate("document.scripts.length") == 1 and browser.evaluate("document.querySelector('b')") is None


def test_page_in_browser_tables_sort_by_figures_and_names(browser, page):
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
    names = browser.evaluate(
        "[...document.querySelectorAll('table.sortable')[0].tHead.rows[0].cells].map(cell => cell.textContent)"
    )
    browser.evaluate(button % names.index("steps"))
    steps = browser.evaluate(column % names.index("steps"))
    assert steps[-1] == "–" and "–" not in steps[: len(steps) - steps.count("–")]
    press = "new KeyboardEvent('keydown', {key: 'Enter', bubbles: true})"
    browser.evaluate((button % 0).replace("click()", f"dispatchEvent({press})"))
    names = browser.evaluate(column % 0)
    assert names == sorted(names, key=str.lower)
    arrow = "getComputedStyle(document.querySelector('th[aria-sort] [role=button]'), '::after').content"
    assert browser.evaluate(arrow) == '"↑"'
    assert browser.complaints() == []


def test_page_in_browser_foreign_script_does_not_run(browser, page, tmp_path):
    copy = tmp_path / "copy.html"
    copy.write_text(page.read_text().replace("</main>", "</main><script>document.title = 'broken'</script>"))
    browser.open(copy, 1280)
    assert browser.evaluate("document.title") != "broken"
    assert re.search("Content Security Policy", str(browser.complaints()))


def test_page_in_browser_figures_fill_the_page(browser, page):
    browser.open(page, 1280)
    scores, *_ = browser.evaluate(FIGURES)
    assert scores > 0.97 and min(browser.evaluate(FIGURES)) > 0.28
    browser.open(page, 360)
    assert min(browser.evaluate(FIGURES)) > 0.99


def test_page_in_browser_marks_lead_to_their_row(browser, page):
    browser.open(page, 1280)
    link = "[...document.querySelectorAll('.wide svg a')].find(link => link.textContent.includes('GCN, T = 12'))"
    browser.evaluate(f"{link}.dispatchEvent(new MouseEvent('click', {{bubbles: true, cancelable: true}}))")
    row = "document.querySelector('tr:target')"
    assert browser.evaluate(f"[...{row}.cells].slice(0, 2).map(cell => cell.textContent)") == ["GCN", "12"]
    end = time.monotonic() + 20  # scrolling is smooth
    while not browser.evaluate(f"{row}.getBoundingClientRect().bottom <= innerHeight") and time.monotonic() < end:
        time.sleep(0.1)
    assert browser.evaluate(f"{row}.getBoundingClientRect().bottom <= innerHeight")
    assert browser.complaints() == []


def test_page_in_browser_data_can_be_downloaded(browser, page, tmp_path):
    browser.open(page, 1280)
    browser.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.evaluate("document.querySelector('a[download=\"recall-seeds.csv\"]').click()")
    end = time.monotonic() + 20
    while not (tmp_path / "recall-seeds.csv").is_file() and time.monotonic() < end:
        time.sleep(0.1)
    first, *lines = (tmp_path / "recall-seeds.csv").read_text().splitlines()
    assert first.startswith("task,model,kind,size,seed,accuracy,") and len(lines) == 16 + 2 * 3
    assert browser.complaints() == []
