"""Comparisons that are killed, shared among processes, or given to a cluster: every run once, to the same bits."""

import errno
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest
from filelock import FileLock

from seqgnn._utils.processes import interrupting_signals
from seqgnn.experiments.runs import store
from seqgnn.experiments.runs.config import RunConfig
from seqgnn.experiments.runs.store import RunStore, StoreLost, run_key
from seqgnn.training.checkpoint import LAST, Checkpoints
from tests.support.comparisons import plan_grid, run_grid

GRID = {"models": ["rnn", "lstm", "gcn"], "sizes": [4], "seeds": [0, 1], "hidden": 16, "batch_size": 16, "steps": 150,
        "eval_every": 10, "target_accuracy": None, "save_every": 0.0, "progress": False}  # fmt: skip


def contents(folder):
    """All that a comparison leaves, by file: bytes, of records without what is measured."""
    found = {}
    for path in sorted((folder / "runs").iterdir()):
        if path.suffix == ".json":
            record = json.loads(path.read_text())
            found[path.name] = record["config"], record["result"]
        else:
            found[path.name] = path.read_bytes()
    return found


def _child(out, taken, options):
    perform = sys.modules["seqgnn.experiments.runs.config"].RunConfig.perform

    def counted(self, path, control):
        def note(*arguments):
            taken.value += 1
            control.on_step(*arguments)

        return perform(self, path, replace(control, on_step=note))

    sys.modules["seqgnn.experiments.runs.config"].RunConfig.perform = counted
    run_grid("palindromes", out=out, **{**GRID, **options})


def start(out, **options):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["seqgnn.experiments.compare", "safetensors.torch", "filelock"])
    taken = context.Value("q", 0, lock=False)
    process = context.Process(target=_child, args=(out, taken, options))
    process.start()
    return process, taken


@pytest.mark.slow
def test_compare_killed_at_any_moment_resumes_to_equal_files(tmp_path):
    """Twenty times killed, some steps on and a moment later; much of the time goes into saving."""
    whole, _ = start(tmp_path / "whole")
    whole.join()
    assert whole.exitcode == 0
    moments, pieces = random.Random(0), 0
    for _ in range(20):
        killed, taken = start(tmp_path / "killed")
        steps = moments.randint(1, 80)
        while killed.is_alive() and taken.value < steps:
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.03))
        killed.kill()
        killed.join()
        pieces += any((tmp_path / "killed" / "runs").glob("*.partial/last.safetensors"))
    last, _ = start(tmp_path / "killed")
    last.join()
    assert last.exitcode == 0 and pieces > 8
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    measured = [json.loads(path.read_text())["measured"] for path in (tmp_path / "killed" / "runs").glob("*.json")]
    assert all(entry["seconds"] > 0 for entry in measured if "peak_memory" in entry)  # a baseline may take no time


@pytest.mark.slow
def test_compare_in_two_processes_divides_the_runs(tmp_path):
    both = [start(tmp_path / "shared") for _ in range(2)]
    for process, _ in both:
        process.join()
        assert process.exitcode == 0
    steps = [taken.value for _, taken in both]
    assert sum(steps) == 6 * 150 and min(steps) > 0  # every run once, and both at work
    alone, _ = start(tmp_path / "alone")
    alone.join()
    assert contents(tmp_path / "shared") == contents(tmp_path / "alone")


