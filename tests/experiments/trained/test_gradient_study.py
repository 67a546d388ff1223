"""Studies over models and seeds: that they measure what they say, of which models, and what they find."""

import pytest
import torch

from seqgnn.analysis import gradient_flow, influence
from seqgnn.data import Palindromes, exponential_hops
from seqgnn.experiments.runs.text import load_model, train_text
from seqgnn.experiments.runs.text_config import LoggingConfig, TextRun
from seqgnn.experiments.trained.checkpoints import study_checkpoint
from seqgnn.experiments.trained.gradient_study import study
from seqgnn.models.sequence_model import build
from seqgnn.training.loop import TrainConfig

SMALL = {"length": 9, "hidden": 6, "batch_size": 4, "seeds": [0, 3]}


def labels(found):
    return {name: [curve.label for curve in curves] for name, curves in found.panels.items()}


@pytest.mark.parametrize("reduce", ["norm-of-mean", "mean-of-norms"])
def test_study_gradients_equal_gradient_flow_of_each_seed(reduce):
    found = study(["gru", "gcn+lstm"], forget_bias=[2.0], reduce=reduce, **SMALL)
    names = {"gru": "GRU", "gcn+lstm": "GCN, then LSTM, forget bias 2"}
    assert labels(found) == {"dL/dh": list(names.values()), "dL/dc": [names["gcn+lstm"]]}
    for place, name in enumerate(names):
        for row, seed in enumerate(SMALL["seeds"]):
            torch.manual_seed(seed)
            bias = {"forget_bias": 2.0} if name == "gcn+lstm" else {}
            model = build(name, num_classes=10, num_tokens=10, hidden=6, init="xavier", hops=(1,), **bias).double()
            batch = Palindromes(9).draw(4, torch.Generator().manual_seed(seed))
            flow = gradient_flow(model, batch, reduce)
            assert torch.equal(found.panels["dL/dh"][place].norms[row], flow.h[0].flip(0))
            if name == "gcn+lstm":
                assert torch.equal(found.panels["dL/dc"][0].norms[row], flow.c[0].flip(0))
    assert found.seeds == (0, 3) and found.settings["reduce"] == reduce


def test_study_influence_of_gnns_equals_influence():
    found = study(["lstm", "gcn", "gcn-1hop"], forget_bias=None, measure="influence", init="torch", **SMALL)
    assert labels(found) == {"influence": ["LSTM", "GCN", "GCN, one hop"]}
    hops = exponential_hops(9)
    torch.manual_seed(3)
    model = build("gcn", num_classes=10, num_tokens=10, hidden=6, hops=hops).double()
    batch = Palindromes(9, hops=hops).draw(4, torch.Generator().manual_seed(3))
    assert torch.equal(found.panels["influence"][1].norms[1], influence(model, batch))
    nonzero = found.panels["influence"][2].norms[0] > 0
    assert nonzero.tolist() == [True] * (len(hops) + 1) + [False] * (7 - len(hops))
    assert [curve.endless for curve in found.panels["influence"]] == [True, False, False]


def test_study_lstm_gradient_rises_at_forget_bias_2_and_not_at_1():
    found = study(["lstm"], length=80, hidden=64, batch_size=64, forget_bias=[1.0, 2.0], seeds=[0, 1])
    for first, second in found.panels.values():
        assert all(d.rate < 0.98 and d.r2 > 0.9 and d.rise < 2 for d in first.decays)
        assert all(d.rise > 4 and 0 < d.lowest < 60 for d in second.decays)


