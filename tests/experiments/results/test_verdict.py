"""Verdicts on the models of comparisons whose scores are known, and titles made of them."""

import itertools
from dataclasses import replace

import pytest

from seqgnn.experiments.results.reasons import is_falling, why_unsolved
from seqgnn.experiments.results.verdict import Verdict, finding, title, verdicts
from seqgnn.training.loop import ValidationPoint
from tests.support import window_errors
from tests.support.comparisons import changed, example, grid, run

BASELINES = {"chance": 0.1, "majority": 0.12}


def texts(comparison, size=5):
    return {label: verdict.text for label, verdict in verdicts(comparison, size).items()}


def test_verdicts_solved_by_all_or_some_seeds():
    comparison = grid({"A": [1.0, 1.0], "B": [1.0, 0.4], "C": [0.12, 0.11]}, BASELINES)
    assert texts(comparison) == {"A": "solved", "B": "1 of 2 solved", "C": "at chance"}
    assert finding(comparison, 5) == "A solves T = 5; C stays at chance"
    assert verdicts(comparison, 5)["A"].is_solved and not verdicts(comparison, 5)["B"].is_solved


def test_finding_lists_the_best_mean_first():
    comparison = grid({"A": [2.3, 2.1], "B": [2.1, 2.0], "C": [1.9, 2.0], "D": [9.0, 9.1]}, metric="loss", task="text")
    assert finding(comparison, 5) == "Best model at T = 5 undecided: C, B and A"


def test_verdict_of_a_model_that_solved_a_task_with_no_seed_is_no_tie():
    comparison = grid({"GCN": [1.0, 1.0, 1.0], "RNN": [0.607, 0.976, 0.543]}, BASELINES, count=8192)
    found = verdicts(comparison, 5)
    assert found["RNN"].standing == "undecided" and found["RNN"].text == "not solved"
    assert finding(comparison, 5) == "GCN solves T = 5"
    for key, record in comparison.runs.items():
        comparison.runs[key] = changed(record, target_accuracy=None)
    assert texts(comparison) == {"GCN": "solved", "RNN": "undecided"}


@pytest.mark.parametrize(
    "standing, text",
    [("best", "not solved, best"), ("tied", "not solved, tied with best"), ("worse", "not solved, worse"),
     ("undecided", "not solved"), ("untested", "not solved"), ("only", "not solved")],
)  # fmt: skip
def test_verdict_text_of_unsolved_tasks_begins_with_that(standing, text):
    assert verdict("A", standing, has_target=True).text == text
    assert verdict("A", standing, has_target=True, loses_to="ar").text == f"{text}, loses to ar"
    assert verdict("A", standing, has_target=True, solved=2).text == "2 of 3 solved"
    assert not verdict("A", standing).text.startswith("not solved")


def test_verdicts_of_excluded_and_failed_models():
    comparison = grid({"A": [0.5], "mean": [1.0]}, BASELINES, readouts={"mean": "mean"})
    comparison.labels = ("A", "mean", "B", "C")
    comparison.failures |= {("A", 6, 0): "ValueError: x", ("B", 5, 0): "ValueError: x"}
    assert texts(comparison) == {"A": "not solved", "mean": "not compared", "B": "no result"}
    assert finding(comparison, 5) == "A beats baseline majority at T = 5"


def test_verdicts_of_forecasts_name_the_baseline_that_is_better():
    errors = {"LSTM": [[9.0] * 40, [9.0] * 40], "GCRN": [[1.0] * 40, [1.0] * 40]}
    comparison = window_errors.comparison(errors, {"ar": [4.0] * 40})
    found = verdicts(comparison, 1)
    assert found["LSTM"].loses_to == "ar" and found["LSTM"].text == "worse, loses to ar"
    assert found["GCRN"].ahead_of == "ar" and found["GCRN"].text == "best"
    assert finding(comparison, 1) == "GCRN is best at horizon 1"
    assert finding(window_errors.comparison({"LSTM": [[9.0] * 40]}, {"ar": [4.0] * 40}), 1) == (
        "Baseline ar beats LSTM at horizon 1"
    )


