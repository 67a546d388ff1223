"""The sparse product and the prepared graph: every path, both ways back, what is kept and what is not."""

import copy
import gc
import pickle
import threading
import warnings
import weakref

import pytest
import torch
from torch.autograd import forward_ad

from seqgnn.nn.graph import operator as operators
from seqgnn.nn.graph.cache import TensorCache, tensor_cache
from seqgnn.nn.graph.filters import GCN
from seqgnn.nn.graph.operator import Operator
from seqgnn.nn.graph.pattern import Pattern
from seqgnn.nn.graph.prepare import as_graph

EDGES = torch.tensor([[3, 0, 2, 0, 1, 2, 0], [4, 2, 2, 1, 3, 4, 2]])
VALUES = torch.tensor([0.3, -1.7, 0.9, 0.2, 2.5, 1.1, 0.8], dtype=torch.float64)
DENSE = torch.zeros(5, 5, dtype=torch.float64).index_put_((EDGES[1], EDGES[0]), VALUES, accumulate=True)


@pytest.fixture(autouse=True, params=["csr", "gather"])
def path(request, monkeypatch):
    """Everything here holds on both paths of the product."""
    monkeypatch.setattr(operators, "SMALL_PRODUCT", 0 if request.param == "csr" else 2048)
    torch.manual_seed(0)


def operator(values=VALUES, exact=False):
    return Operator(Pattern(EDGES, 5, False, "source_to_target"), values, exact)


def signal(*shape, dtype=torch.float64, requires_grad=True):
    return torch.randn(*shape, dtype=dtype, requires_grad=requires_grad)


def close(a, b, tolerance=1e-12):
    torch.testing.assert_close(a, b.to(a.dtype), rtol=tolerance, atol=tolerance)


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


def test_pattern_shape_does_not_depend_on_values():
    pattern = Pattern(EDGES, 5, True, "source_to_target")
    assert pattern.row.numel() == 7 + 5  # the self-loop keeps its place
    row, col, values = pattern.edges(pattern.entry_weights(VALUES, 1.0))
    assert row.tolist() == [4, 2, 1, 3, 4, 2, 0, 1, 2, 3, 4] and col.tolist() == [3, 0, 0, 1, 2, 0, 0, 1, 2, 3, 4]
    close(values, torch.tensor([0.3, -1.7, 0.2, 2.5, 1.1, 0.8, 1.0, 1.0, 0.9, 1.0, 1.0], dtype=torch.float64))


def test_pattern_last_self_loop_has_the_weight_and_gradient():
    edges = torch.tensor([[1, 0, 1, 1], [1, 1, 1, 1]])
    weight = torch.tensor([5.0, 1.0, 6.0, 7.0], requires_grad=True)
    entries = Pattern(edges, 2, True, "source_to_target").entry_weights(weight, 1.0)
    assert entries.tolist() == [0.0, 1.0, 0.0, 0.0, 1.0, 7.0]
    entries.sum().backward()
    assert weight.grad.tolist() == [0.0, 1.0, 0.0, 1.0]


def test_prepared_graph_moved_pickled_or_copied_is_equal():
    edges = EDGES.clone()
    weight = VALUES.abs()
    graph = GCN().prepare(edges, weight, 5, torch.zeros(5, dtype=torch.long))
    x = signal(5, 2)
    expected = GCN().basis(x, graph)[0]
    for other in (pickle.loads(pickle.dumps(graph)), copy.deepcopy(graph), graph.to("cpu"), graph.to(x)):
        close(GCN().basis(x, other)[0], expected)
        assert other.num_edges == 7 and other.batch.tolist() == [0] * 5
    single = graph.to(torch.float32)
    assert single.edge_weight.dtype == torch.float32 and graph.edge_weight.dtype == torch.float64
    assert GCN().basis(x.float(), single)[0].dtype == torch.float32
    meta = graph.to("meta")
    assert meta.edge_index.is_meta and meta.batch.is_meta and meta.operators[GCN()][0].values.is_meta
    assert GCN("rw").prepare(edges, num_nodes=5).to("meta").edge_weight is None
    assert repr(graph) == "PreparedGraph(num_nodes=5, num_edges=7, filters=[GCN()])"
    with pytest.raises(AttributeError):
        graph.num_nodes = 6
    with pytest.raises(ValueError, match=r"PreparedGraph: expected a floating dtype, got torch.int64"):
        graph.to(torch.long)
    # Nothing that is kept shares memory with the caller's tensors.
    edges.zero_()
    weight.zero_()
    close(GCN().basis(x, graph)[0], expected)


def built(edge_index, edge_weight=None, num_nodes=5, kind=GCN()):  # noqa: B008
    return as_graph("Layer", [kind], edge_index, edge_weight, num_nodes).operators[kind][0]


def test_as_graph_same_tensors_are_built_once():
    edges, weight = EDGES.clone(), VALUES.abs()
    first, weighted = built(edges), built(edges, weight)
    assert built(edges) is first and built(edges, weight) is weighted
    assert first.pattern is weighted.pattern
    assert built(edges, num_nodes=6) is not first
    assert built(edges, kind=GCN("rw")) is not first and built(edges, kind=GCN("rw")).pattern is first.pattern
    assert built(edges.clone()) is not first and built(edges, weight.clone()) is not weighted


