"""Comparisons over test windows, and their sentences in the terminal and on the page."""

import json

import pytest

from seqgnn.cli import main as cli
from seqgnn.experiments import Comparison, ForecasterSpec
from seqgnn.experiments.results.load import load_comparisons
from seqgnn.experiments.results.window_differences import window_pairs
from seqgnn.experiments.runs.forecast_config import ForecastBaseline, ForecastRun
from seqgnn.experiments.runs.record import (
    BaselineRecord,
    BaselineResult,
    HeldOutScores,
    Measured,
    RunRecord,
    TrainingResult,
)
from seqgnn.experiments.runs.store import RunStore
from seqgnn.metrics.forecasting import WindowSums
from seqgnn.models.forecasters import NAMES, uses_neighbors
from seqgnn.report import tables as report
from seqgnn.report.footnotes import notes, windows_note
from seqgnn.report.html import render
from seqgnn.report.html.summary import answer
from seqgnn.tasks import Protocol
from seqgnn.training.config import TrainConfig
from tests.support.comparisons import changed, plan_grid

ROWS = {"LSTM": "lstm", "GRU": "gru", "GCRN": "gcrn"}


def record(errors, model="lstm", seed=0, lags=4, metric="mse"):
    mean = sum(errors) / (2 * len(errors))
    score = mean**0.5 if metric == "rmse" else mean
    config = ForecastRun(
        "forecast", "signal (0123)", model, 4, 1, 2, False, True, False, 0.0, Protocol(lags=lags), False, seed, "cpu",
        TrainConfig(),
    )  # fmt: skip
    windows = WindowSums(tuple(errors), (2,) * len(errors))
    scores = dict.fromkeys(("mae", "rmse", "mse", "mape", "loss"), score)
    result = TrainingResult(HeldOutScores(scores, 2 * len(errors), windows=windows), 1, 1, "steps", 10, (1.0,), ())
    return RunRecord(config, ForecasterSpec(model, model), result, Measured(1.0))


def comparison(errors, baselines, metric="mse"):
    """One step ahead; by label the sums of squares of each seed, window by window."""
    found = Comparison("forecast", metric, tuple(errors), (1,), tuple(range(len(next(iter(errors.values()))))))
    for label, seeds in errors.items():
        for seed, sums in enumerate(seeds):
            found.runs[label, 1, seed] = record(sums, ROWS[label], seed, metric=metric)
    for name, sums in baselines.items():
        scores = record(sums, metric=metric).result.test
        config = ForecastBaseline("forecast", "signal (0123)", name, Protocol(), False)
        found.baselines[name, 1] = BaselineRecord(config, BaselineResult(scores), Measured(1.0))
    return found


WEEKS = {
    "LSTM": [[4.0, 4.0, 4.0, 4.0], [4.0, 4.0, 4.0, 6.0]],
    "GRU": [[5.0, 5.0, 5.0, 5.0], [5.0, 5.0, 5.0, 5.0]],
    "GCRN": [[3.0, 3.0, 3.0, 7.0], [3.0, 3.0, 3.0, 5.0]],
}
MEANS = {"mean": [9.0, 9.0, 9.0, 9.0], "ar": [4.0, 4.0, 4.0, 8.0]}


def test_window_pairs_use_best_baseline_and_best_without_graph():
    pairs = window_pairs(comparison(WEEKS, MEANS), 1)
    named = [(pair.first, pair.second) for pair in pairs]
    assert named == [("LSTM", "ar"), ("GRU", "ar"), ("GCRN", "ar"), ("GCRN", "LSTM")]
    assert pairs[0].over_windows.mean == pytest.approx((16 + 18) / 2 / 8 - 20 / 8)
    assert pairs[2].over_windows.better == 4 and pairs[2].over_windows.p == 1 / 8
    assert pairs[3].over_windows.better == 3  # 3, 3, 3, 6 against 4, 4, 4, 5
    low, high = pairs[2].over_seeds
    assert (low + high) / 2 == pytest.approx(pairs[2].over_windows.mean)
    assert pairs[1].over_seeds == (0.0, 0.0) and pairs[1].figures[0] == "+0.000"
    # Over seeds 0 and -1/2, so -1/4 ± 12.706 * 1/4; of the signs of 1, 1, 1, 1 ten in sixteen add up to 2 or more.
    assert pairs[3].figures == ["-0.250", "-3.427 to +2.927", "–", "3 of 4", "0.625"]


