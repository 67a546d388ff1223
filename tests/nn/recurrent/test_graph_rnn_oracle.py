"""GCNRNN, GCNLSTM and GCNGRU against dense loops over edges, nodes, steps and gates."""

import json

import pytest
import torch

from seqgnn.nn import GCN, GCNGRU, GCNLSTM, GCNRNN, Identity
from tests.support import oracles
from tests.support.paths import FIXTURE

NUMBERS = json.loads(FIXTURE.read_text())
LITERAL = ["GCNLSTM", "GCNGRU reset=after", "GCNGRU reset=before"]


def figures(values):
    return torch.tensor(values, dtype=torch.float64)


def literal(layer_name):
    """Edges, weights, x, parameters, output and states of one of the fixture's layers."""
    entry = NUMBERS["layers"][layer_name]
    parameters = {key: figures(value) for key, value in entry["parameters"].items()}
    graph = torch.tensor(NUMBERS["edge_index"]), figures(NUMBERS["edge_weight"])
    states = figures(entry["states [B,N,H]"])
    return *graph, figures(NUMBERS["x [T,B,N,F]"]), parameters, figures(entry["output [T,B,N,H]"]), states


@pytest.mark.parametrize("layer_name", LITERAL)
def test_oracle_recurrent_batch_equals_literal_values(layer_name):
    edge_index, edge_weight, x, parameters, output, states = literal(layer_name)
    kind = "lstm" if "LSTM" in layer_name else "gru"
    options = {} if kind == "lstm" else {"reset": layer_name.split("=")[1]}
    operators = [oracles.gcn_operator(edge_index, edge_weight, 6)] * x.shape[0]
    found, last = oracles.recurrent_batch(
        kind, parameters, x, input_operators=operators, hidden_operators=operators, **options
    )
    oracles.close(found, output)
    oracles.close(torch.cat(last), states)


# The library

T, B, F, H, N = 4, 2, 2, 3, 7
GRAPH_LENGTHS = {3: torch.tensor([2, 4, 1, 4, 3, 4, 2]), 4: torch.tensor([2, 4])}

# kind, class, options that the layer and the oracle's cell share
CASES = [
    ("rnn", GCNRNN, {}),
    ("rnn", GCNRNN, {"nonlinearity": "relu"}),
    ("lstm", GCNLSTM, {}),
    ("gru", GCNGRU, {}),
    ("gru", GCNGRU, {"reset": "before"}),
]
KINDS = [CASES[0], *CASES[2:]]


def name(case):
    return case[1].__name__ + "".join(f"-{k}={v}" for k, v in case[2].items())


def build(case, **options):
    torch.manual_seed(7)
    layer = case[1](F, H, dtype=torch.float64, **case[2], **options)
    for key, parameter in layer.named_parameters():
        if key.startswith("bias"):
            torch.nn.init.normal_(parameter)
    return layer


def static_graph():
    edge_index, edge_weight, _ = oracles.tricky_graph()
    return edge_index, edge_weight


