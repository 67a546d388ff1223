"""The sparse product: both of its paths, gradients of both factors, types and layouts."""

import warnings

import pytest
import torch
from torch.autograd import forward_ad

from seqgnn.nn.graph.filters import GCN
from seqgnn.nn.graph.operator import Operator
from seqgnn.nn.graph.pattern import Pattern
from tests.support.sparse_products import EDGES, VALUES, close, path, signal  # noqa: F401

DENSE = torch.zeros(5, 5, dtype=torch.float64).index_put_((EDGES[1], EDGES[0]), VALUES, accumulate=True)


def operator(values=VALUES, exact=False):
    return Operator(Pattern(EDGES, 5, False, "source_to_target"), values, exact)


def test_operator_product_and_gradients_equal_dense_matrix():
    x = signal(5, 3)
    y = operator() @ x
    close(y, DENSE @ x)
    up = torch.randn_like(y)
    close(torch.autograd.grad(y, x, up)[0], DENSE.T @ up)


def test_operator_values_pass_gradcheck_and_gradgradcheck():
    values = VALUES.clone().requires_grad_()
    x = signal(5, 3)
    assert torch.autograd.gradcheck(lambda x, v: operator(v) @ x, (x, values))
    assert torch.autograd.gradgradcheck(lambda x, v: operator(v) @ x, (x, values))
    assert torch.autograd.gradgradcheck(lambda x: operator() @ x, (x,))


def test_operator_gradient_is_for_required_inputs_only():
    values = VALUES.clone().requires_grad_()
    x = signal(5, 3, requires_grad=False)
    (operator(values) @ x).sum().backward()
    close(values.grad, x.sum(1)[EDGES[0]])
    assert not (operator() @ x).requires_grad


@pytest.mark.parametrize(
    "make", [lambda x: x.T, lambda x: x[:1].T.expand(5, 3), lambda x: torch.stack([x, x], -1)[..., 0].T]
)
def test_operator_product_of_any_layout_equals_dense(make):
    x = make(signal(3, 5))
    assert x.shape == (5, 3)
    close(operator() @ x, DENSE @ x)
    # An expanded gradient has stride zero.
    leaf = signal(5, 3)
    (operator() @ leaf).sum().backward()
    close(leaf.grad, DENSE.T @ torch.ones(5, 3, dtype=torch.float64))


def test_operator_exact_values_take_dtype_of_x_others_promote():
    for dtype in (torch.float32, torch.float64):
        assert (operator(exact=True) @ signal(5, 2, dtype=dtype)).dtype == dtype
    assert (operator() @ signal(5, 2, dtype=torch.float32)).dtype == torch.float64
    assert (operator(VALUES.float()) @ signal(5, 2)).dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_operator_half_precision_product_is_close(dtype):
    x = signal(5, 2, dtype=dtype)
    y = operator(exact=True) @ x
    assert y.dtype == dtype
    close(y, DENSE @ x.double(), 0.05)
    y.sum().backward()
    close(x.grad, DENSE.T @ torch.ones(5, 2, dtype=torch.float64), 0.05)


def test_operator_under_autocast_returns_float32():
    x = signal(5, 2, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = operator(exact=True) @ x
        z = operator(exact=True) @ x.bfloat16()
    assert y.dtype == z.dtype == torch.float32
    close(y, DENSE @ x.double(), 1e-5)
    close(z, DENSE @ x.bfloat16().double(), 1e-5)


def test_operator_functorch_and_forward_mode_equal_dense():
    x = signal(4, 5, 2, requires_grad=False)
    close(torch.func.vmap(lambda x: operator() @ x)(x), DENSE @ x)
    close(torch.func.grad(lambda x: (operator() @ x).sum())(x[0]), DENSE.T @ torch.ones(5, 2, dtype=torch.float64))
    close(torch.func.jvp(lambda x: operator() @ x, (x[0],), (x[1],))[1], DENSE @ x[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch loads its own scripted derivatives here
        with forward_ad.dual_level():
            y = operator() @ forward_ad.make_dual(x[0], x[1])
            close(forward_ad.unpack_dual(y).tangent, DENSE @ x[1])


def test_operator_first_used_in_inference_mode_can_be_trained():
    used, x = operator(exact=True), signal(5, 2, dtype=torch.float32)
    with torch.inference_mode():
        expected = used @ x
        graph = GCN().prepare(EDGES, num_nodes=5)
        GCN().basis(x, graph)
    for y in (used @ x, GCN().basis(x, graph)[0]):
        (grad,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        grad.sum()
    close(used @ x, expected)


def test_operator_values_grad_with_duplicate_edges_is_exact():
    edges = torch.tensor([[0, 1, 1, 0, 1], [1, 0, 0, 0, 0]])
    dy, x = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[5.0, 6.0], [7.0, 8.0]])
    entries = Operator(Pattern(edges, 2, False, "source_to_target"), torch.ones(5), exact=False)
    assert entries.values_grad(dy, x).tolist() == [39, 23, 23, 17, 23]
