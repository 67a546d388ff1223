"""The hand-written backward pass against autograd's through the equations."""

import copy
from dataclasses import dataclass
from functools import partial
from itertools import product

import pytest
import torch
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint
from torch_geometric.nn import GraphConv

from seqgnn import nn as sg
from seqgnn.nn.graph.filters import Filter, RecursionStep, apply_operator
from seqgnn.nn.graph.operator import Operator
from seqgnn.nn.scan import double_backward
from seqgnn.nn.scan.fused import passes
from seqgnn.nn.scan.fused import scan as fused
from seqgnn.nn.scan.reference import record_states
from tests.support import fused_scans
from tests.support.fused_scans import (
    EDGES,
    OPTIONS,
    PLAIN,
    SOME,
    WEIGHTS,
    B,
    F,
    H,
    N,
    T,
    agree,
    both,
    peak,
    signal,
)
from tests.support.layer_cases import CASES, PUBLISHED, Case
from tests.support.oracles import close, gradient, leaf, tricky_graphs

INPUT_CONV = Case("GCNGRU", sg.GCNGRU, options={"input_conv": GraphConv, "hidden_conv": sg.Chebyshev(2)})
TWO_PROJECTIONS = next(case for case in CASES if str(case) == "GCNGRU before GCN()")


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("rows", [1, 4096])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_fused_scan_equals_reference(case, rows, dense, monkeypatch, fused_calls):
    monkeypatch.setattr(passes, "ROWS", rows)
    monkeypatch.setattr(fused, "DENSE", N if dense else 0)
    layers = both(case, num_layers=2, bidirectional=True)
    states = [signal(4, B, N, H, seed=3 + i) for i in range(2 if layers[0].kind == "lstm" else 1)]
    lengths = torch.tensor([4, 2])
    agree(case, layers, signal(T, B, N, F), EDGES, [WEIGHTS], states, lengths=lengths)
    assert len(fused_calls) == 4


@pytest.mark.parametrize("case", [*SOME, TWO_PROJECTIONS, INPUT_CONV], ids=str)
def test_fused_scan_last_chunk_of_fewer_steps_equals_reference(case, monkeypatch):
    """Chunks of three steps, and one of a single step, which is the first for the direction from the end."""
    monkeypatch.setattr(passes, "ROWS", 3 * B * N)
    agree(case, both(case, num_layers=2, bidirectional=True), signal(4, B, N, F), EDGES, [WEIGHTS])


@pytest.mark.parametrize("nodes, dense", [(fused.DENSE, True), (fused.DENSE + 1, False)])
def test_fused_scan_multiplies_dense_matrices_of_few_nodes(nodes, dense, monkeypatch):
    seen = []

    class Recorded(passes.StepOperator):
        def __init__(self, operator, values, requires_grad, dense):
            seen.append(dense)
            super().__init__(operator, values, requires_grad, dense)

    monkeypatch.setattr(passes, "StepOperator", Recorded)
    sg.GCNLSTM(F, H, engine="fused")(signal(T, nodes, F).float(), EDGES)
    assert seen == [dense]


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("case", PUBLISHED, ids=str)
def test_fused_scan_graph_per_step_and_lengths_equal_reference(case, dense, monkeypatch):
    monkeypatch.setattr(fused, "DENSE", N if dense else 0)
    graphs = tricky_graphs(T)[0]
    edges, weights = [e for e, _ in graphs], [w for _, w in graphs]
    lengths = torch.arange(N) % T + 1
    agree(case, both(case, bidirectional=True), signal(T, N, F), edges, weights, lengths=lengths)


def test_fused_scan_with_input_convolution_equals_reference(fused_calls):
    agree(INPUT_CONV, both(INPUT_CONV, num_layers=2), signal(T, B, N, F), EDGES, [WEIGHTS])
    assert len(fused_calls) == 2


ONE_BIAS = [(kind, {"recurrent_bias": False}) for kind in ("rnn", "lstm")]


