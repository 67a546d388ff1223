import math

import numpy as np
import pytest
import torch
from torch.nn.functional import huber_loss

from seqgnn.metrics import ForecastSums, forecast_loss, naive_error


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
    assert [node.mae for node in sums.by_node()] == [1.5, 2.0] and isinstance(sums.by_node(), tuple)


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


def column(*values):
    """One window with one target at each step."""
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1)


@pytest.mark.parametrize("unit", [1e-6, 1e-3, 1.0, 1e3, 1e6])
def test_forecast_sums_relative_scores_with_a_zero_equal_hand_values(unit):
    y, forecast = (unit * column(*values) for values in ([10, 0, 4, 8], [12, 7, 3, 9]))
    sums = ForecastSums(naive_error=torch.full((1, 1), 8 / 3 * unit))
    sums.add(forecast, y)
    scores = sums.result()
    assert scores.mape == pytest.approx((2 / 10 + 1 / 4 + 1 / 8) / 3, rel=1e-6) == pytest.approx(0.19167, abs=1e-5)
    assert (scores.mape_count, scores.mase_count, scores.count, scores.mape_threshold) == (3, 4, 4, 0.0)
    assert scores.wape == pytest.approx(11 / 22, rel=1e-6)
    assert scores.smape == pytest.approx(2 * (2 / 22 + 7 / 7 + 1 / 7 + 1 / 17) / 4, rel=1e-6)
    assert scores.mase == pytest.approx((2 + 7 + 1 + 1) / 4 / (8 / 3), rel=1e-6)
    zero = scores.by_step[1]
    assert math.isnan(zero.mape) and math.isnan(zero.wape) and zero.smape == 2.0


def test_forecast_sums_smape_of_two_zeros_is_zero():
    sums = ForecastSums()
    sums.add(column(0, 3, 1), column(0, 1, 0), column(1, 1, 0).bool())
    scores = sums.result()
    assert (scores.smape, scores.mape, scores.wape, scores.count, scores.mape_count) == (0.5, 2.0, 2.0, 2, 1)


def test_forecast_sums_relative_scores_with_mask_equal_numpy():
    forecast, y, mask = random(3, 7, 5, 2), random(3, 7, 5, 2, seed=1), random(3, 7, 5, 2, seed=2) > 0
    y[random(3, 7, 5, 2, seed=3) > 1] = 0.0
    scale = random(5, 2, seed=4).abs()
    scale[1, 0], scale[3, 1] = 0.0, math.nan  # of a constant node, and of one without observations
    sums = ForecastSums(naive_error=scale)
    for windows in (slice(0, 3), slice(3, 7)):
        sums.add(forecast[:, windows], y[:, windows], mask[:, windows])
    f, t, m = forecast.double().numpy(), y.double().numpy(), mask.numpy()
    q = np.broadcast_to(scale.double().numpy(), f.shape)
    for scores, where in [
        (sums.result(), np.s_[:]),
        *((step, np.s_[k]) for k, step in enumerate(sums.result().by_step)),
        *((node, np.s_[:, :, n]) for n, node in enumerate(sums.by_node())),
    ]:
        seen = m[where]
        error, truth, size = (v[where][seen] for v in (np.abs(f - t), np.abs(t), np.abs(f) + np.abs(t)))
        scale_of = q[where][seen]
        scaled = error[scale_of > 0] / scale_of[scale_of > 0]
        assert (scores.mape_count, scores.mase_count) == ((truth != 0).sum(), len(scaled))
        assert scores.mape == pytest.approx((error[truth != 0] / truth[truth != 0]).mean(), rel=1e-12)
        assert scores.wape == pytest.approx(error.sum() / truth.sum(), rel=1e-12)
        assert scores.smape == pytest.approx((2 * error / size).mean(), rel=1e-12)
        assert scores.mase == pytest.approx(scaled.mean(), rel=1e-12)


def test_forecast_sums_without_naive_error_have_no_mase():
    sums = ForecastSums()
    sums.add(column(1, 2), column(2, 2))
    assert math.isnan(sums.result().mase) and sums.result().mase_count == 0
    sums = ForecastSums(naive_error=torch.zeros(1, 1))
    sums.add(column(1, 2), column(2, 2))
    assert math.isnan(sums.result().mase) and sums.result().mase_count == 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_naive_error_of_observed_values_that_are_not_finite_raises_value_error(value):
    targets, earlier = torch.arange(8.0).view(4, 2, 1), torch.tensor([-1, 0, 1, 2])
    targets[2, 1, 0] = value
    with pytest.raises(ValueError, match=f"^naive_error: expected finite .*, got {value} at step 2, node 1$"):
        naive_error(targets, earlier)
    mask = torch.ones(4, 2, 1, dtype=torch.bool)
    mask[2, 1] = False
    assert naive_error(targets, earlier, mask).tolist() == [[2.0], [2.0]]
    with pytest.raises(ValueError, match="naive_error: expected a boolean mask of shape"):
        naive_error(targets, earlier, mask[:, :1])
    with pytest.raises(ValueError, match="naive_error: expected a boolean mask of shape"):
        naive_error(targets, earlier, mask.float())


