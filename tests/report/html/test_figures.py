"""Figures of the page."""

from dataclasses import replace

import torch

from seqgnn.experiments.results.load import load_comparisons
from seqgnn.experiments.trained.gradient_study import Curve
from seqgnn.report.html import render
from seqgnn.report.html.figures import solved_page_figure, study_page_figures
from seqgnn.report.html.model_inspection import inspect_models
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


def test_solved_page_figure_needs_a_row_that_solved_two_lengths(folder):
    comparison = load_comparisons([folder]).comparisons[0]
    assert solved_page_figure(comparison, "a") is None
    for length, step in ((4, 2), (6, 4)):
        points = (ValidationPoint(step, 1.0, 1.0),)
        comparison.runs["LSTM", length, 0] = changed(comparison.runs["LSTM", length, 0], validation=points)
    drawn = solved_page_figure(comparison, "a")
    assert [label for _, label in drawn.legend] == ["LSTM"]
    assert "LSTM: 2 steps at T = 4, 4 steps at T = 6." in drawn.svg
    assert "Steps until solved against length" in Reader(render([comparison])).text
