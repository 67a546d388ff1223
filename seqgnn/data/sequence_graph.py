"""A sequence as a path graph, whole batches of them in one step, and their way to padded tensors and back."""

from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data._utils.collate import default_collate_fn_map
from torch.utils.weak import WeakTensorKeyDictionary
from torch_geometric.data import Batch, Data

# Structures that `sequence_batch` shares between batches, each with its copies on other devices.
_copies: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def path_graph(length: int, directed: bool = True, hops: tuple[int, ...] = (1,)) -> Tensor:
    r"""The edges of a path of `length` nodes, with shortcuts.

    .. math:: E = \{(i, i + h) : h \in hops, 0 \le i < length - h\}

    Args:
        length: number of nodes, at least 1.
        directed: if false, every edge runs both ways.
        hops: how far edges reach, each at least 1; those of `length` or more find no room and are left out.

    Returns:
        `edge_index [2, E]`, sorted by source, then by target, without duplicates.

    Raises:
        ValueError: if `length` or a hop is no positive integer, or there is no hop.

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
    """The hops 1, 2, 4, ... below `length` (at least the 1): any two nodes of the path are then few rounds apart.

    Example:
        >>> exponential_hops(20)
        (1, 2, 4, 8, 16)
    """
    _check_path("exponential_hops", length, (1,))
    return (1, *(2**k for k in range(1, (length - 1).bit_length())))


def layers_to_reach(distance: int, hops: tuple[int, ...] = (1,), directed: bool = True) -> int:
    """The fewest rounds of message passing after which the last of `distance + 1` nodes has heard of the first.

    Args:
        distance: how many elements lie between, one of the two included; at least 0.
        hops: as in `path_graph`.
        directed: if false, messages also run backwards, never outside of the path.

    Raises:
        ValueError: if the hops never lead there.

    Example:
        >>> layers_to_reach(18), layers_to_reach(18, hops=(1, 2, 4, 8, 16))
        (18, 2)
    """
    if not _is_integer(distance) or distance < 0:
        raise ValueError(f"layers_to_reach: expected distance to be an integer of at least 0, got {distance!r}")
    hops = _check_path("layers_to_reach", distance + 1, hops)
    steps = hops if directed else (*hops, *(-h for h in hops))
    seen, front, rounds = {0}, {0}, 0
    while distance not in front:
        front = {i + h for i in front for h in steps if 0 <= i + h <= distance} - seen
        if not front:
            raise ValueError(f"layers_to_reach: expected hops that lead {distance} elements on, got {hops}")
        seen |= front
        rounds += 1
    return rounds


class SequenceGraph(Data):
    """A sequence as a graph: one node per element, in order.

    A PyG `Data` with `x [L]` (long ids) or `[L, F]` (float features), `edge_index [2, E]` and `y [1]` (one target per
    sequence) or `[L]` (one per element). Batch them with PyG's `Batch.from_data_list` or a `DataLoader`, PyG's or
    torch's, or, where lengths are equal, with `sequence_batch`. A batch made by the latter shares its edges with the
    others of its shape, and `to` gives all of them one copy per device: layers that keep a prepared graph find it
    again.

    Example:
        >>> SequenceGraph.from_values([3, 1, 4], y=3)
        SequenceGraph(x=[3], edge_index=[2, 2], y=[1])
    """

    @classmethod
    def from_values(
        cls, x: Any, y: Any = None, *, directed: bool = True, hops: tuple[int, ...] = (1,)
    ) -> "SequenceGraph":
        """A sample of one's own data, checked.

        Args:
            x: `[L]` integer ids of at least 0, or `[L, F]` finite numbers (tensor, array or nested list).
            y: a class (one target per sequence), `[1]` or `[L]` classes of at least 0, or None.
            directed, hops: as in `path_graph`.

        Raises:
            ValueError: if x is empty, of another rank or dtype, negative where it is an id, NaN or infinite where it is
                a feature; or if y does not fit it.
        """
        x = _to_tensor("x", x)
        if x.dim() not in (1, 2) or x.numel() == 0:
            raise ValueError(
                f"SequenceGraph: expected x of shape [L] or [L, F] with at least one element, got {list(x.shape)}"
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
        """Moves all tensors, or those named, to `device`; in place, as PyG does."""
        for name in ("edge_index", "batch", "ptr"):
            if name in self and (not args or name in args):
                self[name] = _shared_copy(self[name], torch.device(device))
        return super().to(device, *args, non_blocking=non_blocking)


def _collate(samples: list[SequenceGraph], *, collate_fn_map: Any = None) -> Batch:
    """What torch's DataLoader makes of samples."""
    return Batch.from_data_list(samples)


