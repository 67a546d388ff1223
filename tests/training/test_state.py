"""Runs that are interrupted and resumed, compared with uninterrupted runs."""

import pytest
import torch
from torch import nn

from seqgnn.training.checkpoint import BEST, LAST, Checkpoints, read_checkpoint
from seqgnn.training.loop import FitResult, ValidationPoint, fit
from seqgnn.training.state import TrainingState
from tests.support.training_tasks import FirstOfTwo, Linear, ParityModel, RunningSums, config


@pytest.mark.parametrize("optimizer", ["rmsprop", "adam", "adamw", "sgd"])
def test_fit_in_pieces_equals_fit_in_one(tmp_path, optimizer):
    settings = config(steps=25, eval_every=4, optimizer=optimizer, schedule="cosine")
    whole, model = Linear(dropout=0.5), Linear(dropout=0.5)
    expected = fit(whole, FirstOfTwo(), settings, seed=5, checkpoints=Checkpoints(tmp_path / "whole", 6))
    calls = iter(range(1000))
    for number in range(20):
        model = Linear(dropout=0.5)
        if number > 0:
            torch.nn.init.ones_(model.map.weight)  # initial weights do not matter
        before = torch.get_rng_state()
        checkpoints = Checkpoints(tmp_path / "pieces", 6)
        piece = fit(model, FirstOfTwo(), settings, seed=5, checkpoints=checkpoints, stop=lambda: next(calls) % 3 == 2)
        assert torch.equal(torch.get_rng_state(), before)
        if piece.stopped != "interrupted":
            break
    assert piece == expected
    for got, want in zip(model.parameters(), whole.parameters(), strict=True):
        assert torch.equal(got, want)
    for name in (LAST, BEST):
        (got, about), (want, expected_about) = (read_checkpoint(tmp_path / p / name) for p in ("pieces", "whole"))
        for info in (about, expected_about):
            info["training"].pop("measured", None)  # seconds
        assert about == expected_about and got.keys() == want.keys()
        assert all(torch.equal(got[key], want[key]) for key in want)
    assert fit(model, FirstOfTwo(), settings, seed=5, checkpoints=Checkpoints(tmp_path / "pieces", 6)) == expected


def test_fit_interrupted_stateful_run_resumes_its_state(tmp_path):
    settings = config(steps=12, batch_size=4, eval_batch_size=4, eval_every=5, stateful=True, max_grad_norm=None)
    expected = fit(ParityModel(), RunningSums(), settings, seed=0)
    first = iter([False, False, False, True])
    folder = Checkpoints(tmp_path)
    stopped = fit(ParityModel(), RunningSums(), settings, seed=0, checkpoints=folder, stop=lambda: next(first))
    assert stopped.stopped == "interrupted" and stopped.steps == 4
    model = ParityModel()
    assert fit(model, RunningSums(), settings, seed=0, checkpoints=Checkpoints(tmp_path)) == expected
    assert model.states[0] is not None


def test_fit_resumed_accepts_more_steps_and_no_other_change(tmp_path):
    settings = config(steps=10)
    fit(Linear(), FirstOfTwo(), settings, seed=5, checkpoints=Checkpoints(tmp_path))
    more = fit(Linear(), FirstOfTwo(), config(steps=30), seed=5, checkpoints=Checkpoints(tmp_path))
    assert more == fit(Linear(), FirstOfTwo(), config(steps=30), seed=5)
    with pytest.raises(ValueError, match=r"expected the configuration of the run in .*, got lr=0.5 instead of 0.02"):
        fit(Linear(), FirstOfTwo(), config(steps=30, lr=0.5), seed=5, checkpoints=Checkpoints(tmp_path))
    with pytest.raises(ValueError, match="got seed=6 instead of 5"):
        fit(Linear(), FirstOfTwo(), config(steps=30), seed=6, checkpoints=Checkpoints(tmp_path))


def test_fit_nan_loss_preserves_the_last_good_checkpoint(tmp_path):

    class Huge(Linear):
        def forward(self, batch, state=None):
            return self.map(batch.x) * (float("inf") if len(task.drawn) == 8 else 1.0), None

    task = FirstOfTwo()
    with pytest.raises(ValueError, match=r"loss is nan at step 8; try a lower lr or a"):
        fit(Huge(), task, config(), seed=5, checkpoints=Checkpoints(tmp_path, 3))
    assert read_checkpoint(tmp_path / LAST)[1]["training"]["step"] == 6


def test_fit_with_checkpoint_of_another_model_raises_value_error(tmp_path):
    fit(Linear(), FirstOfTwo(), config(steps=2), seed=5, checkpoints=Checkpoints(tmp_path))
    other = Linear()
    other.map = nn.Linear(2, 3)
    with pytest.raises(ValueError, match=r"expected the model of the run in .*, got .*size mismatch"):
        fit(other, FirstOfTwo(), config(steps=2), seed=5, checkpoints=Checkpoints(tmp_path))


def test_fit_result_repr_is_short_and_has_a_table():
    points = [ValidationPoint(100 * i, 1 / i, 0.1 * i) for i in range(1, 9)]
    result = FitResult([0.5] * 1234, [0.1] * 1234, points, 1234, "no better", 800, 12.34)
    shown = "stopped: no better; last training loss: 0.5; validation at step 800: loss 0.125, accuracy 0.800; "
    assert repr(result) == f"FitResult(1234 steps in 12.3 s; {shown}weights of step: 800)"
    assert repr(FitResult()) == "FitResult(0 steps in 0.0 s; stopped: steps; weights of step: 0)"
    html = FitResult(stopped="<b>")._repr_html_()
    assert html.startswith("<table>") and "<td>&lt;b&gt;</td>" in html and "<b>" not in html


def test_training_state_equal_score_does_not_replace_the_best():
    """The first of several equal evaluations is the best, so that patience counts from there."""
    model = nn.Linear(1, 1)
    state = TrainingState(model, config(), 0, torch.device("cpu"), None)
    state.result.steps = 10
    assert state.keep_best((0.5, -1.0)) and state.result.best_step == 10
    best = model.weight.detach().clone()
    with torch.no_grad():
        model.weight.add_(1.0)
    state.result.steps = 20
    assert not state.keep_best((0.5, -1.0)) and state.result.best_step == 10
    assert torch.equal(state.best_weights["weight"], best)
    assert not state.keep_best((0.5, -1.5)) and state.keep_best((0.5, -0.5)) and state.result.best_step == 20


def test_fit_equal_scores_use_up_patience():
    """With so small a learning rate all evaluations are equal: the first is the best, and two more end the run."""
    result = fit(Linear(), FirstOfTwo(), config(steps=200, lr=1e-30, patience=2), seed=0)
    assert (result.stopped, result.best_step, result.steps) == ("no better", 10, 30)
