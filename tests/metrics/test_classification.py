import math

import numpy as np
import pytest
import torch

from seqgnn.metrics.classification import ClassificationSums


def test_classification_sums_result_equals_hand_values():
    sums = ClassificationSums()
    sums.add(torch.tensor([[math.log(3.0), 0.0]]), torch.tensor([0]))  # p = 3/4, right
    sums.add(torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]]), torch.tensor([1, 0]))  # p = 1/4, wrong; 1/2, right
    result = sums.result()
    assert result.count == 3
    assert result.accuracy == pytest.approx(2 / 3)
    assert result.loss == pytest.approx(-(math.log(3 / 4) + math.log(1 / 4) + math.log(1 / 2)) / 3, rel=1e-7)


def test_classification_sums_in_parts_equal_those_of_the_whole():
    generator = torch.Generator().manual_seed(0)
    logits, target = torch.randn(50, 4, generator=generator), torch.randint(4, (50,), generator=generator)
    whole, cut = ClassificationSums(), ClassificationSums()
    whole.add(logits, target)
    for start, stop in [(0, 1), (1, 30), (30, 50)]:
        cut.add(logits[start:stop], target[start:stop])
    expected = np.mean(logits.numpy().argmax(1) == target.numpy())
    assert whole.result().accuracy == cut.result().accuracy == pytest.approx(expected) and 0.05 < expected < 0.45
    assert whole.result().loss == pytest.approx(cut.result().loss, rel=1e-12)


def test_classification_sums_count_every_answer_beyond_the_precision_of_float32():
    sums, many = ClassificationSums(), torch.zeros(2**23, 1)
    for logits in (many, many, many[:1]):
        sums.add(logits, torch.zeros(len(logits), dtype=torch.long))
    assert sums.result().accuracy == 1.0 and sums.result().count == 2**24 + 1


def test_classification_sums_empty_result_raises_value_error():
    with pytest.raises(ValueError, match="at least one target"):
        ClassificationSums().result()
