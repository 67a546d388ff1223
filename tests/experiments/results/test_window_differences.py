"""Comparisons over test windows, and their sentences in the terminal and on the page."""

import json

import pytest

from seqgnn.cli import main as cli
from seqgnn.experiments.results.load import load_comparisons
from seqgnn.experiments.results.window_differences import window_pairs
from seqgnn.experiments.runs.store import RunStore
from seqgnn.report import tables as report
from seqgnn.report.footnotes import windows_note
from seqgnn.report.html import render
from tests.support.comparisons import changed, plan_grid
from tests.support.window_errors import MEANS, WEEKS, comparison


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
