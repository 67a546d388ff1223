"""Studies of the runs that comparisons keep: that they measure these very models, and what they refuse."""

import json
import shutil

import pytest
import torch

from seqgnn.analysis import edges_to_last, gradient_flow, influence
from seqgnn.experiments.results.load import load_comparisons
from seqgnn.experiments.runs.config import RunConfig
from seqgnn.experiments.runs.result import RunControl
from seqgnn.experiments.runs.sequence_tasks import SEQUENCE_TASKS
from seqgnn.experiments.trained.checkpoints import load_trained, study_checkpoint
from seqgnn.models.sequence_model import build
from seqgnn.report.gradients import figure, notes
from seqgnn.report.html.page import render
from seqgnn.training.checkpoint import read_checkpoint
from tests.support.comparisons import run_grid
from tests.support.stored_runs import keep, run_of, write_signal

GRID = {"seeds": [3], "steps": 4, "hidden": 5, "batch_size": 4, "progress": False}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    (folder / "verse.txt").write_text("the quick brown fox jumps over the lazy dog. " * 60)
    run_grid("palindromes", models=["lstm", "gcn"], sizes=[8], out=folder, **GRID)
    run_grid("text", models=["gru"], sizes=[6], data=folder / "verse.txt", out=folder, **GRID)
    run_grid("expressions", models=["rnn", "tree-lstm"], sizes=[7], out=folder, **GRID)
    run_grid("trees", models=["gcn"], sizes=[5], out=folder, **GRID)
    return folder


def file_of(folder, task, model):
    """The weights of the only run of a model on a task."""
    for file in (folder / "runs").glob("*.json"):
        config = json.loads(file.read_text())["config"]
        if (config["task"], config.get("model", config.get("baseline"))) == (task, model):
            return file.with_suffix(".safetensors")
    raise AssertionError(task, model)


def labels(found):
    return {name: [curve.label for curve in curves] for name, curves in found.panels.items()}


def test_study_checkpoint_of_run_measures_trained_and_untrained(folder):
    file = file_of(folder, "palindromes", "lstm")
    found = study_checkpoint(file, seeds=[0, 1], batch_size=6)
    rows = ["LSTM", "untrained"]
    assert labels(found) == {"dL/dh": rows, "dL/dc": rows}
    settings = {"task": "palindromes", "length": 8, "checkpoint": str(file), "steps": 4, "batch_size": 6}
    settings["per_element"] = False
    assert found.settings == settings | {"reduce": "norm-of-mean"}
    config = RunConfig.from_dict(json.loads(file.with_suffix(".json").read_text())["config"])
    task = SEQUENCE_TASKS["palindromes"](8, config.hops, None)
    batch = task.draw(6, torch.Generator().manual_seed(1))
    model = config.build(task)
    model.load_state_dict(read_checkpoint(file)[0])
    assert torch.equal(found.panels["dL/dh"][0].norms[1], gradient_flow(model.double(), batch).h[0].flip(0))
    torch.manual_seed(1)
    options = {"init": list(config.init), "forget_bias": config.forget_bias}
    fresh = build("lstm", num_classes=10, num_tokens=10, hidden=5, **options).double()
    assert torch.equal(found.panels["dL/dh"][1].norms[1], gradient_flow(fresh, batch).h[0].flip(0))


def test_study_checkpoint_of_json_and_partial_run_is_equal(folder, tmp_path):
    file = file_of(folder, "palindromes", "lstm")
    by_weights, by_json = (study_checkpoint(file.with_suffix(kind), seeds=[0], batch_size=2)
                           for kind in (".safetensors", ".json"))  # fmt: skip
    assert torch.equal(by_weights.panels["dL/dc"][0].norms, by_json.panels["dL/dc"][0].norms)
    config = RunConfig.from_dict(json.loads(file.with_suffix(".json").read_text())["config"])
    saved = tmp_path / "key.partial"
    config.perform(None, RunControl(folder=saved, save_every=0.0))
    partial = study_checkpoint(saved, seeds=[0], batch_size=2)
    assert torch.equal(partial.panels["dL/dc"][0].norms, by_json.panels["dL/dc"][0].norms)
    assert partial.settings["steps"] == 4


def test_study_checkpoint_of_gnn_measures_influence_only(folder):
    file = file_of(folder, "palindromes", "gcn")
    with pytest.raises(ValueError, match=r"gradients can be measured, got GCN in .*: no recurrence over time; its inf"):
        study_checkpoint(file)
    assert labels(study_checkpoint(file, seeds=[0], measure="influence")) == {"influence": ["GCN", "untrained"]}