def compare(
    layer,
    case,
    *,
    rank=4,
    graphs=None,
    weighted=True,
    normalizations=("sym", "sym"),
    lengths=None,
    with_state=False,
    prepare=False,
):
    """Output, states and every gradient (x, parameters, edge weights, initial state), layer against oracle.

    graphs: None for one graph at all times, or a list of T (edge_index, edge_weight). Normalizations are those of the
    input's and the state's filter; "identity" is no graph at all.
    """
    kind, _, cell_options = case
    generator = torch.Generator().manual_seed(8)
    x = torch.randn(T, *((B, N) if rank == 4 else (N,)), F, generator=generator, dtype=torch.float64)
    slots = layer.num_layers * (2 if layer.bidirectional else 1)
    state = None
    if with_state:
        parts = ("h", "c") if kind == "lstm" else ("h",)
        state = [torch.randn(slots, *x.shape[1:-1], H, generator=generator, dtype=torch.float64) for _ in parts]
    per_step = [static_graph()] if graphs is None else graphs
    edges = [edge_index for edge_index, _ in per_step]
    weights = [edge_weight for _, edge_weight in per_step] if weighted else None

    oracle_x = oracles.leaf(x)
    parameters = {key: oracles.leaf(value) for key, value in layer.state_dict().items()}
    oracle_state = None if state is None else tuple(oracles.leaf(s) for s in state)
    oracle_weights = None if weights is None else [oracles.leaf(w) for w in weights]
    operators = []
    for normalization in normalizations:
        if normalization == "identity":
            operators.append(None)
            continue
        found = [
            oracles.gcn_operator(edge_index, None if oracle_weights is None else oracle_weights[t], N, normalization)
            for t, edge_index in enumerate(edges)
        ]
        operators.append(found if graphs is not None else found * T)
    run = oracles.recurrent_batch if rank == 4 else oracles.recurrent
    expected, expected_states = run(
        kind,
        parameters,
        oracle_x,
        num_layers=layer.num_layers,
        bidirectional=layer.bidirectional,
        input_operators=operators[0],
        hidden_operators=operators[1],
        lengths=lengths,
        state=oracle_state,
        **cell_options,
    )

    x = oracles.leaf(x)
    state = None if state is None else tuple(oracles.leaf(s) for s in state)
    given_state = state if state is None or kind == "lstm" else state[0]
    given_x = x.transpose(0, 1) if layer.batch_first else x
    if prepare:
        prepared = [layer.prepare(*pair, N) for pair in zip(edges, weights)]
        given_graph = prepared if graphs is not None else prepared[0]
        output, states = layer(given_x, given_graph, None, given_state, lengths=lengths)
    else:
        weights = None if weights is None else [oracles.leaf(w) for w in weights]
        given_weights = weights if graphs is not None or weights is None else weights[0]
        given_edges = edges if graphs is not None else edges[0]
        output, states = layer(given_x, given_edges, given_weights, given_state, lengths=lengths)
    output = output.transpose(0, 1) if layer.batch_first else output
    states = states if kind == "lstm" else (states,)

    oracles.close(output, expected)
    for found, wanted in zip(states, expected_states, strict=True):
        oracles.close(found, wanted)

    draws = [torch.randn(s.shape, generator=generator, dtype=torch.float64) for s in (expected, *expected_states)]
    sum((value * d).sum() for value, d in zip((output, *states), draws)).backward()
    sum((value * d).sum() for value, d in zip((expected, *expected_states), draws)).backward()
    oracles.close(oracles.gradient(x), oracles.gradient(oracle_x))
    for key, parameter in layer.named_parameters():
        oracles.close(oracles.gradient(parameter), oracles.gradient(parameters[key]))
    for found, wanted in zip(state or (), oracle_state or ()):
        oracles.close(oracles.gradient(found), oracles.gradient(wanted))
    if not prepare:
        for found, wanted in zip(weights or (), oracle_weights or ()):
            oracles.close(oracles.gradient(found), oracles.gradient(wanted))


@pytest.mark.parametrize("layer_name", LITERAL)
def test_graph_rnn_equals_literal_values(layer_name):
    edge_index, edge_weight, x, parameters, output, states = literal(layer_name)
    if layer_name == "GCNLSTM":
        layer = GCNLSTM(2, 2, dtype=torch.float64)
    else:
        layer = GCNGRU(2, 2, reset=layer_name.split("=")[1], dtype=torch.float64)
    layer.load_state_dict(parameters)
    for graph in [(edge_index, edge_weight), (layer.prepare(edge_index, edge_weight, 6), None)]:
        found, last = layer(x, *graph)
        oracles.close(found, output)
        oracles.close(torch.cat(last) if layer_name == "GCNLSTM" else last, states)


@pytest.mark.parametrize("case", CASES, ids=name)
@pytest.mark.parametrize("rank", [3, 4])
@pytest.mark.parametrize("normalization", ["sym", "rw"])
def test_graph_rnn_of_one_layer_equals_oracle(case, rank, normalization):
    layer = build(case, conv=GCN(normalization))
    compare(layer, case, rank=rank, normalizations=(normalization, normalization))


@pytest.mark.parametrize("case", CASES, ids=name)
@pytest.mark.parametrize("rank", [3, 4])
@pytest.mark.parametrize("ragged", [False, True])
def test_graph_rnn_bidirectional_layers_with_state_equal_oracle(case, rank, ragged):
    layer = build(case, num_layers=2, bidirectional=True)
    compare(layer, case, rank=rank, lengths=GRAPH_LENGTHS[rank] if ragged else None, with_state=True)


