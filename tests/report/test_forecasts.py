"""Figures of the forecasts of a comparison: which models they compare."""

from seqgnn.report import forecasts as report


def test_sides_are_best_models_with_and_without_neighbors(stored_forecasts, monkeypatch):
    comparison, source = stored_forecasts
    assert {label for label in comparison.labels if report.sees_neighbors(comparison, label)} == {"Told", "GCRN"}
    found = report.forecasts_of(comparison, source)
    label, other = report.compared_pair(comparison, found)
    order = list(found.models)
    assert label == next(name for name in order if name in ("Told", "GCRN"))
    assert other == next(name for name in order if name in ("LSTM", "GRU"))
    monkeypatch.setattr(report, "MOST", 2)
    few = report.forecasts_of(comparison, source)
    assert next(iter(few.models)) == order[0] and set(few.models) == {label, other}
    alike = dict.fromkeys(["LSTM", "GRU"])
    assert report.compared_pair(comparison, type("Found", (), {"models": alike})) == ("LSTM", "GRU")
    assert report.compared_pair(comparison, type("Found", (), {"models": {"LSTM": None}})) is None
