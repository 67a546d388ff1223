"""Sequences as path graphs, vectorized batching, and conversion to and from padded tensors."""

from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary
from torch_geometric.data import Batch, Data

from seqgnn._utils import torch_internals

# Tensors that `sequence_batch` shares between batches, each with its copies on other devices.
_copies: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def path_graph(length: int, directed: bool = True, hops: tuple[int, ...] = (1,)) -> Tensor:
    r"""Return the edges of a path of `length` nodes, with shortcuts.

    .. math:: E = \{(i, i + h) : h \in hops, 0 \le i < length - h\}

    Args:
        length: number of nodes, at least 1.
        directed: if False, every edge is present in both directions.
        hops: the distances that edges span, each at least 1; hops of `length` or more are ignored.

    Returns:
        `edge_index [2, E]`, sorted by source, then by target, without duplicates.

    Raises:
        ValueError: if `length` or a hop is not a positive integer, or there is no hop.

    Example:
        >>> path_graph(4).tolist()
        [[0, 1, 2], [1, 2, 3]]
        >>> path_graph(4, hops=(1, 2)).tolist()
        [[0, 0, 1, 1, 2], [1, 2, 2, 3, 3]]
    """
    hops = _check_path("path_graph", length, hops)
    forward = [torch.stack([torch.arange(length - h), torch.arange(h, length)]) for h in hops if h < length]
    edges = torch.cat(forward, dim=1) if forward else torch.empty(2, 0, dtype=torch.long)
    if not directed:
        edges = torch.cat([edges, edges.flip(0)], dim=1)
    return edges[:, (edges[0] * length + edges[1]).argsort()]


def exponential_hops(length: int) -> tuple[int, ...]:
    """Return the hops 1, 2, 4, ... below `length` (at least 1), with which few layers cover the whole path.

    Example:
        >>> exponential_hops(20)
        (1, 2, 4, 8, 16)
    """
    _check_path("exponential_hops", length, (1,))
    return (1, *(2**k for k in range(1, (length - 1).bit_length())))


def layers_to_reach(distance: int, hops: tuple[int, ...] = (1,), directed: bool = True) -> int:
    """Return the smallest number of layers with which the first of `distance + 1` nodes on a path is in the receptive
    field of the last.

    Args:
        distance: difference of the positions of the two nodes, at least 0.
        hops: as in `path_graph`.
        directed: if False, messages are also passed backwards, within the path.

    Raises:
        ValueError: if no sequence of hops connects the two nodes.

    Example:
        >>> layers_to_reach(18), layers_to_reach(18, hops=(1, 2, 4, 8, 16))
        (18, 2)
    """
    if not _is_integer(distance) or distance < 0:
        raise ValueError(f"layers_to_reach: expected distance to be an integer of at least 0, got {distance!r}")
    hops = _check_path("layers_to_reach", distance + 1, hops)
    steps = hops if directed else (*hops, *(-h for h in hops))
    visited, front, layers = {0}, {0}, 0
    while distance not in front:
        front = {i + h for i in front for h in steps if 0 <= i + h <= distance} - visited
        if not front:
            raise ValueError(f"layers_to_reach: expected hops that can sum to {distance}, got {hops}")
        visited |= front
        layers += 1
    return layers


class SequenceGraph(Data):
    """A sequence as a graph: one node per position, in order.

    A PyG `Data` with `x [L]` (token ids, long) or `[L, F]` (float features), `edge_index [2, E]` and `y [1]` (one
    target per sequence) or `[L]` (one per position). Batch sequences with PyG's `Batch.from_data_list`, with a
    `DataLoader` of PyG or torch or, if lengths are equal, with `sequence_batch`. Batches from `sequence_batch` with the
    same shape share one `edge_index`, and `to` creates one copy of it per device, so that layers can reuse a cached
    prepared graph.

    Example:
        >>> SequenceGraph.from_values([3, 1, 4], y=3)
        SequenceGraph(x=[3], edge_index=[2, 2], y=[1])
    """

    @classmethod
    def from_values(
        cls, x: Any, y: Any = None, *, directed: bool = True, hops: tuple[int, ...] = (1,)
    ) -> "SequenceGraph":
        """Return a sample made from custom data, with its values checked.

        Args:
            x: `[L]` token ids of at least 0, or `[L, F]` finite features (tensor, array or nested list).
            y: a class (one target per sequence), `[1]` or `[L]` classes of at least 0, or None.
            directed, hops: as in `path_graph`.

        Raises:
            ValueError: if x is empty, has another rank or dtype, a negative id, or a NaN or infinite feature; or if the
                shape or values of y do not match.
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
                self[name] = _shared_copy(self[name], torch.device(device))
        return super().to(device, *args, non_blocking=non_blocking)


def _collate(samples: list[SequenceGraph], *, collate_fn_map: Any = None) -> Batch:
    """Collate samples for torch's DataLoader."""
    return Batch.from_data_list(samples)


