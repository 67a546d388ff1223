"""The sentences of the answer: effect, interval and evidence, without p-values, and never against the table."""

import pytest

from seqgnn.experiments import Comparison
from seqgnn.report.answer import answer
from seqgnn.report.tables import show
from seqgnn.training.loop import ValidationPoint
from tests.support import window_errors
from tests.support.comparisons import changed, example, grid

BASELINES = {"chance": 0.1, "majority": 0.105, "linear": 1.0}
FLAT = tuple(ValidationPoint(step, 2.3, 0.1) for step in (10, 20, 30))
FALLING = tuple(ValidationPoint(step, 3.0 - step / 20, 0.4) for step in (10, 20, 30))


def sentences(scores, **options):
    return answer(grid(scores, options.pop("baselines", BASELINES), count=options.pop("count", 2500), **options))


def update(comparison, label, **values):
    for key, record in comparison.runs.items():
        if key[0] == label:
            comparison.runs[key] = changed(record, **values)


def test_answer_of_the_default_comparison():
    """Two models solve the task, and the others fail each for a reason of its own."""
    scores = {"RNN": [0.104, 0.103, 0.11], "LSTM": [0.11, 0.107, 0.1], "GRU": [0.51, 0.31, 0.4],
              "GCN": [1.0, 1.0, 0.9996], "GCN, one hop": [0.1, 0.1, 0.1], "Hybrid": [1.0, 1.0, 1.0]}  # fmt: skip
    comparison = grid(scores, BASELINES, count=2500)
    comparison.elements = {5: 19}
    for label, steps in (("GCN", (100, 120, 110)), ("Hybrid", (300, 350, 400))):
        for seed, step in enumerate(steps):
            record = comparison.runs[label, 5, seed]
            validation = (ValidationPoint(step, 0.1, 0.999),)
            comparison.runs[label, 5, seed] = changed(record, stopped="solved", validation=validation)
    update(comparison, "RNN", model="rnn", validation=FLAT)
    update(comparison, "LSTM", validation=FLAT)
    update(comparison, "GRU", model="gru", validation=FALLING)
    update(comparison, "GCN, one hop", model="gcn", hops=(1,), num_layers=5)
    assert answer(comparison) == [
        "At T = 5, GCN and Hybrid solve the task with every seed (3 seeds, 2,500 test targets), so their scores are "
        "tied; GCN needs the fewest steps, 110 on average against 350 of Hybrid.",
        "The next, GRU with 0.407, is behind by 0.593 (95% interval 0.019 to 1.000).",
        "At chance within this budget: RNN (30 steps, validation loss no longer falling); LSTM (gates without forget "
        "bias, 30 steps, validation loss no longer falling); GCN, one hop (receptive field of 5 of 18 previous "
        "positions).",
        "Better than chance, but not solved: GRU (30 steps, validation loss still falling).",
    ]


def test_answer_of_steps_of_one_seed_is_no_average():
    comparison = grid({"GCN": [1.0], "Hybrid": [1.0]}, BASELINES, count=2500)
    for label, step in (("GCN", 110), ("Hybrid", 350)):
        validation = (ValidationPoint(step, 0.1, 0.999),)
        comparison.runs[label, 5, 0] = changed(comparison.runs[label, 5, 0], stopped="solved", validation=validation)
    assert "GCN needs the fewest steps, 110 against 350 of Hybrid" in " ".join(answer(comparison))


def test_answer_of_one_model_that_solves_the_task():
    assert sentences({"GCN": [1.0, 1.0, 1.0], "LSTM": [0.104, 0.11, 0.1]}) == [
        "At T = 5, GCN solves the task with every seed: test accuracy 1.000 (3 seeds, 2,500 test targets).",
        "The next, LSTM with 0.105, is behind by 0.895 (95% interval 0.878 to 0.913).",
        "At chance within this budget: LSTM (gates without forget bias, 30 steps).",
    ]


