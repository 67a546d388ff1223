"""Every layer, for the battery of torch's and PyG's tools in test_tools.py: a new layer is tested by being listed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch_geometric import nn as pyg

from seqgnn import nn as sg

F, H = 3, 5


@dataclass(frozen=True)
class Size:
    """T steps of B windows on N nodes with E edges."""

    steps: int
    windows: int
    nodes: int
    edges: int

    def __str__(self) -> str:
        return f"{self.nodes} nodes"


SMALL = Size(3, 2, 6, 9)  # products by gather, and `auto` the equations
LARGE = Size(9, 2, 100, 600)  # products in CSR, and `auto` the fused engine
SIZES = (SMALL, LARGE)


@dataclass(frozen=True)
class Layer:
    """A layer and how it is called.

    `kind`: what it reads: "sequence" [T, B, F], "step" [B, F], "graph" [N, F], "signal" [T, B, N, F], "snapshot"
    [B, N, F], "tree" [N, F] with acyclic edges. `reference`: the layer of torch or PyG with the same weights.
    """

    name: str
    make: Callable[..., nn.Module]
    kind: str
    reference: Callable[..., nn.Module] | None = None

    def build(self, **options: Any) -> nn.Module:
        torch.manual_seed(0)
        return self.make(F, H, **options).double()

    @property
    def on_graph(self) -> bool:
        return self.kind not in ("sequence", "step")

    @property
    def over_time(self) -> bool:
        return self.kind in ("sequence", "signal")

    def x(self, size: Size, seed: int = 1) -> torch.Tensor:
        shape = {
            "sequence": (size.steps, size.windows),
            "step": (size.windows,),
            "graph": (size.nodes,),
            "signal": (size.steps, size.windows, size.nodes),
            "snapshot": (size.windows, size.nodes),
            "tree": (size.nodes,),
        }[self.kind]
        return torch.randn(*shape, F, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))

    def edges(self, size: Size, seed: int = 2) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        edges = torch.randint(0, max(size.nodes, 1), (2, size.edges), generator=generator)
        if self.kind != "tree":
            return edges
        ends = edges.sort(0).values
        return ends[:, ends[0] < ends[1]].unique(dim=1)

    def inputs(self, size: Size) -> tuple[torch.Tensor, ...]:
        return (self.x(size), self.edges(size)) if self.on_graph else (self.x(size),)

    def __str__(self) -> str:
        return self.name


class Attention(pyg.GATConv):
    """PyG's attention, for gates."""


def tensors(result: Any) -> list[torch.Tensor]:
    """All that a layer returns."""
    return [result] if isinstance(result, torch.Tensor) else [part for each in result for part in tensors(each)]


def total(result: Any) -> torch.Tensor:
    """One number of all that a layer returns."""
    return torch.stack([part.square().sum() for part in tensors(result)]).sum()


PLAIN = [
    Layer("RNN", sg.RNN, "sequence", nn.RNN),
    Layer("LSTM", sg.LSTM, "sequence", nn.LSTM),
    Layer("GRU", sg.GRU, "sequence", nn.GRU),
    Layer("LSTM of two layers, both ways", partial(sg.LSTM, num_layers=2, bidirectional=True), "sequence",
          partial(nn.LSTM, num_layers=2, bidirectional=True)),
    Layer("RNNCell", sg.RNNCell, "step", nn.RNNCell),
    Layer("LSTMCell", sg.LSTMCell, "step", nn.LSTMCell),
    Layer("GRUCell", sg.GRUCell, "step", nn.GRUCell),
    Layer("MinGRU", sg.MinGRU, "sequence"),
    Layer("MinLSTM of two layers, both ways", partial(sg.MinLSTM, num_layers=2, bidirectional=True), "sequence"),
    Layer("MinGRUCell", sg.MinGRUCell, "step"),
    Layer("MinLSTMCell", sg.MinLSTMCell, "step"),
]  # fmt: skip
CONVS = [
    Layer("GCNConv", sg.GCNConv, "graph", pyg.GCNConv),
    Layer("ChebConv", partial(sg.ChebConv, K=3), "graph", partial(pyg.ChebConv, K=3)),
    Layer("DiffusionConv", partial(sg.DiffusionConv, K=3), "graph"),
]
FILTERED = [
    Layer("GCNRNN", sg.GCNRNN, "signal"),
    Layer("GCNLSTM", sg.GCNLSTM, "signal"),
    Layer("GCNGRU before", partial(sg.GCNGRU, reset="before"), "signal"),
    Layer("GCNLSTM of two layers, both ways", partial(sg.GCNLSTM, num_layers=2, bidirectional=True), "signal"),
    Layer("GCNLSTM Diffusion", partial(sg.GCNLSTM, conv=sg.Diffusion(2)), "signal"),
    Layer("GCRN", partial(sg.GCRN, K=3), "signal"),
    Layer("GCRN model 1", partial(sg.GCRN, K=3, model=1), "signal"),
    Layer("GCRN None", partial(sg.GCRN, K=3, normalization=None, cell="gru"), "signal"),
    Layer("DCRNN", partial(sg.DCRNN, K=2), "signal"),
    Layer("TGCN", sg.TGCN, "signal"),
    Layer("TGCN authors", partial(sg.TGCN, variant="authors"), "signal"),
    Layer("TGCN pyg-temporal", partial(sg.TGCN, variant="pyg-temporal"), "signal"),
    Layer("GCNMinGRU", sg.GCNMinGRU, "signal"),
    Layer("GCNMinLSTM Chebyshev", partial(sg.GCNMinLSTM, conv=sg.Chebyshev(3)), "signal"),
    Layer("GCLSTM", partial(sg.GCLSTM, K=2), "signal"),
    Layer("A3TGCN", sg.A3TGCN, "signal"),
    Layer("EvolveGCN O", sg.EvolveGCN, "signal"),
    Layer("EvolveGCN H", partial(sg.EvolveGCN, variant="H"), "signal"),
    Layer("DCRNNForecaster", partial(sg.DCRNNForecaster, K=2, horizon=2), "signal"),
    Layer("GCNLSTMCell", sg.GCNLSTMCell, "snapshot"),
    Layer("DCRNNCell", partial(sg.DCRNNCell, K=2), "snapshot"),
    Layer("GCNMinGRUCell", sg.GCNMinGRUCell, "snapshot"),
    Layer("EvolveGCNCell", sg.EvolveGCNCell, "snapshot"),
]
IN_GATES = [
    Layer("GCNLSTM of GATConv", partial(sg.GCNLSTM, conv=lambda i, o: Attention(i, o)), "signal"),
    Layer("GCNGRU of GCNConv", partial(sg.GCNGRU, conv=lambda i, o: pyg.GCNConv(i, o), reset="before"), "signal"),
    Layer("GCNRNN of ChebConv", partial(sg.GCNRNN, conv=lambda i, o: sg.ChebConv(i, o, 3)), "signal"),
]
TREES = [
    Layer("TreeLSTM", sg.TreeLSTM, "tree"),
    Layer("DAGRecurrent", lambda i, o: sg.DAGRecurrent(sg.GRUCell(i, o)), "tree"),
]
LAYERS = PLAIN + CONVS + FILTERED + IN_GATES + TREES

every_layer = pytest.mark.parametrize("layer", LAYERS, ids=str)
every_size = pytest.mark.parametrize("size", SIZES, ids=str)
ON_GRAPHS = CONVS + FILTERED + IN_GATES