torch_internals.register_collate(SequenceGraph, _collate)

# The class of batches. PyG builds it at every call, which takes as long as all of `sequence_batch`.
with torch.device("cpu"):  # under any default device
    _batch_class = torch_internals.batch_class(SequenceGraph(x=torch.zeros(1), edge_index=torch.empty(2, 0).long()))


def sequence_batch(x: Tensor, y: Tensor, edge_index: Tensor) -> Batch:
    """Return a batch of sequences of equal length, built without a loop over samples; it equals `Batch.from_data_list`.

    All batches with the same shape and edges share the tensors `edge_index` (if it is the same for all samples),
    `batch` and `ptr`, so that layers can reuse a cached prepared graph. Do not modify them in place.

    Args:
        x: `[B, L]` token ids or `[B, L, F]` features.
        y: `[B]`, one target per sequence, or `[B, L]`, one per position.
        edge_index: `[2, E]`, edges shared by all samples; or `[B, 2, E]`, edges of each sample.

    Example:
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
        each = edge_index.expand(size, 2, -1).to(x.device)
        rows = zip(x, each, y if y.dim() == 2 else y[:, None])
        return Batch.from_data_list([SequenceGraph(x=x, edge_index=edges, y=y) for x, edges, y in rows])
    nodes = _nodes(size, length, x.device)
    if edge_index.dim() == 2:
        edges = _shared_edges(size, length, edge_index.cpu().numpy().tobytes(), x.device)
    else:
        _check_edges(edge_index, length)
        edges = (edge_index.to(x.device) + nodes.ptr[:-1, None, None]).transpose(0, 1).flatten(1)
    return torch_internals.new_batch(
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
        >>> batch = sequence_batch(torch.tensor([[1, 2], [3, 4], [5, 6]]), torch.tensor([1, 3, 5]), path_graph(2))
        >>> part_of_batch(batch, 1, 3).x.tolist(), part_of_batch(batch, 1, 3).edge_index.tolist()
        ([3, 4, 5, 6], [[0, 2], [1, 3]])
    """
    if _batch_class is None:
        return Batch.from_data_list(batch[start:stop])
    slices = torch_internals.batch_slices(batch)
    cut = {name: slice(int(at[start]), int(at[stop])) for name, at in slices.items()}
    first = cut["x"].start
    slices = {name: at[start : stop + 1] - at[start] for name, at in slices.items()}
    return torch_internals.new_batch(
        _batch_class,
        stop - start,
        slices,
        increments={name: slices["x"][:-1] * (name == "edge_index") for name in cut},
        x=batch.x[cut["x"]],
        edge_index=batch.edge_index[:, cut["edge_index"]] - first,
        y=batch.y[cut["y"]],
        batch=batch.batch[cut["x"]] - start,
        ptr=batch.ptr[start : stop + 1] - first,
    )


