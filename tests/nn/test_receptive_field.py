"""The hops of convolutions against the receptive field of their gradients on a path."""

from math import inf

import pytest
import torch
from torch import nn
from torch_geometric import nn as pyg
from torch_geometric.utils import sort_edge_index

from seqgnn import nn as sg
from seqgnn.analysis import ReceptiveField, receptive_field
from seqgnn.nn.receptive_field import conv_hops

N, F = 14, 4
PATH = torch.stack([torch.arange(N - 1), torch.arange(1, N)])
PATH = sort_edge_index(torch.cat([PATH, PATH.flip(0)], dim=1), sort_by_row=False)
E = PATH.size(1)
TYPE, ATTR, POS = torch.arange(E) % 2, torch.full((E, 2), 0.5), torch.zeros(N, 3)
META = (["a"], [("a", "to", "a")])
HYPER = torch.stack([torch.arange(N).repeat_interleave(2)[1:-1], torch.arange(N - 1).repeat_interleave(2)])


def linear(i, o=F):
    return nn.Linear(i, o)


class Nested(pyg.MessagePassing):
    """A message-passing layer on top of two convolutions."""

    def __init__(self):
        super().__init__()
        self.inner = nn.ModuleList([pyg.SAGEConv(F, F), pyg.SGConv(F, F, K=2)])

    def forward(self, x, edge_index):
        for conv in self.inner:
            x = conv(x, edge_index)
        return self.propagate(edge_index, x=x)


class Dense(nn.Module):
    """A round by hand, unknown to anybody."""

    def forward(self, x, edge_index):
        return x.index_add(0, edge_index[1], x[edge_index[0]])


def typed(conv, x):
    return conv({"a": x}, {("a", "to", "a"): PATH})["a"]


