"""Figures of the page."""

from dataclasses import replace

import pytest
import torch

from seqgnn.experiments.results.load import load_comparisons
from seqgnn.experiments.trained.gradient_study import Curve
from seqgnn.report.html import render
from seqgnn.report.html.figures import (
    column_figure,
    label_powers,
    scores_page_figures,
    solved_page_figures,
    study_page_figures,
)
from seqgnn.report.html.model_inspection import inspect_models
from seqgnn.report.plots.scores import panel_title
from seqgnn.training.loop import ValidationPoint
from tests.support.comparisons import changed
from tests.support.html_reader import Reader


def test_study_page_figures_legend_matches_the_drawn_lines(folder):
    comparison = load_comparisons([folder]).comparisons[0]
    seen = inspect_models(comparison)
    (short,) = study_page_figures(seen.influence, "a", comparison)
    assert all(item.count("<path") == 2 for item, _ in short.legend)  # a line and a marker
    curves = {"influence": [Curve("LSTM", torch.rand(1, 40) + 1)]}
    (far,) = study_page_figures(replace(seen.influence, panels=curves), "b", comparison)
    assert [item.count("<path") for item, _ in far.legend] == [1]


def test_study_page_figures_name_curves_of_zeros_that_are_not_drawn(folder):
    comparison = load_comparisons([folder]).comparisons[0]
    seen = inspect_models(comparison)
    curves = {"influence": [Curve("LSTM", torch.rand(1, 40) + 1), Curve("GCN", torch.zeros(1, 40))]}
    (figure,) = study_page_figures(replace(seen.influence, panels=curves), "a", comparison)
    assert [label for _, label in figure.legend] == ["LSTM"]
    assert figure.caption.endswith(" Zero everywhere, so not drawn: GCN.")


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([1e-5, 1e-2], ["10⁻⁵", "10⁻⁴", "10⁻³", "10⁻²"]),
        ([0.0021, 0.0079], [f"{digit}·10⁻³" for digit in range(3, 8)]),
        ([0.0011, 0.0079], ["2·10⁻³", "5·10⁻³"]),
        ([3.1, 4.4], ["3.2", "3.4", "3.6", "3.8", "4", "4.2", "4.4"]),
    ],
)
def test_label_powers_writes_plain_text_on_any_range(values, labels):
    figure, panel = column_figure()
    panel.set_yscale("log")
    panel.set_ylim(*values)
    label_powers(panel.yaxis)
    figure.canvas.draw()
    low, high = values
    shown = [label.get_text() for at, label in zip(panel.get_yticks(), panel.get_yticklabels()) if low <= at <= high]
    assert shown == labels
    assert not any(label.get_text() for label in panel.yaxis.get_minorticklabels())


def test_solved_page_figures_need_two_models_that_solved_a_length(folder):
    comparison = load_comparisons([folder]).comparisons[0]
    assert solved_page_figures(comparison, "a", "b") == []
    for label, step in (("LSTM", 2), ("GCN", 4)):
        assert solved_page_figures(comparison, "a", "b") == []
        points = (ValidationPoint(step, 1.0, 1.0),)
        comparison.runs[label, 4, 0] = changed(comparison.runs[label, 4, 0], validation=points)
    (drawn,) = solved_page_figures(comparison, "a", "b")
    assert drawn.title == "Steps until solved at T = 4"  # with one of two seeds each
    assert "LSTM: 2 steps at T = 4; GCN: 4 steps at T = 4." in drawn.svg and 'href="#b-row-1-4"' in drawn.svg
    assert "Steps until solved at T = 4" in Reader(render([comparison])).text


def test_scores_page_figures_explain_what_is_drawn(folder):
    comparison = load_comparisons([folder]).comparisons[0]
    wide, narrow = scores_page_figures(comparison, "a", "b")
    assert [figure.title for figure in narrow] == [panel_title(comparison, size) for size in (4, 6)]
    assert [figure.caption for figure in narrow] == ["", wide.caption]
    assert "Dashes are the seeds" in wide.caption and "* : " not in wide.caption
    alone, _ = scores_page_figures(replace(comparison, seeds=(0,)), "a", "b")
    assert "One seed, so no spread." in alone.caption
    assert scores_page_figures(replace(comparison, runs={}), "a", "b") == (None, [])
