import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time

import pytest

from seqgnn.cli import main as cli
from seqgnn.training.checkpoint import BEST, LAST, read_checkpoint, write_checkpoint

QUICK = ["--hidden", "8", "--length", "10", "--batch-size", "4", "--eval-every", "10", "--log-every", "5"]


def call(*arguments):
    with pytest.raises(SystemExit) as end:
        cli.main([str(argument) for argument in arguments])
    return end.value.code


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("the quick brown fox jumps over the lazy dog. " * 40)
    return path


def test_cli_train_text_run_can_be_generated_from_and_resumed(book, tmp_path, capsys):
    out = tmp_path / "run"
    assert call("train", "text", "--data", book, "--out", out, *QUICK, "--steps", 20, "--sample-every", 10) == 0
    said = capsys.readouterr().out
    assert re.match(r"lstm of [\d,]+ parameters on book.txt \(1,800 characters, 28 distinct\), in .*run\n", said)
    for part in ("step 5: loss", "characters/s", "step 20: validation loss", "temperature 0.5:", "test loss", " bits)"):
        assert part in said
    assert said.count("greedy") == 2  # of the four lengths the longest alone
    assert call("generate", out, "--prompt", "the qu", "--length", 12, "--greedy") == 0
    continued = capsys.readouterr().out
    assert continued.startswith("the qu") and len(continued) == len("the qu") + 12 + 1
    assert "lstm on book.txt" in (out / "samples.md").read_text()
    assert call("train", "text", "--resume", out / LAST, "--steps", 30) == 0
    said = capsys.readouterr().out
    assert "resumes after step 20 of 30\n" in said and "step 30: validation loss" in said
    assert call("train", "text", "--resume", out) == 0
    said = capsys.readouterr().out
    assert "resumes after step 30 of 30\n" in said and "test loss" in said
    assert read_checkpoint(out / LAST)[1]["settings"]["sample_every"] == 10


def test_cli_train_text_options_are_stored_in_the_run(book, tmp_path):
    out = tmp_path / "run"
    given = {
        "--model": "gru", "--num-layers": 3, "--dropout": 0.25, "--optimizer": "adamw", "--weight-decay": 0.1,
        "--lr": 0.01, "--schedule": "step", "--decay": 0.5, "--decay-every": 7, "--max-grad-norm": 0, "--patience": 4,
        "--seed": 3, "--split": "0.8,0.1,0.1", "--steps": 2, "--sample-every": 0, "--precision": "bf16",
        "--text-encoding": "latin-1",
    }  # fmt: skip
    options = [part for pair in given.items() for part in pair]
    assert call("train", "text", "--data", book, "--out", out, *QUICK, *options, "--tie-weights", "--no-stateful") == 0
    run = read_checkpoint(out / LAST)[1]["run"]
    assert run["options"] == {
        "hidden": 8, "dropout": 0.25, "tie_weights": True, "positions": False, "encoding": "embedding", "num_layers": 3
    }  # fmt: skip
    train = run["train"]
    assert {train[name] for name in ("optimizer", "schedule", "precision")} == {"adamw", "step", "bf16"}
    assert (train["weight_decay"], train["lr"], train["decay"], train["decay_every"]) == (0.1, 0.01, 0.5, 7)
    assert (train["max_grad_norm"], train["patience"], train["stateful"], train["batch_size"]) == (None, 4, False, 4)
    assert (run["seed"], run["split"], run["text_encoding"], run["length"]) == (3, [0.8, 0.1, 0.1], "latin-1", 10)


def test_cli_train_text_graph_options_are_stored_in_the_model(book, tmp_path):
    for model, name, value, kept in (("gcn", "--hops", "1,3", [1, 3]), ("gcn-in-lstm", "--window", 3, 3)):
        out = tmp_path / model
        given = ["--model", model, name, value, "--steps", 2, "--sample-every", 0]
        assert call("train", "text", "--data", book, "--out", out, *QUICK, *given) == 0
        assert read_checkpoint(out / LAST)[1]["model"][name[2:]] == kept


