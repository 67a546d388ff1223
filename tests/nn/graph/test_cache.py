"""The cache of what is built from tensors."""

import torch

from seqgnn.nn.graph.cache import TensorCache


def test_tensor_cache_evicts_the_oldest_entries():
    memory, tensors = TensorCache(size=2), [torch.zeros(1) for _ in range(3)]
    first = [memory.get((tensor,), (), object) for tensor in tensors]
    assert memory.get((tensors[2],), (), object) is first[2]
    assert memory.get((tensors[0],), (), object) is not first[0]
    assert len(memory._entries) == 2
    assert memory.get((None,), ("x",), object) is memory.get((None,), ("x",), object)


def test_tensor_cache_rebuilds_after_changes_in_place():
    cache, tensor = TensorCache(), torch.zeros(2)
    first = cache.get((tensor,), (), object)
    assert cache.get((tensor,), (), object) is first
    assert cache.get((tensor,), ("other",), object) is not first
    tensor += 1
    assert cache.get((tensor,), (), object) is not first


def test_tensor_cache_stores_nothing_for_tensors_with_gradients():
    cache, tensor = TensorCache(), torch.zeros(2, requires_grad=True)
    assert cache.get((tensor,), (), object) is not cache.get((tensor,), (), object)
    assert not cache._entries


def test_tensor_cache_frees_values_with_their_tensors():
    cache, tensor = TensorCache(), torch.zeros(2)
    cache.get((tensor,), (), object)
    assert len(cache._entries) == 1
    del tensor
    assert not cache._entries
