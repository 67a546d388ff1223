import copy
import os
import pickle
import subprocess
import sys
import tempfile
import time

import pytest
import torch
from torch_geometric.data import Batch

from seqgnn.data import CharText, Vocabulary, exponential_hops, path_graph
from seqgnn.data.io import text as text_files
from seqgnn.tasks import language_modeling as char_text
from tests.support.paths import DATA


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def whole(text):
    return text.decode(torch.cat([text.train_ids, text.validation_ids, text.test_ids]))


@pytest.fixture
def write(tmp_path):
    def write(content, name="text.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def alphabet(write):
    """200 characters, so that a window tells where it is from; every one occurs once."""
    return write("".join(chr(0x4E00 + i) for i in range(200)))


def test_char_text_parts_are_contiguous_and_in_order(alphabet):
    text = CharText(alphabet, length=4, split=(0.7, 0.2, 0.1))
    assert text.train_ids.tolist() == list(range(140))
    assert text.validation_ids.tolist() == list(range(140, 180))
    assert text.test_ids.tolist() == list(range(180, 200))
    assert (text.num_tokens, text.num_classes, text.unseen) == (200, 200, 60)
    assert (text.per_element, text.directed, text.readout, text.length) == (True, True, "last", 4)


def test_char_text_draw_returns_windows_of_the_training_part(alphabet):
    text = CharText(alphabet, length=4, split=(0.7, 0.2, 0.1), hops=(1, 2))
    batch = text.draw(3000, generator())
    assert isinstance(batch, Batch)
    x, y = batch.x.view(3000, 4), batch.y.view(3000, 4)
    assert torch.equal(y, x + 1)
    assert torch.equal(x, x[:, :1] + torch.arange(4))
    starts = x[:, 0].bincount()
    assert len(starts) == 136 and bool((starts > 0).all())  # from the first window to the last one that fits
    assert batch[5].edge_index.tolist() == path_graph(4, hops=(1, 2)).tolist()
    one, two = generator(4), generator(4)
    assert torch.equal(text.draw(3, one).x, text.draw(3, two).x)
    assert not torch.equal(text.draw(3, one).x, batch.x[:12])


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_char_text_validation_and_test_predict_each_token_once(alphabet, batch_size):
    text = CharText(alphabet, length=6, split=(0.7, 0.2, 0.1))
    for batches, ids in ((text.validation, text.validation_ids), (text.test, text.test_ids)):
        got = list(batches(batch_size))
        assert torch.equal(torch.cat([batch.x for batch in got]), ids[:-1].long())
        assert torch.equal(torch.cat([batch.y for batch in got]), ids[1:].long())
        assert all(batch.num_graphs <= batch_size for batch in got)
        assert [sample.num_nodes for batch in got for sample in batch.to_data_list()] == [6] * (len(ids) // 6) + [
            (len(ids) - 1) % 6
        ]
        assert got[-1].edge_index.tolist() == path_graph((len(ids) - 1) % 6).tolist()


def test_char_text_part_of_whole_windows_has_no_remainder(write):
    text = CharText(write("ab" * 50), length=3, split=(0.8, 0.1, 0.1))
    assert [sample.num_nodes for sample in next(text.test(8)).to_data_list()] == [3, 3, 3]
    assert len(list(text.test(8))) == 1


def test_char_text_encode_and_decode_are_inverse(write):
    text = CharText(write("cab\r\nbac\rcab\n" * 10), length=3)
    assert text.vocabulary == Vocabulary("\nabc", [27, 27, 27, 27])  # of the first 108 characters
    assert text.encode("abc\n").tolist() == [1, 2, 3, 0]
    assert text.decode(text.encode("bac\ncab")) == "bac\ncab"
    assert text.decode([3, 1]) == "ca"
    assert text.decode([]) == "" and text.encode("").dtype == torch.long
    assert text.decode(text.train_ids[:12]) == "cab\nbac\ncab\n"
    assert text.encode("cxab", on_unknown="skip").tolist() == [3, 1, 2]
    with pytest.raises(ValueError, match="expected characters out of the 4 of the vocabulary, got unknown 'x', 'y'"):
        text.encode("yabxy")


def test_char_text_attributes_follow_length_and_hops(alphabet):
    assert CharText(alphabet, length=9).depth == 8
    text = CharText(alphabet, length=9, hops=exponential_hops(9), directed=False)
    assert (text.hops, text.depth, text.directed) == ((1, 2, 4, 8), 4, False)
    assert repr(CharText()) == 'CharText("Python\'s help topics", length=30)'


def test_char_text_default_is_python_help_topics():
    text = CharText()
    assert 300_000 < len(text.train_ids) < 1_000_000 and 95 < text.num_tokens < 130
    assert "assert" in whole(text)[:3000] and whole(text) == CharText().decode(text.encode(whole(text)))


def test_char_text_utf8_with_and_without_bom_is_equal(write):
    content = "né " * 60
    with_mark, without = (CharText(write(mark + content.encode()), length=2) for mark in (b"\xef\xbb\xbf", b""))
    assert with_mark.vocabulary == without.vocabulary == Vocabulary(" né", [54, 54, 54])
    assert CharText(write(b"\xef\xbb\xbf" + content.encode()), length=2, encoding="utf-8").num_tokens == 4
    assert CharText(write(content.encode("utf-16")), length=2, encoding="utf-16").vocabulary.characters == " né"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_char_text_wrong_encoding_names_byte_and_encodings(write, mark):
    path = write(mark + b"plain text, then \xe9t\xe9" * 20)
    with pytest.raises(ValueError) as error:
        CharText(path)
    assert str(error.value) == (
        f"CharText: expected {path} to be utf-8-sig, got byte 0xe9 at offset {len(mark) + 17}; "
        "encodings that can read it: cp1252, latin-1"
    )


def test_char_text_wrong_utf16_or_ascii_names_encodings(write):
    with pytest.raises(ValueError, match=r"got byte 0xff at offset 0; encodings that can read it: utf-16$"):
        CharText(write("plain text".encode("utf-16")))
    with pytest.raises(
        ValueError, match=r"to be ascii, .* at offset 2; encodings that can read it: utf-8-sig, latin-1"
    ):
        CharText(write("caÁ"), encoding="ascii")


def test_char_text_utf16_without_bom_needs_its_encoding(write):
    path = write(("plain text" * 20).encode("utf-16-le"))
    assert CharText(path, length=2, encoding="utf-16-le").decode([0]) == " "
    with pytest.raises(ValueError, match=r"got the binary file .* \(NUL at character 1\); UTF-16 without a mark is"):
        CharText(path)
    with pytest.raises(ValueError, match=r"utf-16, got byte 0x70 at offset 0; encodings .*: utf-8-sig, cp1252, latin"):
        CharText(write("plain text"), encoding="utf-16")


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "shift_jis", "cp1252"])
def test_char_text_read_in_pieces_is_equal(write, monkeypatch, piece, encoding):
    content = "één\r\ntwo\rthree\n\r\n" if encoding != "shift_jis" else "日本\r\nab\rc語\n\r\n"
    path = write((content * 9).encode(encoding))
    monkeypatch.setattr(text_files, "CHUNK", piece)
    text = CharText(path, length=2, encoding=encoding)
    assert whole(text) == (content * 9).replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize("piece", [1, 2, 3, 16, 1000])
