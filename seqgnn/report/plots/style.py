"""Style of all figures: a palette, clean axes, and files written atomically."""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from seqgnn._utils.files import write_all

# Okabe and Ito's palette, which is safe for color blindness. Variants of a model share its color and differ in line.
STYLES = {
    "RNN": ("#0072B2", "o", "-"),
    "LSTM": ("#D55E00", "s", "-"),
    "GRU": ("#009E73", "^", "-"),
    "MinGRU": ("#661100", "<", "-"),
    "MinLSTM": ("#6699CC", ">", "-"),
    "GCN": ("#56B4E9", "D", "-"),
    "GCN, then LSTM": ("#CC79A7", "v", "-"),
    "GCN in LSTM": ("#E69F00", "P", "-"),
    "GCN in MinGRU": ("#661100", "8", "-."),
    "GCN in MinLSTM": ("#6699CC", "X", "-."),
    "GCN, residual": ("#56B4E9", "p", "-."),
    "GCN, one hop": ("#56B4E9", "x", ":"),
    "GCN, mean readout": ("#56B4E9", "d", "--"),
    "LSTM, mean readout": ("#D55E00", "*", "--"),
    "GCRN": ("#882255", "h", "-"),
    "DCRNN": ("#44AA99", "X", "-"),
    "TGCN": ("#999933", "<", "-"),
    "A3TGCN": ("#332288", ">", "-"),
    "EvolveGCN": ("#AA4499", "H", "-"),
    "GCN in GRU": ("#117733", "8", "-"),
    "Linear": ("#CC6677", "o", "-"),
}
LINES = ["--", ":", "-."]  # of variants
MARKERS = ["<", ">", "h", "X", "p", "*", "d", "8", "P", "v", "^", "s", "D", "o"]  # of custom models: those not in use
TAG = "row-"  # begins the ids of marks that have a tooltip
OTHERS = ["#000000", "#999999", "#882255", "#44AA99", "#999933", "#332288", "#AA4499", "#117733"]
GRAY = "#6b6b6b"


def style(label: str, labels: Sequence[str]) -> tuple[str, str, str]:
    """Return color, marker and line of one of several models; each known model always has the same color.

    A custom model named after a known one, such as "LSTM, chrono", has its color and another line; from the fourth on,
    a darker color. Other models have colors that no known model has. Custom models have markers that no other of the
    models has, as long as there are any.

    Example:
        >>> style("LSTM", ["LSTM"]), style("LSTM, chrono", ["LSTM", "LSTM, chrono"])
        (('#D55E00', 's', '-'), ('#D55E00', '<', '--'))
        >>> style("GRU, chrono", ["LSTM, chrono", "GRU, chrono"])
        ('#009E73', '>', '--')
    """
    if label in STYLES:
        return STYLES[label]
    family = _family(label)
    family_labels = [name for name in labels if name not in STYLES and _family(name) == family]
    if family is not None:
        darker, variant = divmod(family_labels.index(label), len(LINES))
        return _darker(STYLES[family][0], darker), _marker(label, labels), LINES[variant]
    used_colors = {STYLES[family_name][0] for family_name in map(_family, labels) if family_name is not None}
    free_colors = [color for color in OTHERS if color not in used_colors] or OTHERS
    return free_colors[family_labels.index(label) % len(free_colors)], _marker(label, labels), "-"


def _marker(label: str, labels: Sequence[str]) -> str:
    """Return the marker of a custom model."""
    custom = [name for name in labels if name not in STYLES]
    used = {STYLES[name][1] for name in labels if name in STYLES}
    free = [marker for marker in MARKERS if marker not in used] or MARKERS
    return free[custom.index(label) % len(free)]


def _darker(color: str, times: int) -> str:
    return "#" + "".join(f"{int(int(color[i : i + 2], 16) * 0.5**times):02X}" for i in (1, 3, 5))


def _family(label: str) -> str | None:
    """Return the longest known name that a label begins with: "GCN, then LSTM" for "GCN, then LSTM, chrono"."""
    return max((name for name in STYLES if f"{label},".startswith(f"{name},")), key=len, default=None)


def plain(text: str) -> str:
    """Return text for a figure, with escaped dollar signs, which would begin a formula.

    Example:
        >>> plain("$5")
        '\\\\$5'
    """
    return text.replace("$", r"\$")


def short(text: str, most: int = 26) -> str:
    """Return text shortened to at most `most` characters.

    Example:
        >>> short("LSTM", 5), short("LSTM, chrono", 5)
        ('LSTM', 'LSTM…')
    """
    return text if len(text) <= most else text[: most - 1] + "…"


def tidy(panel: Any, axis: str = "y") -> None:
    """Remove two of the four spines, and all of the grid except for pale lines along one axis."""
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(axis=axis, color="#e4e4e4", linewidth=0.8)
    panel.set_axisbelow(True)


def tag(mark: Any, name: str, text: str) -> None:
    """Give a mark of a figure a tooltip in SVG, and an id that begins with `TAG`."""
    mark.set_gid(name)
    mark.set_label(text)


def with_tooltips(svg: str, figure: Any, prefix: str = "", link: Callable[[str], str] | None = None) -> str:
    """Return the SVG of a figure in which tagged marks have tooltips.

    Args:
        svg: the figure as SVG.
        prefix: of all ids in `svg`.
        link: returns the target of the mark with an id; None: marks are no links.
    """
    for mark in figure.findobj(lambda artist: str(artist.get_gid() or "").startswith(TAG)):
        start = svg.find(f'<g id="{prefix}{mark.get_gid()}">')
        if start < 0:
            continue  # nothing of it is inside the figure
        end, title = _group_end(svg, start), f"<title>{escape(mark.get_label())}</title>"
        first = svg.index(">", start) + 1
        group = svg[start:first] + title + svg[first:end]
        if link is not None:  # not in the order of the keyboard, since the rows of the table are
            group = f'<a href={quoteattr(link(mark.get_gid()))} tabindex="-1">{group}</a>'
        svg = svg[:start] + group + svg[end:]
    return svg


def _group_end(svg: str, start: int) -> int:
    """Return the end of the group that begins at `start`."""
    depth = 0
    for match in re.compile(r"<g\b|</g>").finditer(svg, start):
        depth += -1 if match[0] == "</g>" else 1
        if depth == 0:
            return match.end()
    raise ValueError(f"expected a closed group in an SVG, got {svg[start : start + 80]}")


def save(figure: Any, stem: Path) -> list[Path]:
    """Write a matplotlib figure as `<stem>.png` and `<stem>.svg`, deterministically; return their paths.

    Raises:
        NotWritten: names the file that could not be written; the other one is written.
    """
    return write_all(rendered(figure, stem))


def rendered(figure: Any, stem: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield the paths and contents of the files that `save` writes."""
    from matplotlib import rc_context

    for kind in ("png", "svg"):
        content = io.BytesIO()
        with rc_context({"svg.hashsalt": "seqgnn"}):
            figure.savefig(content, format=kind, dpi=160, metadata={"Date": None} if kind == "svg" else None)
        written = content.getvalue()
        if kind == "svg":
            written = with_tooltips(written.decode(), figure).encode()
        yield stem.with_name(f"{stem.name}.{kind}"), written
