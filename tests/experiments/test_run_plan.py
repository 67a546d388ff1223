"""Plans of comparisons: invalid options, estimates, and runs of changed data."""

import pytest

from seqgnn.experiments import ModelSpec
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
