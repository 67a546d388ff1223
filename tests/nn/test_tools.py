"""The layers in the tools that people use around torch.nn and PyG; `tool_cases` lists the layers."""

import copy

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils.parametrizations import spectral_norm
from torch_geometric import EdgeIndex, Index
from torch_geometric.data import Data
from torch_geometric.nn import HeteroConv, SAGEConv, to_hetero

from seqgnn import nn as sg
from seqgnn.nn.convert import to_torch
from tests.support.marks import thorough_but
from tests.support.oracles import close
from tests.support.tool_cases import (
    CONVS,
    FILTERED,
    IN_GATES,
    LAYERS,
    ON_GRAPHS,
    PLAIN,
    SMALL,
    Size,
    every_layer,
    every_size,
    tensors,
    total,
)

ENGINES = [(layer, engine) for layer in PLAIN[:3] for engine in ("native", "fused", "reference")]
ENGINES += [(layer, engine) for layer in FILTERED[:6] for engine in ("fused", "reference")]
every_engine = pytest.mark.parametrize(("layer", "engine"), ENGINES, ids=str)


# Gradients of many outputs at once


@every_size
@every_layer
def test_layer_batched_gradients_equal_single_gradients(layer, size):
    module, (x, *edges) = layer.build(), layer.inputs(size)
    x.requires_grad_()
    outputs = tensors(module(x, *edges))[0].flatten()[:3]
    vectors = torch.eye(3, dtype=torch.float64)[: len(outputs)]
    wanted = [x, *list(module.parameters())[:2]]
    grad = lambda v, **options: torch.autograd.grad(  # noqa: E731
        outputs, wanted, v, retain_graph=True, allow_unused=True, materialize_grads=True, **options
    )
    expected = [torch.stack(parts) for parts in zip(*map(grad, vectors))]
    if layer.kind not in ("sequence", "step"):  # torch's own kernels have no rule for these
        for found in (grad(vectors, is_grads_batched=True), torch.func.vmap(grad)(vectors)):
            for a, b in zip(found, expected, strict=True):
                close(a, b)


@every_size
@pytest.mark.parametrize("layer", CONVS, ids=str)
def test_conv_vectorized_jacobian_of_edge_weights_equals_loop(layer, size):
    module, (x, edges) = layer.build(), layer.inputs(size)
    weight = torch.rand(size.edges, dtype=torch.float64)
    run = lambda w: module(x, edges, w).flatten()[:4]  # noqa: E731
    jacobian = torch.autograd.functional.jacobian
    close(jacobian(run, weight, vectorize=True), jacobian(run, weight))


# Graphs that are written after they were seen


@every_size
@pytest.mark.parametrize("layer", ON_GRAPHS, ids=str)
def test_edge_index_over_changed_buffer_is_read_again(layer, size):
    module, (x, buffer) = layer.build(), layer.inputs(size)
    edges, twin = (EdgeIndex(buffer, sparse_size=(size.nodes, size.nodes)) for _ in range(2))
    module(x, edges), module(x, twin)
    for number, (written, part) in enumerate([(buffer, ...), (edges.as_tensor(), ...), (edges, ...), (edges, 0)]):
        written[part] = layer.edges(size, seed=number)[part]
        expected = tensors(module(x, buffer.clone()))
        for graph in (edges, twin):
            for a, b in zip(tensors(module(x, graph)), expected, strict=True):
                assert torch.equal(a, b)


class Tagged(torch.Tensor):
    """A tensor of an unknown class."""


@pytest.mark.parametrize("through", ["buffer", "wrapper"])
@pytest.mark.parametrize("wrap", [Index, lambda batch: batch.as_subclass(Tagged)])
def test_batch_over_changed_buffer_is_read_again(wrap, through):
    layer, x, weight = sg.GCRN(3, 5, K=3, normalization=None), torch.randn(4, 6, 3), torch.rand(6)
    edges, buffer = torch.tensor([[0, 1, 1, 3, 4, 4], [1, 0, 1, 4, 3, 5]]), torch.tensor([0, 0, 0, 1, 1, 1])
    batch = wrap(buffer)
    before = layer(x, edges, weight, batch=batch)[0]
    (buffer if through == "buffer" else batch)[...] = torch.zeros(6, dtype=torch.long)
    found = layer(x, edges, weight, batch=batch)[0]
    close(found, layer(x, edges, weight, batch=buffer.clone())[0], 1e-6)  # the compiled engine takes no subclasses
    assert not torch.equal(found, before)


