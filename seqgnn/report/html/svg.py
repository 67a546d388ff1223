"""Figures as inline SVG with the colors and fonts of the page, and with unique ids."""

import io
import re
from typing import Any
from xml.sax.saxutils import escape

from seqgnn.report.plots.style import with_tooltips

LIGHT, DARK = "#ffffff", "#15181c"  # backgrounds of the page
CONTRAST = {LIGHT: 3.0, DARK: 4.5}  # minimum contrast of lines
GROWTH = 1.75  # maximum factor by which a figure is enlarged to fill its column
MARK = 9.0  # size of a marker in a legend
INK = {"#000000": "currentColor", "#6b6b6b": "var(--muted)", "#e4e4e4": "var(--grid)", "#ffffff": "var(--paper)"}


def inline(
    figure: Any, name: str, title: str, description: str, table: str | None = None, growth: float = GROWTH
) -> str:
    """Return a matplotlib figure as an `<svg>` element, deterministically.

    Text stays text, the background transparent; black, gray and grid lines become the page's, and other colors
    variables such as `--c-0072b2`, to which `colors` gives a shade that fits the background. Areas in the colors of a
    scale, which stand for numbers, stay as they are on any background. Tagged marks have tooltips. Text has the size
    of the figure times `--text`, so that it does not grow with the figure.

    Args:
        figure: drawn, with or without labels.
        name: begins all ids, so it is to be unique on the page; letters, digits and hyphens.
        title, description: what it shows and what it says, for those who do not see it.
        table: begins the ids of the rows of a table to which tagged marks link; None: they do not.
        growth: the maximum factor by which it is enlarged.
    """
    from matplotlib import rc_context

    content = io.StringIO()
    with rc_context({"svg.hashsalt": name, "svg.fonttype": "none", "svg.id": name}):
        figure.savefig(content, format="svg", transparent=True, metadata={"Date": None})
    text = content.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*(<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->)", "", text, flags=re.DOTALL)
    scale = _scale(figure)
    text = re.sub(r"<[^>]*>", lambda tag: _with_page_style(tag[0], name, scale), text)
    link = None if table is None else lambda mark: f"#{table}-{'-'.join(mark.split('-')[:3])}"
    text = with_tooltips(text, figure, f"{name}-", link)
    (box,) = re.findall(r'viewBox="([^"]+)"', text[: text.index(">")])
    width = growth * float(box.split()[2])
    head = (
        f'<svg viewBox="{box}" style="max-width: {width:.0f}pt" role="img" '
        f'aria-labelledby="{name}-title {name}-description">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-description">{escape(description)}</desc>'
    )
    return head + text[text.index(">") + 1 :]


def _scale(figure: Any) -> set[str]:
    """Return the fills that represent values in a figure, the colors of its color maps."""
    from matplotlib.collections import Collection
    from matplotlib.colors import to_hex

    maps = [collection.get_cmap() for collection in figure.findobj(Collection) if collection.get_array() is not None]
    # One index beyond each end gives the colors of values outside the scale.
    return {f"fill: {to_hex(color)}" for color_map in maps for color in color_map(range(-1, color_map.N + 1))}


def _with_page_style(tag: str, name: str, scale: set[str]) -> str:
    """Return a tag with the colors and font of the page and with unique ids; colors that represent values stay."""
    fixed = set() if tag.startswith("<text") else scale
    tag = re.sub(r'( id="| (?:xlink:)?href="#|url\(#)', rf"\1{name}-", tag).replace(" xlink:href", " href")
    tag = re.sub(r"((?:fill: )?)(#[0-9a-f]{6})(?=[;\"])",
                 lambda match: match[0] if match[0] in fixed else match[1] + _variable(match[2]), tag)  # fmt: skip
    tag = re.sub(r"font: ([0-9.]+px) [^;\"]*", r"font-size: \1", tag)  # of matplotlib before 3.11
    tag = re.sub(r"font-size: ([0-9.]+px)", r"font-size: calc(\1 * var(--text, 1))", tag)
    return re.sub(r"font-family: [^;\"]*;? ?", "", tag)


def _variable(color: str) -> str:
    return INK.get(color, f"var(--c-{color[1:]}, {color})")


def swatch(color: str, marker: str, line: str) -> str:
    """Return a short piece of a line with its marker, for a legend."""
    dashes = {"-": "", "--": "7 3", ":": "2 3", "-.": "7 3 2 3"}[line]
    ink = _variable(color.lower())
    path = f'<path d="M1 7H33" style="stroke: {ink}" stroke-width="2" stroke-dasharray="{dashes}"/>'
    return f'<svg class="swatch" viewBox="0 0 34 14" aria-hidden="true">{path}{_mark(marker, ink)}</svg>'


def _mark(marker: str, ink: str) -> str:
    """Return a marker as matplotlib draws it."""
    if marker == "none":
        return ""
    from matplotlib.markers import MarkerStyle
    from matplotlib.transforms import Affine2D

    style = MarkerStyle(marker)
    place = style.get_transform() + Affine2D().scale(MARK, -MARK).translate(17, 7)
    path = style.get_path().transformed(place)
    shape = "".join(_command(points, int(code)) for points, code in path.iter_segments())
    paint = f"fill: {ink}" if style.is_filled() else f"fill: none; stroke: {ink}; stroke-width: 1.8"
    return f'<path d="{shape}" style="{paint}"/>'


def _command(points: Any, code: int) -> str:
    """Return a segment of a matplotlib path as SVG."""
    letter = {1: "M", 2: "L", 3: "Q", 4: "C", 79: "Z"}[code]
    return letter if letter == "Z" else letter + " ".join(f"{value:.2f}".rstrip("0").rstrip(".") for value in points)


def colors(content: str, background: str) -> str:
    """Return CSS declarations for the colors of figures in `content`: unchanged or, where the contrast with a
    background is too low, a lighter or darker shade.

    Example:
        >>> colors("stroke: var(--c-0072b2, #0072b2); fill: var(--c-56b4e9, #56b4e9)", DARK)
        '--c-0072b2: #2989be; --c-56b4e9: #56b4e9;'
        >>> colors("stroke: var(--c-0072b2, #0072b2); fill: var(--c-56b4e9, #56b4e9)", LIGHT)
        '--c-0072b2: #0072b2; --c-56b4e9: #4b9dcb;'
    """
    codes = sorted(set(re.findall(r"var\(--c-([0-9a-f]{6}),", content)))
    return " ".join(f"--c-{color}: {_shade(f'#{color}', background)};" for color in codes)


def _shade(color: str, background: str) -> str:
    """Return the color or, if its contrast is too low, the closest mix with white or black that has enough."""
    paper = _luminance(_channels(background)) + 0.05
    end = 0 if paper > 0.5 else 255
    for part in range(101):
        mixed = [round(channel + (end - channel) * part / 100) for channel in _channels(color)]
        light = _luminance(mixed) + 0.05
        if max(light, paper) / min(light, paper) >= CONTRAST[background]:
            break
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def _channels(color: str) -> list[int]:
    return [int(color[place : place + 2], 16) for place in (1, 3, 5)]


def _luminance(channels: list[int]) -> float:
    linear = [c / 3294.6 if c <= 10.31475 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
