"""Results remembered by the tensors that they were computed from."""

import contextlib
import functools
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from seqgnn._utils import torch_internals
from seqgnn._utils.torch_internals import is_batched, is_eager

Value = TypeVar("Value")


def durable() -> contextlib.AbstractContextManager[Any]:
    """What is built in here may be kept: under `torch.inference_mode` it could not be used in training later."""
    if not is_eager() or not torch.is_inference_mode_enabled():
        return contextlib.nullcontext()
    contexts = contextlib.ExitStack()
    contexts.enter_context(torch.inference_mode(False))
    contexts.enter_context(torch.no_grad())
    return contexts


class TensorCache:
    """What was built from tensors, kept while those tensors live and are unchanged.

    The key is the tensors' identity, storage, dtype, shape, strides and version counter, which together do not notice
    writes into the same storage through `.data`, numpy or another view without a counter. Nothing is kept for tensors
    that need gradients, for those made under `torch.inference_mode`, which count no versions, for subclasses of
    tensors, whose counters may stand still while what they wrap is written, or inside torch.compile, functorch, tracing
    and forward-mode derivatives. The values must not refer to the tensors, or these would never be freed.
    """

    def __init__(self, size: int = 256) -> None:
        self.size = size
        self._entries: OrderedDict[tuple, tuple[list[tuple], list[weakref.ref], Any]] = OrderedDict()
        self.unlock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.unlock)

    def unlock(self) -> None:
        """A new lock; reentrant, since freeing a tensor calls `_drop`, maybe while this thread is in here."""
        self._lock = threading.RLock()

    def get(self, tensors: tuple[Tensor | None, ...], extra: tuple, build: Callable[[], Value]) -> Value:
        """What was kept under these tensors and `extra`, or else what `build` makes."""
        given = [tensor for tensor in tensors if tensor is not None]
        plain = is_eager() and not torch_internals.forward_ad_active()
        if not plain or not all(map(_counts_versions, given)):
            return build()
        key = (*map(id, tensors), *extra)
        versions = [(t._version, t.data_ptr(), t.dtype, t.shape, t.stride()) for t in given]
        with self._lock:
            # An entry goes when one of its tensors does, so the same id is the same tensor.
            kept = self._entries.get(key)
            if kept is not None and kept[0] == versions:
                self._entries.move_to_end(key)
                return kept[2]
        with durable():
            value = build()
        refs = [weakref.ref(tensor, functools.partial(self._drop, key)) for tensor in given]
        with self._lock:
            self._entries[key] = versions, refs, value
            if len(self._entries) > self.size:
                self._entries.popitem(last=False)
        return value

    def _drop(self, key: tuple, ref: weakref.ref) -> None:
        with self._lock:
            self._entries.pop(key, None)


def _counts_versions(tensor: Tensor) -> bool:
    """True if any change of its values shows in its version counter (but writes through `.data` and numpy)."""
    known = type(tensor) is Tensor or type(tensor) is torch.nn.Parameter
    return known and not (tensor.requires_grad or tensor.is_inference() or is_batched(tensor))


tensor_cache = TensorCache()