def test_as_graph_in_place_changes_are_noticed():
    edges, weight = EDGES.clone(), VALUES.abs()
    first, x = built(edges, weight), torch.eye(5, dtype=torch.float64)
    weight.mul_(torch.arange(1, 8))
    second = built(edges, weight)
    assert second is not first and second.pattern is first.pattern
    close(second @ x, built(edges, weight.clone()) @ x)
    edges[0, 0] = 0
    third = built(edges, weight)
    assert third.pattern is not first.pattern
    close(third @ x, built(edges.clone(), weight.clone()) @ x)
    edges[0, 0] = 9
    with pytest.raises(ValueError, match=r"Layer: expected node indices in 0..4 .* got 0..9"):
        built(edges, weight)


def test_as_graph_shrunk_storage_is_noticed():
    edges, x = EDGES.clone(), torch.eye(5, dtype=torch.float64)
    built(edges, None)
    edges.data = edges.data[:, :3]
    close(built(edges, None) @ x, built(EDGES[:, :3].clone(), None) @ x)
    edges.data = EDGES[:, :2].clone()
    built(edges, None)
    edges.data = edges.data.t()
    close(built(edges, None) @ x, built(EDGES[:, :2].t().clone(), None) @ x)


def test_as_graph_learnable_weights_are_not_cached():
    edges, weight = EDGES.clone(), VALUES.abs().requires_grad_()
    first, second = built(edges, weight), built(edges, weight)
    assert first is not second and first.pattern is second.pattern
    with torch.no_grad():
        assert built(edges, weight) is not built(edges, weight)
    assert built(edges, weight * 1) is not first


def test_as_graph_cache_is_freed_with_its_tensors():
    edges, weight = EDGES.clone(), VALUES.abs()
    alive = weakref.ref(built(edges, weight)), weakref.ref(built(edges).pattern)
    kept = len(tensor_cache._entries)
    assert all(ref() is not None for ref in alive)
    del weight
    gc.collect()
    assert alive[0]() is None and alive[1]() is not None
    del edges
    gc.collect()
    assert alive[1]() is None
    assert len(tensor_cache._entries) < kept


def test_as_graph_inference_tensors_are_not_cached():
    edges = EDGES.clone()
    with torch.inference_mode():
        first = built(edges)
        assert built(edges) is first
        inside = EDGES.clone()
        assert built(inside) is not built(inside)
        edges[0, 0] = 0
        assert built(edges) is not first  # changes are noticed
    assert built(inside) is not built(inside)


def test_as_graph_changed_forward_tangents_are_followed():
    weight, along = torch.rand(7, dtype=torch.float64), torch.zeros(7, dtype=torch.float64)
    filter, x = GCN(None, add_self_loops=False), signal(5, 2)

    def derivative(weight):
        (y,) = filter.basis(x, as_graph("GCN", [filter], EDGES, weight, 5))
        return forward_ad.unpack_dual(y).tangent

    with forward_ad.dual_level():
        dual = forward_ad.make_dual(weight, along)
        assert not derivative(dual).any()
        along[0] = 1  # from 3 to 4
        assert torch.equal(derivative(dual)[4], x[3])


def test_operator_values_grad_with_duplicate_edges_is_exact():
    edges = torch.tensor([[0, 1, 1, 0, 1], [1, 0, 0, 0, 0]])
    dy, x = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[5.0, 6.0], [7.0, 8.0]])
    entries = Operator(Pattern(edges, 2, False, "source_to_target"), torch.ones(5), exact=False)
    assert entries.values_grad(dy, x).tolist() == [39, 23, 23, 17, 23]


def test_tensor_cache_evicts_the_oldest_entries():
    memory, tensors = TensorCache(size=2), [torch.zeros(1) for _ in range(3)]
    first = [memory.get((tensor,), (), object) for tensor in tensors]
    assert memory.get((tensors[2],), (), object) is first[2]
    assert memory.get((tensors[0],), (), object) is not first[0]
    assert len(memory._entries) == 2
    assert memory.get((None,), ("x",), object) is memory.get((None,), ("x",), object)


def test_as_graph_from_many_threads_is_equal():
    edges, results = EDGES.clone(), []
    x = torch.eye(5, dtype=torch.float64)
    threads = [threading.Thread(target=lambda: results.append(built(edges) @ x)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    for result in results:
        close(result, results[0])


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_gcn_filter_on_gpu_equals_cpu(dtype):
    x = signal(5, 3, dtype=dtype)
    graph = GCN().prepare(EDGES, VALUES.abs().to(dtype), 5)
    moved, y = graph.to("cuda"), x.detach().cuda().requires_grad_()
    fresh = GCN().prepare(EDGES.cuda(), VALUES.abs().to("cuda", dtype), 5)
    tolerance = 2 * torch.finfo(dtype).eps * 10
    expected = GCN().basis(x, graph)[0]
    expected.sum().backward()
    for other in (moved, fresh):
        y.grad = None
        (out,) = GCN().basis(y, other)
        out.sum().backward()
        close(out.cpu(), expected, tolerance)
        close(y.grad.cpu(), x.grad, tolerance)
    with pytest.raises(ValueError, match="GCN: expected x on cpu, where the graph is, got cuda:0"):
        GCN().basis(y, graph)
    with pytest.raises(ValueError, match="GCN: expected edge_weight on cuda:0, where edge_index is, got cpu"):
        GCN().prepare(EDGES.cuda(), VALUES)
