"""Who counts, and who stands where: by hand, with 10,000 answers, of which 0.5 errs by 0.005 and 0.1 by 0.003."""

import math

import pytest

from seqgnn.experiments.results import ranking as of
from seqgnn.experiments.results.ranking import against_baseline, candidates, ranked
from tests.support import window_errors
from tests.support.comparisons import changed, grid

BASELINES = {"chance": 0.1, "majority": 0.12, "linear": 1.0}


def test_candidates_on_recall_exclude_mean_and_max_readouts():
    scores = {"LSTM": [0.5, 0.6], "mean": [1.0, 1.0], "max": [0.9, 0.9]}
    readouts = {"mean": "mean", "max": "max"}
    found = candidates(grid(scores, BASELINES, readouts=readouts), 5)
    assert found.models == ("LSTM",) and found.baselines == ("chance", "majority")
    assert found.excluded == ("mean", "max", "linear")
    two_sizes = grid(scores, BASELINES)
    two_sizes.baselines["bigram", 6] = two_sizes.baselines["chance", 5]
    assert candidates(two_sizes, 5).baselines == ("chance", "majority") and candidates(two_sizes, 6).models == ()
    everyone = candidates(grid(scores, BASELINES, readouts=readouts | {"LSTM": "mean"}), 5)
    assert everyone.models == tuple(scores) and "linear" in everyone.baselines and everyone.excluded == ()
    text = candidates(grid(scores, {"bigram": 2.0}, task="text", metric="loss", readouts=readouts), 5)
    assert text.models == tuple(scores) and text.excluded == ()
    trees = candidates(grid(scores, BASELINES, task="trees", readouts=readouts), 5)
    assert trees.models == tuple(scores) and "linear" in trees.baselines


def test_differences_from_best_and_ranked_include_candidates_only():
    scores = {"A": [0.1 * n for n in range(6)], "B": [0.0] * 6, "mean": [1.0] * 6}
    comparison = grid(scores, readouts={"mean": "mean"})
    (pair,) = of.differences_from_best(comparison, 5).values()
    assert (pair.first, pair.second) == ("A", "B") and pair.corrected == pair.p and pair.test_set
    assert len(comparison.differences(5)) == 3
    assert ranked(comparison, 5) == [("A", pytest.approx(0.25)), ("B", 0.0)]
    assert of.differences_from_best(comparison, 6) == {} == of.standings(comparison, 6)


def test_ranked_leaves_out_scores_that_are_not_finite():
    comparison = grid({"A": [0.5, 0.6], "B": [0.4], "C": [0.7]})
    comparison.runs["A", 5, 0] = changed(comparison.runs["A", 5, 0], values={"accuracy": None, "loss": 1.0})
    comparison.runs["C", 5, 0] = changed(comparison.runs["C", 5, 0], values={"accuracy": None, "loss": 1.0})
    assert ranked(comparison, 5) == [("A", 0.6), ("B", 0.4)]
    assert comparison.scores_by_seed("A", 5) == {1: 0.6} and not of.is_at_chance(comparison, "C", 5)
    assert of.against_baseline(comparison, "C", 5) is None


def test_standings_include_the_error_of_the_test_set():
    near = grid({"A": [0.5, 0.5], "B": [0.488, 0.488], "C": [0.48, 0.48]})
    # One error of the test set is 0.00707: 0.012 is 1.70 and 0.02 is 2.83 of them, 2.24 for two pairs.
    assert of.standings(near, 5) == {"A": "tied", "B": "tied", "C": "worse"}
    seeds = {"A": [0.5 + n / 1000 for n in range(6)], "B": [0.48 + n / 1000 for n in range(6)]}
    assert of.standings(grid(seeds), 5) == {"A": "best", "B": "worse"}
    seeds["B"] = [0.49 + n / 1000 for n in range(6)]  # 1.41 of them, whatever the signs of all seeds
    assert of.standings(grid(seeds), 5) == {"A": "tied", "B": "tied"}
    assert of.standings(grid({"A": [0.5]}), 5) == {"A": "only"}


def test_standings_of_one_seed_follow_the_test_set():
    assert of.standings(grid({"A": [1.0], "B": [1.0], "C": [0.99]}), 5) == {"A": "tied", "B": "tied", "C": "worse"}
    losses = grid({"A": [2.0], "B": [2.1]}, metric="loss")
    assert of.standings(losses, 5) == {"A": "untested", "B": "untested"}


