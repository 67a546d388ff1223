"""Objectives: their values, and the batches that they reject."""

import math

import pytest
import torch
from torch_geometric.data import Batch

from seqgnn.tasks.objectives import Classification, check_finite_x
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