def test_compare_waits_for_a_run_of_another_process(tmp_path, monkeypatch, capsys):
    options = {**GRID, "models": ["rnn"], "seeds": [0], "steps": 5, "out": tmp_path}
    expected = run_grid("palindromes", **{**options, "out": None})
    config = expected.runs["RNN", 4, 0].as_dict()["config"]
    folder = RunStore(tmp_path / "runs").path(config).with_suffix(".partial")
    folder.mkdir(parents=True)
    lock = FileLock(folder / ".lock", thread_local=False)
    lock.acquire()
    slept = []

    def wait(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            lock.release()

    monkeypatch.setattr("seqgnn.experiments.runs.executor.time.sleep", wait)
    found = run_grid("palindromes", **{**options, "progress": True})
    assert len(slept) == 3 and found.runs["RNN", 4, 0].result == expected.runs["RNN", 4, 0].result
    assert "waiting for 1 of the runs, which other processes execute" in capsys.readouterr().out
    assert not folder.exists()


def test_compare_waiting_for_a_removed_folder_raises(tmp_path):
    """The lock of another process is gone with the folder, so there is nothing to wait for."""
    options = {**GRID, "models": ["rnn"], "seeds": [0], "steps": 5, "out": tmp_path / "out"}
    config = run_grid("palindromes", **{**options, "out": None}).runs["RNN", 4, 0].as_dict()["config"]
    folder = RunStore(tmp_path / "out" / "runs").path(config).with_suffix(".partial")
    folder.mkdir(parents=True)
    with FileLock(folder / ".lock", thread_local=False), pytest.MonkeyPatch.context() as patch:
        sleep = lambda seconds: (tmp_path / "out").rename(tmp_path / "renamed")  # noqa: E731
        patch.setattr("seqgnn.experiments.runs.executor.time.sleep", sleep)
        with pytest.raises(StoreLost, match="removed, renamed or unmounted"):
            run_grid("palindromes", **options)


def test_compare_whose_folder_is_removed_in_training_raises(tmp_path, monkeypatch):
    monkeypatch.setattr("seqgnn.experiments.runs.executor.STORE_EVERY", 0.0)
    perform, steps = RunConfig.perform, []

    def removed_at_step_3(self, data, control):
        def note(step, *scores):
            steps.append(step)
            if step == 3:
                shutil.rmtree(tmp_path / "out")
            control.on_step(step, *scores)

        return perform(self, data, replace(control, on_step=note))

    monkeypatch.setattr(RunConfig, "perform", removed_at_step_3)
    with pytest.raises(StoreLost, match=f"expected the folder {tmp_path / 'out' / 'runs'}, but it was removed"):
        run_grid("palindromes", **{**GRID, "out": tmp_path / "out", "save_every": 60.0})
    assert steps[-1] == 3 and not (tmp_path / "out").exists()


def test_compare_whose_folder_is_removed_before_the_first_step_raises(tmp_path, monkeypatch):
    """The checkpoints do not create it again."""
    perform = RunConfig.perform

    def without_folder(*arguments):
        shutil.rmtree(tmp_path / "out")
        return perform(*arguments)

    monkeypatch.setattr(RunConfig, "perform", without_folder)
    with pytest.raises(StoreLost, match=f"expected the folder {tmp_path / 'out' / 'runs'}, but it was removed"):
        run_grid("palindromes", **{**GRID, "out": tmp_path / "out"})
    assert not (tmp_path / "out").exists()


def test_plan_run_retry_trains_missing_weights_again(tmp_path, capsys):
    options = {**GRID, "models": ["rnn", "gcn"], "seeds": [0], "steps": 5, "out": tmp_path}
    first = run_grid("palindromes", **options)
    before = contents(tmp_path)
    missing, cut = (first.weights[label, 4, 0] for label in ("RNN", "GCN"))
    missing.unlink()
    cut.write_bytes(b"")
    again = run_grid("palindromes", **{**options, "progress": True})
    assert "weights missing or damaged: palindromes T=4" in (said := capsys.readouterr().out)
    assert str(missing) in said and str(cut) in said and "; --retry-failed trains again" in said
    assert again.rows() == first.rows() and not missing.exists() and cut.read_bytes() == b""
    del options["progress"]
    planned = plan_grid("palindromes", **options)
    assert sorted(planned.states().values()) == 3 * ["finished"] + 2 * ["without weights"]
    assert set(planned.run(False, only_failed=True).runs) == set(first.runs) and contents(tmp_path) == before
    assert set(planned.states().values()) == {"finished"}


def test_compare_stopped_by_a_signal_is_saved_at_that_step(tmp_path, monkeypatch):
    """SIGTERM, which the handler of the command line turns into a KeyboardInterrupt, in the fourth step."""
    options = {**GRID, "models": ["rnn"], "seeds": [0], "save_every": 1e9, "out": tmp_path / "out"}
    perform, steps = RunConfig.perform, []

    def stopped(self, data, control):
        def note(step, *scores):
            steps.append(step)
            if len(steps) == 4:
                os.kill(os.getpid(), signal.SIGTERM)
            control.on_step(step, *scores)

        return perform(self, data, replace(control, on_step=note))

    monkeypatch.setattr(RunConfig, "perform", stopped)
    with interrupting_signals() as request, pytest.raises(KeyboardInterrupt):
        run_grid("palindromes", **options)
    assert request.number == signal.SIGTERM and steps == [1, 2, 3, 4, 5]
    run_grid("palindromes", **options)
    assert steps == list(range(1, 151))
    run_grid("palindromes", **{**options, "out": tmp_path / "whole"})
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals and process groups of POSIX")
@pytest.mark.parametrize(
    ("number", "whole_group"),
    [(signal.SIGTERM, False), (signal.SIGHUP, True), (signal.SIGINT, True), (signal.SIGKILL, False)],
)
def test_cli_compare_ended_by_a_signal_saves_and_leaves_no_process(tmp_path, number, whole_group):
    out, psutil = tmp_path / "out", pytest.importorskip("psutil")
    command = [sys.executable, "-m", "seqgnn", "compare", "palindromes", "--lengths", "10", "--models", "lstm,gcn",
               "--seeds", "0,1", "--steps", "100000", "--target-accuracy", "0", "--save-every", "1000", "--jobs", "2",
               "--out", str(out)]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        while len(list(out.glob("runs/*.partial/.lock"))) < 2:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.1)
        time.sleep(2)  # some steps
        workers = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, number) if whole_group else process.send_signal(number)
        err = process.stderr.read()
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number), err
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert len(workers) > 2 and not alive
    assert len(list(out.glob("runs/*.partial/last.safetensors"))) == 2  # saved, though not for that time
    assert "repeat the command to resume" in err or number == signal.SIGKILL


