"""Exported programs give the eager layer's values at other T, B, N and E, and on other graphs, than traced."""

import copy
import sys

import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map
from torch_geometric import nn as pyg

from seqgnn import nn as sg
from seqgnn.nn.export import to_exported_program, to_onnx
from seqgnn.nn.export_axes import loops_over_time
from tests.support.layer_cases import CASES, MINIMAL, OTHERS, PUBLISHED, Case
from tests.support.marks import THOROUGH, thorough_but
from tests.support.releases import EXPORTS_SCANS

F, H = 2, 3
IN_GATES = [
    Case("gates GATConv", sg.GCNGRU, options={"conv": pyg.GATConv}),
    Case("gates GCNConv", sg.GCNLSTM, options={"conv": pyg.GCNConv}),
    Case("gates SAGEConv", sg.GCNRNN, options={"conv": pyg.SAGEConv}),
    Case("gates own GCNConv", sg.GCNRNN, options={"conv": sg.GCNConv}),
]
LISTED = [case for case in CASES + MINIMAL if "GCN()" in str(case)] + PUBLISHED + OTHERS + IN_GATES
NAMES = (
    *("GCNLSTM GCN()", "GCNMinLSTM GCN()", "GCNGRU before GCN()", "GCRN", "TGCN paper", "A3TGCN", "EvolveGCN H"),
    "gates own GCNConv",
)
SOME = [case for case in LISTED if str(case) in NAMES]
# Nodes, edges, windows, and how many of the edges are self-loops; the first is traced.
GRAPHS = [(7, 12, 2, 0), (9, 40, 3, 3), (9, 3, 1, 2), (30, 400, 5, 0), (6, 1, 2, 0), (5, 0, 2, 0)]
CONVS = {
    "GCNConv": sg.GCNConv(F, H),
    "GCNConv rw": sg.GCNConv(F, H, normalization="rw", improved=True),
    "GCNConv bare": sg.GCNConv(F, H, normalize=False),
    "ChebConv": sg.ChebConv(F, H, K=3),
    "ChebConv None": sg.ChebConv(F, H, K=3, normalization=None),
    "DiffusionConv": sg.DiffusionConv(F, H, K=3),
    "DiffusionConv authors": sg.DiffusionConv(F, H, K=3, variant="authors"),
}
PLAIN = {
    "RNN": (sg.RNN, {"nonlinearity": "relu", "num_layers": 2}),
    "LSTM": (sg.LSTM, {"bidirectional": True, "num_layers": 2}),
    "LSTM proj": (sg.LSTM, {"proj_size": 2}),
    "LSTM batch_first": (sg.LSTM, {"batch_first": True, "recurrent_bias": False}),
    "GRU": (sg.GRU, {"bidirectional": True}),
    "MinGRU": (sg.MinGRU, {"batch_first": True, "num_layers": 2}),
    "MinLSTM": (sg.MinLSTM, {"bidirectional": True}),
}


def some_slow(names, quick):
    """All of them, slow but for one."""
    return [name if name == quick else pytest.param(name, marks=THOROUGH) for name in names]


def graph(nodes, edges, loops, dtype=torch.float64):
    """Random edges, so many of them self-loops and no others, and positive weights."""
    draw = torch.Generator().manual_seed(nodes)
    source = torch.randint(0, nodes, (edges,), generator=draw)
    target = (source + torch.randint(1, nodes, (edges,), generator=draw)) % nodes
    target[:loops] = source[:loops]
    return torch.stack([source, target]), torch.rand(edges, generator=draw, dtype=dtype) + 0.1


def signal(*shape, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(len(shape)))


def weighted(case):
    return not any(case.options.get("conv") is conv for conv in (pyg.GATConv, pyg.SAGEConv))


def inputs_of(case, size, dtype=torch.float64):
    nodes, edges, windows, loops = size
    edge_index, weight = graph(nodes, edges, loops, dtype)
    x = signal(windows + 2, windows, nodes, F, dtype=dtype)
    return (x, edge_index, weight) if weighted(case) else (x, edge_index)


def tensors(result):
    return [part for part in tree_leaves(result) if isinstance(part, torch.Tensor)]


