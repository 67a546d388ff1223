"""PyTorch Geometric Temporal's signal iterators as temporal graphs."""

from typing import Any

import torch
from torch import Tensor

from seqgnn._utils.validation import one_of
from seqgnn.data.temporal_graph import TemporalGraph

CALLER = "from_pyg_temporal_signal"


def from_pyg_temporal_signal(
    iterator: Any, *, kind: str = "series", name: str | None = None, units: str | None = None
) -> TemporalGraph:
    """A temporal graph of what PyTorch Geometric Temporal iterates over.

    Its snapshots are windows already: x holds the past of each node, y what comes next.

    - "series" puts the one series together again that windows on a graph that stays were cut from, x `[N, lags]` or
      `[N, F, lags]` and y `[N]` or `[N, horizon]`; every value that two snapshots share is compared. `windows(lags,
      horizon)` of it are the snapshots. Of several features, the steps after the last x are lost, since y has only one.
    - "snapshots" takes each snapshot as one step, with its own graph: x `[N, ...]`, flattened, is the signal, and y the
      target of the step after it, so that `windows(1)` are the snapshots. It suits signals that are not lagged and
      graphs that change. The first step has no target (its mask is False); one more step, of zeros, which no window
      reads, carries the last target.

    Scaling that was fitted over all time by the iterator's maker stays in it.

    Args:
        iterator: with `snapshot_count`, and PyG's `Data` with x, y, edge_index and edge_attr by index.
        kind: "series" or "snapshots".
        name: of the data set.
        units: of what y holds, in words; None: not known.

    Raises:
        ValueError: if it is no such iterator, is empty or heterogeneous, or, for a series, if its graph changes or
            snapshots do not overlap.
    """
    one_of(CALLER, "kind", kind, ("series", "snapshots"))
    snapshots = _snapshots(iterator)
    first = snapshots[0]
    edges: Any = first.edge_index.long()
    weights: Any = None if first.edge_attr is None else first.edge_attr.float()
    stays = all(
        torch.equal(one.edge_index, first.edge_index) and _same(one.edge_attr, first.edge_attr) for one in snapshots
    )
    if kind == "series":
        if not stays:
            hint = "use kind='snapshots' for graphs that change"
            raise ValueError(f"{CALLER}: expected the same graph in all snapshots, got different ones; {hint}")
        return TemporalGraph(_series(snapshots), edges, weights, name=name, units=units)
    x = torch.stack([one.x.float().flatten(1) for one in snapshots])
    y = torch.stack([one.y.float().reshape(len(one.y), -1) for one in snapshots])
    mask = torch.ones(len(x) + 1, x.size(1), dtype=torch.bool)
    mask[0] = False
    if not stays:
        last = snapshots[-1]
        edges = [one.edge_index.long() for one in (*snapshots, last)]
        weights = None if weights is None else [one.edge_attr.float() for one in (*snapshots, last)]
    signal = torch.cat([x, torch.zeros_like(x[:1])])
    targets = torch.cat([y[:1] * 0, y])
    return TemporalGraph(signal, edges, weights, mask=mask, targets=targets, name=name, units=units)


def _snapshots(iterator: Any) -> list[Any]:
    count = getattr(iterator, "snapshot_count", None)
    if not isinstance(count, int) or count < 1:
        found = f"{type(iterator).__name__} of {count} snapshots"
        raise ValueError(f"{CALLER}: expected an iterator over snapshots, not empty, got {found}")
    snapshots = [iterator[i] for i in range(count)]
    for i, one in enumerate(snapshots):
        if any(not isinstance(getattr(one, key, None), Tensor) for key in ("x", "y", "edge_index")):
            raise ValueError(f"{CALLER}: expected x, y and edge_index in every snapshot, got {one} as snapshot {i}")
    return snapshots


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    return one is other if one is None or other is None else torch.equal(one, other)


def _series(snapshots: list[Any]) -> Tensor:
    """The series `[T, N, F]` that windows were cut from."""
    x = torch.stack([one.x.float() for one in snapshots])  # [S, N, (F,) lags]
    y = torch.stack([one.y.float().reshape(len(one.y), -1) for one in snapshots])  # [S, N, horizon]
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
                f"snapshot {i}; kind='snapshots' takes them as they are"
            )
    return series
