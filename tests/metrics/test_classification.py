import math

import pytest
import torch

from seqgnn.metrics.classification import ClassificationSums
from seqgnn.metrics.significance import mean_sd, paired_difference
from seqgnn.report.plots.comparison import running_mean


def test_sums_are_worked_out_by_hand():
    sums = ClassificationSums()
    sums.add(torch.tensor([[math.log(3.0), 0.0]]), torch.tensor([0]))  # p = 3/4, right
    sums.add(torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]]), torch.tensor([1, 0]))  # p = 1/4, wrong; 1/2, right
    result = sums.result()
    assert result.count == 3
    assert result.accuracy == pytest.approx(2 / 3)
    assert result.loss == pytest.approx(-(math.log(3 / 4) + math.log(1 / 4) + math.log(1 / 2)) / 3, rel=1e-7)


def test_sums_do_not_depend_on_the_cut():
    generator = torch.Generator().manual_seed(0)
    logits, target = torch.randn(50, 4, generator=generator), torch.randint(4, (50,), generator=generator)
    whole, cut = ClassificationSums(), ClassificationSums()
    whole.add(logits, target)
    for start, stop in [(0, 1), (1, 30), (30, 50)]:
        cut.add(logits[start:stop], target[start:stop])
    assert whole.result().accuracy == cut.result().accuracy
    assert whole.result().loss == pytest.approx(cut.result().loss, rel=1e-12)


def test_an_empty_set_is_refused():
    with pytest.raises(ValueError, match="at least one target"):
        ClassificationSums().result()


def test_mean_and_sample_standard_deviation():
    assert mean_sd([2.0, 4.0]) == (3.0, pytest.approx(math.sqrt(2)))
    mean, sd = mean_sd([0.25])
    assert mean == 0.25 and math.isnan(sd)
    with pytest.raises(ValueError, match="at least one value"):
        mean_sd([])


def test_the_interval_of_a_paired_difference_is_students():
    # differences 1, 2, 3: mean 2, sd 1; t(0.975, 2 degrees of freedom) = 4.302653
    mean, half = paired_difference([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert mean == 2.0
    assert half == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    with pytest.raises(ValueError, match="got 2 and 1"):
        paired_difference([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="at least 2 scores"):
        paired_difference([1.0], [1.0])


def test_running_mean_is_centered_and_shrinks_at_the_ends():
    values = [float(i % 7) for i in range(60)]
    smooth = running_mean(values)
    assert len(smooth) == 60
    assert smooth[30] == pytest.approx(sum(values[20:41]) / 21)
    assert smooth[0] == pytest.approx(sum(values[:11]) / 11)
    assert smooth[-1] == pytest.approx(sum(values[-11:]) / 11)
    assert running_mean([], 21) == []
    with pytest.raises(ValueError, match="odd width"):
        running_mean(values, 20)
