import hashlib
import json
import os
import pickle
import struct

import pytest
import torch

from seqgnn.training.checkpoint import (
    BEST,
    LAST,
    Checkpoints,
    flatten,
    map_state,
    read_checkpoint,
    unflatten,
    write_checkpoint,
)

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b.c": torch.tensor([1, 2], dtype=torch.int64), "e": torch.empty(0)}
INFO = {"step": 3, "name": "ä", "list": [1, None, 0.1]}


def header(path, entries=1, **changes):
    """Writes an empty safetensors file with the header of a checkpoint, changed; version 1 had several entries."""
    info = hashlib.sha256(b"{}").hexdigest()
    content = {"format": "seqgnn-checkpoint", "version": 2, "info": "{}", "sha256": info} | changes
    metadata = content if entries > 1 else {"seqgnn-checkpoint": json.dumps(content)}
    text = json.dumps({"__metadata__": metadata}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)


def test_read_checkpoint_inverts_write_checkpoint(tmp_path):
    write_checkpoint(tmp_path / "x", TENSORS, INFO)
    tensors, info = read_checkpoint(tmp_path / "x")
    assert info == INFO and list(tmp_path.iterdir()) == [tmp_path / "x"]
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in tensors.items():
        assert tensor.dtype == TENSORS[name].dtype and torch.equal(tensor, TENSORS[name])


def test_read_checkpoint_of_version_1_returns_its_content(tmp_path):
    header(tmp_path / "x", entries=4, version="1")
    assert read_checkpoint(tmp_path / "x") == ({}, {})


def test_write_checkpoint_of_same_content_is_identical(tmp_path):
    files = [tmp_path / name for name in "abcdefgh"]
    for file in files:
        write_checkpoint(file, TENSORS, INFO)
    assert len({file.read_bytes() for file in files}) == 1


def test_write_checkpoint_shared_tensors_are_stored_separately(tmp_path):
    x = torch.arange(12.0).view(3, 4)
    write_checkpoint(tmp_path / "x", {"x": x, "again": x, "column": x[:, 1]}, {})
    tensors, _ = read_checkpoint(tmp_path / "x")
    assert torch.equal(tensors["x"], tensors["again"]) and torch.equal(tensors["column"], x[:, 1])


def test_write_checkpoint_failing_leaves_existing_file(tmp_path, monkeypatch):
    write_checkpoint(tmp_path / "x", {}, {"step": 1})

    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ValueError, match=r"expected a writable file, got: No space left .* unchanged"):
        write_checkpoint(tmp_path / "x", TENSORS, {"step": 2})
    assert read_checkpoint(tmp_path / "x")[1] == {"step": 1} and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(ValueError, match="JSON compliant"):
        write_checkpoint(tmp_path / "x", {}, {"loss": float("nan")})

    def killed(source, target):
        raise KeyboardInterrupt

    monkeypatch.undo()
    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(tmp_path / "x", TENSORS, {"step": 2})
    assert read_checkpoint(tmp_path / "x")[1] == {"step": 1} and len(list(tmp_path.iterdir())) == 1


def test_read_checkpoint_of_invalid_file_names_the_problem(tmp_path):
    path = tmp_path / "x"
    with pytest.raises(ValueError, match=r"expected a readable file, got .*x"):
        read_checkpoint(path)
    write_checkpoint(path, TENSORS, INFO)
    whole = path.read_bytes()
    for part in (0, 1, 7, 40, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:part])
        with pytest.raises(ValueError, match=r"expected a complete checkpoint in .*x, got a damaged file"):
            read_checkpoint(path)
    for content in (pickle.dumps({"a": 1}), pickle.dumps([1], protocol=2)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="got a pickle, which could execute code"):
            read_checkpoint(path)
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="got a pickle"):
        read_checkpoint(path)
    header(path, version=3)
    with pytest.raises(ValueError, match=r"expected version 1 or 2 in .*x, got 3; read it with the version"):
        read_checkpoint(path)
    header(path, format="pt")
    with pytest.raises(ValueError, match=r"expected format 'seqgnn-checkpoint' in .*x, got 'pt'"):
        read_checkpoint(path)
    header(path, entries=4, version="1", format="pt")
    with pytest.raises(ValueError, match=r"expected format 'seqgnn-checkpoint' in .*x, got 'pt'"):
        read_checkpoint(path)
    header(path, info="{")
    with pytest.raises(ValueError, match=r"expected the checksum \(sha256\) of .*x, got a modified file"):
        read_checkpoint(path)
    for text in ("{", "[]"):
        header(path, info=text, sha256=hashlib.sha256(text.encode()).hexdigest())
        with pytest.raises(ValueError, match=r"expected information by name in .*x, got '"):
            read_checkpoint(path)


def test_read_checkpoint_with_flipped_bit_raises_value_error(tmp_path):
    path = tmp_path / "x"
    tensors = TENSORS | {"half": torch.ones(3, dtype=torch.bfloat16), "one": torch.tensor(True)}
    write_checkpoint(path, tensors, INFO)
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(ValueError, match=r"checkpoint: expected .*x, got"):
            read_checkpoint(path)


def test_checkpoints_folder_is_created_cleaned_and_checked(tmp_path):
    with pytest.raises(ValueError, match="expected every to be an integer of at least 1, got 0"):
        Checkpoints(tmp_path, 0)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot create the folder .*file"):
        Checkpoints(tmp_path / "file")
    folder = tmp_path / "run"
    with pytest.raises(ValueError, match=f"cannot create the folder {folder / 'run'}"):
        Checkpoints(folder / "run", parents=False)
    assert not folder.exists()
    checkpoints = Checkpoints(folder, 5, {"model": {}})
    assert checkpoints.load(LAST) is None
    checkpoints.save(BEST, TENSORS, {"step": 2})
    (folder / ".last.safetensors.00000000.tmp").write_text("half")
    assert Checkpoints(folder).load(BEST)[1] == {"step": 2}
    assert [path.name for path in folder.iterdir()] == [BEST]
    write_checkpoint(folder / LAST, {}, {})
    with pytest.raises(ValueError, match=r"expected a training run in .*last.safetensors, got none"):
        checkpoints.load(LAST)


def test_flatten_and_unflatten_nested_state_are_inverse():
    state = {"0": {"m": torch.ones(2), "n": [None, 3, (torch.zeros(1), "x")]}, "e": ()}
    tensors, rest = flatten("s", state)
    assert sorted(tensors) == ["s.0.m", "s.0.n.2.0"]
    back = unflatten(tensors, json.loads(json.dumps(rest)))
    assert torch.equal(back["0"]["m"], torch.ones(2)) and back["0"]["n"][:2] == (None, 3) and back["e"] == ()
    with pytest.raises(ValueError, match=r"expected a tensor 's.0.m', got none of that name"):
        unflatten({}, rest)


def test_map_state_changes_each_tensor():
    state = (torch.zeros(1, 3), (torch.ones(2, 3), None))
    cut = map_state(lambda part: part[:, :2], state)
    assert cut[0].shape == (1, 2) and cut[1][0].shape == (2, 2) and cut[1][1] is None
