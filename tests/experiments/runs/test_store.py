import errno
import os

import pytest
import torch

from seqgnn._utils.files import write_atomically
from seqgnn.experiments.runs.result import weights_hash
from seqgnn.experiments.runs.store import RunStore, StoreLost, run_key
from seqgnn.training.checkpoint import write_checkpoint

CONFIG = {"task": "palindromes", "hops": (1, 2), "train": {"lr": 0.001, "max_grad_norm": None}}
RESULT = {"test": {"accuracy": 0.1 + 0.2, "loss": 1e-17}}


def test_run_store_put_then_get_returns_equal_record(tmp_path):
    store = RunStore(tmp_path / "new" / "runs")
    assert store.get(CONFIG) is None and list(tmp_path.iterdir()) == []
    store.prepare()
    path = store.put(CONFIG, RESULT, {"seconds": 1.5})
    record = store.get(CONFIG)
    assert record["format"] == "seqgnn-run" and record["version"] == 1
    assert record["result"] == RESULT and record["measured"] == {"seconds": 1.5}
    assert record["config"]["hops"] == [1, 2]
    assert path == store.path(CONFIG) and [p.name for p in store.folder.iterdir()] == [path.name]


def test_run_key_depends_on_the_whole_configuration_only():
    assert run_key(CONFIG) == run_key(dict(reversed(CONFIG.items())))
    assert run_key(CONFIG) == run_key({**CONFIG, "hops": [1, 2]})
    assert run_key(CONFIG) != run_key({**CONFIG, "train": {"lr": 0.002, "max_grad_norm": None}})
    assert len(run_key(CONFIG)) == 20


