"""Private names of torch and PyTorch Geometric: that this release has them, and results without them."""

import ast
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch_geometric.data import Batch, Data

import seqgnn.nn as sg
from seqgnn._utils import torch_internals
from seqgnn.nn.graph.cache import TensorCache
from tests.support.paths import ROOT
from tests.support.releases import EXPORTS_SCANS

QUERIES = ["_transforms_active", "_dispatch_modes", "_is_legacy_batched", "_keeps_graph", "_compress", "_parse"]
EXPORT = ["scan_operator", "tree_flatten", "tree_unflatten", "tree_map", "_fake_mode", "_tracing_paused"]


@pytest.fixture(params=["present", "missing"])
def names(request, monkeypatch):
    """torch as it is, and a release that lacks the private names of queries."""
    if request.param == "missing":
        for name in QUERIES:
            monkeypatch.setattr(torch_internals, name, None)
        monkeypatch.setattr(torch_internals, "_has_level", False)
    return request.param


@pytest.mark.parametrize("name", [*QUERIES, *EXPORT, "_exporting", "_collate_functions"])
def test_torch_has_private_name(name):
    if name == "_exporting" and not EXPORTS_SCANS:
        pytest.skip("torch 2.6 does not have it")
    assert getattr(torch_internals, name) is not None


def test_torch_has_private_attributes():
    assert torch_internals.HAS_VERSIONS and torch_internals._has_level
    assert None not in torch_internals._half_on_cpu.values()
    module = nn.Module()
    assert all(hasattr(module, name) for name in (*torch_internals.MODULE_HOOKS, "_modules"))
    assert callable(module._load_from_state_dict)  # which layers without a recurrent bias override


@pytest.mark.parametrize("name", [*torch_internals.MASK_ATTRIBUTES, *torch_internals.PROPAGATE_HOOKS])
def test_pyg_has_private_attribute(name):
    assert hasattr(pyg.GCNConv(1, 1), name)


def test_pyg_has_private_attributes_of_batches():
    batch = Batch.from_data_list([Data(x=torch.zeros(1, 1))])
    assert all(hasattr(batch, name) for name in torch_internals.BATCH_ATTRIBUTES)


def test_pyg_compiles_propagate_under_the_known_names():
    class Convolution(pyg.GCNConv):
        def propagate(self, edge_index, **arguments):
            return super().propagate(edge_index, **arguments)

    class Subclass(pyg.GCNConv):
        pass

    pyg.GCNConv(1, 1)  # compiles it
    assert not torch_internals.overrides_propagate(pyg.GCNConv)
    assert not torch_internals.overrides_propagate(Subclass)  # which has the parent's
    assert not torch_internals.overrides_propagate(pyg.MessagePassing)
    for module in ("message_passing", "my.message_passing", "my_propagate", "torch_geometric.nn.conv.message_passing"):
        Convolution.propagate.__module__ = module
        assert torch_internals.overrides_propagate(Convolution), module
    assert callable(pyg.GCNConv(1, 1).explain_message)  # which layers override


