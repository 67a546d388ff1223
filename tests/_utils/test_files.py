"""Atomic writes of files."""

import json
import os
import stat

import pytest

from seqgnn._utils.files import NotWritten, remove_unfinished, write_all, write_atomically


def test_write_atomically_sets_default_permissions(tmp_path):
    (tmp_path / "plain").write_text("")
    write_atomically(tmp_path / "atomic", "text")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "atomic")]
    assert modes[0] == modes[1]
    assert json.dumps((tmp_path / "atomic").read_text()) == '"text"'


def test_write_atomically_failing_leaves_the_old_file(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    (tmp_path / "x").write_text("before")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/x'"):
        write_atomically(tmp_path / "x", b"after")
    assert (tmp_path / "x").read_text() == "before" and len(list(tmp_path.iterdir())) == 1


def test_write_all_writes_what_it_can_and_names_the_rest(tmp_path):
    (tmp_path / "folder").mkdir()
    files = [(tmp_path / "a", "é"), (tmp_path / "folder", "b"), (tmp_path / "c", b"c")]
    with pytest.raises(NotWritten, match=r"write: expected writable files, got .*folder \(Is a directory\)") as error:
        write_all(files)
    assert error.value.written == [tmp_path / "a", tmp_path / "c"] and len(error.value.lost) == 1
    assert (tmp_path / "a").read_text(encoding="utf-8") == "é" and (tmp_path / "c").read_text() == "c"
    assert write_all(files[::2]) == [tmp_path / "a", tmp_path / "c"]


def test_remove_unfinished_leaves_other_files(tmp_path):
    for name in (".x.json.0a1b2c3d.tmp", "x.json", ".x.tmp"):
        (tmp_path / name).write_text("")
    remove_unfinished(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"x.json", ".x.tmp"}
