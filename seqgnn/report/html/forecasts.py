"""The figures of forecasters on a page."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from seqgnn.analysis.forecast_errors import Forecasts, calendar_groups
from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.runs.problem import ForecastProblem
from seqgnn.report.forecasts import compared_pair, forecasts_of, sees_neighbors
from seqgnn.report.html.figures import PageFigure, column_figure
from seqgnn.report.html.svg import inline, swatch
from seqgnn.report.plots.error_maps import difference, draw_difference, draw_graph, ends, layout, node_errors
from seqgnn.report.plots.forecasts import draw_steps, draw_times, draw_truth, quartiles, style_of, time_ahead
from seqgnn.report.plots.style import GRAY

MAP = (3.85, 3.4)  # inches: a column, with a bar of colors below
MOST = 6  # ticks with names that a column holds


def forecasts_page_figures(comparison: Comparison, name: str) -> tuple[list[PageFigure], str]:
    """Return figures of forecasts with the ground truth at three nodes, and of errors by step ahead, by time and by
    node; or the reason why there are none."""
    if not isinstance(comparison.problem, ForecastProblem):
        return [], ""
    if comparison.data is None:
        return [], "the time series is not available (--data, --graph)"
    try:
        forecasts = forecasts_of(comparison, comparison.data)
    except (ValueError, RuntimeError) as error:
        return [], " ".join(str(error).split())
    if forecasts is None:
        return [], "no weights were saved"
    figures = [_truth(forecasts, node, quartile, f"{name}-{place}") for place, (node, quartile) in
               enumerate(quartiles(forecasts).items())]  # fmt: skip
    figures.append(_errors(forecasts, f"{name}-steps", "Error by step ahead", draw_steps))
    if forecasts.times is not None:
        title = f"Error by {calendar_groups(forecasts)[0]}"
        figures.append(_errors(forecasts, f"{name}-times", title, draw_times))
    figures.append(_map(forecasts, f"{name}-graph"))
    if pair := compared_pair(comparison, forecasts):
        graph_helps = sees_neighbors(comparison, pair[0]) != sees_neighbors(comparison, pair[1])
        figures.append(_difference(forecasts, *pair, graph_helps, f"{name}-difference"))
    return figures, ""


def _truth(forecasts: Forecasts, node: str, quartile: str, name: str) -> PageFigure:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    figure, panel = column_figure()
    draw_truth(panel, forecasts, node)
    if forecasts.times is not None:
        locator = AutoDateLocator(minticks=2, maxticks=MOST)  # from 2 days on a tick per day; hours end at 12
        panel.xaxis.set_major_locator(locator)
        panel.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    title = f"Node {node}, {time_ahead(forecasts, 1)}"
    caption = f"The node with the {quartile} of the errors over nodes. " if quartile else ""
    caption += "Lines are means over seeds, bands their range."
    legend = [(swatch("#000000", "none", "-"), "truth"), *_legend(forecasts)]
    return PageFigure(title, inline(figure, name, title, caption), caption, legend)


def _errors(forecasts: Forecasts, name: str, title: str, draw: Callable[[Any, Forecasts], None]) -> PageFigure:
    figure, panel = column_figure()
    draw(panel, forecasts)
    ticks, names = panel.get_xticks(), [tick.get_text() for tick in panel.get_xticklabels()]
    if draw is draw_times and len(ticks) > MOST:
        every = -(-len(ticks) // MOST)
        panel.set_xticks(ticks[::every], names[::every])
    caption = f"Mean absolute error{_in_units(forecasts)}: means over seeds, bands their range; baselines in gray."
    legend = [*_legend(forecasts, marks=True), (swatch(GRAY, "none", "-"), "baselines")]
    errors = {label: forecasts.by_step(label).mean().item() for label in forecasts.models}
    description = "; ".join(f"{label}: {error:.3f}" for label, error in errors.items())
    return PageFigure(title, inline(figure, name, title, f"{description}."), caption, legend)


def _map(forecasts: Forecasts, name: str) -> PageFigure:
    label = next(iter(forecasts.models))
    errors = node_errors(forecasts, label)
    least, largest = ends(errors)
    caption = f"Mean absolute error{_in_units(forecasts)}, the mean over seeds: largest at node "
    caption += f"{forecasts.nodes[largest]}, {errors[largest]:.3f}; smallest at node {forecasts.nodes[least]}, "
    caption += f"{errors[least]:.3f}. "
    caption += _places(forecasts, errors)
    return _map_figure(f"Error of {label} at each node", caption, name, draw_graph, forecasts, label)


def _difference(forecasts: Forecasts, label: str, other: str, graph_helps: bool, name: str) -> PageFigure:
    values = difference(forecasts, label, other)
    low, high = ends(values)
    at = f"at {int((values < 0).sum())} of {int(values.isfinite().sum())} nodes (below zero)"
    title, caption = f"{label} compared with {other} at each node", f"{label} has a smaller error than {other} {at}."
    if graph_helps:
        title = f"Where the graph helps: {label} compared with {other}"
        caption = f"The graph helps {at}: {label} uses it, {other} does not."
    caption += f" The difference in mean absolute error{_in_units(forecasts)} ranges from {_signed(values[low])} at "
    caption += f"node {forecasts.nodes[low]} to {_signed(values[high])} at node {forecasts.nodes[high]}. "
    caption += _places(forecasts, values)
    return _map_figure(title, caption, name, draw_difference, forecasts, label, other)


def _map_figure(title: str, caption: str, name: str, draw: Callable[..., None], *arguments: Any) -> PageFigure:
    figure, panel = column_figure(MAP)
    draw(panel, *arguments, narrow=True)
    return PageFigure(title, inline(figure, name, title, caption), caption, [])


def _in_units(forecasts: Forecasts) -> str:
    return "" if forecasts.units is None else f" in {forecasts.units}"


def _places(forecasts: Forecasts, values: Tensor) -> str:
    return layout(forecasts)[1] + (" Hollow nodes were not observed." if values.isnan().any() else "")


def _signed(value: Tensor) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _legend(forecasts: Forecasts, marks: bool = False) -> list[tuple[str, str]]:
    """Return the swatch of each model, with its label; with its marker where figures have marks."""
    items = []
    for label in forecasts.models:
        color, marker, line = style_of(label, forecasts)
        items.append((swatch(color, marker if marks else "none", line), label))
    return items
