"""The GCN operator and GCNConv against a dense oracle that shares no code with them."""

import json
from pathlib import Path

import oracles
import pytest
import torch

FIXTURE = json.loads((Path(__file__).parents[1] / "fixtures" / "graph_recurrent.json").read_text())


def fixture_graph():
    weight = torch.tensor(FIXTURE["edge_weight"], dtype=torch.float64)
    return torch.tensor(FIXTURE["edge_index"]), weight, 6


@pytest.mark.parametrize("normalization", ["sym", "rw"])
def test_oracle_operator_is_the_published_one(normalization):
    operator = oracles.gcn_operator(*fixture_graph(), normalization)
    oracles.close(operator, torch.tensor(FIXTURE["operators"][f"gcn {normalization}"], dtype=torch.float64))


def test_oracle_operator_by_hand():
    # 0 -> 1 with weight 3, loops of weight 2 and then 5 at node 1: in-degrees 1 and 8.
    edge_index = torch.tensor([[1, 0, 1], [1, 1, 1]])
    weight = torch.tensor([2.0, 3.0, 5.0], dtype=torch.float64)
    oracles.close(
        oracles.gcn_operator(edge_index, weight, 2, "sym"),
        torch.tensor([[1, 0], [3 / 8**0.5, 5 / 8]], dtype=torch.float64),
    )
    oracles.close(
        oracles.gcn_operator(edge_index, weight, 2, "rw", improved=True),
        torch.tensor([[1, 0], [3 / 8, 5 / 8]], dtype=torch.float64),
    )
    # Without added loops those that are there add up, and node 0 has degree 0.
    oracles.close(
        oracles.gcn_operator(edge_index, weight, 2, "sym", self_loops=False),
        torch.tensor([[0, 0], [0, 7 / 10]], dtype=torch.float64),
    )
    oracles.close(
        oracles.gcn_operator(edge_index, weight, 2, "rw", self_loops=False),
        torch.tensor([[0, 0], [3 / 10, 7 / 10]], dtype=torch.float64),
    )