def test_evolve_gcn_wrapped_batch_equals_tensor_batch():
    layer, x, batch = sg.EvolveGCN(3, 2, variant="H"), torch.randn(4, 6, 3), torch.tensor([0, 0, 0, 1, 1, 1])
    graphs = [torch.tensor([[0, 1, 3], [1, 2, 4]])] * 4
    assert torch.equal(layer(x, graphs, batch=Index(batch))[0], layer(x, graphs, batch=batch)[0])


# Parametrized weights


@every_engine
def test_layer_spectral_norm_with_checkpoint_every_is_equal(layer, engine):
    if engine == "native":
        pytest.skip("torch's kernels keep everything")
    results = []
    for every in (None, 2):
        module, inputs = layer.build(engine=engine, checkpoint_every=every), layer.inputs(SMALL)
        torch.manual_seed(1)
        spectral_norm(module, "weight_hh_l0")
        total(module(*inputs)).backward()
        results.append([parameter.grad for parameter in module.parameters()])
    for a, b in zip(*results, strict=True):
        close(a, b)


# Fake tensors


@every_layer
def test_layer_with_fake_tensors_has_shapes_of_real_ones(layer):
    expected = tensors(layer.build()(*layer.inputs(SMALL)))
    with FakeTensorMode():
        module = layer.make(3, 5)
        assert all(parameter.is_meta is False and parameter.shape for parameter in module.parameters())
        if layer.kind == "tree" or layer in IN_GATES[:2]:
            return  # the levels of a tree are found from values, and PyG's convolutions look at self-loops
        x, *edges = layer.inputs(SMALL)
        found = tensors(module(x.float(), *edges))
    assert [part.shape for part in found] == [part.shape for part in expected]


# Empty batches


@pytest.mark.parametrize(
    "size", [Size(3, 0, 6, 9), Size(3, 2, 0, 0), Size(3, 2, 6, 0)], ids=["no windows", "no nodes", "no edges"]
)
@every_layer
def test_layer_empty_batch_has_empty_output_and_zero_gradients(layer, size):
    if layer.name == "EvolveGCN H" and size.nodes == 0:
        pytest.skip("needs as many nodes as W has columns")
    module = layer.build()
    x, *edges = layer.inputs(size)
    found = tensors(module(x.requires_grad_(), *edges))
    full = tensors(module(*layer.inputs(Size(3, size.windows or 2, size.nodes or 6, 9))))
    assert [part.dim() for part in found] == [part.dim() for part in full]
    total(found).backward()
    assert x.grad is not None and x.grad.shape == x.shape
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert found[0].numel() or not parameter.grad.any() or "EvolveGCN" in layer.name  # whose weights are the state
    if layer.reference is not None and not (layer.name == "ChebConv" and size.nodes == 0):  # where PyG's raises
        reference = layer.reference(3, 5).double()
        reference.load_state_dict(module.state_dict())
        for a, b in zip(found, tensors(reference(x, *edges)), strict=True):
            close(a, b)


@pytest.mark.parametrize("layer", [layer for layer in LAYERS if layer.over_time], ids=str)
def test_layer_without_time_steps_raises_value_error(layer):
    x, *edges = layer.inputs(SMALL)
    with pytest.raises(ValueError, match="expected at least one time step"):
        layer.build()(x[:0], *edges)


# Graphs in other forms


def adjacency(edges, weight, nodes):
    """Transposed, and not checked, since torch warns where it is not told whether to."""
    return torch.sparse_coo_tensor(edges.flip(0), weight, (nodes, nodes), check_invariants=False).coalesce()


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@every_size
@pytest.mark.parametrize("layer", FILTERED + CONVS[1:], ids=str)
def test_layer_sparse_adjacency_equals_its_edges(layer, size):
    module, (x, edges) = layer.build(), layer.inputs(size)
    adj_t = adjacency(edges, torch.rand(size.edges).double(), size.nodes)
    expected = tensors(module(x, adj_t.indices().flip(0), adj_t.values()))
    for form in (adj_t, adj_t.to_sparse_csr(), adj_t.to_sparse_csc()):
        for graph in (form, module.prepare(form)):
            for a, b in zip(tensors(module(x, graph)), expected, strict=True):
                close(a, b)
    with pytest.raises(ValueError, match="expected no edge_weight with a sparse adjacency"):
        module(x, adj_t, torch.ones(size.edges))


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("layer", IN_GATES[:2], ids=str)
def test_layer_sparse_adjacency_of_ones_equals_edge_index(layer):
    module, (x, edges) = layer.build(), layer.inputs(SMALL)
    edges = edges.unique(dim=1)
    adj_t = adjacency(edges, torch.ones(edges.size(1)).double(), SMALL.nodes)
    expected = module(x, adj_t.indices().flip(0))[0]
    for form in (adj_t, adj_t.to_sparse_csr()):
        close(module(x, form)[0], expected)


