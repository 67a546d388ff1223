"""One battery over all models: dependence on positions, independence of batch mates, options and errors."""

import copy

import pytest
import torch
from torch_geometric.data import Batch

from seqgnn.data import ExpressionTrees, Palindromes, SequenceGraph, sequence_batch, to_padded
from seqgnn.data.paths import path_graph
from seqgnn.models import sequence_model as models
from seqgnn.models.options import READOUTS
from tests.support.sequence_models import HOPS, make, ragged


@pytest.mark.parametrize("name", models.NAMES)
@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("per_element", [False, True])
@pytest.mark.parametrize("positions", [False, True])
def test_batched_sequences_equal_single_ones(name, readout, per_element, positions):
    model = make(name, readout=readout, per_element=per_element, positions=positions, encoding="embedding")
    samples = ragged()
    together = model(Batch.from_data_list(samples))[0]
    alone = torch.cat([model(Batch.from_data_list([sample]))[0] for sample in samples])
    assert together.shape == (17 if per_element else 4, 3)
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", models.NAMES)
def test_last_position_depends_on_the_first(name):
    x = torch.randint(5, (1, 7), generator=torch.Generator().manual_seed(2))
    batch = lambda x: sequence_batch(x, torch.zeros(1).long(), path_graph(7, hops=HOPS))  # noqa: E731
    changed = x.clone()
    changed[0, 0] = (changed[0, 0] + 1) % 5
    model = make(name)
    assert not torch.equal(model(batch(x))[0], model(batch(changed))[0])


def test_dropout_is_on_all_non_recurrent_connections():
    batch = Batch.from_data_list(ragged())
    model = make("lstm", encoding="embedding", num_layers=2, dropout=0.5)
    seen = {}
    model.encoder.register_forward_pre_hook(lambda module, inputs: seen.update(encoder=inputs[0]))
    model.head.register_forward_pre_hook(lambda module, inputs: seen.update(head=inputs[0]))
    model(batch)
    assert all(0.2 < float((x == 0).double().mean()) < 0.8 for x in seen.values())
    model.eval()
    model(batch)
    assert not any(bool((x == 0).any()) for x in seen.values())


def test_tree_lstm_depends_on_the_tree():
    task = ExpressionTrees(7)
    model = models.build("tree-lstm", num_classes=10, num_tokens=12, hidden=16)
    samples = task.draw(16, torch.Generator().manual_seed(0))
    together, state = model(samples)
    assert state is None and together.shape == (16, 10)
    torch.testing.assert_close(together, torch.cat([model(sample)[0] for sample in samples.to_data_list()]))
    assert not torch.allclose(model(six_before(samples[0]))[0], together[:1])
    with pytest.raises(ValueError, match="TreeEncoder: state is not supported"):
        model(samples, torch.zeros(1))
    with pytest.raises(ValueError, match="'tree-lstm' has one layer, got num_layers=2"):
        models.build("tree-lstm", num_classes=10, num_tokens=12, num_layers=2)
    both_ways = samples.clone()
    both_ways.edge_index = torch.cat([samples.edge_index, samples.edge_index.flip(0)], dim=1)
    with pytest.raises(ValueError, match="TreeLSTM: expected a graph without cycles"):
        model(both_ways)


def six_before(sample):
    """The same tokens and another tree: a chain."""
    sample = sample.clone()
    sample.edge_index = torch.stack([torch.arange(6), torch.arange(1, 7)])
    return sample


@pytest.mark.parametrize("name", models.NAMES)
def test_tied_weights_start_near_uniform_predictions(name):
    torch.manual_seed(0)
    sizes = {"num_classes": 50, "num_tokens": 50, "hidden": 64, "hops": HOPS, "per_element": True}
    model = models.build(name, **sizes, encoding="embedding", tie_weights=True)
    x = torch.randint(50, (8, 20))
    logits = model(sequence_batch(x, x, path_graph(20, hops=model.hops)))[0]
    loss = torch.nn.functional.cross_entropy(logits, torch.randint(50, (160,)))
    assert loss.item() < 1.5 * torch.tensor(50.0).log().item()


