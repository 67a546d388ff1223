"""Checks of the arguments of a temporal graph."""

from typing import Any

import torch
from torch import Tensor

from seqgnn.data.times import TimeAxis, parse_times

CALLER = "TemporalGraph"


def check_values(name: str, values: Any, signal: Tensor | None = None) -> None:
    """Check that values are floats `[T, N, F]`, with the steps, nodes and device of the signal if it is given."""
    actual = f"{values.dtype} {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
    if not isinstance(values, Tensor) or values.dim() != 3 or not values.is_floating_point() or values.numel() == 0:
        expected = f"{name} as floats [T, N] or [T, N, F], not empty"
        raise ValueError(f"{CALLER}: expected {expected}, got {actual}")
    if signal is not None and (values.shape[:2] != signal.shape[:2] or values.device != signal.device):
        expected = f"{name} [{signal.size(0)}, {signal.size(1)}, C] on {signal.device}, as the signal"
        raise ValueError(f"{CALLER}: expected {expected}, got {actual} on {values.device}")


def checked_units(units: Any) -> str | None:
    """Return the units, or None if they are unknown."""
    if units is None or (isinstance(units, str) and units.strip() and units.isprintable()):
        return units
    raise ValueError(f"{CALLER}: expected units as a line of text, not empty, got {units!r}")


def checked_mask(mask: Tensor | None, signal: Tensor, channels: int) -> Tensor | None:
    """Return the mask as `[T, N, channels]`."""
    if mask is None:
        return None
    wide = mask[..., None] if mask.dim() == 2 else mask
    shape = (*signal.shape[:2], channels)
    if mask.dtype != torch.bool or mask.device != signal.device or wide.shape not in (shape, (*shape[:2], 1)):
        expected = f"a bool mask {list(shape[:2])} or {list(shape)} on {signal.device}"
        raise ValueError(f"{CALLER}: expected {expected}, got {mask.dtype} {tuple(mask.shape)} on {mask.device}")
    return wide.expand(shape)


def finite(
    name: str, values: Tensor, observed: Tensor | None, nodes: tuple[str, ...] | None, channels: int | None = None
) -> Tensor:
    """Return the values with 0 for those not finite and not observed.

    Observed ones of the first `channels` features must be finite (None: of all).
    """
    non_finite = ~values.isfinite()
    if not non_finite.any():
        return values
    invalid = non_finite[..., :channels] if observed is None else non_finite[..., :channels] & observed
    if invalid.any():
        step, node, feature = invalid.nonzero()[0].tolist()
        label = f"{node} ({nodes[node]})" if nodes is not None and node < len(nodes) else node
        value = values[step, node, feature].item()
        raise ValueError(
            f"{CALLER}: expected finite {name} where observed (see mask), got {value} at step {step}, node {label}, "
            f"feature {feature}"
        )
    return values.masked_fill(non_finite, 0)


def checked_graphs(edge_index: Any, edge_weight: Any, signal: Tensor) -> tuple[Any, Any]:
    """Return edges and weights, as tuples if there is a graph per step."""
    if not isinstance(edge_index, list | tuple):
        _check_graph(edge_index, edge_weight, signal, "")
        return edge_index, edge_weight
    steps = len(signal)
    weights = [None] * steps if edge_weight is None else edge_weight
    for name, values in (("edge_index", edge_index), ("edge_weight", weights)):
        if not isinstance(values, list | tuple) or len(values) != steps:
            actual = len(values) if isinstance(values, list | tuple) else type(values).__name__
            raise ValueError(f"{CALLER}: expected {steps} of {name}, one per step, got {actual}")
    for step, (edges, weight) in enumerate(zip(edge_index, weights)):
        if (weight is None) != (edge_weight is None):
            raise ValueError(f"{CALLER}: expected an edge_weight at every step or at none, got None at step {step}")
        _check_graph(edges, weight, signal, f" of step {step}")
    return tuple(edge_index), None if edge_weight is None else tuple(edge_weight)


def _check_graph(edges: Any, weight: Any, signal: Tensor, suffix: str) -> None:
    nodes, device = signal.size(1), signal.device
    if not isinstance(edges, Tensor) or edges.dim() != 2 or edges.size(0) != 2 or edges.dtype != torch.long:
        actual = f"{edges.dtype} {tuple(edges.shape)}" if isinstance(edges, Tensor) else type(edges).__name__
        raise ValueError(f"{CALLER}: expected edge_index{suffix} as integers (int64) [2, E], got {actual}")
    if edges.device != device or (isinstance(weight, Tensor) and weight.device != device):
        raise ValueError(f"{CALLER}: expected the graph{suffix} on {device}, as the signal, got another device")
    if edges.numel() and (edges.min() < 0 or edges.max() >= nodes):
        invalid = int(edges.max()) if edges.max() >= nodes else int(edges.min())
        raise ValueError(f"{CALLER}: expected edges between the signal's {nodes} nodes, got node {invalid}{suffix}")
    if weight is None:
        return
    if not isinstance(weight, Tensor) or weight.shape != edges.shape[1:] or not weight.is_floating_point():
        actual = f"{weight.dtype} {tuple(weight.shape)}" if isinstance(weight, Tensor) else type(weight).__name__
        expected = f"edge_weight{suffix} as floats [{edges.size(1)}], one per edge"
        raise ValueError(f"{CALLER}: expected {expected}, got {actual}")
    if not weight.isfinite().all():
        edge = int((~weight.isfinite()).nonzero()[0])
        raise ValueError(f"{CALLER}: expected finite weights{suffix}, got {weight[edge].item()} at edge {edge}")


def checked_times(timestamps: Any, steps: int) -> TimeAxis | None:
    """Return the times of the steps, strictly increasing."""
    if timestamps is None:
        return None
    axis = timestamps if isinstance(timestamps, TimeAxis) else TimeAxis(parse_times(CALLER, timestamps))
    if len(axis) != steps:
        raise ValueError(f"{CALLER}: expected {steps} timestamps, one per step, got {len(axis)}")
    return axis


def checked_names(names: tuple[str, ...] | None, count: int, noun: str) -> tuple[str, ...] | None:
    """Return distinct names, one per node or feature."""
    if names is None:
        return None
    if len(names) != count:
        raise ValueError(f"{CALLER}: expected {count} names of {noun}s, got {len(names)}")
    if len(set(names)) < len(names):
        duplicate = next(name for i, name in enumerate(names) if name in names[:i])
        raise ValueError(f"{CALLER}: expected distinct {noun}s, got {duplicate!r} more than once")
    return names


def checked_positions(positions: Tensor | None, signal: Tensor) -> Tensor | None:
    """Return positions `[N, 2]`."""
    if positions is None:
        return None
    if not isinstance(positions, Tensor) or positions.shape != (signal.size(1), 2) or not positions.isfinite().all():
        actual = tuple(positions.shape) if isinstance(positions, Tensor) else type(positions).__name__
        raise ValueError(f"{CALLER}: expected finite positions [{signal.size(1)}, 2], got {actual}")
    return positions
