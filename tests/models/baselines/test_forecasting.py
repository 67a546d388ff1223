import json

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from seqgnn.data import TemporalGraph
from seqgnn.data.windows import Windows
from seqgnn.metrics import ForecastSums
from seqgnn.models import build_forecaster
from seqgnn.models.baselines import forecasting as baselines
from seqgnn.models.baselines.forecasting import fit_baseline
from tests.support.paths import DATA

EDGES = torch.tensor([[0, 1, 2, 3, 0, 3], [1, 2, 0, 1, 3, 3]])  # directed, with a self-loop; node 4 is isolated
WEIGHTS = torch.tensor([1.0, 0.5, 2.0, 3.0, 0.25, 1.5], dtype=torch.float64)
LAGS, HORIZON, NODES = 3, 2, 5


def series(steps=40, features=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(steps, NODES, features, dtype=torch.float64, generator=generator).cumsum(0) * 0.3 + 5


def graph(mask=None, targets=None, **options):
    return TemporalGraph(series(**options), EDGES, WEIGHTS, mask=mask, targets=targets)


def rows(windows, kind, dense=None):
    """Features [W, N, P], answers [W, N, K] and where these were observed, window by window, node by node."""
    signal, targets = windows.graph.signal.numpy(), windows.graph.targets.numpy()
    seen = np.ones(targets.shape, bool) if windows.graph.mask is None else windows.graph.mask.numpy()
    x, y, m = [], [], []
    for start in windows.starts:
        now, end = start + windows.lags, start + windows.lags + windows.horizon
        for node in range(signal.shape[1]):
            row = []
            for step in range(start, now):
                row += list(signal[step, node])
                if kind == "graph":
                    row += list(dense[node] @ signal[step])
            x.append(row)
            y.append(targets[now:end, node].ravel())
            m.append(seen[now:end, node].ravel())
    return tuple(np.array(part).reshape(len(windows), signal.shape[1], -1) for part in (x, y, m))


def dense_mean():
    matrix = np.zeros((NODES, NODES))
    for source, target, weight in zip(*EDGES.tolist(), WEIGHTS.tolist()):
        matrix[target, source] += weight
    degree = matrix.sum(1, keepdims=True)
    return np.divide(matrix, degree, out=np.zeros_like(matrix), where=degree > 0)


def ridge_of_sklearn(x, y, seen, strength, new):
    """One output at a time, on standardized features, with the penalty strength * n."""
    answers = np.empty((*new.shape[:-1], y.shape[-1]))
    for k in range(y.shape[-1]):
        here, there = x[seen[..., k]], y[seen[..., k], k]
        mean, sd = here.mean(0), here.std(0)
        model = Ridge(alpha=strength * len(here), solver="cholesky").fit((here - mean) / sd, there)
        answers[..., k] = model.predict(((new - mean) / sd).reshape(-1, len(mean))).reshape(new.shape[:-1])
    return answers


def flat(forecast):
    return forecast.permute(1, 2, 0, 3).flatten(2).numpy()


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("strength", [0.0, 0.1])
@pytest.mark.parametrize(("name", "kind"), [("ar", "own"), ("ar-node", "own"), ("ar-graph", "graph")])
def test_fit_baseline_ar_equals_ridge_of_sklearn(name, kind, strength, missing, monkeypatch):
    monkeypatch.setattr(baselines, "ROWS", 4 * NODES)  # several chunks
    mask = torch.rand(40, NODES, 1, generator=torch.Generator().manual_seed(1)) > 0.2 if missing else None
    train, test = graph(mask=mask).windows(LAGS, HORIZON), graph(seed=3).windows(LAGS, HORIZON)
    fitted = fit_baseline(name, train, strengths=(strength,))
    assert fitted.strength == strength
    (x, y, seen), new = rows(train, kind, dense_mean()), rows(test, kind, dense_mean())[0]
    expected = np.empty((*new.shape[:2], y.shape[-1]))
    for nodes in [[node] for node in range(NODES)] if name == "ar-node" else [list(range(NODES))]:
        given = (part[:, nodes].reshape(-1, part.shape[-1]) for part in (x, y, seen))
        expected[:, nodes] = ridge_of_sklearn(*given, strength, new[:, nodes])
    np.testing.assert_allclose(flat(fitted(test.batch(range(len(test))))), expected, rtol=1e-7, atol=1e-7)


def test_fit_baseline_ar_recovers_exact_recurrence():
    signal = torch.zeros(30, 3, 1, dtype=torch.float64)
    signal[:2] = torch.tensor([[1.0, 2.0, 3.0], [2.0, 1.0, 5.0]])[..., None]
    for t in range(2, 30):
        signal[t] = 0.5 * signal[t - 1] - 0.25 * signal[t - 2] + 1
    windows = TemporalGraph(signal, torch.tensor([[0], [1]])).windows(2)
    fitted = fit_baseline("ar", windows, strengths=(0.0,))
    expected = torch.tensor([-0.25, 0.5, 1.0], dtype=torch.float64)
    torch.testing.assert_close(fitted.weight.flatten(), expected, rtol=1e-6, atol=1e-6)
    assert fitted.num_parameters == 3


def test_fit_baseline_ar_graph_is_invariant_to_units():
    one, other = graph(), TemporalGraph(1000 * series(), EDGES, WEIGHTS)
    train, validation = Windows(one, range(20), LAGS), Windows(one, range(20, 30), LAGS)
    fitted = fit_baseline("ar-graph", train, validation)
    again = fit_baseline("ar-graph", Windows(other, range(20), LAGS), Windows(other, range(20, 30), LAGS))
    assert fitted.strength == again.strength
    batch = range(30, 35)
    forecasts = (f(Windows(g, range(37), LAGS).batch(batch)) for f, g in ((fitted, one), (again, other)))
    first, second = forecasts
    torch.testing.assert_close(1000 * first, second, rtol=1e-8, atol=1e-5)


def test_fit_baseline_ar_strength_is_chosen_on_validation():
    whole = graph(steps=24)
    train, validation = Windows(whole, range(8), LAGS), Windows(whole, range(10, 18), LAGS)
    strengths = (0.0, 0.01, 0.1, 1.0)
    errors = []
    for strength in strengths:
        batch = validation.batch(range(len(validation)))
        errors.append((fit_baseline("ar", train, strengths=(strength,))(batch) - batch.y).square().sum().item())
    best = strengths[errors.index(min(errors))]
    assert len({f"{error:.6f}" for error in errors}) == 4
    fitted = fit_baseline("ar", train, validation, strengths=strengths)
    assert fitted.strength == best
    both = Windows(whole, range(18), LAGS)
    again = fit_baseline("ar", train, validation, strengths=strengths, refit=both)
    expected = fit_baseline("ar", both, strengths=(best,))
    assert again.strength == best and torch.equal(again.weight, expected.weight)
    assert not torch.allclose(again.weight, fitted.weight)


def test_fit_baseline_reads_at_most_rows_at_once(monkeypatch):
    held = []
    features = baselines.features

    def counted(kind, batch):
        held.append(features(kind, batch)[..., 0].numel())
        return features(kind, batch)

    monkeypatch.setattr(baselines, "features", counted)
    monkeypatch.setattr(baselines, "ROWS", 7 * NODES)
    windows = graph().windows(LAGS, HORIZON)
    fit_baseline("ar-graph", windows, strengths=(0.0,))
    assert max(held) == 7 * NODES and sum(held) == len(windows) * NODES


def test_fit_baseline_constant_or_unseen_nodes_are_finite():
    signal = series()
    signal[:, 1] = 7.0
    mask = torch.ones(40, NODES, dtype=torch.bool)
    mask[:, 2] = False
    windows = TemporalGraph(signal, EDGES, WEIGHTS, mask=mask).windows(LAGS)
    for name in ("ar", "ar-node", "ar-graph", "mean-node"):
        forecast = fit_baseline(name, windows, strengths=(0.0,))(windows.batch(range(4)))
        assert forecast.isfinite().all()
        if "node" in name:
            torch.testing.assert_close(forecast[:, :, 1], torch.full_like(forecast[:, :, 1], 7.0))


def test_fit_baseline_persistence_and_means_equal_hand_values():
    signal = torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [6.0, 60.0]])[..., None]
    windows = TemporalGraph(signal, torch.tensor([[0], [1]])).windows(2)
    batch = windows.batch([0, 1])
    assert fit_baseline("persistence", windows)(batch).flatten().tolist() == [2.0, 20.0, 3.0, 30.0]
    assert fit_baseline("mean-node", windows)(batch).flatten().tolist() == pytest.approx([4.5, 45.0, 4.5, 45.0])
    assert fit_baseline("mean", windows)(batch).flatten().tolist() == pytest.approx([24.75] * 4)  # of 3, 6, 30, 60
    seen = torch.tensor([[True, True], [True, True], [False, True], [True, True]])
    windows = TemporalGraph(signal, torch.tensor([[0], [1]]), mask=seen).windows(2)
    assert fit_baseline("mean-node", windows)(batch).flatten().tolist() == pytest.approx([6.0, 45.0, 6.0, 45.0])


