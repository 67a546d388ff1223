"""GCNRNN, GCNLSTM and GCNGRU against dense loops over edges, nodes, steps and gates."""

import json
from pathlib import Path

import oracles
import pytest
import torch

FIXTURE = json.loads((Path(__file__).parents[1] / "fixtures" / "graph_recurrent.json").read_text())
LITERAL = ["GCNLSTM", "GCNGRU reset=after", "GCNGRU reset=before"]


def figures(values):
    return torch.tensor(values, dtype=torch.float64)


def literal(layer_name):
    """Edges, weights, x, parameters, output and states of one of the fixture's layers."""
    entry = FIXTURE["layers"][layer_name]
    parameters = {key: figures(value) for key, value in entry["parameters"].items()}
    graph = torch.tensor(FIXTURE["edge_index"]), figures(FIXTURE["edge_weight"])
    states = figures(entry["states [B,N,H]"])
    return *graph, figures(FIXTURE["x [T,B,N,F]"]), parameters, figures(entry["output [T,B,N,H]"]), states


@pytest.mark.parametrize("layer_name", LITERAL)
def test_oracle_gives_the_literal_figures(layer_name):
    edge_index, edge_weight, x, parameters, output, states = literal(layer_name)
    kind = "lstm" if "LSTM" in layer_name else "gru"
    options = {} if kind == "lstm" else {"reset": layer_name.split("=")[1]}
    operators = [oracles.gcn_operator(edge_index, edge_weight, 6)] * x.shape[0]
    found, last = oracles.recurrent_batch(
        kind, parameters, x, input_operators=operators, hidden_operators=operators, **options
    )
    oracles.close(found, output)
    oracles.close(torch.cat(last), states)