@pytest.mark.parametrize("case", KINDS, ids=name)
@pytest.mark.parametrize("rank", [3, 4])
@pytest.mark.parametrize("weighted", [False, True])
def test_graph_rnn_with_graph_per_step_equals_oracle(case, rank, weighted):
    layer = build(case, bidirectional=True)
    graphs, _ = oracles.tricky_graphs(T)
    compare(layer, case, rank=rank, graphs=graphs, weighted=weighted, lengths=GRAPH_LENGTHS[rank], with_state=True)


@pytest.mark.parametrize("case", KINDS, ids=name)
@pytest.mark.parametrize("changing", [False, True])
@pytest.mark.parametrize("rank", [3, 4])
def test_graph_rnn_with_prepared_graphs_equals_oracle(case, changing, rank):
    layer = build(case, num_layers=2)
    compare(layer, case, rank=rank, graphs=oracles.tricky_graphs(T)[0] if changing else None, prepare=True)


@pytest.mark.parametrize("case", KINDS, ids=name)
@pytest.mark.parametrize("filters", [("identity", "sym"), ("rw", "identity"), ("sym", "rw")], ids=str)
def test_graph_rnn_with_different_filters_equals_oracle(case, filters):
    made = [Identity() if choice == "identity" else GCN(choice) for choice in filters]
    layer = build(case, num_layers=2, input_conv=made[0], hidden_conv=made[1])
    compare(layer, case, normalizations=filters, with_state=True)


@pytest.mark.parametrize("case", KINDS, ids=name)
def test_graph_rnn_with_identity_filter_equals_oracle(case):
    compare(build(case, conv=Identity()), case, rank=3, normalizations=("identity", "identity"))


@pytest.mark.parametrize("case", KINDS, ids=name)
def test_graph_rnn_bias_false_and_batch_first_equal_oracle(case):
    layer = build(case, bias=False, batch_first=True)
    assert all(key.startswith("weight") for key, _ in layer.named_parameters())
    compare(layer, case, weighted=False)


@pytest.mark.parametrize("case", KINDS, ids=name)
def test_graph_rnn_disjoint_batch_equals_separate_graphs(case):
    layer = build(case, bidirectional=True)
    first, second = oracles.tricky_graphs(2)[0]
    x = torch.randn(T, 2 * N, F, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    batch = torch.arange(2).repeat_interleave(N)
    lengths = torch.tensor([2, 4])[batch]
    edges, weights = torch.cat([first[0], second[0] + N], dim=1), torch.cat([first[1], second[1]])
    output, states = layer(x, edges, weights, lengths=lengths, batch=batch)
    states = states if case[0] == "lstm" else (states,)
    for place, (edge_index, edge_weight) in enumerate((first, second)):
        nodes, steps = slice(place * N, (place + 1) * N), (2, 4)[place]
        operators = [oracles.gcn_operator(edge_index, edge_weight, N)] * steps
        expected, expected_states = oracles.recurrent(
            case[0],
            layer.state_dict(),
            x[:steps, nodes],
            bidirectional=True,
            input_operators=operators,
            hidden_operators=operators,
            **case[2],
        )
        oracles.close(output[:steps, nodes], expected)
        assert not output[steps:, nodes].any()
        for found, wanted in zip(states, expected_states, strict=True):
            oracles.close(found[:, nodes], wanted)


def test_gcn_lstm_cache_distinguishes_filters_and_contents():
    """What is kept from one call must not answer another."""
    case = CASES[2]
    layers = [(build(case, conv=GCN(normalization)), normalization) for normalization in ("sym", "rw")]
    edge_index, edge_weight = (tensor.clone() for tensor in static_graph())
    x = torch.randn(T, N, F, dtype=torch.float64, generator=torch.Generator().manual_seed(10))

    def check():
        for weight in (edge_weight, None, edge_weight):
            for layer, normalization in layers:
                operators = [oracles.gcn_operator(edge_index, weight, N, normalization)] * T
                expected, _ = oracles.recurrent(
                    "lstm", layer.state_dict(), x, input_operators=operators, hidden_operators=operators
                )
                oracles.close(layer(x, edge_index, weight)[0], expected)

    check()
    edge_weight.mul_(torch.linspace(0.5, 2, len(edge_weight), dtype=torch.float64))
    check()
    edge_index[:, 3] = torch.tensor([5, 6])
    check()
