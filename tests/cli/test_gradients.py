"""`seqgnn gradients`: what it prints and writes, and bad input."""

import json
from functools import wraps

import pytest

from seqgnn.cli import main as cli
from seqgnn.experiments.trained import checkpoints as gradients_trained
from seqgnn.experiments.trained import gradient_study as gradients

TINY = ["--length", "8", "--hidden", "5", "--batch-size", "4"]


def call(*arguments):
    with pytest.raises(SystemExit) as end:
        cli.main(["gradients", *(str(argument) for argument in arguments)])
    return end.value.code


def test_cli_gradients_prints_table_and_writes_files(tmp_path, capsys):
    assert call(*TINY, "--models", "rnn,lstm", "--seeds", "0,1", "--out", tmp_path) == 0
    out, err = capsys.readouterr()
    assert err == "" and "LSTM, forget bias 1" in out and "LSTM, forget bias 2" in out and "dL/dc" in out
    assert "dL/dh, RNN: " in out and f"wrote {tmp_path}/gradients.png" in out
    assert {path.name for path in tmp_path.iterdir()} == {"gradients.json", "gradients.png", "gradients.svg"}
    content = json.loads((tmp_path / "gradients.json").read_text())
    assert (content["curves"][0]["of"], content["curves"][0]["model"]) == ("dL/dh", "RNN")


def test_cli_gradients_influence_writes_influence_figure(tmp_path, capsys):
    options = ["--models", "gru,gcn", "--seeds", "0", "--task", "recall", "--influence", "--out", tmp_path]
    assert call(*TINY, *options) == 0
    out = capsys.readouterr().out
    assert "recall, T = 8, xavier weights: influence on the prediction, one seed" in out and "One seed" in out
    assert {path.name for path in tmp_path.iterdir()} == {"influence.json", "influence.png", "influence.svg"}


def test_cli_gradients_options_are_passed_to_study(monkeypatch):
    seen = []

    @wraps(gradients.study)  # the options are read from its signature
    def stop(*arguments, **options):
        seen.append((*arguments, options))
        raise ValueError("enough")

    monkeypatch.setattr(gradients, "study", stop)
    monkeypatch.setattr(gradients_trained, "study_checkpoint", stop)
    options = "--models lstm,gru --task recall --length 30 --forget-bias 1,2.5 --seeds 4 --hidden 7 --batch-size 9"
    assert call(*options.split(), "--init", "torch", "--reduce", "mean-of-norms", "--device", "cuda") == 2
    common = {"seeds": [4], "batch_size": 9, "reduce": "mean-of-norms", "device": "cuda", "measure": "gradients"}
    own = {"models": ["lstm", "gru"], "task": "recall", "length": 30, "forget_bias": [1.0, 2.5], "init": "torch"}
    assert seen[-1] == (common | own | {"hidden": 7},)
    call("--init", "chrono")
    assert seen[-1][0]["forget_bias"] is None and "models" not in seen[-1][0]
    call("--forget-bias", "none", "--influence")
    assert seen[-1][0]["forget_bias"] is None and seen[-1][0]["measure"] == "influence"
    call("--checkpoint", "runs/book", "--seeds", "0,1")
    path, got = seen[-1]
    assert str(path) == "runs/book" and got["seeds"] == [0, 1] and "length" not in got


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "lstn"], "did you mean 'lstm'"),
        (["--models", "gcn"], "its influence can be measured (--influence)"),
        (["--forget-bias", "one"], "--forget-bias: expected comma-separated numbers"),
        (["--seeds", "one"], "--seeds: expected comma-separated integers"),
        (["--length", "1"], "expected length to be an integer of at least 2"),
        (["--data", "book.txt"], "expected --checkpoint with --data, got --data alone"),
        (["--reduce", "norm-of-means"], "did you mean 'norm-of-mean'"),
        (["--checkpoint", "/nowhere"], "expected a readable file, got /nowhere"),
        (["--checkpoint", "/nowhere", "--length", "9", "--forget-bias", "1"], "got --length, --forget-bias"),
        ([*TINY, "--out", "/dev/null/x"], "expected a writable folder"),
    ],
)
def test_cli_gradients_bad_input_is_one_line_and_exit_code_2(arguments, message, capsys):
    assert call(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("seqgnn: ") and message in err and err.count("\n") == 1