def test_cli_train_text_with_positions_trains_and_generates(book, tmp_path, capsys):
    out = tmp_path / "run"
    given = ["--model", "gcn", "--positions", "--no-stateful", "--steps", 4, "--sample-every", 2]
    assert call("train", "text", "--data", book, "--out", out, *QUICK, *given) == 0
    assert call("generate", out, "--length", 40, "--prompt", "the quick brown", "--samples", 2) == 0
    assert "--- 2 of 2 ---\nthe quick brown" in capsys.readouterr().out


def test_cli_train_text_failing_output_saves_and_exits_with_2(book, tmp_path, capsys, monkeypatch):
    out, real = tmp_path / "run", sys.stdout.write
    lines = []

    def write(text):
        lines.append(text)
        if any("step 10" in line for line in lines):
            raise OSError(28, "No space left on device")
        return real(text)

    monkeypatch.setattr(sys.stdout, "write", write)
    assert call("train", "text", "--data", book, "--out", out, *QUICK, "--steps", 1000, "--sample-every", 0) == 2
    monkeypatch.undo()
    step = read_checkpoint(out / LAST)[1]["training"]["step"]
    assert 10 <= step <= 12
    expected = f"expected a writable output, got: No space left on device; saved after step {step} in"
    assert expected in capsys.readouterr().err


def damaged(kind, book, out):
    """A run's folder with something wrong in it."""
    call("train", "text", "--data", book, "--out", out, *QUICK, "--steps", 2, "--sample-every", 0)
    for path in (out / LAST, out / BEST):
        if kind == "truncated":
            path.write_bytes(path.read_bytes()[:-50])
        elif kind == "pickle":
            path.write_bytes(pickle.dumps({"model": 1}))
        elif kind == "newer":
            path.write_bytes(path.read_bytes().replace(rb"\"version\": 2", rb"\"version\": 3"))
        else:
            tensors, info = read_checkpoint(path)
            write_checkpoint(path, tensors, {**info, "model": {**info["model"], "hidden": 9}})
    return out


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("truncated", "got a damaged file"),
        ("pickle", "got a pickle, which could execute code"),
        ("newer", "expected version 1 or 2"),
        ("another", "do not fit its model"),
    ],
)
def test_cli_generate_bad_checkpoint_is_one_line_and_code_2(kind, message, book, tmp_path, capsys):
    out = damaged(kind, book, tmp_path / "run")
    capsys.readouterr()
    assert call("generate", out, "--prompt", "the") == 2
    said = capsys.readouterr()
    assert message in said.err and said.err.count("\n") == 1 and said.out == ""
    if kind != "another":
        assert call("train", "text", "--resume", out) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"", [], "empty file"),
        (b"ab" * 20, [], "parts .* have more than length=10 characters each"),
        (b"a" * 500, [], "at least two distinct characters"),
        ("Häuser und Bäume. ".encode("latin-1") * 50, [], r"to be utf-8-sig, got byte 0xe4 at offset 1; .*cp1252"),
        (b"abc " * 100, ["--text-encoding", "utf-9"], "expected the name of an encoding, got 'utf-9'"),
        (b"\x00\x01\x02\x03" * 100, [], "binary"),
        (b"abc " * 100, ["--model", "lstn"], "did you mean 'lstm'"),
        (b"abc " * 100, ["--split", "0.5,0.5"], "--split: expected 3 numbers"),
        (b"abc " * 100, ["--split", "0.5,0.2,0.2"], "three positive fractions with sum 1"),
        (
            b"abc " * 100,
            ["--lr", "1e37", "--optimizer", "sgd", "--max-grad-norm", "0"],
            "loss is .* at step",
        ),
        (b"abc " * 100, ["--positions"], "expected independent windows with positions .*--no-stateful"),
        (b"abc " * 100, ["--prompt", "xyz"], "'x', 'y', 'z'"),
        (b"abc " * 100, ["--precision", "fp8"], "expected precision"),
        (b"abc " * 100, ["--hops", "1,x", "--model", "gcn"], "--hops: expected comma-separated integers, got '1,x'"),
        (b"abc " * 100, ["--hops", "1,2"], "--hops: expected a model or schedule that uses it, got --model lstm"),
        (
            b"abc " * 100,
            ["--decay", "0.5"],
            "--decay: expected a model or schedule that uses it, got --schedule",
        ),
        (b"abc " * 100, ["--seed", str(2**64)], "expected seed to be an integer below 2\\*\\*63"),
        (b"abc " * 100, ["--length", "0"], "TextRun: expected length to be an integer of at least 1, got 0"),
        (b"abc " * 100, ["--data", "grimm"], "'grimm', a name of the catalog: `seqgnn data fetch grimm`"),
        (b"abc " * 100, ["--lr", "1e38"], "expected lr to be a number above 0 and at most 1e37"),
    ],
)
def test_cli_train_text_bad_input_is_one_line_and_exit_code_2(content, options, message, tmp_path, capsys):
    path = tmp_path / "book.txt"
    path.write_bytes(content)
    arguments = ["train", "text", "--data", path, "--out", tmp_path / "run", *QUICK, "--steps", 30, *options]
    assert call(*arguments) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "Traceback" not in err
    assert re.search(message, err), err


