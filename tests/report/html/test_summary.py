"""The sentences of a page describe their comparison correctly."""

from dataclasses import replace

import pytest

from seqgnn.report.footnotes import excluded_note, notes, seeds_of
from seqgnn.report.html.summary import answer, cells, question
from tests.support.comparisons import example, grid, run
from tests.support.window_errors import comparison

BASELINES = {"chance": 0.1, "majority": 0.12, "linear": 1.0}


def said(scores, **options):
    return answer(grid(scores, options.pop("baselines", BASELINES), **options))


def test_answer_at_the_baseline_reports_nothing_learned():
    first, second, _ = said({"RNN": [0.12, 0.12], "LSTM": [0.12, 0.12], "GRU": [0.12, 0.12]})
    assert first.startswith("At T = 5, RNN, LSTM and GRU share the best mean test accuracy: 0.120; not distinguishable")
    assert second == (
        "All are indistinguishable from the baseline majority (0.120), which ignores its input: no learning is "
        "measurable."
    )
    assert said({"RNN": [0.12], "LSTM": [0.05]})[1].startswith("No model is ahead of the baseline majority")
    assert said({"RNN": [0.11]})[1].startswith("It is the only model, and not ahead of the baseline majority")


def test_answer_at_the_ceiling_reports_solved():
    scores = {"RNN": [1.0, 1.0], "LSTM": [1.0, 0.999]}
    second = "Both solved the task with every seed, so their scores do not distinguish them."
    assert said(scores, stopped="solved")[1] == second
    assert said({"RNN": [1.0], "LSTM": [1.0]})[1] == second


def test_answer_between_baseline_and_ceiling_reports_a_tie():
    first, second, _ = said({"RNN": [0.5, 0.5], "LSTM": [0.49, 0.49]})
    assert "RNN and LSTM share the best mean test accuracy, 0.490 to 0.500, too close for the test set" in first
    assert "to distinguish (± 0.014 at 95%)" in first
    assert second == "No model is behind the others: their scores do not distinguish them."


@pytest.mark.parametrize(
    "scores, task, says",
    [
        ([0.5, 0.52], "recall", "; ahead of the best compared baseline, majority with 0.120."),
        ([0.5, 0.52], "trees", "; behind the best baseline, linear with 1.000."),
        ([0.1, 0.3], "recall", "; not distinguishable from the best compared baseline, majority with 0.120."),
        ([0.5], "recall", "; ahead of the best compared baseline, majority with 0.120 (one seed only)."),
    ],
)
def test_answer_compares_best_model_to_best_baseline(scores, task, says):
    assert said({"RNN": scores}, task=task)[0].endswith(says)


def test_answer_of_tied_rows_reports_unequal_baseline_results():
    scores = {"A": [0.5, 0.5], "B": [0.45, 0.55]}
    assert (
        "; not all distinguishable from the best baseline, majority with 0.300."
        in said(scores, baselines={"majority": 0.3})[0]
    )


def test_answer_counts_pairs_and_seeds():
    few = said({"RNN": [0.8, 0.8], "LSTM": [0.5, 0.5]})[1]
    assert few.endswith("2 seeds, which are too few for significance.")
    three = said({"RNN": [0.8, 0.8], "LSTM": [0.5, 0.5], "GRU": [0.4, 0.4]})[1]
    assert three.endswith("2 seeds, which are too few for significance among 3 pairs.")


def test_apart_names_excluded_rows_and_answer_ignores_them():
    comparison = grid({"RNN": [0.5], "mean": [1.0]}, BASELINES, readouts={"mean": "mean"})
    told = "others: mean and the baseline linear, which see all tokens at once and need no memory."
    assert question(comparison)[-1].endswith(told) and excluded_note(comparison).endswith(told)
    assert [note.topic for note in notes(comparison)].count("excluded") == 1
    assert answer(comparison)[0].startswith("At T = 5, RNN has a mean test accuracy of 0.500;")
    assert answer(comparison)[1].startswith("It is the only model that is compared")
    alone = grid({"RNN": [0.5]}, BASELINES)
    told = "others: the baseline linear, which sees all tokens at once and needs no memory."
    assert excluded_note(alone).endswith(told)
    assert excluded_note(grid({"RNN": [0.5]}, {"chance": 0.1})) is None


def test_question_states_models_lengths_and_seeds():
    comparison = example()  # LSTM with two seeds, GCN with one, and of its other at T = 4 it failed
    assert question(comparison)[1] == "2 models at T = 4 and 20, with 1 to 2 seeds; the score is test accuracy."
    assert seeds_of(comparison) == "mean ± sd over 1 to 2 seeds"
    del comparison.runs["GCN", 20, 0]
    some = "2 models at T = 4 and 20, not every model at every length, each with 2 seeds;"
    assert question(comparison)[1].startswith(some)
    one = grid({"RNN": [0.5]})
    assert question(one)[1] == "One model at T = 5, with one seed; the score is test accuracy."
    assert seeds_of(one) == "one seed"


def test_notes_state_standard_error_of_the_test_set():
    (note,) = [note.text for note in notes(grid({"RNN": [0.5]})) if note.topic == "test set"]
    assert note.startswith("Test set: 10,000 targets, the same for all models.") and "error of up to 0.005," in note
    two = replace(grid({"RNN": [0.5]}), sizes=(5, 6))
    two.runs["RNN", 6, 0] = run(0.5, count=2500)
    (note,) = [note.text for note in notes(two) if note.topic == "test set"]
    assert "2,500 to 10,000 targets" in note and "up to 0.01," in note


def test_cells_list_rows_with_their_lengths():
    comparison = example()
    assert cells(comparison, [("LSTM", 4), ("LSTM", 20)]) == "LSTM"
    assert cells(comparison, [("LSTM", 4), ("GCN", 4), ("LSTM", 20)]) == "LSTM; GCN at T = 4"


def test_answer_adds_whether_test_windows_show_the_difference():
    for weeks, clause in ((1, "not significant over 4 test windows"), (10, "significant over 40 test windows")):
        ahead = {"GCRN": [[3.0, 3.0, 3.0, 5.0] * weeks, [3.0, 3.0, 3.0, 5.2] * weeks]}
        found = comparison(ahead, {"ar": [4.0, 4.0, 4.0, 8.0] * weeks})
        assert f"ahead of the best baseline, ar with 2.500, {clause}." in answer(found)[0]
