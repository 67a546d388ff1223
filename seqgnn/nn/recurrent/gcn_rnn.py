"""RNN, LSTM and GRU with a graph convolution in every gate."""

from seqgnn.nn.recurrent.graph_rnn import GraphRecurrent


class GCNRNN(GraphRecurrent):
    r"""A plain RNN on every node, with a graph convolution in its one gate.

    .. math::
        h_t = \tanh(\hat{A} x_t W_{ih}^T + b_{ih} + \hat{A} h_{t-1} W_{hh}^T + b_{hh})

    Arguments, shapes and errors are those of :class:`GraphRecurrent`.

    Example:
        >>> import torch
        >>> layer = GCNRNN(2, 8)
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> output, h = layer(torch.randn(5, 3, 2), edge_index)
        >>> output.shape, h.shape
        (torch.Size([5, 3, 8]), torch.Size([1, 3, 8]))
    """

    kind = "rnn"


class GCNLSTM(GraphRecurrent):
    r"""An LSTM on every node, with a graph convolution in every gate (Seo et al. 2016, model 2, with a GCN filter).

    .. math::
        (i, f, g, o) &= \hat{A} x_t W_{ih}^T + b_{ih} + \hat{A} h_{t-1} W_{hh}^T + b_{hh} \\
        c_t &= \sigma(f) \, c_{t-1} + \sigma(i) \tanh(g) \\
        h_t &= \sigma(o) \tanh(c_t)

    With ``peephole=True``, :math:`w_{ci} c_{t-1}` and :math:`w_{cf} c_{t-1}` are added to i and f, and
    :math:`w_{co} c_t` to o. Deviation from the paper: by default the filter of `Kipf and Welling
    <https://arxiv.org/abs/1609.02907>`_ instead of Chebyshev polynomials, and no peepholes; :class:`GCRN` has
    both.

    Arguments, shapes and errors are those of :class:`GraphRecurrent`; the state is h and c.

    Example:
        >>> import torch
        >>> layer = GCNLSTM(2, 8, forget_bias=1.0)
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> output, (h, c) = layer(torch.randn(5, 16, 3, 2), edge_index)
        >>> output.shape, h.shape
        (torch.Size([5, 16, 3, 8]), torch.Size([1, 16, 3, 8]))
        >>> from torch_geometric.nn import GATConv
        >>> attentive = GCNLSTM(2, 8, conv=lambda i, o: GATConv(i, o // 2, heads=2))
        >>> attentive(torch.randn(5, 3, 2), edge_index)[0].shape
        torch.Size([5, 3, 8])
    """

    kind = "lstm"


class GCNGRU(GraphRecurrent):
    r"""A GRU on every node, with a graph convolution in every gate.

    .. math::
        r &= \sigma(g_r(x_t) + u_r(h_{t-1})), \qquad z = \sigma(g_z(x_t) + u_z(h_{t-1})) \\
        n &= \tanh(g_n(x_t) + r \, u_n(h_{t-1})) \quad \text{or} \quad \tanh(g_n(x_t) + u_n(r \, h_{t-1})) \\
        h_t &= (1 - z) \, n + z \, h_{t-1}

    with :math:`g(x) = \hat{A} x W_{ih}^T + b_{ih}` and :math:`u(h) = \hat{A} h W_{hh}^T + b_{hh}`; the second form of n
    is that of ``reset="before"``.

    Arguments, shapes and errors are those of :class:`GraphRecurrent`.

    Example:
        >>> import torch
        >>> layer = GCNGRU(2, 8, reset="before", bidirectional=True)
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> output, h = layer(torch.randn(5, 3, 2), edge_index)
        >>> output.shape, h.shape
        (torch.Size([5, 3, 16]), torch.Size([2, 3, 8]))
    """

    kind = "gru"
