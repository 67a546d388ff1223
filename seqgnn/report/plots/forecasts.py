"""Figures of forecasts: with the ground truth, and errors by step ahead and by time."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from seqgnn._utils.text import count
from seqgnn._utils.validation import check_count
from seqgnn.analysis.forecast_errors import CALLER, Forecasts, calendar_groups
from seqgnn.report.plots.style import GRAY, plain, style, tidy

TRUTH = "#000000"
MOST = 150  # maximum number of windows shown
FAR = 1.25  # largest error shown, as a multiple of the largest error of a model; baselines may exceed it
LINE = 12  # points from one name to the next
LEADER: dict[str, Any] = {"arrowstyle": "-", "color": GRAY, "linewidth": 0.5, "shrinkB": 0, "relpos": (0, 0.5)}
QUARTILES = {"lower quartile": 0.25, "median": 0.5, "upper quartile": 0.75}


def style_of(label: str, forecasts: Forecasts) -> tuple[str, str, str]:
    """Return color, marker and line of a model, see `seqgnn.report.plots.style.style`; the ground truth is black and
    baselines are gray."""
    return style(label, ["truth", "baselines", *forecasts.models])


def truth_figure(
    forecasts: Forecasts,
    nodes: Sequence[str] | None = None,
    *,
    ahead: int = 1,
    stretch: range | None = None,
    target: int = 0,
) -> Any:
    """Return a matplotlib figure: forecasts and ground truth, one panel per node.

    Args:
        nodes: names of nodes; None: the nodes at the quartiles of the errors, see `quartiles`.
        ahead: the step ahead to plot, from 1.
        stretch: windows of the test part; None: see `liveliest`.
        target: index of the target channel.

    Raises:
        ValueError: if a node, step, window or target does not exist.
    """
    from matplotlib.figure import Figure

    quartile_names = quartiles(forecasts, ahead) if nodes is None else dict.fromkeys(nodes, "")
    if not quartile_names:
        raise ValueError(f"{CALLER}: expected at least one node, got none")
    stretch = liveliest(forecasts, list(quartile_names), ahead, target) if stretch is None else stretch
    figure = Figure(figsize=(9.4, 0.9 + 1.9 * len(quartile_names)), layout="constrained")
    panels = figure.subplots(len(quartile_names), 1, sharex=True, squeeze=False)[:, 0]
    for panel, (node, quartile) in zip(panels, quartile_names.items()):
        draw_truth(panel, forecasts, node, ahead=ahead, stretch=stretch, target=target)
        title = f"node {node}" + (f", the {quartile} of errors" if quartile else "")
        panel.set_title(plain(title), fontsize=10, loc="left")
        panel.set_xlabel(panel.get_xlabel() if panel is panels[-1] else "")
    _legend(figure, forecasts, truth=True)
    band = ", with the range over seeds" if _seeds(forecasts) > 1 else ""
    figure.suptitle(plain(f"{forecasts.name}: forecasts {time_ahead(forecasts, ahead)}{band}"), fontsize=11)
    return figure


def draw_truth(
    panel: Any, forecasts: Forecasts, node: str, *, ahead: int = 1, stretch: range | None = None, target: int = 0
) -> None:
    """Draw the ground truth at a node, in black, and the forecasts of each model: their mean over seeds, and their
    range as a band. See `truth_figure` for the arguments."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import MaxNLocator

    stretch = liveliest(forecasts, [node], ahead, target) if stretch is None else stretch
    rows, step, place = _rows(forecasts, stretch), forecasts.ahead(ahead), forecasts.node(node)
    x = forecasts.steps[rows, step].numpy() if forecasts.times is None else forecasts.times[rows, step]
    for label, seeds in forecasts.models.items():
        color, _, line = style_of(label, forecasts)
        values = torch.stack([forecast[rows, step, place, target] for forecast in seeds])
        panel.plot(x, values.mean(0), line, color=color, linewidth=1.3)
        _band(panel, x, values, color)
    panel.plot(x, _observed(forecasts, step, target)[rows, place], color=TRUTH, linewidth=1.1)
    panel.set_ylabel(plain(forecasts.units or "value"))
    panel.set_xlim(x[0], x[-1])
    if forecasts.times is None:
        panel.set_xlabel("step")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    else:
        locator = AutoDateLocator()
        panel.xaxis.set_major_locator(locator)
        panel.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    tidy(panel)


def quartiles(forecasts: Forecasts, ahead: int = 1) -> dict[str, str]:
    """Return the nodes at the quartiles of the mean absolute errors over all models and seeds, with the name of the
    quartile; all nodes if there are at most three."""
    if len(forecasts.nodes) <= len(QUARTILES):
        return dict.fromkeys(forecasts.nodes, "")
    error = torch.stack([forecasts.by_node(label, ahead).mean(0) for label in forecasts.models]).mean(0)
    order = [node for node in error.argsort().tolist() if error[node].isfinite()]
    if not order:
        raise ValueError(f"{CALLER}: expected a node that was observed at step {ahead} ahead, got none")
    nodes = {name: order[round(fraction * (len(order) - 1))] for name, fraction in QUARTILES.items()}
    return {forecasts.nodes[node]: name for name, node in nodes.items()}


