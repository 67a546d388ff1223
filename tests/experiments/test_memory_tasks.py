"""Comparisons on the adding problem and the copying task: their metrics, baselines, verdicts and report."""

import math

import pytest

from seqgnn.experiments.results.load import load_comparisons
from seqgnn.experiments.results.ranking import candidates
from seqgnn.report import tables as report
from seqgnn.report.html import render
from tests.support.comparisons import run_grid
from tests.support.html_reader import Reader

TINY = {"sizes": [4], "seeds": [0], "hidden": 6, "steps": 4}


def score(comparison, name, metric):
    return next(row.mean(metric) for row in comparison.rows() if row.model == name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("memory")
    run_grid("adding", models=["lstm", "minlstm", "gcn", "gcn-mean", "gcn+lstm", "gcn-in-minlstm"], out=out, **TINY)
    run_grid("copying", models=["gru", "mingru", "gcn", "gcn+lstm", "gcn-in-mingru"], out=out, **TINY)
    return out


@pytest.fixture(scope="module")
def comparisons(folder):
    return {comparison.task: comparison for comparison in load_comparisons([folder]).comparisons}


def test_adding_scores_have_a_squared_error_and_a_constant_baseline(comparisons):
    adding = comparisons["adding"]
    assert (adding.metric, adding.metrics, adding.higher_is_better) == ("mse", ("mse", "accuracy"), False)
    assert score(adding, "constant", "mse") == pytest.approx(1 / 6, abs=0.01)
    assert score(adding, "constant", "accuracy") == pytest.approx(1 - 0.96**2, abs=0.015)
    assert score(adding, "linear", "mse") < score(adding, "constant", "mse")
    test = adding.of("LSTM", 4)[0].result.test
    assert set(test.values) == {"loss", "mse", "mse_se", "accuracy"} and test.count == 8192
    assert test.values["loss"] == test.values["mse"] and 0 < test.values["mse_se"] < 0.1
    assert candidates(adding, 4).excluded == ("GCN, mean readout", "linear")


def test_copying_scores_count_copied_symbols_and_have_a_memoryless_baseline(comparisons):
    copying = comparisons["copying"]
    assert (copying.metric, copying.elements) == ("accuracy", {4: 24})
    assert score(copying, "memoryless", "accuracy") == 1 / 8
    assert score(copying, "memoryless", "loss") == pytest.approx(10 * math.log(8) / 24)
    assert score(copying, "majority", "accuracy") == 0
    assert copying.of("GRU", 4)[0].result.test.count == 81_920
    config = copying.of("GCN", 4)[0].config
    assert (config.size, config.hops, config.num_layers) == (4, (1, 2, 4, 8, 16), 5)  # of 24 positions, not of 4


def test_untrained_models_are_at_chance(comparisons):
    rows = [row for comparison in comparisons.values() for row in comparison.rows() if row.verdict]
    verdicts = {row.model: row.verdict for row in rows}
    assert verdicts["GRU"].at_chance and verdicts["LSTM"].at_chance
    assert verdicts["GRU"].has_target and verdicts["LSTM"].reason == "4 steps"


def test_tables_and_page_name_loss_metrics_and_baselines(comparisons, folder, tmp_path):
    report.write(comparisons["adding"], tmp_path)
    header, first = (tmp_path / "adding.csv").read_text().splitlines()[:2]
    assert header.startswith("task,model,kind,size,readout,verdict,mse,mse_sd,") and first.startswith("adding,LSTM,")
    text = " ".join(Reader(render(list(comparisons.values()))).text.split())
    for words in (
        "the score is test MSE, lower is better", "A prediction with an error below 0.04 is correct",
        "Training loss (MSE) at T = 4", "constant: the mean of the targets of training samples",
        "memoryless: the best prediction without memory", "the loss is that of the last position alone",
    ):  # fmt: skip
        assert words in text, words
    assert "expected targets" not in text  # gradients of the squared error are measured


def test_compare_on_lengths_without_a_task_raises():
    with pytest.raises(ValueError, match="expected sizes to be distinct integers of at least 2, got"):
        run_grid("adding", models=["lstm"], **TINY | {"sizes": [1]})
    with pytest.raises(ValueError, match="task 'copying' generates its own samples; remove the data"):
        run_grid("copying", models=["lstm"], data="x.txt", **TINY)