def test_persistence_with_missing_values_uses_last_observation():
    nan = torch.nan
    values = [[1.0, 5.0, nan], [2.0, nan, nan], [nan, nan, nan], [4.0, 6.0, 3.0], [nan, nan, nan], [6.0, nan, 1.0],
              [7.0, 8.0, 2.0]]  # fmt: skip
    signal = torch.tensor(values)[..., None]
    whole = TemporalGraph(signal, torch.tensor([[0], [1]]), mask=signal[..., 0].isfinite())
    fitted = fit_baseline("persistence", Windows(whole, range(2), 2, 2))  # of c, only 3 is in their future
    found = fitted(Windows(whole, range(4), 2, 2).batch(range(4)))
    assert found[0, ..., 0].tolist() == [[2.0, 5.0, 3.0], [2.0, 5.0, 3.0], [4.0, 6.0, 3.0], [4.0, 6.0, 3.0]]
    assert found.shape == (2, 4, 3, 1) and torch.equal(found[0], found[1]) and fitted.num_parameters == 6
    with pytest.raises(ValueError, match="Persistence: expected windows of the graph that it was fitted on"):
        fitted(TemporalGraph(signal.nan_to_num(9.0), torch.tensor([[0], [1]])).windows(2).batch([1]))


@pytest.mark.parametrize("period", [1, 2, 4, 7])
def test_seasonal_equals_value_one_period_before(period):
    whole = graph()
    fitted = fit_baseline("seasonal", Windows(whole, range(20), LAGS, 3), period=period)
    batch = Windows(whole, range(20, 30), LAGS, 3).batch([0, 4])
    forecast = fitted(batch)
    for b, start in enumerate((20, 24)):
        for k in range(3):
            step = start + LAGS + k
            while step >= start + LAGS:
                step -= period
            assert torch.equal(forecast[k, b], whole.targets[step])


