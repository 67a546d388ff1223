import math

import numpy as np
import pytest
import torch
from torch.nn.functional import huber_loss

from seqgnn.metrics import ForecastSums, forecast_loss


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_forecast_sums_scores_equal_hand_values():
    y = torch.tensor([[[[2.0], [4.0]]], [[[0.0], [-8.0]]]])  # 2 steps, 1 window, 2 nodes, 1 target
    forecast = torch.tensor([[[[3.0], [4.0]]], [[[2.0], [-4.0]]]])
    sums = ForecastSums()
    sums.add(forecast, y)
    scores = sums.result()
    assert (scores.mae, scores.mse, scores.count) == (7 / 4, 21 / 4, 4)  # errors 1, 0, 2, 4
    assert scores.rmse == pytest.approx(math.sqrt(21 / 4))
    assert (scores.mape, scores.mape_count) == (pytest.approx((1 / 2 + 0 + 4 / 8) / 3), 3)  # excluding the target 0
    first, second = scores.by_step
    assert (first.mae, second.mae, first.count, second.mse) == (0.5, 3.0, 2, 10.0)
    assert first.by_step == ()
    assert [node.mae for node in sums.by_node()] == [1.5, 2.0]


def test_forecast_sums_with_mask_equal_numpy():
    forecast, y, mask = random(3, 7, 5, 2), random(3, 7, 5, 2, seed=1), random(3, 7, 5, 2, seed=2) > 0
    sums = ForecastSums(mape_threshold=0.5)
    for windows in (slice(0, 1), slice(1, 7)):
        sums.add(forecast[:, windows], y[:, windows], mask[:, windows])
    f, t, m = (tensor.double().numpy() for tensor in (forecast, y, mask))
    for scores, where in [
        (sums.result(), np.s_[:]),
        *((step, np.s_[k]) for k, step in enumerate(sums.result().by_step)),
        *((node, np.s_[:, :, n]) for n, node in enumerate(sums.by_node())),
    ]:
        seen = m[where] == 1
        error, truth = (f[where] - t[where])[seen], t[where][seen]
        large = np.abs(truth) >= 0.5
        assert scores.count == seen.sum() and scores.mape_count == large.sum() and scores.mape_threshold == 0.5
        assert scores.mae == pytest.approx(np.abs(error).mean(), rel=1e-12)
        assert scores.mse == pytest.approx((error**2).mean(), rel=1e-12)
        assert scores.rmse == pytest.approx(np.sqrt((error**2).mean()), rel=1e-12)
        assert scores.mape == pytest.approx(np.abs(error / truth)[large].mean(), rel=1e-12)


@pytest.mark.parametrize("metric", ["mae", "mse", "rmse", "mape"])
def test_forecast_sums_by_window_equals_sums_of_each_window(metric):
    forecast, y, mask = random(3, 7, 5, 2), random(3, 7, 5, 2, seed=1), random(3, 7, 5, 2, seed=2) > 0
    mask[:, 4] = False
    sums = ForecastSums(mape_threshold=0.5)
    for windows in (slice(0, 4), slice(4, 7)):
        sums.add(forecast[:, windows], y[:, windows], mask[:, windows])
    found = sums.by_window(metric)
    for window in range(7):
        seen = mask[:, window].numpy()
        truth = y[:, window].double().numpy()[seen]
        error = np.abs(forecast[:, window].double().numpy()[seen] - truth)
        large = np.abs(truth) >= 0.5 if metric == "mape" else np.ones_like(truth, dtype=bool)
        terms = {"mae": error, "mse": error**2, "rmse": error**2, "mape": error / np.abs(truth)}[metric][large]
        assert found.errors[window] == pytest.approx(terms.sum(), rel=1e-12) and found.counts[window] == len(terms)
    assert found.counts[4] == 0 and found.errors[4] == 0.0
    whole = sum(found.errors) / sum(found.counts)
    score = getattr(sums.result(), metric)
    assert score == pytest.approx(math.sqrt(whole) if metric == "rmse" else whole, rel=1e-12)


def test_forecast_sums_by_window_unknown_metric_or_empty_raises():
    with pytest.raises(ValueError, match="ForecastSums: expected metric to be one of"):
        ForecastSums().by_window("mase")
    with pytest.raises(ValueError, match="expected at least one observed value, got an empty set"):
        ForecastSums().by_window("mae")


def test_forecast_sums_of_unequal_batches_are_not_averaged():
    sums = ForecastSums()
    sums.add(torch.full((1, 9, 1, 1), 1.0), torch.zeros(1, 9, 1, 1))
    sums.add(torch.full((1, 1, 1, 1), 11.0), torch.zeros(1, 1, 1, 1))
    assert sums.result().mae == 2.0