default_collate_fn_map[SequenceGraph] = _collate

# The class of such batches, which PyG builds at each call, in as long as all of `sequence_batch` takes.
with torch.device("cpu"):  # under any default device
    _made = Batch.from_data_list([SequenceGraph(x=torch.zeros(1), edge_index=torch.empty(2, 0).long())])
_SequenceGraphBatch = type(_made)
# Private names under which PyG keeps how to take a batch apart; where they are others, PyG makes all batches.
_KNOWN = all(hasattr(_made, name) for name in ("_num_graphs", "_slice_dict", "_inc_dict"))


def sequence_batch(x: Tensor, y: Tensor, edge_index: Tensor) -> Batch:
    """A batch of sequences of one length, made in one step; equal to `Batch.from_data_list` of the single samples.

    The batch's `edge_index` (where the samples share one), `batch` and `ptr` are the very same tensors for every batch
    of the same shape and edges, so that what was prepared for one serves the next: do not write into them.

    Args:
        x: `[B, L]` ids or `[B, L, F]` features.
        y: `[B]`, one target per sequence, or `[B, L]`, one per element.
        edge_index: `[2, E]`, edges of one sample, shared by all; or `[B, 2, E]`, for each its own.

    Raises:
        ValueError: if shapes do not fit, a sequence is empty, or an edge leaves its sequence.

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
    if not _KNOWN:
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
    batch = type.__call__(
        _SequenceGraphBatch, x=x.flatten(0, 1), edge_index=edges, y=y.flatten(), batch=nodes.batch, ptr=nodes.ptr
    )
    per_graph = nodes.steps * edge_index.shape[-1]
    batch._num_graphs = size
    batch._slice_dict = {
        "x": nodes.slices,
        "edge_index": per_graph,
        "y": nodes.slices if y.dim() == 2 else nodes.steps,
    }
    batch._inc_dict = {"x": nodes.zeros, "edge_index": nodes.slices[:-1], "y": nodes.zeros}
    return batch


def part_of_batch(batch: Batch, start: int, stop: int) -> Batch:
    """The sequences from `start` to before `stop`, as a batch of their own.

    Example:
        >>> batch = sequence_batch(torch.tensor([[1, 2], [3, 4], [5, 6]]), torch.tensor([1, 3, 5]), path_graph(2))
        >>> part_of_batch(batch, 1, 3).x.tolist(), part_of_batch(batch, 1, 3).edge_index.tolist()
        ([3, 4, 5, 6], [[0, 2], [1, 3]])
    """
    if not _KNOWN:
        return Batch.from_data_list(batch[start:stop])
    cut = {name: slice(int(at[start]), int(at[stop])) for name, at in batch._slice_dict.items()}
    first = cut["x"].start
    part = type.__call__(
        _SequenceGraphBatch,
        x=batch.x[cut["x"]],
        edge_index=batch.edge_index[:, cut["edge_index"]] - first,
        y=batch.y[cut["y"]],
        batch=batch.batch[cut["x"]] - start,
        ptr=batch.ptr[start : stop + 1] - first,
    )
    part._num_graphs = stop - start
    part._slice_dict = {name: at[start : stop + 1] - at[start] for name, at in batch._slice_dict.items()}
    part._inc_dict = {name: part._slice_dict["x"][:-1] * (name == "edge_index") for name in cut}
    return part


def to_padded(batch: Data, values: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """A batch of sequences as one tensor, time first, padded with zeros behind their ends.

    A view where all lengths are equal. How long each is stands on the host in every batch that PyG or
    `sequence_batch` made, so nothing waits for a device.

    Args:
        batch: a `Batch` of SequenceGraphs, or a single one.
        values: `[sum L, ...]`, one row per node; `batch.x` if not given.

    Returns:
        `[T, B, ...]` on the device of the values, and `lengths [B]` on the host, where torch's packing wants them.

    Raises:
        ValueError: if the lengths are not known, do not add up to the rows of `values`, or one of them is zero.

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
    """The inverse of `to_padded`: the rows of all sequences, one after the other, without the padding.

    Args:
        padded: `[T, B, ...]`.
        lengths: `[B]`, each between 1 and T, or the batch that they belong to.

    Returns:
        `[sum L, ...]`.

    Raises:
        ValueError: if the lengths do not fit.

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
    """The lengths ``[B]`` of a batch's sequences, on the host, where PyG keeps them to take batches apart again.

    Raises:
        ValueError: if they are not known, or one of them is zero.
    """
    if not isinstance(batch, Batch):
        lengths = torch.tensor([batch.num_nodes or 0])
    elif "x" in getattr(batch, "_slice_dict", ()):
        lengths = batch._slice_dict["x"].diff()
    elif "ptr" in batch:
        lengths = batch.ptr.diff().cpu()
    else:
        raise ValueError("to_padded: expected a batch that knows its lengths (by `ptr`), got one without")
    if lengths.numel() == 0 or int(lengths.min()) < 1:
        raise ValueError(f"to_padded: expected sequences of at least one element, got lengths {lengths.tolist()}")
    return lengths


def _positions(lengths: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """For each node of a ragged batch, its time step and its sequence."""
    sequence = torch.arange(len(lengths), device="cpu").repeat_interleave(lengths)
    start = lengths.cumsum(0) - lengths
    return (torch.arange(len(sequence), device="cpu") - start[sequence]).to(device), sequence.to(device)


class _Nodes(NamedTuple):
    """What batches of one shape share."""

    batch: Tensor  # on the device of x
    ptr: Tensor
    slices: Tensor  # the rest stays on the host, as in PyG
    steps: Tensor
    zeros: Tensor


# What is kept must serve training too: it is never made as inference tensors, whoever asks first.
@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _nodes(size: int, length: int, device: torch.device) -> _Nodes:
    steps = torch.arange(size + 1, device="cpu")
    slices = steps * length
    sequence = steps[:-1].repeat_interleave(length).to(device)
    # `ptr` is a tensor of its own: who moves or writes it leaves the host's slices alone.
    return _Nodes(_share(sequence), _share(slices.to(device, copy=True)), slices, steps, torch.zeros_like(steps[:-1]))


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _shared_edges(size: int, length: int, edges: bytes, device: torch.device) -> Tensor:
    """The edges of `size` equal samples; the key is their content, since two equal tensors mean the same graph."""
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
    """The one copy on `device` of a shared structure; any other tensor as it is."""
    copies = _copies.get(tensor)
    if copies is None or (device.type == tensor.device.type and device.index in (None, tensor.device.index)):
        return tensor
    if device not in copies:
        copies[device] = tensor.to(device)
    return copies[device]


def _check_edges(edge_index: Tensor, length: int) -> None:
    if edge_index.numel() == 0:
        return
    least, greatest = (int(bound) for bound in edge_index.aminmax())
    if least < 0 or greatest >= length:
        raise ValueError(f"sequence_batch: expected edges between nodes 0 and {length - 1}, got {least} to {greatest}")


def _check_path(who: str, length: int, hops: tuple[int, ...]) -> tuple[int, ...]:
    if not _is_integer(length) or length < 1:
        raise ValueError(f"{who}: expected length to be an integer of at least 1, got {length!r}")
    if not isinstance(hops, tuple | list) or not hops or not all(_is_integer(h) and h >= 1 for h in hops):
        raise ValueError(f"{who}: expected hops to be integers of at least 1, got {hops!r}")
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
