"""The operators of filters as dense matrices, ours and those of the oracles."""

import torch

from seqgnn.nn import Chebyshev
from tests.support import graph_oracles as og


def matrices(kind, edges, weights, nodes, **more):
    graph = kind.prepare(edges, weights, nodes, **more)
    return torch.stack(kind.basis(torch.eye(nodes, dtype=torch.float64), graph))


def oracle(kind, edges, weights, nodes, batch=None):
    if isinstance(kind, Chebyshev):
        options = {"normalization": kind.normalization, "lambda_max": kind.lambda_max, "batch": batch}
        return torch.stack(og.chebyshev_operators(edges, weights, nodes, kind.K, **options))
    build = og.diffusion_operators if kind.variant == "paper" else og.diffusion_operators_authors
    return torch.stack(build(edges, weights, nodes, kind.K))