def test_answer_of_a_tie():
    first, second, _ = sentences({"GCN": [0.912, 0.92, 0.91], "LSTM": [0.905, 0.91, 0.92], "RNN": [0.2, 0.3, 0.25]})
    assert first == (
        "At T = 5, GCN and LSTM are tied for the best test accuracy, 0.914 (GCN) to 0.912 (LSTM): they differ by 0.002 "
        "(95% interval -0.040 to 0.045; 3 seeds, 2,500 test targets), so by no more than 0.05."
    )
    assert second == "Significantly worse than the best: RNN."
    both = sentences({"GCN": [0.912, 0.92], "LSTM": [0.905, 0.91]})[0]
    assert both.startswith("At T = 5, both models are tied for the best test accuracy, 0.916 (GCN) to")
    three = sentences({"A": [0.91, 0.92], "B": [0.90, 0.91], "C": [0.895, 0.905]})[0]
    assert three.startswith("At T = 5, all 3 models are tied") and "they differ at most by 0.015 (95%" in three


def test_answer_of_an_undecided_difference_calls_no_tie():
    """RNN solved the task with no seed; the interval over all values from -1 to 1 is no interval."""
    scores = {"GCN": [1.0, 1.0, 1.0], "GRU": [1.0, 1.0, 1.0], "RNN": [0.607, 0.976, 0.543]}
    first, second, third = sentences(scores, count=8192)
    assert first.endswith("so their scores are tied.")
    assert second == (
        "The next, RNN, solves it with no seed (0.709 on average); its difference from GCN is not decided with 3 seeds."
    )
    assert third == "Better than chance, but not solved: RNN (gates without forget bias, 30 steps)."
    assert sentences({"GCN": [0.9, 0.5], "RNN": [0.5, 0.8]}, task="trees", baselines={"linear": 0.3})[:2] == [
        "At T = 5, GCN has the highest mean test accuracy, 0.700 (2 seeds, 2,500 test targets).",
        "With 2 seeds it is undecided whether GCN is better than RNN: it is ahead by 0.050 (too few seeds for an "
        "interval), so more seeds are needed.",
    ]
    first, second, *_ = sentences({"A": [0.91, 0.92], "B": [0.90, 0.91], "C": [0.89, 0.91]})
    assert first.startswith("At T = 5, A and B are tied for the best test accuracy, 0.915 (A) to 0.905 (B): they")
    assert second == (
        "With 2 seeds it is undecided whether A is better than C: it is ahead by 0.015 (95% interval -0.114 to 0.144), "
        "so more seeds are needed."
    )


def test_answer_of_losses_behind_the_baseline_has_interval_and_undecided_models():
    scores = {"GRU": [1.9, 1.9, 1.91], "RNN": [1.92, 1.92, 1.92], "GCN": [2.7, 2.71, 2.7]}
    options = {"task": "text", "metric": "loss"}
    # Mean 0.40333 and 0.01667, standard errors 0.00333; t(0.975, 2) = 4.3027, and 6.2053 for two pairs.
    assert sentences(scores, baselines={"ngram-5": 1.5, "chance": 4.6}, **options) == [
        "At T = 5, every model loses to the baseline ngram-5: the best by its mean, GRU, has a test loss (nats) of "
        "1.903 against 1.500: worse by 0.403 (95% interval over seeds 0.389 to 0.418; 3 seeds, 2,500 test targets).",
        "With 3 seeds it is undecided whether GRU is better than RNN: it is ahead by 0.017 (95% interval -0.004 to "
        "0.037), so more seeds are needed.",
        "Significantly worse than the best: GCN.",
    ]
    tied = sentences(scores, baselines={"ngram-5": 1.88, "chance": 4.6}, **options)
    assert tied[1:] == ["RNN is tied with GRU, within 0.038.", "Significantly worse than the best: GCN."]
    best = sentences(scores | {"RNN": [2.0, 2.0, 2.0]}, baselines={"ngram-5": 1.5, "chance": 4.6}, **options)
    assert "the best, GRU, has" in best[0] and best[1:] == ["Significantly worse than the best: RNN and GCN."]


