"""Converters: torch.nn both ways, and PyTorch Geometric Temporal where it is right."""

import sys

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.prune import random_unstructured

from seqgnn.nn import GCNLSTM, GRU, LSTM, RNN, Diffusion, GRUCell, LSTMCell, RNNCell
from seqgnn.nn.convert import from_pyg_temporal, from_torch, to_torch
from tests.support import pages, pyg_temporal
from tests.support.oracles import tricky_graph
from tests.support.paths import ROOT

EDGES, WEIGHTS, N = tricky_graph()
T, F, H = 4, 3, 5
X = torch.randn(T, N, F, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.RNN(F, H, 2, nonlinearity="relu"),
        lambda: nn.LSTM(F, H, 2, bias=False, dropout=0.5, bidirectional=True, dtype=torch.float64),
        lambda: nn.LSTM(F, H, batch_first=True),
        lambda: nn.GRU(F, H).eval(),
        lambda: nn.RNNCell(F, H, nonlinearity="relu"),
        lambda: nn.LSTMCell(F, H, bias=False),
        lambda: nn.GRUCell(F, H),
    ],
)
def test_from_torch_and_to_torch_are_inverse(make):
    plain = make()
    ours = from_torch(plain)
    again = to_torch(ours)
    assert type(again) is type(plain) and repr(again) == repr(plain) and again.training == plain.training
    for module in (ours, again):
        for key, value in plain.state_dict().items():
            assert torch.equal(module.state_dict()[key], value)
    x = X.to(next(plain.parameters()).dtype)
    x = x[0] if isinstance(plain, nn.RNNCellBase) else x
    plain, ours = plain.eval(), ours.eval()
    first = lambda result: result[0] if isinstance(result, tuple) else result  # noqa: E731
    torch.testing.assert_close(first(ours(x)), first(plain(x)))
    next(ours.parameters()).data.zero_()
    assert next(plain.parameters()).abs().sum() > 0  # a copy


def test_to_torch_of_single_bias_equals_layer():
    ours = LSTM(F, H, recurrent_bias=False)
    torch.testing.assert_close(to_torch(ours)(X)[0], ours(X)[0])
    assert {type(to_torch(kind(F, H))) for kind in (RNN, LSTM, GRU, RNNCell, LSTMCell, GRUCell)} == {
        nn.RNN, nn.LSTM, nn.GRU, nn.RNNCell, nn.LSTMCell, nn.GRUCell
    }  # fmt: skip


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: from_torch(nn.Linear(2, 3)), "from_torch: expected one of torch.nn's RNN, .*, got Linear"),
        (lambda: to_torch(nn.LSTM(2, 3)), "to_torch: expected one of seqgnn.nn's RNN, .*, got LSTM"),
        (lambda: to_torch(GCNLSTM(2, 3)), "to_torch: expected .*, got GCNLSTM"),
        (lambda: to_torch(weight_norm(LSTM(2, 3), "weight_hh_l0")), "got weight_hh_l0 computed .*; remove the param"),
        (lambda: to_torch(random_unstructured(GRUCell(2, 3), "weight_ih", 0.5)), "GRUCell .*, got weight_ih computed"),
        (lambda: from_pyg_temporal(nn.LSTM(2, 3)), "from_pyg_temporal: expected the layer to be one of 'GConvLSTM'"),
        (lambda: from_pyg_temporal(type("TGCN", (nn.Module,), {})()), "expected a layer of torch_geometric_temporal"),
    ],
)
def test_converters_invalid_layers_raise_value_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_to_torch_preserves_shared_weights():
    model = nn.Sequential(GRU(4, 4, num_layers=2), GRU(4, 4), nn.Linear(4, 12))
    model[0].weight_hh_l1 = model[0].weight_hh_l0
    model[1].weight_hh_l0 = model[0].weight_hh_l0
    model[2].weight = model[1].weight_ih_l0
    plain, x = to_torch(model), torch.randn(5, 2, 4)
    assert plain[1].weight_hh_l0 is plain[0].weight_hh_l0 is plain[0].weight_hh_l1
    assert plain[2].weight is plain[1].weight_ih_l0 is not model[2].weight
    for part, kept in zip(plain[:2], model[:2]):
        assert torch.equal(part(x)[0], kept(x)[0])


@pytest.fixture(scope="module")
def theirs():
    """Their recurrent layers."""
    return pyg_temporal.load("nn.recurrent")


