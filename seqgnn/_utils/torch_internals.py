"""Everything that needs private names of torch and PyTorch Geometric, with a fallback to public names.

Either may rename or remove a private name in any release, so each is looked up here and nowhere else. Without one, the
functions below choose the slower path, which is correct, or report the release in an error when they are called.
"""

import copy
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from operator import attrgetter
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
import torch_geometric
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch_geometric.data import Batch, Data
from torch_geometric.nn import MessagePassing


def _private(path: str) -> Any:
    """Return what is at a path in torch, or None if this release does not have it."""
    value: Any = torch
    names = path.split(".")
    for end, name in enumerate(names, start=1):
        if not hasattr(value, name):
            try:
                importlib.import_module(".".join(["torch", *names[:end]]))
            except ImportError:
                return None
        value = getattr(value, name, None)
    return value


_exporting = _private("compiler.is_exporting")
_transforms_active = _private("_C._are_functorch_transforms_active")
_dispatch_modes = _private("_C._len_torch_dispatch_stack")
_is_legacy_batched = _private("_C._functorch.is_legacy_batchedtensor")
_keeps_graph = _private("_C._autograd._get_current_graph_task_keep_graph")
_saving_hooks = _private("_C._autograd._top_saved_tensors_default_hooks")
_compress = _private("_convert_indices_from_coo_to_csr")
_parse = _private("_C._nn._parse_to")
_has_level = hasattr(forward_ad, "_current_level")
_collate_functions = _private("utils.data._utils.collate.default_collate_fn_map")
_half_on_cpu = {
    torch.float16: _private("ops.mkldnn._is_mkldnn_fp16_supported"),
    torch.bfloat16: _private("ops.mkldnn._is_mkldnn_bf16_supported"),
}

# What exported loops over time are made of.
scan_operator = _private("ops.higher_order.scan")
tree_flatten = _private("utils._pytree.tree_flatten")
tree_unflatten = _private("utils._pytree.tree_unflatten")
tree_map = _private("utils._pytree.tree_map")
_fake_mode = _private("_guards.detect_fake_mode")
_tracing_paused = _private("fx.experimental.proxy_tensor.disable_proxy_modes_tracing")
_has_scan = None not in (scan_operator, tree_flatten, tree_unflatten, tree_map, _fake_mode, _tracing_paused)

HAS_VERSIONS = hasattr(Tensor, "_version")
version = attrgetter("_version")  # of a tensor, counting the writes to it
MODULE_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")

MESSAGE_HOOKS = ("_message_forward_pre_hooks", "_message_forward_hooks")
PROPAGATE_HOOKS = (
    *("_propagate_forward_pre_hooks", "_propagate_forward_hooks"),
    *("_aggregate_forward_pre_hooks", "_aggregate_forward_hooks"),
    *MESSAGE_HOOKS,
)
EDGE_MASK = "_edge_mask"  # a mask that an explainer of PyG learns is a parameter of this name
MASK_ATTRIBUTES = (EDGE_MASK, "_loop_mask", "_apply_sigmoid", "explain")
BATCH_ATTRIBUTES = ("_num_graphs", "_slice_dict", "_inc_dict")


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
    return _exporting is not None and _has_scan


def is_dynamic(x: Tensor, dim: int = 0) -> bool:
    """Return True while torch.export traces a program in which an axis, by default that of time, is dynamic."""
    return is_exporting() and exports_scans() and isinstance(x.size(dim), torch.SymInt)


@contextmanager
def untraced(inputs: tuple[Tensor, ...]) -> Iterator[None]:
    """Run a block without adding to the program that torch.export traces.

    Sizes that depend on values, as where self-loops are removed, are determined again when the program is traced.
    """
    mode = _fake_mode(inputs)
    assert mode is not None and mode.shape_env is not None
    with _tracing_paused(), getattr(mode.shape_env, "ignore_fresh_unbacked_symbols", nullcontext)():
        yield


def tree_leaves(value: Any) -> list[Any]:
    """Return the values inside nested tuples, lists and dictionaries, and inside containers registered with torch."""
    if tree_flatten is not None:
        return tree_flatten(value)[0]
    if isinstance(value, dict | list | tuple):
        parts = value.values() if isinstance(value, dict) else value
        return [leaf for part in parts for leaf in tree_leaves(part)]
    return [value]


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


def hooks_see_saved_tensors() -> bool:
    """Return True inside :class:`torch.autograd.graph.saved_tensors_hooks`, as of checkpoints; the fallback is True."""
    return _saving_hooks is None or _saving_hooks(True) is not None


def viewed(tensor: Tensor) -> Tensor:
    """Return the tensor that a view shows a part of; the fallback is the view."""
    base = getattr(tensor, "_base", None)
    return tensor if base is None else base


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


def has_hooks(module: nn.Module, names: tuple[str, ...] = MODULE_HOOKS) -> bool:
    """Return True if a module has hooks of any of these names; the fallback is True."""
    for name in names:  # noqa: SIM110 (each call of a layer is here, and `any` would take twice as long)
        if getattr(module, name, True):
            return True
    return False


