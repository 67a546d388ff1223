"""A cache of results by the tensors that they were computed from."""

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


def persistent_tensors() -> contextlib.AbstractContextManager[Any]:
    """A context outside `torch.inference_mode`, whose tensors could not be cached for training later."""
    if not is_eager() or not torch.is_inference_mode_enabled():
        return contextlib.nullcontext()
    contexts = contextlib.ExitStack()
    contexts.enter_context(torch.inference_mode(False))
    contexts.enter_context(torch.no_grad())
    return contexts


class TensorCache:
    """A cache of values built from tensors, while those tensors live and are unchanged.

    The key is the tensors' identity, storage, dtype, shape, strides and version counter, which together do not notice
    writes into the same storage through `.data`, numpy or another view without a counter. Nothing is cached for tensors
    that need gradients, for those created under `torch.inference_mode`, which count no versions, for subclasses of
    tensors, whose counters may stand still while what they wrap is written, or inside torch.compile, functorch, tracing
    and forward-mode AD. The values must not refer to the tensors, or these would never be freed.
    """

    def __init__(self, size: int = 256) -> None:
        self.size = size
        self._entries: OrderedDict[tuple, tuple[list[tuple], list[weakref.ref], Any]] = OrderedDict()
        self.unlock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.unlock)

    def unlock(self) -> None:
        """Creates the lock; reentrant, since freeing a tensor calls `_drop`, maybe while this thread holds it."""
        self._lock = threading.RLock()

    def get(self, tensors: tuple[Tensor | None, ...], extra: tuple, build: Callable[[], Value]) -> Value:
        """Return the value cached under these tensors and `extra`, or else the result of `build`."""
        present = [tensor for tensor in tensors if tensor is not None]
        plain = is_eager() and not torch_internals.forward_ad_active() and torch_internals.HAS_VERSIONS
        if not plain or not all(map(_counts_versions, present)):
            return build()
        key = (*map(id, tensors), *extra)
        versions = [(torch_internals.version(t), t.data_ptr(), t.dtype, t.shape, t.stride()) for t in present]
        with self._lock:
            # An entry goes when one of its tensors does, so the same id is the same tensor.
            entry = self._entries.get(key)
            if entry is not None and entry[0] == versions:
                self._entries.move_to_end(key)
                return entry[2]
        with persistent_tensors():
            value = build()
        refs = [weakref.ref(tensor, functools.partial(self._drop, key)) for tensor in present]
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
