"""Products with sparse operators, which PyG's tools see as messages along edges."""

from typing import Any, Optional

import torch
from torch import Tensor, nn
from torch_geometric.nn import Linear, MessagePassing, SumAggregation
from torch_geometric.typing import OptTensor

from seqgnn._utils import torch_internals
from seqgnn.nn.graph.edge_masks import check_edge_mask, with_loops
from seqgnn.nn.graph.filters import apply_operator
from seqgnn.nn.graph.operator import Operator
from seqgnn.nn.layer_call import Layer


class OperatorMessagePassing(MessagePassing):
    r"""Message passing along the entries of an operator, :math:`y_i = \sum_j P_{ij} x_j`.

    The product is a sparse one. It runs through PyG's `propagate` where a caller sees or changes the messages one by
    one: with `message`, `aggregate` or `update` overridden, with hooks, in explain mode, with `decomposed_layers`, and
    with another aggregation than the sum.
    """

    __call__ = Layer.__call__

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"aggr": "add", **kwargs})
        torch_internals.drop_compiled_propagate(type(self))

    def __setattr__(self, name: str, value: Any) -> None:
        """Sets an attribute; an edge mask never becomes a parameter of the layer, even if an explainer learns it.

        On a layer where a mask has been a parameter, PyG 2.8 replaces later masks by copies, so that explainers used
        after GNNExplainer get no gradient.
        """
        if name == torch_internals.EDGE_MASK:
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    def multiply(self, operator: Operator, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Return P x for x `[..., N, F]`, computed in `dtype`, by default that of x."""
        if self.passes_messages:
            return self._pass_messages(operator, x, dtype or x.dtype)
        return apply_operator(operator, x, dtype)

    @property
    def passes_messages(self) -> bool:
        """True if the caller sees or changes the messages one by one."""
        kind, attributes = type(self), self.__dict__
        overridden = (
            kind.message is not OperatorMessagePassing.message
            or kind.aggregate is not MessagePassing.aggregate
            or kind.update is not MessagePassing.update
            or torch_internals.overrides_propagate(kind)
            or ("message" in attributes or "aggregate" in attributes or "update" in attributes)
        )
        hooked = torch_internals.has_hooks(self, torch_internals.PROPAGATE_HOOKS)
        other_sum = type(self.aggr_module) is not SumAggregation or self.node_dim != -2
        return overridden or hooked or torch_internals.in_explain_mode(self) or self.decomposed_layers > 1 or other_sum

    def _pass_messages(self, operator: Operator, x: Tensor, dtype: torch.dtype) -> Tensor:
        values = operator.values_as(dtype) if operator.exact else operator.values
        pattern = operator.pattern
        mask = torch_internals.edge_mask(self)
        if mask is not None:
            check_edge_mask(type(self).__name__, mask, pattern.num_edges)
        explained = torch_internals.in_explain_mode(self)
        row, col, values = (pattern.row, pattern.col, values) if explained else pattern.edges(values)
        edge_index = torch.stack([col, row] if self.flow == "source_to_target" else [row, col]).long()
        # propagate_type: (x: Tensor, edge_weight: OptTensor)
        return self.propagate(edge_index, x=x, edge_weight=self._message_weights(operator, values))

    def _message_weights(self, operator: Operator, values: Tensor) -> OptTensor:
        """Return what `message` receives as `edge_weight`."""
        return values

    def message(self, x_j: Tensor, edge_weight: OptTensor) -> Tensor:
        """Return the message of an edge: its value in P times the features of its source."""
        return x_j if edge_weight is None else edge_weight.view(-1, 1) * x_j

    def explain_message(self, inputs: Tensor, dim_size: Optional[int]) -> Tensor:  # noqa: UP045 (PyG reads no X | Y)
        """Return the messages of the edges times their mask; added self-loops are not masked.

        In explain mode the entries of an operator are all edges in their order, then the loops, so that the mask fits
        whichever self-loops the graph has (PyG's own layers confuse the two where every node has one).
        """
        mask, _, apply_sigmoid, _ = torch_internals.mask_state(self)
        if mask is None:
            raise ValueError(f"{type(self).__name__}: expected an edge mask in explain mode, got none")
        mask = (mask.sigmoid() if apply_sigmoid else mask).to(inputs.dtype)
        mask = with_loops(mask, inputs.shape[self.node_dim])
        return inputs * mask.view(-1, *[1] * (inputs.dim() - 1 - self.node_dim % inputs.dim()))


class Propagation(OperatorMessagePassing):
    """The message passing of a layer that is not a `MessagePassing` itself, as a child for PyG's tools.

    Explainers put their edge masks here. Those that need node embeddings hook the call, whose argument and result these
    are.
    """

    def forward(self, x: Tensor) -> Tensor:
        return x


def repr_without(layer: nn.Module, part: nn.Module) -> str:
    """Return the repr of a layer without one of its children."""
    return nn.Module.__repr__(torch_internals.without_child(layer, part))


def is_plain_linear(lin: Any) -> bool:
    """Return True if a linear map is no more than its weight: PyG's class without hooks, which need not be called."""
    return type(lin) is Linear and not torch_internals.has_hooks(lin)
