"""Text files: encodings, folders and fingerprints."""

from hashlib import sha256

import pytest

from seqgnn.data.io import text as text_files


def test_fingerprint_depends_on_content_and_order_of_files(tmp_path, write):
    one, two = write("one", "1.txt"), write("two", "2.txt")
    of = text_files.fingerprint
    assert of(one) == of([one]) == sha256(b"one").hexdigest()
    assert of(tmp_path) == of([one, two]) != of([two, one])
    assert of(tmp_path) != of(write("onetwo", "3.md"))
    with pytest.raises(ValueError, match="No such file"):
        of(tmp_path / "4.txt")


@pytest.mark.parametrize("piece", [1, 2, 1000])
def test_read_text_has_one_kind_of_line_end(write, monkeypatch, piece):
    monkeypatch.setattr(text_files, "CHUNK", piece)
    files = [write("é\r\nb\rc", "1.txt"), write("d\n", "2.txt")]
    # A line end stands between files, where the first has none.
    assert "".join(text_files.read_text(files, "utf-8")) == "é\nb\nc\nd\n"
    assert text_files.total_bytes(files) == 9


def test_find_files_of_a_folder_are_its_texts_in_order(tmp_path, write):
    for name in ("b.txt", "a.TXT", "c.md"):
        write("x", name)
    assert [path.name for path in text_files.find_files(tmp_path)] == ["a.TXT", "b.txt"]
    assert text_files.find_files(tmp_path / "c.md") == [tmp_path / "c.md"]
