"""The message passing of convolutions: methods, hooks and explainers of PyG that a caller puts on them."""

import torch
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.nn import GCNConv as PyG

from seqgnn._utils import torch_internals
from seqgnn.nn.conv.gcn_conv import GCNConv
from tests.support.sparse_products import AWKWARD, AWKWARD_WEIGHTS, STAR, close, path, pyg_like  # noqa: F401


class Doubled(GCNConv):
    def message(self, x_j, edge_weight):
        return 2 * edge_weight.view(-1, 1) * x_j


class Squashed(GCNConv):
    def update(self, inputs):
        return inputs.tanh()


class Largest(GCNConv):
    def aggregate(self, inputs, index, ptr=None, dim_size=None):
        where = index.unsqueeze(1).expand_as(inputs)
        return inputs.new_zeros(dim_size, inputs.size(1)).scatter_reduce(0, where, inputs, "amax", include_self=False)


def test_gcn_conv_overridden_methods_are_called():
    x = torch.randn(7, 3, dtype=torch.float64)
    edges, weight = AWKWARD[:, 3:], AWKWARD_WEIGHTS[3:]
    plain = GCNConv(3, 2, bias=False).double()

    def like(kind, **options):
        conv = kind(3, 2, bias=False, **options).double()
        conv.load_state_dict(plain.state_dict())
        return conv

    expected = plain(x, edges, weight)
    close(like(Doubled)(x, edges, weight), 2 * expected)
    close(like(Squashed)(x, edges, weight), expected.tanh())
    largest = like(PyG, aggr="max")(x, edges, weight)
    close(like(GCNConv, aggr="max")(x, edges, weight), largest)
    close(like(Largest)(x, edges, weight), largest)
    close(like(GCNConv, node_dim=0)(x, edges, weight), expected)
    replaced = like(GCNConv)
    replaced.message = lambda x_j, edge_weight: 0 * x_j
    assert replaced(x, edges, weight).abs().sum() == 0


def test_gcn_conv_hooks_and_decomposed_layers_see_pyg_messages():
    seen = []
    conv, x = GCNConv(4, 6), torch.randn(4, 4)
    expected = conv(x, STAR)
    handle = conv.register_message_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]["x_j"].shape))
    close(conv(x, STAR), expected, 1e-6)
    conv.decomposed_layers = 2
    close(conv(x, STAR), expected, 1e-6)
    assert seen == [(10, 6), (10, 3), (10, 3)]
    handle.remove()
    close(conv(x, STAR), expected, 1e-6)
    conv.decomposed_layers = 1
    close(conv(x, STAR), expected, 1e-6)
    assert len(seen) == 3
    edges = torch.cat([STAR, torch.tensor([[1], [1]])], 1)  # a self-loop gives way to the node's own
    for register in ("propagate_forward_pre", "propagate_forward", "message_forward", "aggregate_forward_pre"):
        handle = getattr(conv, f"register_{register}_hook")(lambda module, *rest: seen.append(1))
        before = len(seen)
        close(conv(x, edges), pyg_like(conv)(x, edges), 1e-6)
        assert len(seen) == before + 1
        handle.remove()


def test_gcn_conv_without_pygs_hooks_passes_messages(monkeypatch):
    conv, x = GCNConv(4, 6), torch.randn(4, 4)
    assert not conv.passes_messages
    monkeypatch.setattr(torch_internals, "PROPAGATE_HOOKS", ["_hooks_of_another_release"])
    assert conv.passes_messages
    close(conv(x, STAR), pyg_like(conv)(x, STAR), 1e-6)


def test_gcn_conv_gnn_explainer_mask_equals_pyg():
    edges, x = torch.cat([STAR, torch.tensor([[1], [1]])], 1), torch.randn(4, 3)
    ours = GCNConv(3, 2)
    masks = []
    for conv in (ours, pyg_like(ours)):
        torch.manual_seed(0)
        explainer = Explainer(
            conv,
            GNNExplainer(epochs=5),
            explanation_type="model",
            edge_mask_type="object",
            model_config={"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"},
        )
        masks.append(explainer(x, edges).edge_mask)
    close(masks[0], masks[1], 1e-5)


def test_gcn_conv_overridden_propagate_is_called():
    class Silent(GCNConv):
        def propagate(self, edge_index, size=None, **kwargs):
            return torch.zeros_like(kwargs["x"])

    assert not Silent(4, 4, bias=False)(torch.randn(4, 4), STAR).any()
