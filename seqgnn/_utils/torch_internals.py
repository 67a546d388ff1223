"""Queries that need private names of torch, one function each, with a fallback to public names.

torch may rename or remove a private name in any release. The fallbacks are correct or conservative (they choose the
slower path), and take some ten microseconds longer.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad


def _private(path: str) -> Any:
    """Return a function of torch by its path, or None if this release does not have it."""
    value: Any = torch
    for name in path.split("."):
        value = getattr(value, name, None)
    return value


_exporting = _private("compiler.is_exporting")
_transforms_active = _private("_C._are_functorch_transforms_active")
_dispatch_modes = _private("_C._len_torch_dispatch_stack")
_is_legacy_batched = _private("_C._functorch.is_legacy_batchedtensor")
_keeps_graph = _private("_C._autograd._get_current_graph_task_keep_graph")
_compress = _private("_convert_indices_from_coo_to_csr")
_parse = _private("_C._nn._parse_to")
_has_level = hasattr(forward_ad, "_current_level")

MODULE_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class _NotForTransforms(torch.autograd.Function):
    """A function without `setup_context`, which torch requires only under transforms of torch.func."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x


def is_exporting() -> bool:
    """Return True while torch.export traces; the fallback detects ``strict=False`` only."""
    if _exporting is not None:
        return _exporting()
    return torch.compiler.is_compiling() and not torch.compiler.is_dynamo_compiling()


def exports_scans() -> bool:
    """Return True if this release exports loops over time as scans; up to torch 2.6 the number of steps is fixed."""
    return _exporting is not None


def transforms_active() -> bool:
    """Return True under a transform of torch.func: grad, vmap, jvp, functionalize."""
    if _transforms_active is not None:
        return _transforms_active()
    if torch.compiler.is_compiling():
        return True
    try:
        _NotForTransforms.apply(torch.empty(0))
    except RuntimeError:
        return True
    return False


def dispatch_mode_active() -> bool:
    """Return True under a dispatch mode: fake tensors, make_fx."""
    if _dispatch_modes is not None:
        return _dispatch_modes() > 0
    return type(torch.empty(0)) is not Tensor


def forward_ad_active() -> bool:
    """Return True under forward-mode automatic differentiation."""
    if _has_level:
        return forward_ad._current_level >= 0
    if torch.compiler.is_compiling():
        return True
    zero = torch.zeros(1)
    try:
        forward_ad.make_dual(zero, zero)
    except RuntimeError:  # there is no level
        return False
    return True


def is_legacy_batched(tensor: Tensor) -> bool:
    """Return True if a tensor is batched by `torch.autograd.grad(..., is_grads_batched=True)`."""
    if _is_legacy_batched is not None:
        return _is_legacy_batched(tensor)
    try:
        tensor.data_ptr()
    except RuntimeError:  # it has no storage
        return True
    return False


def keeps_graph() -> bool:
    """Return True if the current backward pass retains its graph (``retain_graph=True``); the fallback is True."""
    return _keeps_graph is None or _keeps_graph()


def row_pointers(row: Tensor, num_rows: int, dtype: torch.dtype) -> Tensor:
    """Return the row pointers of a CSR matrix, `[num_rows + 1]`, from the sorted row indices of its entries."""
    if _compress is not None:
        return _compress(row, num_rows, out_int32=dtype == torch.int32)
    return F.pad(torch.bincount(row, minlength=num_rows).cumsum(0, dtype=dtype), (1, 0))


def parse_to(*args: Any, **kwargs: Any) -> tuple[torch.device | None, torch.dtype | None, bool]:
    """Return device, dtype and `non_blocking` from the arguments of `torch.nn.Module.to`."""
    if _parse is not None:
        return _parse(*args, **kwargs)[:3]
    device = dtype = None
    values = [*args, *(kwargs.get(name) for name in ("device", "dtype", "tensor", "other"))]
    flags = [value for value in values if isinstance(value, bool)]
    for value in values:
        if isinstance(value, Tensor):
            device, dtype = value.device, value.dtype
        elif isinstance(value, torch.dtype):
            dtype = value
        elif value is not None and not isinstance(value, bool):
            device = torch.device(value)
    return device, dtype, kwargs.get("non_blocking", bool(flags) and flags[0])


def to_list(tensor: Tensor) -> Any:
    """Return `tensor.tolist()`; under transforms of torch.func, torch 2.6 supports it for single values only."""
    if not transforms_active():
        return tensor.tolist()
    try:
        return tensor.tolist()
    except RuntimeError:
        return [to_list(part) for part in tensor] if tensor.dim() > 0 else tensor.item()


def has_hooks(module: nn.Module) -> bool:
    """Return True if a module has hooks; the fallback is True."""
    return any(getattr(module, name, True) for name in MODULE_HOOKS)


def is_eager() -> bool:
    """Return False under torch.compile, functorch and tracing, where values cannot be read or tensors cached."""
    if torch.compiler.is_compiling():
        return False
    transformed = transforms_active() or dispatch_mode_active()
    return not transformed and not torch.jit.is_tracing()


def is_readable(tensor: Tensor) -> bool:
    """Return True if the values of a tensor can be read."""
    return is_eager() and not tensor.is_meta


def is_batched(*tensors: Tensor | None) -> bool:
    """Return True if a tensor is batched, as gradients are with `is_grads_batched=True`."""
    return any(tensor is not None and is_legacy_batched(tensor) for tensor in tensors)