def liveliest(forecasts: Forecasts, nodes: Sequence[str], ahead: int = 1, target: int = 0, most: int = MOST) -> range:
    """Return the `most` consecutive windows in which the ground truth of these nodes changes most: the sum of absolute
    changes between steps, each node's divided by its total."""
    truth = _observed(forecasts, forecasts.ahead(ahead), target)[:, [forecasts.node(node) for node in nodes]]
    change = truth.double().diff(dim=0).abs().nan_to_num(0)
    fraction = (change / change.sum(0).clamp(min=1e-300)).sum(1)
    length = min(check_count(CALLER, "the length of a stretch", most, 2), len(truth))
    start = int(fraction.unfold(0, length - 1, 1).sum(1).argmax()) if length > 1 else 0
    return range(start, start + length)


def steps_figure(forecasts: Forecasts) -> Any:
    """Return a matplotlib figure: mean absolute error by step ahead, with the baselines in gray."""
    return _errors_figure(forecasts, draw_steps, "error by step ahead")


def draw_steps(panel: Any, forecasts: Forecasts) -> None:
    """Draw mean absolute error against the step ahead: for models the mean over seeds and their range, for baselines a
    gray line with the name at its end, and the error there if it is outside the panel."""
    from matplotlib.ticker import MaxNLocator

    _draw_errors(panel, forecasts, {label: forecasts.by_step(label) for label in _labels(forecasts)}, first=1)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    panel.set_xlim(0.5, forecasts.horizon + 0.5)
    panel.set_xlabel(_step_label(forecasts))


def times_figure(forecasts: Forecasts) -> Any:
    """Return a matplotlib figure: mean absolute error by hour, day or month, see `calendar_groups`.

    Raises:
        ValueError: see `calendar_groups`.
    """
    return _errors_figure(forecasts, draw_times, f"error by {calendar_groups(forecasts)[0]}")


def draw_times(panel: Any, forecasts: Forecasts) -> None:
    """Draw mean absolute error, over all steps ahead, against the hour, day or month of the forecast step, in the
    style of `draw_steps`."""
    unit, names, group = calendar_groups(forecasts)
    errors = {label: forecasts.by_group(label, group, len(names)) for label in _labels(forecasts)}
    _draw_errors(panel, forecasts, errors, first=0)
    every = range(0, len(names), 3 if len(names) == 24 else 1)
    panel.set_xticks(every, [names[place] for place in every])
    panel.set_xlim(-0.5, len(names) - 0.5)
    panel.set_xlabel(unit)


def time_ahead(forecasts: Forecasts, ahead: int) -> str:
    """Return a step ahead in words: "30 minutes ahead", or, without timestamps, "6 steps ahead"."""
    return f"{count(ahead, 'step') if forecasts.calendar is None else forecasts.calendar.duration(ahead)} ahead"


def error_label(forecasts: Forecasts) -> str:
    """Return the label of an axis of errors."""
    return plain(f"MAE ({forecasts.units or 'in units of the data'})")


def _errors_figure(forecasts: Forecasts, draw: Any, subject: str) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 4.4), layout="constrained")
    draw(figure.subplots(), forecasts)
    _legend(figure, forecasts, truth=False)
    seeds = _seeds(forecasts)
    over = f"mean and range of {count(seeds, 'seed')}" if seeds > 1 else "one seed"
    figure.suptitle(plain(f"{forecasts.name}: {subject}, {over}"), fontsize=11)
    return figure


def _draw_errors(panel: Any, forecasts: Forecasts, errors: Mapping[str, Tensor], first: int) -> None:
    """Draw `[S, n]` errors of each label against n numbers from `first` on; for n = 1, models are side by side."""
    panel.set_ylim(*_limits(forecasts, errors))
    x = [float(first + i) for i in range(next(iter(errors.values())).size(1))]
    line_x = x if len(x) > 1 else [first - 0.5, first + 0.5]
    ends: dict[str, tuple[float, float]] = {}
    for name in forecasts.baselines:
        baseline_errors = errors[name][0].expand(len(line_x)).tolist()
        panel.plot(line_x, baseline_errors, color=GRAY, linewidth=1)
        if finite := [(place, error) for place, error in zip(line_x, baseline_errors) if math.isfinite(error)]:
            ends[name] = finite[-1]
    for i, label in enumerate(forecasts.models):
        color, marker, line = style_of(label, forecasts)
        places = x if len(x) > 1 else [first - 0.5 + (i + 1) / (len(forecasts.models) + 1)]
        panel.plot(places, errors[label].mean(0), line, color=color, marker=marker, markersize=4.5, linewidth=1.5)
        _band(panel, places, errors[label], color)
    panel.set_ylabel(error_label(forecasts))
    tidy(panel)
    _name_ends(panel, ends)


