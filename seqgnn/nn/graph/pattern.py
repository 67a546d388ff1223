"""The sparsity pattern of a graph: its edges sorted by target, once."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqgnn._utils import torch_internals
from seqgnn._utils.torch_internals import is_eager, is_readable
from seqgnn.nn.graph.cache import persistent_tensors


def _stable_sort(key: Tensor, bound: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return keys below `bound` in order, in this dtype, and the positions where they were.

    On the CPU, key and position are packed into one integer, as narrow as possible, for numpy's vectorized sort of
    integers. That is as fast as torch's stable sort at a million keys, and 14 times as fast at ten thousand.
    """
    bits = key.numel().bit_length()
    if key.device.type != "cpu" or bits > 31:
        sorted_key, order = torch.sort(key.to(dtype), stable=True)
        return sorted_key, order
    packed: Any = key.numpy().astype(np.int32 if bits + bound.bit_length() < 32 else np.int64)
    packed <<= bits
    packed |= np.arange(len(packed), dtype=packed.dtype)
    packed.sort()
    return torch.from_numpy(packed >> bits).to(dtype), torch.from_numpy(packed & ((1 << bits) - 1))


class Pattern:
    """The positions of the entries of an `N x N` operator: entry `e` carries `x[col[e]]` to `y[row[e]]`.

    Entries come in the order of the edges, then, with `self_loops`, one loop per node. A self-loop among the edges is
    then an entry of value zero, and its weight that of the node's added loop (the weight of the last one, if there are
    several, as in PyG's `add_remaining_self_loops`). So no shape depends on the values of `edge_index`.

    Args:
        edge_index: `[2, E]`, checked.
        num_nodes: `N`.
        self_loops: append one loop per node.
        flow: `"source_to_target"` gathers over incoming edges, `"target_to_source"` over outgoing ones.
    """

    def __init__(self, edge_index: Tensor, num_nodes: int, self_loops: bool, flow: str) -> None:
        self.num_nodes, self.num_edges, self.self_loops = num_nodes, edge_index.size(1), self_loops
        self.loops: Tensor | None = None
        if self_loops:
            loops = edge_index[0] == edge_index[1]
            if not is_readable(loops) or bool(loops.any()):
                self.loops = loops
            nodes = torch.arange(num_nodes, device=edge_index.device, dtype=edge_index.dtype)
            entries = torch.cat([edge_index, nodes.expand(2, -1)], 1)
        else:
            entries = edge_index.clone()
        source, target = entries
        self.row, self.col = (target, source) if flow == "source_to_target" else (source, target)
        self._origin: Tensor | None = None
        self._sorted: dict[bool, tuple[Tensor, Tensor, Tensor]] = {}

    def entry_weights(self, weight: Tensor | None, fill: float) -> Tensor:
        """Return the weights of the entries by those of the edges `[E]`, None for ones; missing loops weigh `fill`."""
        if weight is None:
            weight = torch.ones(self.row.numel(), dtype=torch.float64, device=self.row.device)
            if fill == 1 and self.loops is not None:
                weight[: self.num_edges].masked_fill_(self.loops, 0)
            if fill == 1 or not self.self_loops:
                return weight
            weight = weight[: self.num_edges]
        if not self.self_loops:
            return weight.clone()  # the caller may write into the original
        if self.loops is None:
            return torch.cat([weight, weight.new_full((self.num_nodes,), fill)])
        if self._origin is None:
            with persistent_tensors():
                self._origin = self._find_origin(self.loops)
        zero_and_fill = weight.new_zeros(1), weight.new_full((1,), fill)
        return torch.cat([weight, *zero_and_fill]).index_select(0, self._origin)

    def _find_origin(self, loops: Tensor) -> Tensor:
        """Return the index of each entry's weight: an edge, the zero after the edges, or the fill value after that."""
        num_nodes, num_edges = self.num_nodes, self.num_edges
        edges = torch.arange(num_edges, device=loops.device)
        node = torch.where(loops, self.row[:num_edges].long(), num_nodes)
        of_loops = torch.full((num_nodes + 1,), num_edges + 1, device=loops.device)
        of_loops = of_loops.scatter_reduce(0, node, edges, "amax", include_self=False)[:num_nodes]
        return torch.cat([torch.where(loops, num_edges, edges), of_loops])

    def compressed(self, transposed: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return row pointers, column indices and the order of the entries, of P or of its transpose; cached."""
        if transposed not in self._sorted:
            row, col = (self.col, self.row) if transposed else (self.row, self.col)
            # MKL and cuSPARSE multiply with 32-bit indices; others would be copied at each product.
            index = torch.int32 if max(self.num_nodes, row.numel()) < 2**31 else torch.int64
            with persistent_tensors():
                key, order = _stable_sort(row, self.num_nodes, index)
                pointers = torch_internals.row_pointers(key, self.num_nodes, index)
                self._sorted[transposed] = pointers, col.to(index).index_select(0, order), order
        return self._sorted[transposed]

    def edges(self, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return rows, columns and values of the entries as in PyG: without the edges that added self-loops replace."""
        if self.loops is None or not is_eager():
            return self.row, self.col, values
        indices = torch.cat([~self.loops, self.loops.new_ones(self.num_nodes)]).nonzero().squeeze(1)
        return self.row[indices], self.col[indices], values[indices]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_sorted": {}}

    def to(self, device: torch.device) -> "Pattern":
        copy = object.__new__(Pattern)
        copy.num_nodes, copy.num_edges, copy.self_loops = self.num_nodes, self.num_edges, self.self_loops
        copy.loops = None if self.loops is None else self.loops.to(device)
        copy._origin = None if self._origin is None else self._origin.to(device)
        copy.row, copy.col = self.row.to(device), self.col.to(device)
        copy._sorted = {}
        for side, (pointers, index, order) in self._sorted.items():
            copy._sorted[side] = pointers.to(device), index.to(device), order.to(device)
        return copy
