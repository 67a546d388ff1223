"""Maps of forecast errors: their size at each node, and where one model has a smaller error than another."""

import math
from typing import Any

import torch
from torch import Tensor

from seqgnn.analysis.forecast_errors import CALLER, Forecasts
from seqgnn.report.plots.forecasts import error_label, time_ahead
from seqgnn.report.plots.style import GRAY, plain, short

SEED = 0  # random seed of the layout of nodes without positions
NAMED = 30  # maximum number of nodes with names
LEVELS = 8  # maximum number of colors
TICKS = 6  # maximum number of ticks of a color bar below a map
ERRORS, DIFFERENCES = ("viridis_r", 0.0, 0.8), ("PuOr_r", 0.1, 0.9)  # parts of color maps that are visible on black
OUTER = 0.02  # fraction of nodes, at each end, whose values share a color


def graph_figure(forecasts: Forecasts, label: str, ahead: int | None = None) -> Any:
    """Return a matplotlib figure: the graph, each node in the color of its mean absolute error, the mean over seeds.

    Args:
        label: label of a model or baseline.
        ahead: a step ahead, from 1; None: all of them.

    Raises:
        ValueError: if the label or step does not exist.
    """
    figure, panel = _figure(forecasts)
    draw_graph(panel, forecasts, label, ahead)
    figure.suptitle(plain(f"{forecasts.name}: error of {label}{_ahead_suffix(forecasts, ahead)}"), fontsize=11)
    return figure


def draw_graph(panel: Any, forecasts: Forecasts, label: str, ahead: int | None = None, *, narrow: bool = False) -> None:
    """Draw the graph with the errors of a model or baseline, and a bar of colors.

    Args:
        label, ahead: see `graph_figure`.
        narrow: for a column of a page, with the color bar below and names only for the two extreme nodes.
    """
    errors = node_errors(forecasts, label, ahead)
    _draw(panel, forecasts, errors, _levels(errors), ERRORS, error_label(forecasts), narrow)


def difference_figure(forecasts: Forecasts, label: str, other: str, ahead: int | None = None) -> Any:
    """Return a matplotlib figure: the graph, each node in the color of the error of one model minus that of another.

    Args:
        label, other: labels of models or baselines.
        ahead: a step ahead, from 1; None: all of them.

    Raises:
        ValueError: if a label or step does not exist, or both labels are the same.
    """
    figure, panel = _figure(forecasts)
    draw_difference(panel, forecasts, label, other, ahead)
    differences = difference(forecasts, label, other, ahead)
    observed = differences[differences.isfinite()]
    title = f"{forecasts.name}: {label} compared with {other}{_ahead_suffix(forecasts, ahead)}\n"
    title += f"{label} has a smaller error at {int((observed < 0).sum())} of {len(observed)} nodes"
    figure.suptitle(plain(title), fontsize=11)
    return figure


def draw_difference(
    panel: Any, forecasts: Forecasts, label: str, other: str, ahead: int | None = None, *, narrow: bool = False
) -> None:
    """Draw the graph with the difference of two errors, and a color bar centered at zero.

    Args:
        label, other, ahead: see `difference_figure`.
        narrow: see `draw_graph`; the color bar then does not name the models, since a column may be too narrow.
    """
    differences = difference(forecasts, label, other, ahead)
    levels = _levels(torch.cat([differences, -differences]))
    prefix = "difference in " if narrow else plain(f"{label} − {other}: ")
    _draw(panel, forecasts, differences, levels, DIFFERENCES, prefix + error_label(forecasts), narrow)


def node_errors(forecasts: Forecasts, label: str, ahead: int | None = None) -> Tensor:
    """Return the mean absolute error at each node, `[N]`, averaged over seeds; NaN where nothing was observed."""
    return forecasts.by_node(label, ahead).mean(0)


def difference(forecasts: Forecasts, label: str, other: str, ahead: int | None = None) -> Tensor:
    """Return the mean absolute error of one model minus that of another at each node, `[N]`, averaged over seeds; NaN
    where nothing was observed."""
    if label == other:
        raise ValueError(f"{CALLER}: expected two labels to compare, got {label!r} twice")
    return node_errors(forecasts, label, ahead) - node_errors(forecasts, other, ahead)


def ends(values: Tensor) -> tuple[int, int]:
    """Return the nodes with the smallest and the largest value, without NaN.

    Example:
        >>> ends(torch.tensor([3.0, math.nan, 1.0, 2.0]))
        (2, 0)
    """
    return int(values.nan_to_num(math.inf).argmin()), int(values.nan_to_num(-math.inf).argmax())