def _limits(forecasts: Forecasts, errors: Mapping[str, Tensor]) -> tuple[float, float]:
    """Return the range from the smallest error to the largest that is not far above those of models, so that a poor
    baseline does not compress their lines."""
    finite = torch.cat([values[values.isfinite()] for values in errors.values()])
    worst = max(float(errors[label].nan_to_num(0).max()) for label in forecasts.models)
    low, high = float(finite.min()), float(finite[finite <= FAR * worst].max())
    room = 0.06 * (high - low) or 0.06 * high or 1.0
    return low - room, high + room


def _band(panel: Any, x: Any, values: Tensor, color: str) -> None:
    """Draw the range over seeds of `[S, n]`."""
    if len(values) == 1:
        return
    low, high = values.amin(0), values.amax(0)
    if len(x) > 1:
        panel.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
    else:
        panel.vlines(x, low, high, color=color, linewidth=1.5)


def _name_ends(panel: Any, ends: Mapping[str, tuple[float, float]]) -> None:
    """Write names to the right of the panel, each connected to the end of its line, with the value if that is outside
    the panel."""
    low, high = panel.get_ylim()
    names = sorted(ends, key=lambda name: ends[name][1])
    min_distance = LINE / (72 * 0.75 * panel.figure.get_figheight()) * (high - low)
    places = spread([min(ends[name][1], high) for name in names], min_distance, low, high)
    for name, place in zip(names, places):
        x, y = ends[name]
        text, leader = (name, LEADER) if y <= high else (f"{name} ↑ {y:.3g}", None)
        panel.annotate(plain(text), (x, y), (1.03, place), textcoords=("axes fraction", "data"), va="center",
                       fontsize=9, color=GRAY, annotation_clip=False, arrowprops=leader)  # fmt: skip


def spread(places: Sequence[float], min_distance: float, low: float, high: float) -> list[float]:
    """Return increasing places between `low` and `high`, moved as little as necessary to be at least `min_distance`
    from each other: closer ones are spaced evenly around their mean.

    Example:
        >>> spread([0.0, 3.0, 4.0, 9.5], 2.0, 0.0, 10.0)
        [0.0, 2.5, 4.5, 9.5]
    """

    def even(group: list[float]) -> list[float]:
        half = (len(group) - 1) / 2 * min_distance
        middle = min(max(sum(group) / len(group), low + half), high - half)
        return [middle - half + i * min_distance for i in range(len(group))]

    groups: list[list[float]] = []
    for place in places:
        groups.append([place])
        while len(groups) > 1 and even(groups[-1])[0] - even(groups[-2])[-1] < min_distance:
            groups[-2:] = [groups[-2] + groups[-1]]
    return [place for group in groups for place in even(group)]


def _observed(forecasts: Forecasts, step: int, target: int) -> Tensor:
    """Return the ground truth of one target at a step ahead, `[W, N]`, NaN where it was not observed."""
    channels = forecasts.truth.size(-1)
    if check_count(CALLER, "target", target, 0) >= channels:
        raise ValueError(f"{CALLER}: expected a target from 0 to {channels - 1}, got {target}")
    truth = forecasts.truth[:, step, :, target]
    return truth if forecasts.mask is None else truth.where(forecasts.mask[:, step, :, target], torch.nan)


def _rows(forecasts: Forecasts, stretch: range) -> slice:
    windows = len(forecasts.truth)
    if len(stretch) < 2 or stretch.step != 1 or stretch.start < 0 or stretch.stop > windows:
        expected = f"at least two consecutive windows of {windows}"
        raise ValueError(f"{CALLER}: expected a stretch of {expected}, got {stretch}")
    return slice(stretch.start, stretch.stop)


def _labels(forecasts: Forecasts) -> list[str]:
    return [*forecasts.models, *forecasts.baselines]


def _seeds(forecasts: Forecasts) -> int:
    return max(map(len, forecasts.models.values()))


def _step_label(forecasts: Forecasts) -> str:
    step = "" if forecasts.calendar is None else forecasts.calendar.duration(1)
    return "steps ahead" if step in ("", "one step") else f"steps ahead, each of {step}"


def _legend(figure: Any, forecasts: Forecasts, truth: bool) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=TRUTH, linewidth=1.1, label="truth")] if truth else []
    for label in forecasts.models:
        color, marker, line = style_of(label, forecasts)
        marker = "none" if truth else marker
        handles.append(Line2D([], [], color=color, marker=marker, linestyle=line, linewidth=1.5, label=plain(label)))
    figure.legend(handles=handles, loc="outside right center", frameon=False, fontsize=9)
