"""One battery of wrong options and arguments over all layers: a ValueError that names the layer, whatever is passed."""

import inspect
import warnings

import numpy as np
import pytest
import torch

from seqgnn import nn as sg
from tests.support.tool_cases import LAYERS, SMALL, tensors

NO_FLAG = ["3", float("nan"), 2, 1, None, []]
WRONG = {
    "bias": NO_FLAG,
    "batch_first": NO_FLAG,
    "bidirectional": NO_FLAG,
    "recurrent_bias": NO_FLAG,
    "improved": NO_FLAG,
    "cached": NO_FLAG,
    "normalize": NO_FLAG,
    "peephole": ["3", float("nan"), 2, []],
    "add_self_loops": ["3", float("nan"), 2, []],
    "device": ["zzz", -1, 3.5, [], float("nan"), 10**30],
    "dtype": ["float32", 3.5, [], torch.int64, torch.bool],
    "num_layers": ["3", 2.5, None, True, 0, -1, float("nan")],
    "proj_size": ["3", 2.5, None, True, -1],
    "dropout": ["3", None, True, -1, float("nan")],
    "forget_bias": ["3", True, float("nan"), float("inf"), 10**30 * 10**30, -(10**400)],
}
ANYWHERE = [np.ones((9, 9)), torch.ones(99, 99), torch.ones(2).to("meta"), [1] * 999, -(10**9999)]  # long in words
SIZES = [-1, 0, "3", 2.5, None, True, [3], 2**63, float("nan")]


def options_of(layer):
    """The names of the options of a constructor, also of those that it passes on as keywords."""
    make, names = layer.make, set()
    for kind in (getattr(make, "func", make)).__mro__:
        if kind.__module__.startswith("seqgnn.") and "__init__" in vars(kind):
            names |= set(inspect.signature(kind.__init__).parameters)
    return names - set(getattr(make, "keywords", {}))


def is_class(layer):
    return isinstance(getattr(layer.make, "func", layer.make), type)


@pytest.mark.parametrize("layer", [layer for layer in LAYERS if is_class(layer)], ids=str)
def test_layer_wrong_option_raises_value_error(layer):
    names = options_of(layer)
    for name in names & set(WRONG):
        for value in WRONG[name]:
            with pytest.raises(ValueError, match=r"expected|should be"):
                layer.make(3, 5, **{name: value})
        for value in ANYWHERE:
            with pytest.raises(ValueError, match=r"^[\w.]+: expected [^\n]{1,300}$"):
                layer.make(3, 5, **{name: value})
    assert "bias" in names


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_layer_wrong_size_raises_value_error(layer):
    for size in SIZES:
        with pytest.raises(ValueError, match="expected"):
            layer.make(3, size)
        if size != -1 or not layer.on_graph:  # lazy, for convolutions
            with pytest.raises(ValueError, match="expected"):
                layer.make(size, 5)


def quietly(make):
    """A function without warnings: torch warns once of nested tensors and sparse layouts, which are prototypes."""

    def call(x):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make(x)

    return call


nested = quietly(lambda x: torch.nested.nested_tensor([x, x]))
jagged = quietly(lambda x: torch.nested.nested_tensor([x, x], layout=torch.jagged))
rows = quietly(lambda x: torch.nested.nested_tensor(list(x)))  # nested, of the rank of x
blocks = quietly(lambda x: x.to_sparse_bsr((1, 1)) if x.dim() == 2 else x.to_sparse())
hybrid = quietly(lambda x: x.to_sparse(1))
compressed = quietly(torch.Tensor.to_sparse_csr), quietly(torch.Tensor.to_sparse_csc)


def raises(layer, call):
    with pytest.raises(ValueError, match=r"^\w+: expected [^\n]{1,300}$"):
        call()


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_layer_wrong_input_raises_value_error(layer):
    module, (x, *graph) = layer.build(), layer.inputs(SMALL)
    wrong = [None, "abc", 3, [1.0], x.numpy(), x.long(), x.bool(), x.to(torch.complex128), x.new_tensor(1.0)]
    wrong += [nested(x), jagged(x), rows(x), hybrid(x), blocks(x), x.float().to_mkldnn()]
    if not takes_sparse(layer):
        wrong += [x.to_sparse()]
    for value in wrong:
        raises(layer, lambda: module(value, *graph))  # noqa: B023 (used at once)


def takes_sparse(layer):
    """True for torch's cells and GCNConv, whose only product with x is a linear map."""
    return layer.kind == "step" or layer.name == "GCNConv"


