"""Conversion of signal iterators of PyTorch Geometric Temporal to temporal graphs."""

from typing import Any

import torch
from torch import Tensor

from seqgnn._utils.validation import one_of
from seqgnn.data.temporal_graph import TemporalGraph

CALLER = "from_pyg_temporal_signal"


def from_pyg_temporal_signal(
    iterator: Any, *, kind: str = "series", name: str | None = None, units: str | None = None
) -> TemporalGraph:
    """Return the temporal graph of a signal iterator of PyTorch Geometric Temporal.

    Its snapshots are windows: x has past values of each node, and y future ones.

    - "series" reconstructs the time series from which windows on a fixed graph were cut, with x `[N, lags]` or
      `[N, F, lags]` and y `[N]` or `[N, horizon]`; values in several snapshots must agree. Its `windows(lags, horizon)`
      are the snapshots. With several features, steps after the last x are lost, since y has only one feature.
    - "snapshots" makes each snapshot one time step with its own graph: x `[N, ...]`, flattened, is the signal, and y
      the target of the next step, so that `windows(1)` are the snapshots. Use it for signals without lags and for
      graphs that change. The first step has no target (its mask is False). The last target belongs to an additional
      step of zeros, which is no window's input.

    Scaling that was fitted over all steps by the authors of the data is not undone.

    Args:
        iterator: has `snapshot_count`, and PyG's `Data` with x, y, edge_index and edge_attr by index.
        kind: "series" or "snapshots".
        name: name of the data set.
        units: units of y, in words; None: unknown.

    Raises:
        ValueError: if it is not such an iterator, is empty or heterogeneous, or, for a series, if its graph changes or
            snapshots do not overlap.
    """
    one_of(CALLER, "kind", kind, ("series", "snapshots"))
    snapshots = _snapshots(iterator)
    first = snapshots[0]
    edges: Any = first.edge_index.long()
    weights: Any = None if first.edge_attr is None else first.edge_attr.float()
    is_static = all(
        torch.equal(snapshot.edge_index, first.edge_index) and _equal(snapshot.edge_attr, first.edge_attr)
        for snapshot in snapshots
    )
    if kind == "series":
        if not is_static:
            hint = "use kind='snapshots' for graphs that change"
            raise ValueError(f"{CALLER}: expected the same graph in all snapshots, got different ones; {hint}")
        return TemporalGraph(_series(snapshots), edges, weights, name=name, units=units)
    x = torch.stack([snapshot.x.float().flatten(1) for snapshot in snapshots])
    y = torch.stack([snapshot.y.float().reshape(len(snapshot.y), -1) for snapshot in snapshots])
    mask = torch.ones(len(x) + 1, x.size(1), dtype=torch.bool)
    mask[0] = False
    if not is_static:
        last = snapshots[-1]
        edges = [snapshot.edge_index.long() for snapshot in (*snapshots, last)]
        weights = None if weights is None else [snapshot.edge_attr.float() for snapshot in (*snapshots, last)]
    signal = torch.cat([x, torch.zeros_like(x[:1])])
    targets = torch.cat([y[:1] * 0, y])
    return TemporalGraph(signal, edges, weights, mask=mask, targets=targets, name=name, units=units)


def _snapshots(iterator: Any) -> list[Any]:
    count = getattr(iterator, "snapshot_count", None)
    if not isinstance(count, int) or count < 1:
        actual = f"{type(iterator).__name__} of {count} snapshots"
        raise ValueError(f"{CALLER}: expected an iterator over snapshots, not empty, got {actual}")
    snapshots = [iterator[i] for i in range(count)]
    for i, snapshot in enumerate(snapshots):
        if any(not isinstance(getattr(snapshot, key, None), Tensor) for key in ("x", "y", "edge_index")):
            actual = f"{snapshot} as snapshot {i}"
            raise ValueError(f"{CALLER}: expected x, y and edge_index in every snapshot, got {actual}")
    return snapshots


def _equal(first: Tensor | None, second: Tensor | None) -> bool:
    return first is second if first is None or second is None else torch.equal(first, second)


def _series(snapshots: list[Any]) -> Tensor:
    """Return the time series `[T, N, F]` from which the windows were cut."""
    x = torch.stack([snapshot.x.float() for snapshot in snapshots])  # [S, N, (F,) lags]
    y = torch.stack([snapshot.y.float().reshape(len(snapshot.y), -1) for snapshot in snapshots])  # [S, N, horizon]
    if x.dim() not in (3, 4):
        raise ValueError(f"{CALLER}: expected x [N, lags] or [N, F, lags] for a series, got {list(x.shape[1:])}")
    x = x.view(*x.shape[:2], -1, x.size(-1))
    series = torch.cat([x[0].movedim(-1, 0), x[1:, ..., -1]])  # [S + lags - 1, N, F]
    if series.size(2) == 1:
        series = torch.cat([series, y[-1].T[..., None]])
    lags = x.size(-1)
    for i, (past, future) in enumerate(zip(x, y)):
        known = series[i + lags : i + lags + future.size(1), :, 0]
        if not torch.equal(past.movedim(-1, 0), series[i : i + lags]) or not torch.equal(future.T[: len(known)], known):
            raise ValueError(
                f"{CALLER}: expected each snapshot to continue the previous one by one step, got a different one at "
                f"snapshot {i}; use kind='snapshots' for independent snapshots"
            )
    return series