def same(found, expected, tolerance=1e-9):
    for a, b in zip(tensors(found), tensors(expected), strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def compare_program(layer, inputs, **options):
    """Traces the first inputs and compares at all."""
    program = to_exported_program(layer, inputs[0], **options).module()
    if loops_over_time(layer) and not EXPORTS_SCANS:
        inputs = [given for given in inputs if len(given[0]) == len(inputs[0][0])]
    for given in inputs:
        same(program(*given), layer(*given))


def run_onnx(path, given):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    values = session.run(None, {name: value.numpy() for name, value in zip(names, tensors(given), strict=True)})
    return [torch.from_numpy(value) for value in values]


def compare_onnx(layer, inputs, path, tolerance=1e-9, **options):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    to_onnx(layer, inputs[0], path, **options)
    for given in inputs:
        same(run_onnx(path, given), layer(*given), tolerance)


def test_to_exported_program_of_gcn_gru_equals_eager_at_any_size():
    case = Case("GCNGRU", sg.GCNGRU)
    compare_program(case.make().eval(), [inputs_of(case, size) for size in GRAPHS])


@pytest.mark.parametrize("case", thorough_but(LISTED, "DCRNN", "GCLSTM paper", "GCNRNN GCN()", "gates GATConv"))
def test_to_exported_program_of_every_layer_equals_eager(case):
    compare_program(case.make().eval(), [inputs_of(case, size) for size in GRAPHS])


@pytest.mark.parametrize("case", thorough_but([case for case in SOME if case.state], "GCNLSTM GCN()"))
def test_to_exported_program_of_deep_layer_equals_eager(case):
    layer = case.make_both(num_layers=2).eval()
    inputs = [inputs_of(case, size) for size in GRAPHS]
    compare_program(layer, [(given[0][:1].expand(2, -1, -1, -1), *given[1:]) for given in inputs], dynamic="BNE")
    compare_program(layer, inputs)


@pytest.mark.parametrize("case", thorough_but(SOME, "TGCN paper"))
def test_to_exported_program_with_lengths_equals_eager(case):
    layer = case.make().eval()

    class Named(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x, edge_index, lengths):
            return self.layer(x, edge_index, lengths=lengths)

    inputs = [(x, edges, 1 + torch.arange(x.size(1))) for x, edges, *_ in (inputs_of(case, size) for size in GRAPHS)]
    compare_program(Named(), inputs, axes={"x": "TBNF"})


@pytest.mark.parametrize("name", some_slow(CONVS, "GCNConv"))
def test_to_exported_program_of_conv_equals_eager(name):
    conv = copy.deepcopy(CONVS[name]).double().eval()
    inputs = [(signal(nodes, F), *graph(nodes, edges, loops)) for nodes, edges, _, loops in GRAPHS]
    compare_program(conv, inputs)
    compare_program(conv, [given[:2] for given in inputs])


@pytest.mark.parametrize("name", some_slow(PLAIN, "LSTM proj"))
def test_to_exported_program_of_rnn_layer_equals_eager(name):
    kind, options = PLAIN[name]
    layer = kind(F, H, **options, dtype=torch.float64).eval()
    compare_program(layer, [(signal(3, 4, F),), (signal(7, 2, F),), (signal(1, 1, F),)])


@pytest.mark.parametrize("kind", [sg.RNNCell, sg.LSTMCell, sg.GRUCell, sg.MinLSTMCell])
def test_to_exported_program_of_rnn_cell_equals_eager(kind):
    cell = kind(F, H, dtype=torch.float64).eval()
    compare_program(cell, [(signal(4, F),), (signal(7, F),)])


@pytest.mark.parametrize("case", thorough_but([case for case in SOME if case.steps and case.state], "GCRN"))
def test_to_exported_program_of_graph_cell_equals_eager(case):
    layer = case.make()
    cell = getattr(sg, type(layer).__name__ + "Cell")(F, H, **case.options, dtype=torch.float64).eval()
    inputs = []
    for x, edges, *weight in (inputs_of(case, size) for size in GRAPHS):
        state = signal(*x.shape[1:3], H), signal(*x.shape[1:3], H)
        inputs.append((x[0], edges, *(weight or [None]), state if layer.kind == "lstm" else state[0]))
    compare_program(cell, inputs)


@pytest.mark.parametrize("variant", thorough_but(["O", "H"], "H"))
def test_to_exported_program_of_evolve_gcn_state_equals_eager(variant):
    layer = sg.EvolveGCN(F, H, 2, variant=variant, dtype=torch.float64).eval()
    inputs = []
    for x, edges, weight in (inputs_of(Case("", sg.EvolveGCN), size) for size in GRAPHS):
        _, state = layer(x, edges, weight)
        inputs.append((x, edges, weight, tree_map(torch.Tensor.detach, state)))
    compare_program(layer, inputs)


def test_to_exported_program_of_tree_cell_only_equals_eager():
    cell = sg.TreeLSTMCell(F, H, dtype=torch.float64).eval()
    inputs = []
    for nodes, children in ((3, 5), (4, 2), (1, 6)):
        states = signal(children, H), signal(children, H)
        inputs.append((signal(nodes, F), states, torch.arange(children) % nodes))
    compare_program(cell, inputs)
    with pytest.raises(ValueError, match="TreeLSTM: expected an eager call"):
        to_exported_program(sg.TreeLSTM(F, H), (signal(3, F).float(), torch.tensor([[0, 1], [2, 2]])), axes={"x": "NF"})


OWN_CALLS = [(name, how) for name in ("GCNConv", "GCNLSTM", "GCRN", "LSTM") for how in ("lenient", "strict")]


@pytest.mark.parametrize(
    ("name", "how"), thorough_but(OWN_CALLS, "GCNConv-lenient", "GCNLSTM-strict", "LSTM-lenient", "LSTM-strict")
)
def test_torch_export_called_directly_equals_eager(name, how):
    """`torch.export.export` itself, with all axes dynamic but that of time under dynamo."""
    options = {"K": 2} if name == "GCRN" else {}
    layer, free = getattr(sg, name)(F, H, **options).double().eval(), torch.export.Dim.DYNAMIC
    strict = how == "strict"
    axes = {} if strict else {0: free}
    if isinstance(layer, sg.LSTM):
        inputs = [(signal(3, 4, F),), (signal(3, 2, F),)]
        shapes = ({**axes, 1: free},)
    elif isinstance(layer, sg.GCNConv):
        inputs = [(signal(nodes, F), *graph(nodes, edges, loops)) for nodes, edges, _, loops in GRAPHS]
        shapes = ({0: free}, {1: free}, {0: free})
    else:
        inputs = [(signal(3, w, n, F), *graph(n, e, loops)) for n, e, w, loops in GRAPHS]
        shapes = ({**axes, 1: free, 2: free}, {1: free}, {0: free})
    program = torch.export.export(layer, inputs[0], dynamic_shapes=shapes, strict=strict).module()
    for given in inputs:
        same(program(*given), layer(*given))


class Forecaster(torch.nn.Module):
    """A user's module."""

    def __init__(self):
        super().__init__()
        self.nodes = sg.GCNGRU(F, H, engine="fused")
        self.plain = sg.LSTM(H, H)
        self.head = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(H, 1))

    def forward(self, series, edge_index):
        h, _ = self.nodes(series, edge_index)
        h, _ = self.plain(h.flatten(1, 2))
        return self.head(h[-1]).view(series.shape[1:3])


