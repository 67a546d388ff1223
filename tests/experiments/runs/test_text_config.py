"""The configuration of a run on a text."""

import json
from dataclasses import asdict

import pytest

from seqgnn.experiments.runs.text_config import LoggingConfig, TextModelConfig, TextRun
from seqgnn.training.config import TrainConfig


@pytest.mark.parametrize(
    ("config", "model", "options"),
    [
        (TextModelConfig(), "lstm", {"num_layers": 2}),
        (TextModelConfig(weight_dropout=0.5), "rnn", {"num_layers": 2, "weight_dropout": 0.5}),
        (TextModelConfig(), "gcn", {}),
        (TextModelConfig(num_layers=3, hops=(1, 2)), "gcn", {"num_layers": 3, "hops": (1, 2)}),
        (TextModelConfig(num_layers=1, window=6), "gcn-in-lstm", {"num_layers": 1, "window": 6}),
    ],
)
def test_text_model_config_gives_options_of_the_model(config, model, options):
    common = {"hidden": 128, "dropout": 0.0, "tie_weights": False, "positions": False, "encoding": "embedding"}
    assert config.build_options(model) == common | options


def test_text_run_from_dict_inverts_asdict_through_json():
    run = TextRun(("a.txt", "b"), options={"hidden": 8, "hops": (1, 2)}, model="gcn", seed=3)
    assert TextRun.from_dict(json.loads(json.dumps(asdict(run)))) == run


def test_text_run_task_and_model_share_their_hops(tmp_path):
    (tmp_path / "book.txt").write_text("ab" * 200)
    run = TextRun((str(tmp_path / "book.txt"),), length=10, model="gcn", options={"hidden": 8})
    task = run.make_task()
    options = run.build_options(task)
    assert task.hops == options["hops"] == (1, 2, 4, 8) and options["num_classes"] == options["num_tokens"] == 2
    assert (options["name"], options["hidden"], options["length"], options["per_element"]) == ("gcn", 8, 10, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "lstn"}, "TextRun: expected model .* did you mean 'lstm'"),
        ({"options": {"hiden": 8}}, "TextRun: expected option .* did you mean 'hidden'"),
        ({"length": 0}, "TextRun: expected length to be an integer of at least 1, got 0"),
        ({"train": TrainConfig(steps=None, max_seconds=1.0)}, "TextRun: expected steps to be an integer"),
        ({"options": {"positions": True}}, "TextRun: expected independent windows with positions"),
        ({"options": {"readout": "mean"}}, "TextRun: expected independent windows with readout 'mean'"),
    ],
)
def test_text_run_invalid_options_raise_value_error(options, message):
    with pytest.raises(ValueError, match=message):
        TextRun(**options)


@pytest.mark.parametrize(("name", "least"), [("log_every", 1), ("sample_every", 0), ("save_every", 1)])
def test_logging_config_steps_have_a_minimum(name, least):
    assert getattr(LoggingConfig(**{name: least}), name) == least
    with pytest.raises(ValueError, match=f"LoggingConfig: expected {name} to be an integer of at least {least}"):
        LoggingConfig(**{name: least - 1})
