"""What several measurements share: a norm of very small values, and a model in evaluation mode with gradients."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def safe_norm(x: Tensor) -> Tensor:
    """The Euclidean norm over the last dimension, in float64.

    Entries are divided by the largest before they are squared, since squares of those below 1e-162 would be zero.

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
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Has the model answer as it does when it is scored, without dropout and with gradients; then it is as before.

    Without cuDNN, whose recurrent layers have no gradient unless they are training.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.inference_mode(False), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        for module, training in modes.items():
            module.training = training
