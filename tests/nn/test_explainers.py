"""Explainers of PyG and Captum on models with graph-recurrent layers."""

import pytest
import torch
from torch_geometric import nn as pyg
from torch_geometric.explain import AttentionExplainer, CaptumExplainer, Explainer, GNNExplainer, PGExplainer

from seqgnn import nn as sg
from seqgnn.nn import GCNGRU, GCNLSTM
from tests.support import layer_cases
from tests.support.edge_masks import RING, H, T, draw
from tests.support.layer_cases import CASES, OTHERS
from tests.support.oracles import close

CONFIG = {"mode": "regression", "task_level": "node", "return_type": "raw"}


class OverTime(torch.nn.Module):
    """A user's model: features of nodes `[N, T]`, one number for each node."""

    def __init__(self, layer, channels=H):
        super().__init__()
        self.layer, self.head = layer, torch.nn.Linear(channels, 1)

    def forward(self, x, edge_index, edge_weight=None):
        output = self.layer(x.t().unsqueeze(-1), edge_index, edge_weight)
        output = output[0] if isinstance(output, tuple) else output
        output = output if output.dim() == 2 else output[-1]
        return self.head(output)


EXPLAINED = [
    *(case for case in [*CASES, *OTHERS] if not case.name.startswith(("GCNRNN", "GCNGRU ", "GCNLSTM I"))),
    layer_cases.Case("GATConv", GCNLSTM, options={"conv": pyg.GATConv}),
    layer_cases.Case("GCNConv", GCNGRU, options={"conv": pyg.GCNConv, "reset": "before"}),
]


def model_of(case):
    torch.manual_seed(0)
    layer = case.layer(1, H, **case.options)
    return OverTime(layer, 1 if isinstance(layer, sg.DCRNNForecaster) else H)


def explainer(model, algorithm, kind="model"):
    return Explainer(model, algorithm, explanation_type=kind, edge_mask_type="object", model_config=CONFIG)


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad=True to a scalar")  # PGExplainer's loss
@pytest.mark.parametrize("case", EXPLAINED, ids=str)
def test_explainers_in_sequence_leave_the_model_unchanged(case):
    model, x = model_of(case), draw(6, T, seed=1, dtype=torch.float32)
    edges = RING
    before, state = model(x, edges), {key: value.clone() for key, value in model.state_dict().items()}
    found = explainer(model, GNNExplainer(epochs=2))(x, edges, index=2).edge_mask
    assert found.shape == (6,) and found[1] > 0  # the edge into node 2
    learner = PGExplainer(epochs=1)
    by_network = explainer(model, learner, "phenomenon")
    learner.train(0, model, x, edges, target=before.detach(), index=2)
    assert all(p.grad.isfinite().all() for p in learner.mlp.parameters())
    assert by_network(x, edges, target=before.detach(), index=2).edge_mask.shape == (6,)
    close(model(x, edges), before, 1e-6)
    assert all(value.equal(model.state_dict()[key]) for key, value in state.items())


@pytest.mark.parametrize("case", EXPLAINED, ids=str)
def test_captum_explainer_finds_edges_that_lead_to_a_node(case):
    pytest.importorskip("captum")
    model, x = model_of(case), draw(6, T, seed=1, dtype=torch.float32)
    path = RING[:, :5]
    mask = explainer(model, CaptumExplainer("IntegratedGradients", n_steps=4))(x, path, index=2).edge_mask
    both_ways = any(word in case.name for word in ("DCRNN", "Diffusion", "mixed"))
    assert mask[1] != 0 and (both_ways or mask[2:].count_nonzero() == 0)
    if not case.name.endswith(("GCNConv", "GATConv", "GraphConv")):  # PyG's own can be explained so only once
        explainer(model, GNNExplainer(epochs=1))(x, path, index=2)
        again = explainer(model, CaptumExplainer("IntegratedGradients", n_steps=4))(x, path, index=2).edge_mask
        close(again, mask, 1e-5)


def test_attention_explainer_reads_attention_at_every_step():
    model, x = model_of(EXPLAINED[-2]), draw(6, T, dtype=torch.float32)
    layer, seen = model.layer, []
    found = explainer(model, AttentionExplainer(reduce="mean"))(x, RING).edge_mask
    with torch.no_grad():
        h, state = torch.zeros(6, H), None
        for t in range(T):
            for conv, signal in ((layer.input_conv_l0, x[:, t, None]), (layer.hidden_conv_l0, h)):
                _, (_, alpha) = conv(signal, RING, return_attention_weights=True)
                seen.append(alpha[:6, 0])
            _, state = layer(x[:, t, None][None], RING, state=state)
            h = state[0][0]
    close(found, torch.stack(seen).mean(0), 1e-5)