@pytest.mark.slow
def test_cli_compare_whose_folder_is_renamed_ends_with_code_2(tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "seqgnn", "compare", "palindromes", "--lengths", "10", "--models", "lstm,gcn",
               "--seeds", "0,1", "--steps", "100000", "--target-accuracy", "0", "--jobs", "2",
               "--out", str(out)]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        while len(list(out.glob("runs/*.partial/.lock"))) < 2:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.1)
        out.rename(tmp_path / "renamed")
        try:
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()  # or leaving the block would wait for it
    assert process.returncode == 2
    assert f"seqgnn: compare: expected the folder {out / 'runs'}, but it was removed, renamed or unmounted" in err


def test_compare_damaged_checkpoint_is_named_and_unchanged(tmp_path):
    options = {**GRID, "models": ["rnn"], "seeds": [0], "steps": 5, "out": tmp_path}
    config = run_grid("palindromes", **{**options, "out": None}).runs["RNN", 4, 0].as_dict()["config"]
    folder = tmp_path / "runs" / f"{run_key(config)}.partial"
    folder.mkdir(parents=True)
    victim = folder / "last.safetensors"
    victim.write_bytes(b"no checkpoint")
    for _ in range(2):
        found = run_grid("palindromes", **options)
        message = found.failures["RNN", 4, 0]
        assert str(victim) in message and message.endswith("; move it away, and the run starts again")
        assert victim.read_bytes() == b"no checkpoint"
        assert set(found.baselines) == {("chance", 4), ("majority", 4), ("linear", 4)}
    victim.rename(tmp_path / "away")
    assert not run_grid("palindromes", **options).failures and not folder.exists()


def test_compare_checkpoint_of_another_run_is_rejected(tmp_path):
    """Of a model of the same size, trained the same way, on samples of another length."""
    options = {**GRID, "models": ["rnn"], "seeds": [0], "steps": 4, "target_accuracy": None, "out": tmp_path}
    four, six = (
        run_grid("palindromes", **{**options, "sizes": [length], "out": tmp_path / str(length)})
        .runs["RNN", length, 0]
        .as_dict()["config"]
        for length in (4, 6)
    )
    partial = tmp_path / "4" / "runs" / f"{run_key(six)}.partial"
    checkpoints = Checkpoints(partial, about={"config": four}, seconds=0.0)
    checkpoints.save(LAST, {}, {"step": 2})
    found = run_grid("palindromes", **{**options, "sizes": [6], "out": tmp_path / "4"})
    assert "expected a checkpoint of the run in" in found.failures["RNN", 6, 0]
    assert "move it away, and the run starts again" in found.failures["RNN", 6, 0]


