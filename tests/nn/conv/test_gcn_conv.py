"""GCNConv against PyG's: figures, gradients, weights, every path, and what it refuses."""

import copy
import gc
import pickle
import weakref

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch_geometric.nn import GCNConv as PyG
from torch_geometric.utils import to_torch_coo_tensor, to_torch_csc_tensor, to_torch_csr_tensor

from seqgnn.nn.conv import gcn_conv, message_passing
from seqgnn.nn.conv.gcn_conv import GCNConv
from seqgnn.nn.graph import adjacency
from seqgnn.nn.graph.cache import tensor_cache
from seqgnn.nn.graph.filters import GCN
from tests.support.sparse_products import AWKWARD, AWKWARD_WEIGHTS, STAR, close, path, pyg_like  # noqa: F401


def pair(in_channels, out_channels, **options):
    """Ours and PyG's with the same weights, in float64."""
    ours, theirs = GCNConv(in_channels, out_channels, **options), PyG(in_channels, out_channels, **options)
    ours.double(), theirs.double()
    if ours.bias is not None:
        nn.init.normal_(ours.bias)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def results(conv, x, edge_index, edge_weight=None):
    """The output and the gradients of the input, the parameters and the weights."""
    x = x.detach().requires_grad_()
    inputs = [x, *conv.parameters()]
    if edge_weight is not None:
        edge_weight = edge_weight.detach().clone().requires_grad_()
        inputs.append(edge_weight)
    out = conv(x, edge_index, edge_weight)
    up = torch.linspace(-1, 2, out.numel(), dtype=out.dtype).view_as(out)
    return [out, *torch.autograd.grad(out, inputs, up)]


@pytest.mark.parametrize("channels", [(3, 5), (5, 3), (4, 4)])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"improved": True},
        {"bias": False},
        {"add_self_loops": False},
        {"normalize": False},
        {"flow": "target_to_source"},
    ],
)
def test_gcn_conv_outputs_and_gradients_equal_pyg(channels, options):
    ours, theirs = pair(*channels, **options)
    # Of several self-loops at a node PyG gives a gradient to all and takes the weight of one, so there is one here.
    edges, weight = AWKWARD[:, [0, 1, 3, 4, 5, 6, 7, 8]], AWKWARD_WEIGHTS[[0, 1, 3, 4, 5, 6, 7, 8]]
    x = torch.randn(7, channels[0], dtype=torch.float64)
    for a, b in zip(results(ours, x, edges, weight), results(theirs, x, edges, weight)):
        close(a, b)
    unit = torch.ones_like(weight)
    for a, b in zip(results(ours, x, edges), results(theirs, x, edges, unit)):
        close(a, b)


def test_gcn_conv_random_walk_equals_dense_matrix():
    conv = GCNConv(3, 2, normalization="rw").double()
    x = torch.randn(7, 3, dtype=torch.float64)
    dense = torch.zeros(7, 7, dtype=torch.float64)
    plain = AWKWARD[0] != AWKWARD[1]
    dense.index_put_((AWKWARD[1][plain], AWKWARD[0][plain]), AWKWARD_WEIGHTS[plain], accumulate=True)
    dense += torch.diag(torch.tensor([1, 1, 0.4, 1, 1, 1, 1], dtype=torch.float64))
    dense /= dense.sum(1, keepdim=True)
    close(conv(x, AWKWARD, AWKWARD_WEIGHTS), dense @ x @ conv.lin.weight.T)
    assert repr(conv) == "GCNConv(3, 2, normalization='rw')"


def test_gcn_conv_of_two_nodes_equals_hand_values():
    conv = GCNConv(1, 1)
    nn.init.constant_(conv.lin.weight, 2.0)
    nn.init.constant_(conv.bias, 0.5)
    out = conv(torch.tensor([[1.0], [10.0]]), torch.tensor([[0], [1]]), torch.tensor([3.0]))
    close(out, torch.tensor([[2.5], [2 * (3 / 2 + 10 / 4) + 0.5]]), 1e-6)


@pytest.mark.parametrize("channels", [(3, 5), (5, 3)])
@pytest.mark.parametrize("normalization", ["sym", "rw"])
def test_gcn_conv_gradients_pass_gradcheck(channels, normalization):
    conv = GCNConv(*channels, normalization=normalization).double()
    x = torch.randn(7, channels[0], dtype=torch.float64, requires_grad=True)
    weight = AWKWARD_WEIGHTS.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x, w: conv(x, AWKWARD, w), (x, weight))
    assert torch.autograd.gradgradcheck(lambda x: conv(x, AWKWARD), (x,))