def test_cli_train_text_bad_folder_or_resume_option_exits_2(book, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert call("train", "text", "--data", tmp_path / "empty", "--out", tmp_path / "run") == 2
    assert "empty" in capsys.readouterr().err
    assert call("train", "text", "--resume", tmp_path / "run") == 2
    assert "expected the folder of a run" in capsys.readouterr().err
    assert call("train", "text", "--resume", tmp_path / "run", "--steps", 3, "--batch-size", 7) == 2
    message = "--resume: expected no option but --steps, --data and --device, got --batch-size"
    assert message in capsys.readouterr().err
    assert call("train") in (0, 2)


def test_cli_train_text_resume_of_changed_files_names_mistakes(book, tmp_path, capsys):
    out = tmp_path / "run"
    assert call("train", "text", "--data", book, "--out", out, *QUICK, "--steps", 4, "--sample-every", 2) == 0
    kept = json.loads((out / "run.json").read_text())
    without_checksum = {name: value for name, value in kept.items() if name != "sha256"}
    for change, message in (
        ({"version": 2}, "expected version 1 in .*run.json, got 2; resume with the version of seqgnn that wrote it"),
        ({"run": {**kept["run"], "new": 1}}, "expected a whole description of a run in .*run, got another .*new"),
        ({"run": {**kept["run"], "options": {"depth": 3}}}, "expected option to be one of .*, got 'depth'"),
        ({"settings": {}}, "expected a whole description of a run in .*run, got another .*log_every"),
    ):
        (out / "run.json").write_text(json.dumps({**without_checksum, **change}))
        assert call("train", "text", "--resume", out) == 2
        assert re.search(message, capsys.readouterr().err)
    (out / "run.json").write_text(json.dumps(kept))
    for name in ("best.safetensors", "none.safetensors"):
        assert call("train", "text", "--resume", out / name) == 2
        assert f"expected the folder of a run, got {out / name}" in capsys.readouterr().err
    with open(out / "log.jsonl", "ab") as log, open(out / "samples.jsonl", "ab") as samples:
        log.write(b"\xff\n[1]\n")
        samples.write(b'{"step": 1}\n')
    (out / "result.json").write_text("{")
    assert call("train", "text", "--resume", out) == 0
    assert "test loss" in capsys.readouterr().out
    assert json.loads((out / "result.json").read_text())["result"]["steps"] == 4


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_cli_closed_streams_exit_without_traceback(closed, tmp_path):
    code = f"import sys; sys.{closed} = None; from seqgnn.cli.main import main; main(sys.argv[1:])"
    for arguments, expected in ((["--version"], 0), (["generate", str(tmp_path / "none")], 2)):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
        assert done.returncode == expected and "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_cli_train_text_signal_saves_and_prints_resume_command(book, tmp_path, number):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "seqgnn", "train", "text", "--data", str(book), "--out", str(out), *QUICK]
    with subprocess.Popen(
        [*command, "--steps", "1000000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:  # fmt: skip
        while not (out / "log.jsonl").exists() or not (out / "log.jsonl").read_text():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        said, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number and err == "seqgnn: saving after this step\n"
    step = read_checkpoint(out / LAST)[1]["training"]["step"]
    assert f"saved after step {step}; resume with: seqgnn train text --resume {out}" in said
    logged = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]
    done = subprocess.run(
        [sys.executable, "-m", "seqgnn", "train", "text", "--resume", str(out), "--steps", str(max(logged) + 20)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0 and f"step {max(logged) + 20}: validation loss" in done.stdout, done.stderr