def test_run_store_crash_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    store = RunStore(tmp_path)
    store.put(CONFIG, RESULT, {})

    def crash(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        store.put(CONFIG, {"test": {"accuracy": 0.0}}, {})
    assert store.get(CONFIG)["result"] == RESULT
    assert len(list(tmp_path.iterdir())) == 1


def test_run_store_put_of_nan_raises_and_writes_nothing(tmp_path):
    store = RunStore(tmp_path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.put(CONFIG, {"loss": float("nan")}, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"format": "seqgnn-run", "ver', "damaged file"),
        (b"", "damaged file"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"[1, 2]", "got 'list'"),
        (b'{"loss": 1}', "expected format 'seqgnn-run' .* got None"),
        (b'{"format": "other", "version": 1}', "got 'other'"),
        (b'{"format": "seqgnn-run", "version": 2}', "expected version 1 .* got 2"),
        (b'{"format": "seqgnn-run", "version": 1, "config": {}, "measured": {}}', "under 'result'"),
        (b'{"format": "seqgnn-run", "version": 1, "config": {}, "result": {}, "measured": {}}', "got that of"),
    ],
)
def test_run_store_get_of_invalid_file_raises_and_leaves_it(tmp_path, content, message):
    store = RunStore(tmp_path)
    path = store.path(CONFIG)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        store.get(CONFIG)
    assert str(path) in str(error.value)
    assert path.read_bytes() == content


def test_run_store_prepare_unwritable_folder_raises_value_error(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ValueError, match=r"writable folder, got .*file/runs \(Not a directory\)"):
        RunStore(file / "runs").prepare()
    with pytest.raises(ValueError, match=r"writable folder, got .*file \(File exists\)"):
        RunStore(file).prepare()


def test_run_store_state_follows_a_run_to_its_end(tmp_path):
    store = RunStore(tmp_path)
    assert store.state(CONFIG) == "to do"
    with store.claim(CONFIG) as folder:
        assert store.state(CONFIG) == "to do"
        (folder / "last.safetensors").write_text("")
    assert store.state(CONFIG) == "interrupted"
    store.fail(CONFIG, "no luck")
    assert store.state(CONFIG) == "failed"
    store.put(CONFIG, RESULT, {})
    assert store.state(CONFIG) == "finished" and store.failure(CONFIG) is None


def test_write_atomically_on_full_disk_names_the_file(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/x.csv'"):
        write_atomically(tmp_path / "x.csv", "a")
    with pytest.raises(ValueError, match=r"writable file, got .*[0-9a-f]{20}.json \(No space left on device\)"):
        RunStore(tmp_path).put(CONFIG, RESULT, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", [("0.5", "7.5"), ("0.5", "NaN"), ('"accuracy":0.5', '"precision":0.5')])
def test_run_store_get_of_changed_result_raises_value_error(tmp_path, change):
    store = RunStore(tmp_path)
    path = store.put({"seed": 0}, {"accuracy": 0.5}, {})
    text = path.read_text()
    path.write_text(text.replace(*change))
    with pytest.raises(ValueError, match=r"was changed after it was written \(sha256\)"):
        store.get({"seed": 0})
    path.write_text(text)
    assert store.get({"seed": 0})["result"] == {"accuracy": 0.5}


def test_run_store_get_of_folder_or_nested_json_raises(tmp_path):
    store = RunStore(tmp_path)
    store.path({"seed": 1}).mkdir()
    with pytest.raises(ValueError, match=r"expected a readable file, got .*Is a directory"):
        store.get({"seed": 1})
    store.path({"seed": 2}).write_text("[" * 200_000)
    with pytest.raises(ValueError, match="got a damaged file"):
        store.get({"seed": 2})


def test_run_store_clean_removes_only_what_no_process_needs(tmp_path):
    store, interrupted = RunStore(tmp_path), {"seed": 1}
    for config in (CONFIG, interrupted):
        with store.claim(config) as folder:
            (folder / "last.safetensors").write_text("")
        for suffix in ("json.0a1b2c3d.tmp", "safetensors.0a1b2c3d.tmp"):
            (tmp_path / f".{run_key(config)}.{suffix}").write_text("half a fi")
    store.put(CONFIG, RESULT, {})
    (tmp_path / ".notes.0a1b2c3d.tmp").write_text("of another program")
    with store.claim(CONFIG):
        temporary = tmp_path / f".{run_key(CONFIG)}.json.11111111.tmp"
        temporary.write_text("this process writes it now")
        RunStore(tmp_path).clean()
        assert temporary.exists()
    store.clean()
    key = run_key(interrupted)
    assert {path.name for path in tmp_path.iterdir()} == {
        store.path(CONFIG).name, f"{key}.partial", ".notes.0a1b2c3d.tmp"
    }  # fmt: skip
    assert store.state(interrupted) == "interrupted" and store.get(CONFIG)["result"] == RESULT


def test_run_store_clean_of_read_only_or_missing_folder_does_nothing(tmp_path, monkeypatch):
    RunStore(tmp_path / "missing").clean()
    store = RunStore(tmp_path)
    store.put(CONFIG, RESULT, {})
    with store.claim(CONFIG) as folder:
        (folder / "last.safetensors").write_text("")

    def read_only(self, *arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("filelock.FileLock.acquire", read_only)
    store.clean()
    assert (folder / "last.safetensors").exists()


def test_run_store_claim_without_checkpoint_leaves_no_lock(tmp_path):
    with RunStore(tmp_path).claim(CONFIG) as folder:
        assert folder.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_run_store_of_removed_folder_raises_store_lost(tmp_path):
    store = RunStore(tmp_path / "out" / "runs")
    store.prepare()
    with store.claim(CONFIG) as folder:
        store.check(CONFIG)
        folder.rename(tmp_path / "elsewhere")
        with pytest.raises(ValueError, match=r"\.partial, but it was removed") as error:
            store.check(CONFIG)
        assert not isinstance(error.value, StoreLost)
        (tmp_path / "out").rename(tmp_path / "renamed")
        with pytest.raises(StoreLost, match=r"expected the folder .*runs, but it was removed, renamed or unmounted"):
            store.check(CONFIG)
    with pytest.raises(StoreLost), store.claim(CONFIG):
        pass


@pytest.mark.parametrize("size", [None, 0, 7, 8, 40, -1, +1])
def test_run_store_state_tells_that_weights_are_missing_or_cut(tmp_path, size):
    store, weights = RunStore(tmp_path), {"w": torch.ones(3)}
    store.put(CONFIG, {**RESULT, "weights_sha256": weights_hash(weights)}, {})
    file = store.weights(CONFIG)
    write_checkpoint(file, weights, {"config": CONFIG})
    assert store.state(CONFIG) == "finished"
    content = file.read_bytes()
    file.unlink()
    if size is not None:
        file.write_bytes(content + b"x" if size == 1 else content[:size])
    assert store.state(CONFIG) == "without weights"


@pytest.mark.parametrize("content", [b"\xff" * 60, b"\x02" + 7 * b"\0" + b"{}", b"\x03" + 7 * b"\0" + b"[1]"])
def test_run_store_lacks_weights_of_foreign_files(tmp_path, content):
    store = RunStore(tmp_path)
    store.put(CONFIG, {**RESULT, "weights_sha256": "0"}, {})
    store.weights(CONFIG).write_bytes(content)
    assert store.lacks_weights(store.get(CONFIG)) is not content.endswith(b"{}")
