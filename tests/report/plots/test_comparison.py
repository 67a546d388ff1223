"""Training curves: what lines and marks stand where."""

from dataclasses import replace

import pytest

from seqgnn.experiments import ModelSpec
from seqgnn.report.plots.comparison import (
    curve_rows,
    curves_figure,
    curves_title,
    draw_curves,
    row_id,
    running_mean,
    style_of,
)
from seqgnn.report.plots.scores import scores_figure
from seqgnn.report.plots.style import STYLES
from tests.support.comparisons import baseline, example, run_grid


def panel():
    from matplotlib.figure import Figure

    return Figure().subplots()


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


def test_draw_curves_marks_the_best_step_with_the_mark_of_the_model():
    drawn = panel()
    draw_curves(drawn, example(), 4)
    curve = running_mean([step / 50 for step in range(50)])  # of the run whose best step is 40
    marks = [(line.get_marker(), line.get_xdata()[0], line.get_ydata()[0]) for line in drawn.lines
             if line.get_marker() != "None"]  # fmt: skip
    assert ("s", 40, curve[39]) in marks and [marker for marker, *_ in marks] == ["s", "s", "D"]
    assert drawn.get_xlim() == pytest.approx((10, 60))


def test_draw_curves_labels_the_chance_level_of_its_own_size():
    comparison = example()
    comparison.baselines["chance", 20] = baseline(0.3)
    for size, level in ((4, 0.1), (20, 0.3)):
        drawn = panel()
        draw_curves(drawn, comparison, size)
        assert [list(line.get_ydata()) for line in drawn.lines if line.get_linestyle() == "--"] == [[level, level]]
        assert [(text.get_text(), text.xy[1]) for text in drawn.texts] == [("chance", level)]


def test_draw_curves_tags_lines_and_marks_with_their_run():
    drawn = panel()
    draw_curves(drawn, example(), 4)
    texts = {line.get_gid(): line.get_label() for line in drawn.lines if line.get_gid()}
    assert texts[row_id(example(), "LSTM", 4, "curve-1")] == "LSTM, T = 4, seed 1: 50 steps, weights of step 40"
    assert len(texts) == 2 * 3


def test_curve_rows_are_the_points_that_are_drawn():
    comparison, drawn = example(), panel()
    draw_curves(drawn, comparison, 4, most=20)
    rows = [row for row in curve_rows(comparison, most=20) if row["size"] == 4]
    (line,) = [line for line in drawn.lines if line.get_gid() == row_id(comparison, "LSTM", 4, "curve-1")]
    points = [(step, value) for step, value in zip(line.get_xdata(), line.get_ydata()) if step >= 10]
    found = [(row["step"], row["training_accuracy"]) for row in rows if (row["model"], row["seed"]) == ("LSTM", 1)]
    assert [step for step, _ in found] == [step for step, _ in points] and len(found) < 20
    assert [value for _, value in found] == pytest.approx([value for _, value in points], rel=1e-4)


def test_curves_title_is_the_finding_where_models_solve_or_stay_at_chance():
    comparison = example()
    assert curves_title(replace(comparison, metric="loss"), 4) == "Training loss (nats) at T = 4"
    assert curves_title(comparison, 4).endswith("; GCN stays at chance")


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