def test_char_text_wrong_byte_offset_is_exact_over_pieces(write, monkeypatch, piece):
    monkeypatch.setattr(text_files, "CHUNK", piece)
    good = "日本né\r\n".encode()
    for content, encoding, offset in (
        (good * 3 + b"a\xff", "utf-8-sig", 3 * len(good) + 1),
        (b"\xef\xbb\xbf" + good * 3 + b"\xe6\x97a", "utf-8-sig", 3 + 3 * len(good)),
        (good * 3 + "日".encode()[:2], "utf-8", 3 * len(good)),
        ("日本né".encode("utf-16-le") + b"\x00\xd8a\x00", "utf-16-le", 8),
        (b"ab\x81\x40\xff", "shift_jis", 4),
    ):
        with pytest.raises(ValueError, match=rf"to be {encoding}, got byte 0x.. at offset {offset};"):
            CharText(write(content), encoding=encoding)


def test_char_text_invalid_files_raise_value_error(write, tmp_path):
    with pytest.raises(ValueError, match=r"got .*no\.txt: No such file or directory"):
        CharText(tmp_path / "no.txt")
    for content in (b"", b"\xef\xbb\xbf"):
        with pytest.raises(ValueError, match=r"expected a text, got the empty file .*text\.txt"):
            CharText(write(content))
    for encoding in ("utf-88", "hex", "undefined", "a\0b", 8):
        with pytest.raises(ValueError, match="expected the name of an encoding, got"):
            CharText(write("a"), encoding=encoding)
    with pytest.raises(
        ValueError, match=r"at least two distinct characters, got 'a' alone, 100 times, from .*text\.txt"
    ):
        CharText(write("a" * 100), length=5)
    with pytest.raises(ValueError, match=r"parts \(0.9, 0.05, 0.05\) have more than length=5 .* got 100 characters"):
        CharText(write("ab" * 50), length=5)
    with pytest.raises(ValueError, match=r"got the binary file .* \(NUL at character 2\)"):
        CharText(write(b"ab\0cd" * 50))
    with pytest.raises(ValueError, match="got byte 0x89 at offset 0; it is a binary file"):
        CharText(write(b"\x89PNG\r\n\x1a\n\0\0"))