@pytest.mark.parametrize(("kind", "options"), [*product(PLAIN, OPTIONS), *ONE_BIAS], ids=str)
def test_fused_scan_of_rnn_layers_equals_native(kind, options, fused_calls):
    layer = PLAIN[kind](F, H, dtype=torch.float64, engine=fused_scans.ENGINE, **options)
    native = copy.deepcopy(layer)
    native.engine = "native"
    packed = torch.nn.utils.rnn.pack_padded_sequence(signal(T, 3, F), [4, 3, 1])
    found = []
    for module in (layer, native):
        module.zero_grad()
        x = leaf(signal(T, 3, F))
        output, state = module(x)
        ragged, last = module(packed)
        parts = [output, ragged.data, *(state if kind == "lstm" else [state]), *(last if kind == "lstm" else [last])]
        torch.autograd.backward([(signal(*part.shape, seed=9) * part).sum() for part in parts])
        found.append([*parts, gradient(x), *(gradient(p) for p in module.parameters())])
    for a, b in zip(*found, strict=True):
        close(a, b)
    assert fused_calls


@pytest.mark.parametrize("case", SOME, ids=str)
def test_fused_scan_in_functorch_transforms_uses_reference(case, fused_calls):
    layer, other = both(case)
    x, direction = signal(T, N, F), signal(T, N, F, seed=5)

    def answer(layer, x):
        return case.parts(layer(x, EDGES, WEIGHTS))[0].square().sum()

    for transform in (torch.func.grad, torch.func.jacrev, lambda f: torch.func.vmap(torch.func.grad(f))):
        at = torch.stack([x, direction]) if "lambda" in transform.__name__ else x
        close(transform(partial(answer, layer))(at), transform(partial(answer, other))(at))
    along, expected = (torch.func.jvp(partial(answer, each), (x,), (direction,))[1] for each in (layer, other))
    close(along, expected)
    assert not fused_calls


@pytest.mark.parametrize("case", CASES, ids=str)
def test_fused_scan_repeated_or_checkpointed_backward_is_equal(case):
    layer, x = case.make(engine=fused_scans.ENGINE), signal(T, B, N, F)
    losses = [case.parts(layer(x, EDGES, WEIGHTS))[0].square().sum() for _ in range(2)]
    parameters = list(layer.parameters())
    once = torch.autograd.grad(losses[0], parameters, retain_graph=True)
    again = torch.autograd.grad(losses[0], parameters)
    saved = torch.autograd.graph.saved_tensors_hooks(lambda t: t.numpy().copy(), torch.from_numpy)
    held = checkpoint(lambda x: case.parts(layer(x, EDGES, WEIGHTS))[0], x, use_reentrant=False).square().sum()
    with saved:
        offloaded = case.parts(layer(x, EDGES, WEIGHTS))[0].square().sum()
    for found in (again, *(torch.autograd.grad(loss, parameters) for loss in (losses[1], held, offloaded))):
        for a, b in zip(found, once, strict=True):
            close(a, b)
    with pytest.raises(RuntimeError, match="second time"):
        losses[0].backward()


@pytest.mark.parametrize("case", SOME, ids=str)
def test_fused_scan_without_or_with_some_gradients_is_equal(case, monkeypatch):
    monkeypatch.setattr(passes, "ROWS", 2 * N)
    layer, x = case.make(num_layers=2, engine=fused_scans.ENGINE), leaf(signal(T, B, N, F))
    expected = case.parts(layer(x, EDGES, WEIGHTS))
    (wanted,) = torch.autograd.grad(expected[0].sum(), x, retain_graph=True)
    (hidden,) = torch.autograd.grad(expected[0].sum(), layer.weight_hh_l0)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            for a, b in zip(case.parts(layer(x, EDGES, WEIGHTS)), expected, strict=True):
                close(a, b)
    layer.requires_grad_(False)
    close(torch.autograd.grad(case.parts(layer(x, EDGES, WEIGHTS))[0].sum(), x)[0], wanted)
    layer.weight_hh_l0.requires_grad_()
    output = case.parts(layer(x.detach(), EDGES, WEIGHTS))[0]
    close(torch.autograd.grad(output.sum(), layer.weight_hh_l0)[0], hidden)