def test_naive_error_equals_numpy():
    targets = random(20, 3, 2)
    values, season = targets.double().numpy(), torch.arange(20) - 7
    season[:7] = -1
    np.testing.assert_allclose(naive_error(targets, season), np.abs(values[7:] - values[:-7]).mean(0), rtol=1e-12)
    mask = random(20, 3, 2, seed=1) > 0
    mask[:, 2, 1] = False
    found, gone = naive_error(targets, season, mask).numpy(), np.where(mask, values, np.nan)
    for node, target in np.ndindex(3, 2):
        error = np.abs(gone[7:, node, target] - gone[:-7, node, target])
        error = error[~np.isnan(error)]
        assert found[node, target] == pytest.approx(error.mean(), rel=1e-12) if len(error) else np.isnan(found[2, 1])
    with pytest.raises(ValueError, match=r"expected targets \[T, N, C\] and earlier \[T\], got"):
        naive_error(targets, season[1:])


@pytest.mark.parametrize("metric", ["mae", "mse", "rmse", "mape", "wape", "smape", "mase"])
def test_forecast_sums_by_window_equals_sums_of_each_window(metric):
    forecast, y, mask = random(3, 7, 5, 2), random(3, 7, 5, 2, seed=1), random(3, 7, 5, 2, seed=2) > 0
    mask[:, 4] = False
    scale = random(5, 2, seed=4).abs()
    level = np.abs(y.double().numpy())[mask].mean()
    sums = ForecastSums(mape_threshold=0.5, naive_error=scale)
    for windows in (slice(0, 4), slice(4, 7)):
        sums.add(forecast[:, windows], y[:, windows], mask[:, windows])
    found = sums.by_window(metric)
    for window in range(7):
        seen = mask[:, window].numpy()
        truth, other = (values[:, window].double().numpy()[seen] for values in (y, forecast))
        error = np.abs(other - truth)
        large = np.abs(truth) >= 0.5 if metric == "mape" else np.ones_like(truth, dtype=bool)
        terms = {
            "mae": error,
            "mse": error**2,
            "rmse": error**2,
            "mape": error / np.abs(truth),
            "wape": error / level,
            "smape": 2 * error / (np.abs(truth) + np.abs(other)),
            "mase": error / scale.double().expand(3, 5, 2).numpy()[seen],
        }[metric][large]
        assert found.errors[window] == pytest.approx(terms.sum(), rel=1e-12) and found.counts[window] == len(terms)
    assert found.counts[4] == 0 and found.errors[4] == 0.0
    whole = sum(found.errors) / sum(found.counts)
    score = getattr(sums.result(), metric)
    assert score == pytest.approx(math.sqrt(whole) if metric == "rmse" else whole, rel=1e-12)


def test_forecast_sums_by_window_unknown_metric_or_empty_raises():
    with pytest.raises(ValueError, match="ForecastSums: expected metric to be one of"):
        ForecastSums().by_window("rse")
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
    with pytest.raises(ValueError, match=r"expected finite .* at step 2 ahead, node 3$"):
        sums.result()
    given[which][1, 0, 2] = given[which][2, 0, 0] = value  # the first one is named
    sums.add(given["forecast"], given["truth"])
    with pytest.raises(ValueError, match=r"expected finite .* at step 1 ahead, node 2$"):
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
    with pytest.raises(ValueError, match="mape_threshold of at least 0 and finite, got -1"):
        ForecastSums(-1)
    with pytest.raises(ValueError, match=r"expected naive_error of shape \[N, C\], got shape \(4,\)"):
        ForecastSums(naive_error=torch.ones(4))
    with pytest.raises(ValueError, match=r"expected naive_error of shape \(3, 1\), got \(4, 1\)"):
        ForecastSums(naive_error=torch.ones(4, 1)).add(torch.zeros(1, 2, 3, 1), torch.zeros(1, 2, 3, 1))


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


def test_forecast_sums_truth_at_the_mape_threshold_is_included():
    """Only values below the threshold are excluded, of either sign."""
    sums = ForecastSums(mape_threshold=2.0)
    truth = torch.tensor([2.0, -2.0, 1.999, 4.0]).reshape(1, 1, 4, 1)
    sums.add(truth + 1, truth)
    scores = sums.result()
    assert (scores.mape, scores.mape_count) == (pytest.approx((1 / 2 + 1 / 2 + 1 / 4) / 3), 3)