@every_size
@pytest.mark.parametrize("layer", FILTERED + CONVS, ids=str)
def test_layer_edge_weights_in_a_column_equal_flat_ones(layer, size):
    module, (x, edges) = layer.build(), layer.inputs(size)
    results = []
    for shape in ((size.edges,), (size.edges, 1)):
        weight = torch.linspace(0.5, 2, size.edges, dtype=torch.float64).view(shape).requires_grad_()
        found = tensors(module(x, edges, weight))
        total(found).backward()
        results.append([*found, weight.grad.flatten()])
    for a, b in zip(*results, strict=True):
        close(a, b)


@pytest.mark.parametrize("layer", CONVS, ids=str)
def test_conv_lazy_or_paired_channels_equal_integer_channels(layer):
    x, edges = layer.inputs(SMALL)
    for channels in (-1, (-1, -1), (3, 3)):
        torch.manual_seed(0)
        conv = layer.make(channels, 5).double()
        found = conv(x, edges)
        other = layer.make(3, 5).double()
        other.load_state_dict(conv.state_dict())
        close(found, other(x, edges))
    with pytest.raises(ValueError, match=r"expected in_channels to be an integer .*, got \(3, 4\)"):
        layer.make((3, 4), 5)


def test_gcn_lstm_lazy_convs_are_initialized_by_first_call():
    layer = sg.GCNLSTM(3, 5, conv=lambda i, o: SAGEConv((-1, -1), o))
    assert layer(torch.randn(4, 6, 3), torch.tensor([[0, 1], [1, 2]]))[0].shape == (4, 6, 5)


# Natural mistakes

X, EDGES = torch.randn(4, 6, 3), torch.tensor([[0, 1, 2], [1, 2, 5]])
MISTAKES = [
    (lambda: sg.GCNLSTM(3, 5)(X), TypeError, "GCNLSTM: expected x and edge_index, got no edge_index"),
    (lambda: sg.TGCN(3, 5)(x=X), TypeError, "TGCN: expected x and edge_index, got no edge_index"),
    (lambda: sg.GCNGRU(3, 5, K=3), TypeError, r"GCNGRU: got an unexpected .* 'K'; .* conv=Chebyshev\(K=3\)"),
    (lambda: sg.GCNLSTM(3, 5, hidden=2), TypeError, "GCNLSTM: got an unexpected keyword argument 'hidden'$"),
    (lambda: sg.GCNGRU(3, 5, conv="chebyshev"), ValueError, r"GCNGRU: .* such as Chebyshev\(K=3\).*got 'chebyshev'"),
    (lambda: sg.GCNRNN(3, 5, conv="diffusion"), ValueError, r"GCNRNN: .* such as Diffusion\(K=3\).*got 'diffusion'"),
    (lambda: sg.GCNLSTM(3, 5)(X, [[0, 1], [1, 2]]), ValueError, r"GCNLSTM: .* got a list of list; torch.tensor\("),
    (lambda: sg.GCNConv(3, 5)(X[0], [[0, 1], [1, 2]]), ValueError, r"GCNConv: .* got list; .* torch.as_tensor\("),
    (lambda: sg.GCNConv(3, 5)(None, EDGES), ValueError, "GCNConv: expected x as a tensor, got NoneType"),
    (lambda: sg.GCRN(3, 5, K=2)(X, Data(edge_index=EDGES)), ValueError, "GCRN: .* got Data; pass its edge_index"),
    (lambda: sg.ChebConv(3, 5, 2)(X[0], EDGES.numpy()), ValueError, r"ChebConv: .* got ndarray; .* torch.as_tensor\("),
    (lambda: sg.GCRN(3, 5, K=2)(X, EDGES.float()), ValueError, "GCRN: expected edge_index of dtype torch.int64"),
    (lambda: sg.GCRN(3, 5, K=2)(X, EDGES.t()), ValueError, r"GCRN: .* got \(3, 2\); pass edge_index.t\(\)"),
    (lambda: sg.DCRNN(3, 5, K=2)(X, EDGES + 1), ValueError, "DCRNN: .* got 1..6; for ids from 1 pass edge_index - 1"),
    (lambda: sg.GCNLSTM(3, 5)(X, EDGES, (torch.zeros(1, 6, 5),) * 2), ValueError, "GCNLSTM: .* pass a state as state="),
    (lambda: sg.GCNGRU(3, 5)(X, EDGES, torch.zeros(1, 6, 5)), ValueError, "GCNGRU: .* pass a state as state="),
    (lambda: sg.GCNLSTM(3, 5, conv=hetero), ValueError, "GCNLSTM: expected a convolution of one type of nodes"),
]  # fmt: skip