# What to make, its receptive field, and, where it is not conv(x, edge_index), how it is called.
CASES = {
    "AGNNConv": (lambda: pyg.AGNNConv(), 1),
    "APPNP": (lambda: pyg.APPNP(3, 0.1), 3),
    "ARMAConv": (lambda: pyg.ARMAConv(F, F, num_stacks=2, num_layers=3), 3),
    "AntiSymmetricConv": (lambda: pyg.AntiSymmetricConv(F, num_iters=3), 3),
    "AntiSymmetricConv of TAGConv": (lambda: pyg.AntiSymmetricConv(F, pyg.TAGConv(F, F, K=2), num_iters=2), 4),
    "CGConv": (lambda: pyg.CGConv(F), 1),
    "ChebConv": (lambda: pyg.ChebConv(F, F, K=4), 3),
    "ChebConv, one term": (lambda: pyg.ChebConv(F, F, K=1), 0),
    "ClusterGCNConv": (lambda: pyg.ClusterGCNConv(F, F), 1),
    "DNAConv": (lambda: pyg.DNAConv(F), 1, lambda conv, x: conv(x[:, None].expand(-1, 3, -1), PATH)),
    "DirGNNConv": (lambda: pyg.DirGNNConv(pyg.SAGEConv(F, F)), 1),
    "DirGNNConv of TAGConv": (lambda: pyg.DirGNNConv(pyg.TAGConv(F, F, K=2)), 2),
    "EGConv": (lambda: pyg.EGConv(F, 2 * F), 1),
    "EdgeConv": (lambda: pyg.EdgeConv(linear(2 * F)), 1),
    "FAConv": (lambda: pyg.FAConv(F), 1, lambda conv, x: conv(x, x, PATH)),
    "FastRGCNConv": (lambda: pyg.FastRGCNConv(F, F, 2), 1, lambda conv, x: conv(x, PATH, TYPE)),
    "FeaStConv": (lambda: pyg.FeaStConv(F, F), 1),
    "FiLMConv": (lambda: pyg.FiLMConv(F, F), 1),
    "GATConv": (lambda: pyg.GATConv(F, F, heads=2), 1),
    "GATv2Conv": (lambda: pyg.GATv2Conv(F, F), 1),
    "GCN2Conv": (lambda: pyg.GCN2Conv(F, 0.1), 1, lambda conv, x: conv(x, x, PATH)),
    "GCNConv": (lambda: pyg.GCNConv(F, F), 1),
    "GENConv": (lambda: pyg.GENConv(F, F, num_layers=3), 1),
    "GINConv": (lambda: pyg.GINConv(nn.Sequential(linear(F), nn.ReLU(), linear(F))), 1),
    "GINEConv": (lambda: pyg.GINEConv(linear(F), edge_dim=2), 1, lambda conv, x: conv(x, PATH, ATTR)),
    "GMMConv": (lambda: pyg.GMMConv(F, F, 2, 3), 1, lambda conv, x: conv(x, PATH, ATTR)),
    "GPSConv": (lambda: pyg.GPSConv(F, pyg.GCNConv(F, F), norm=None), inf),
    "GPSConv alone": (lambda: pyg.GPSConv(F, None, norm=None), inf),
    "GatedGraphConv": (lambda: pyg.GatedGraphConv(F, num_layers=4), 4),
    "GeneralConv": (lambda: pyg.GeneralConv(F, F), 1),
    "GraphConv": (lambda: pyg.GraphConv(F, F), 1),
    "HANConv": (lambda: pyg.HANConv(F, F, META), 1, typed),
    "HEATConv": (
        lambda: pyg.HEATConv(F, F, 1, 2, 2, 2, 2),
        1,
        lambda conv, x: conv(x, PATH, torch.zeros(N).long(), TYPE, ATTR),
    ),
    "HGTConv": (lambda: pyg.HGTConv(F, F, META), 1, typed),
    "HeteroConv": (
        lambda: pyg.HeteroConv({("a", "to", "a"): pyg.TAGConv(F, F, K=2), ("a", "by", "a"): pyg.SAGEConv(F, F)}),
        2,
        lambda conv, x: conv({"a": x}, {("a", "to", "a"): PATH, ("a", "by", "a"): PATH})["a"],
    ),
    "HypergraphConv": (lambda: pyg.HypergraphConv(F, F), 1, lambda conv, x: conv(x, HYPER)),
    "LEConv": (lambda: pyg.LEConv(F, F), 1),
    "LGConv": (lambda: pyg.LGConv(), 1),
    "MFConv": (lambda: pyg.MFConv(F, F), 1),
    "MixHopConv": (lambda: pyg.MixHopConv(F, F, powers=[0, 1, 3]), 3),
    "NNConv": (lambda: pyg.NNConv(F, F, linear(2, F * F)), 1, lambda conv, x: conv(x, PATH, ATTR)),
    "PDNConv": (lambda: pyg.PDNConv(F, F, 2, 3), 1, lambda conv, x: conv(x, PATH, ATTR)),
    "PNAConv": (lambda: pyg.PNAConv(F, F, ["mean", "max"], ["identity"], torch.tensor([0, 2, N - 2])), 1),
    "PointNetConv": (lambda: pyg.PointNetConv(linear(F + 3)), 1, lambda conv, x: conv(x, POS, PATH)),
    "PointTransformerConv": (lambda: pyg.PointTransformerConv(F, F), 1, lambda conv, x: conv(x, POS, PATH)),
    "RGATConv": (lambda: pyg.RGATConv(F, F, 2), 1, lambda conv, x: conv(x, PATH, TYPE)),
    "RGCNConv": (lambda: pyg.RGCNConv(F, F, 2), 1, lambda conv, x: conv(x, PATH, TYPE)),
    "ResGatedGraphConv": (lambda: pyg.ResGatedGraphConv(F, F), 1),
    "SAGEConv": (lambda: pyg.SAGEConv(F, F), 1),
    "SAGEConv, an LSTM over neighbors": (lambda: pyg.SAGEConv(F, F, aggr="lstm"), 1),
    "SGConv": (lambda: pyg.SGConv(F, F, K=3), 3),
    "SSGConv": (lambda: pyg.SSGConv(F, F, 0.1, K=3), 3),
    "SignedConv": (lambda: pyg.SignedConv(F, F, True), 1, lambda conv, x: conv(x, PATH, PATH)),
    "SimpleConv": (lambda: pyg.SimpleConv(), 1),
    "SuperGATConv": (lambda: pyg.SuperGATConv(F, F), 1),
    "TAGConv": (lambda: pyg.TAGConv(F, F, K=2), 2),
    "TransformerConv": (lambda: pyg.TransformerConv(F, F), 1),
    "WLConvContinuous": (lambda: pyg.WLConvContinuous(), 1),
    "ours": (lambda: sg.GCNConv(F, F), 1),
    "ours, ChebConv": (lambda: sg.ChebConv(F, F, K=3), 2),
    "ours, DiffusionConv": (lambda: sg.DiffusionConv(F, F, K=3), 2),
    "DeepGCNLayer": (lambda: pyg.DeepGCNLayer(pyg.GatedGraphConv(F, 2), act=nn.ReLU()), 2),
    "GroupAddRev": (lambda: pyg.GroupAddRev(pyg.SAGEConv(F // 2, F // 2), num_groups=2, disable=True), 2),
    "GCN of three layers": (lambda: pyg.GCN(F, F, num_layers=3, jk="cat"), 3),
    "Nested": (Nested, 4),
    "Nested in AntiSymmetricConv": (lambda: pyg.AntiSymmetricConv(F, Nested(), num_iters=2), 8),
    "Nested in DeepGCNLayer": (lambda: pyg.DeepGCNLayer(Nested()), 4),
}


@pytest.mark.parametrize("name", CASES)
def test_conv_hops_equal_nonzero_gradients(name):
    make, hops, *calls = CASES[name]
    call = calls[0] if calls else lambda conv, x: conv(x, PATH)
    torch.manual_seed(0)
    conv = make().eval()
    for weight in conv.parameters():  # so that no rectifier is shut
        weight.data.abs_()
    x = torch.linspace(0.1, 1, N)[:, None].repeat(1, F).requires_grad_()  # the farther of two is the greater
    influences = torch.autograd.grad(call(conv, x)[0].square().sum(), x)[0].abs().sum(1) != 0
    assert int(influences.nonzero().max()) == min(hops, N - 1)
    assert conv_hops(conv) == hops and receptive_field(conv) == ReceptiveField(hops)
    assert receptive_field(nn.ModuleList([conv, nn.Linear(F, F), pyg.SAGEConv(F, F)])).hops == hops + 1


def test_conv_hops_without_gradients_equal_known_values():
    assert conv_hops(pyg.PANConv(F, F, filter_size=3)) == 3
    assert conv_hops(pyg.LabelPropagation(5, 0.9)) == 5
    assert conv_hops(pyg.HeteroConv({})) == 0


@pytest.mark.parametrize(
    "make, hops, per_step",
    [
        (lambda i, o: nn.Sequential(pyg.SAGEConv(i, o), pyg.SGConv(o, o, K=2)), 3, 3),
        (lambda i, o: pyg.DirGNNConv(pyg.TAGConv(i, o, K=2)), 2, 2),
        (lambda i, o: Dense(), 1, 1),
    ],
)
def test_receptive_field_of_convs_in_gates_equals_their_hops(make, hops, per_step):
    assert receptive_field(sg.GCNGRU(F, F, conv=make)) == ReceptiveField(hops, inf, per_step)
