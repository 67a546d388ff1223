"""Buffers that a layer's next call can use again: the system takes a third of a training step to provide new pages."""

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from seqgnn._utils import torch_internals
from seqgnn.nn.scan.cpp import library

LIMIT = 2**29  # bytes that a layer keeps, in each direction
NUM_KEPT = 4  # buffers


class BufferPool:
    """The buffers of a layer, in one direction, that are free."""

    def __init__(self) -> None:
        self.free: dict[int, Tensor] = {}  # by identity, the oldest first; threads share it without a lock

    def take(self, size: int, exact: bool = False) -> Tensor:
        """Return a free buffer of `size` bytes, or unless `exact` of up to twice as many, or a new one of `size`."""
        most = size if exact else 2 * size
        fitting = [buffer for buffer in list(self.free.values()) if size <= buffer.numel() <= most]
        for buffer in sorted(fitting, key=Tensor.numel):
            if self.free.pop(id(buffer), None) is not None:
                return buffer
        return library.empty((size,), torch.uint8)

    def give(self, buffer: Tensor) -> None:
        """Keep a buffer; the oldest are dropped if there are too many."""
        self.free[id(buffer)] = buffer
        for key in list(self.free):
            if len(self.free) > NUM_KEPT or self.size > LIMIT:
                self.free.pop(key, None)

    @property
    def size(self) -> int:
        return sum(buffer.numel() for buffer in list(self.free.values()))


_pools: WeakIdKeyDictionary = WeakIdKeyDictionary()


def pool_of(weight: Tensor) -> BufferPool:
    """Return the pool of a weight, or of the weight that it is a view of; the pool ends with it."""
    weight = torch_internals.viewed(weight)
    pool = _pools.get(weight)
    if pool is None:
        pool = _pools[weight] = BufferPool()
    return pool


def share_pool(weight: Tensor, copy: Tensor) -> None:
    """Let a copy of a weight, in another dtype, use the pool of the weight."""
    if copy is not weight:
        _pools[copy] = pool_of(weight)
