"""Edges of sequences as paths: steps to the next position, and longer hops."""

import torch
from torch import Tensor


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


def _check_path(caller: str, length: int, hops: tuple[int, ...]) -> tuple[int, ...]:
    if not _is_integer(length) or length < 1:
        raise ValueError(f"{caller}: expected length to be an integer of at least 1, got {length!r}")
    if not isinstance(hops, tuple | list) or not hops or not all(_is_integer(h) and h >= 1 for h in hops):
        raise ValueError(f"{caller}: expected hops to be integers of at least 1, got {hops!r}")
    return tuple(sorted(set(hops)))


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
