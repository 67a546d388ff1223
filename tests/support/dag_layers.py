"""DAGRecurrent with each cell, and TreeLSTM."""

import torch

from seqgnn.nn import GRU, LSTM, RNN, DAGRecurrent, GRUCell, LSTMCell, RNNCell, TreeLSTM

F, H = 3, 4
CELLS = {"rnn": (RNNCell, RNN), "lstm": (LSTMCell, LSTM), "gru": (GRUCell, GRU)}


def signal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def make(kind):
    torch.manual_seed(0)
    if kind == "tree":
        return TreeLSTM(F, H, dtype=torch.float64)
    return DAGRecurrent(CELLS[kind][0](F, H, dtype=torch.float64))


def parts(result):
    output, state = result
    return [output, *(state if isinstance(state, tuple) else (state,))]
