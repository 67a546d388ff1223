"""The table of a comparison, by hand."""

import math
from dataclasses import replace

import pytest

from seqgnn.experiments import Comparison
from seqgnn.metrics.significance import sampling_error, summary
from tests.support.comparisons import baseline, changed, example, run
from tests.support.comparisons import run as record_of


def test_comparison_rows_list_models_then_baselines_of_each_size():
    rows = example().rows()
    assert [(row.size, row.model, row.kind) for row in rows] == [
        (size, *row) for size in (4, 20)
        for row in (("LSTM", "model"), ("GCN", "model"), ("chance", "baseline"), ("bigram", "baseline"))
    ]  # fmt: skip
    lstm, gcn, chance, _ = rows[:4]
    assert lstm.scores["accuracy"] == summary([0.5, 1.0]) and lstm.mean("accuracy") == 0.75
    assert lstm.sd("accuracy") == math.sqrt(0.125) and lstm.accuracy_se == sampling_error(0.75, 10)
    assert (lstm.seeds, lstm.solved, lstm.failed, lstm.steps, lstm.seconds) == (2, 1, 0, 40, 2.0)
    assert (gcn.seeds, gcn.failed, gcn.parameters, gcn.receptive_field) == (1, 1, 250, 4)
    assert math.isnan(gcn.sd("accuracy")) and gcn.scores["accuracy"].t is None
    assert (chance.mean("accuracy"), chance.sd("accuracy"), chance.seeds, chance.steps) == (0.1, None, 1, None)


def test_comparison_metric_without_a_finite_value_is_none():
    comparison = example(sizes=(4,))
    record = comparison.runs["LSTM", 4, 1]
    scores = replace(record.result.test, values={"accuracy": 1.0, "loss": None})
    comparison.runs["LSTM", 4, 1] = changed(record, test=scores)
    row = comparison.rows()[0]
    assert row.mean("accuracy") == 0.75 and row.mean("loss") is None
    assert row.as_dict()["loss"] is None and row.as_dict()["loss_bootstrap_high"] is None


def test_comparison_solved_at_is_the_first_step_at_the_target():
    comparison = example(sizes=(4,))
    points = [(10, 0.9), (20, 0.995), (30, 1.0)]
    comparison.runs["LSTM", 4, 0] = changed(run(1.0, validation=points), validation_seconds=(1.0, 2.5, 3.0))
    comparison.runs["LSTM", 4, 1] = run(1.0, seed=1, validation=points[:1])
    assert comparison.solved_at("LSTM", 4) == [(20, 2.5), None]
    row = comparison.rows()[0]
    assert (row.solved_steps, row.solved_seconds) == (20, 2.5)
    comparison.runs["LSTM", 4, 0] = changed(comparison.runs["LSTM", 4, 0], target_accuracy=None)
    assert comparison.solved_at("LSTM", 4) == [None, None]


def test_comparison_in_order_sorts_known_models_first():
    comparison = example(sizes=(20, 4))
    shuffled = replace(
        comparison,
        labels=("mine", "GCN", "LSTM"),
        runs=dict(reversed(comparison.runs.items())) | {("mine", 4, 0): run(0.5)},
        baselines={("linear", 4): baseline(0.3, name="linear"), **comparison.baselines},
    )
    ordered = shuffled.in_order()
    assert ordered.labels == ("LSTM", "mine", "GCN") and ordered.sizes == (4, 20)
    assert [key[:2] for key in ordered.runs] == [
        ("LSTM", 4), ("LSTM", 4), ("mine", 4), ("GCN", 4), ("LSTM", 20), ("LSTM", 20), ("GCN", 20)
    ]  # fmt: skip
    assert [name for name, _ in ordered.baselines][:3] == ["chance", "linear", "bigram"]


def test_comparison_in_order_sorts_forecasters_as_their_specs():
    labels = ("A3TGCN", "DCRNN", "DCRNN, encoder", "GCRN", "LSTM", "Linear")
    comparison = Comparison("forecast", "mae", labels, (1,), (0,))
    assert comparison.in_order().labels == ("Linear", "LSTM", "GCRN", "DCRNN, encoder", "DCRNN", "A3TGCN")


@pytest.mark.parametrize("task, words", [("recall", "T = 4"), ("forecast", "horizon 4")])
def test_comparison_at_names_a_size_as_its_task_does(task, words):
    assert replace(example(), task=task).at(4) == words


def test_comparison_units_of_a_metric():
    forecast = replace(example(), task="forecast", metric="mae", units="cases")
    units = {name: forecast.units_of(name) for name in forecast.metrics}
    assert units == dict.fromkeys(("mape", "wape", "smape", "mase")) | {
        "mae": "cases",
        "rmse": "cases",
        "mse": "cases, squared",
    }
    assert replace(forecast, units=None).units_of("mae") is None and example().units_of("accuracy") is None


def test_comparison_differences_are_paired_by_seed():
    comparison = Comparison("recall", "accuracy", ("A", "B"), (4,), (0, 1, 2))
    scores = {"A": [0.9, 0.8, 1.0], "B": [0.5, 0.6, 0.7]}
    for label, values in scores.items():
        for seed, value in enumerate(values):
            record = record_of(value, seed=seed, validation=[(10, 0.5), (20, value)], count=10**9)
            comparison.runs[label, 4, seed] = changed(record, validation_seconds=(1.5, 2.5), target_accuracy=0.6)
    (pair,) = comparison.differences(4)
    assert (pair.mean, pair.interval[0]) == (pytest.approx(0.3), pytest.approx(0.3 - 0.2484, rel=1e-2))
    assert pair.p == pytest.approx(0.0351, abs=1e-4)  # t = 0.3 / (0.1 / √3) with two degrees of freedom
    assert str(pair).startswith("A and B: differ (+0.300, uncorrected 95% interval +0.05")
    assert comparison.solved_at("B", 4) == [None, (20, 2.5), (20, 2.5)]
    del comparison.runs["B", 4, 1]  # then seed 1 counts for neither
    assert comparison.differences(4)[0].mean == pytest.approx(0.35)
    del comparison.runs["B", 4, 2]
    one = comparison.differences(4)[0]  # of one pair, with the error of the test set
    assert one.seeds == 1 and one.mean == pytest.approx(0.4) and one.test_set
