"""The page of forecasters: maps of errors, and what they say to those who do not see them."""

import re
from dataclasses import replace

import numpy as np
import pytest

from seqgnn.experiments.results.load import load_comparisons
from seqgnn.experiments.trained.forecast import forecast_test, load_forecaster, load_record
from seqgnn.report.html.forecasts import _truth, forecasts_page_figures
from seqgnn.report.html.page import render
from seqgnn.report.html.summary import question
from seqgnn.report.html.tables import differences, files, scores, windows
from tests.support.forecasts import collected


def errors(comparison, source, label):
    """The mean absolute error at each node, means over seeds, from what `seqgnn forecast` says of the test part."""
    graph, found = source.load(), []
    for (name, _, _), path in comparison.weights.items():
        if name != label:
            continue
        values, starts, _ = forecast_test(*load_forecaster(path), graph)
        values = values.squeeze(-1).transpose(0, 1).numpy()
        truth = np.stack([graph.signal[start : start + 2, :, 0].numpy() for start in starts])
        seen = np.stack([graph.mask[start : start + 2, :, 0].numpy() for start in starts])
        found.append((np.abs(values - truth) * seen).sum((0, 1)) / np.maximum(seen.sum((0, 1)), 1))
    return np.where(seen.any((0, 1)), np.mean(found, 0), np.nan)


def test_forecasts_page_figures_captions_state_their_numbers(stored_forecasts):
    comparison, source = stored_forecasts
    pictures, why = forecasts_page_figures(comparison, "a")
    assert why == ""
    errs, helps = pictures[-2:]
    best = re.fullmatch("Error of (.*) at each node", errs.title)[1]
    found = errors(comparison, source, best)
    low, high = "abc"[np.nanargmin(found)], "abc"[np.nanargmax(found)]
    said = f"largest at node {high}, {np.nanmax(found):.3f}; smallest at node {low}, {np.nanmin(found):.3f}."
    assert said in errs.caption and errs.caption.endswith("Hollow nodes were not observed.")
    label, other = re.fullmatch("Where the graph helps: (.*) compared with (.*)", helps.title).groups()
    less = errors(comparison, source, label) - errors(comparison, source, other)
    assert f"helps at {(less < 0).sum()} of 2 nodes (below zero): {label} uses it, {other} does not." in helps.caption
    ends = [f"{value:+.3f} at node {'abc'[node]}".replace("-", "−") for node, value in
            ((np.nanargmin(less), np.nanmin(less)), (np.nanargmax(less), np.nanmax(less)))]  # fmt: skip
    assert f"ranges from {ends[0]} to {ends[1]}." in helps.caption
    for drawn in (errs, helps):
        assert drawn.caption in drawn.svg and "spring layout" in drawn.caption
        assert re.search("fill: #[0-9a-f]{6}", drawn.svg) and "var(--c-" not in drawn.svg


def test_forecasts_page_figures_units_are_shown_at_every_error(stored_forecasts):
    before, source = stored_forecasts
    (found,) = load_comparisons([before.out], data=[replace(source, units="cases")]).comparisons
    assert found.runs == before.runs and before.units is None and found.units == "cases"
    pictures, _ = forecasts_page_figures(found, "a")
    said = [picture.caption for picture in pictures if "ean absolute error" in picture.caption]
    assert len(said) == 4 and all("ean absolute error in cases" in caption for caption in said)
    assert sum("MAE (cases)" in picture.svg for picture in pictures) == 4
    assert "test MAE (cases), lower is better" in question(found)[1]
    named = [name for name, _ in scores(found).columns if "test" in name]
    relative = ["test MAPE", "test WAPE", "test sMAPE", "test MASE"]
    assert named == ["test MAE (cases)", "test RMSE (cases)", *relative]
    of_pairs = differences(found, 2), windows(found)
    assert all("difference (cases)" in dict(table.columns) for table in of_pairs)
    page = render([found])
    assert page.count("MAE (cases)") > 5 and "units of the data" not in page
    for picture in pictures:
        marks = {item.count("<path") for item, label in picture.legend if label in found.labels}
        kind = " ".join(picture.title.split()[:2])
        assert marks == {"Error by": {2}, "Error of": set(), "Where the": set()}.get(kind, {1})
    bare, _ = forecasts_page_figures(before, "a")
    assert sum("MAE (in units of the data)" in picture.svg for picture in bare) == 4
    assert [name for name, _ in scores(before).columns if "test" in name] == ["test MAE", "test RMSE", *relative]


def test_files_of_models_and_baselines_can_be_forecast_with(stored_forecasts):
    comparison, _ = stored_forecasts
    names = dict(files(comparison))
    assert {"GCRN, horizon 2", "persistence, horizon 2", "ar-graph, horizon 2"} <= set(names)
    for row, found in names.items():
        label = row.removesuffix(", horizon 2")
        for name in found:
            run = load_record(comparison.out / "runs" / name)
            baseline = getattr(run.config, "baseline", None)
            assert label == baseline if baseline else label in comparison.labels


@pytest.mark.parametrize("steps", [250, 360, 500, 620])
def test_truth_figure_of_some_days_has_few_ticks_without_warning(steps):
    _, _, forecasts = collected(seeds=1, steps=steps)  # the last fifth are 2 to 5 days
    assert _truth(forecasts, "north", "median", "a").title.startswith("Node north")  # warnings are errors
