"""Objectives: their values, and the batches that they reject."""

import math

import pytest
import torch
from torch_geometric.data import Batch

from seqgnn.tasks import Adding, Palindromes
from seqgnn.tasks.objectives import Classification, Regression, check_finite_x, objective_of
from seqgnn.training.loop import fit
from tests.support.training_tasks import Broken, FirstOfTwo, Linear, config


def test_classification_loss_and_accuracy_by_hand():
    logits, batch = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]]), Batch(x=torch.zeros(2, 1), y=torch.tensor([1, 0]))
    objective = Classification()
    assert objective.loss(logits, batch).item() == pytest.approx((math.log(4) + math.log(2)) / 2)
    assert objective.accuracy(logits, batch).item() == 0.5
    sums = objective.sums()
    objective.add(sums, logits, batch)
    assert sums.result().loss == pytest.approx((math.log(4) + math.log(2)) / 2) and sums.result().count == 2


def test_classification_background_is_left_out_of_the_accuracy_alone():
    logits = torch.tensor([[0.0, 0.0, 5.0], [9.0, 0.0, 0.0], [9.0, 0.0, 0.0], [0.0, 0.0, 9.0]])
    batch = Batch(x=torch.zeros(4, 1), y=torch.tensor([2, 0, 1, 2]))
    objective = Classification(background=2)
    plain = Classification()
    assert objective.loss(logits, batch) == plain.loss(logits, batch)
    assert (objective.accuracy(logits, batch).item(), plain.accuracy(logits, batch).item()) == (0.5, 0.75)
    sums, plain_sums = objective.sums(), plain.sums()
    for rows in (slice(0, 1), slice(1, 4)):  # of the first batch, no target counts
        part = Batch(x=batch.x[rows], y=batch.y[rows])
        objective.add(sums, logits[rows], part)
        plain.add(plain_sums, logits[rows], part)
    assert sums.result().loss == plain_sums.result().loss
    assert (sums.result().accuracy, sums.result().count) == (0.5, 2)


def test_classification_sums_without_counted_targets_raise():
    objective = Classification(background=2)
    sums = objective.sums()
    objective.add(sums, torch.zeros(3, 3), Batch(x=torch.zeros(3, 1), y=torch.tensor([2, 2, 2])))
    with pytest.raises(ValueError, match="expected at least one target, got 3 targets of class 2"):
        sums.result()
    with pytest.raises(ValueError, match="expected at least one target, got an empty set"):
        objective.sums().result()


def test_regression_loss_and_accuracy_by_hand():
    output, batch = torch.tensor([[1.0], [2.0], [0.5]]), Batch(x=torch.zeros(3, 1), y=torch.tensor([1.0, 1.0, 0.75]))
    objective = Regression(0.25)  # an error of the tolerance is too large
    assert objective.loss(output, batch).item() == pytest.approx((0 + 1 + 1 / 16) / 3)
    assert objective.accuracy(output, batch).item() == pytest.approx(1 / 3)
    assert Regression(0.3).accuracy(output, batch).item() == pytest.approx(2 / 3)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, math.inf, math.nan])
def test_regression_invalid_tolerance_raises(tolerance):
    with pytest.raises(ValueError, match="Regression: expected a finite tolerance above 0, got"):
        Regression(tolerance)


@pytest.mark.parametrize(
    ("y", "output", "message"),
    [
        (torch.tensor([1, 2]), torch.zeros(2, 1), r"targets of a floating-point dtype, .* got torch.int64 \(2,\)"),
        (None, torch.zeros(2, 1), "targets of a floating-point dtype, at least one, got NoneType"),
        (torch.zeros(0), torch.zeros(0, 1), r"at least one, got torch.float32 \(0,\)"),
        (torch.zeros(2), torch.zeros(2, 2), r"predictions \[M, 1\] and targets \[M\], got \(2, 2\) and \(2,\)"),
        (torch.zeros(2, 1), torch.zeros(2, 1), r"got \(2, 1\) and \(2, 1\)"),
        (torch.tensor([0.0, math.nan]), torch.zeros(2, 1), "finite targets, got nan at sample 1"),
    ],
)
def test_regression_rejects_wrong_targets(y, output, message):
    with pytest.raises(ValueError, match=f"training: expected .*{message}"):
        Regression(0.1).check(Batch(x=torch.zeros(2, 1), y=y), output)
    with pytest.raises(ValueError, match="expected finite x"):
        Regression(0.1).check(Batch(x=torch.full((2, 1), math.inf), y=torch.zeros(2)), torch.zeros(2, 1))


def test_objective_of_a_task_is_its_own_or_classification():
    assert objective_of(Adding(4)) is Adding.objective
    assert type(objective_of(Palindromes(4))) is Classification and objective_of(object()).background is None


def test_check_finite_x_counts_wrong_values():
    check_finite_x(Batch(x=torch.tensor([1, 2])))
    message = "expected finite x, got 2 NaN or infinite values, the first inf at sample 1$"
    with pytest.raises(ValueError, match=message):
        check_finite_x(Batch(x=torch.tensor([1.0, math.inf, math.nan])))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda batch: batch.x.fill_(math.nan), "expected finite x, got 64 NaN .*, the first nan at sample 0"),
        (lambda batch: batch.update({"y": batch.y.float()}), r"expected targets of torch.int64, .* got torch.float32"),
        (lambda batch: batch.update({"y": None}), r"expected targets of torch.int64, .* got NoneType"),
        (lambda batch: batch.update({"y": batch.y[:0]}), r"expected targets of torch.int64, at least one, got"),
        (lambda batch: batch.y.fill_(2), r"expected targets in 0\.\.1, got 2\.\.2"),
        (lambda batch: batch.y.fill_(-1), r"got -1\.\.-1"),
        (lambda batch: batch.update({"y": batch.y[:5]}), r"got \(32, 2\) and \(5,\)"),
    ],
)
def test_wrong_batches_are_rejected_with_their_step(change, message):
    with pytest.raises(ValueError, match=message + r".* \(step 3\)$"):
        fit(Linear(), Broken(change), config(), seed=0)


def test_fit_names_validation_with_nonfinite_x():
    task = FirstOfTwo()
    whole = task.validation

    def validation(batch_size):
        for batch in whole(batch_size):
            batch.x[3, 1] = math.inf
            yield batch

    task.validation = validation
    message = r"the first inf at sample 3 \(validation after step 2\)$"
    with pytest.raises(ValueError, match=message):
        fit(Linear(), task, config(steps=4, eval_every=2), seed=0)
