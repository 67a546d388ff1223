"""The tables of a page: rows for those with something to say, the others in a sentence."""

from dataclasses import replace

import pytest

from seqgnn.experiments import Comparison
from seqgnn.experiments.results.load import load_comparisons
from seqgnn.report.html.model_inspection import ModelInspection
from seqgnn.report.html.tables import configuration, differences, files, machines, receptive_fields, scores, solved
from tests.support import window_errors
from tests.support.comparisons import changed, example, grid, plan_grid, run

RECALL = {"sizes": [6], "seeds": [0], "hidden": 4}


def texts(table):
    return [[cell.text for cell in row] for row in table.rows]


def configured(**options):
    """Runs of which only the configuration is known."""
    prepared = plan_grid("recall", **(RECALL | options))
    found = Comparison("recall", "accuracy", prepared.labels, prepared.sizes, prepared.seeds)
    for job in prepared.jobs:
        if hasattr(job.config, "model"):
            found.runs[job.key] = replace(run(0.5), config=job.config, spec=job.spec)
    return found.in_order()


def test_solved_table_has_rows_of_models_that_solved():
    assert solved(example()) == (None, ["No run reached the target accuracy."])
    comparison = example()
    comparison.runs["LSTM", 4, 0] = run(1.0, validation=[(50, 1.0)])
    table, rest = solved(comparison)
    assert texts(table) == [["LSTM", "4", "0.995", "1 of 2", "50", "–"]]
    assert rest == ["Not reached with any seed: GCN; LSTM at T = 20."]
    for key, record in comparison.runs.items():
        comparison.runs[key] = changed(record, target_accuracy=None)
    assert solved(comparison) == (None, [])


def test_receptive_fields_that_see_everything_are_one_sentence():
    fine = {("LSTM", 4): [], ("GCN", 4): []}
    assert receptive_fields(example((4,)), ModelInspection(diagnostics=fine)) == (
        None, ["Every model's receptive field covers the whole input, and no problem was diagnosed."]
    )  # fmt: skip
    table, rest = receptive_fields(example((4,)), ModelInspection(diagnostics=fine | {("GCN", 4): ["reach: short"]}))
    assert texts(table) == [["GCN", "4", "whole input", "last", "reach: short"]]
    assert rest == ["The receptive field covers the whole input, and no problem was diagnosed: LSTM."]
    assert receptive_fields(example((4,)), ModelInspection()) == (
        None,
        [
            "Every model's receptive field covers the whole input.",
            "Models were not diagnosed: the text is not available.",
        ],
    )


@pytest.mark.parametrize(
    "options, there, gone",
    [
        ({}, set(), {"momentum", "weight decay", "decay", "decay every", "tolerance", "hops"}),
        ({"optimizer": "sgd"}, {"momentum"}, {"weight decay"}),
        ({"optimizer": "adamw", "weight_decay": 0.1}, {"weight decay"}, {"momentum"}),
        ({"schedule": "step"}, {"decay", "decay every"}, {"momentum"}),
        ({"min_steps": 100}, {"tolerance", "min steps"}, {"decay"}),
        ({"models": ["gcn"]}, {"hops"}, {"window"}),
    ],
)
def test_configuration_table_has_only_options_in_use(options, there, gone):
    names = {row[0] for row in texts(configuration(configured(**({"models": ["rnn"]} | options))))}
    assert there <= names and not gone & names


def test_configuration_table_of_unequal_options_names_their_rows():
    rows = dict(texts(configuration(configured(models=["rnn", "gcn"], sizes=[6, 12]))))
    assert rows["hidden"] == "4"
    assert rows["hops"] == "1, 2, 4: GCN at T = 6 / 1, 2, 4, 8: GCN at T = 12"


def test_differences_table_omits_excluded_rows():
    comparison = grid({"A": [0.5, 0.5], "B": [0.4, 0.4], "mean": [1.0, 1.0]}, readouts={"mean": "mean"})
    (row,) = texts(differences(comparison, 5))
    assert row[:2] == ["B", "+0.100"] and row[4:] == ["< 0.001", "t", "yes"]
    assert differences(grid({"A": [2.0], "B": [2.1]}, metric="loss"), 5) is None


def test_files_are_in_order_of_the_rows(tmp_path):
    comparison = example((4,))
    assert files(comparison) == []
    for key in reversed(comparison.runs):
        comparison.weights[key] = tmp_path / f"{key[0]}{key[2]}.safetensors"
    assert files(comparison) == [("LSTM, T = 4", ["LSTM0.json", "LSTM1.json"]), ("GCN, T = 4", ["GCN0.json"])]


def test_machines_table_lists_known_properties_only():
    comparison = grid({"A": [0.5, 0.5]})
    comparison.runs["A", 5, 0] = changed(comparison.runs["A", 5, 0], machine="Linux", threads=1)
    assert texts(machines(comparison)) == [["system", "Linux"], ["threads per run", "1"]]
    known = {"machine": "Linux", "processor": "Fast <1>", "cores": 8, "memory": 16 * 2**30}
    comparison.runs["A", 5, 1] = changed(comparison.runs["A", 5, 1], **known)
    told = dict(texts(machines(comparison)))
    assert (told["processor"], told["cores"], told["memory"]) == ("Fast <1>", "8", "16 GiB")


def test_scores_table_without_peak_memory_shows_a_dash(folder):
    (found,) = load_comparisons([folder]).comparisons
    for key, record in found.runs.items():
        found.runs[key] = changed(record, peak_memory=None)
    assert {row[-1].text for row in scores(found).rows} == {"–"}


def test_scores_table_of_earlier_runs_has_only_their_metrics():
    earlier = window_errors.comparison(window_errors.WEEKS, window_errors.MEANS, metric="mae")
    assert all(row.scores.get("mase") is None and row.as_dict()["mape"] is not None for row in earlier.rows())
    names = [name for name, _ in scores(earlier).columns if name.startswith("test")]
    assert names == ["test MAE", "test RMSE", "test MAPE"]
