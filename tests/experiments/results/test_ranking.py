"""Who counts, and who stands where: by hand, with 10,000 answers, of which 0.5 errs by 0.005 and 0.1 by 0.003."""

import pytest

from seqgnn.experiments.results import ranking as of
from seqgnn.experiments.results.ranking import against_baseline, candidates, ranked, tied_with_best
from tests.support.comparisons import grid

BASELINES = {"chance": 0.1, "majority": 0.12, "linear": 1.0}


def test_candidates_on_recall_exclude_mean_and_max_readouts():
    scores = {"LSTM": [0.5, 0.6], "mean": [1.0, 1.0], "max": [0.9, 0.9]}
    readouts = {"mean": "mean", "max": "max"}
    found = candidates(grid(scores, BASELINES, readouts=readouts), 5)
    assert found.models == ("LSTM",) and found.baselines == ("chance", "majority")
    assert found.excluded == ("mean", "max", "linear")
    everyone = candidates(grid(scores, BASELINES, readouts=readouts | {"LSTM": "mean"}), 5)
    assert everyone.models == tuple(scores) and "linear" in everyone.baselines and everyone.excluded == ()
    text = candidates(grid(scores, {"bigram": 2.0}, task="text", metric="loss", readouts=readouts), 5)
    assert text.models == tuple(scores) and text.excluded == ()
    trees = candidates(grid(scores, BASELINES, task="trees", readouts=readouts), 5)
    assert trees.models == tuple(scores) and "linear" in trees.baselines


def test_differences_at_and_ranked_include_candidates_only():
    scores = {"A": [0.1 * n for n in range(6)], "B": [0.0] * 6, "mean": [1.0] * 6}
    comparison = grid(scores, readouts={"mean": "mean"})
    (pair,) = of.differences_at(comparison, 5)
    assert (pair.first, pair.second) == ("A", "B") and pair.corrected == pair.p
    assert len(comparison.differences(5)) == 3
    assert ranked(comparison, 5) == [("A", pytest.approx(0.25)), ("B", 0.0)]


def test_standard_error_and_resolution_equal_binomial_values():
    comparison = grid({"A": [0.5], "B": [0.9, 0.9]}, {"chance": 0.1})
    assert of.standard_error(comparison, "A", 5) == pytest.approx(0.005)
    assert of.standard_error(comparison, "chance", 5) == pytest.approx(0.003)
    assert of.resolution(comparison, "A", "B", 5) == pytest.approx(1.96 * (25e-6 + 9e-6) ** 0.5)
    assert of.standard_error(grid({"A": [2.0]}, metric="loss"), "A", 5) == 0


def test_tied_with_best_includes_differences_below_resolution():
    near = grid({"A": [0.5, 0.5], "B": [0.488, 0.488], "C": [0.48, 0.48]})  # 1.96 * 0.005 * sqrt(2) = 0.0139
    assert tied_with_best(near, 5) == ["A", "B"]
    seeds = {"A": [0.5 + n / 1000 for n in range(6)], "B": [0.49 + n / 1000 for n in range(6)]}
    assert tied_with_best(grid(seeds), 5) == ["A"]
    assert tied_with_best(grid({"A": [1.0], "B": [1.0], "C": [0.99]}), 5) == ["A", "B"]
    losses = grid({"A": [2.0, 2.1], "B": [2.1, 2.0], "C": [2.06, 2.06]}, metric="loss")
    assert tied_with_best(losses, 5) == ["A", "B"]


@pytest.mark.parametrize(
    "scores, majority, how",
    [
        ([0.50, 0.52], 0.30, "ahead of"),  # by t the seeds give 0.51 ± 0.127
        ([0.50, 0.52], 0.40, "not distinguishable from"),
        ([0.50, 0.52], 0.80, "behind"),
        ([0.50], 0.512, "not distinguishable from"),  # the test set gives ± 0.0139
        ([0.50], 0.515, "behind"),
        ([0.515], 0.50, "ahead of"),
    ],
)
def test_against_baseline_compares_row_to_best_baseline(scores, majority, how):
    found = against_baseline(grid({"A": scores}, {"chance": 0.1, "majority": majority, "linear": 1.0}), "A", 5)
    assert (found.baseline, found.score, found.relation) == ("majority", majority, how)


def test_against_baseline_of_losses_prefers_lower_values():
    comparison = grid({"A": [2.0, 2.0], "B": [2.5]}, {"chance": 3.0, "bigram": 2.2}, task="text", metric="loss")
    assert against_baseline(comparison, "A", 5).relation == "ahead of"
    assert against_baseline(comparison, "B", 5).relation == "behind"
    assert against_baseline(grid({"A": [0.5]}), "A", 5) is None


def test_is_at_chance_requires_every_seed_to_be_at_the_blind_baseline():
    comparison = grid({"A": [0.12, 0.13], "B": [0.12, 0.14], "C": [0.05]}, BASELINES)
    assert of.blind_baseline(comparison, 5) == ("majority", 0.12)
    # Of 0.12 and 0.13, each with 10,000 targets, the error of the difference is 0.0047: 0.010 is 2.14 of them, and
    # for two seeds together 97.5% on one side are 2.24.
    assert [of.is_at_chance(comparison, label, 5) for label in "ABC"] == [True, False, True]
    assert not of.is_at_chance(grid({"A": [0.13]}, BASELINES), "A", 5)  # 1.96 of them for one seed
    assert not of.is_at_chance(grid({"A": [0.12]}), "A", 5)
    text = grid({"A": [3.1, 3.0], "B": [3.1, 2.9]}, {"majority": 3.0, "bigram": 2.0}, task="text", metric="loss")
    assert [of.is_at_chance(text, label, 5) for label in "AB"] == [True, False]


def test_all_solved_requires_every_run():
    solved = grid({"A": [0.999], "B": [1.0]}, stopped="solved")
    assert of.all_solved(solved, 5) and of.all_solved(grid({"A": [1.0]}), 5)
    assert not of.all_solved(grid({"A": [0.999]}), 5)
    solved.failures["B", 5, 1] = "ValueError: x"
    assert not of.all_solved(solved, 5)
