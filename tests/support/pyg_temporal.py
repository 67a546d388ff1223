"""PyTorch Geometric Temporal, where it is installed."""

import importlib
import os
import sys
import types

import pytest


def load(name):
    """A module of theirs; a stub stands for torch_sparse, of which they only name a class. Skips without them, unless
    they are expected."""
    import torch_geometric.typing

    missing = "torch_sparse" not in sys.modules
    if missing:
        stub = types.ModuleType("torch_sparse")
        stub.SparseTensor = torch_geometric.typing.SparseTensor
        sys.modules["torch_sparse"] = stub
    try:
        return importlib.import_module(f"torch_geometric_temporal.{name}")
    except ImportError as error:
        if os.environ.get("SEQGNN_EXPECT_PYG_TEMPORAL"):
            raise
        pytest.skip(f"PyTorch Geometric Temporal is not installed ({error})")
    finally:
        if missing:
            del sys.modules["torch_sparse"]