@pytest.mark.parametrize("case", SOME, ids=str)
def test_fused_scan_backward_alone_runs_no_equations(case, monkeypatch):
    for module in (fused, double_backward):
        monkeypatch.setattr(module, "differentiable_backward", lambda *_: pytest.fail("the equations are slower"))
    scans, scan_forward = [], fused.scan_forward
    monkeypatch.setattr(fused, "scan_forward", lambda *args: scans.append(args) or scan_forward(*args))
    layer = case.make(engine=fused_scans.ENGINE)
    case.parts(layer(leaf(signal(T, B, N, F)), EDGES, WEIGHTS))[0].sum().backward()
    assert layer.weight_hh_l0.grad.any() and len(scans) == 1


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("case", SOME, ids=str)
def test_fused_scan_gradients_of_last_states_alone_equal_reference(case, reverse):
    found = []
    for layer in both(case, bidirectional=True):
        x = leaf(signal(T, B, N, F))
        last = case.parts(layer(x, EDGES, WEIGHTS))[1:]
        loss = sum((signal(B, N, H, seed=9) * part[int(reverse)]).sum() for part in last)
        found.append(torch.autograd.grad(loss, [x, *layer.parameters()], allow_unused=True))
    for a, b in zip(*found, strict=True):
        close(*(torch.zeros(1) if part is None else part for part in (a, b)))


def test_fused_scan_outputs_may_be_changed_in_place():
    layer, x = sg.GCRN(F, H, K=2, engine=fused_scans.ENGINE, dtype=torch.float64), signal(T, N, F)
    expected = torch.autograd.grad(layer(x, EDGES)[0].relu().sum(), layer.weight_hh_l0)[0]
    output, (h, c) = layer(x, EDGES)
    h.mul_(2)
    c.zero_()
    close(torch.autograd.grad(output.relu_().sum(), layer.weight_hh_l0)[0], expected)


def test_fused_scan_recording_uses_reference(fused_calls):
    layer, x = sg.GCRN(F, H, K=2, engine=fused_scans.ENGINE), signal(T, N, F).float()
    with record_states() as steps:
        layer(x, EDGES)
    assert len(steps) == 1 and len(steps[0]) == T
    assert not fused_calls
    layer(x, EDGES)
    assert fused_calls


@pytest.mark.parametrize("case", SOME, ids=str)
def test_fused_scan_in_float32_is_close_to_float64(case):
    layer, x = case.make(engine=fused_scans.ENGINE), signal(T, B, N, F)
    exact = case.parts(layer(x, EDGES, WEIGHTS))
    close_to = case.parts(layer.float()(x.float(), EDGES, WEIGHTS.float()))
    for a, b in zip(close_to, exact, strict=True):
        close(a, b, 1e-5)


def test_fused_scan_without_edges_or_of_one_node_is_equal():
    empty = torch.empty(2, 0, dtype=torch.long)
    for nodes in (1, 40):
        layer, other = both(Case("GCRN", sg.GCRN, options={"K": 3}))
        x = signal(1, nodes, F)
        outputs = [module(x, empty)[0] for module in (layer, other)]
        close(*outputs)
        close(*(torch.autograd.grad(o.sum(), m.weight_hh_l0)[0] for o, m in zip(outputs, (layer, other))))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_fused_scan_has_lower_peak_memory_than_reference(cell, monkeypatch):
    monkeypatch.setattr(passes, "ROWS", 16 * N)
    fast, slow = (sg.GCRN(F, 32, K=2, cell=cell, engine=engine) for engine in ("fused", "reference"))
    x = torch.randn(12, 16, N, F)
    assert peak(fast, x, EDGES) < 0.55 * peak(slow, x, EDGES)


