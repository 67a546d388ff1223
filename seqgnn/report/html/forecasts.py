"""The figures of forecasters on a page."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from seqgnn.analysis.forecast_errors import Forecasts, calendar_groups
from seqgnn.experiments.results.comparison import Comparison
from seqgnn.experiments.runs.problem import ForecastProblem
from seqgnn.report.forecasts import forecasts_of, sees_neighbors, sides
from seqgnn.report.html.figures import Picture, sheet_of_a_column
from seqgnn.report.html.svg import inline, swatch
from seqgnn.report.plots.error_maps import difference, draw_difference, draw_graph, ends, layout, node_errors
from seqgnn.report.plots.forecasts import draw_steps, draw_times, draw_truth, look, quartiles, time_ahead
from seqgnn.report.plots.style import GRAY

MAP = (3.85, 3.4)  # inches: a column, with a bar of colors below
MOST = 6  # ticks with names that a column holds


def forecasts_pictures(comparison: Comparison, name: str) -> tuple[list[Picture], str]:
    """Return figures of forecasts with the ground truth at three nodes, and of errors by step ahead, by time and by
    node; or the reason why there are none."""
    if not isinstance(comparison.problem, ForecastProblem):
        return [], ""
    if comparison.data is None:
        return [], "the time series is not available (--data, --graph)"
    try:
        found = forecasts_of(comparison, comparison.data)
    except (ValueError, RuntimeError) as error:
        return [], " ".join(str(error).split())
    if found is None:
        return [], "no weights were saved"
    pictures = [_truth(found, node, which, f"{name}-{place}") for place, (node, which) in
                enumerate(quartiles(found).items())]  # fmt: skip
    pictures.append(_errors(found, f"{name}-steps", "Error by step ahead", draw_steps))
    if found.times is not None:
        about = f"Error by {calendar_groups(found)[0]}"
        pictures.append(_errors(found, f"{name}-times", about, draw_times))
    pictures.append(_map(found, f"{name}-graph"))
    if pair := sides(comparison, found):
        helps = sees_neighbors(comparison, pair[0]) != sees_neighbors(comparison, pair[1])
        pictures.append(_difference(found, *pair, helps, f"{name}-difference"))
    return pictures, ""


def _truth(found: Forecasts, node: str, which: str, name: str) -> Picture:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    sheet, panel = sheet_of_a_column()
    draw_truth(panel, found, node)
    if found.times is not None:
        locator = AutoDateLocator(maxticks=MOST)
        panel.xaxis.set_major_locator(locator)
        panel.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    title = f"Node {node}, {time_ahead(found, 1)}"
    about = f"The node with the {which} of the errors over nodes. " if which else ""
    about += "Lines are means over seeds, bands their range."
    legend = [(swatch("#000000", "none", "-"), "truth"), *_legend(found)]
    return Picture(title, inline(sheet, name, title, about), about, legend)


def _errors(found: Forecasts, name: str, title: str, draw: Callable[[Any, Forecasts], None]) -> Picture:
    sheet, panel = sheet_of_a_column()
    draw(panel, found)
    ticks, names = panel.get_xticks(), [tick.get_text() for tick in panel.get_xticklabels()]
    if draw is draw_times and len(ticks) > MOST:
        every = -(-len(ticks) // MOST)
        panel.set_xticks(ticks[::every], names[::every])
    about = f"Mean absolute error{_in_units(found)}: means over seeds, bands their range; baselines in gray."
    legend = [*_legend(found), (swatch(GRAY, "none", "-"), "baselines")]
    errors = {label: found.by_step(label).mean().item() for label in found.models}
    said = "; ".join(f"{label}: {error:.3f}" for label, error in errors.items())
    return Picture(title, inline(sheet, name, title, f"{said}."), about, legend)


def _map(found: Forecasts, name: str) -> Picture:
    label = next(iter(found.models))
    errors = node_errors(found, label)
    least, largest = ends(errors)
    about = f"Mean absolute error{_in_units(found)}, the mean over seeds: largest at node {found.nodes[largest]}, "
    about += f"{errors[largest]:.3f}; smallest at node {found.nodes[least]}, {errors[least]:.3f}. "
    about += _places(found, errors)
    return _drawn(f"Error of {label} at each node", about, name, draw_graph, found, label)


def _difference(found: Forecasts, label: str, other: str, helps: bool, name: str) -> Picture:
    less = difference(found, label, other)
    low, high = ends(less)
    at = f"at {int((less < 0).sum())} of {int(less.isfinite().sum())} nodes (below zero)"
    title, about = f"{label} compared with {other} at each node", f"{label} has a smaller error than {other} {at}."
    if helps:
        title = f"Where the graph helps: {label} compared with {other}"
        about = f"The graph helps {at}: {label} uses it, {other} does not."
    about += f" The difference in mean absolute error{_in_units(found)} ranges from {_signed(less[low])} at node "
    about += f"{found.nodes[low]} to {_signed(less[high])} at node {found.nodes[high]}. {_places(found, less)}"
    return _drawn(title, about, name, draw_difference, found, label, other)


def _drawn(title: str, about: str, name: str, draw: Callable[..., None], *what: Any) -> Picture:
    sheet, panel = sheet_of_a_column(MAP)
    draw(panel, *what, narrow=True)
    return Picture(title, inline(sheet, name, title, about), about, [])


def _in_units(found: Forecasts) -> str:
    return "" if found.units is None else f" in {found.units}"


def _places(found: Forecasts, values: Tensor) -> str:
    return layout(found)[1] + (" Hollow nodes were not observed." if values.isnan().any() else "")


def _signed(value: Tensor) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _legend(found: Forecasts) -> list[tuple[str, str]]:
    styles = {label: look(label, found) for label in found.models}
    return [(swatch(color, "none", line), label) for label, (color, _, line) in styles.items()]
