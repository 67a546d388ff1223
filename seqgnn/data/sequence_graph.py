"""Sequences as path graphs."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from seqgnn._utils.torch_internals import register_collate
from seqgnn.data._shared_tensors import shared_copy
from seqgnn.data.paths import path_graph


class SequenceGraph(Data):
    """A sequence as a graph: one node per position, in order.

    A PyG `Data` with `x [L]` (token ids, long) or `[L, F]` (float features), `edge_index [2, E]` and `y [1]` (one
    target per sequence) or `[L]` (one per position). Batch sequences with PyG's `Batch.from_data_list`, with a
    `DataLoader` of PyG or torch or, if lengths are equal, with `sequence_batch`. Batches from `sequence_batch` with the
    same shape share one `edge_index`, and `to` copies it once per device, so that layers can reuse the cached graph.

    Example:
        >>> SequenceGraph.from_values([3, 1, 4], y=3)
        SequenceGraph(x=[3], edge_index=[2, 2], y=[1])
    """

    @classmethod
    def from_values(
        cls, x: Any, y: Any = None, *, directed: bool = True, hops: tuple[int, ...] = (1,)
    ) -> "SequenceGraph":
        """Return a sequence graph of custom data, after a check of the values.

        Args:
            x: `[L]` token ids of at least 0, or `[L, F]` finite features (tensor, array or nested list).
            y: a class (one target per sequence), `[1]` or `[L]` classes of at least 0, or None.
            directed, hops: as in `path_graph`.

        Raises:
            ValueError: if x is empty, has another number of dimensions or another dtype, a negative id, or a NaN or
                infinite feature; or if the shape or values of y do not match.
        """
        x = _to_tensor("x", x)
        if x.dim() not in (1, 2) or x.numel() == 0:
            raise ValueError(
                f"SequenceGraph: expected x of shape [L] or [L, F] with at least one position, got {list(x.shape)}"
            )
        if x.dim() == 1:
            x = _check_ids("x", x)
        elif x.is_complex():
            raise ValueError(f"SequenceGraph: expected real features x, got {x.dtype}")
        else:
            x = x if x.is_floating_point() else x.to(torch.get_default_dtype())
            if not bool(x.isfinite().all()):
                raise ValueError(
                    f"SequenceGraph: expected finite x, got {int((~x.isfinite()).sum())} NaN or infinite values"
                )
        if y is not None:
            y = torch.atleast_1d(_to_tensor("y", y))
            if y.dim() != 1 or len(y) not in (1, len(x)):
                raise ValueError(f"SequenceGraph: expected y of shape [1] or [{len(x)}], got {list(y.shape)}")
            y = _check_ids("y", y)
        return cls(x=x, edge_index=path_graph(len(x), directed, hops).to(x.device), y=y)

    def to(self, device: int | str | torch.device, *args: str, non_blocking: bool = False) -> "SequenceGraph":
        """Move all tensors, or those named, to `device`; in place, as in PyG."""
        for name in ("edge_index", "batch", "ptr"):
            if name in self and (not args or name in args):
                self[name] = shared_copy(self[name], torch.device(device))
        return super().to(device, *args, non_blocking=non_blocking)


def _collate(samples: list[SequenceGraph], *, collate_fn_map: Any = None) -> Batch:
    """Collate samples for torch's DataLoader."""
    return Batch.from_data_list(samples)


register_collate(SequenceGraph, _collate)


def _to_tensor(name: str, value: Any) -> Tensor:
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"SequenceGraph: expected {name} to be a tensor, an array or numbers, got {error}") from error


def _check_ids(name: str, ids: Tensor) -> Tensor:
    if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
        hint = "; features are [L, F]" if name == "x" else ""
        raise ValueError(f"SequenceGraph: expected {name} of integers, got {ids.dtype}{hint}")
    if int(ids.min()) < 0:
        raise ValueError(f"SequenceGraph: expected {name} of at least 0, got {int(ids.min())}")
    return ids.long()