def test_sequence_model_tied_weights_are_one_matrix():
    tied = models.build("gru", num_classes=5, num_tokens=5, hidden=6, encoding="embedding", tie_weights=True)
    assert tied.head.weight is tied.inputs.table.weight
    untied = models.build("gru", num_classes=5, num_tokens=5, hidden=6, encoding="embedding")
    assert untied.num_parameters == tied.num_parameters + 30
    with pytest.raises(ValueError, match="tie_weights needs encoding='embedding'"):
        models.build("gru", num_classes=5, num_tokens=5, tie_weights=True)


@pytest.mark.parametrize("name", models.NAMES)
@pytest.mark.parametrize("target", [3000, 20000, 70001])
def test_build_with_parameters_is_within_five_percent(name, target):
    model = models.build(name, num_classes=10, num_tokens=10, parameters=target, hops=(1, 2, 4, 8))
    assert abs(model.num_parameters - target) <= 0.047 * target
    assert model.num_parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", models.NAMES)
def test_sequence_model_on_features_is_copied_and_near_in_bf16(name):
    model = models.build(name, num_classes=2, num_features=2, hidden=8, length=5, directed=False, readout="mean")
    x = torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(5))
    batch = sequence_batch(x, torch.tensor([0, 1, 1]), path_graph(5, directed=False))
    logits = model(batch)[0]
    assert torch.equal(copy.deepcopy(model)(batch)[0], logits)
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(model(batch)[0].float(), logits, rtol=0, atol=5e-2)


def test_build_passes_options_to_the_layers():
    model = make("lstm", num_layers=2, dropout=0.5, init="orthogonal", forget_bias=1.0)
    assert model.encoder.layer.num_layers == 2 and model.encoder.layer.dropout == 0.5
    assert len(make("gcn").encoder.layers) == 3 and len(make("gcn", num_layers=5).encoder.layers) == 5
    assert repr(model.readout) == "Readout('last', per_element=False)"
    # Positions distinguish equal tokens; without them the inner nodes of a path of one digit are all alike.
    x = torch.zeros(1, 7).long()
    batch = sequence_batch(x, x, path_graph(7, hops=(1,)))
    rows = make("gcn", hops=(1,), per_element=True)(batch)[0]
    torch.testing.assert_close(rows[3], rows[5])
    rows = make("gcn", hops=(1,), per_element=True, positions=True)(batch)[0]
    assert not torch.allclose(rows[3], rows[5])


def test_build_of_every_name_fits_palindromes():
    task = Palindromes(8, hops=HOPS)
    batch = task.draw(16, torch.Generator().manual_seed(0))
    padded, lengths = to_padded(batch)
    assert padded.shape == (7, 16) and lengths.tolist() == [7] * 16
    for name in models.NAMES:
        model = models.build(name, num_classes=task.num_classes, num_tokens=task.num_tokens, hops=task.hops)
        assert model(batch)[0].shape == (16, 10)


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("lsmt", {}, "expected model to be one of .* did you mean 'lstm'"),
        ("rnn", {"readout": "first"}, "expected readout .* got 'first'"),
        ("rnn", {"encoding": "onehot"}, "expected encoding .* did you mean 'one-hot'"),
        ("rnn", {"num_features": 3}, "expected num_tokens or num_features, got 5 and 3"),
        ("rnn", {"num_tokens": None}, "expected num_tokens or num_features, got None and None"),
        ("rnn", {"hidden": 0}, "expected hidden to be an integer of at least 1, got 0"),
        ("gcn-in-lstm", {"window": -1}, "expected window .* got -1"),
        ("rnn", {"dropout": 1.0}, "expected dropout in \\[0, 1\\), got 1.0"),
        ("gru", {"weight_dropout": 1.0}, "expected weight_dropout in \\[0, 1\\), got 1.0"),
        ("gcn-in-lstm", {"weight_dropout": 0.1}, "weight_dropout is not supported by"),
        ("gcn", {"per_element": True, "directed": False}, "expected a directed graph with one target per position"),
        ("gcn", {"positions": True, "length": None}, "expected length with positions=True"),
        ("gcn", {"init": "orthogonal"}, r"init is not supported by 'gcn' \(only rnn, lstm, gru, mingru, .*gcn-in"),
        ("tree-lstm", {"forget_bias": 1.0, "num_layers": 1}, "forget_bias is not supported by 'tree-lstm'"),
        ("gru", {"forget_bias": 1.0}, "GRU: expected init forget_bias"),
        ("lstm", {"parameters": 10}, "expected parameters that 'lstm' can have, such as .* with hidden=1, got 10"),
        ("gcn", {"hops": ()}, "path_graph: expected hops"),
        ("gcn", {"hops": None, "length": None}, "expected num_layers, hops or length for 'gcn'"),
        ("gcn-in-lstm", {"hops": (4, 8)}, "expected a hop below the window of 4, got hops=\\(4, 8\\)"),
        ("rnn", {"num_tokens": None, "num_features": 2, "encoding": "embedding"}, "is not supported for features"),
    ],
)
def test_build_invalid_options_raise_value_error(name, options, message):
    with pytest.raises(ValueError, match=message):
        make(name, **options)


