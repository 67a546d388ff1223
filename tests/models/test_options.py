"""Options of models by name: from a task, by name, and errors."""

import pytest
import torch

from seqgnn.data import CharText, ExpressionTrees, Palindromes, TemporalGraph, TreeDistance
from seqgnn.models import build, build_forecaster
from seqgnn.models.options import ModelOptions, read_options
from seqgnn.tasks import Forecasting, Protocol
from seqgnn.tasks.base import HeldOutTask

SIZES = ("num_classes", "num_tokens", "num_features", "per_element", "directed", "length")


def weights(make, *arguments, **options):
    torch.manual_seed(0)
    return make(*arguments, **options).state_dict()


def assert_equal(state, expected):
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


def forecasting():
    graph = TemporalGraph(torch.randn(100, 3, 2), torch.tensor([[0, 1], [1, 2]]))
    return Forecasting(graph, Protocol(lags=5, horizon=2))


@pytest.mark.parametrize("name", ["lstm", "gcn", "gcn+lstm", "gcn-in-lstm"])
@pytest.mark.parametrize(
    "make_task", [lambda: Palindromes(9, hops=(1, 2)), lambda: CharText(length=8), lambda: TreeDistance(6)]
)
def test_task_determines_the_sizes(name, make_task):
    task = make_task()
    sizes = {option: getattr(task, option) for option in SIZES}
    hops = {} if name in ("lstm", "gcn-in-lstm") else {"hops": task.hops}
    assert_equal(weights(build, name, task, hidden=6), weights(build, name, **sizes, **hops, hidden=6))
    assert build(name, task).hops == (task.hops if hops else (1,))
    assert_equal(weights(build, name, HeldOutTask(task)), weights(build, name, task))


def test_task_of_trees_determines_the_sizes():
    task = ExpressionTrees(9)
    model = build("tree-lstm", task, hidden=6)
    batch = task.draw(4, torch.Generator().manual_seed(0))
    assert model(batch)[0].shape == (4, task.num_classes)


def test_options_take_precedence_over_the_task():
    task = Palindromes(9, hops=(1, 2))
    assert len(build("gcn", task).encoder.layers) == 2
    model = build("gcn", task, hops=(1, 2, 4), num_classes=3)
    assert model.hops == (1, 2, 4) and len(model.encoder.layers) == 3 and model.head.out_features == 3


def test_forecasting_task_determines_the_sizes():
    task = forecasting()
    sizes = {"in_channels": 2, "out_channels": task.out_channels, "lags": 5, "horizon": 2}
    expected = weights(build_forecaster, "gcrn", **sizes, hidden=6, skip=True)
    assert_equal(weights(build_forecaster, "gcrn", task, hidden=6, skip=True), expected)
    assert build_forecaster("lstm", task, horizon=4).horizon == 4


def test_unknown_options_name_the_closest():
    with pytest.raises(ValueError, match=r"expected option to be one of 'num_classes', .* did you mean 'hidden'"):
        build("lstm", Palindromes(9), hiden=8)
    with pytest.raises(ValueError, match=r"build_forecaster: expected option .* did you mean 'residual'"):
        build_forecaster("lstm", forecasting(), residuals=True)


def test_missing_sizes_are_named():
    with pytest.raises(ValueError, match="build: expected a task, or num_classes, got neither"):
        build("lstm", num_tokens=3)
    with pytest.raises(ValueError, match="build_forecaster: expected a task, or in_channels and lags, got neither"):
        build_forecaster("lstm")
    with pytest.raises(ValueError, match="build: expected num_tokens or num_features, got None and None"):
        build("lstm", num_classes=3)


def test_task_of_another_kind_is_rejected():
    with pytest.raises(ValueError, match=r"build: expected a sequence task, .* got Forecasting"):
        build("lstm", forecasting())
    with pytest.raises(ValueError, match=r"build_forecaster: expected a task such as .*, got Palindromes"):
        build_forecaster("lstm", Palindromes(9))
    with pytest.raises(ValueError, match=r"got int \("):
        build("lstm", 10)


def test_hops_become_a_tuple():
    options = read_options("build", ModelOptions, {}, {"num_classes": 2, "num_tokens": 3, "hops": [1, 2]})
    assert options.hops == (1, 2)
