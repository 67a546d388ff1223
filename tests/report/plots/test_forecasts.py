"""The figures of forecasts: what is drawn is what numpy finds, computed another way."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.dates import num2date

from seqgnn.analysis.forecast_errors import calendar_groups
from seqgnn.data.times import TimeAxis, parse_times
from seqgnn.report.plots.error_maps import (
    difference_figure,
    graph_figure,
)
from seqgnn.report.plots.forecasts import (
    draw_steps,
    draw_times,
    draw_truth,
    liveliest,
    quartiles,
    spread,
    steps_figure,
    style_of,
    times_figure,
    truth_figure,
)
from seqgnn.report.plots.style import GRAY, STYLES, save
from tests.support.forecasts import (
    HORIZON,
    LAGS,
    NODES,
    errors_by_loop,
    panel,
    town_graph,
)

YEARS = TimeAxis(parse_times("test", ["2010-01-01", "2011-01-01", "2012-01-01"])).calendar


def colors_of(label, forecasts):
    return style_of(label, forecasts)[0]


def line_of(drawn, color):
    (found,) = [line for line in drawn.lines if to_hex(line.get_color()) == color.lower()]
    return np.asarray(found.get_ydata(), dtype=float)


def test_draw_steps_draws_means_over_seeds_with_their_range(example):
    task, models, forecasts = example
    drawn = panel()
    draw_steps(drawn, forecasts)
    of_seeds = np.stack([np.nanmean(errors_by_loop(task, model), (0, 2)) for model in models["LSTM"]])
    assert line_of(drawn, STYLES["LSTM"][0]) == pytest.approx(of_seeds.mean(0), rel=1e-5)
    band = drawn.collections[0].get_paths()[0].vertices
    for step in range(HORIZON):
        here = band[band[:, 0] == step + 1][:, 1]
        assert (here.min(), here.max()) == pytest.approx((of_seeds[:, step].min(), of_seeds[:, step].max()), rel=1e-5)
    assert line_of(drawn, GRAY) == pytest.approx(forecasts.by_step("persistence")[0].numpy())
    assert drawn.get_ylabel() == "MAE (mph)" and drawn.get_xlabel() == "steps ahead, each of one hour"
    assert [text.get_text() for text in drawn.texts] == ["persistence"]


def test_draw_times_leaves_out_unobserved_hours(example):
    _, _, forecasts = example
    few = replace(
        forecasts, mask=forecasts.mask & torch.from_numpy(calendar_groups(forecasts)[2] != 5)[..., None, None]
    )
    drawn = panel()
    draw_times(drawn, few)
    assert np.flatnonzero(np.isnan(line_of(drawn, STYLES["LSTM"][0]))).tolist() == [5]
    assert [tick.get_text() for tick in drawn.get_xticklabels()] == ["0", "3", "6", "9", "12", "15", "18", "21"]


def test_draw_steps_of_one_step_draws_marks_and_far_baseline(example):
    _, _, forecasts = example
    one = replace(forecasts, truth=forecasts.truth[:, :1] * 0, mask=None,
                  models={"LSTM": [torch.full_like(forecasts.truth[:, :1], value) for value in (1.0, 3.0)],
                          "GCRN": [torch.full_like(forecasts.truth[:, :1], 2.5)]},
                  baselines={"mean": torch.full_like(forecasts.truth[:, :1], 3.5),
                             "persistence": torch.full_like(forecasts.truth[:, :1], 100.0)})  # fmt: skip
    drawn = panel()
    draw_steps(drawn, one)
    assert line_of(drawn, STYLES["LSTM"][0]) == [2.0] and line_of(drawn, colors_of("GCRN", one)) == [2.5]
    assert [list(part[:, 1]) for part in drawn.collections[0].get_segments()] == [[1.0, 3.0]]
    assert [text.get_text() for text in drawn.texts] == ["mean", "persistence ↑ 100"]
    assert drawn.get_ylim() == pytest.approx((1 - 0.15, 3.5 + 0.15))


def test_draw_truth_draws_forecasts_at_their_target_times(example):
    task, _, forecasts = example
    drawn = panel()
    draw_truth(drawn, forecasts, "south", ahead=2, stretch=range(3, 13))
    first = task.test_windows.starts[3] + LAGS + 1
    graph = town_graph()
    truth = np.where(graph.mask[first : first + 10, 2, 0], graph.signal[first : first + 10, 2, 0], np.nan)
    assert line_of(drawn, "#000000") == pytest.approx(truth, rel=1e-5, nan_ok=True)
    said = [seed[3:13, 1, 2, 0].numpy() for seed in forecasts.of("GCRN")]
    color = colors_of("GCRN", forecasts)
    assert line_of(drawn, color) == pytest.approx(np.mean(said, 0), rel=1e-5)
    times = [num2date(x).replace(tzinfo=None) for x in drawn.lines[0].get_xdata(orig=False)]
    assert times == list(graph.timestamps[first : first + 10].astype("datetime64[s]").astype(object))
    bare = replace(forecasts, times=None, calendar=None, units=None)
    drawn = panel()
    draw_truth(drawn, bare, "south", ahead=2, stretch=range(3, 13))
    assert list(drawn.lines[0].get_xdata()) == list(range(first, first + 10))
    assert (drawn.get_xlabel(), drawn.get_ylabel()) == ("step", "value")


def test_quartiles_are_nodes_at_quartiles_of_errors(example):
    task, models, forecasts = example
    of_all = [np.nanmean(errors_by_loop(task, model)[:, 0], 0) for seeds in models.values() for model in seeds]
    order = np.argsort(np.mean(of_all, 0))
    expected = {NODES[order[1]]: "lower quartile", NODES[order[2]]: "median", NODES[order[3]]: "upper quartile"}
    assert quartiles(forecasts) == expected
    titles = [drawn.get_title(loc="left") for drawn in truth_figure(forecasts).axes]
    assert titles == [f"node {node}, the {which} of errors" for node, which in expected.items()]
    few = replace(forecasts, nodes=NODES[:3])
    assert quartiles(few) == dict.fromkeys(NODES[:3], "")


def test_liveliest_stretch_is_where_the_truth_changes_most(example):
    _, _, forecasts = example
    truth = torch.zeros(40, HORIZON, 5, 1)
    truth[20:30, 0, 1, 0] = torch.tensor([1.0, -1.0] * 5)
    still = replace(forecasts, truth=truth, mask=None)
    assert liveliest(still, ["east"], most=12) == range(19, 31)  # with the steps to it and from it
    assert liveliest(still, ["west"], most=12) == range(12)
    assert liveliest(still, ["east"]) == range(40)


def test_figures_saved_twice_have_identical_files(example, tmp_path: Path):
    _, _, forecasts = example
    makers = {
        "truth": truth_figure,
        "steps": steps_figure,
        "times": times_figure,
        "graph": lambda forecasts: graph_figure(replace(forecasts, positions=None), "LSTM"),
        "difference": lambda forecasts: difference_figure(forecasts, "LSTM", "GCRN"),
    }
    for name, make in makers.items():
        first, second = (save(make(forecasts), tmp_path / f"{name}-{i}") for i in (0, 1))
        assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_look_of_models_is_neither_black_nor_gray(example):
    _, _, forecasts = example
    many = replace(forecasts, models=dict.fromkeys(["GCRN", "DCRNN", "TGCN", "LSTM"], forecasts.of("LSTM")))
    found = [style_of(label, many)[0] for label in many.models]
    assert len(set(found)) == 4 and not {"#000000", "#999999", GRAY} & set(found)


def test_spread_separates_labels_within_bounds():
    assert spread([1.0, 1.0, 1.0], 1.0, 0.0, 9.0) == [0.0, 1.0, 2.0]
    assert spread([9.0, 9.0], 1.0, 0.0, 9.0) == [8.0, 9.0]
    assert spread([], 1.0, 0.0, 9.0) == []
    assert spread([4.0, 4.5, 5.6], 1.0, 0.0, 9.0) == pytest.approx([3.7, 4.7, 5.7])


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda f: truth_figure(f, ["nort"]), "expected the name of one of 5 nodes, got 'nort'; did you mean 'north'?"),
        (lambda f: truth_figure(f, ["?"]), "got '.'; the first is 'north'"),
        (lambda f: truth_figure(f, []), "expected at least one node"),
        (lambda f: truth_figure(f, ahead=4), "expected a step ahead from 1 to 3, got 4"),
        (lambda f: truth_figure(f, ahead=0), "the step ahead to be an integer of at least 1, got 0"),
        (lambda f: truth_figure(f, target=1), "expected a target from 0 to 0, got 1"),
        (lambda f: truth_figure(f, stretch=range(30, 90)), "consecutive windows of 34, got range"),
        (lambda f: truth_figure(f, stretch=range(0, 30, 2)), "at least two consecutive windows"),
        (lambda f: truth_figure(f, stretch=range(3, 4)), "at least two consecutive windows"),
        (lambda f: truth_figure(replace(f, mask=f.mask & False)), "observed at step 1 ahead, got none"),
        (lambda f: times_figure(replace(f, times=None)), "expected timestamps for errors by hour, day or month"),
        (lambda f: times_figure(replace(f, calendar=YEARS)), "expected several steps a year for errors by month"),
        (lambda f: graph_figure(f, "lstm"), "label to be one of 'LSTM', 'GCRN', 'persistence', got 'lstm'"),
        (lambda f: graph_figure(f, "LSTM", ahead=9), "expected a step ahead from 1 to 3, got 9"),
        (lambda f: graph_figure(replace(f, mask=f.mask & False), "LSTM"), "expected a node that was observed"),
        (lambda f: difference_figure(f, "LSTM", "LSTM"), "expected two labels to compare, got 'LSTM' twice"),
    ],
)
def test_figures_invalid_arguments_raise_value_error(example, draw, message):
    with pytest.raises(ValueError, match=f"forecasts: .*{message}".replace("?", r"\?")):
        draw(example[2])
