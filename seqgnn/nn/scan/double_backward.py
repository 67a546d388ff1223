"""The double backward of a hand-written backward pass: its gradients by the equations, under autograd."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from seqgnn._utils import torch_internals
from seqgnn._utils.torch_internals import is_batched, is_eager
from seqgnn.nn.scan.functional import State

Scan = Callable[[Sequence[Any]], tuple[Tensor, State]]


def scan_gradients(
    ctx: Any,
    equations: Scan,
    tensors: Sequence[Any],
    grads: Sequence[Tensor | None],
    by_hand: Callable[[Sequence[bool]], Sequence[Tensor | None]],
) -> tuple[Tensor | None, ...]:
    """Return what the backward of a scan's autograd function returns: None for its first argument, then the gradients.

    Args:
        ctx: the context of the function.
        equations: the scan under autograd, of these tensors.
        tensors: the arguments of the function after the first.
        grads: gradients with respect to output and last state.
        by_hand: the hand-written backward pass, of whether each tensor needs a gradient.
    """
    needs_grad = ctx.needs_input_grad[1:]
    given = [grad for grad in grads if grad is not None]
    if not given:
        return (None,) * (1 + len(needs_grad))
    if torch.is_autocast_enabled(device := given[0].device.type):  # it was not in the forward pass
        with torch.autocast(device, enabled=False):
            return scan_gradients(ctx, equations, tensors, grads, by_hand)
    if needs_equations(grads):
        return None, *differentiable_backward(equations, tensors, needs_grad, grads)
    return None, *(grad if needed else None for grad, needed in zip(by_hand(needs_grad), needs_grad))


def needs_equations(grads: Sequence[Tensor | None]) -> bool:
    """Return True if a backward pass is to be differentiated or transformed, which a hand-written one cannot be."""
    transformed = not is_eager() or torch_internals.forward_ad_active() or is_batched(*grads)
    return torch.is_grad_enabled() or transformed


def differentiable_backward(
    scan: Scan, tensors: Sequence[Any], needs_grad: Sequence[bool], grads: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """Return the gradients with respect to the tensors of a scan, which autograd can differentiate.

    They are those of views of the tensors, since one tensor may be computed from another, as a state from the input.

    Args:
        scan: maps the tensors to the output and the last state, under autograd.
        tensors: the tensors, or None.
        needs_grad: which of them need a gradient.
        grads: gradients with respect to output and last state; None stands for zero.
    """
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        tensors = [None if tensor is None else tensor.view_as(tensor) for tensor in tensors]
        output, last = scan(tensors)
    results, grads = zip(*((part, grad) for part, grad in zip((output, *last), grads) if grad is not None))
    inputs = [tensor for tensor, needed in zip(tensors, needs_grad) if needed]
    input_grads = iter(torch.autograd.grad(results, inputs, grads, create_graph=create_graph, allow_unused=True))
    return [next(input_grads) if needed else None for needed in needs_grad]