def test_standings_of_losses_follow_the_seeds():
    losses = grid({"A": [2.0, 2.1, 2.05], "B": [2.1, 2.0, 2.07], "C": [2.51, 2.6, 2.55]}, metric="loss")
    assert of.standings(losses, 5) == {"A": "undecided", "B": "undecided", "C": "worse"}


@pytest.mark.parametrize("baseline, standing", [(None, "undecided"), (1.85, "undecided"), (1.9, "tied"), (3.0, "tied")])
def test_standings_of_losses_are_tied_within_two_percent_of_the_best_baseline(baseline, standing):
    # Differences 0.02, 0.02 and 0.01: mean 0.01667, standard error 0.00333, t(0.9875, 2) = 6.2053 for two pairs, so the
    # interval ends at 0.03735: 2% of 1.868.
    scores = {"A": [1.9, 1.9, 1.91], "B": [1.92, 1.92, 1.92], "C": [2.7, 2.71, 2.7]}
    baselines = {} if baseline is None else {"bigram": baseline, "chance": 4.0}
    losses = grid(scores, baselines, task="text", metric="loss")
    assert of.standings(losses, 5) == {"A": standing, "B": standing, "C": "worse"}
    assert of.tie_margin(losses, 5) == (None if baseline is None else pytest.approx(0.02 * baseline))


@pytest.mark.parametrize("count, standing", [(1000, "tied"), (500, "undecided")])
def test_standings_of_accuracies_are_tied_within_the_margin(count, standing):
    # 1.96 errors of the difference of two accuracies of 0.5 are 0.0438 with 1,000 targets and 0.0620 with 500.
    assert of.standings(grid({"A": [0.5], "B": [0.5]}, count=count), 5) == {"A": standing, "B": standing}


def test_standings_are_tied_at_the_margin_itself(monkeypatch):
    comparison = grid({"A": [0.5], "B": [0.5]})
    (pair,) = of.differences_from_best(comparison, 5).values()
    monkeypatch.setattr(of, "tie_margin", lambda *_: max(map(abs, pair.joint)))
    assert of.standings(comparison, 5)["B"] == "tied"


def test_standings_name_a_best_model_only_if_all_others_are_worse():
    comparison = grid({"A": [1.0, 1.0], "B": [2.0], "C": [3.0, 3.01]}, metric="loss")  # no error is known for B
    assert of.standings(comparison, 5) == {"A": "undecided", "B": "untested", "C": "worse"}


def test_against_baseline_leaves_out_baselines_without_a_finite_score():
    comparison = grid({"A": [1.0, 1.1]}, {"chance": 4.0, "bigram": 0.5}, "text", metric="loss")
    record = comparison.baselines["bigram", 5]
    comparison.baselines["bigram", 5] = changed(record, values={"accuracy": 0.5, "loss": None})
    against = against_baseline(comparison, "A", 5)
    # Mean -2.95, standard error 0.05, t(0.975, 1) = 12.7062.
    assert against.baseline == "chance" and against.over_seeds == pytest.approx((-3.58531, -2.31469), abs=1e-5)
    comparison.baselines.pop(("chance", 5))
    assert against_baseline(comparison, "A", 5) is None


def test_standings_of_models_that_solved_are_tied():
    comparison = grid({"A": [1.0, 1.0], "B": [0.99, 0.99], "C": [0.99, 0.99]}, stopped="solved")
    comparison.runs["C", 5, 1] = changed(comparison.runs["C", 5, 1], stopped="steps")
    assert of.standings(comparison, 5) == {"A": "tied", "B": "tied", "C": "worse"}


@pytest.mark.parametrize(
    "scores, majority, how",
    [
        ([0.50, 0.52], 0.40, "ahead of"),  # as with one seed: more seeds must not give less information
        ([0.50, 0.52], 0.51, "not distinguishable from"),
        ([0.40, 0.60], 0.45, "not distinguishable from"),  # behind with the first seed
        ([0.50, 0.52], 0.80, "behind"),
        ([0.50], 0.512, "not distinguishable from"),  # the test set gives ± 0.0139
        ([0.50], 0.515, "behind"),
        ([0.515], 0.50, "ahead of"),
        ([0.5] * 9 + [0.41], 0.42, "ahead of"),  # behind with one of ten seeds, but significantly ahead over seeds
    ],
)
def test_against_baseline_compares_row_to_best_baseline(scores, majority, how):
    found = against_baseline(grid({"A": scores}, {"chance": 0.1, "majority": majority, "linear": 1.0}), "A", 5)
    assert (found.baseline, found.score, found.relation) == ("majority", majority, how)


