"""The Chebyshev filter: batches, and polynomials worked out by hand."""

import pytest
import torch

from seqgnn.nn import Chebyshev
from tests.support.filters import matrices, oracle
from tests.support.oracles import close, tricky_graph

EDGES, WEIGHTS, N = tricky_graph()


@pytest.mark.parametrize("normalization", ["sym", "rw", None])
@pytest.mark.parametrize("lambda_max", [None, 1.7, (1.5, 2.5, 3.0)])
def test_chebyshev_batch_scales_each_graph_separately(normalization, lambda_max):
    kind = Chebyshev(3, normalization, lambda_max)
    edges = torch.cat([EDGES, EDGES.flip(0)[:, :4] + N], dim=1)  # and two nodes without edges
    weights, batch = torch.cat([WEIGHTS, 5 * WEIGHTS[:4]]), torch.tensor([0] * N + [1] * N + [2] * 2)
    whole = matrices(kind, edges, weights, 2 * N + 2, batch=batch)
    assert whole.isfinite().all()
    close(whole, oracle(kind, edges, weights, 2 * N + 2, batch))
    if lambda_max is None:
        close(whole[:, :N, :N], matrices(kind, EDGES, WEIGHTS, N))
        other = matrices(kind, edges, weights, 2 * N + 2, batch=torch.zeros_like(batch))
        assert normalization == "sym" or normalization == "rw" or not torch.allclose(other, whole)


def test_chebyshev_of_two_nodes_equals_hand_values():
    # L = I - A has eigenvalues 0 and 2, so the scaled Laplacian is -A, and T_2 = 2 A^2 - I = I.
    edges = torch.tensor([[0, 1], [1, 0]])
    swap, eye = torch.tensor([[0.0, -1.0], [-1.0, 0.0]]).double(), torch.eye(2).double()
    close(matrices(Chebyshev(3), edges, None, 2), torch.stack([eye, swap, eye]))
    # Of weight 3: L = D - A has entries of 3 on the diagonal, which lambda_max = 6 scales to ones.
    weights = torch.tensor([3.0, 3.0], dtype=torch.float64)
    close(matrices(Chebyshev(2, None, 6.0), edges, weights, 2), torch.stack([eye, swap]))