@pytest.fixture
def double_by_default():
    """Some of their layers begin in the default dtype; the page sets it."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(dtype)


def walk(layer, x, edges, weights, **options):
    """Their layer, called step by step; its states. They would begin in single precision."""
    batched = type(layer).__name__ == "TGCN2"
    shape = (1, N, H) if batched else (N, H)
    state = tuple(torch.zeros(shape, dtype=x.dtype) for _ in range(2 if "LSTM" in type(layer).__name__ else 1))
    outputs = []
    for step in x:
        result = layer(step[None] if batched else step, edges, weights, *state, **options)
        state = result if isinstance(result, tuple) else (result,)
        outputs.append(state[0][0] if batched else state[0])
    return torch.stack(outputs), [part[0] for part in state] if batched else state


@pytest.mark.parametrize("name, options", [
    ("GConvLSTM", {"K": 3}), ("GConvLSTM", {"K": 2, "normalization": "rw"}), ("GConvLSTM", {"K": 2, "bias": False}),
    ("GConvGRU", {"K": 3}), ("GConvGRU", {"K": 2, "bias": False}),
    ("GCLSTM", {"K": 3}), ("GCLSTM", {"K": 2, "bias": False}),
    ("TGCN", {}), ("TGCN", {"improved": True}), ("TGCN2", {"batch_size": 1}),
])  # fmt: skip
def test_from_pyg_temporal_layer_equals_original(theirs, name, options):
    torch.manual_seed(0)
    layer = getattr(theirs, name)(F, H, **options).double()
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -0.5, 0.5)
    ours, x = from_pyg_temporal(layer), X.double()
    for weights in (WEIGHTS,) if options.get("improved") else (WEIGHTS, None):  # PyG improves only what is weighted
        expected, last = walk(layer, x, EDGES, weights)
        output, state = ours(x, EDGES, weights)
        torch.testing.assert_close(output, expected, rtol=1e-6, atol=1e-10)
        for a, b in zip(state if isinstance(state, tuple) else (state,), last, strict=True):
            torch.testing.assert_close(a[0], b, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("normalization", ["sym", "rw", None])
@pytest.mark.parametrize("name", ["GConvLSTM", "GConvGRU", "GCLSTM"])
def test_from_pyg_temporal_lambda_max_equals_original(theirs, name, normalization):
    torch.manual_seed(0)
    layer = getattr(theirs, name)(F, H, K=3, normalization=normalization).double()
    expected, _ = walk(layer, X.double(), EDGES, WEIGHTS, lambda_max=torch.tensor(3.5))
    ours = from_pyg_temporal(layer, lambda_max=3.5)
    torch.testing.assert_close(ours(X.double(), EDGES, WEIGHTS)[0], expected, rtol=1e-6, atol=1e-10)
    assert (from_pyg_temporal(layer)(X.double(), EDGES, WEIGHTS)[0] - expected).abs().max() > 1e-3  # it has an effect


@pytest.mark.parametrize("name, options", [("TGCN", {}), ("DCRNN", {"K": 2})])
def test_from_pyg_temporal_lambda_max_on_other_layers_raises(theirs, name, options):
    message = f"expected lambda_max with one of GConvLSTM, GConvGRU, GCLSTM, got {name}"
    with pytest.raises(ValueError, match=message):
        from_pyg_temporal(getattr(theirs, name)(F, H, **options), lambda_max=2.0)


@pytest.mark.usefixtures("double_by_default")
def test_from_pyg_temporal_dcrnn_without_weights_equals_original(theirs):
    """Without weights and with all degrees alike, and K = 2, nothing of what it gets wrong shows."""
    ring = torch.stack([torch.arange(N), (torch.arange(N) + 1) % N])
    both, x = torch.cat([ring, ring.flip(0)], dim=1), X.double()
    ones, weights = torch.ones(2 * N), torch.linspace(0.5, 2, 2 * N)
    layer = theirs.DCRNN(F, H, K=2)
    with pytest.warns(UserWarning, match="ignores edge weights but for the degrees"):
        ours = from_pyg_temporal(layer)
    expected, last = walk(layer, x, both, ones)
    output, state = ours(x, both)
    torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(state[0], last[0], rtol=1e-10, atol=1e-10)
    batched = theirs.BatchedDCRNN(F, H, K=2)
    layer.load_state_dict(batched.state_dict())
    with pytest.warns(UserWarning, match="ignores edge weights but for the degrees"):
        ours = from_pyg_temporal(layer)
    torch.testing.assert_close(ours(x, both)[0], batched(x[None], both, ones)[0], rtol=1e-10, atol=1e-10)
    assert not torch.allclose(walk(layer, x, both, weights)[0], ours(x, both, weights)[0], atol=1e-3)


def test_pyg_temporal_dconv_differs_from_diffusion_as_documented(theirs):
    """Weights of 1 and 9 leave a node; node 1 receives 1/10 along the one, node 2, which should receive 9/10, as
    much."""
    conv = sys.modules[theirs.DCRNN.__module__].DConv(1, 1, K=2)
    nn.init.zeros_(conv.weight).data[0, 1] = 1
    ring = torch.tensor([[0, 0, 1, 2], [1, 2, 0, 0]])
    x, weights = torch.tensor([[1.0], [0.0], [0.0]]), torch.tensor([1.0, 9.0, 1.0, 1.0])
    torch.testing.assert_close(conv(x, ring, weights)[1:], torch.tensor([[0.1], [0.1]]))
    _, along, _ = Diffusion(2, "authors").basis(x, Diffusion(2, "authors").prepare(ring, weights))
    torch.testing.assert_close(along[1:], torch.tensor([[0.1], [0.9]]))


def test_from_pyg_temporal_tgcn_without_self_loops_raises(theirs):
    with pytest.raises(ValueError, match="expected a TGCN with add_self_loops=True"):
        from_pyg_temporal(theirs.TGCN(F, H, add_self_loops=False))


PAGE = (ROOT / "docs" / "from-pyg-temporal.md").read_text()
SECTIONS = [section for section in PAGE.split("\n## ") if pages.blocks(section, "before")]


@pytest.mark.usefixtures("double_by_default")
@pytest.mark.filterwarnings("ignore:from_pyg_temporal")
@pytest.mark.parametrize("section", SECTIONS, ids=[section.partition("\n")[0] for section in SECTIONS])
def test_docs_from_pyg_temporal_sections_run_and_agree(theirs, section, capsys):
    """A section of the page, read from top to bottom: their loop, our call, and what is said of both."""
    code = pages.setup(PAGE) + "".join(pages.blocks(section, "before", "", "check"))
    exec(code, {"__name__": "__main__"})
    pages.check_promises(code, capsys.readouterr().out)


def test_docs_from_pyg_temporal_lists_all_recurrent_layers(theirs):
    names = {name for name, found in vars(theirs).items() if isinstance(found, type) and issubclass(found, nn.Module)}
    assert names and not [name for name in names if f"`{name}" not in PAGE]
