"""The lower bound does exactly the matrix products of a layer."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from seqgnn.nn import GCNGRU, GCNLSTM, GCRN, TGCN
from seqgnn.profile import lower_bound as lower_bound
from seqgnn.profile import reference_layers as references
from tests.support.benchmark_rows import SIZE

# torch warns once per process that PyG's sparse matrices are in beta and not checked.
pytestmark = pytest.mark.filterwarnings("ignore:Sparse:UserWarning")


def flops(step):
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


@pytest.mark.parametrize(("kind", "gates"), [("RNN", 1), ("LSTM", 4), ("GRU", 3)])
def test_plain_lower_bound_counts_input_once_and_state_per_step(kind, gates):
    steps, batch, channels, hidden = 3, 2, 5, 4
    bound = lower_bound.plain_lower_bound(kind, (steps, batch, channels, hidden), torch.zeros(1))
    forward = 2 * gates * hidden * (steps * batch * channels + (steps - 1) * batch * hidden)
    assert flops(bound.infer) == forward == {"RNN": 368, "LSTM": 1472, "GRU": 1104}[kind]
    assert flops(bound.train) == 3 * forward


@pytest.mark.parametrize(
    ("layer", "of_x", "of_h"),
    [
        (GCNLSTM(2, 3), 1, 2),
        (GCRN(2, 3, K=3), 2, 4),
        (TGCN(2, 3, variant="pyg-temporal"), 1, 0),
        (GCNGRU(2, 3, reset="before"), 1, 4),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, torch.nn.Module) else "",
)
def test_graph_lower_bound_propagates_x_once_and_h_per_step(layer, of_x, of_h, monkeypatch):
    inputs, sparse, product = references.GraphInputs(SIZE, "cpu"), [], torch.mm

    def counted(a, b, **options):
        if a.layout == torch.sparse_csr:
            sparse.append(tuple(b.shape))
        return product(a, b, **options)

    monkeypatch.setattr(torch, "mm", counted)
    bound = lower_bound.graph_lower_bound(layer, layer.prepare(inputs.edge_index, inputs.edge_weight, 12), SIZE)
    bound.infer()
    once = [(12, 3 * 2 * 2)] * of_x + [(12, 2 * 3)] * of_h  # N x T B F, then N x B H in two of three steps
    assert sparse == once
    bound.train()
    assert len(sparse) == 3 * len(once) and set(sparse) == set(once)
