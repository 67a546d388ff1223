"""Layers: recurrent nets, graph convolutions, and graph convolutions inside recurrent cells."""

from seqgnn.nn import init
from seqgnn.nn.filters import GCN, Identity
from seqgnn.nn.gcn_conv import GCNConv
from seqgnn.nn.graph_recurrent import GCNGRU, GCNLSTM, GCNRNN
from seqgnn.nn.operator import PreparedGraph
from seqgnn.nn.recurrent import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell

__all__ = [
    "GCN",
    "GCNGRU",
    "GCNLSTM",
    "GCNRNN",
    "GRU",
    "LSTM",
    "RNN",
    "GCNConv",
    "GRUCell",
    "Identity",
    "LSTMCell",
    "PreparedGraph",
    "RNNCell",
    "init",
]