def test_char_text_folders_and_lists_are_joined_in_order(tmp_path):
    for name, content in (("b.txt", "b\n"), ("a/c.TXT", "cc"), ("a/d.txt", "d\r"), ("z.md", "zzz"), ("e.txt", "ee")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content.encode() * 10)
    split = {"length": 1, "split": (0.8, 0.1, 0.1)}
    folder = CharText(tmp_path, **split)
    assert whole(folder) == "cc" * 10 + "\n" + "d\n" * 10 + "b\n" * 10 + "ee" * 10
    assert [file.name for file in folder.files] == ["c.TXT", "d.txt", "b.txt", "e.txt"]
    listed = CharText([os.fspath(tmp_path / "e.txt"), tmp_path / "z.md", tmp_path / "a"], **split)
    assert whole(listed) == "ee" * 10 + "\n" + "zzz" * 10 + "\n" + "cc" * 10 + "\n" + "d\n" * 10
    assert "e.txt, " in repr(listed)
    (tmp_path / "a" / "c.TXT").write_bytes(b"caf\xe9")
    with pytest.raises(ValueError, match=r"expected .*c\.TXT to be utf-8-sig, got byte 0xe9 at offset 3; .*cp1252"):
        CharText(tmp_path, **split)
    (tmp_path / "a" / "c.TXT").write_bytes(b"")
    with pytest.raises(ValueError, match=r"got the empty file .*c\.TXT"):
        CharText(tmp_path, **split)
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match=r"expected a folder with text files \(\*\.txt\), got none in .*none"):
        CharText(tmp_path / "none")
    for nothing in ([], 5):
        with pytest.raises(ValueError, match="expected a file, a folder or a list of them, got"):
            CharText(nothing)


def test_char_text_with_vocabulary_uses_it_and_rejects_unknown(write, alphabet):
    large = Vocabulary("zyxcba", [1, 2, 3, 4, 5, 6])
    text = CharText(write("abc" * 40, "abc.txt"), length=2, vocabulary=large)
    assert text.vocabulary is large and text.num_classes == 6 and text.unseen == 0
    assert text.train_ids[:4].tolist() == [5, 4, 3, 5]
    with pytest.raises(ValueError, match=r"CharText: .* the 6 of the vocabulary, got unknown 'd', 'q' in .*abc\.txt"):
        CharText(write("abqdc" * 40, "abc.txt"), length=2, vocabulary=large)
    again = CharText(alphabet, length=4, vocabulary=CharText(alphabet, length=4).vocabulary)
    assert again.train_ids.tolist() == list(range(180)) and again.unseen == 20


@pytest.mark.parametrize(("distinct", "dtype"), [(256, torch.uint8), (257, torch.int16), (2**15 + 1, torch.int32)])
def test_char_text_ids_are_small_and_batches_int64(write, distinct, dtype):
    points = [point for point in range(0x100, 0x100 + distinct + 2048) if not 0xD800 <= point < 0xE000][:distinct]
    content = "".join(map(chr, points))
    text = CharText(write(content), length=2)
    assert text.train_ids.dtype == text.test_ids.dtype == dtype
    assert whole(text) == content
    for batch in (text.draw(2, generator()), next(text.test(2)), text.stream(2, 0)[0], next(text.streams("test", 2))):
        assert batch.x.dtype == batch.y.dtype == torch.long
    assert next(text.streams("test", 1)).x[0] == len(text.train_ids) + len(text.validation_ids)


