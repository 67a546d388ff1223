"""Memory for what a call keeps."""

import contextlib
import math
import mmap

import torch
from torch import Tensor

LARGE = 1 << 22  # bytes from which on huge pages pay


def buffer(like: Tensor, *shape: int) -> Tensor:
    """An uninitialised tensor of the dtype and device of `like`.

    Memory is handed out page by page, at the first touch, which takes longer than to write to it; so large buffers on
    the CPU ask for huge pages, where the system has them to give.
    """
    size = math.prod(shape) * like.element_size()
    if size < LARGE or like.device.type != "cpu" or not hasattr(mmap, "MADV_HUGEPAGE"):
        return like.new_empty(shape)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # of a kernel without them
        memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=like.dtype).view(shape)
