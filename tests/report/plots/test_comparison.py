"""The figures: what lines and marks stand where."""

import math
from dataclasses import replace

import pytest

from seqgnn.experiments import ModelSpec
from seqgnn.report.plots.comparison import (
    curves_figure,
    draw_curves,
    draw_solved,
    running_mean,
    scores_figure,
    style_of,
)
from seqgnn.report.plots.style import STYLES
from tests.support.comparisons import example, run, run_grid


def panel():
    from matplotlib.figure import Figure

    return Figure().subplots()


def test_scores_figure_draws_means_spreads_and_chance():
    figure = scores_figure(example())
    panel = figure.axes[0]
    lines = [line.get_ydata() for line in panel.lines]
    assert any(list(y) == [0.75, 0.75] for y in lines)
    assert any(list(y) == [0.25, 0.25] for y in lines)
    assert any(list(y) == [0.1, 0.1] for y in lines)
    spreads = [segment for collection in panel.collections for segment in collection.get_segments()]
    # 0.75 - 0.354 and no more than 1
    assert any(list(segment[:, 1]) == pytest.approx([0.75 - math.sqrt(0.125), 1.0]) for segment in spreads)
    assert any(sorted(y) == [0.5, 1.0] for y in lines)  # the seeds themselves
    assert [tick.get_text() for tick in panel.get_xticklabels()] == ["4", "20"]


def test_curves_figure_draws_a_running_mean_of_21_for_each_seed():
    panels = curves_figure(example()).axes
    assert len(panels) == 2
    curves = [list(line.get_ydata()) for line in panels[0].lines]
    assert running_mean([step / 30 for step in range(30)]) in curves
    assert running_mean([step / 50 for step in range(50)]) in curves


def test_style_of_model_is_the_same_in_every_comparison():
    rows = ["lstm", *(ModelSpec(f"mine {i}", "rnn", lr=0.001 * i) for i in (1, 2))]
    comparison = run_grid("recall", models=rows, sizes=[3], seeds=[0], steps=1, hidden=4, progress=False)
    alone = replace(comparison, labels=("LSTM",))
    assert style_of("LSTM", comparison) == style_of("LSTM", alone)
    styles = [style_of(label, comparison) for label in comparison.labels]
    assert len(set(styles)) == 3
    recipes = replace(comparison, labels=("LSTM", "LSTM, chrono", "LSTM, forget bias 1"))
    chrono, bias = (style_of(label, recipes) for label in recipes.labels[1:])
    assert chrono[0] == bias[0] == styles[0][0] and len({chrono, bias, styles[0]}) == 3
    assert scores_figure(comparison).axes and curves_figure(comparison).axes
    hybrid = replace(comparison, labels=("GCN, then LSTM, chrono", "GCN, deep"))
    then, deep = (style_of(label, hybrid) for label in hybrid.labels)
    assert then[0] == STYLES["GCN, then LSTM"][0] and deep[0] == STYLES["GCN"][0]


def test_draw_curves_marks_the_best_step_with_a_dot():
    drawn = panel()
    draw_curves(drawn, example(), 4)
    curve = running_mean([step / 50 for step in range(50)])  # of the run whose best step is 40
    dots = [(line.get_xdata()[0], line.get_ydata()[0]) for line in drawn.lines if line.get_marker() == "o"]
    assert (40, curve[39]) in dots and len(dots) == 3
    assert drawn.get_xlim() == pytest.approx((10, 60))


def test_draw_solved_marks_means_and_is_hollow_if_some_failed():
    comparison = example((4, 8, 16))

    def looks(*accuracies):
        return [(50 * place, accuracy) for place, accuracy in enumerate(accuracies, start=1)]

    comparison.runs["LSTM", 4, 0] = run(1.0, validation=looks(0.9, 1.0))
    comparison.runs["LSTM", 4, 1] = run(1.0, seed=1, validation=looks(0.5, 0.9, 0.9, 0.995))
    comparison.runs["LSTM", 8, 0] = run(1.0, validation=looks(0.9, 0.9, 0.9, 0.9, 1.0))
    comparison.runs["LSTM", 8, 1] = run(1.0, seed=1, validation=looks(0.9))
    drawn = panel()
    draw_solved(drawn, comparison)
    marks = {line.get_ydata()[0]: line.get_markerfacecolor() for line in drawn.lines if line.get_marker() == "s"}
    assert marks == {150: STYLES["LSTM"][0], 250: "white"}
    assert [list(line.get_ydata()) for line in drawn.lines if line.get_marker() == "_"] == [[100, 200], [250]]
    assert next(list(line.get_ydata()) for line in drawn.lines if line.get_linestyle() == "-") == [150, 250]


def test_scores_figure_shortens_long_labels():
    comparison = replace(example((4,)), labels=("LSTM", "a" * 80))
    comparison.runs["a" * 80, 4, 0] = run(0.5)
    (drawn,) = scores_figure(comparison).axes
    assert [tick.get_text() for tick in drawn.get_yticklabels()][:2] == ["LSTM", "a" * 25 + "…"]


def test_running_mean_is_centered_and_shrinks_at_the_ends():
    values = [float(i % 7) for i in range(60)]
    smooth = running_mean(values)
    assert len(smooth) == 60
    assert smooth[30] == pytest.approx(sum(values[20:41]) / 21)
    assert smooth[0] == pytest.approx(sum(values[:11]) / 11)
    assert smooth[-1] == pytest.approx(sum(values[-11:]) / 11)
    assert running_mean([], 21) == []
    with pytest.raises(ValueError, match="odd width"):
        running_mean(values, 20)
