"""The graph-recurrent layers of the battery, each with its oracle: a layer is tested by being listed.

An oracle takes the layer's parameters by name, x `[T, (B,) N, F]`, and a graph `(edge_index, edge_weight)` or a list of
one per step, and returns outputs and a tuple of states as the layer does.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch_geometric import nn as pyg

from seqgnn import nn as sg
from tests.support import graph_oracles as og
from tests.support.oracles import gcn_operator

OPERATORS: dict[Any, Callable[..., Any]] = {
    sg.Identity(): lambda e, w, n: None,
    sg.GCN(): lambda e, w, n: [gcn_operator(e, w, n)],
    sg.GCN("rw", improved=True): lambda e, w, n: [gcn_operator(e, w, n, "rw", improved=True)],
    sg.Chebyshev(3): lambda e, w, n: og.chebyshev_operators(e, w, n, 3),
    sg.Chebyshev(2, "rw", 1.5): lambda e, w, n: og.chebyshev_operators(e, w, n, 2, "rw", 1.5),
    sg.Chebyshev(4, None): lambda e, w, n: og.chebyshev_operators(e, w, n, 4, None),
    sg.Diffusion(3): lambda e, w, n: og.diffusion_operators(e, w, n, 3),
    sg.Diffusion(3, "authors"): lambda e, w, n: og.diffusion_operators_authors(e, w, n, 3),
}


@dataclass(frozen=True)
class Case:
    """A layer with its options, and its oracle where it is compared with one here.

    `deep`: the oracle knows layers, directions, windows and lengths. `both`: the layer knows directions. `steps`: it
    answers at every step. `state`: it takes and returns h (and c) of every node.
    `ahead`: it asks for the graphs to come where they change.
    """

    name: str
    layer: Callable[..., Any]
    oracle: Callable[..., Any] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    deep: bool = True
    both: bool = True
    steps: bool = True
    state: bool = True
    ahead: bool = False

    def make(self, in_channels: int = 2, hidden_channels: int = 3, **more: Any) -> Any:
        torch.manual_seed(0)
        return self.layer(in_channels, hidden_channels, **self.options, **more, dtype=torch.float64)

    def make_both(self, **more: Any) -> Any:
        """In both directions, where there are two."""
        return self.make(**more, **({"bidirectional": True} if self.both else {}))

    def parts(self, result: Any) -> list[Any]:
        """What a layer returns of every node: outputs, and states h (and c)."""
        if not isinstance(result, tuple):
            return [result]
        output, state = result
        if not self.state:
            return [output]
        return [output, *(state if isinstance(state, tuple) else (state,))]

    def __str__(self) -> str:
        return self.name


def blocks(filter, graph, num_nodes):
    return og.built(graph, lambda e, w: OPERATORS[filter](e, w, num_nodes))


def filtered(kind, inputs, hidden, **cell):
    def run(p, x, graph, **options):
        n = x.shape[-2]
        return og.stacked(kind, p, x, blocks(inputs, graph, n), blocks(hidden, graph, n), **cell, **options)

    return run


def gcrn(p, x, graph, **options):
    if "weight_conv" in p:
        p = {**p, "weight_conv": torch.stack(p["weight_conv"].split(x.shape[-1], dim=1))}
    return og.gcrn(p, x, graph, 3, **options)


def every_window(oracle):
    """Of an oracle for one layer and x `[T, N, F]`: windows one by one, states with a dimension for layers."""

    def run(p, x, graph, state=None, **options):
        if x.dim() == 4:
            states = [None if state is None else tuple(s[:, b] for s in state) for b in range(x.shape[1])]
            runs = [run(p, x[:, b], graph, states[b], **options) for b in range(x.shape[1])]
            final = tuple(torch.stack(parts, dim=1) for parts in zip(*[last for _, last in runs]))
            return torch.stack([output for output, _ in runs], dim=1), final
        state = None if state is None else tuple(part[0] for part in state)
        output, final = oracle(p, x, graph, state=state, **options)
        return output, tuple(part[None] for part in final)

    return run


def tgcn(variant):
    def run(p, x, graph, state):
        if variant == "pyg-temporal":
            p = per_gate(p)
        return og.tgcn(p, x, graph, variant, state=state)

    return every_window(run)


def per_gate(p):
    """TGCN's stacked weights as PyTorch Geometric Temporal's, gate by gate."""
    parts = {name: value.chunk(3) for name, value in p.items()}
    found = {}
    for gate, q in enumerate("rzh"):
        found[f"conv_{q}.lin.weight"] = parts["weight_conv_l0"][gate]
        found[f"conv_{q}.bias"] = parts["bias_conv_l0"][gate]
        found[f"linear_{q}.weight"] = torch.cat([parts["weight_ih_l0"][gate], parts["weight_hh_l0"][gate]], dim=1)
        found[f"linear_{q}.bias"] = parts["bias_ih_l0"][gate] + parts["bias_hh_l0"][gate]
    return found


def gclstm(variant):
    return every_window(lambda p, x, graph, state: og.gclstm(p, x, graph, 3, variant, state=state))


KINDS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "GCNRNN": (sg.GCNRNN, "rnn", {}),
    "GCNRNN relu": (sg.GCNRNN, "rnn", {"nonlinearity": "relu"}),
    "GCNLSTM": (sg.GCNLSTM, "lstm", {}),
    "GCNGRU": (sg.GCNGRU, "gru", {}),
    "GCNGRU before": (sg.GCNGRU, "gru", {"reset": "before"}),
}
WITH_FILTERS = [
    Case(f"{name} {filter}", layer, filtered(kind, filter, filter, **options), {**options, "conv": filter})
    for name, (layer, kind, options) in KINDS.items()
    for filter in OPERATORS
]
MIXED = {"input_conv": sg.Diffusion(2), "hidden_conv": sg.Chebyshev(3)}
OPERATORS[sg.Diffusion(2)] = lambda e, w, n: og.diffusion_operators(e, w, n, 2)
PUBLISHED = [
    Case("GCNLSTM mixed", sg.GCNLSTM, filtered("lstm", *MIXED.values()), MIXED),
    Case("GCNLSTM peephole", sg.GCNLSTM, filtered("lstm", sg.GCN(), sg.GCN()), {"peephole": True}),
    Case("GCRN", sg.GCRN, gcrn, {"K": 3}),
    Case("GCRN model 1", sg.GCRN, lambda *a, **o: gcrn(*a, model=1, **o), {"K": 3, "model": 1}),
    Case("GCRN gru", sg.GCRN, lambda *a, **o: gcrn(*a, cell="gru", peephole=False, **o), {"K": 3, "cell": "gru"}),
    Case("GCRN rnn", sg.GCRN, lambda *a, **o: gcrn(*a, cell="rnn", peephole=False, **o), {"K": 3, "cell": "rnn"}),
    Case("DCRNN", sg.DCRNN, lambda p, x, g, **o: og.dcrnn(p, x, g, 3, **o), {"K": 3}),
    Case("DCRNN authors", sg.DCRNN, lambda p, x, g, **o: og.dcrnn(p, x, g, 3, "authors", **o),
         {"K": 3, "variant": "authors"}),
    *(Case(f"TGCN {v}", sg.TGCN, tgcn(v), {"variant": v}, deep=False) for v in ("paper", "authors", "pyg-temporal")),
    *(Case(f"GCLSTM {v}", sg.GCLSTM, gclstm(v), {"K": 3, "variant": v}, deep=False) for v in ("paper", "pyg-temporal")),
]  # fmt: skip
CASES = WITH_FILTERS + PUBLISHED
MINIMAL = [  # engines scan these in another way
    Case(f"{layer.__name__} {filter}", layer, filtered(layer.__name__[3:].lower(), filter, filter), {"conv": filter})
    for layer in (sg.GCNMinGRU, sg.GCNMinLSTM)
    for filter in OPERATORS
]
OTHERS = [  # their oracles are in test_sequence_models.py and test_conv_gates.py
    Case("EvolveGCN O", sg.EvolveGCN, options={"variant": "O"}, both=False, state=False),
    Case("EvolveGCN H", sg.EvolveGCN, options={"variant": "H"}, both=False, state=False),
    Case("A3TGCN", sg.A3TGCN, both=False, steps=False),
    Case("DCRNNForecaster", sg.DCRNNForecaster, options={"K": 2, "horizon": 3}, both=False, steps=False, state=False,
         ahead=True),
    Case("GCNLSTM GraphConv", sg.GCNLSTM, options={"conv": pyg.GraphConv}),
    Case("GCNMinLSTM GraphConv", sg.GCNMinLSTM, options={"conv": pyg.GraphConv}),
    Case("GCNGRU before ChebConv", sg.GCNGRU,
         options={"conv": partial(sg.ChebConv, K=3, normalization=None), "reset": "before"}),
]  # fmt: skip