@pytest.mark.parametrize("case", SOME, ids=str)
def test_fused_scan_batched_and_forward_mode_backward_is_equal(case, fused_calls):
    found = []
    for layer in both(case):
        x = leaf(signal(T, N, F))
        output = case.parts(layer(x, EDGES, WEIGHTS))[0]
        back = partial(torch.autograd.grad, output, [x, layer.weight_hh_l0], retain_graph=True)
        many = signal(3, *output.shape)
        with forward_ad.dual_level():
            along = [forward_ad.unpack_dual(d).tangent for d in back(forward_ad.make_dual(many[0], many[1]))]
        found.append([*back(many, is_grads_batched=True), *torch.func.vmap(back)(many), *along])
    for a, b in zip(*found, strict=True):
        close(a, b)
    assert len(fused_calls) == 1


@pytest.mark.parametrize("again", [False, True])
def test_fused_scan_without_output_gradients_returns_none(again):
    class Deaf(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, d):
            return None

    layer, x = sg.GCRN(F, H, K=2, engine=fused_scans.ENGINE, dtype=torch.float64), leaf(signal(T, N, F))
    loss = Deaf.apply(layer(x, EDGES)[0]).sum()
    inputs = [x, *layer.parameters()]
    assert set(torch.autograd.grad(loss, inputs, create_graph=again, allow_unused=True)) == {None}


@dataclass(frozen=True, repr=False)
class Recursion(Filter):
    """x A / 2, -2 B (A x / 2) - x and 3 A of that."""

    num_terms = 3
    keeps_input = False
    recursion = (RecursionStep(0, 0, 0.5), RecursionStep(1, 1, -2.0, 0), RecursionStep(0, 2, 3.0))

    def build(self, edges):
        patterns = [edges.pattern(False, "source_to_target"), edges.pattern(True, "target_to_source")]
        return tuple(Operator(p, p.entry_weights(edges.weight, 1.0), edges.weight is None) for p in patterns)


@dataclass(frozen=True, repr=False)
class Basis(Recursion):
    """The same, by a basis of its own."""

    recursion = ()

    def basis(self, x, graph):
        a, b = (partial(apply_operator, operator) for operator in self.operators(x, graph))
        first = 0.5 * a(x)
        second = -2 * b(first) - x
        return [first, second, 3 * a(second)]


@pytest.mark.parametrize("sides", [["conv"], ["input_conv"], ["hidden_conv"]], ids=str)
@pytest.mark.parametrize("layer", [sg.GCNLSTM, partial(sg.GCNGRU, reset="before")])
def test_fused_scan_custom_filter_recursion_equals_its_basis(layer, sides, fused_calls):
    options = {side: Recursion() for side in sides}
    case = Case("", layer, options=options)
    agree(case, both(case), signal(T, B, N, F), EDGES, [WEIGHTS])
    assert len(fused_calls) == 1
    other = Case("", layer, options={side: Basis() for side in sides})
    layers = case.make(engine=fused_scans.ENGINE), other.make(engine=fused_scans.ENGINE)
    agree(case, layers, signal(T, B, N, F), EDGES, [WEIGHTS])
    assert len(fused_calls) == (3 if sides == ["input_conv"] else 2)


@pytest.mark.parametrize("engine", ["fused", "reference"])
@pytest.mark.parametrize("side", ["input_conv", "hidden_conv"])
def test_filter_with_wrong_num_terms_raises_runtime_error(side, engine):
    @dataclass(frozen=True, repr=False)
    class Short(Recursion):
        num_terms = 4

    layer = sg.GCNLSTM(F, H, engine=engine, dtype=torch.float64, **{side: Short()})
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        layer(signal(T, N, F), EDGES)


@pytest.mark.parametrize("case", SOME, ids=str)
def test_fused_scan_any_strides_and_duplicate_edges_are_equal(case):
    layers, edges, weights = both(case), torch.zeros(2, 3, dtype=torch.long), signal(3).exp()
    for x in (
        signal(B, T, 1, F).transpose(0, 1),
        signal(T, B, 1, 1).expand(T, B, 1, F),
        signal(F, T, B, 1).movedim(0, 3),
    ):
        found = []
        for layer in layers:
            given = leaf(weights)
            output = case.parts(layer(x, edges, given))[0]
            found.append([output, *torch.autograd.grad(output.sum(), [given, *layer.parameters()], allow_unused=True)])
        for a, b in zip(*found, strict=True):
            close(a, b)
