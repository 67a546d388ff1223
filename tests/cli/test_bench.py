"""`seqgnn bench`: what it prints and writes, and bad input."""

import json

import pytest

from seqgnn.cli import main as cli
from seqgnn.profile import suite as run


def call(*arguments):
    with pytest.raises(SystemExit) as end:
        cli.main(["bench", *(str(argument) for argument in arguments)])
    return end.value.code


def test_cli_bench_prints_table_and_writes_files(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(run, "SIZES_BY_PRIORITY", [(3, 2, 2, 3)])
    monkeypatch.setattr(run, "ROUNDS", 1)
    assert call("--seconds", "20", "--out", tmp_path) == 0
    out, err = capsys.readouterr()
    assert err == "" and "LSTM / torch.nn.LSTM" in out and "auto compared with torch.nn's layers: training step" in out
    assert f"wrote {tmp_path}/bench.png" in out
    assert {path.name for path in tmp_path.iterdir()} == {"bench.json", "bench.png", "bench.svg"}
    content = json.loads((tmp_path / "bench.json").read_text())
    assert [case["layer"] for case in content["cases"]] == ["LSTM", "GRU", "RNN"] and content["left_out"] == []
    assert content["config"] == {"seconds": 20.0, "device": "cpu", "rounds": 1, "dtype": "float32"}


def test_cli_bench_without_time_names_layers_not_timed(capsys, monkeypatch):
    monkeypatch.setattr(run, "SIZES_BY_PRIORITY", [(3, 2, 2, 3)])
    assert call("--seconds", "1e-9") == 0
    assert "Skipped for lack of time, T, B, F, H = 3, 2, 2, 3: LSTM; GRU; RNN." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seconds", "0"], "expected seconds to be a positive number, got 0.0"),
        (["--seconds", "nan"], "expected seconds to be a positive number, got nan"),
        (["--seconds", "long"], "Invalid value for '--seconds'"),
        (["--device", "gpu"], "expected device to be one of 'cpu', 'cuda', got 'gpu'"),
        (["--out", "/dev/null/x"], "expected a writable folder"),
        (["--seconds", "1e-9", "--out", "OUT"], "no layer was timed; increase --seconds"),
    ],
)
def test_cli_bench_bad_input_is_one_line_and_exit_code_2(arguments, message, tmp_path, capsys):
    arguments = [tmp_path if argument == "OUT" else argument for argument in arguments]
    assert call(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("seqgnn: ") and message in err and err.count("\n") == 1
