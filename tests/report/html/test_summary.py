"""The sentences of a page describe their comparison correctly."""

from dataclasses import replace

from seqgnn.report.answer import answer
from seqgnn.report.footnotes import excluded_note, notes, seeds_of
from seqgnn.report.html.summary import cells, question
from tests.support.comparisons import example, grid, run

BASELINES = {"chance": 0.1, "majority": 0.12, "linear": 1.0}


def test_apart_names_excluded_rows_and_answer_ignores_them():
    comparison = grid({"RNN": [0.5], "mean": [1.0]}, BASELINES, readouts={"mean": "mean"})
    told = "others: mean and the baseline linear, which see all tokens at once and need no memory."
    assert question(comparison)[-1].endswith(told) and excluded_note(comparison).endswith(told)
    assert [note.topic for note in notes(comparison)].count("excluded") == 1
    assert answer(comparison)[0].startswith("At T = 5, RNN is the only model that is compared: its test accuracy is")
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