def is_parametrized(module: nn.Module) -> bool:
    """Return True if a weight of a module or inside it is parametrized; `Module.modules` takes longer than a cell."""
    children = module._modules if hasattr(module, "_modules") else dict(module.named_children())
    if "parametrizations" in children:
        return True
    return any(is_parametrized(child) for child in children.values() if child is not None)


def without_child(module: nn.Module, child: nn.Module) -> nn.Module:
    """Return a copy of a module without one of its children, for its repr; the fallback is the module itself."""
    if not hasattr(module, "_modules"):
        return module
    duplicate = copy.copy(module)
    duplicate._modules = {name: part for name, part in module._modules.items() if part is not child}
    return duplicate


def register_collate(kind: type, collate: Callable[..., Any]) -> None:
    """Let the default collate function of torch's DataLoader make batches of a class; without it, that raises."""
    if _collate_functions is not None:
        _collate_functions[kind] = collate


def supports_half_on_cpu(dtype: torch.dtype) -> bool:
    """Return True if oneDNN computes in half precision on this CPU; the fallback is False."""
    is_supported = _half_on_cpu[dtype]
    return is_supported is not None and is_supported()


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
    for tensor in tensors:  # noqa: SIM110 (each product is here, and `any` would take twice as long)
        if tensor is not None and is_legacy_batched(tensor):
            return True
    return False


def in_explain_mode(conv: nn.Module) -> bool:
    """Return True if an explainer of PyG masks the messages of a convolution; the fallback is True."""
    return bool(getattr(conv, "explain", True))


class MaskState(NamedTuple):
    """The edge mask on a convolution, the edges that it is for, whether it holds logits, and the mode of the layer."""

    edge_mask: Tensor | None
    loop_mask: Tensor | None
    apply_sigmoid: bool
    explain: bool | None


def edge_mask(conv: nn.Module) -> Tensor | None:
    """Return the mask that an explainer of PyG has put on a convolution; the fallback is None."""
    return getattr(conv, EDGE_MASK, None)


def explain_disabled(conv: nn.Module) -> bool:
    """Return True if a convolution refuses masks (`explain` set to False); the fallback is False."""
    return getattr(conv, "explain", None) is False


def mask_state(conv: nn.Module) -> MaskState:
    """Return the edge mask of a convolution, with what belongs to it.

    Raises:
        NotImplementedError: if PyTorch Geometric stores masks in another way.
    """
    missing = [name for name in MASK_ATTRIBUTES if not hasattr(conv, name)]
    if missing:
        expected = f"a release of PyTorch Geometric with {missing[0]} of MessagePassing"
        raise NotImplementedError(f"{type(conv).__name__}: expected {expected}, got {torch_geometric.__version__}")
    return MaskState(*(getattr(conv, name) for name in MASK_ATTRIBUTES))


def set_mask_state(conv: nn.Module, state: MaskState) -> None:
    """Replace the edge mask of a convolution."""
    if hasattr(conv, EDGE_MASK):
        delattr(conv, EDGE_MASK)  # where a parameter has been, Module would refuse a tensor
    for name, value in zip(MASK_ATTRIBUTES, state):
        setattr(conv, name, value)


def drop_compiled_propagate(kind: Any) -> None:
    """Let a subclass of a layer mask its messages: a parent's compiled `propagate` does not know how to."""
    if _is_compiled(getattr(kind, "_orig_propagate", kind.propagate), kind):
        kind._orig_propagate = MessagePassing.propagate


def overrides_propagate(kind: type[MessagePassing]) -> bool:
    """Return True if a class overrides `propagate`, which PyG does as well, by a compiled one; the fallback is True."""
    return kind.propagate is not MessagePassing.propagate and not _is_compiled(kind.propagate, kind)


def _is_compiled(propagate: Callable[..., Any], kind: type) -> bool:
    """Return True if PyG compiled a `propagate` for a class or a parent, into a module that it names after that."""
    return propagate.__module__ in {f"{base.__module__}_{base.__name__}_propagate" for base in kind.__mro__}


def batch_class(example: Data) -> type | None:
    """Return the class of batches of a class of graphs, or None if :func:`new_batch` does not support this release."""
    batch = Batch.from_data_list([example])
    return type(batch) if all(hasattr(batch, name) for name in BATCH_ATTRIBUTES) else None


def new_batch(
    kind: type, num_graphs: int, slices: dict[str, Tensor], increments: dict[str, Tensor], **tensors: Tensor
) -> Batch:
    """Return a batch of a class of :func:`batch_class` without a loop over graphs; which `Batch.from_data_list` needs.

    Args:
        kind: the class of the batch.
        num_graphs: B.
        slices: where each graph starts and ends in each tensor, ``[B + 1]``.
        increments: what has been added to the values of each graph, ``[B]``.
        tensors: the tensors of all graphs, concatenated.
    """
    batch: Any = type.__call__(kind, **tensors)
    batch._num_graphs, batch._slice_dict, batch._inc_dict = num_graphs, slices, increments
    return batch


def batch_slices(batch: Data) -> dict[str, Tensor]:
    """Return where each graph of a batch starts and ends in each tensor; the fallback is empty."""
    return getattr(batch, "_slice_dict", {})