def targets_of(text, batch):
    """Positions in the alphabet, which are the ids."""
    y = batch.y.view(batch.num_graphs, -1)
    assert torch.equal(y, batch.x.view(batch.num_graphs, -1) + 1)
    return y


@pytest.mark.parametrize(("length", "batch_size"), [(4, 3), (4, 1), (7, 5), (1, 2), (30, 4), (9, 13)])
def test_char_text_stream_continues_and_covers_every_window(alphabet, length, batch_size):
    text = CharText(alphabet, length=length, split=(0.68, 0.16, 0.16))
    each = (len(text.train_ids) - 1) // batch_size
    cycle = each - length + 1
    passes, previous = [], None
    for index in range(2 * cycle):
        batch, first = text.stream(batch_size, index)
        y = targets_of(text, batch)
        assert y.shape == (batch_size, length)
        assert torch.equal(y[1:], y[:-1] + each)  # streams are contiguous
        if first:
            passes.append([])
        else:
            assert torch.equal(y[:, 0], previous[:, -1] + 1)  # and are continued
        passes[-1].append(int(batch.x[0]))
        previous = y
    starts = [start for one in passes for start in one]
    assert sorted(starts[:cycle]) == list(range(cycle))  # in a cycle, every window once
    assert starts[cycle:] == starts[:cycle]
    assert [one[0] for one in passes[: len(passes) // 2]] == list(range(min(length, cycle)))
    assert torch.equal(text.stream(batch_size, 5)[0].y, text.stream(batch_size, 5)[0].y)


@pytest.mark.parametrize("part", ["validation", "test", "train"])
@pytest.mark.parametrize(("length", "batch_size"), [(4, 1), (4, 3), (7, 5), (1, 2), (9, 13), (3, 500)])
def test_char_text_streams_predict_every_token_once(alphabet, part, length, batch_size):
    text = CharText(alphabet, length=length, split=(0.7, 0.2, 0.1), hops=(1, 2))
    ids = {"validation": text.validation_ids, "test": text.test_ids, "train": text.train_ids}[part]
    streams = [[] for _ in range(batch_size)]
    for batch in text.streams(part, batch_size):
        for row, y in enumerate(targets_of(text, batch)):
            assert not streams[row] or streams[row][-1] + 1 == int(y[0])
            streams[row] += y.tolist()
        steps = batch.num_nodes // batch.num_graphs
        assert steps <= length
        assert batch[0].edge_index.tolist() == path_graph(steps, hops=(1, 2)).tolist()
    assert [position for stream in streams for position in stream] == ids[1:].tolist()
    lengths = [len(stream) for stream in streams]
    assert lengths == sorted(lengths, reverse=True) and lengths[0] - lengths[-1] <= 1


def test_char_text_stream_invalid_arguments_raise_value_error(alphabet):
    text = CharText(alphabet, length=4)
    for call in (lambda: text.stream(0, 0), lambda: text.streams("test", 0)):
        with pytest.raises(ValueError, match="CharText: expected batch_size to be an integer of at least 1, got 0"):
            call()
    with pytest.raises(ValueError, match="CharText: expected index to be an integer of at least 0, got -1"):
        text.stream(1, -1)
    assert text.stream(44, 0)[0].num_graphs == 44
    with pytest.raises(ValueError, match=r"batch_size of at most 44, so that each stream has length=4 .* got 45"):
        text.stream(45, 0)
    with pytest.raises(ValueError, match="expected part to be one of 'validation', 'test', 'train', got 'tests'; did"):
        text.streams("tests", 1)


def test_char_text_above_limit_is_memory_mapped_and_equal(write, monkeypatch, tmp_path):
    path = write("".join(chr(0x100 + i % 300) for i in range(4000)))
    small = CharText(path)
    monkeypatch.setattr(char_text, "MAP_ABOVE", 1000)
    monkeypatch.setattr(text_files, "CHUNK", 101)
    (tmp_path / "space").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", os.fspath(tmp_path / "space"))
    large = CharText(path)
    assert list((tmp_path / "space").iterdir()) == []
    assert large.vocabulary == small.vocabulary and large.unseen == small.unseen
    for name in ("train_ids", "validation_ids", "test_ids"):
        assert torch.equal(getattr(large, name), getattr(small, name))
    for text in (large, pickle.loads(pickle.dumps(large)), copy.deepcopy(large), large):
        assert torch.equal(text.draw(5, generator()).x, small.draw(5, generator()).x)

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(char_text.mmap, "mmap", full)
    with pytest.raises(ValueError, match=r"expected 8000 free bytes in .*space \(TMPDIR\), got: No space left"):
        CharText(path)


def test_char_text_file_changed_while_read_raises_value_error(write, monkeypatch):
    path = write("abc" * 400)
    survey = char_text._survey

    for content in ("abc" * 500, "abd" * 400, "abc" * 300):

        def survey_and_write(pieces, content=content):
            found = survey(pieces)
            path.write_text(content)
            return found

        path.write_text("abc" * 400)
        monkeypatch.setattr(char_text, "_survey", survey_and_write)
        with pytest.raises(ValueError, match="expected files that do not change"):
            CharText(path)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"length": 0}, "expected length to be an integer of at least 1, got 0"),
        ({"split": (0.9, 0.1)}, r"expected split to be three positive fractions with sum 1, got \(0.9, 0.1\)"),
        ({"split": (0.9, 0.1, 0.0)}, "expected split"),
        ({"split": (0.9, float("nan"), 0.1)}, "expected split"),
        ({"split": (0.5, 0.1, 0.1)}, "expected split"),
        ({"hops": (0,)}, "expected hops"),
        ({"hops": (2,)}, "expected hops that can sum to 29"),
    ],
)
def test_char_text_invalid_arguments_raise_value_error(arguments, match):
    with pytest.raises(ValueError, match=match):
        CharText(**arguments)


