"""Models of a comparison, by name or user-defined."""

from dataclasses import asdict

import pytest

from seqgnn.experiments import MODEL_SPECS, ModelSpec
from seqgnn.experiments.grid.specs import HEADLINE, RunTemplate, check_labels, choose_specs
from seqgnn.experiments.runs.sequence_tasks import SEQUENCE_TASKS
from seqgnn.models import sequence_model as models
from seqgnn.training.config import TrainConfig


def test_model_specs_cover_every_model():
    assert {asdict(row)["model"] for row in MODEL_SPECS.values()} == {*models.NAMES, *models.TREES}


def test_model_specs_have_the_weights_and_gates_of_the_reports():
    recurrent = {name: spec for name, spec in MODEL_SPECS.items() if models.FAMILIES[spec.model].supports}
    assert set(recurrent) == {
        "rnn", "lstm", "gru", "mingru", "minlstm", "gcn+lstm", "gcn-in-lstm", "gcn-in-mingru", "gcn-in-minlstm",
        "lstm-mean",
    }  # fmt: skip
    for name, spec in recurrent.items():
        assert spec.init == ("xavier",) and spec.forget_bias == (1.0 if "lstm" in name else None)


def test_choose_specs_by_name_or_user_defined_keep_their_order():
    mine = ModelSpec("mine", "lstm", forget_bias=1.0)
    assert choose_specs("recall", ["gcn", mine]) == (MODEL_SPECS["gcn"], mine)
    assert choose_specs("trees", None) == tuple(MODEL_SPECS[name] for name in HEADLINE)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], r"expected one or more models, each once, got \[\]"),
        (["a", "a"], "expected one or more models, each once"),
        (["a", " "], "expected printable labels of one line, got ' '"),
        (["a", "chance"], "expected labels other than those of baselines, got 'chance'"),
    ],
)
def test_check_labels_invalid_labels_raise_value_error(labels, message):
    with pytest.raises(ValueError, match=message):
        check_labels(labels, ["chance"])


def test_run_template_leaves_out_settings_that_a_model_ignores():
    task = SEQUENCE_TASKS["recall"](6, (1,), None)
    template = RunTemplate(task, on_path=True, data_id=None, hidden=8, window=3, device="cpu")
    runs = {name: template.run_config(MODEL_SPECS[name], 0, TrainConfig()) for name in ("lstm", "gcn", "gcn-in-mingru")}
    # Six digits are five steps apart at most: hops of 1, 2 and 4.
    assert [(run.hops, run.num_layers, run.window) for run in runs.values()] == [
        ((1,), 1, None), ((1, 2, 4), 3, None), ((1,), 1, 3),
    ]  # fmt: skip


def test_num_layers_of_a_row_override_those_of_the_template():
    task = SEQUENCE_TASKS["recall"](6, (1,), None)
    template = RunTemplate(task, on_path=True, data_id=None, hidden=8, window=3, device="cpu")
    rows = choose_specs("recall", [ModelSpec(name, name, num_layers=2) for name in ("mingru", "gcn")])
    runs = [template.run_config(row, 0, TrainConfig()) for row in rows]
    assert [run.num_layers for run in runs] == [2, 2]
    assert runs[0].build(task).encoder.layer.num_layers == 2 and len(runs[1].build(task).encoder.layers) == 2
    with pytest.raises(ValueError, match="expected num_layers of row 'x' to be an integer of at least 1, got 0"):
        choose_specs("recall", [ModelSpec("x", "mingru", num_layers=0)])