def test_study_with_chrono_init_labels_it_without_forget_bias():
    found = study(["lstm", "gru"], init="chrono", forget_bias=None, **SMALL)
    assert labels(found)["dL/dh"] == ["LSTM, chrono", "GRU, chrono"]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"models": ["lstn"]}, "expected model to be one of .*did you mean 'lstm'"),
        ({"models": ["tree-lstm"]}, "expected model to be one of"),
        ({"models": ["gcn"]}, "expected models with states, rnn, lstm, .*got 'gcn'; its influence"),
        ({"models": []}, "expected one or more models and forget biases, each once, got \\[\\]"),
        ({"models": ["rnn", "rnn"]}, "each once, got \\['RNN', 'RNN'\\]"),
        ({"models": ["lstm"], "forget_bias": []}, "expected one or more models and forget biases"),
        ({"forget_bias": [float("nan")]}, "forget_bias: expected a finite number"),
        ({"forget_bias": [1.0], "init": "chrono", "models": ["lstm"]}, "got both"),
        ({"init": "xavir"}, "expected init to be one of .*did you mean 'xavier'"),
        ({"init": "identity"}, "expected init identity on a layer of kind rnn, got it on lstm"),
        ({"task": "trees"}, "expected task to be one of 'palindromes', 'recall'"),
        ({"length": 1}, "expected length to be an integer of at least 2"),
        ({"hidden": 0}, "expected hidden to be an integer of at least 1"),
        ({"batch_size": 0}, "expected batch_size to be an integer of at least 1"),
        ({"seeds": []}, "expected one or more seeds, each once, got \\[\\]"),
        ({"seeds": [1, 1]}, "seeds, each once, got \\[1, 1\\]"),
        ({"seeds": [-1]}, "expected seed to be an integer of at least 0"),
        ({"measure": "gradient"}, "expected measure to be one of .*did you mean 'gradients'"),
        ({"reduce": "mean"}, "expected reduce to be one of 'norm-of-mean', 'mean-of-norms'"),
        ({"device": "nowhere"}, "expected a device that this torch can use"),
    ],
)
def test_study_invalid_options_raise_value_error(options, message):
    with pytest.raises(ValueError, match=message):
        study(**{**SMALL, **options})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    text = folder / "text.txt"
    text.write_text("the quick brown fox jumps over the lazy dog. " * 60)
    train = TrainConfig(
        steps=2, batch_size=4, optimizer="adam", eval_every=2, eval_batch_size=4, monitor="loss", stateful=True
    )
    options = {"hidden": 6, "num_layers": 2}
    run = TextRun(files=(str(text),), length=7, options=options, train=train)
    train_text(run, folder / "run", logging=LoggingConfig(sample_every=0))
    return folder / "run"


def test_study_checkpoint_of_text_run_equals_autograd_gradient(run):
    found = study_checkpoint(run, seeds=[0, 1], batch_size=5)
    rows = ["LSTM, layer 1", "LSTM, layer 2", "untrained, layer 1", "untrained, layer 2"]
    assert labels(found) == {"dL/dh": rows, "dL/dc": rows} and found.settings["steps"] == 2
    model, _, info = load_model(run)
    model = model.double()
    batch = TextRun.from_dict(info["run"]).make_task().draw(5, torch.Generator().manual_seed(1))
    ends = batch.ptr[1:] - 1
    # Nothing but the last state of the top layer goes into the last answer.
    h = model.encoder(model.inputs(batch), batch, None)[0][ends].detach().requires_grad_()
    loss = torch.nn.functional.cross_entropy(model.head(h), batch.y[ends])
    (gradient,) = torch.autograd.grad(loss, h)
    assert found.panels["dL/dh"][1].norms[1, 0].item() == pytest.approx(gradient.mean(0).norm().item(), rel=1e-12)


def test_study_checkpoint_influence_has_one_norm_per_position(run):
    found = study_checkpoint(run / "last.safetensors", seeds=[0], batch_size=5, measure="influence")
    assert labels(found) == {"influence": ["LSTM", "untrained"]}
    assert found.panels["influence"][0].norms.shape == (1, 7)


def test_study_checkpoint_with_missing_or_changed_text_raises(run, tmp_path):
    with pytest.raises(ValueError, match="expected a readable file"):
        study_checkpoint(tmp_path / "none.safetensors")
    text = run.parent / "text.txt"
    kept = text.read_text()
    text.write_text("another text, with capitals: ABC. " * 60)
    with pytest.raises(ValueError, match=r"expected the text that .* was trained on, got one with other characters"):
        study_checkpoint(run)
    text.unlink()
    with pytest.raises(ValueError, match=r"text\.txt"):
        study_checkpoint(run)
    text.write_text(kept)
