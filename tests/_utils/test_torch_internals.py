"""What private names of torch tell, and that without them the same is told and computed."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad

from seqgnn._utils import torch_internals
from tests.support.paths import ROOT

NAMES = ["_transforms_active", "_dispatch_modes", "_is_legacy_batched", "_keeps_graph", "_compress", "_parse"]


@pytest.fixture(params=["present", "missing"], autouse=True)
def names(request, monkeypatch):
    """torch as it is, and a release that lacks every private name."""
    if request.param == "missing":
        for name in NAMES:
            monkeypatch.setattr(torch_internals, name, None)
        monkeypatch.setattr(torch_internals, "_has_level", False)
    return request.param


@pytest.mark.parametrize("transform", [torch.func.grad, torch.func.vmap, torch.func.jacfwd, torch.func.hessian])
def test_transforms(transform):
    told = []

    def square(x):
        told.append(torch_internals.transforms_active())
        return (x * x).sum()

    transform(square)(torch.ones(2))
    assert told == [True] and not torch_internals.transforms_active()


def test_dispatch_modes():
    with FakeTensorMode():
        assert torch_internals.dispatch_mode_active()
    assert not torch_internals.dispatch_mode_active()


def test_forward_mode():
    with forward_ad.dual_level():
        assert torch_internals.forward_ad_active()
    assert not torch_internals.forward_ad_active()


class Told(torch.autograd.Function):
    """Notes in `batched` and `kept` what its backward pass is told."""

    batched: list[bool] = []  # noqa: RUF012
    kept: list[bool] = []  # noqa: RUF012

    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, dy):
        Told.batched.append(torch_internals.is_legacy_batched(dy))
        Told.kept.append(torch_internals.keeps_graph())
        return dy * 2


def test_backward_passes(names, monkeypatch):
    monkeypatch.setattr(Told, "batched", [])
    monkeypatch.setattr(Told, "kept", [])
    x = torch.ones(2, requires_grad=True)
    torch.autograd.grad(Told.apply(x), x, torch.eye(2), is_grads_batched=True)
    y = Told.apply(x)
    torch.autograd.grad(y, x, torch.ones(2), retain_graph=True)
    torch.autograd.grad(y, x, torch.ones(2))
    assert Told.batched == [True, False, False]
    assert Told.kept[1:] == [True, names == "missing"]  # conservative: assumed to be retained if unknown


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_row_pointers(dtype):
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
def test_parse_to(args, kwargs, expected):
    assert torch_internals.parse_to(*args, **kwargs) == expected


def test_hooks(names, monkeypatch):
    if names == "missing":
        monkeypatch.setattr(torch_internals, "MODULE_HOOKS", ("_no_such_name",))
        assert torch_internals.has_hooks(nn.Linear(1, 1))
        return
    for register in ("register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook"):
        layer = nn.Linear(1, 1)
        assert not torch_internals.has_hooks(layer)
        handle = getattr(layer, register)(lambda *_: None)
        assert torch_internals.has_hooks(layer)
        handle.remove()
        assert not torch_internals.has_hooks(layer)


WITHOUT_PRIVATE_NAMES = """
import torch
import torch_geometric.nn as pyg
from torch.autograd import forward_ad

places = {
    torch._C: ["_are_functorch_transforms_active", "_len_torch_dispatch_stack"],
    torch._C._functorch: ["is_legacy_batchedtensor"],
    torch._C._autograd: ["_get_current_graph_task_keep_graph"],
    torch._C._nn: ["_parse_to"],
    torch: ["_convert_indices_from_coo_to_csr"],
    forward_ad: ["_current_level"],
}
names = [(place, name) for place, names in places.items() for name in names if hasattr(place, name)]
kept = [(place, name, getattr(place, name)) for place, name in names]
for place, name in names:
    delattr(place, name)
from seqgnn._utils import torch_internals
for place, name, value in kept:  # torch itself calls them
    setattr(place, name, value)
found = (torch_internals._transforms_active, torch_internals._dispatch_modes, torch_internals._is_legacy_batched)
found += (torch_internals._keeps_graph, torch_internals._compress, torch_internals._parse)
assert set(found) == {None} and not torch_internals._has_level

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
def test_layers_without_private_names(names):
    if names == "missing":
        pytest.skip("the process that is started lacks them by itself")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WITHOUT_PRIVATE_NAMES], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr


def test_exporting_without_its_name_is_seen_where_dynamo_does_not_trace(monkeypatch):
    assert not torch_internals.is_exporting()
    monkeypatch.setattr(torch_internals, "_exporting", lambda: True)
    assert torch_internals.is_exporting() and torch_internals.exports_scans()
    monkeypatch.setattr(torch_internals, "_exporting", None)
    assert not torch_internals.exports_scans()
    assert not torch_internals.is_exporting()

    class Told(torch.nn.Module):
        def forward(self, x):
            return x + 1 if torch_internals.is_exporting() else x

    zero = torch.zeros(2)
    assert torch.export.export(Told(), (zero,), strict=False).module()(zero).sum() == 2
    assert torch.compile(Told(), backend="eager")(zero).sum() == 0
