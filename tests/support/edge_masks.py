"""Sizes and inputs for tests of edge masks and explainers."""

import torch

T, B, N, F, H = 3, 2, 7, 2, 3
RING = torch.tensor([[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0]])


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)
