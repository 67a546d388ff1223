"""Layers: recurrent nets, graph convolutions, and graph convolutions inside recurrent cells."""

from seqgnn.nn import export, init
from seqgnn.nn.a3tgcn import A3TGCN
from seqgnn.nn.dag_recurrent import DAGRecurrent, TreeLSTM, TreeLSTMCell
from seqgnn.nn.evolve_gcn import EvolveGCN
from seqgnn.nn.filter_conv import ChebConv, DiffusionConv
from seqgnn.nn.filters import GCN, Chebyshev, Diffusion, Identity
from seqgnn.nn.forecaster import DCRNNForecaster, scheduled_sampling
from seqgnn.nn.gcn_conv import GCNConv
from seqgnn.nn.gcn_recurrent import GCNGRU, GCNLSTM, GCNRNN
from seqgnn.nn.graph_cells import (
    DCRNNCell,
    EvolveGCNCell,
    GCLSTMCell,
    GCNGRUCell,
    GCNLSTMCell,
    GCNRNNCell,
    GCRNCell,
    TGCNCell,
)
from seqgnn.nn.operator import PreparedGraph
from seqgnn.nn.published import DCRNN, GCLSTM, GCRN, TGCN
from seqgnn.nn.recurrent import GRU, LSTM, RNN
from seqgnn.nn.recurrent_cells import GRUCell, LSTMCell, RNNCell

__all__ = [
    "A3TGCN",
    "DCRNN",
    "GCLSTM",
    "GCN",
    "GCNGRU",
    "GCNLSTM",
    "GCNRNN",
    "GCRN",
    "GRU",
    "LSTM",
    "RNN",
    "TGCN",
    "ChebConv",
    "Chebyshev",
    "DAGRecurrent",
    "DCRNNCell",
    "DCRNNForecaster",
    "Diffusion",
    "DiffusionConv",
    "EvolveGCN",
    "EvolveGCNCell",
    "GCLSTMCell",
    "GCNConv",
    "GCNGRUCell",
    "GCNLSTMCell",
    "GCNRNNCell",
    "GCRNCell",
    "GRUCell",
    "Identity",
    "LSTMCell",
    "PreparedGraph",
    "RNNCell",
    "TGCNCell",
    "TreeLSTM",
    "TreeLSTMCell",
    "export",
    "init",
    "scheduled_sampling",
]
