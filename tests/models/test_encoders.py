"""Encoders inside models: states, windows, dropout and readouts."""


import pytest
import torch
import torch_geometric.typing
from torch_geometric.data import Batch
from torch_geometric.utils import segment

from seqgnn.data import SequenceGraph, sequence_batch
from seqgnn.data.paths import path_graph
from seqgnn.models import sequence_model as models
from seqgnn.models.options import READOUTS
from seqgnn.nn import GCNLSTM
from tests.support.sequence_models import HOPS, flat, make, ragged


@pytest.mark.parametrize("name", models.NAMES)
@pytest.mark.parametrize("readout", READOUTS)
def test_no_position_sees_its_future(name, readout):
    model = make(name, readout=readout, per_element=True, num_layers=3)
    x = torch.randint(5, (1, 7), generator=torch.Generator().manual_seed(1))
    y = torch.zeros(1, 7).long()
    before = model(sequence_batch(x, y, path_graph(7, hops=HOPS)))[0]
    for t in range(7):
        changed = x.clone()
        changed[0, t] = (changed[0, t] + 1) % 5
        after = model(sequence_batch(changed, y, path_graph(7, hops=HOPS)))[0]
        assert torch.equal(before[:t], after[:t])
        if readout != "max":  # a running maximum may stay
            assert not torch.equal(before[t], after[t])


@pytest.mark.parametrize("name", models.NAMES)
@pytest.mark.parametrize("lengths", [(6, 6, 6), (6, 4, 5), (29, 40, 33)])
def test_state_continues_a_stream_after_a_cut(name, lengths):
    model = make(name, per_element=True)
    generator = torch.Generator().manual_seed(3)
    streams = [torch.randint(5, (n,), generator=generator) for n in lengths]
    batch = lambda parts: Batch.from_data_list([SequenceGraph.from_values(p, hops=HOPS) for p in parts])  # noqa: E731
    whole, end = model(batch(streams))
    first, state = model(batch([s[: n - 3] for s, n in zip(streams, lengths)]))
    second, state = model(batch([s[n - 3 :] for s, n in zip(streams, lengths)]), state)
    whole = whole.split(lengths)
    first, second = first.split([n - 3 for n in lengths]), second.split([3] * len(lengths))
    for all_, a, b in zip(whole, first, second, strict=True):
        torch.testing.assert_close(torch.cat([a, b]), all_, rtol=1e-10, atol=1e-12)
    for a, b in zip(flat(state), flat(end), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", models.NAMES)
def test_stream_read_token_by_token_equals_the_whole(name):
    model = make(name, per_element=True, encoding="embedding")
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(5, (2, 40), generator=generator)  # longer than every state
    whole = model(sequence_batch(ids, ids, path_graph(40, hops=model.hops)))[0].view(2, 40, -1)
    state, one = None, path_graph(1)
    for t in range(40):
        logits, state = model(sequence_batch(ids[:, t : t + 1], ids[:, t : t + 1], one), state)
        torch.testing.assert_close(logits, whole[:, t], rtol=1e-10, atol=1e-12)
    assert all(part.shape[1] == 2 for part in flat(state))


@pytest.mark.parametrize("name", ["gcn", "gcn-residual", "gcn+lstm"])
def test_model_without_state_rejects_one(name):
    model = make(name)
    assert model(Batch.from_data_list(ragged()))[1] is None
    with pytest.raises(ValueError, match="expected no state"):
        model(Batch.from_data_list(ragged()), torch.zeros(1))
    with pytest.raises(ValueError, match=r"expected a state \(older, count\) with \d older of shape \[m, 4, F"):
        make(name, per_element=True)(Batch.from_data_list(ragged()), torch.zeros(1))


def test_dropout_between_gcn_and_lstm():
    batch, seen = Batch.from_data_list(ragged()), []
    model = make("gcn+lstm", dropout=0.5)
    model.encoder.lstm.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    model(batch)
    model(batch)
    assert not torch.equal(*seen)


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "gcn+lstm"])
def test_weight_dropout_drops_the_same_weights_at_every_step(name):
    batch = Batch.from_data_list(ragged())
    model, plain = make(name, num_layers=2, weight_dropout=0.4), make(name, num_layers=2)
    lstm = model.encoder.lstm if name == "gcn+lstm" else model.encoder
    before = {key: value.clone() for key, value in lstm.layer.state_dict().items()}
    assert torch.equal(model.eval()(batch)[0], plain(batch)[0])

    torch.manual_seed(5)
    dropped = model.train()(batch)[0]
    assert all(torch.equal(value, before[key]) for key, value in lstm.layer.state_dict().items())
    torch.manual_seed(5)
    layer = plain.encoder.lstm.layer if name == "gcn+lstm" else plain.encoder.layer
    with torch.no_grad():
        for key, weight in layer.named_parameters():
            if "weight_hh" in key:
                weight.copy_(torch.nn.functional.dropout(weight, 0.4))
    assert torch.equal(dropped, plain(batch)[0])
    assert not torch.equal(dropped, model(batch)[0])

    dropped.sum().backward()
    gradient, weight = lstm.layer.weight_hh_l1.grad, layer.weight_hh_l1
    assert bool((gradient[weight == 0] == 0).all()) and 0.2 < float((weight == 0).double().mean()) < 0.6