def test_seasonal_unobserved_value_is_that_of_an_earlier_season():
    mask = torch.ones(40, NODES, 1, dtype=torch.bool)
    mask[20, :3], mask[16, 1], mask[:21, 2] = False, False, False
    whole = graph(mask=mask)
    train = Windows(whole, range(25), LAGS)
    forecast = fit_baseline("seasonal", train, period=4)(Windows(whole, range(21, 30), LAGS).batch([0]))
    mean = fit_baseline("mean-node", train)(train.batch([0]))
    expected = [whole.targets[16, 0], whole.targets[12, 1], mean[0, 0, 2], whole.targets[20, 3]]
    assert torch.equal(forecast[0, 0, :4], torch.stack(expected))


def test_seasonal_node_never_observed_at_a_phase_is_its_mean():
    mask = torch.ones(40, NODES, 1, dtype=torch.bool)
    mask[0:24:4, 3] = False
    whole = graph(mask=mask)
    train = Windows(whole, range(10), LAGS)
    forecast = fit_baseline("seasonal", train, period=4)(Windows(whole, range(21, 30), LAGS).batch([0]))
    mean = fit_baseline("mean-node", train)(train.batch([0]))
    assert torch.equal(forecast[0, 0, :3], whole.targets[20, :3])
    assert torch.equal(forecast[0, 0, 3], mean[0, 0, 3])