def test_private_names_are_used_in_one_module():
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "seqgnn").rglob("*.py")}
    nodes = [(path, node) for path, tree in trees.items() for node in ast.walk(tree)]
    defined = {node.name for _, node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    defined |= {"_exit"}  # of os, documented
    defined |= {node.id for _, node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for _, node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name):
            defined |= {node.attr} if node.value.id == "self" else set()
    attributes = (*torch_internals.MASK_ATTRIBUTES[:-1], *torch_internals.BATCH_ATTRIBUTES)
    wrong = []
    for path, node in nodes:
        if path.name == "torch_internals.py":
            continue
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.endswith("__"):
            wrong += [(path.name, node.lineno, node.attr)] * (node.attr not in defined)
        if isinstance(node, ast.Constant) and node.value in attributes:
            wrong.append((path.name, node.lineno, node.value))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("torch"):
            names = [*node.module.split("."), *(name.name for name in node.names)]
            wrong += [(path.name, node.lineno, node.module)] * any(name.startswith("_") for name in names)
    assert wrong == []


def test_masks_without_their_attributes_raise_when_used(monkeypatch):
    layer = sg.GCNLSTM(2, 3, conv=pyg.GATConv)
    x, edges = torch.randn(4, 3, 2), torch.tensor([[0, 1, 2], [1, 2, 0]])
    expected = layer(x, edges)[0]
    masked = layer.prepare(edges, num_nodes=3).masked(torch.ones(3))
    torch.testing.assert_close(layer(x, masked)[0], expected)
    for part in layer.modules():
        if isinstance(part, pyg.MessagePassing):
            delattr(part, "_loop_mask")
    torch.testing.assert_close(layer(x, edges)[0], expected)
    with pytest.raises(NotImplementedError, match="GATConv: expected a release of PyTorch Geometric with _loop_mask"):
        layer(x, masked)


def test_explain_mode_without_its_attributes_is_assumed():
    conv, x, edges = sg.GCNConv(2, 3), torch.randn(3, 2), torch.tensor([[0, 1, 2], [1, 2, 0]])
    assert torch_internals.in_explain_mode(nn.Module()) and not torch_internals.in_explain_mode(conv)
    assert not torch_internals.explain_disabled(nn.Module())
    expected = conv(x, edges)
    del conv._edge_mask
    torch.testing.assert_close(conv(x, edges), expected)
    conv.explain = True
    with pytest.raises(NotImplementedError, match="GCNConv: expected a release of PyTorch Geometric with _edge_mask"):
        conv(x, edges)


def test_batch_class_without_private_attributes_is_none(monkeypatch):
    assert torch_internals.batch_class(Data(x=torch.zeros(1, 1))) is not None
    monkeypatch.setattr(torch_internals, "BATCH_ATTRIBUTES", ("_no_such_name",))
    assert torch_internals.batch_class(Data(x=torch.zeros(1, 1))) is None
    assert torch_internals.batch_slices(Data()) == {}


@pytest.mark.parametrize("name, missing", [("_exporting", None), ("_has_scan", False)])
def test_exports_scans_without_private_names_is_false(monkeypatch, name, missing):
    assert torch_internals.exports_scans() == EXPORTS_SCANS
    monkeypatch.setattr(torch_internals, name, missing)
    assert not torch_internals.exports_scans()


def test_tree_leaves_without_torchs_are_the_same(monkeypatch):
    value = ({"a": 1, "b": [torch.zeros(2), None]}, (), 3)
    expected = torch_internals.tree_leaves(value)
    monkeypatch.setattr(torch_internals, "tree_flatten", None)
    assert torch_internals.tree_leaves(value) == expected and len(expected) == 4


def test_children_without_private_dictionary_are_the_same():
    plain, weighted = nn.Linear(1, 1), nn.utils.parametrizations.weight_norm(nn.Linear(1, 1))
    for child in (plain, weighted):
        module = SimpleNamespace(named_children=lambda child=child: [("child", child)])
        expected = torch_internals.is_parametrized(nn.Sequential(child))
        assert torch_internals.is_parametrized(module) == expected == (child is weighted)
    module = SimpleNamespace()
    assert torch_internals.without_child(module, plain) is module


def test_cache_without_version_counters_stores_nothing(monkeypatch):
    tensor, cache = torch.ones(1), TensorCache()
    assert cache.get((tensor,), (), lambda: 1) == cache.get((tensor,), (), lambda: 2) == 1
    monkeypatch.setattr(torch_internals, "HAS_VERSIONS", False)
    monkeypatch.setattr(torch_internals, "version", None)
    assert cache.get((tensor,), (), lambda: 3) == 3


def test_collate_without_torchs_table_raises_when_used(monkeypatch):
    class Sample:
        pass

    monkeypatch.setattr(torch_internals, "_collate_functions", None)
    torch_internals.register_collate(Sample, len)
    with pytest.raises(TypeError, match="default_collate: batch must contain"):
        torch.utils.data.default_collate([Sample()])


def test_half_precision_without_onednns_answer_is_unsupported(monkeypatch):
    monkeypatch.setattr(torch_internals, "_half_on_cpu", {torch.bfloat16: None})
    assert not torch_internals.supports_half_on_cpu(torch.bfloat16)


@pytest.mark.parametrize("transform", [torch.func.grad, torch.func.vmap, torch.func.jacfwd, torch.func.hessian])
def test_transforms_active_in_func_transforms_is_true(transform, names):
    active = []

    def square(x):
        active.append(torch_internals.transforms_active())
        return (x * x).sum()

    transform(square)(torch.ones(2))
    assert active == [True] and not torch_internals.transforms_active()


def test_dispatch_mode_active_in_fake_tensor_mode_is_true(names):
    with FakeTensorMode():
        assert torch_internals.dispatch_mode_active()
    assert not torch_internals.dispatch_mode_active()


def test_forward_ad_active_in_dual_level_is_true(names):
    with forward_ad.dual_level():
        assert torch_internals.forward_ad_active()
    assert not torch_internals.forward_ad_active()


class Doubled(torch.autograd.Function):
    """Records in `batched` and `retained` the answers inside its backward pass."""

    batched: list[bool] = []  # noqa: RUF012
    retained: list[bool] = []  # noqa: RUF012

    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, dy):
        Doubled.batched.append(torch_internals.is_legacy_batched(dy))
        Doubled.retained.append(torch_internals.keeps_graph())
        return dy * 2