def test_gcn_conv_multiplies_in_the_cheaper_order(monkeypatch):
    widths = []
    product = message_passing.apply_operator
    record = lambda op, x, *a: widths.append(x.size(-1)) or product(op, x, *a)  # noqa: E731
    monkeypatch.setattr(message_passing, "apply_operator", record)
    for channels, needs_grad, expected in [
        ((8, 2), False, 2),
        ((2, 8), False, 2),
        ((4, 4), True, 4),
        ((6, 4), False, 6),  # nothing flows back through P x if x needs no gradient
        ((6, 4), True, 4),
    ]:
        widths.clear()
        GCNConv(*channels)(torch.randn(4, channels[0], requires_grad=needs_grad), STAR)
        assert widths == [expected], channels
    # A linear map that was replaced may be no linear map: it stays where it was.
    conv = GCNConv(2, 8)
    conv.lin = nn.Sequential(nn.Linear(2, 8), nn.ReLU())
    widths.clear()
    conv(torch.randn(4, 2), STAR)
    assert widths == [8]


@pytest.mark.parametrize("normalization", ["sym", "rw"])
def test_gcn_conv_prepared_graph_equals_its_edges(normalization):
    conv = GCNConv(3, 2, normalization=normalization).double()
    x = torch.randn(7, 3, dtype=torch.float64)
    graph = conv.prepare(AWKWARD, AWKWARD_WEIGHTS, 7)
    close(conv(x, graph), conv(x, AWKWARD, AWKWARD_WEIGHTS))
    close(GCN(normalization).basis(x, graph)[0] @ conv.lin.weight.T, conv(x, graph))
    with pytest.raises(ValueError, match="GCNConv: expected a PreparedGraph that was prepared for GCN"):
        GCNConv(3, 2, improved=True).double()(x, graph)
    with pytest.raises(ValueError, match="GCNConv: expected a PreparedGraph of 6 nodes, got one of 7"):
        conv(x[:6], graph)
    with pytest.raises(ValueError, match="GCNConv: expected no edge_weight with a PreparedGraph"):
        conv(x, graph, AWKWARD_WEIGHTS)
    backwards = GCNConv(3, 2, normalization=normalization, flow="target_to_source").double()
    backwards.load_state_dict(conv.state_dict())
    close(backwards(x, backwards.prepare(AWKWARD.flip(0), AWKWARD_WEIGHTS, 7)), conv(x, graph))
    conv.flow = "target_to_source"
    close(conv(x, AWKWARD.flip(0), AWKWARD_WEIGHTS), backwards(x, AWKWARD.flip(0), AWKWARD_WEIGHTS))


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
@pytest.mark.parametrize("make", [to_torch_coo_tensor, to_torch_csr_tensor, to_torch_csc_tensor])
@pytest.mark.parametrize("options", [{}, {"improved": True}, {"normalize": False}])
def test_gcn_conv_sparse_adjacency_equals_pyg(make, options):
    ours, theirs = pair(3, 2, **options)
    x = torch.randn(4, 3, dtype=torch.float64)
    edges, weight = torch.cat([STAR, torch.tensor([[1], [1]])], 1), torch.rand(7, dtype=torch.float64)
    adj_t = make(edges.flip(0), weight, size=(4, 4))
    comparable = to_torch_csr_tensor(edges.flip(0), weight, size=(4, 4))  # PyG takes no CSC
    close(ours(x, adj_t), theirs(x, comparable))
    if options == {}:
        close(ours(x, make(STAR.flip(0), weight[:6], size=(4, 4))), ours(x, STAR, weight[:6]))
    learnable = weight.clone().requires_grad_()
    if make is to_torch_coo_tensor:  # its helper has no derivative
        adj_t = torch.sparse_coo_tensor(edges.flip(0), learnable, (4, 4))
    else:
        adj_t = make(edges.flip(0), learnable, size=(4, 4))
    (grad,) = torch.autograd.grad(ours(x, adj_t).sum(), learnable)
    assert grad.abs().sum() > 0
    with pytest.raises(ValueError, match="GCNConv: expected no edge_weight with a sparse adjacency"):
        ours(x, adj_t, weight)
    with pytest.raises(ValueError, match=r"expected a sparse adjacency of 5 x 5 nodes, got \(4, 4\)"):
        ours(torch.randn(5, 3, dtype=torch.float64), adj_t)
    ours.flow = "target_to_source"
    with pytest.raises(ValueError, match="expected flow 'source_to_target' for a sparse adjacency"):
        ours(x, adj_t)