@pytest.mark.parametrize("layer", [layer for layer in LAYERS if takes_sparse(layer)], ids=str)
def test_layer_sparse_input_equals_dense_input_in_all_engines(layer):
    for engine in ("auto", "native", "reference") if "engine" in options_of(layer) else ("",):
        module, (x, *graph) = layer.build(**({"engine": engine} if engine else {})), layer.inputs(SMALL)
        x = x.relu()
        expected = tensors(module(x, *graph))
        for form in (x.to_sparse(), *(change(x) for change in compressed)):
            for actual, part in zip(tensors(module(form, *graph)), expected, strict=True):
                torch.testing.assert_close(actual, part)


@pytest.mark.parametrize("layer", [layer for layer in LAYERS if layer.on_graph], ids=str)
def test_layer_wrong_graph_raises_value_error(layer):
    module, (x, edges) = layer.build(), layer.inputs(SMALL)
    ones = torch.ones(edges.size(1))
    lists = ([], edges.tolist(), [edges, "abc", edges])
    sparse = (edges.to_sparse(), edges[0].to_sparse(), x.new_ones(1, 2, 2).to_sparse())
    for value in (None, "abc", 3, {}, *lists, edges.numpy(), edges.double(), edges > 0, *sparse, rows(edges)):
        raises(layer, lambda: module(x, value))  # noqa: B023
    names = inspect.signature(type(module).forward).parameters
    wrong = {
        "edge_weight": [1.5, "abc", True, object(), ones.numpy(), ones.tolist(), ones.long(), ones.to_sparse()],
        "edge_attr": [1.5, "abc", ones[:-1, None], ones[:, None].to_sparse()],
        "batch": [0, "a", True, [0] * x.size(-2), torch.zeros(x.size(-2)), torch.ones(x.size(-2)).long().to_sparse()],
        "targets": ["abc", x, x.new_zeros(2, *x.shape[1:-1], 1).to_sparse(), nested(x), rows(x)],
        "truth": ["abc", None, -1, 2, np.ones((9, 9)), torch.ones(99, 99)],
        "lambda_max": ["abc", {}, ["a"], b"1", int, 10**400, ones.to("meta"), ones.to_sparse(), rows(edges), -ones],
        "generator": ["abc", 3],
        "lengths": [2, "a", [1, 2], torch.ones(2), torch.ones(2).long().to_sparse()] if layer.over_time else [],
    }
    for name in wrong.keys() & names.keys():
        for value in wrong[name]:
            raises(layer, lambda: module(x, edges, **{name: value}))  # noqa: B023
    if hasattr(module, "prepare"):
        for value in (-1, "3", 2.0, True, 2**70):
            raises(layer, lambda: module.prepare(edges, num_nodes=value))  # noqa: B023
        for value in wrong["edge_weight"]:
            raises(layer, lambda: module.prepare(edges, value))  # noqa: B023


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_layer_sparse_or_nested_state_raises_value_error(layer):
    module, arguments = layer.build(), layer.inputs(SMALL)
    names = inspect.signature(type(module).forward).parameters
    name = next((name for name in ("state", "hx") if name in names), None)
    if name is None:
        return
    result = module(*arguments)
    state = result if layer.kind in ("step", "snapshot") and "EvolveGCN" not in layer.name else result[1]
    for change in (torch.Tensor.to_sparse, nested):
        raises(layer, lambda: module(*arguments, **{name: changed(state, change)}))  # noqa: B023


def changed(state, change):
    """A state whose tensors are changed."""
    if isinstance(state, torch.Tensor):
        return change(state.detach())
    return tuple(changed(part, change) for part in state)


def test_tree_lstm_cell_sparse_children_and_parents_raise_value_error():
    cell, x = sg.TreeLSTMCell(3, 5), torch.randn(2, 3)
    h, parents = torch.zeros(2, 5), torch.tensor([0, 1])
    for children, of in (((h.to_sparse(), h), parents), ((h, h), parents.to_sparse())):
        with pytest.raises(ValueError, match=r"^TreeLSTMCell: expected .* dense tensor"):
            cell(x, children, of)


def test_dropout_takes_numbers_of_numpy_as_torch_does():
    assert sg.LSTM(2, 3, num_layers=2, dropout=np.float32(0.5)).dropout == 0.5
    assert torch.equal(sg.LSTM(2, 3, forget_bias=np.float32(2.5)).bias_ih_l0[3:6], torch.full((3,), 2.5))
    assert torch.equal(sg.LSTM(2, 3, forget_bias=10**30).bias_ih_l0[3:6], torch.full((3,), 1e30))