def to_padded(batch: Data, values: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return a batch of sequences as one tensor, time first, padded with zeros.

    The result is a view if all lengths are equal. Lengths are stored on the host in every batch that PyG or
    `sequence_batch` made, so there is no device synchronization.

    Args:
        batch: a `Batch` of SequenceGraphs, or a single one.
        values: `[sum L, ...]`, one row per node; None: `batch.x`.

    Returns:
        `[T, B, ...]` on the device of the values, and `lengths [B]` on the CPU, as torch's packing requires.

    Raises:
        ValueError: if the lengths are unknown, do not sum to the rows of `values`, or one of them is zero.

    Example:
        >>> ragged = Batch.from_data_list([SequenceGraph.from_values([1, 2, 3]), SequenceGraph.from_values([4])])
        >>> padded, lengths = to_padded(ragged)
        >>> padded.tolist(), lengths.tolist()
        ([[1, 4], [2, 0], [3, 0]], [3, 1])
    """
    values = batch.x if values is None else values
    lengths = sequence_lengths(batch)
    total, longest = int(lengths.sum()), int(lengths.max())
    if values.dim() == 0 or total != len(values):
        raise ValueError(f"to_padded: expected values with {total} rows, one per node, got shape {list(values.shape)}")
    if total == longest * len(lengths):
        return values.unflatten(0, (len(lengths), longest)).transpose(0, 1), lengths
    padded = values.new_zeros(longest, len(lengths), *values.shape[1:])
    return padded.index_put(_positions(lengths, values.device), values), lengths


def from_padded(padded: Tensor, lengths: Tensor | Data) -> Tensor:
    """Return the inverse of `to_padded`: the rows of all sequences without the padding.

    Args:
        padded: `[T, B, ...]`.
        lengths: `[B]`, each between 1 and T, or the batch itself.

    Returns:
        `[sum L, ...]`.

    Raises:
        ValueError: if the lengths do not match.

    Example:
        >>> from_padded(torch.tensor([[1, 4], [2, 0], [3, 0]]), torch.tensor([3, 1])).tolist()
        [1, 2, 3, 4]
    """
    lengths = lengths.cpu() if isinstance(lengths, Tensor) else sequence_lengths(lengths)
    if padded.dim() < 2 or lengths.shape != padded.shape[1:2]:
        raise ValueError(
            f"from_padded: expected padded of shape [T, B, ...] and lengths [B], "
            f"got {list(padded.shape)} and {list(lengths.shape)}"
        )
    if lengths.numel() == 0 or int(lengths.min()) < 1 or int(lengths.max()) > len(padded):
        raise ValueError(f"from_padded: expected lengths between 1 and {len(padded)}, got {lengths.tolist()}")
    if int(lengths.min()) == len(padded):
        return padded.transpose(0, 1).flatten(0, 1)
    return padded[_positions(lengths, padded.device)]


def sequence_lengths(batch: Data) -> Tensor:
    """Return the lengths ``[B]`` of a batch's sequences, on the CPU, where PyG stores them.

    Raises:
        ValueError: if they are unknown, or one of them is zero.
    """
    if not isinstance(batch, Batch):
        lengths = torch.tensor([batch.num_nodes or 0])
    elif "x" in (slices := torch_internals.batch_slices(batch)):
        lengths = slices["x"].diff()
    elif "ptr" in batch:
        lengths = batch.ptr.diff().cpu()
    else:
        raise ValueError("to_padded: expected a batch with lengths (`ptr`), got one without")
    if lengths.numel() == 0 or int(lengths.min()) < 1:
        raise ValueError(f"to_padded: expected sequences of at least one position, got lengths {lengths.tolist()}")
    return lengths


def _positions(lengths: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the time step and the sequence of each node of a ragged batch."""
    sequence = torch.arange(len(lengths), device="cpu").repeat_interleave(lengths)
    start = lengths.cumsum(0) - lengths
    return (torch.arange(len(sequence), device="cpu") - start[sequence]).to(device), sequence.to(device)


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
    return _Nodes(_share(sequence), _share(slices.to(device, copy=True)), slices, steps, torch.zeros_like(steps[:-1]))


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _shared_edges(size: int, length: int, edges: bytes, device: torch.device) -> Tensor:
    """Return the edges of `size` equal samples; the cache key is their content, so equal tensors share one entry."""
    if not edges:
        return _share(torch.empty(2, 0, dtype=torch.long, device=device))
    edge_index = torch.frombuffer(bytearray(edges), dtype=torch.long).view(2, -1)
    _check_edges(edge_index, length)
    offset = torch.arange(size, device="cpu")[:, None] * length
    return _share((edge_index[:, None] + offset).flatten(1).to(device))


def _share(tensor: Tensor) -> Tensor:
    _copies[tensor] = {}
    return tensor


def _shared_copy(tensor: Tensor, device: torch.device) -> Tensor:
    """Return the single copy on `device` of a shared tensor; other tensors are returned unchanged."""
    copies = _copies.get(tensor)
    if copies is None or (device.type == tensor.device.type and device.index in (None, tensor.device.index)):
        return tensor
    if device not in copies:
        copies[device] = tensor.to(device)
    return copies[device]


def _check_edges(edge_index: Tensor, length: int) -> None:
    if edge_index.numel() == 0:
        return
    low, high = (int(bound) for bound in edge_index.aminmax())
    if low < 0 or high >= length:
        raise ValueError(f"sequence_batch: expected edges between nodes 0 and {length - 1}, got {low} to {high}")


def _check_path(caller: str, length: int, hops: tuple[int, ...]) -> tuple[int, ...]:
    if not _is_integer(length) or length < 1:
        raise ValueError(f"{caller}: expected length to be an integer of at least 1, got {length!r}")
    if not isinstance(hops, tuple | list) or not hops or not all(_is_integer(h) and h >= 1 for h in hops):
        raise ValueError(f"{caller}: expected hops to be integers of at least 1, got {hops!r}")
    return tuple(sorted(set(hops)))


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


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
