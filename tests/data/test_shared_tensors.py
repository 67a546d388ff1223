"""Tensors that batches share are copied once."""

import torch

from seqgnn.data._shared_tensors import share, shared_copy

META = torch.device("meta")


def test_shared_copy_of_a_shared_tensor_is_one_tensor():
    tensor = share(torch.zeros(3))
    assert shared_copy(tensor, META).is_meta and shared_copy(tensor, META) is shared_copy(tensor, META)
    assert shared_copy(tensor, torch.device("cpu")) is tensor


def test_shared_copy_of_another_tensor_is_that_tensor():
    tensor = torch.zeros(3)
    assert shared_copy(tensor, META) is tensor