class FakeSparseTensor:
    """As much of `torch_sparse.SparseTensor` as the layer uses, for where it is not installed."""

    def __init__(self, target, source, value=None):
        self.entries = target, source, value

    def size(self, dim):
        return 4

    def coo(self):
        return self.entries


def test_gcn_conv_torch_sparse_adjacency_equals_edge_index(monkeypatch):
    for module in (gcn_conv, adjacency):
        monkeypatch.setattr(module, "SparseTensor", FakeSparseTensor)
    conv, x, weight = GCNConv(3, 2), torch.randn(4, 3), torch.rand(6)
    close(conv(x, FakeSparseTensor(STAR[1], STAR[0], weight)), conv(x, STAR, weight), 1e-6)
    close(conv(x, FakeSparseTensor(STAR[1], STAR[0])), conv(x, STAR), 1e-6)
    looped = torch.cat([STAR, torch.tensor([[1], [1]])], 1)  # a diagonal is replaced, whatever it weighs
    close(conv(x, FakeSparseTensor(looped[1], looped[0], torch.cat([weight, torch.ones(1)]))), conv(x, STAR, weight))
    conv.cached = True
    out = conv(x, FakeSparseTensor(STAR[1], STAR[0], weight))
    assert conv._cached_adj_t is not None and conv._cached_edge_index is None
    close(conv(x, FakeSparseTensor(STAR[1], STAR[0])), out)


def test_gcn_conv_sparse_features_equal_dense():
    dense = torch.tensor([[1.0, 0.0, 2.0], [0.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 0.0]])
    for channels in ((3, 2), (3, 8)):
        conv = GCNConv(*channels)
        close(conv(dense.to_sparse(), STAR), conv(dense, STAR), 1e-6)


@pytest.mark.parametrize("channels", [(3, 5), (5, 3)])
def test_gcn_conv_static_graph_equals_pyg(channels):
    ours, theirs = pair(*channels)
    x = torch.randn(4, 7, channels[0], dtype=torch.float64)
    for a, b in zip(results(ours, x, AWKWARD[:, 3:]), results(theirs, x, AWKWARD[:, 3:])):
        close(a, b)
    for one, out in zip(x, ours(x, AWKWARD)):
        close(ours(one, AWKWARD), out)


def test_gcn_conv_lazy_in_channels_are_set_by_first_call():
    conv = GCNConv(-1, 2)
    assert conv(torch.randn(4, 5), STAR).shape == (4, 2) and conv.lin.weight.shape == (2, 5)
    with pytest.raises(ValueError, match=r"expected x of shape \[..., N, 5\], got \(4, 6\)"):
        conv(torch.randn(4, 6), STAR)


def test_gcn_conv_cached_graph_is_reused_as_in_pyg():
    ours, theirs = pair(3, 2, cached=True)
    x, other = torch.randn(4, 3, dtype=torch.float64), torch.tensor([[0, 1], [1, 2]])
    for conv in (ours, theirs):
        conv(x, STAR)
        assert conv._cached_edge_index is not None
    close(ours(x, other), theirs(x, other))
    close(ours(x, STAR), ours(x, other))
    with pytest.raises(ValueError, match=r"expected x of shape \[..., 4, F\], got \(5, 3\)"):
        ours(torch.randn(5, 3, dtype=torch.float64), STAR)
    close(copy.deepcopy(ours)(x, other), ours(x, other))
    ours.reset_parameters()
    assert ours._cached_edge_index is None