def hetero(i, o):
    return HeteroConv({("a", "to", "a"): sg.GCNConv(i, o)})


@pytest.mark.parametrize(("call", "kind", "message"), MISTAKES)
def test_layer_common_mistakes_raise_with_class_name(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


# PyG's heterogeneous graphs


@pytest.mark.parametrize("layer", CONVS, ids=str)
def test_to_hetero_conv_sums_over_relations(layer):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = layer.make(3, 3).double(), layer.make(3, 5).double()

        def forward(self, x, edge_index):
            return self.second(self.first(x, edge_index).tanh(), edge_index)

    kinds = [("v", "a", "v"), ("v", "b", "v")]
    model = to_hetero(Net(), (["v"], kinds))
    x, edges = layer.x(SMALL), {kind: layer.edges(SMALL, seed) for seed, kind in enumerate(kinds)}
    found = model({"v": x}, edges)
    assert list(found) == ["v"]
    convs = dict(model.named_modules())
    h = sum(convs[f"first.{'__'.join(kind)}"](x, edges[kind]) for kind in kinds).tanh()
    close(found["v"], sum(convs[f"second.{'__'.join(kind)}"](h, edges[kind]) for kind in kinds))


# Hooks


@every_engine
def test_layer_hooks_change_inputs_outputs_and_gradients(layer, engine):
    module, (x, *edges) = layer.build(engine=engine), layer.inputs(SMALL)
    plain = copy.deepcopy(module)
    seen = []
    module.register_forward_pre_hook(lambda _, args: (2 * args[0], *args[1:]))
    module.register_forward_hook(lambda _, args, result: (result[0] + 1, result[1]))
    module.register_full_backward_hook(lambda _, inputs, outputs: seen.append((inputs[0], outputs[0])))
    x.requires_grad_()
    output = module(x, *edges)[0]
    close(output, plain(2 * x, *edges)[0] + 1)
    (found,) = torch.autograd.grad(output.square().sum(), x)
    (expected,) = torch.autograd.grad((plain(2 * x, *edges)[0] + 1).square().sum(), x)
    close(found, expected)
    ((by_input, by_output),) = seen
    close(2 * by_input, expected)
    close(by_output, 2 * output)


@every_engine
def test_captum_attributes_to_inputs_and_layers(layer, engine):
    captum = pytest.importorskip("captum.attr")
    module, (x, *edges) = layer.build(engine=engine), layer.inputs(SMALL)
    model = Captum(module, edges, layer.over_time and layer.on_graph)
    rows = x.flatten(2).transpose(0, 1).contiguous()  # samples first
    gradients = captum.IntegratedGradients(model)
    attribution, delta = gradients.attribute(rows, target=0, n_steps=200, return_convergence_delta=True)
    assert attribution.shape == rows.shape and delta.abs().max() < 1e-3
    output, state = module(x, *edges)
    if isinstance(state, torch.Tensor):  # captum copies no tuples inside a tuple, as torch's LSTM returns too
        activation = captum.LayerActivation(model, model.layer).attribute(rows)
        close(activation[0], output)
    into = captum.LayerActivation(model, model.layer).attribute(rows, attribute_to_layer_input=True)
    close(into if isinstance(into, torch.Tensor) else into[0], x)


class Captum(nn.Module):
    """Samples first, `[B, T, features]` to `[B, H]`."""

    def __init__(self, layer, edges, on_graph):
        super().__init__()
        self.layer, self.edges, self.on_graph = layer, edges, on_graph

    def forward(self, x):
        x = x.transpose(0, 1)
        x = x.unflatten(2, (-1, 3)) if self.on_graph else x
        return self.layer(x, *self.edges)[0][-1].flatten(1)


# Averages, copies, quantization


@every_layer
def test_averaged_model_of_layer_is_mean_of_weights(layer):
    module, inputs = layer.build(), layer.inputs(SMALL)
    average = torch.optim.swa_utils.AveragedModel(module)
    average.update_parameters(module)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(3)
    average.update_parameters(module)
    for a, b in zip(average.module.parameters(), module.parameters(), strict=True):
        close(a, b * 2 / 3)
    assert all(part.isfinite().all() for part in tensors(average(*inputs)))


def test_to_torch_converts_all_layers_inside_a_model():
    model = nn.ModuleDict({"a": sg.LSTM(3, 5), "b": nn.Sequential(sg.GRUCell(5, 5)), "c": nn.Linear(5, 2)})
    model["again"] = model["a"]
    model["a"].weight_ih_l0.requires_grad_(False)
    plain = to_torch(model)
    assert [type(plain[name]) for name in "ac"] == [nn.LSTM, nn.Linear] and type(plain["b"][0]) is nn.GRUCell
    assert plain["again"] is plain["a"] and not plain["a"].weight_ih_l0.requires_grad
    assert type(model["a"]) is sg.LSTM
    x = torch.randn(4, 2, 3)
    assert torch.equal(plain["a"](x)[0], model["a"](x)[0])
    spectral_norm(model["a"], "weight_hh_l0")
    with pytest.raises(ValueError, match=r"to_torch: expected ParametrizedLSTM with weights of its own"):
        to_torch(model)


@pytest.mark.filterwarnings("ignore:torch.ao.quantization:DeprecationWarning", "ignore:torch.quantize_per_tensor")
@pytest.mark.filterwarnings("ignore:.*quantize.*:UserWarning")
def test_quantize_dynamic_of_to_torch_model_is_close():
    from torch.ao.quantization import quantize_dynamic

    model = nn.Sequential(sg.LSTM(3, 8))
    with pytest.warns(UserWarning, match=r"LSTM: torch.ao.quantization leaves it in float; .*to_torch\(model\)"):
        quantize_dynamic(model, {nn.LSTM}, dtype=torch.qint8)
    quantized = quantize_dynamic(to_torch(model), {nn.LSTM}, dtype=torch.qint8)
    assert type(quantized[0]).__module__.startswith("torch.ao.nn.quantized.dynamic")
    x = torch.randn(4, 2, 3)
    assert (quantized(x)[0] - model(x)[0]).abs().max() < 0.05


# Compilation

LOOKED_AT = "ignore:The .grad attribute of a Tensor that is not a leaf"  # by dynamo, behind a break of the graph

FAMILIES = ["GRU", "LSTMCell", "GCNConv", "ChebConv", "GCNLSTM", "GCRN", "DCRNN", "TGCN", "A3TGCN", "EvolveGCN H",
            "GCNLSTMCell", "GCNLSTM of GATConv"]  # fmt: skip
COMPILED = [(layer, True) for layer in LAYERS if layer.name in FAMILIES]
COMPILED += [(layer, None) for layer in LAYERS if layer.name in ("LSTM", "GCNConv", "GCNLSTM")]
QUICK = ("GRU-True", "GCNConv-True", "GCNLSTM-True", "EvolveGCN H-True", "LSTM-None", "GCNLSTM-None")
INDUCTED = [layer for layer in LAYERS if layer.name in ("GRU", "GCNConv", "GCNLSTM", "GCNLSTM of GATConv")]


@pytest.mark.filterwarnings(LOOKED_AT)
@pytest.mark.parametrize(("layer", "dynamic"), thorough_but(COMPILED, *QUICK))
def test_layer_compiled_at_several_shapes_equals_eager(layer, dynamic):
    module = layer.build()
    compiled = torch.compile(module, backend="eager", dynamic=dynamic)
    for size in (SMALL, Size(4, 3, 7, 12), Size(3, 2, 7, 9)):
        inputs = layer.inputs(size)
        for a, b in zip(tensors(compiled(*inputs)), tensors(module(*inputs)), strict=True):
            close(a, b)
    torch._dynamo.reset()


@pytest.mark.filterwarnings(LOOKED_AT)
@pytest.mark.parametrize("layer", thorough_but(INDUCTED, "GCNConv", "GCNLSTM"))
def test_layer_compiled_by_inductor_has_equal_gradients(layer):
    module, inputs = layer.build(), layer.inputs(SMALL)
    compiled = torch.compile(module, dynamic=True)
    results = []
    for run in (compiled, module):
        module.zero_grad()
        total(run(*inputs)).backward()
        results.append([parameter.grad.clone() for parameter in module.parameters()])
    for a, b in zip(*results, strict=True):
        close(a, b)
    torch._dynamo.reset()


def test_tool_cases_list_every_layer_once():
    assert len({str(layer) for layer in LAYERS}) == len(LAYERS)
    assert {type(layer.build()).__name__ for layer in LAYERS} >= {
        name for name, found in vars(sg).items() if isinstance(found, type) and issubclass(found, nn.Module)
    } - {"GCNGRUCell", "GCNMinLSTMCell", "GCNRNNCell", "GCRNCell", "TGCNCell"} - {"GCLSTMCell", "TreeLSTMCell"}
    # Those cells are tested as their layers are.