def layout(forecasts: Forecasts) -> tuple[Tensor, str]:
    """Return the places of the nodes, `[N, 2]`, and a description: their positions or, without any, a spring layout."""
    if forecasts.positions is not None:
        return forecasts.positions, "Nodes at their longitude and latitude."
    import networkx

    graph = networkx.Graph(forecasts.edges.T.tolist())
    graph.add_nodes_from(range(len(forecasts.nodes)))
    graph.remove_edges_from(list(networkx.selfloop_edges(graph)))
    coordinates = networkx.spring_layout(graph, seed=SEED)
    places = torch.tensor([coordinates[node].tolist() for node in range(len(forecasts.nodes))])
    width, height = (places.amax(0) - places.amin(0)).tolist()
    wide = places if width > height else places.flip(1)
    return wide, f"Nodes have no positions: a spring layout (networkx, seed {SEED})."


def _draw(
    panel: Any, forecasts: Forecasts, values: Tensor, levels: list[float], color_range: Any, label: str, narrow: bool
) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import BoundaryNorm, ListedColormap

    places, _ = layout(forecasts)
    pairs = forecasts.edges[:, forecasts.edges[0] != forecasts.edges[1]].sort(dim=0).values.unique(dim=1)
    gaps = torch.full((pairs.size(1), 2), math.nan)  # one line with gaps, since thousands of lines make a large file
    lines = torch.stack([places[pairs[0]], places[pairs[1]], gaps], dim=1).flatten(0, 1)
    panel.plot(*lines.T, color=GRAY, alpha=0.5, linewidth=0.5, zorder=1)
    size = min(90.0, max(14.0, 6000 / len(values)))
    missing = values.isnan()
    panel.scatter(*places[missing].T, s=size, facecolors="none", edgecolors=GRAY, linewidths=0.8, zorder=2)
    scale, first, last = color_range
    colormap = ListedColormap(colormaps[scale](torch.linspace(first, last, 256).numpy()))
    observed = values[~missing]
    beyond = bool((observed < levels[0]).any()), bool((observed > levels[-1]).any())
    if levels[0] == -levels[-1]:
        beyond = (any(beyond),) * 2  # colors are symmetric around zero
    extend: Any = {(True, True): "both", (True, False): "min", (False, True): "max"}.get(beyond, "neither")
    norm = BoundaryNorm(levels, colormap.N, extend=extend)
    points = panel.scatter(*places[~missing].T, s=size, c=observed, cmap=colormap, norm=norm, edgecolors=GRAY,
                           linewidths=0.5, zorder=2)  # fmt: skip
    labeled = list(dict.fromkeys(ends(values))) if narrow else list(range(len(values) if len(values) <= NAMED else 0))
    if narrow:
        panel.scatter(*places[labeled].T, s=2 * size, facecolors="none", edgecolors="#000000", linewidths=1.2, zorder=3,
                      clip_on=False)  # fmt: skip
    for node in labeled:
        panel.annotate(plain(short(forecasts.nodes[node])), places[node].tolist(), (0, 10 if narrow else 7),
                       textcoords="offset points", fontsize=9 if narrow else 7, ha="center")  # fmt: skip
    degrees = forecasts.positions is not None and float(places[:, 1].abs().max()) < 85
    narrower = math.cos(math.radians(float(places[:, 1].mean()))) if degrees else 1  # width of a degree of longitude
    panel.set_aspect(1 / narrower, adjustable="datalim")
    panel.margins(0.05)
    panel.set_axis_off()
    bar = panel.figure.colorbar(points, ax=panel, label=label, location="bottom" if narrow else "right", shrink=0.8)
    if narrow:
        every = math.ceil(len(levels) / TICKS)
        bar.set_ticks(levels[len(levels) // 2 % every :: every])  # with zero, where it is in the middle


def _levels(values: Tensor) -> list[float]:
    """Return round numbers that cover the values, except for the outermost."""
    from matplotlib.ticker import MaxNLocator

    observed = values[values.isfinite()]
    if not len(observed):
        raise ValueError(f"{CALLER}: expected a node that was observed, got none")
    low = float(observed.quantile(OUTER, interpolation="lower"))
    high = float(observed.quantile(1 - OUTER, interpolation="higher"))
    return [float(tick) for tick in MaxNLocator(LEVELS, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]


def _figure(forecasts: Forecasts) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 5.6), layout="constrained")
    figure.supxlabel(layout(forecasts)[1], fontsize=9, color=GRAY)
    return figure, figure.subplots()


def _ahead_suffix(forecasts: Forecasts, ahead: int | None) -> str:
    return "" if ahead is None else f", {time_ahead(forecasts, ahead)}"