def test_gcn_conv_state_dict_loads_to_and_from_pyg():
    x = torch.randn(7, 3, dtype=torch.float64)
    ours, theirs = pair(3, 2)
    fresh = GCNConv(3, 2).double()
    fresh.load_state_dict(theirs.state_dict())
    assert list(ours.state_dict()) == list(theirs.state_dict()) == ["bias", "lin.weight"]
    for other in (fresh, copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        close(other(x, AWKWARD, AWKWARD_WEIGHTS), ours(x, AWKWARD, AWKWARD_WEIGHTS))
    assert repr(ours) == "GCNConv(3, 2)" and GCNConv(3, 2, bias=False).bias is None
    torch.manual_seed(1)
    fresh.reset_parameters()
    torch.manual_seed(1)
    theirs.reset_parameters()
    close(fresh.lin.weight, theirs.lin.weight)


def test_gcn_conv_is_permutation_and_batch_equivariant():
    conv = GCNConv(3, 2).double()
    x = torch.randn(7, 3, dtype=torch.float64)
    expected = conv(x, AWKWARD, AWKWARD_WEIGHTS)
    new = torch.tensor([2, 0, 3, 1, 6, 5, 4])
    old = new.argsort()
    close(conv(x[old], new[AWKWARD], AWKWARD_WEIGHTS)[new], expected)
    both = conv(torch.cat([x, -x]), torch.cat([AWKWARD, AWKWARD + 7], 1), torch.cat([AWKWARD_WEIGHTS, AWKWARD_WEIGHTS]))
    close(both, torch.cat([expected, conv(-x, AWKWARD, AWKWARD_WEIGHTS)]))
    close(conv(x, torch.empty(2, 0, dtype=torch.long)), x @ conv.lin.weight.T + conv.bias)
    close(conv(x, AWKWARD.int(), AWKWARD_WEIGHTS), expected)


def test_gcn_conv_learnable_edge_weights_are_trained():
    conv, weight = GCNConv(3, 2), nn.Parameter(torch.full((6,), 0.5))
    x, y = torch.randn(4, 3), torch.randn(4, 2)
    for graph in (None, conv.prepare(STAR, weight, 4)):
        optimizer, losses = torch.optim.Adam([*conv.parameters(), weight], lr=0.05), []
        for _ in range(30):
            out = conv(x, STAR, weight) if graph is None else conv(x, graph)
            loss = (out - y).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert weight.grad.abs().sum() > 0 and losses[-1] < losses[0]


def test_gcn_conv_vmap_and_grad_equal_loop():
    conv = GCNConv(3, 2).double()
    x = torch.randn(5, 7, 3, dtype=torch.float64)
    close(torch.func.vmap(lambda x: conv(x, AWKWARD, AWKWARD_WEIGHTS))(x), conv(x, AWKWARD, AWKWARD_WEIGHTS))
    parameters = {name: value.detach() for name, value in conv.named_parameters()}

    def loss(parameters, x):
        return torch.func.functional_call(conv, parameters, (x, AWKWARD, AWKWARD_WEIGHTS)).square().sum()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, x)
    for one, grad in zip(x, each["lin.weight"]):
        conv.zero_grad()
        conv(one, AWKWARD, AWKWARD_WEIGHTS).square().sum().backward()
        close(grad, conv.lin.weight.grad)


@pytest.mark.parametrize(("backend", "channels"), [("eager", (5, 3)), ("aot_eager", (3, 5))])
def test_gcn_conv_compiled_fullgraph_equals_eager(backend, channels):
    torch.compiler.reset()
    conv = GCNConv(*channels).double()
    x = torch.randn(7, channels[0], dtype=torch.float64)
    kept = len(tensor_cache._entries)
    # torch 2.6 cannot trace a frozen dataclass as a key, and runs the preparation outside the graph.
    compiled = torch.compile(conv, backend=backend, fullgraph=not torch.__version__.startswith("2.6."))
    expected, found = results(conv, x, AWKWARD, AWKWARD_WEIGHTS), results(compiled, x, AWKWARD, AWKWARD_WEIGHTS)
    for a, b in zip(found, expected):
        close(a, b)
    close(compiled(x, AWKWARD), conv(x, AWKWARD))
    close(compiled(x, conv.prepare(AWKWARD, AWKWARD_WEIGHTS, 7)), conv(x, AWKWARD, AWKWARD_WEIGHTS))
    assert len(tensor_cache._entries) <= kept + 12
    torch.compiler.reset()


