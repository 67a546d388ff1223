"""Figures inside a page: lines and text in the page's colors, what a scale fills in its own."""

import re
from xml.etree import ElementTree

import pytest
from matplotlib import colormaps
from matplotlib.colors import BoundaryNorm, to_hex
from matplotlib.figure import Figure

from seqgnn.report.html.svg import DARK, LIGHT, colors, inline, swatch
from seqgnn.report.plots.style import MARKERS, STYLES, tag

LEVELS = [0.0, 1.0, 2.0, 3.0, 4.0]
VALUES = [-1.0, 0.5, 1.5, 2.5, 3.5, 9.0]


def scaled(colormap, extend="both"):
    figure = Figure()
    panel = figure.subplots()
    norm = BoundaryNorm(LEVELS, colormap.N, extend=extend)
    points = panel.scatter(range(6), range(6), c=VALUES, cmap=colormap, norm=norm, edgecolors="#6b6b6b")
    panel.plot([0, 5], [5, 0], color="#0072B2")
    panel.annotate("here", (0, 0), color="#6b6b6b")
    figure.colorbar(points, label="error")
    return figure, [to_hex(color) for color in colormap(norm(VALUES))]


def styles(svg, tag):
    found = ElementTree.fromstring(svg).iter(tag)
    return [dict(part.split(": ") for part in item.get("style", "").split("; ") if part) for item in found]


@pytest.mark.parametrize("name", ["viridis_r", "PuOr_r", "gray"])  # gray has the page's ink, gray and paper in it
def test_inline_svg_preserves_scale_colors_and_replaces_others(name):
    figure, expected = scaled(colormaps[name])
    svg = inline(figure, "a", "Errors", "Large and small.")
    points = [style for style in styles(svg, "use") if style["stroke"] == "var(--muted)"]
    assert [style.get("fill", "#000000") for style in points] == expected  # black is what SVG fills with unasked
    bar = {style.get("fill", "#000000") for style in styles(svg, "path")}
    assert set(expected) <= bar  # with both of its ends
    assert {style["fill"] for style in styles(svg, "text") if "fill" in style} == {"var(--muted)"}
    strokes = {style["stroke"] for tag in ("use", "path") for style in styles(svg, tag) if "stroke" in style}
    assert {"currentColor", "var(--muted)", "var(--c-0072b2, #0072b2)"} <= strokes
    for background in (LIGHT, DARK):
        assert re.findall("--c-([0-9a-f]{6}):", colors(svg, background)) == ["0072b2"]


def test_inline_svg_without_scale_replaces_every_color():
    figure = Figure()
    panel = figure.subplots()
    panel.scatter([0, 1], [0, 1], c=["#440154", "#fde725"])
    panel.fill_between([0, 1], [0, 1], color="#ffffff")
    svg = inline(figure, "a", "Errors", "Two.")
    fills = {style["fill"] for tag in ("use", "path") for style in styles(svg, tag) if "fill" in style}
    assert {"var(--c-440154, #440154)", "var(--c-fde725, #fde725)", "var(--paper)"} <= fills


EVIL = "</title><script>alert(1)</script> & \"'"


def test_inline_svg_escapes_title_description_and_tooltips():
    figure = Figure()
    (mark,) = figure.subplots().plot([1], [1], "o")
    tag(mark, "row-0-4", EVIL)
    svg = inline(figure, "a", EVIL, f"Of {EVIL}", "b")
    texts = [part.text for part in ElementTree.fromstring(svg).iter() if part.tag in ("title", "desc")]
    assert texts == [EVIL, f"Of {EVIL}", EVIL] and "<script" not in svg


def test_inline_svg_links_marks_to_rows_of_the_table():
    figure = Figure()
    panel = figure.subplots()
    for name in ("row-3-20", "row-3-20-seeds", "other"):
        (mark,) = panel.plot([1], [1], "o")
        mark.set_gid(name)
    links = {
        link.find("g").get("id"): link.get("href")
        for link in ElementTree.fromstring(inline(figure, "a", "", "", "b")).iter("a")
    }
    assert links == {"a-row-3-20": "#b-row-3-20", "a-row-3-20-seeds": "#b-row-3-20"}
    assert list(ElementTree.fromstring(inline(figure, "a", "", "")).iter("a")) == []


def test_inline_svg_text_scales_with_its_column():
    figure = Figure()
    figure.subplots().set_title("here", fontsize=11)
    sizes = {style["font-size"] for style in styles(inline(figure, "a", "", ""), "text")}
    assert sizes == {"calc(10px * var(--text, 1))", "calc(11px * var(--text, 1))"}


@pytest.mark.parametrize("marker", sorted({marker for _, marker, _ in STYLES.values()} | set(MARKERS)))
def test_swatch_draws_every_marker_of_a_style_differently(marker):
    others = {swatch("#000000", other, "-") for other in MARKERS if other != marker}
    drawn = swatch("#000000", marker, "-")
    assert drawn not in others and drawn.count("<path") == 2 and ElementTree.fromstring(drawn) is not None
    assert "17" not in swatch("#000000", "none", "-") and swatch("#000000", "none", "-").count("<path") == 1