def test_answer_of_a_best_mean_that_solves_nothing():
    assert sentences({"A": [1.0, 0.5], "B": [0.5, 0.6], "C": [0.9, 0.9]})[1] == (
        "C, which solves it with no seed, has the best mean, 0.900."
    )


def test_answer_of_a_best_model():
    assert sentences({"GCN": [0.912, 0.92, 0.91], "LSTM": [0.75, 0.76, 0.74], "RNN": [0.2, 0.3, 0.25]}) == [
        "At T = 5, GCN is best, with a test accuracy of 0.914: ahead of LSTM, the next, by 0.164 (95% interval 0.134 "
        "to 0.194; 3 seeds, 2,500 test targets).",
        "Significantly worse than the best: RNN.",
        "GCN is ahead of the best compared baseline, majority with 0.105.",
    ]


def forecasts(seeds, shift, windows=156, models=("GCRN", "LSTM")):
    wave = [8.0 + (window % 7) / 10 for window in range(windows)]
    noise = [0.5 * (-1) ** (window // 6) for window in range(windows)]

    def errors(further):
        return [value + shift + further + (change > 0 and change) for value, change in zip(wave, noise)]

    by_label = {label: [errors(0.5 * place) for _ in range(seeds)] for place, label in enumerate(models)}
    return window_errors.comparison(by_label, {"ar": wave, "mean": [20.0] * windows}, metric="mae")


@pytest.mark.parametrize("seeds, evidence", [(1, "one seed"), (2, "2 seeds"), (3, "3 seeds"), (6, "6 seeds")])
def test_answer_of_a_loss_to_the_baseline_with_any_number_of_seeds(seeds, evidence):
    first, *_ = answer(forecasts(seeds, 0.1))
    assert first.startswith(
        "At horizon 1, every model loses to the baseline ar: the best, GCRN, has a test MAE of 4.323 against 4.148: "
        "worse by 0.175 (95% interval 0."
    )
    assert first.endswith(f"; {evidence}, worse in 156 of 156 test windows).")
    alone = answer(forecasts(seeds, 0.1, models=("GCRN",)))[0]
    assert alone.startswith("At horizon 1, GCRN loses to the baseline ar, with a test MAE of 4.323 against 4.148: wor")


def test_answer_of_some_models_that_lose_to_the_baseline():
    comparison = forecasts(2, -1.0)
    assert answer(comparison)[0].startswith("At horizon 1, GCRN is best, with a test MAE of 3.773: ahead of LSTM, the")
    assert answer(comparison)[-1] == "GCRN is ahead of the best baseline, ar with 4.148."
    comparison = forecasts(2, -0.4, models=("GCRN", "LSTM", "GRU"))
    assert answer(comparison)[-1].endswith("ar with 4.148; LSTM and GRU lose to it.")
    undecided = answer(forecasts(2, -0.25))[-1]
    expected = "GCRN is not distinguishable from the best baseline, ar with 4.148 (difference"
    assert undecided.startswith(expected)
    assert undecided.endswith("; LSTM loses to it.")


def test_answer_of_one_seed_names_it():
    assert sentences({"GCN": [0.9], "LSTM": [0.5]}) == [
        "At T = 5, GCN is best, with a test accuracy of 0.900: ahead of LSTM, the next, by 0.400 (95% interval 0.377 "
        "to 0.423; one seed, 2,500 test targets).",
        "GCN is ahead of the best compared baseline, majority with 0.105.",
        "This is one seed per model; another seed could change it.",
    ]
    text = {"baselines": {"majority": 3.1, "bigram": 2.2}, "task": "text", "metric": "loss"}
    assert sentences({"LSTM": [1.912], "GRU": [1.93], "GCN": [2.5]}, **text) == [
        "At T = 5, LSTM has the lowest test loss (nats), 1.912 against 1.930 of GRU (one seed, 2,500 test targets); "
        "with one seed, no difference can be tested, and another seed could reverse the order.",
        "LSTM is ahead of the best baseline, bigram with 2.200; GCN loses to it.",
    ]


def test_answer_without_a_result():
    failed = {("LSTM", 4, seed): "ValueError: x" for seed in (0, 1)}
    comparison = Comparison("recall", "accuracy", ("LSTM",), (4,), (0, 1), failures=failed)
    assert answer(comparison) == ["No run of a model is finished, and 2 failed, so there is no result yet."]
    assert answer(Comparison("recall", "accuracy", ("LSTM",), (4,), (0,))) == [
        "No run of a model is finished, so there is no result yet."
    ]


def test_answer_where_all_models_solve_the_task():
    assert sentences({"RNN": [1.0, 1.0], "LSTM": [1.0, 0.999]}, stopped="solved") == [
        "At T = 5, both models solve the task with every seed (2 seeds, 2,500 test targets), so their scores are tied."
    ]
    first = sentences({name: [1.0] for name in "ABC"})[0]
    assert first == (
        "At T = 5, all 3 models solve the task with their seed (one seed, 2,500 test targets), so their scores are "
        "tied."
    )


def test_answer_where_some_seeds_solve_the_task():
    assert answer(example()) == [
        "At T = 20, the longest, no model solves the task with every seed: LSTM does with 1 of 2, test accuracy 0.750 "
        "(1 to 2 seeds, 10 test targets).",
        "With the same seeds, LSTM is ahead of GCN by 0.250 (95% interval -0.114 to 0.614), which decides nothing yet: "
        "more seeds are needed.",
        "At chance within this budget: GCN (receptive field of 4 of 19 previous positions).",
        "LSTM is ahead of the best baseline, bigram with 0.200.",
        "One run failed.",
    ]


def test_answer_where_no_model_is_ahead_of_chance():
    assert sentences({"GCN": [0.104, 0.11], "LSTM": [0.1, 0.11]}) == [
        "At T = 5, no model is ahead of chance within this budget: the best, GCN, has a test accuracy of 0.107 against "
        "0.105 of the baseline majority, which ignores its input (2 seeds, 2,500 test targets).",
        "Reasons that the runs show: GCN and LSTM (gates without forget bias, 30 steps).",
    ]
    assert sentences({"GCN": [0.104]})[0] == (
        "At T = 5, GCN is not ahead of chance within this budget: a test accuracy of 0.104 against 0.105 of the "
        "baseline majority, which ignores its input (one seed, 2,500 test targets)."
    )


def test_answer_of_one_model_or_a_baseline_that_is_better():
    assert sentences({"GCN": [0.7, 0.8]})[0] == (
        "At T = 5, GCN is the only model: its test accuracy is 0.750 (2 seeds, 2,500 test targets)."
    )
    assert sentences({"GCN": [0.7, 0.8], "LSTM": [0.6, 0.7]}, task="trees")[0] == (
        "At T = 5, every model loses to the baseline linear: the best, GCN, has a test accuracy of 0.750 against "
        "1.000: worse by 0.250 (95% interval 0.233 to 0.267; 2 seeds, 2,500 test targets)."
    )


def test_show_prints_the_answer_above_the_table(capsys):
    comparison = grid({"GCN": [1.0], "LSTM": [0.1]}, BASELINES)
    show(comparison)
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.startswith(" ".join(answer(comparison)))


def test_answer_has_no_p_value():
    for scores in ({"A": [0.9, 0.91], "B": [0.5, 0.52]}, {"A": [0.9, 0.91], "B": [0.89, 0.93]}):
        assert not any(" p " in sentence or "p =" in sentence for sentence in sentences(scores))