def test_plan_run_only_failed_retries_failed_runs(tmp_path, monkeypatch, capsys):
    options = {**GRID, "models": ["rnn", "gcn"], "seeds": [0], "steps": 5, "out": tmp_path}
    from seqgnn.models import sequence_model as models

    build = models.build
    with monkeypatch.context() as patch:
        patch.setattr(models, "build", lambda name, *a, **o: build(name, *a, **o) if name == "rnn" else 1 / 0)
        first = run_grid("palindromes", **options)
    assert set(first.failures) == {("GCN", 4, 0)}
    assert len(list((tmp_path / "runs").glob("*.failed"))) == 1
    del options["progress"]
    again = plan_grid("palindromes", **{**options, "seeds": [0, 1]}).run(only_failed=True)
    assert set(again.runs) == {("RNN", 4, 0), ("GCN", 4, 0)} and not again.failures and again.seeds == (0,)
    assert not list((tmp_path / "runs").glob("*.failed"))
    assert capsys.readouterr().out.startswith("skipping 2 runs that were not started\n4 of 5 runs are already stored\n")


def test_plan_run_only_failed_lists_repeated_failures(tmp_path):
    """The runs diverge after a checkpoint was written, which does not make them interrupted ones."""
    options = {**GRID, "models": ["rnn", "lstm"], "seeds": [0], "lr": 1e37, "max_grad_norm": None, "out": tmp_path}
    first = run_grid("palindromes", **options)
    assert set(first.failures) == {("RNN", 4, 0), ("LSTM", 4, 0)}
    assert len(list((tmp_path / "runs").glob("*.partial/last.safetensors"))) == 2
    del options["progress"]
    planned = plan_grid("palindromes", **options)
    assert sorted(planned.states().values()) == 2 * ["failed"] + 3 * ["finished"]
    again = planned.run(False, only_failed=True)
    assert again.failures == first.failures and again.rows() == first.rows() and set(again.failed) == set(first.failed)


@contextmanager
def dask_comparison(tmp_path):
    """Yield a comparison on a cluster of two workers, and the processes of scheduler and workers."""
    pytest.importorskip("distributed")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "30s"}
    address = tmp_path / "scheduler.json"
    run = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--scheduler-file", str(address), "--port", "0",
           "--no-dashboard", "--host", "127.0.0.1"]  # fmt: skip
    processes = [subprocess.Popen(run, env=environment, stderr=subprocess.DEVNULL)]
    try:
        for number in range(2):
            worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(address),
                      "--nthreads", "1", "--no-nanny", "--no-dashboard", "--name", str(number), "--host", "127.0.0.1",
                      "--local-directory", str(tmp_path / f"worker{number}")]  # fmt: skip
            while not address.exists():
                time.sleep(0.05)
            processes.append(subprocess.Popen(worker, env=environment, stderr=subprocess.DEVNULL))
        tcp = json.loads(address.read_text())["address"]
        grid = subprocess.Popen([sys.executable, "-c", _GRID, tcp, str(tmp_path / "cluster")], env=environment)
        processes.append(grid)
        yield grid, processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_compare_on_dask_with_killed_worker_equals_local_run(tmp_path):
    with dask_comparison(tmp_path) as (grid, processes):
        runs = tmp_path / "cluster" / "runs"
        while grid.poll() is None and len(list(runs.glob("*.json"))) < 2:
            time.sleep(0.01)
        processes[1].kill()
        assert grid.wait(300) == 0
    alone, _ = start(tmp_path / "alone", steps=400)
    alone.join()
    assert contents(tmp_path / "cluster") == contents(tmp_path / "alone")


@pytest.mark.slow
def test_compare_on_dask_that_is_killed_is_saved_and_stopped_by_its_workers(tmp_path):
    with dask_comparison(tmp_path) as (grid, _):
        runs = tmp_path / "cluster" / "runs"
        while grid.poll() is None and len(list(runs.glob("*.partial/last.safetensors"))) < 2:
            time.sleep(0.01)
        grid.kill()
        assert grid.wait() == -signal.SIGKILL
        end, times = time.monotonic() + 60, None
        while times != (times := [path.stat().st_mtime_ns for path in sorted(runs.rglob("last.safetensors"))]):
            assert time.monotonic() < end  # each step is saved
            time.sleep(2)
        assert times and len(list(runs.glob("*.json"))) < 6
        resumed, _ = start(tmp_path / "cluster", steps=400)
        resumed.join()
    alone, _ = start(tmp_path / "alone", steps=400)
    alone.join()
    assert contents(tmp_path / "cluster") == contents(tmp_path / "alone")


