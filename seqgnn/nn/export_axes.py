"""The letters of the axes that inputs of the library's layers have."""

from torch import nn

from seqgnn.nn.conv.filter_conv import FilterConv
from seqgnn.nn.conv.gcn_conv import GCNConv
from seqgnn.nn.recurrent.dcrnn import DCRNNForecaster
from seqgnn.nn.recurrent.evolve_gcn import EvolveGCN
from seqgnn.nn.recurrent.graph_cells import EvolveGCNCell, GraphRNNCellMixin
from seqgnn.nn.recurrent.graph_rnn import GraphRecurrent
from seqgnn.nn.recurrent.plain import PLAIN_CELLS, PLAIN_LAYERS
from seqgnn.nn.recurrent.tree_lstm import TreeLSTMCell

DYNAMIC = "TBNE"  # time steps, windows, nodes, edges
OF_GRAPHS = {
    "edge_index": "2E",
    "edge_weight": "E",
    "edge_attr": "ED",
    "future": "2E",
    "future_weight": "E",
    "batch": "N",
}


def default_axes(model: nn.Module, name: str, rank: int, known: dict[str, str]) -> str | None:
    """Return the axes of an input, one letter each; None if they are unknown.

    Args:
        model: the module that receives the input.
        name: the name of the argument.
        rank: the number of axes of the tensor.
        known: the axes of the inputs before it.
    """
    if name in OF_GRAPHS:
        return OF_GRAPHS[name][:rank]
    first = next(iter(known.values()), "")
    if name == "lengths":
        return "B" if "B" in first else "N"
    if isinstance(model, TreeLSTMCell):
        return {"x": "NF", "children": "EH", "parents": "E"}.get(name)
    if name in ("x", "input"):
        return _of_signal(model, rank)
    if name in ("state", "hx"):
        return _of_state(model, first)
    return None


def loops_over_time(model: nn.Module) -> bool:
    """Return True if a layer of this model has a loop over T."""
    layers = (part for part in model.modules() if not isinstance(part, GraphRNNCellMixin | EvolveGCNCell))
    return any(isinstance(part, (*PLAIN_LAYERS, GraphRecurrent, EvolveGCN)) for part in layers)


def _of_signal(model: nn.Module, rank: int) -> str | None:
    windows = "BT" if getattr(model, "batch_first", False) else "TB"
    if isinstance(model, GraphRNNCellMixin | EvolveGCNCell):
        return {2: "NF", 3: "BNF"}.get(rank)
    if isinstance(model, GraphRecurrent | EvolveGCN | DCRNNForecaster):
        return {3: "TNF", 4: windows + "NF"}.get(rank)
    if isinstance(model, GCNConv | FilterConv):
        return {2: "NF", 3: "BNF", 4: "TBNF"}.get(rank)
    if isinstance(model, PLAIN_LAYERS):
        return {2: "TF", 3: windows + "F"}.get(rank)
    if isinstance(model, PLAIN_CELLS):
        return {1: "F", 2: "BF"}.get(rank)
    return None


def _of_state(model: nn.Module, signal: str) -> str | None:
    """Return the axes of a state by those of the signal; L is the axis of layers and directions."""
    windows = "B" if "B" in signal else ""
    if isinstance(model, EvolveGCN):
        return "FH" if model.variant == "O" else windows + "FH"
    if isinstance(model, GraphRecurrent):
        return ("" if isinstance(model, GraphRNNCellMixin) else "L") + windows + "NH"
    if isinstance(model, PLAIN_LAYERS):
        return "L" + windows + "H"
    return windows + "H" if isinstance(model, PLAIN_CELLS) else None
