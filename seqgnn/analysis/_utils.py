"""Shared helpers: a norm that does not underflow, and a model in evaluation mode with gradients."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def safe_norm(x: Tensor) -> Tensor:
    """Return the Euclidean norm over the last dimension, in float64.

    Entries are divided by the largest before they are squared: squares of entries below 1e-162 would be zero.

    Args:
        x: floating.

    Shapes:
        x ``[..., F]``, result ``[...]``.

    Example:
        >>> import torch
        >>> safe_norm(torch.tensor([3e-200, 4e-200], dtype=torch.float64))
        tensor(5.0000e-200, dtype=torch.float64)
    """
    x = x.double()
    largest = x.abs().amax(-1, keepdim=True)
    largest = largest.masked_fill(largest == 0, 1)
    return largest.squeeze(-1) * (x / largest).norm(dim=-1)


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode (no dropout) with gradients enabled; on exit the modes of all modules are restored.

    cuDNN is disabled, since its recurrent layers have a backward pass in training mode only.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.inference_mode(False), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        for module, training in modes.items():
            module.training = training