def test_why_unsolved_names_receptive_field_gates_and_budget():
    comparison = example((20,))
    assert why_unsolved(comparison, "GCN", 20) == "receptive field of 4 of 19 previous positions"
    assert why_unsolved(comparison, "LSTM", 20) == "gates without forget bias, 30 to 50 steps"
    for options in ({"forget_bias": 1.0}, {"init": ("orthogonal", "chrono")}, {"model": "gru"}):
        other = replace(comparison, runs={key: changed(run, **options) for key, run in comparison.runs.items()})
        assert why_unsolved(other, "LSTM", 20) == "30 to 50 steps"
    deep = replace(comparison, runs={key: changed(run, num_layers=10) for key, run in comparison.runs.items()})
    assert why_unsolved(deep, "GCN", 20) == "30 steps"
    assert why_unsolved(comparison, "absent", 20) is None


def test_why_unsolved_names_no_receptive_field_that_is_wide_enough():
    """The four previous positions of a sequence of five are just in it; that of six has a fifth."""
    assert why_unsolved(example((5,)), "GCN", 5) == "30 steps"
    assert why_unsolved(example((6,)), "GCN", 6) == "receptive field of 4 of 5 previous positions"


@pytest.mark.parametrize("task", ["trees", "text"])
def test_why_unsolved_where_the_first_position_is_not_decisive_is_the_budget(task):
    comparison = replace(example((20,)), task=task)
    assert why_unsolved(comparison, "GCN", 20) == "30 steps"
    assert why_unsolved(comparison, "LSTM", 20) == "30 to 50 steps"


def test_why_unsolved_of_a_forecast_is_the_budget():
    assert why_unsolved(window_errors.comparison({"LSTM": [[9.0] * 4]}, {"ar": [4.0] * 4}), "LSTM", 1) == "1 step"


def test_why_unsolved_states_how_training_ended():
    comparison = grid({"A": [0.5]})
    points = [(step, 0.5) for step in (10, 20, 30)]
    record = run(0.5, model="rnn", validation=points)
    comparison.runs["A", 5, 0] = record
    assert why_unsolved(comparison, "A", 5) == "30 steps, validation loss no longer falling"
    comparison.runs["A", 5, 0] = changed(record, stopped="time")
    assert why_unsolved(comparison, "A", 5) == "30 steps until the time was over, validation loss no longer falling"
    comparison.runs["A", 5, 1] = changed(record, seed=1, stopped="converged")
    mixed = replace(comparison, seeds=(0, 1))
    assert why_unsolved(mixed, "A", 5) == "30 steps, validation loss no longer falling"
    falling = tuple(ValidationPoint(step, 3.0 - step / 20, 0.4) for step in (10, 20, 30))
    runs = {("A", 5, 0): record, ("A", 5, 1): changed(record, seed=1, validation=falling)}
    comparison = replace(comparison, runs=runs, seeds=(0, 1))
    assert why_unsolved(comparison, "A", 5) == "30 steps, validation loss still falling with 1 of 2 seeds"


@pytest.mark.parametrize(
    "losses, expected",
    [
        ([2.0, 1.0], None),
        ([2.0, 2.0, 1.98], True),  # exactly 1% below
        ([2.0, 2.0, 1.981], False),
        ([2.0, 1.0, 1.5, 1.4, 1.3, 1.2], False),  # the last third is two points
        ([2.0, 1.9, 1.8, 1.7, 1.5, 1.6], True),
        ([2.0, 2.0, 2.0, 2.0, 1.9, 1.99], True),
    ],
)
def test_is_falling_compares_the_last_third(losses, expected):
    assert is_falling([ValidationPoint(step, loss, None) for step, loss in enumerate(losses)]) is expected