def test_char_text_invalid_batch_size_raises_value_error(alphabet):
    text = CharText(alphabet, length=3)
    for call in (lambda: text.draw(0, generator()), lambda: text.validation(0), lambda: text.test(-3)):
        with pytest.raises(ValueError, match="CharText: expected batch_size to be an integer of at least 1"):
            call()


def test_char_text_draw_takes_less_than_a_millisecond():
    text, source = CharText(length=30), generator()
    text.draw(64, source)
    times = []
    for _ in range(50):
        start = time.perf_counter()
        text.draw(64, source)
        times.append(time.perf_counter() - start)
    assert min(times) < 1e-3  # about 0.1 ms on one core


@pytest.mark.parametrize(
    ("name", "characters", "distinct"),
    [
        ("democracy_in_america/book_EN_democracy_in_the_US.txt", 1_148_434, 83),
        ("tinyshakespeare/input.txt", 1_115_394, 65),
    ],
)
def test_char_text_of_known_files_has_known_sizes(name, characters, distinct):
    if not (DATA / name).exists():
        pytest.skip("the file is not here")
    text = CharText(DATA / name)
    assert len(text.train_ids) + len(text.validation_ids) + len(text.test_ids) == characters
    assert text.num_tokens == distinct


@pytest.mark.slow
def test_char_text_of_large_file_needs_little_memory(tmp_path):
    pytest.importorskip("resource")  # not on Windows
    path = tmp_path / "large.txt"
    with path.open("wb") as file:
        for i in range(150):
            file.write((f"{i}: the quick brown fox jumps over the lazy dog\r\n" * 2**15).encode()[: 2**20])
    code = f"""
import resource, torch
from seqgnn.data import CharText
CharText().draw(64, torch.Generator())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
text = CharText({os.fspath(path)!r})
for i in range(100):
    text.draw(64, torch.Generator().manual_seed(i)), text.stream(64, i)
for batch in text.streams("validation", 10_000):
    pass
print(len(text.train_ids), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    characters, growth = map(int, done.stdout.split())
    assert characters > 130e6
    assert growth < 75_000 * (1024 if sys.platform == "darwin" else 1)  # which counts in bytes