def test_backward_internals_detect_batched_and_retained_graphs(names, monkeypatch):
    monkeypatch.setattr(Doubled, "batched", [])
    monkeypatch.setattr(Doubled, "retained", [])
    x = torch.ones(2, requires_grad=True)
    torch.autograd.grad(Doubled.apply(x), x, torch.eye(2), is_grads_batched=True)
    y = Doubled.apply(x)
    torch.autograd.grad(y, x, torch.ones(2), retain_graph=True)
    torch.autograd.grad(y, x, torch.ones(2))
    assert Doubled.batched == [True, False, False]
    assert Doubled.retained[1:] == [True, names == "missing"]  # conservative: assumed to be retained if unknown


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_row_pointers_with_empty_rows_equal_csr_pointers(dtype, names):
    pointers = torch_internals.row_pointers(torch.tensor([0, 0, 2, 3, 3, 3], dtype=dtype), 6, dtype)
    assert pointers.tolist() == [0, 2, 2, 3, 6, 6, 6] and pointers.dtype == dtype
    empty = torch_internals.row_pointers(torch.empty(0, dtype=dtype), 2, dtype)
    assert empty.tolist() == [0, 0, 0] and empty.dtype == dtype


@pytest.mark.parametrize(
    "args, kwargs, expected",
    [
        ((), {}, (None, None, False)),
        (("cpu",), {}, (torch.device("cpu"), None, False)),
        (("cuda:1",), {}, (torch.device("cuda", 1), None, False)),
        ((torch.device("meta"), torch.float64, True), {}, (torch.device("meta"), torch.float64, True)),
        ((None, torch.float64), {}, (None, torch.float64, False)),
        ((torch.float64, True), {}, (None, torch.float64, True)),
        ((torch.ones(1, dtype=torch.float64),), {"non_blocking": True}, (torch.device("cpu"), torch.float64, True)),
        ((), {"device": "meta", "dtype": torch.half}, (torch.device("meta"), torch.half, False)),
        ((), {"memory_format": torch.channels_last}, (None, None, False)),
    ],
)
def test_parse_to_returns_device_dtype_and_non_blocking(args, kwargs, expected, names):
    assert torch_internals.parse_to(*args, **kwargs) == expected


def test_has_hooks_with_a_registered_hook_is_true():
    assert torch_internals.has_hooks(nn.Linear(1, 1), ("_no_such_name",))
    for register in ("register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook"):
        layer = nn.Linear(1, 1)
        assert not torch_internals.has_hooks(layer)
        handle = getattr(layer, register)(lambda *_: None)
        assert torch_internals.has_hooks(layer)
        handle.remove()
        assert not torch_internals.has_hooks(layer)


