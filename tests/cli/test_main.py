import atexit
import errno
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from functools import wraps

import pytest

import seqgnn
from seqgnn.cli import main as cli
from seqgnn.cli.compare import BOOK, default_book
from seqgnn.experiments import ExecutionConfig, GridConfig, training_for
from seqgnn.experiments import compare as comparison
from tests.support.command_line import TINY, call


def test_cli_compare_writes_table_and_files(tmp_path, capsys):
    assert call("compare", "recall", *TINY, "--models", "rnn,gcn", "--out", tmp_path) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "recall T=4 RNN seed 0: test accuracy" in out and "│ chance" in out
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"runs", "recall.csv", "recall-pairs.csv", "report.html"} | {
        f"recall-{x}.{y}" for x in ("scores", "curves") for y in ("png", "svg")
    }
    assert call("compare", "recall", *TINY, "--models", "rnn,gcn", "--out", tmp_path) == 0
    assert "5 of 5 runs are already stored" in capsys.readouterr().out


def test_cli_compare_report_contains_tasks_compared_before(tmp_path):
    call("compare", "recall", *TINY, "--models", "rnn", "--out", tmp_path)
    call("compare", "expressions", "--lengths", "5", *TINY[2:], "--models", "rnn", "--out", tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert page.index(">Expressions</h2>") < page.index(">Recall</h2>")


def test_cli_compare_options_are_passed_to_plan(monkeypatch, capsys):
    seen = []

    @wraps(comparison.plan)  # options are read from its docstring
    def stop(task, **options):
        seen.append((task, options))
        raise ValueError("enough")

    monkeypatch.setattr(comparison, "plan", stop)
    options = "--lr-per-size 10:3e-3,20:1e-3 --optimizer sgd --momentum 0.5 --max-grad-norm 0 --target-accuracy 0"
    options += " --min-steps 200 --precision bf16 --window 3 --batch-size 32 --match-parameters --device cuda"
    assert call("compare", "trees", "--lengths", "10,20", "--seeds", "0,1,2", *options.split()) == 2
    task, got = seen[0]
    assert task == "trees" and got["sizes"] == [10, 20] and got["seeds"] == [0, 1, 2]
    assert got["grid"] == GridConfig(lr_per_size={10: 3e-3, 20: 1e-3}, window=3, match_parameters=True)
    assert got["train"] == training_for("trees", optimizer="sgd", momentum=0.5, max_grad_norm=None, min_steps=200,
                                        target_accuracy=None, precision="bf16", batch_size=32)  # fmt: skip
    assert got["execution"] == ExecutionConfig(device="cuda")
    assert (got["jobs"], got["out"], got["data"]) == (-1, None, None) and "models" not in got
    call("compare", "recall", "--lr", "0.01")
    assert seen[1][1]["train"] == training_for("recall", lr=0.01)


def test_cli_compare_without_task_runs_palindromes_and_text(tmp_path, capsys, monkeypatch):
    book = tmp_path / BOOK
    book.parent.mkdir()
    book.write_text("the quick brown fox jumps over the lazy dog. " * 40)
    monkeypatch.setenv("SEQGNN_DATA", str(tmp_path))
    assert call("compare", *TINY, "--models", "rnn") == 0
    out = capsys.readouterr().out
    assert out.index("palindromes: test accuracy") < out.index("text: test loss")
    assert f"Text: {BOOK.name} (" in out
    verse = tmp_path / "verse.txt"
    verse.write_text("one two three four. " * 40)
    assert call("compare", *TINY, "--models", "rnn", "--data", verse) == 0
    assert "Text: verse.txt (" in capsys.readouterr().out
    monkeypatch.delenv("SEQGNN_DATA")
    assert default_book() is None


def test_cli_compare_failed_runs_exit_with_code_1(capsys):
    # The loss is not finite after one step of that size.
    arguments = ["--models", "rnn", "--optimizer", "sgd", "--lr", "1e37", "--max-grad-norm", "0"]
    assert call("compare", "recall", *TINY, *arguments) == 1
    out = capsys.readouterr().out
    assert "FAILED" in out and "loss is inf" in out and "chance" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "palindrome"], "did you mean 'palindromes'"),
        (["compare", "recall", "--models", "lstn"], "did you mean 'lstm'"),
        (["compare", "recall", "--stepz", "3"], "--steps"),
        (["compare", "recall", "--steps", "many"], "--steps"),
        (["compare", "recall", "--optimizer", "adan"], "did you mean 'adam'"),
        (["compare", "recall", "--lengths", "ten"], "--lengths: expected comma-separated integers"),
        (["compare", "recall", "--lr", "fast"], "Invalid value for '--lr'"),
        (["compare", "recall", "--lr-per-size", "10:fast"], "--lr-per-size: expected comma-separated size:"),
        (["compare", "recall", "--data", "x.txt"], "task 'recall' generates its own samples; remove the data"),
        (["compare", "text", "--data", "/nowhere/x.txt"], "a readable text file"),
        (["compare", "recall", "--out", "/dev/null/x"], "writable folder"),
        (["compares"], "compare"),
    ],
)
def test_cli_bad_input_is_one_line_and_exit_code_2(arguments, message, capsys):
    assert call(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("seqgnn: ") and message in err
    assert err.count("\n") == 1


def test_cli_compare_invalid_second_task_stops_before_first_run(tmp_path, capsys):
    assert call("compare", *TINY, "--models", "rnn", "--data", tmp_path / "nowhere.txt") == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "nowhere.txt" in captured.err


def test_cli_compare_wrong_text_encoding_is_one_line_and_code_2(tmp_path, capsys):
    path = tmp_path / "latin.txt"
    path.write_bytes("voilà ".encode("latin-1") * 200)
    assert call("compare", "text", *TINY, "--data", path) == 2
    err = capsys.readouterr().err
    assert "latin.txt" in err and err.count("\n") == 1


def test_cli_compare_ctrl_c_is_one_line_and_exit_code_130(monkeypatch, capsys):
    @wraps(comparison.plan)
    def interrupt(task, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(comparison, "plan", interrupt)
    assert call("compare", "recall") == 130
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_cli_compare_other_signal_is_one_line_and_exit_code(monkeypatch, capsys, number):
    @wraps(comparison.plan)
    def end(task, **options):
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    monkeypatch.setattr(comparison, "plan", end)
    assert call("compare", "recall") == 128 + number
    assert capsys.readouterr().err.count("\n") == 1 and signal.getsignal(number) is before


def test_cli_compare_finished_in_read_only_folder_exits_0(tmp_path, monkeypatch, capsys):
    out = tmp_path / "my results"
    assert call("compare", "recall", *TINY, "--models", "rnn", "--out", out) == 0
    files = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def read_only(**options):
        raise OSError(errno.EROFS, "Read-only file system")

    capsys.readouterr()
    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
    assert call("compare", "recall", *TINY, "--models", "rnn", "--out", out) == 0
    said, err = capsys.readouterr()
    assert err == "" and "4 of 4 runs are already stored" in said and "│ chance" in said
    assert f"seqgnn report '{out}' --out report.html" in said and "wrote" not in said
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == files
    assert call("compare", "recall", *TINY, "--models", "gcn", "--out", out) == 2
    assert f"expected a writable folder, got {out / 'runs'} (Read-only file system)" in capsys.readouterr().err


def test_cli_compare_help_lists_the_options(capsys):
    assert call("compare", "--help") == 0
    out = capsys.readouterr().out
    assert "--match-parameters" in out and "--jobs" in out
    call()
    assert "compare" in "".join(capsys.readouterr())


def test_seqgnn_module_with_bad_task_exits_with_code_2(monkeypatch, capsys):
    handlers, codes = [], []
    monkeypatch.setattr(atexit, "register", handlers.append)
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.setattr(sys, "argv", ["seqgnn", "compare", "recal"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("seqgnn", run_name="__main__")
    assert end.value.code == 2 and "did you mean 'recall'" in capsys.readouterr().err
    handlers[0]()
    assert codes == [2]


def test_run_calls_the_handlers_of_others_and_exits_with_an_error_of_its_own(tmp_path):
    """Those of multiprocessing remove the locks of workers; commands import it, and nothing does before."""
    unused = "assert 'multiprocessing.util' not in sys.modules"
    code = f"import atexit, sys; from seqgnn.cli import main as cli; {unused}; {{}}; cli.run()"
    finalizer = "__import__('multiprocessing.util').util.Finalize(None, print, ('finalizer',), exitpriority=0)"
    broken = f"cli.main = lambda: (atexit.register(print, 'handler'), {finalizer}, {{}})"
    for last, expected in (("1 / 0", 1), ("__import__('sys').exit(7)", 7)):
        process = subprocess.run(
            [sys.executable, "-c", code.format(broken.format(last))], capture_output=True, text=True
        )
        assert (process.returncode, process.stdout) == (expected, "finalizer\nhandler\n")
        assert ("ZeroDivisionError" in process.stderr) == (expected == 1)


@pytest.mark.slow
def test_seqgnn_module_compare_exits_0_and_bad_task_exits_2():
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
    command = [sys.executable, "-m", "seqgnn", "compare"]
    options = {"capture_output": True, "text": True, "env": environment}
    good = subprocess.run([*command, "recall", *TINY, "--models", "rnn"], **options)
    assert good.returncode == 0 and "linear" in good.stdout and good.stderr == ""
    bad = subprocess.run([*command, "recal"], **options)
    assert bad.returncode == 2 and bad.stdout == "" and bad.stderr.count("\n") == 1


def test_cli_version_prints_it_and_no_command_exits_2(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0 and capsys.readouterr().out == f"seqgnn {seqgnn.__version__}\n"
    with pytest.raises(SystemExit) as end:
        cli.main([])
    assert end.value.code == 2 and capsys.readouterr().err == ""


def test_cli_compare_diagnose_prints_problems_first(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["compare", "recall", "--lengths", "10", "--models", "gru,gcn-1hop", "--seeds", "0", "--steps", "1",
                  "--jobs", "1", "--diagnose"])  # fmt: skip
    said = capsys.readouterr().out
    assert end.value.code == 0
    assert said.startswith("recall T=10 GRU: no problem found\nrecall T=10 GCN, one hop: receptive field: 4 of")
