"""Tensors that batches share, and the copies of them on other devices."""

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

# Each shared tensor with its copies by device.
_copies: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def share(tensor: Tensor) -> Tensor:
    """Return a tensor after its registration as shared by batches, so that :func:`shared_copy` copies it once."""
    _copies[tensor] = {}
    return tensor


def shared_copy(tensor: Tensor, device: torch.device) -> Tensor:
    """Return the single copy on `device` of a shared tensor; any other tensor is returned as it is."""
    copies = _copies.get(tensor)
    if copies is None or (device.type == tensor.device.type and device.index in (None, tensor.device.index)):
        return tensor
    if device not in copies:
        copies[device] = tensor.to(device)
    return copies[device]