WITHOUT_PRIVATE_NAMES = """
import torch
import torch.fx.experimental.proxy_tensor
import torch_geometric.nn as pyg
from torch.autograd import forward_ad

places = {
    torch._C: ["_are_functorch_transforms_active", "_len_torch_dispatch_stack"],
    torch._C._functorch: ["is_legacy_batchedtensor"],
    torch._C._autograd: ["_get_current_graph_task_keep_graph"],
    torch._C._nn: ["_parse_to"],
    torch: ["_convert_indices_from_coo_to_csr"],
    torch._guards: ["detect_fake_mode"],
    torch.utils._pytree: ["tree_flatten", "tree_map", "tree_unflatten"],
    torch.utils.data._utils.collate: ["default_collate_fn_map"],
    torch.fx.experimental.proxy_tensor: ["disable_proxy_modes_tracing"],
    forward_ad: ["_current_level"],
}
names = [(place, name) for place, names in places.items() for name in names if hasattr(place, name)]
saved = [(place, name, getattr(place, name)) for place, name in names]
for place, name in names:
    delattr(place, name)
from seqgnn._utils import torch_internals
for place, name, value in saved:  # torch itself calls them
    setattr(place, name, value)
values = (torch_internals._transforms_active, torch_internals._dispatch_modes, torch_internals._is_legacy_batched)
values += (torch_internals._keeps_graph, torch_internals._compress, torch_internals._parse)
values += (torch_internals._fake_mode, torch_internals.tree_flatten, torch_internals._collate_functions)
assert set(values) == {None} and not torch_internals._has_level and not torch_internals.exports_scans()

import seqgnn.data
import seqgnn.nn as sg

torch.manual_seed(0)
for engine in ("auto", "fused"):
    ours, theirs = sg.GRU(3, 4, engine=engine), torch.nn.GRU(3, 4)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(9, 2, 3, requires_grad=True)
    outputs = ours(x)[0], theirs(x)[0]
    torch.testing.assert_close(*outputs)
    for _ in range(2):
        torch.testing.assert_close(*(torch.autograd.grad(y.square().sum(), x, retain_graph=True) for y in outputs))
    torch.testing.assert_close(*(torch.func.grad(lambda x: layer(x)[0].square().sum())(x) for layer in (ours, theirs)))
    each = [torch.autograd.grad(y[-1, -1], x, torch.eye(4), is_grads_batched=True) for y in outputs]
    torch.testing.assert_close(*each)

ours, theirs = sg.GCNConv(40, 30), pyg.GCNConv(40, 30)
ours.load_state_dict(theirs.state_dict())
edges, x = torch.randint(50, (2, 200)), torch.randn(50, 40)
prepared = ours.prepare(edges, num_nodes=50)
torch.testing.assert_close(ours(x, edges), theirs(x, edges))
torch.testing.assert_close(ours(x, prepared.to(torch.float32)), theirs(x, edges))
ours, theirs, x = ours.double(), theirs.double(), x.double()
torch.testing.assert_close(ours(x, prepared.to("cpu", torch.float64)), theirs(x, edges))
torch.testing.assert_close(*(torch.func.jacrev(layer)(x, edges) for layer in (ours, theirs)))
with forward_ad.dual_level():
    dual = forward_ad.make_dual(x, torch.ones_like(x))
    torch.testing.assert_close(*(forward_ad.unpack_dual(layer(dual, edges)).tangent for layer in (ours, theirs)))
"""


@pytest.mark.slow
def test_layers_without_private_names_equal_torch_and_pyg():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WITHOUT_PRIVATE_NAMES], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr


def test_is_exporting_without_torch_flag_is_true_in_export_only(monkeypatch):
    assert not torch_internals.is_exporting()
    monkeypatch.setattr(torch_internals, "_exporting", lambda: True)
    assert torch_internals.is_exporting() and torch_internals.exports_scans()
    monkeypatch.setattr(torch_internals, "_exporting", None)
    assert not torch_internals.exports_scans()
    assert not torch_internals.is_exporting()

    class Plus(torch.nn.Module):
        def forward(self, x):
            return x + 1 if torch_internals.is_exporting() else x

    zero = torch.zeros(2)
    assert torch.export.export(Plus(), (zero,), strict=False).module()(zero).sum() == 2
    assert torch.compile(Plus(), backend="eager")(zero).sum() == 0
