"""The scores by model: every mark is at its value, in a row of its own."""

import itertools
import math
from dataclasses import replace

import pytest

from seqgnn.experiments.results.verdict import finding
from seqgnn.report.plots.scores import draw_scores, draw_solved, legend, rows, scores_figure, solved_title
from seqgnn.report.plots.style import GRAY, STYLES
from seqgnn.training.loop import ValidationPoint
from tests.support.comparisons import baseline, changed, example, grid, run


def panel():
    from matplotlib.figure import Figure

    return Figure().subplots()


def drawn_scores(comparison, size):
    drawn = panel()
    draw_scores(drawn, comparison, size)
    return drawn


def marks(drawn):
    """The x and y of the marks, by the name of their row."""
    names = dict(zip(drawn.get_yticks(), [tick.get_text() for tick in drawn.get_yticklabels()]))
    places = [(line.get_ydata()[0], line) for line in drawn.lines if line.get_marker() not in ("None", "|")]
    return {names[y]: (line.get_xdata()[0], y, line.get_marker()) for y, line in places}


def test_draw_scores_puts_means_seeds_and_spreads_at_their_values():
    drawn = drawn_scores(example(), 4)
    assert marks(drawn) == {"LSTM": (0.75, 0.0, "s"), "GCN": (0.25, 1.0, "D")}
    seeds = [list(line.get_xdata()) for line in drawn.lines if line.get_marker() == "|" and len(line.get_xdata()) > 1]
    assert seeds == [[0.5, 1.0]]
    bars = [
        list(line.get_xdata()) for line in drawn.lines if line.get_color() == "#D55E00" and line.get_linestyle() == "-"
    ]
    assert bars == [pytest.approx([0.75 - math.sqrt(0.125), 1.0])]  # no more than 1
    assert drawn.get_xlim() == (0.0, 1.0)


def test_draw_scores_of_equal_scores_leaves_no_mark_hidden_or_moved():
    drawn = drawn_scores(grid({"RNN": [1.0, 1.0], "LSTM": [1.0, 1.0], "GRU": [1.0, 1.0]}), 5)
    assert [x for x, _, _ in marks(drawn).values()] == [1.0] * 3
    assert len({y for _, y, _ in marks(drawn).values()}) == 3 == len({marker for *_, marker in marks(drawn).values()})


def test_draw_scores_names_baselines_at_their_lines():
    drawn = drawn_scores(example(), 4)
    names = {tick.get_text(): y for y, tick in zip(drawn.get_yticks(), drawn.get_yticklabels())}
    lines = {
        line.get_ydata()[1]: line.get_xdata()[0] for line in drawn.lines if line.get_linestyle() not in ("-", "None")
    }
    assert lines == {names["bigram"]: 0.2, names["chance"]: 0.1}
    texts = {text.xy[1]: text.get_text() for text in drawn.texts}
    assert texts[names["bigram"]] == "0.200" and texts[names["LSTM"]] == "0.750"


@pytest.mark.parametrize("far, outside", [(2.5, False), (2.51, True)])
def test_draw_scores_names_a_baseline_outside_the_axis(far, outside):
    """An error up to 1.25 times the largest of a model is inside; the number is there in any case."""
    drawn = drawn_scores(grid({"LSTM": [1.0], "GCN": [2.0]}, {"chance": far, "bigram": 1.5}, "text", metric="loss"), 5)
    texts = [text.get_text() for text in drawn.texts]
    assert ("outside →" in texts) == outside and f"{far:.3f}" in texts
    low, high = drawn.get_xlim()
    assert low < 1.0 and (high < far) == outside
    assert all(low <= x <= high for line in drawn.lines if line.get_marker() != "None" for x in line.get_xdata())


def test_draw_scores_of_better_baseline_keeps_it_inside():
    drawn = drawn_scores(grid({"LSTM": [4.0]}, {"persistence": 0.5}, "text", metric="loss"), 5)
    assert drawn.get_xlim()[0] < 0.5 and "← outside" not in [text.get_text() for text in drawn.texts]


def test_rows_are_best_first_with_uncompared_models_and_baselines_after():
    scores = {"RNN": [0.2], "GCN, mean readout": [1.0], "LSTM": [0.9]}
    comparison = grid(scores, {"chance": 0.1, "linear": 1.0, "majority": 0.2}, readouts={"GCN, mean readout": "mean"})
    found = rows(comparison)
    assert [row.name for row in found] == ["LSTM", "RNN", "GCN, mean readout", "linear", "majority", "chance"]
    assert [row.is_compared for row in found] == [True, True, False, False, True, True]
    gaps = [below.place - above.place > 1 for above, below in itertools.pairwise(found)]
    assert gaps == [False, True, True, False, False]
    losses = rows(grid({"RNN": [2.0], "LSTM": [1.0]}, task="text", metric="loss"))
    assert [row.name for row in losses] == ["LSTM", "RNN"]