def test_window_pairs_rmse_difference_equals_that_of_the_table():
    found = comparison(WEEKS, MEANS, metric="rmse")
    pair = window_pairs(found, 1)[3]
    means = {row.model: row.mean("rmse") for row in found.rows()}
    assert pair.over_windows.mean == pytest.approx(means["GCRN"] - means["LSTM"])
    assert pair.over_windows.mean == pytest.approx(sum(pair.over_seeds) / 2)


def test_window_pairs_without_baseline_or_errors_are_empty():
    alone = comparison({"GCRN": WEEKS["GCRN"]}, {})
    assert window_pairs(alone, 1) == [] and windows_note(alone, 1) is None
    one = comparison({"GCRN": WEEKS["GCRN"][:1]}, MEANS)
    (pair,) = window_pairs(one, 1)
    assert pair.over_seeds is None and pair.figures[1] == "–"
    one.runs["GCRN", 1, 0] = changed(one.runs["GCRN", 1, 0], windows=None)
    assert window_pairs(one, 1) == [] and report.windows_table(one) is None


@pytest.mark.parametrize(
    "weeks, said",
    [
        (1, "4 test windows are too few for an interval, and their sign-flip test cannot give p below 0.125: no model "
            "is significantly better than ar."),
        (2, "8 test windows are too few for an interval, and their sign-flip test cannot give p below 0.00781: GCRN "
            "is significantly better than ar."),
        (10, "over 40 test windows (bootstrap in blocks of 5, each pair uncorrected), LSTM and GCRN are significantly "
             "better than ar."),
    ],
)  # fmt: skip
def test_windows_note_depends_on_number_of_windows(weeks, said):
    longer = {label: [sums * weeks for sums in seeds] for label, seeds in WEEKS.items()}
    found = comparison(longer, {name: sums * weeks for name, sums in MEANS.items()})
    assert windows_note(found, 1) == said
    assert [note.text for note in notes(found) if note.topic == "windows"] == [f"horizon 1: {said}"]


def test_windows_note_of_two_step_windows_mentions_overlap():
    found = comparison(WEEKS, MEANS)
    found.sizes = (2,)
    found.runs = {(label, 2, seed): run for (label, _, seed), run in found.runs.items()}
    found.baselines = {(name, 2): run for (name, _), run in found.baselines.items()}
    expected = "4 test windows, which overlap, are too few for an interval or a test: no model is significantly better"
    assert windows_note(found, 2) == f"{expected} than ar."


def test_answer_adds_whether_test_windows_show_the_difference():
    for weeks, clause in ((1, "not significant over 4 test windows"), (10, "significant over 40 test windows")):
        ahead = {"GCRN": [[3.0, 3.0, 3.0, 5.0] * weeks, [3.0, 3.0, 3.0, 5.2] * weeks]}
        found = comparison(ahead, {"ar": [4.0, 4.0, 4.0, 8.0] * weeks})
        assert f"ahead of the best baseline, ar with 2.500, {clause}." in answer(found)[0]


@pytest.mark.parametrize("name", NAMES)
def test_uses_neighbors_is_true_with_graph_filter_or_option(name):
    assert uses_neighbors(name) == (name not in ("linear", "lstm", "gru"))
    assert uses_neighbors(name, neighbors=True)
    one_term = name in ("gcrn", "gcrn-gru", "dcrnn", "dcrnn-forecaster")
    assert uses_neighbors(name, K=1) == (uses_neighbors(name) and not one_term)


def test_window_pairs_of_runs_without_window_errors_are_omitted(signal_files, tmp_path, capsys):
    options = {"models": ["lstm", "gcrn"], "sizes": [1, 2], "lags": 3, "steps": 4, "eval_every": 4, "hidden": 4}
    data, graph = signal_files
    found = plan_grid("forecast", data=data, graph=graph, seeds=[0, 1], out=tmp_path / "out", **options).run(
        progress=False
    )
    report.show(found)
    out = capsys.readouterr().out
    assert "first minus second, over seeds and over test windows" in out and "│ 2" in out
    page = render([found])
    assert "differences over test windows" in page and "95% over windows" in page
    store = RunStore(tmp_path / "out" / "runs")
    for path in store.folder.glob("*.json"):
        run = json.loads(path.read_text())
        del run["result"]["test"]["windows"]
        assert store.put(run["config"], run["result"], run["measured"], run["spec"]) == path
    (kept,) = load_comparisons([tmp_path / "out"]).comparisons
    assert kept.rows() == found.in_order().rows()
    assert window_pairs(kept, 1) == [] and "over test windows" not in render([kept])
    with pytest.raises(SystemExit) as end:
        cli.main(["report", str(tmp_path / "out"), "--out", str(tmp_path / "report.html")])
    assert end.value.code == 0 and "over test windows" not in (tmp_path / "report.html").read_text()