def test_window_slides_and_is_zero_before_the_start():
    model = make("gcn-in-lstm", window=3, hops=(1,), per_element=True)
    x = torch.tensor([[1, 4, 2, 3]])
    logits, _ = model(sequence_batch(x, torch.zeros(1, 4).long(), path_graph(4)))
    one_hot = torch.eye(5, dtype=torch.float64)[x[0]]
    zero = torch.zeros(5, dtype=torch.float64)
    signal = torch.stack([torch.stack([one_hot[i] if i >= 0 else zero for i in (t - 2, t - 1, t)]) for t in range(4)])
    layer = GCNLSTM(5, 6, dtype=torch.float64)
    layer.load_state_dict(model.encoder.layer.state_dict())
    output, _ = layer(signal, torch.tensor([[0, 1], [1, 2]]))
    torch.testing.assert_close(logits, model.head(output[:, 2]), rtol=1e-10, atol=1e-12)


def test_window_of_one_equals_the_lstm():
    hybrid, plain = make("gcn-in-lstm", window=1), make("lstm")
    plain.load_state_dict(hybrid.state_dict())
    batch = Batch.from_data_list(ragged())
    torch.testing.assert_close(hybrid(batch)[0], plain(batch)[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("readout", READOUTS)
def test_readouts_equal_a_loop(readout):
    batch = Batch.from_data_list(ragged())
    h = torch.randn(17, 6, generator=torch.Generator().manual_seed(4))
    reduce = {"last": lambda rows: rows[-1], "mean": lambda rows: rows.mean(0), "max": lambda rows: rows.amax(0)}
    pieces = h.split([4, 7, 1, 5])
    expected = torch.stack([reduce[readout](piece) for piece in pieces])
    torch.testing.assert_close(models.Readout(readout, False)(h, batch), expected)
    prefixes = torch.stack([reduce[readout](piece[: t + 1]) for piece in pieces for t in range(len(piece))])
    torch.testing.assert_close(models.Readout(readout, True)(h, batch), prefixes)


@pytest.mark.parametrize("reduce", ["mean", "max"])
def test_segment_with_torch_scatter_equals_without(reduce, monkeypatch):
    pytest.importorskip("torch_scatter")
    assert torch_geometric.typing.WITH_TORCH_SCATTER
    h = torch.randn(17, 6, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    ptr = torch.tensor([0, 4, 11, 12, 17])
    results = []
    for available in (True, False):
        monkeypatch.setattr(torch_geometric.typing, "WITH_TORCH_SCATTER", available)
        leaf = h.clone().requires_grad_()
        result = segment(leaf, ptr, reduce)
        (result * torch.arange(24.0).view(4, 6)).sum().backward()
        results.append((result, leaf.grad))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_residual_gcn_adds_the_convolution():
    model = make("gcn-residual", num_layers=2).double()
    batch = Batch.from_data_list(ragged())
    first, (one, two) = model.encoder.first, model.encoder.layers
    h = first(torch.eye(5, dtype=torch.float64)[batch.x])
    for layer in (one, two):
        operator = torch.zeros(len(h), len(h), dtype=torch.float64)
        source, target = batch.edge_index
        operator[target, source] = 1
        operator += torch.eye(len(h))
        degree = operator.sum(1)
        operator = operator / (degree[:, None] * degree).sqrt()
        h = h + torch.relu(operator @ h @ layer.lin.weight.T + layer.bias)
    torch.testing.assert_close(model.encoder(model.inputs(batch), batch)[0], h)


@pytest.mark.parametrize("name", ["gcn", "gcn-residual", "gcn+lstm"])
def test_backward_edges_with_a_target_per_position_are_rejected(name):
    both_ways = sequence_batch(torch.zeros(2, 4).long(), torch.zeros(2, 4).long(), path_graph(4, directed=False))
    with pytest.raises(ValueError, match=r"expected forward edges .* got 6 others"):
        make(name, per_element=True)(both_ways)
    make(name)(both_ways)


def test_gcn_depends_on_its_receptive_field_only():
    model = make("gcn", hops=(1,), num_layers=2)
    x = torch.zeros(1, 7).long()
    batch = lambda x: sequence_batch(x, torch.zeros(1).long(), path_graph(7))  # noqa: E731
    depends = []
    for t in range(7):
        changed = x.clone()
        changed[0, t] = 1
        depends.append(not torch.equal(model(batch(x))[0], model(batch(changed))[0]))
    assert depends == [False] * 4 + [True] * 3
