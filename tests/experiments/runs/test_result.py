"""The weights of a finished run, and their hash."""

import pytest
import torch

from seqgnn.experiments.runs.result import read_weights, weights_hash
from seqgnn.training.checkpoint import write_checkpoint


def test_weights_hash_depends_on_names_and_values_only():
    weights = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(2)}
    turned = {"b": torch.ones(2), "a": torch.arange(6.0).view(2, 3).T.contiguous().T}
    assert weights_hash(weights) == weights_hash(turned)
    assert weights_hash(weights) != weights_hash({"a": weights["a"], "c": weights["b"]})
    assert weights_hash(weights) != weights_hash(weights | {"b": torch.tensor([1.0, 2.0])})


def test_read_weights_of_another_run_raises_value_error(tmp_path):
    weights = {"a": torch.arange(3.0)}
    write_checkpoint(tmp_path / "x.safetensors", weights, {})
    assert torch.equal(read_weights(tmp_path / "x.safetensors", weights_hash(weights))["a"], weights["a"])
    with pytest.raises(ValueError, match=r"the weights in x\.safetensors are not those of the run"):
        read_weights(tmp_path / "x.safetensors", weights_hash({"a": torch.zeros(3)}))