def test_gcn_conv_autocast_and_bfloat16_are_close():
    edges = AWKWARD[:, 3:]
    for channels in ((3, 5), (5, 3)):
        conv = GCNConv(*channels)
        x = torch.randn(7, channels[0])
        expected = conv(x, edges)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out, theirs = conv(x, edges), pyg_like(conv)(x, edges)
        assert out.dtype == theirs.dtype == torch.float32
        close(out, expected, 0.05)
        out.sum().backward()
        half = copy.deepcopy(conv).bfloat16()
        assert half(x.bfloat16(), edges).dtype == torch.bfloat16
        close(half(x.bfloat16(), edges), expected, 0.1)
        conv.message = conv.message  # through PyG's propagate
        with torch.autocast("cpu", dtype=torch.bfloat16):
            close(conv(x, edges), out, 0.05)


def test_gcn_conv_invalid_options_raise_value_error():
    with pytest.raises(ValueError, match=r"GCNConv: .* does not support adding self-loops"):
        GCNConv(3, 2, normalize=False, add_self_loops=True)
    with pytest.raises(ValueError, match="expected normalize=True with normalization='rw'"):
        GCNConv(3, 2, normalize=False, normalization="rw")
    with pytest.raises(ValueError, match=r"GCNConv: expected normalization to be one of .*; did you mean 'sym'"):
        GCNConv(3, 2, normalization="symm")
    for channels in ((0, 2), (-2, 2), (3, 0)):
        with pytest.raises(ValueError, match=r"GCNConv: expected (in|out)_channels to be an integer of at least 1"):
            GCNConv(*channels)
    with pytest.raises(ValueError, match="flow"):
        GCNConv(3, 2, flow="up")


def test_gcn_conv_invalid_inputs_raise_value_error():
    conv, x = GCNConv(3, 2), torch.randn(4, 3)
    for bad, message in [
        ((x, x), "GCNConv: expected a tensor of node features .*, got a tuple"),
        (x[0], r"GCNConv: expected x of shape \[..., N, F\], got \(3,\)"),
        (x[:, :2], r"GCNConv: expected x of shape \[..., N, 3\], got \(4, 2\)"),
        (x.double(), "GCNConv: expected x of dtype torch.float32, as the layer, got torch.float64"),
        (x.to("meta"), "GCNConv: expected x on cpu, where the layer is, got meta"),
        (x[:3], r"GCNConv: expected node indices in 0..2 .* got 0..3"),
    ]:
        with pytest.raises(ValueError, match=message):
            conv(bad, STAR)
    with pytest.raises(ValueError, match=r"GCNConv: expected edge_index of shape \[2, E\], got \(3, 2\)"):
        conv(x, torch.zeros(3, 2, dtype=torch.long))
    with pytest.raises(ValueError, match=r"GCNConv: expected edge_weight of shape \[6\], got \(5,\)"):
        conv(x, STAR, torch.ones(5))
    with pytest.raises(ValueError, match="GCNConv: expected finite edge_weight, got nan or inf"):
        conv(x, STAR, torch.full((6,), float("nan")))
    with pytest.raises(ValueError, match="GCNConv: expected degrees >= 0 under the square root"):
        conv(x, STAR, torch.full((6,), -2.0))


@pytest.mark.gpu
@pytest.mark.parametrize("channels", [(3, 5), (5, 3)])
def test_gcn_conv_on_gpu_equals_cpu(channels):
    conv, x = GCNConv(*channels).double(), torch.randn(7, channels[0], dtype=torch.float64)
    expected = results(conv, x, AWKWARD, AWKWARD_WEIGHTS)
    conv.cuda()
    for a, b in zip(results(conv, x.cuda(), AWKWARD.cuda(), AWKWARD_WEIGHTS.cuda()), expected):
        close(a.cpu(), b, 1e-10)
    with pytest.raises(ValueError, match="GCNConv: expected x on cuda:0, where the layer is, got cpu"):
        conv(x, AWKWARD)
    with pytest.raises(ValueError, match="GCNConv: expected x on cpu, where the graph is, got cuda:0"):
        conv(x.cuda(), AWKWARD)


