"""Layers: recurrent nets, graph convolutions, and graph convolutions inside recurrent cells."""

from seqgnn.nn import init
from seqgnn.nn.recurrent import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell", "init"]
