"""Maps of errors: colors, places and bounds are what numpy finds."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from seqgnn.report.plots.error_maps import (
    difference,
    difference_figure,
    draw_difference,
    draw_graph,
    graph_figure,
    layout,
)
from tests.support.forecasts import (
    HORIZON,
    NODES,
    errors_by_loop,
    panel,
    town_graph,
)


def test_draw_graph_colors_nodes_by_error_at_their_positions(example):
    task, models, forecasts = example
    drawn = panel()
    draw_graph(drawn, forecasts, "GCRN")
    points = drawn.collections[1]
    expected = np.mean([np.nanmean(errors_by_loop(task, model), (0, 1)) for model in models["GCRN"]], 0)
    assert np.asarray(points.get_array()) == pytest.approx(expected, rel=1e-5)
    assert points.get_offsets().tolist() == town_graph().positions.tolist()
    ends = drawn.lines[0].get_xydata().reshape(-1, 3, 2)
    pairs = [frozenset((tuple(a), tuple(b))) for a, b in ends[:, :2].tolist()]
    place = [tuple(row) for row in town_graph().positions.tolist()]
    assert set(pairs) == {frozenset((place[i], place[j])) for i, j in ((0, 1), (1, 2), (2, 3), (3, 0), (4, 0))}
    assert len(pairs) == 5 and np.isnan(ends[:, 2]).all()
    assert drawn.get_aspect() == pytest.approx(1 / math.cos(math.radians(50)))
    assert points.colorbar.ax.get_ylabel() == "MAE (mph)"


def test_difference_figure_is_centered_at_zero_and_counts_nodes(example):
    task, models, forecasts = example
    ours, theirs = (
        np.mean([np.nanmean(errors_by_loop(task, model), (0, 1)) for model in models[label]], 0) for label in models
    )
    found = difference(forecasts, "GCRN", "LSTM")
    assert found.numpy() == pytest.approx(theirs - ours, rel=1e-4, abs=1e-6)
    figure = difference_figure(forecasts, "GCRN", "LSTM", ahead=2)
    points = figure.axes[0].collections[1]
    bounds = points.norm.boundaries
    assert bounds == pytest.approx(-bounds[::-1]) and 0 in bounds
    better = int((difference(forecasts, "GCRN", "LSTM", 2) < 0).sum())
    title = f"town: GCRN compared with LSTM, 2 hours ahead\nGCRN has a smaller error at {better} of 5 nodes"
    assert figure.get_suptitle() == title


def test_draw_difference_tones_are_symmetric_about_zero(example):
    _, _, forecasts = example
    truth = torch.zeros(4, HORIZON, 60, 1)
    far = truth + torch.linspace(0, 1, 60)[:, None]
    far[:, :, -1] = 50
    names = tuple(map(str, range(60)))
    some = replace(forecasts, truth=truth, mask=None, models={"LSTM": [truth + 0.5], "GCRN": [far]}, nodes=names,
                   positions=torch.rand(60, 2), times=None)  # fmt: skip
    drawn = panel()
    draw_difference(drawn, some, "GCRN", "LSTM")
    points = drawn.collections[1]
    bounds = points.norm.boundaries
    assert points.norm.extend == "both" and bounds == pytest.approx(-bounds[::-1])
    middles = (bounds[1:] + bounds[:-1]) / 2
    inside, last = points.norm(middles), points.cmap.N - 1
    assert np.abs(inside + inside[::-1] - last).max() <= 1 and list(points.norm([-99, 99])) == [-1, last + 1]


def test_draw_graph_narrow_has_bar_below_and_names_extremes(example):
    _, _, forecasts = example
    long = replace(forecasts, nodes=tuple(f"{node} " + "x" * 99 for node in NODES))
    error = forecasts.by_node("LSTM").mean(0)
    ends = [int(error.argmin()), int(error.argmax())]
    drawn = panel()
    draw_graph(drawn, long, "LSTM", narrow=True)
    assert [text.get_text() for text in drawn.texts] == [f"{NODES[node]} {'x' * 99}"[:25] + "…" for node in ends]
    ring = drawn.collections[2]
    assert ring.get_offsets().tolist() == [town_graph().positions[node].tolist() for node in ends]
    bar = drawn.collections[1].colorbar
    assert bar.orientation == "horizontal" and bar.ax.get_xlabel() == "MAE (mph)" and 2 <= len(bar.get_ticks()) <= 6
    drawn = panel()
    draw_difference(drawn, forecasts, "LSTM", "GCRN", narrow=True)
    bar = drawn.collections[1].colorbar
    assert bar.ax.get_xlabel() == "difference in MAE (mph)" and 0 in bar.get_ticks()


def test_draw_graph_unobserved_node_is_hollow(example):
    _, _, forecasts = example
    mask = forecasts.mask.clone()
    mask[:, :, 3] = False
    drawn = panel()
    draw_graph(drawn, replace(forecasts, mask=mask), "LSTM")
    hollow, points = drawn.collections[:2]
    assert hollow.get_offsets().tolist() == [[-1.0, 50.0]] and len(points.get_offsets()) == 4


def test_layout_without_positions_is_a_spring_layout(example):
    _, _, forecasts = example
    lost = replace(forecasts, positions=None)
    places, said = layout(lost)
    assert places.shape == (5, 2) and torch.equal(places, layout(lost)[0]) and "spring layout" in said
    assert graph_figure(lost, "persistence").get_supxlabel() == said
    assert graph_figure(lost, "persistence").axes[0].get_aspect() == 1