def test_study_checkpoint_of_text_run_finds_text_among_texts(folder):
    file = file_of(folder, "text", "gru")
    with pytest.raises(ValueError, match=r"expected the text that .* was trained on, verse\.txt \(.*none such"):
        study_checkpoint(file)
    found = study_checkpoint(file, seeds=[0], batch_size=3, texts=[None, folder / "verse.txt"])
    assert labels(found) == {"dL/dh": ["GRU", "untrained"]} and found.settings["task"] == "text"
    assert found.panels["dL/dh"][0].norms.shape == (1, 6)


def test_study_checkpoint_of_text_measures_the_last_position(folder):
    file = file_of(folder, "text", "gru")
    options = {"seeds": [0], "batch_size": 3, "texts": [folder / "verse.txt"]}
    found = study_checkpoint(file, measure="influence", **options)
    trained = load_trained(file, options["texts"])
    batch = trained.task.draw(3, torch.Generator().manual_seed(0))
    # The model as it is, with an answer at every element, of which `influence` takes the last.
    torch.testing.assert_close(found.panels["influence"][0].norms[0], influence(trained.model.double(), batch))
    said = "Every position has a prediction here; the influence on the one at the last position is measured."
    assert notes(found)[0] == said and found.settings["per_element"] is True
    assert "influence on the prediction at the last position, one seed" in figure(found)._suptitle.get_text()
    flow = study_checkpoint(file, **options)
    of_loss = "Every position has a target here; the loss is that of the last position alone."
    assert notes(flow)[0] == of_loss
    page = render(load_comparisons([folder], [folder / "verse.txt"]).comparisons)
    assert page.count(said) == page.count(of_loss) == 1
    without = study_checkpoint(file_of(folder, "palindromes", "lstm"), seeds=[0], batch_size=3, measure="influence")
    assert not any("Every element" in note for note in notes(without))


def test_study_checkpoint_of_tree_measures_influence_by_edges(folder):
    file = file_of(folder, "expressions", "tree-lstm")
    with pytest.raises(ValueError, match=r"got TreeLSTM in .*: no recurrence over time"):
        study_checkpoint(file)
    found = study_checkpoint(file, seeds=[0], batch_size=4, measure="influence")
    trained = load_trained(file)
    batch = trained.task.draw(4, torch.Generator().manual_seed(0))
    expected = influence(trained.model.double(), batch, edges_to_last(batch))
    assert torch.equal(found.panels["influence"][0].norms[0], expected)
    assert figure(found).axes[0].get_xlabel() == "edges to the last node, the root"
    assert "Distances are edges to the last node, the root; fits start at 0." in notes(found)[0]
    of_steps = study_checkpoint(file_of(folder, "expressions", "rnn"), seeds=[0], batch_size=4)
    assert figure(of_steps).axes[-1].get_xlabel() == "steps back from the last position"


def test_study_checkpoint_of_pooled_gnn_raises_value_error(folder):
    with pytest.raises(ValueError, match=r"got GCN.* in .*: the readout treats all nodes alike"):
        study_checkpoint(file_of(folder, "trees", "gcn"), measure="influence")


def test_study_checkpoint_of_invalid_runs_raises_value_error(folder, tmp_path):
    with pytest.raises(ValueError, match=r"expected the run of a model in .*, got a baseline, 'chance'"):
        study_checkpoint(file_of(folder, "palindromes", "chance").with_suffix(".json"))
    with pytest.raises(ValueError, match=r"expected one run, such as a file in .*runs, got a comparison's folder"):
        study_checkpoint(folder)
    source = write_signal(tmp_path)
    record = keep(run_of(source), source, tmp_path / "forecasts")
    for kind in (".json", ".safetensors"):
        with pytest.raises(ValueError, match=r"expected a run of a sequence task in .*, got one of 'forecast'"):
            study_checkpoint(record.with_suffix(kind))
    lone = tmp_path / "lone.safetensors"
    shutil.copy(file_of(folder, "palindromes", "lstm"), lone)
    with pytest.raises(ValueError, match=r"expected a readable file, got .*lone\.json"):
        study_checkpoint(lone)
    shutil.copy(file_of(folder, "palindromes", "gcn").with_suffix(".json"), tmp_path / "lone.json")
    with pytest.raises(ValueError, match=r"the weights in lone\.safetensors are not those of the run"):
        study_checkpoint(lone)
    shutil.copy(file_of(folder, "palindromes", "gcn").with_suffix(".json"), tmp_path / "bare.json")
    with pytest.raises(ValueError, match=r"expected a readable file, got .*bare\.safetensors"):
        study_checkpoint(tmp_path / "bare.json")
