"""Plans of comparisons: invalid options, estimates, and runs of changed data."""

import pytest
import torch

from seqgnn.experiments import AutoSeeds, ModelSpec
from seqgnn.experiments.results.leading_difference import leading_difference
from seqgnn.experiments.runs.config import RunConfig
from seqgnn.metrics.significance import paired_difference
from tests.support.comparisons import plan_grid


def test_plan_run_of_changed_text_fails_every_run(tmp_path):
    book = tmp_path / "book.txt"
    book.write_text("the quick brown fox jumps over the lazy dog. " * 40)
    planned = plan_grid("text", models=["rnn"], sizes=[4], seeds=[0], steps=2, hidden=4, data=book)
    book.write_text("pack my box with five dozen liquor jugs. " * 40)
    result = planned.run(progress=False)
    assert not result.runs and not result.baselines
    assert all("it was changed after the comparison began" in message for message in result.failures.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": [ModelSpec("linear", "rnn")]}, "expected labels other than those of baselines, got 'linear'"),
        (
            {"models": [ModelSpec("W2", "gcn-in-lstm", hops=(2,))]},
            "expected hops for a GCN on a path alone, got row 'W2'",
        ),
        (
            {"models": ["rnn", ModelSpec("same", "rnn", init=("xavier",))]},
            "expected different models, got .*same.* and .*RNN",
        ),
        ({"seeds": [2**70]}, "expected seeds to be distinct integers"),
        ({"device": "meta"}, "expected a device that this torch can use, got 'meta'"),
        ({"models": ["LSTM"]}, "did you mean 'lstm'"),
        ({"models": [ModelSpec("", "rnn")]}, "expected printable labels of one line, got ''"),
        (
            {"models": [ModelSpec("two\nlines", "rnn")]},
            "expected printable labels of one line, got 'two.nlines'",
        ),
        ({"hidden": 8.5}, "expected hidden to be an integer of at least 1, got 8.5"),
        ({"steps": None, "max_seconds": 1.0, "schedule": "cosine"}, "expected steps, at which schedule 'cosine' ends"),
        (
            {"models": [ModelSpec("still", "rnn", lr=0.0)]},
            "expected lr to be a number above 0 and at most 1e37, got 0.0",
        ),
    ],
)
def test_plan_invalid_options_raise_value_error(options, message):
    with pytest.raises(ValueError, match=message):
        plan_grid("recall", **options)


def test_plan_estimate_of_diverging_row_gives_the_reason(tmp_path):
    rows = ["rnn", ModelSpec("wild", "rnn", lr=1e37)]
    planned = plan_grid(
        "recall", models=rows, sizes=[4], seeds=[0, 1], steps=50, max_grad_norm=None, out=tmp_path / "new"
    )
    known, unknown = planned.estimate()
    assert set(known) == {("RNN", 4, 0), ("RNN", 4, 1)} and set(unknown) == {("wild", 4, 0), ("wild", 4, 1)}
    assert "loss is nan" in unknown["wild", 4, 0] and not (tmp_path / "new").exists()


SMALL = {"models": ["rnn", "gcn"], "steps": 6, "hidden": 4, "batch_size": 8}


def test_plan_estimate_uses_one_thread_as_runs_do(monkeypatch):
    planned = plan_grid("recall", models=["rnn"], sizes=[3], seeds=[0], steps=2, hidden=4)
    threads = torch.get_num_threads()
    monkeypatch.setattr(RunConfig, "estimate", lambda self, data: float(torch.get_num_threads()))
    torch.set_num_threads(2)
    try:
        assert list(planned.estimate()[0].values()) == [1.0]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_plan_outline_counts_runs_and_baselines():
    planned = plan_grid("recall", sizes=[4, 5], seeds=[7], **SMALL)
    assert planned.outline() == "recall: 4 runs (2 models, T = 4 and 5, one seed) and 6 baselines"
    planned = plan_grid("recall", sizes=[4], seeds="auto", **SMALL)
    assert planned.outline() == "recall: 6 runs (2 models, T = 4, 3 seeds, then more) and 3 baselines"


