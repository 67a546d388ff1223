import os
import time
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Batch

from seqgnn.data import CharText, path_graph, powers_of_two

SHARED = Path(__file__).parents[3] / "shared" / "data"


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


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


def test_parts_are_contiguous_and_in_order(alphabet):
    text = CharText(alphabet, length=4, split=(0.7, 0.2, 0.1))
    assert text.train_ids.tolist() == list(range(140))
    assert text.validation_ids.tolist() == list(range(140, 180))
    assert text.test_ids.tolist() == list(range(180, 200))
    assert (text.num_tokens, text.num_classes, text.unseen) == (200, 200, 60)
    assert (text.per_element, text.directed, text.readout, text.length) == (True, True, "last", 4)


def test_draws_are_windows_of_the_training_part(alphabet):
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
def test_validation_and_test_predict_every_character_once(alphabet, batch_size):
    text = CharText(alphabet, length=6, split=(0.7, 0.2, 0.1))
    for batches, ids in ((text.validation, text.validation_ids), (text.test, text.test_ids)):
        got = list(batches(batch_size))
        assert torch.equal(torch.cat([batch.x for batch in got]), ids[:-1])
        assert torch.equal(torch.cat([batch.y for batch in got]), ids[1:])
        assert all(batch.num_graphs <= batch_size for batch in got)
        assert [sample.num_nodes for batch in got for sample in batch.to_data_list()] == [6] * (len(ids) // 6) + [
            (len(ids) - 1) % 6
        ]
        assert got[-1].edge_index.tolist() == path_graph((len(ids) - 1) % 6).tolist()


def test_a_part_of_whole_windows_has_no_rest(write):
    text = CharText(write("ab" * 50), length=3, split=(0.8, 0.1, 0.1))
    assert [sample.num_nodes for sample in next(text.test(8)).to_data_list()] == [3, 3, 3]
    assert len(list(text.test(8))) == 1


def test_vocabulary_encode_decode(write):
    text = CharText(write("cab\r\nbac\rcab\n" * 10), length=3)
    assert text.vocabulary == "\nabc"
    assert text.encode("abc\n").tolist() == [1, 2, 3, 0]
    assert text.decode(text.encode("bac\ncab")) == "bac\ncab"
    assert text.decode([3, 1]) == "ca"
    assert text.decode([]) == "" and text.encode("").dtype == torch.long
    assert text.decode(text.train_ids[:12]) == "cab\nbac\ncab\n"
    with pytest.raises(ValueError, match="CharText: expected characters out of the 4 of the text, got 'x'"):
        text.encode("cabx")
    for ids in ([0, 4], [-1]):
        with pytest.raises(ValueError, match="CharText: expected ids between 0 and 3, got"):
            text.decode(ids)


def test_attributes(alphabet):
    assert CharText(alphabet, length=9).depth == 8
    text = CharText(alphabet, length=9, hops=powers_of_two(9), directed=False)
    assert (text.hops, text.depth, text.directed) == ((1, 2, 4, 8), 4, False)
    assert repr(CharText()) == 'CharText("Python\'s help topics", length=30)'


def test_help_topics_are_the_default():
    text = CharText()
    assert 300_000 < len(text.train_ids) < 1_000_000 and 95 < text.num_tokens < 130
    whole = text.decode(torch.cat([text.train_ids, text.validation_ids, text.test_ids]))
    assert "assert" in whole[:3000] and whole == CharText().decode(text.encode(whole))


def test_utf8_with_and_without_mark(write):
    content = "né " * 60
    with_mark, without = (CharText(write(mark + content.encode()), length=2) for mark in (b"\xef\xbb\xbf", b""))
    assert with_mark.vocabulary == without.vocabulary == " né"
    assert CharText(write(b"\xef\xbb\xbf" + content.encode()), length=2, encoding="utf-8").num_tokens == 4
    assert CharText(write(content.encode("utf-16")), length=2, encoding="utf-16").vocabulary == " né"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_wrong_encoding_names_byte_offset_and_encodings(write, mark):
    path = write(mark + b"plain text, then \xe9t\xe9" * 20)
    with pytest.raises(ValueError) as error:
        CharText(path)
    assert str(error.value) == (
        f"CharText: expected {path} to be utf-8-sig, got byte 0xe9 at offset {len(mark) + 17}; "
        "encodings that can read it: cp1252, latin-1"
    )


def test_wrong_encoding_of_utf16(write):
    with pytest.raises(
        ValueError, match="got byte 0xff at offset 0; encodings that can read it: utf-16, cp1252, latin-1"
    ):
        CharText(write("plain text".encode("utf-16")))
    with pytest.raises(
        ValueError, match=r"to be ascii, .* at offset 2; encodings that can read it: utf-8-sig, latin-1"
    ):
        CharText(write("caÁ"), encoding="ascii")


def test_bad_files(write, tmp_path):
    with pytest.raises(ValueError, match=r"got .*no\.txt: No such file or directory"):
        CharText(tmp_path / "no.txt")
    with pytest.raises(ValueError, match=r"expected a text file that can be read, got .*: Is a directory"):
        CharText(os.fspath(tmp_path))
    with pytest.raises(ValueError, match="expected a text, got the empty file"):
        CharText(write(b""))
    with pytest.raises(ValueError, match="expected the name of an encoding, got 'utf-88'"):
        CharText(write("a"), encoding="utf-88")
    for content in ("a" * 100, b"\xef\xbb\xbf"):
        with pytest.raises(
            ValueError, match=r"parts \(0.9, 0.05, 0.05\) have more than length=5 .* got (100|0) charac"
        ):
            CharText(write(content), length=5)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"length": 0}, "expected length to be an integer of at least 1, got 0"),
        ({"split": (0.9, 0.1)}, r"expected split to be three positive shares that add up to 1, got \(0.9, 0.1\)"),
        ({"split": (0.9, 0.1, 0.0)}, "expected split"),
        ({"split": (0.9, float("nan"), 0.1)}, "expected split"),
        ({"split": (0.5, 0.1, 0.1)}, "expected split"),
        ({"hops": (0,)}, "expected hops"),
        ({"hops": (2,)}, "expected hops that lead 29 elements on"),
    ],
)
def test_arguments_are_checked(arguments, match):
    with pytest.raises(ValueError, match=match):
        CharText(**arguments)


def test_batch_size_is_checked(alphabet):
    text = CharText(alphabet, length=3)
    for call in (lambda: text.draw(0, generator()), lambda: text.validation(0), lambda: text.test(-3)):
        with pytest.raises(ValueError, match="CharText: expected batch_size to be an integer of at least 1"):
            call()


def test_drawing_is_cheap():
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
def test_known_texts(name, characters, distinct):
    if not (SHARED / name).exists():
        pytest.skip("the file is not here")
    text = CharText(SHARED / name)
    assert len(text.train_ids) + len(text.validation_ids) + len(text.test_ids) == characters
    assert text.num_tokens == distinct
