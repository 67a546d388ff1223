"""Batches of sequences of equal length, built without a loop over samples."""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Batch

from seqgnn._utils.torch_internals import batch_class, batch_slices, new_batch
from seqgnn.data._shared_tensors import share
from seqgnn.data.sequence_graph import SequenceGraph

# The class of batches. PyG builds it at every call, which takes as long as all of `sequence_batch`.
with torch.device("cpu"):  # under any default device
    _batch_class = batch_class(SequenceGraph(x=torch.zeros(1), edge_index=torch.empty(2, 0).long()))


def sequence_batch(x: Tensor, y: Tensor, edge_index: Tensor) -> Batch:
    """Return a batch of sequences of equal length, built without a loop over samples; it equals `Batch.from_data_list`.

    All batches with the same shape and edges share the tensors `edge_index` (if it is the same for all samples),
    `batch` and `ptr`, so that layers can reuse a cached prepared graph. Do not modify them in place.

    Args:
        x: `[B, L]` token ids or `[B, L, F]` features.
        y: `[B]`, one target per sequence, or `[B, L]`, one per position.
        edge_index: `[2, E]`, edges shared by all samples; or `[B, 2, E]`, edges of each sample.

    Example:
        >>> from seqgnn.data import path_graph
        >>> batch = sequence_batch(torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([1, 4]), path_graph(3))
        >>> batch.num_graphs, batch[1].x.tolist(), batch.edge_index.tolist()
        (2, [4, 5, 6], [[0, 1, 3, 4], [1, 2, 4, 5]])
    """
    if x.dim() not in (2, 3) or x.numel() == 0:
        raise ValueError(f"sequence_batch: expected x of shape [B, L] or [B, L, F], not empty, got {list(x.shape)}")
    size, length = x.shape[:2]
    if y.shape not in ((size,), (size, length)):
        raise ValueError(f"sequence_batch: expected y of shape [{size}] or [{size}, {length}], got {list(y.shape)}")
    if edge_index.shape[:-1] not in ((2,), (size, 2)):
        raise ValueError(
            f"sequence_batch: expected edge_index of shape [2, E] or [{size}, 2, E], got {list(edge_index.shape)}"
        )
    if edge_index.dtype != torch.long:
        raise ValueError(f"sequence_batch: expected edge_index of dtype torch.int64, got {edge_index.dtype}")
    if _batch_class is None:
        _check_edges(edge_index, length)
        edge_indices = edge_index.expand(size, 2, -1).to(x.device)
        rows = zip(x, edge_indices, y if y.dim() == 2 else y[:, None])
        return Batch.from_data_list([SequenceGraph(x=x, edge_index=edges, y=y) for x, edges, y in rows])
    nodes = _nodes(size, length, x.device)
    if edge_index.dim() == 2:
        edges = _shared_edges(size, length, edge_index.cpu().numpy().tobytes(), x.device)
    else:
        _check_edges(edge_index, length)
        edges = (edge_index.to(x.device) + nodes.ptr[:-1, None, None]).transpose(0, 1).flatten(1)
    return new_batch(
        _batch_class,
        size,
        slices={
            "x": nodes.slices,
            "edge_index": nodes.steps * edge_index.shape[-1],
            "y": nodes.slices if y.dim() == 2 else nodes.steps,
        },
        increments={"x": nodes.zeros, "edge_index": nodes.slices[:-1], "y": nodes.zeros},
        x=x.flatten(0, 1),
        edge_index=edges,
        y=y.flatten(),
        batch=nodes.batch,
        ptr=nodes.ptr,
    )


def part_of_batch(batch: Batch, start: int, stop: int) -> Batch:
    """Return the sequences `start` to `stop - 1` as a new batch.

    Example:
        >>> from seqgnn.data import path_graph
        >>> batch = sequence_batch(torch.tensor([[1, 2], [3, 4], [5, 6]]), torch.tensor([1, 3, 5]), path_graph(2))
        >>> part_of_batch(batch, 1, 3).x.tolist(), part_of_batch(batch, 1, 3).edge_index.tolist()
        ([3, 4, 5, 6], [[0, 2], [1, 3]])
    """
    if _batch_class is None:
        return Batch.from_data_list(batch[start:stop])
    slices = batch_slices(batch)
    ranges = {name: slice(int(bounds[start]), int(bounds[stop])) for name, bounds in slices.items()}
    first_node = ranges["x"].start
    slices = {name: bounds[start : stop + 1] - bounds[start] for name, bounds in slices.items()}
    return new_batch(
        _batch_class,
        stop - start,
        slices,
        increments={name: slices["x"][:-1] * (name == "edge_index") for name in ranges},
        x=batch.x[ranges["x"]],
        edge_index=batch.edge_index[:, ranges["edge_index"]] - first_node,
        y=batch.y[ranges["y"]],
        batch=batch.batch[ranges["x"]] - start,
        ptr=batch.ptr[start : stop + 1] - first_node,
    )


class _Nodes(NamedTuple):
    """Tensors shared by batches of one shape."""

    batch: Tensor  # on the device of x
    ptr: Tensor
    slices: Tensor  # the rest stays on the host, as in PyG
    steps: Tensor
    zeros: Tensor


# Cached tensors must also work in training, so they are never created as inference tensors.
@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _nodes(size: int, length: int, device: torch.device) -> _Nodes:
    steps = torch.arange(size + 1, device="cpu")
    slices = steps * length
    sequence = steps[:-1].repeat_interleave(length).to(device)
    # `ptr` is a copy, so that moving or modifying it does not affect the slices on the host.
    return _Nodes(share(sequence), share(slices.to(device, copy=True)), slices, steps, torch.zeros_like(steps[:-1]))


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _shared_edges(size: int, length: int, edges: bytes, device: torch.device) -> Tensor:
    """Return the edges of `size` equal samples; the cache key is their content, so equal tensors share one entry."""
    if not edges:
        return share(torch.empty(2, 0, dtype=torch.long, device=device))
    edge_index = torch.frombuffer(bytearray(edges), dtype=torch.long).view(2, -1)
    _check_edges(edge_index, length)
    offset = torch.arange(size, device="cpu")[:, None] * length
    return share((edge_index[:, None] + offset).flatten(1).to(device))


def _check_edges(edge_index: Tensor, length: int) -> None:
    if edge_index.numel() == 0:
        return
    low, high = (int(bound) for bound in edge_index.aminmax())
    if low < 0 or high >= length:
        raise ValueError(f"sequence_batch: expected edges between nodes 0 and {length - 1}, got {low} to {high}")
