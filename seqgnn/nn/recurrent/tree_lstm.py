"""TreeLSTM (Tai et al. 2015): an LSTM over trees, from the leaves to the root."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqgnn._utils.torch_internals import is_eager
from seqgnn._utils.validation import check_dense, check_input, check_sizes, check_state, describe, one_of, shown
from seqgnn.nn.graph.prepared_graph import PreparedGraph
from seqgnn.nn.layer_call import Layer, layer_call, layer_options, refuse_script
from seqgnn.nn.recurrent.dag_rnn import levels_of


class TreeLSTMCell(Layer):
    r"""One step of :class:`TreeLSTM`, for custom traversals: nodes whose children have states.

    Arguments and weights are those of :class:`TreeLSTM`.

    Shapes:
        ``x [n, F]``, the children's h and c ``[m, H]`` and which of the n nodes is the parent of each, ``[m]`` -> the
        nodes' h and c ``[n, H]``. A child of two parents is listed twice; leaves need no children.

    Raises:
        ValueError: for inputs that do not fit.

    Example:
        >>> cell = TreeLSTMCell(2, 8)
        >>> leaves = cell(torch.randn(3, 2))
        >>> h, c = cell(torch.randn(1, 2), leaves, torch.tensor([0, 0, 0]))
        >>> h.shape
        torch.Size([1, 8])
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None
    __prepare_scriptable__ = refuse_script

    @layer_options
    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        bias: bool = True,
        *,
        variant: str = "child-sum",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        caller = type(self).__name__
        check_sizes(caller, in_channels=in_channels, hidden_channels=hidden_channels)
        self.in_channels, self.hidden_channels, self.bias = in_channels, hidden_channels, bias
        self.variant = one_of(caller, "variant", variant, ("child-sum",))
        for name, size in (("weight_ih", in_channels), ("weight_hh", hidden_channels)):
            weight = torch.empty(4 * hidden_channels, size, device=device, dtype=dtype)
            self.register_parameter(name, nn.Parameter(weight))
        for name in ("bias_ih", "bias_hh"):
            values = torch.empty(4 * hidden_channels, device=device, dtype=dtype)
            self.register_parameter(name, nn.Parameter(values) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """As in torch.nn: everything from U(-1/sqrt(H), 1/sqrt(H))."""
        bound = 1 / math.sqrt(self.hidden_channels)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    @layer_call
    def forward(
        self, x: Tensor, children: tuple[Tensor, Tensor] | None = None, parents: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        caller = type(self).__name__
        check_input(caller, x, (2,), self.in_channels, self.weight_ih)
        if (children is None) != (parents is None):
            raise ValueError(f"{caller}: expected children and parents, got one without the other")
        if children is not None and parents is not None:
            if not isinstance(parents, Tensor) or parents.dim() != 1 or parents.dtype not in (torch.int64, torch.int32):
                raise ValueError(f"{caller}: expected integer parents of shape [m], got {describe(parents)}")
            check_dense(caller, "parents", parents)
            check_state(caller, children, ((parents.size(0), self.hidden_channels),) * 2, self.weight_ih)
            if parents.device != x.device:
                raise ValueError(f"{caller}: expected parents on {x.device}, where x is, got {parents.device}")
            if is_eager() and not x.is_cuda and not bool(((parents >= 0) & (parents < len(x))).all()):
                raise ValueError(f"{caller}: expected parents in 0..{len(x) - 1}, got {shown(parents.tolist())}")
        return self._step(F.linear(x, self.weight_ih, self.bias_ih), children, parents)

    def _step(
        self, gx: Tensor, children: tuple[Tensor, Tensor] | None, parents: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        i, f, g, o = gx.chunk(4, dim=-1)
        children_h, children_c = torch.zeros_like(i), torch.zeros_like(i)
        if children is not None and parents is not None:
            h, c = children
            bias_f = None if self.bias_hh is None else self.bias_hh.chunk(4)[1]
            forget = torch.sigmoid(f[parents] + F.linear(h, self.weight_hh.chunk(4)[1], bias_f))
            children_h = children_h.index_add(0, parents, h.to(children_h.dtype))
            children_c = children_c.index_add(0, parents, (forget * c).to(children_c.dtype))
        u_i, _, u_g, u_o = F.linear(children_h, self.weight_hh, self.bias_hh).chunk(4, dim=-1)
        c = torch.sigmoid(i + u_i) * torch.tanh(g + u_g) + children_c
        return torch.sigmoid(o + u_o) * torch.tanh(c), c

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.hidden_channels}" + ("" if self.bias else ", bias=False")


class TreeLSTM(TreeLSTMCell):
    r"""An LSTM over trees, with a forget gate for each child.

    `Improved semantic representations from tree-structured long short-term memory networks
    <https://arxiv.org/abs/1503.00075>`_ (Tai et al. 2015), equations 2 to 8: the child-sum Tree-LSTM.

    .. math::
        \tilde{h}_j &= \sum_{k \to j} h_k, \qquad (i, o, g)_j = W x_j + U \tilde{h}_j + b \\
        f_{jk} &= \sigma(W_f x_j + U_f h_k + b_f), \qquad
        c_j = \sigma(i_j) \tanh(g_j) + \sum_{k \to j} f_{jk} c_k, \qquad h_j = \sigma(o_j) \tanh(c_j)

    Edges run from child to parent, the order of children does not matter, and inner nodes have inputs too. The graph
    may be any directed acyclic graph; a node's state is passed to each of its parents. Weights are those of
    :class:`torch.nn.LSTMCell`, gates in the order i, f, g, o.

    Args:
        in_channels, hidden_channels: F and H.
        bias: add b.
        variant: ``"child-sum"``.

    Shapes:
        ``x [N, F]`` -> output h ``[N, H]``, and the state (h, c) of every node.

    Raises:
        ValueError: for inputs that do not fit, and for a cycle, naming one.

    Example:
        >>> layer = TreeLSTM(2, 8)
        >>> layer(torch.randn(3, 2), torch.tensor([[0, 1], [2, 2]]))[0].shape
        torch.Size([3, 8])
    """

    @layer_call
    def forward(  # type: ignore[override]
        self, x: Tensor, edge_index: Tensor | PreparedGraph
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        caller = type(self).__name__
        check_input(caller, x, (2,), self.in_channels, self.weight_ih)
        levels = levels_of(caller, edge_index, x)
        gx = F.linear(x, self.weight_ih, self.bias_ih)
        states: list[tuple[Tensor, Tensor]] = []  # of each level; not of one step before, so no scan over time
        for level in levels:
            children, parents = None, None
            if level.groups:
                groups = [tuple(part[sources] for part in states[earlier]) for earlier, sources, _ in level.groups]
                h, c = (torch.cat(parts) for parts in zip(*groups))
                children, parents = (h, c), torch.cat([targets for *_, targets in level.groups])
            states.append(self._step(gx[level.nodes], children, parents))
        order = torch.cat([level.nodes for level in levels]).argsort()
        h, c = (torch.cat(parts)[order] for parts in zip(*states))
        return h, (h, c)