def test_state_with_positions_or_other_readouts_is_rejected():
    batch = Batch.from_data_list(ragged())
    for options in ({"readout": "mean"}, {"readout": "max"}, {"positions": True}):
        model = make("lstm", per_element=True, **options)
        _, state = model(batch)
        with pytest.raises(ValueError, match="state is not supported with positions or readout"):
            model(batch, state)


def test_default_hops_cover_the_whole_sequence():
    assert len(models.build("gcn", num_classes=3, num_tokens=5, length=20).encoder.layers) == 5
    assert make("gcn-in-lstm", hops=None).encoder.edge_index.tolist() == [[0, 1, 2], [1, 2, 3]]


def test_sequence_model_of_one_sample_equals_batch_of_one():
    for name in models.NAMES:
        model, sample = make(name), ragged()[1]
        assert torch.equal(model(sample)[0], model(Batch.from_data_list([sample]))[0])


def test_wrong_inputs_are_rejected():
    with pytest.raises(ValueError, match="Inputs: expected ids x between 0 and 4, got 7 to 9"):
        make("rnn")(SequenceGraph.from_values([7, 9]))
    with pytest.raises(ValueError, match="Inputs: expected at most 7 positions, as in `length`, got 8"):
        make("rnn", positions=True)(SequenceGraph.from_values([1] * 8))
    with pytest.raises(ValueError, match="SequenceModel: expected a batch on the model's device meta, got cpu"):
        make("gcn").to("meta")(SequenceGraph.from_values([1] * 8))
    with pytest.raises(ValueError, match="GCNInGates: expected a state"):
        make("gcn-in-lstm")(SequenceGraph.from_values([1] * 8), torch.zeros(1))
    nothing = SequenceGraph(x=torch.empty(0).long(), edge_index=torch.empty(2, 0).long(), y=torch.zeros(1).long())
    for name in models.NAMES:
        with pytest.raises(ValueError, match="expected sequences of at least one position"):
            make(name)(Batch.from_data_list([ragged()[0], nothing]))
    ids = Batch.from_data_list(ragged())
    features = Batch.from_data_list([SequenceGraph.from_values([[1.0, 2.0]])])
    with pytest.raises(ValueError, match=r"Inputs: expected integer ids x of shape .* got torch.float32 \(1, 2\)"):
        make("rnn")(features)
    with pytest.raises(ValueError, match=r"Inputs: expected x of shape \[sum L, 3\], got \(1, 2\)"):
        make("rnn", num_tokens=None, num_features=3)(features)
    with pytest.raises(ValueError, match=r"Inputs: expected x of shape \[sum L, 3\], got \(17,\)"):
        make("rnn", num_tokens=None, num_features=3)(ids)


@pytest.mark.gpu
@pytest.mark.parametrize("name", models.NAMES)
@pytest.mark.parametrize("readout", READOUTS)
def test_sequence_model_on_gpu_equals_cpu(name, readout):
    model = make(name, readout=readout)
    expected = model(Batch.from_data_list(ragged()))[0]
    actual = model.cuda()(Batch.from_data_list(ragged()).to("cuda"))[0]
    torch.testing.assert_close(actual.cpu(), expected, rtol=1e-8, atol=1e-10)