def verdict(model, standing, **values):
    return Verdict(model, 20, standing, 3, **values)


@pytest.mark.parametrize(
    "found, expected",
    [
        ([], None),
        ([verdict("A", "excluded"), verdict("B", "failed")], None),
        ([verdict("A", "only")], None),
        ([verdict("A", "only", at_chance=True)], "A stays at chance at T = 20"),
        ([verdict("A", "tied", at_chance=True), verdict("B", "tied", at_chance=True)],
         "No model is ahead of chance at T = 20"),
        ([verdict("A", "tied"), verdict("B", "tied")], "Both models are tied at T = 20"),
        ([verdict("A", "tied"), verdict("B", "tied"), verdict("C", "worse")], "A and B are tied for best at T = 20"),
        ([verdict(name, "tied", solved=3) for name in "ABCD"], "A, B and 2 others solve T = 20"),
        ([verdict("A", "best", loses_to="ar"), verdict("B", "worse", loses_to="ar")],
         "Baseline ar beats every model at T = 20"),
        ([verdict("A", "best"), verdict("B", "worse", loses_to="ar")], "A is best at T = 20"),
        ([verdict("A", "best", loses_to="ar"), verdict("B", "worse")],
         "Baseline ar beats A, the best model, at T = 20"),
        ([verdict("A", "tied", loses_to="ar"), verdict("B", "tied")], "Baseline ar beats A at T = 20"),
        ([verdict("A", "undecided"), verdict("B", "undecided"), verdict("C", "worse", at_chance=True)],
         "Best model at T = 20 undecided: A and B; C stays at chance"),
        ([verdict("A", "tied"), verdict("B", "tied"), verdict("C", "undecided")],
         "A and B are tied for best at T = 20; C undecided"),
        ([verdict("A", "undecided"), verdict("B", "undecided", at_chance=True)],
         "A is ahead of chance at T = 20; B stays at chance"),
        ([verdict("A", "untested"), verdict("B", "untested")], None),
        ([verdict("A", "untested", ahead_of="ar"), verdict("B", "untested")], None),
        ([verdict("A", "only", ahead_of="ar")], "A beats baseline ar at T = 20"),
        ([verdict("A", "untested"), verdict("B", "untested"), verdict("C", "untested", at_chance=True)],
         "C stays at chance at T = 20"),
        ([verdict("A", "undecided", solved=1), verdict("B", "undecided")], "A solves T = 20 with 1 of 3 seeds"),
        ([verdict("A", "tied", solved=1), verdict("B", "tied", solved=2)], "A and B solve T = 20 with some seeds"),
    ],
)  # fmt: skip
def test_title_states_the_finding(found, expected):
    assert title({one.model: one for one in found}, "T = 20") == expected


def test_title_never_names_a_model_best_that_is_beaten_or_undecided():
    """All verdicts on three models, of which a title must not say more than they do."""
    kinds = [verdict("X", standing, loses_to=loses_to, at_chance=at_chance)
             for standing in ("best", "tied", "undecided", "worse", "untested")
             for loses_to in (None, "ar") for at_chance in (False, True)]  # fmt: skip
    for trio in itertools.product(kinds, repeat=3):
        found = {name: replace(one, model=name) for name, one in zip("ABC", trio)}
        text = title(found, "T = 20") or ""
        top = [one for one in found.values() if one.standing != "worse" and not one.at_chance]
        if "best at" in text and "tied" not in text:
            (best,) = [one for one in found.values() if f"{one.model} is best" in text]
            assert best.standing == "best" and best.loses_to is None
        assert text.startswith(("Baseline", "No model")) or not any(one.loses_to for one in top)
        if text.startswith("Baseline ar beats every model"):
            assert all(one.loses_to for one in found.values())
        assert "tied" not in text or any(one.standing == "tied" for one in top)