def test_against_baseline_has_the_interval_of_the_test_set():
    found = against_baseline(grid({"A": [0.4, 0.6]}, {"chance": 0.1}), "A", 5)
    half = 1.959964 * math.hypot(0.005, 0.003)
    assert found.difference == pytest.approx(0.4) and found.windows is None
    assert found.interval == pytest.approx((0.4 - half, 0.4 + half), abs=1e-5)


def test_against_baseline_of_losses_follows_all_seeds():
    comparison = grid({"A": [2.0, 2.0], "B": [2.5], "C": [2.1, 2.3]}, {"chance": 3.0, "bigram": 2.2}, task="text",
                      metric="loss")  # fmt: skip
    assert against_baseline(comparison, "A", 5).relation == "ahead of"
    assert against_baseline(comparison, "B", 5).relation == "behind"
    assert against_baseline(comparison, "C", 5).relation == "not distinguishable from"
    assert against_baseline(comparison, "A", 5).interval is None
    for scores in ([2.2, 2.1], [2.2, 2.3]):  # equal with the first seed
        equal = grid({"A": scores}, {"bigram": 2.2}, task="text", metric="loss")
        assert against_baseline(equal, "A", 5).relation == "not distinguishable from"
    assert against_baseline(grid({"A": [0.5]}), "A", 5) is None


@pytest.mark.parametrize("seeds", [1, 2, 3, 6])
@pytest.mark.parametrize("shift, relation", [(0.5, "behind"), (-0.5, "ahead of"), (0.0, "not distinguishable from")])
def test_against_baseline_of_forecasts_follows_windows_with_any_number_of_seeds(seeds, shift, relation):
    wave = [8.0 + (window % 7) / 10 for window in range(156)]
    noise = [0.3 * (-1) ** (window // 5) for window in range(156)]
    errors = [[value + shift + change for value, change in zip(wave, noise)] for _ in range(seeds)]
    comparison = window_errors.comparison({"GCRN": errors}, {"ar": wave})
    found = against_baseline(comparison, "GCRN", 1)
    assert found.relation == relation and found.windows.windows == 156
    assert (found.interval[0] <= 0 <= found.interval[1]) == (shift == 0)
    assert found.interval == found.windows.interval and (found.over_seeds is None) == (seeds == 1)


def test_is_at_chance_requires_every_seed_to_be_at_the_blind_baseline():
    comparison = grid({"A": [0.12, 0.13], "B": [0.12, 0.14], "C": [0.05]}, BASELINES)
    assert of.blind_baseline(comparison, 5) == ("majority", 0.12)
    # Of 0.12 and 0.13, each with 10,000 targets, the error of the difference is 0.0047: 0.010 is 2.14 of them, and
    # for two seeds together 97.5% on one side are 2.24.
    assert [of.is_at_chance(comparison, label, 5) for label in "ABC"] == [True, False, True]
    assert not of.is_at_chance(grid({"A": [0.13]}, BASELINES), "A", 5)  # 1.96 of them for one seed
    assert not of.is_at_chance(grid({"A": [0.12]}), "A", 5)
    for at_chance, label in ((True, "A"), (False, "B")):  # a seed without a finite score is ahead of nothing
        comparison.runs[label, 5, 0] = changed(comparison.runs[label, 5, 0], values={"accuracy": None, "loss": 1.0})
        assert of.is_at_chance(comparison, label, 5) == at_chance
    text = grid({"A": [3.1, 3.0], "B": [3.1, 2.9]}, {"majority": 3.0, "bigram": 2.0}, task="text", metric="loss")
    assert [of.is_at_chance(text, label, 5) for label in "AB"] == [True, False]


def test_all_solved_requires_every_run():
    solved = grid({"A": [0.999], "B": [1.0]}, stopped="solved")
    assert of.all_solved(solved, 5) and of.all_solved(grid({"A": [1.0]}), 5)
    assert not of.all_solved(grid({"A": [0.999]}), 5)
    solved.failures["B", 5, 1] = "ValueError: x"
    assert not of.all_solved(solved, 5)