def test_draw_scores_says_which_runs_failed():
    comparison = example((4, 20))
    del comparison.runs["GCN", 4, 0]
    assert "failed" in [text.get_text() for text in drawn_scores(comparison, 4).texts]
    comparison.failures.clear()
    assert "no run" in [text.get_text() for text in drawn_scores(comparison, 4).texts]


def test_scores_figure_has_a_panel_per_size_with_its_finding():
    comparison = example((4, 8, 16, 20))
    figure = scores_figure(comparison)
    titles = [" ".join(panel.get_title("left").split()) for panel in figure.axes]
    assert titles == [finding(comparison, size) for size in (4, 8, 16, 20)]
    assert len({panel.get_position().y0 for panel in figure.axes}) == 2
    named = replace(example((4,)), labels=("costs $5",))
    named.runs["costs $5", 4, 0] = run(1.0, stopped="solved")
    (drawn,) = scores_figure(named).axes
    assert drawn.get_title("left") == r"costs \$5 solves T = 4"


def test_solved_title_names_the_fastest_of_the_compared_models():
    def solved(**steps):
        comparison = grid({name: [1.0] for name in steps}, readouts={"GCNmean": "mean"})
        for name, step in steps.items():
            points = (ValidationPoint(step, 0.0, 1.0),)
            comparison.runs[name, 5, 0] = changed(comparison.runs[name, 5, 0], validation=points)
        return solved_title(comparison, 5)

    assert solved(LSTM=100, GCN=50, RNN=200, GCNmean=20) == "GCN solves T = 5 in the fewest steps: 50"
    assert solved(LSTM=50, GCN=50, RNN=200) == "LSTM and GCN solve T = 5 in the fewest steps: 50"
    assert solved(LSTM=50, GCN=50) == solved(LSTM=50) == "Steps until solved at T = 5"


def test_scores_figure_shortens_long_labels():
    comparison = replace(example((4,)), labels=("LSTM", "a" * 80))
    comparison.runs["a" * 80, 4, 0] = run(0.5)
    (drawn,) = scores_figure(comparison).axes
    assert [tick.get_text() for tick in drawn.get_yticklabels()][:2] == ["LSTM", "a" * 33 + "…"]
    drawn = drawn_scores(comparison, 4)
    assert drawn.get_yticklabels()[1].get_text() == "a" * 23 + "…"


def test_scores_figure_explains_only_what_it_draws():
    alone, all_parts = grid({"RNN": [0.5]}), grid({"RNN": [0.5] * 2, "GCN": [1.0] * 2}, {"chance": 0.1},
                                                  readouts={"GCN": "mean"})  # fmt: skip
    assert legend(alone) == "marks: means"
    shown = "marks: means; dashes: seeds, bars: one standard deviation; gray: baselines; *: not compared"
    assert legend(all_parts) == shown == scores_figure(all_parts).get_supxlabel()


def test_draw_scores_of_infinite_baseline_writes_so():
    comparison = grid({"LSTM": [1.0]}, {"chance": 1.0}, "text", metric="loss")
    comparison.baselines["chance", 5] = baseline(1.0, None)
    assert "not finite" in [text.get_text() for text in drawn_scores(comparison, 5).texts]


def test_draw_solved_marks_means_and_is_hollow_if_some_failed():
    comparison = example((4, 8))

    def looks(*accuracies):
        return [(50 * place, accuracy) for place, accuracy in enumerate(accuracies, start=1)]

    comparison.runs["LSTM", 4, 0] = run(1.0, validation=looks(0.9, 1.0))
    comparison.runs["LSTM", 4, 1] = run(1.0, seed=1, validation=looks(0.5, 0.9, 0.9, 0.995))
    comparison.runs["LSTM", 8, 0] = run(1.0, validation=looks(0.9, 0.9, 0.9, 0.9, 1.0))
    comparison.runs["LSTM", 8, 1] = run(1.0, seed=1, validation=looks(0.9))
    for size, mean, face, seeds in ((4, 150, STYLES["LSTM"][0], [100, 200]), (8, 250, "#ffffff", [250])):
        drawn = panel()
        draw_solved(drawn, comparison, size)
        (mark,) = [line for line in drawn.lines if line.get_marker() == "s"]
        assert list(mark.get_xdata()) == [mean] and mark.get_markerfacecolor() == face
        assert [list(line.get_xdata()) for line in drawn.lines if line.get_marker() == "|"] == [seeds]
        assert [text.get_text() for text in drawn.texts] == [str(mean), "–", "not in 30 steps"]
        assert drawn.texts[2].get_color() == GRAY