def state_of(model):
    flags = [(name, p.requires_grad, p.detach().clone()) for name, p in model.named_parameters()]
    return flags, [(m.training, getattr(m, "engine", None)) for m in model.modules()]


def unchanged(model, before):
    flags, modes = state_of(model)
    assert modes == before[1]
    for (name, learns, value), (other, learned, old) in zip(flags, before[0], strict=True):
        assert (name, learns) == (other, learned) and torch.equal(value, old)


def test_to_exported_program_leaves_custom_module_unchanged():
    model = Forecaster()
    before = state_of(model)
    inputs = [(signal(w + 2, w, n, F).float(), graph(n, e, loops)[0]) for n, e, w, loops in GRAPHS]
    program = to_exported_program(model, inputs[0], axes={"series": "TBNF"}).module()
    unchanged(model, before)
    with pytest.raises(ValueError, match="GCNGRU: expected input"):
        to_exported_program(model, (inputs[0][0][..., :1], inputs[0][1]), axes={"series": "TBNF"})
    unchanged(model, before)
    model.eval()
    for given in inputs:
        if EXPORTS_SCANS or len(given[0]) == len(inputs[0][0]):
            same(program(*given), model(*given), 1e-5)


LAYER = sg.GCNRNN(F, H)
X, (EDGES, WEIGHT) = signal(4, 2, 7, F).float(), graph(7, 12, 0, torch.float32)
WRONG = {
    "no module": ((len, (X, EDGES)), {}, "to_exported_program: expected a module, got builtin"),
    "no tuple": ((LAYER, X), {}, "to_exported_program: expected a tuple of example inputs, got Tensor"),
    "too few": ((LAYER, (X,)), {}, "expected inputs of GCNRNN, got others: missing .* 'edge_index'"),
    "another axis": ((LAYER, (X, EDGES)), {"dynamic": "TX"}, "expected dynamic axes among .*, got 'X'"),
    "another input": ((LAYER, (X, EDGES)), {"axes": {"y": "N"}}, "expected axes of x, edge_index, got those of 'y'"),
    "too many axes": ((LAYER, (X, EDGES)), {"axes": {"x": "TNF"}}, r"expected x with axes TNF, got shape \(4, 2, 7, 2"),
    "rank": ((LAYER, (X[0, 0], EDGES)), {}, "expected the axes of x, such as axes={'x': 'TBNF'}, got none"),
    "one window": ((LAYER, (X[:, :1], EDGES)), {}, "expected at least 2 of B in x, as torch.export .* got 1"),
    "two sizes": ((LAYER, (X, EDGES, WEIGHT[1:])), {}, "expected one E, got 12 in edge_index, 11"),
    "prepared": ((LAYER, (X, LAYER.prepare(EDGES, num_nodes=7))), {}, "expected edge_index as tensors, got PreparedGr"),
    "changing": ((LAYER, (X, [EDGES] * 4)), {"dynamic": "TN"}, "expected T not to be dynamic, as edge_index is a list"),
    "a name of torch's": (
        (torch.nn.ModuleDict({"graph": LAYER}), (X, EDGES)),
        {},
        "to_exported_program: expected another name for submodule 'graph'",
    ),
    "bound by the model": (
        (torch.nn.LSTM(F, H), (X[0],)),
        {"axes": {"input": "TBF"}, "dynamic": "T"},
        "expected a model with dynamic axes T, got You marked" if EXPORTS_SCANS else "expected T not to be dynamic",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_to_exported_program_invalid_input_raises_value_error(wrong, tmp_path):
    args, options, message = WRONG[wrong]
    with pytest.raises(ValueError, match=message):
        to_exported_program(*args, **options)


@pytest.mark.slow
@pytest.mark.traced
def test_to_exported_program_with_graph_per_step_equals_eager():
    def given(nodes, edges, windows, loops):
        steps = [graph(nodes, edges + t, loops) for t in range(2)]
        return signal(2, windows, nodes, F), [edges for edges, _ in steps], [weight for _, weight in steps]

    compare_program(sg.GCNRNN(F, H, dtype=torch.float64).eval(), [given(*size) for size in GRAPHS])


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_to_onnx_without_package_names_it(package, monkeypatch, tmp_path):
    for name in ("onnx", "onnxscript", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, torch)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"to_onnx needs {package}: pip install 'seqgnn\[onnx\]'"):
        to_onnx(LAYER, (X, EDGES), tmp_path / "layer.onnx")


def test_to_onnx_into_missing_directory_raises_value_error(tmp_path):
    pytest.importorskip("onnxruntime")
    with pytest.raises(ValueError, match="to_onnx: expected a path in an existing directory, got"):
        to_onnx(LAYER, (X, EDGES), tmp_path / "none" / "layer.onnx")


@pytest.mark.parametrize("case", thorough_but([*SOME, IN_GATES[0]], "GCNLSTM GCN()", "EvolveGCN H"))
def test_to_onnx_of_layer_equals_eager_at_any_size(case, tmp_path):
    dtype = torch.float32 if case in IN_GATES else torch.float64  # onnxruntime has no LeakyRelu in float64
    inputs = [inputs_of(case, size, dtype) for size in GRAPHS]
    tolerance = 1e-5 if case in IN_GATES else 1e-9
    compare_onnx(case.make().eval().to(dtype), inputs, tmp_path / "layer.onnx", tolerance)


@pytest.mark.parametrize("name", thorough_but(CONVS, "GCNConv", "DiffusionConv authors"))
def test_to_onnx_of_conv_equals_eager(name, tmp_path):
    conv = copy.deepcopy(CONVS[name]).eval()
    inputs = [(signal(n, F).float(), *graph(n, e, loops, torch.float32)) for n, e, _, loops in GRAPHS]
    compare_onnx(conv, inputs, tmp_path / "conv.onnx", 1e-5)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize(
    ("name", "bits"), thorough_but([(name, bits) for name in PLAIN for bits in (32, 64)], "LSTM-32", "GRU-64")
)
def test_to_onnx_of_rnn_layer_equals_eager(name, bits, tmp_path):
    kind, options = PLAIN[name]
    dtype = torch.float32 if bits == 32 else torch.float64
    layer = kind(F, H, **options, dtype=dtype).eval()
    tolerance = 1e-5 if dtype == torch.float32 else 1e-9
    inputs = [(signal(3, 4, F, dtype=dtype),), (signal(7, 2, F, dtype=dtype),), (signal(1, 1, F, dtype=dtype),)]
    compare_onnx(layer, inputs, tmp_path / "layer.onnx", tolerance)
    batches = [(signal(3, 4, F, dtype=dtype),), (signal(3, 2, F, dtype=dtype),)]
    if layer.batch_first:
        batches = [(x.transpose(0, 1),) for (x,) in batches]
    compare_onnx(layer, batches, tmp_path / "fixed.onnx", tolerance, dynamic="B")


@pytest.mark.slow
@pytest.mark.traced
def test_to_onnx_of_custom_module_equals_eager(tmp_path):
    model = Forecaster()
    before = state_of(model)
    inputs = [(signal(w + 2, w, n, F).float(), graph(n, e, loops)[0]) for n, e, w, loops in GRAPHS]
    path = tmp_path / "model.onnx"
    pytest.importorskip("onnxruntime")
    to_onnx(model, inputs[0], path, axes={"series": "TBNF"}, external_data=True)
    unchanged(model, before)
    assert sorted(found.name for found in tmp_path.iterdir()) == ["model.onnx", "model.onnx.data"]
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    assert [(value.name, value.shape) for value in session.get_inputs()] == [
        ("series", ["T", "B", "N", F]),
        ("edge_index", [2, "E"]),
    ]
    model.eval()
    for given in inputs:
        same(run_onnx(path, given), model(*given), 1e-5)


class Mean(torch.nn.Module):
    """Overwrites instead of averaging, like torch's exporter."""

    def forward(self, x, edge_index):
        source = x[edge_index[0]]
        index = edge_index[1][:, None].expand_as(source)
        return torch.zeros_like(x).scatter_reduce(0, index, source, "mean", include_self=False)


@pytest.mark.slow
@pytest.mark.traced
def test_to_onnx_wrong_program_raises_and_leaves_old_file(tmp_path):
    pytest.importorskip("onnxruntime")
    path = tmp_path / "mean.onnx"
    path.write_text("old")
    with pytest.raises(ValueError, match="to_onnx: expected "):
        to_onnx(Mean(), (X[0, 0], EDGES), path, axes={"x": "NF"})
    assert [found.read_text() for found in tmp_path.iterdir()] == ["old"]
    for wrong in (torch.nn.LSTM(F, H, proj_size=2), torch.nn.GRU(F, H).double()):
        with pytest.raises(ValueError, match=r"to_onnx: expected seqgnn.nn.(LSTM|GRU), got torch"):
            to_onnx(wrong, (X[0],), path, axes={"input": "TBF"}, dynamic="B")