def test_forecast_sums_ignore_nan_where_masked():
    y, mask = torch.zeros(1, 2, 1, 1), torch.tensor([True, False]).view(1, 2, 1, 1)
    forecast = torch.tensor([2.0, math.nan]).view(1, 2, 1, 1)
    sums = ForecastSums()
    sums.add(forecast, torch.where(mask, y, math.inf), mask)
    assert sums.result().mae == 2.0 and math.isnan(sums.result().mape)


def test_forecast_sums_unobserved_step_has_nan_scores():
    mask = torch.tensor([True, False]).view(2, 1, 1, 1).expand(2, 1, 3, 1)
    sums = ForecastSums()
    sums.add(torch.ones(2, 1, 3, 1), torch.zeros(2, 1, 3, 1), mask)
    first, second = sums.result().by_step
    assert first.mae == 1.0 and math.isnan(second.mae) and math.isnan(second.rmse) and second.count == 0


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("which", ["forecast", "truth"])
def test_forecast_sums_nonfinite_value_raises_with_step_and_node(value, which):
    given = {"forecast": torch.zeros(3, 2, 4, 1), "truth": torch.zeros(3, 2, 4, 1)}
    given[which][2, 1, 3] = value
    sums = ForecastSums()
    sums.add(given["forecast"], given["truth"])
    with pytest.raises(ValueError, match=r"expected finite .* at step 2 ahead, node 3"):
        sums.result()


def test_forecast_sums_empty_raise_value_error():
    with pytest.raises(ValueError, match="at least one observed value, got an empty set"):
        ForecastSums().result()
    sums = ForecastSums()
    sums.add(torch.ones(1, 2, 3, 1), torch.ones(1, 2, 3, 1), torch.zeros(1, 2, 3, 1, dtype=torch.bool))
    with pytest.raises(ValueError, match="got an empty set"):
        sums.by_node()


@pytest.mark.parametrize("scored", [lambda *given: ForecastSums().add(*given), forecast_loss])
def test_forecast_sums_and_loss_wrong_shapes_raise_value_error(scored):
    y = torch.zeros(1, 2, 3, 1)
    for wrong in (torch.zeros(1, 2, 3), torch.zeros(1, 2, 1, 3), torch.zeros(1, 1, 3, 1), torch.zeros(())):
        with pytest.raises(ValueError, match=r"expected forecast of shape \(1, 2, 3, 1\), as y is, got shape"):
            scored(wrong, y)
    with pytest.raises(ValueError, match=r"expected mask of shape \(1, 2, 3, 1\), as y is, got shape \(2, 3\)"):
        scored(y, y, torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"mask of dtype torch.bool, got torch.float32"):
        scored(y, y, torch.ones_like(y))
    with pytest.raises(ValueError, match=r"y of shape \[horizon, B, N, C\], got shape \(2, 3\)"):
        scored(torch.zeros(2, 3), torch.zeros(2, 3))


def test_forecast_sums_changed_steps_or_nodes_raise_value_error():
    sums = ForecastSums()
    sums.add(torch.zeros(1, 2, 3, 1), torch.zeros(1, 2, 3, 1))
    with pytest.raises(ValueError, match=r"expected \(1, 3\) steps and nodes as before, got \(1, 4\)"):
        sums.add(torch.zeros(1, 2, 4, 1), torch.zeros(1, 2, 4, 1))
    with pytest.raises(ValueError, match="mape_threshold above 0 and finite, got 0"):
        ForecastSums(0)


def test_forecast_loss_kinds_equal_hand_values():
    y = torch.zeros(1, 3, 1, 1)
    forecast = torch.tensor([0.5, -3.0, 100.0]).view(1, 3, 1, 1)
    mask = torch.tensor([True, True, False]).view(1, 3, 1, 1)
    assert forecast_loss(forecast, y, mask, "mae").item() == 1.75
    assert forecast_loss(forecast, y, mask, "mse").item() == 4.625
    assert forecast_loss(forecast, y, mask, "huber").item() == (0.125 + 2.5) / 2
    everywhere = huber_loss(forecast, y)
    assert forecast_loss(forecast, y, kind="huber").item() == pytest.approx(everywhere.item())
    with pytest.raises(ValueError, match="kind to be one of 'mae', 'mse', 'huber', got 'rmse'"):
        forecast_loss(forecast, y, kind="rmse")


@pytest.mark.parametrize("kind", ["mae", "mse", "huber"])
def test_forecast_loss_has_no_gradient_where_masked(kind):
    forecast = torch.tensor([1.0, math.nan]).view(1, 2, 1, 1).requires_grad_()
    mask = torch.tensor([True, False]).view(1, 2, 1, 1)
    forecast_loss(forecast, torch.zeros(1, 2, 1, 1), mask, kind).backward()
    assert forecast.grad[0, 1].item() == 0.0 and forecast.grad[0, 0].item() != 0.0
    forecast.grad = None
    loss = forecast_loss(forecast, torch.zeros(1, 2, 1, 1), torch.zeros_like(mask), kind)
    loss.backward()
    assert loss.item() == 0.0 and not forecast.grad.any()