@pytest.mark.parametrize("channels", [(8, 16), (16, 8)])
def test_gcn_conv_wider_edge_weights_widen_output_as_in_pyg(channels):
    ours, theirs = GCNConv(*channels), PyG(*channels)
    theirs.load_state_dict(ours.state_dict())
    edge_index, weight = torch.tensor([[0, 1, 2], [1, 2, 0]]), torch.tensor([0.5, 1.5, 2.0], dtype=torch.float64)
    x = torch.randn(3, channels[0])
    expected = theirs(x, edge_index, weight)
    assert ours(x, edge_index, weight).dtype == expected.dtype == torch.float64
    torch.testing.assert_close(ours(x, edge_index, weight), expected)


def ring(num_nodes=200, num_edges=1000):
    generator = torch.Generator().manual_seed(3)
    return torch.randint(num_nodes, (2, num_edges), generator=generator), torch.rand(num_edges, generator=generator)


def test_gcn_conv_frozen_edge_weights_use_current_values():
    edges, weight = ring()
    weight = nn.Parameter(weight)
    conv, x = GCNConv(4, 4), torch.randn(200, 4)
    graph = conv.prepare(edges, weight, 200)
    with torch.no_grad():
        weight.mul_(torch.rand(1000))
    weight.requires_grad_(False)
    torch.testing.assert_close(conv(x, graph), conv(x, edges, weight.clone()))


def test_gcn_conv_bfloat16_degrees_do_not_saturate():
    edges = torch.stack([torch.arange(1, 2000), torch.zeros(1999, dtype=torch.long)])
    conv = GCNConv(4, 4, bias=False)
    x = torch.rand(2000, 4)
    expected = conv(x, edges)
    half = conv.bfloat16()(x.bfloat16(), edges, torch.ones(1999, dtype=torch.bfloat16))
    torch.testing.assert_close(half.float(), expected, rtol=0.05, atol=0.02)


def test_gcn_conv_without_normalization_copies_edge_weights():
    edges, weight = ring()
    conv, x = GCNConv(4, 4, normalize=False), torch.randn(200, 4)
    graph = conv.prepare(edges, weight, 200)
    before = conv(x, graph)
    reference = weakref.ref(weight)
    weight.zero_()
    torch.testing.assert_close(conv(x, graph), before, rtol=0, atol=0)
    conv(x, edges, weight)
    del graph, weight
    gc.collect()
    assert reference() is None


def test_gcn_conv_forward_hook_on_lin_equals_pyg():
    edges, _ = ring()
    ours, theirs = GCNConv(4, 16), PyG(4, 16)
    theirs.load_state_dict(ours.state_dict())
    for layer in (ours, theirs):
        layer.lin.register_forward_hook(lambda module, inputs, output: output.relu())
    x = torch.randn(200, 4)
    torch.testing.assert_close(ours(x, edges), theirs(x, edges))


def test_gcn_conv_changed_edge_weight_data_is_used():
    edges, weight = ring()
    conv, x = GCNConv(4, 4), torch.randn(200, 4)
    weight = nn.Parameter(weight, requires_grad=False)
    conv(x, edges, weight)
    nn.utils.vector_to_parameters(torch.rand(1000), [weight])
    torch.testing.assert_close(conv(x, edges, weight), conv(x, edges, weight.clone()))
    weight.data = weight.data.double()
    assert conv(x, edges, weight).dtype == torch.float64


def test_gcn_conv_traced_by_make_fx_accepts_another_graph():
    conv, x = GCNConv(4, 4), torch.randn(200, 4)
    first, second = ring()[0], ring()[0].flip(0)
    conv(x, first)
    traced = make_fx(lambda x, edges: conv(x, edges))(x, first)
    torch.testing.assert_close(traced(x, second), conv(x, second))


def test_gcn_conv_default_device_is_ignored():
    conv, x, (edges, _) = GCNConv(4, 4), torch.randn(200, 4), ring()
    expected = conv(x, edges)
    with torch.device("meta"):
        torch.testing.assert_close(conv(x, edges.clone()), expected)


@pytest.mark.parametrize("channels", [(16, 4), (4, 16)])
def test_gcn_conv_output_is_contiguous_and_csr_features_equal(channels):
    conv, (edges, _) = GCNConv(*channels), ring()
    x = torch.randn(3, 200, channels[0], requires_grad=True)
    assert conv(x, edges).is_contiguous()
    torch.testing.assert_close(conv(x[0].detach().to_sparse_csr(), edges), conv(x[0], edges))
    with torch.autocast("cpu", torch.bfloat16):
        assert GCNConv(*channels, bias=False)(x, edges).dtype == torch.float32