@pytest.mark.parametrize("name", baselines.NAMES)
def test_fit_baseline_forecast_ignores_future_values(name):
    whole = graph()
    changed = series()
    changed[30:] += 100.0
    other = TemporalGraph(changed, EDGES, WEIGHTS)
    forecasts = []
    for g in (whole, other):
        parts = (Windows(g, part, LAGS, HORIZON) for part in (range(15), range(16, 22)))
        fitted = fit_baseline(name, *parts, period=5)
        forecasts.append(fitted(Windows(g, range(22, 28), LAGS, HORIZON).batch(range(6))))  # reads steps before 30
    assert torch.equal(*forecasts)


@pytest.mark.parametrize("name", baselines.NAMES)
def test_fit_baseline_is_batch_and_permutation_equivariant(name):
    whole, order = graph(), torch.tensor([3, 0, 4, 1, 2])
    place = order.argsort()
    turned = TemporalGraph(series()[:, order], place[EDGES], WEIGHTS)
    windows, other = (g.windows(LAGS, HORIZON) for g in (whole, turned))
    fitted, again = (fit_baseline(name, w, w, period=2) for w in (windows, other))
    together = fitted(windows.batch([2, 9, 5]))
    assert together.shape == (HORIZON, 3, NODES, 1)
    for b, index in enumerate((2, 9, 5)):
        torch.testing.assert_close(fitted(windows[index])[:, 0], together[:, b], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(again(other.batch([2, 9, 5])), together[:, :, order], rtol=1e-8, atol=1e-8)


def test_fit_baseline_ar_graph_uses_the_graph_of_each_step():
    static = graph().windows(LAGS)
    steps = [EDGES[:, : n % 6 + 1] for n in range(40)]
    weights = [WEIGHTS[: n % 6 + 1] for n in range(40)]
    same = TemporalGraph(series(), [EDGES] * 40, [WEIGHTS] * 40).windows(LAGS)
    changing = TemporalGraph(series(), steps, weights).windows(LAGS)
    one, other, third = (fit_baseline("ar-graph", w, strengths=(0.0,)) for w in (static, same, changing))
    torch.testing.assert_close(one.weight, other.weight)
    assert not torch.allclose(one.weight, third.weight)
    together = third(changing.batch([1, 8]))
    torch.testing.assert_close(third(changing[8])[:, 0], together[:, 1])


@pytest.mark.parametrize(("name", "neighbors"), [("ar", False), ("ar-graph", True)])
def test_linear_forecaster_with_weights_of_ar_equals_it(name, neighbors):
    windows = graph().windows(LAGS, HORIZON)
    fitted = fit_baseline(name, windows, strengths=(0.0,))
    model = build_forecaster("linear", in_channels=2, lags=LAGS, horizon=HORIZON, neighbors=neighbors).double()
    assert model.num_parameters == fitted.num_parameters
    with torch.no_grad():
        model.skip.weight.copy_(fitted.weight[0, :-1].T)
        model.skip.bias.copy_(fitted.weight[0, -1])
    batch = windows.batch(range(6))
    torch.testing.assert_close(model(batch)[0], fitted(batch), rtol=1e-10, atol=1e-10)


def test_fit_baseline_invalid_arguments_raise_value_error():
    windows = graph().windows(LAGS, HORIZON)
    with pytest.raises(ValueError, match=r"name to be one of 'persistence', .* did you mean 'seasonal'"):
        fit_baseline("seasonaly", windows)
    with pytest.raises(ValueError, match="expected period, in steps, for 'seasonal', got None"):
        fit_baseline("seasonal", windows)
    with pytest.raises(ValueError, match="period to be an integer of at least 1, got 0"):
        fit_baseline("seasonal", windows, period=0)
    with pytest.raises(ValueError, match="expected 9 steps before each forecast, got one at 3"):
        fit_baseline("seasonal", windows, period=9)(windows.batch([0]))
    with pytest.raises(ValueError, match="windows of the graph that it was fitted on"):
        fit_baseline("seasonal", windows, period=2)(graph(seed=1).windows(LAGS, HORIZON).batch([0]))
    with pytest.raises(ValueError, match="8 strengths need validation windows to choose, got None"):
        fit_baseline("ar", windows)
    with pytest.raises(ValueError, match=r"strengths of at least 0, got \(-1.0,\)"):
        fit_baseline("ar", windows, strengths=(-1.0,))
    with pytest.raises(ValueError, match="expected 7 features with the intercept, got 9"):
        fit_baseline("ar", windows, strengths=(0.0,))(graph().windows(4).batch([0]))
    with pytest.raises(ValueError, match="expected the 5 nodes it was fitted on, got 3"):
        other = TemporalGraph(series()[:, :3], torch.tensor([[0], [1]])).windows(LAGS)
        fit_baseline("ar-node", windows, strengths=(0.0,))(other.batch([0]))
    with pytest.raises(ValueError, match="targets among the features, got 2 features for 3 targets"):
        three = TemporalGraph(series(), EDGES, targets=series(features=3)).windows(LAGS)
        fit_baseline("persistence", three)(three.batch([0]))


def scored(fitted, windows, unit=1.0):
    sums = ForecastSums()
    for start in range(0, len(windows), 128):
        batch = windows.batch(range(start, min(start + 128, len(windows))))
        sums.add(unit * fitted(batch), unit * batch.y)
    return sums.result()


@pytest.mark.parametrize(
    ("name", "share", "linear", "mean", "persistence"),
    [
        ("chickenpox", 0.2, 0.7044, 1.0069, 3.0178),
        ("chickenpox", 0.9, 0.8188, 1.1173, 3.0316),
        ("pedalme_london", 0.9, 1.3916, 1.4693, 1.9836),
        ("pedalme_london", 0.8, 1.1578, 1.2451, 2.0309),
    ],
)
def test_fit_baseline_on_weekly_data_equals_known_mse(name, share, linear, mean, persistence):
    path = DATA / "pyg_temporal" / f"{name}.json"
    if not path.exists():
        pytest.skip(f"needs {path.name} under $SEQGNN_DATA")
    content = json.loads(path.read_text())
    signal = torch.tensor(content["FX" if "FX" in content else "X"], dtype=torch.float64)[..., None]
    windows = TemporalGraph(signal, torch.tensor(content["edges"]).T.contiguous()).windows(4)
    cut = int(share * len(windows))
    train, test = Windows(windows.graph, range(cut), 4), Windows(windows.graph, range(cut, len(windows)), 4)
    for baseline, expected in (("ar", linear), ("mean", mean), ("persistence", persistence)):
        assert round(scored(fit_baseline(baseline, train, strengths=(0.0,)), test).mse, 4) == expected


@pytest.mark.parametrize(
    ("horizon", "persistence", "ar", "with_graph"),
    [
        (3, (5.5428, 3.1561), (5.3382, 3.0645), (5.2053, 3.0611)),
        (6, (6.6986, 3.6317), (6.4082, 3.5805), (6.2176, 3.5625)),
        (12, (8.4555, 4.4332), (7.9508, 4.4459), (7.7007, 4.3919)),
    ],
)
def test_fit_baseline_on_metr_la_week_equals_known_errors(horizon, persistence, ar, with_graph):
    """T-GCN's protocol: 12 lags, 80/20 by steps, the last window of each part left out, errors in mph."""
    folder = DATA / "metr_la"
    if not folder.exists():
        pytest.skip("needs metr_la under $SEQGNN_DATA")
    speed = torch.from_numpy(np.loadtxt(folder / "los_speed.csv", delimiter=",", skiprows=1))[..., None]
    adjacency = torch.from_numpy(np.loadtxt(folder / "los_adj.csv", delimiter=","))
    edges, cut, width = adjacency.nonzero().T.contiguous(), int(0.8 * len(speed)), 12 + horizon
    unit = speed[:cut].max().item()
    whole = TemporalGraph(speed / unit, edges, adjacency[edges[0], edges[1]])
    train = Windows(whole, range(cut - width), 12, horizon)
    test = Windows(whole, range(cut, len(speed) - width), 12, horizon)
    for name, expected in (("persistence", persistence), ("ar", ar), ("ar-graph", with_graph)):
        scores = scored(fit_baseline(name, train, strengths=(0.0,)), test, unit)
        assert (round(scores.rmse, 4), round(scores.mae, 4)) == expected
