"""Sequences of a batch as one padded tensor, and back."""

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from seqgnn._utils.torch_internals import batch_slices


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
        >>> from seqgnn.data import SequenceGraph
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
    elif "x" in (slices := batch_slices(batch)):
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
