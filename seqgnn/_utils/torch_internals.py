"""What only private names of torch tell, one function each; where torch lacks the name, public ones tell it.

torch may rename or drop a private name in any release. The answers then stay right, or err on the side of what is
slower, and an answer takes some ten microseconds longer.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad


def _private(path: str) -> Any:
    """A function of torch by its path, None where this release has none of that name."""
    found: Any = torch
    for name in path.split("."):
        found = getattr(found, name, None)
    return found


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
    """Without `setup_context`, which torch asks for under the transforms of torch.func and nowhere else."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x


def is_exporting() -> bool:
    """True while torch.export traces; where torch does not tell, with ``strict=False`` alone."""
    if _exporting is not None:
        return _exporting()
    return torch.compiler.is_compiling() and not torch.compiler.is_dynamo_compiling()


def exports_scans() -> bool:
    """Whether this release exports loops over time as scans; up to torch 2.6 a program has a fixed number of steps."""
    return _exporting is not None


def transforms_active() -> bool:
    """Whether a transform of torch.func is at work: grad, vmap, jvp, functionalize."""
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
    """Whether a dispatch mode sees every operation: fake tensors, make_fx."""
    if _dispatch_modes is not None:
        return _dispatch_modes() > 0
    return type(torch.empty(0)) is not Tensor


def forward_ad_active() -> bool:
    """Whether forward-mode derivatives are computed."""
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
    """Whether a tensor stands for many, as those of `torch.autograd.grad(..., is_grads_batched=True)` do."""
    if _is_legacy_batched is not None:
        return _is_legacy_batched(tensor)
    try:
        tensor.data_ptr()
    except RuntimeError:  # it has no storage
        return True
    return False


def keeps_graph() -> bool:
    """Whether the backward pass under way may be run again (``retain_graph=True``); so where torch does not tell."""
    return _keeps_graph is None or _keeps_graph()


def row_pointers(row: Tensor, num_rows: int, dtype: torch.dtype) -> Tensor:
    """Where each row of a CSR matrix begins, `[num_rows + 1]`, from the sorted rows of its entries."""
    if _compress is not None:
        return _compress(row, num_rows, out_int32=dtype == torch.int32)
    return F.pad(torch.bincount(row, minlength=num_rows).cumsum(0, dtype=dtype), (1, 0))


def parse_to(*args: Any, **kwargs: Any) -> tuple[torch.device | None, torch.dtype | None, bool]:
    """Device, dtype and `non_blocking` of the arguments of `torch.nn.Module.to`."""
    if _parse is not None:
        return _parse(*args, **kwargs)[:3]
    device = dtype = None
    given = [*args, *(kwargs.get(name) for name in ("device", "dtype", "tensor", "other"))]
    flags = [value for value in given if isinstance(value, bool)]
    for value in given:
        if isinstance(value, Tensor):
            device, dtype = value.device, value.dtype
        elif isinstance(value, torch.dtype):
            dtype = value
        elif value is not None and not isinstance(value, bool):
            device = torch.device(value)
    return device, dtype, kwargs.get("non_blocking", bool(flags) and flags[0])


def to_list(tensor: Tensor) -> Any:
    """`tensor.tolist()`, under transforms of torch.func as well, where torch 2.6 reads no tensor of several values."""
    if not transforms_active():
        return tensor.tolist()
    try:
        return tensor.tolist()
    except RuntimeError:
        return [to_list(part) for part in tensor] if tensor.dim() > 0 else tensor.item()


def has_hooks(module: nn.Module) -> bool:
    """Whether a module was given hooks; so where torch does not tell."""
    return any(getattr(module, name, True) for name in MODULE_HOOKS)



def is_eager() -> bool:
    """False in torch.compile, functorch and tracing, where values cannot be looked at nor tensors be remembered."""
    if torch.compiler.is_compiling():
        return False
    transformed = transforms_active() or dispatch_mode_active()
    return not transformed and not torch.jit.is_tracing()


def is_readable(tensor: Tensor) -> bool:
    """True if the values of a tensor can be looked at."""
    return is_eager() and not tensor.is_meta


def is_batched(*tensors: Tensor | None) -> bool:
    """True if one of them is many at once, as gradients are with `is_grads_batched=True`."""
    return any(tensor is not None and is_legacy_batched(tensor) for tensor in tensors)