def test_plan_seeds_auto_draws_up_to_the_maximum_and_resumes(tmp_path, monkeypatch, capsys):
    made, perform = [], RunConfig.perform
    monkeypatch.setattr(RunConfig, "perform", lambda *a, **k: made.append((a[0].size, a[0].seed)) or perform(*a, **k))
    planned = plan_grid("recall", sizes=[4, 5], seeds=AutoSeeds(1e-9, max_seeds=5), out=tmp_path, **SMALL)
    assert planned.seeds == (0, 1, 2) and len(planned.jobs) == 2 * (2 * 3 + 3)
    result = planned.run()
    assert result.seeds == (0, 1, 2, 3, 4) and {key[2] for key in result.runs} == {0, 1, 2, 3, 4}
    assert sorted(made) == [(size, seed) for size in (4, 5) for seed in range(5) for _ in range(2)]
    shown = capsys.readouterr().out
    assert "drawing seed 3\n" in shown and "drawing seed 4\n" in shown and "drawing seed 5" not in shown
    assert shown.endswith("no more seeds: the maximum of 5 seeds is reached\n")
    made.clear()
    again = plan_grid("recall", sizes=[4, 5], seeds=AutoSeeds(1e-9, max_seeds=5), out=tmp_path, **SMALL).run(False)
    assert made == [] and again.runs == result.runs and again.rows() == result.rows()
    given = plan_grid("recall", sizes=[4, 5], seeds=[0, 1, 2, 3, 4], out=tmp_path, **SMALL).run(False)
    assert made == [] and given.runs.keys() == result.runs.keys() and given.rows() == result.rows()


def test_plan_seeds_auto_stops_at_sizes_that_are_precise():
    def width(result, size):
        lead = leading_difference(result, size)
        a, b = ([run.result.test.values["accuracy"] for run in result.of(label, size)] for label in result.labels)
        sign = 1 if (lead.first, lead.second) == tuple(result.labels) else -1
        mean, half = paired_difference(a, b)
        assert lead.width == pytest.approx(2 * half) and lead.mean == pytest.approx(sign * mean) and lead.mean >= 0
        return lead.width

    first = plan_grid("recall", sizes=[4, 5], seeds=[0, 1, 2], **SMALL).run(False)
    scores = {size: width(first, size) for size in (4, 5)}
    narrow = min(scores, key=scores.get)
    between = sum(scores.values()) / 2
    result = plan_grid("recall", sizes=[4, 5], seeds=AutoSeeds(between, max_seeds=4), **SMALL).run(False)
    assert {size for _, size, seed in result.runs if seed == 3} == {4, 5} - {narrow}
    wide = plan_grid("recall", sizes=[4, 5], seeds=AutoSeeds(2 * between, max_seeds=4), **SMALL).run(False)
    assert wide.seeds == (0, 1, 2) and all(wide.scores(*key) == first.scores(*key) for key in [("RNN", 4), ("GCN", 5)])


def test_plan_seeds_auto_budget_ends_the_draw(capsys):
    plan_grid("recall", sizes=[4], seeds=AutoSeeds(1e-9, budget=1e-3), **SMALL).run()
    assert capsys.readouterr().out.endswith("no more seeds: the budget of 0.001 s is spent\n")


def test_plan_seeds_of_other_words_or_with_retry_raise_value_error():
    with pytest.raises(ValueError, match="expected seeds to be integers or 'auto', got 'all'"):
        plan_grid("recall", seeds="all", **SMALL)
    with pytest.raises(ValueError, match="expected a list of seeds with retry_failed, got seeds='auto'"):
        plan_grid("recall", sizes=[4], seeds="auto", **SMALL).run(only_failed=True)
