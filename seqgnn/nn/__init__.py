"""Layers: recurrent networks, graph convolutions, and graph convolutions inside recurrent cells."""

from seqgnn.nn import export, init
from seqgnn.nn.conv.filter_conv import ChebConv, DiffusionConv
from seqgnn.nn.conv.gcn_conv import GCNConv
from seqgnn.nn.graph.filters import GCN, Chebyshev, Diffusion, Identity
from seqgnn.nn.graph.prepared_graph import PreparedGraph
from seqgnn.nn.recurrent.dag_rnn import DAGRecurrent
from seqgnn.nn.recurrent.dcrnn import DCRNN, DCRNNForecaster, scheduled_sampling
from seqgnn.nn.recurrent.evolve_gcn import EvolveGCN
from seqgnn.nn.recurrent.gclstm import GCLSTM
from seqgnn.nn.recurrent.gcn_minimal import GCNMinGRU, GCNMinLSTM
from seqgnn.nn.recurrent.gcn_rnn import GCNGRU, GCNLSTM, GCNRNN
from seqgnn.nn.recurrent.gcrn import GCRN
from seqgnn.nn.recurrent.graph_cells import (
    DCRNNCell,
    EvolveGCNCell,
    GCLSTMCell,
    GCNGRUCell,
    GCNLSTMCell,
    GCNMinGRUCell,
    GCNMinLSTMCell,
    GCNRNNCell,
    GCRNCell,
    TGCNCell,
)
from seqgnn.nn.recurrent.minimal import MinGRU, MinGRUCell, MinLSTM, MinLSTMCell
from seqgnn.nn.recurrent.rnn import GRU, LSTM, RNN
from seqgnn.nn.recurrent.rnn_cells import GRUCell, LSTMCell, RNNCell
from seqgnn.nn.recurrent.tgcn import A3TGCN, TGCN
from seqgnn.nn.recurrent.tree_lstm import TreeLSTM, TreeLSTMCell

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
    "GCNMinGRU",
    "GCNMinGRUCell",
    "GCNMinLSTM",
    "GCNMinLSTMCell",
    "GCNRNNCell",
    "GCRNCell",
    "GRUCell",
    "Identity",
    "LSTMCell",
    "MinGRU",
    "MinGRUCell",
    "MinLSTM",
    "MinLSTMCell",
    "PreparedGraph",
    "RNNCell",
    "TGCNCell",
    "TreeLSTM",
    "TreeLSTMCell",
    "export",
    "init",
    "scheduled_sampling",
]