@pytest.mark.slow
def test_compare_on_ray_with_killed_node_equals_local_run(tmp_path):
    pytest.importorskip("ray")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    grid = [sys.executable, "-c", _RAY_GRID, str(tmp_path / "cluster")]
    assert subprocess.run(grid, env=environment, timeout=300).returncode == 0
    alone, _ = start(tmp_path / "alone", steps=400)
    alone.join()
    assert contents(tmp_path / "cluster") == contents(tmp_path / "alone")


_RAY_GRID = f"""
import sys
import threading
import time
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from tests.support.comparisons import run_grid


def kill():
    while len(list((out / "runs").glob("*.json"))) < 2:
        time.sleep(0.05)
    cluster.remove_node(other, allow_graceful=False)


if __name__ == "__main__":
    out = Path(sys.argv[1])
    node = {{"num_cpus": 1, "object_store_memory": 80_000_000}}
    cluster = Cluster(initialize_head=True, head_node_args=node | {{"include_dashboard": False}})
    other = cluster.add_node(**node)
    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    try:
        options = {GRID!r} | {{"steps": 400, "backend": "ray", "scheduler": cluster.address}}
        result = run_grid("palindromes", out=out, **options)
        assert not result.failures and len(result.runs) == 6, result.failures
        assert not killer.is_alive()
    finally:
        ray.shutdown()
        cluster.shutdown()
"""


_GRID = f"""
import sys
from tests.support.comparisons import run_grid

if __name__ == "__main__":
    address, out = sys.argv[1:]
    options = {GRID!r} | {{"steps": 400, "backend": "dask", "scheduler": address}}
    result = run_grid("palindromes", out=out, **options)
    assert not result.failures and len(result.runs) == 6, result.failures
"""


def test_compare_on_full_disk_names_it_and_loses_no_run(tmp_path, monkeypatch):
    options = {**GRID, "models": ["rnn", "gcn"], "seeds": [0], "steps": 5, "out": tmp_path}
    write = store.write_atomically

    def full(path, content):
        if path.suffix in (".json", ".failed") and list((tmp_path / "runs").glob("*.json")):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(store, "write_atomically", full)
        found = run_grid("palindromes", **options)
    assert len(found.runs) == 1 and len(found.failures) == 4
    assert all("No space left on device" in message for message in found.failures.values())
    kept = {path: path.read_bytes() for path in (tmp_path / "runs").glob("*.json")}
    again = run_grid("palindromes", **options)
    assert not again.failures and len(again.runs) == 2 and len(kept) == 1
    assert all(path.read_bytes() == content for path, content in kept.items())


def test_compare_checkpoint_on_full_disk_fails_the_run(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("seqgnn.training.checkpoint.write_atomically", full)
    found = run_grid("palindromes", **{**GRID, "models": ["rnn"], "seeds": [0], "steps": 5, "out": tmp_path})
    assert "expected a writable file, got: No space left on device at" in found.failures["RNN", 4, 0]
    assert len(found.baselines) == 3


@pytest.mark.parametrize("change", [{"version": 99}, {"format": "another"}])
def test_compare_foreign_or_newer_run_raises_and_leaves_it(tmp_path, change):
    options = {**GRID, "models": ["rnn"], "seeds": [0], "steps": 5, "out": tmp_path}
    config = run_grid("palindromes", **options).runs["RNN", 4, 0].as_dict()["config"]
    path = RunStore(tmp_path / "runs").path(config)
    content = json.dumps(json.loads(path.read_text()) | change)
    path.write_text(content)
    with pytest.raises(ValueError, match=path.name):
        run_grid("palindromes", **options)
    assert path.read_text() == content


def test_compare_with_missing_backend_raises_value_error(tmp_path, monkeypatch):
    options = {**GRID, "models": ["rnn"], "seeds": [0], "steps": 5}
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"expected ray to be installed \(pip install 'seqgnn\[ray\]'\)"):
        run_grid("palindromes", backend="ray", **options)
    distributed = pytest.importorskip("distributed")

    def client(address):
        raise OSError(f"Timed out trying to connect to {address}")

    monkeypatch.setattr(distributed, "Client", client)
    with pytest.raises(ValueError, match=r"the dask cluster at tcp://127.0.0.1:9 does not respond \(Timed out"):
        run_grid("palindromes", backend="dask", scheduler="tcp://127.0.0.1:9", **options)
