import copy
import json
import pickle

import numpy as np
import pytest
import torch

from seqgnn.data import Vocabulary


@pytest.fixture
def vocabulary():
    return Vocabulary("ab\né😀", [3, 0, 1, 2, 7])


def test_vocabulary_decode_inverts_encode(vocabulary):
    ids = vocabulary.encode("é😀\nbaab")
    assert ids.tolist() == [3, 4, 2, 1, 0, 0, 1] and ids.dtype == torch.long
    assert vocabulary.decode(ids) == vocabulary.decode(ids.tolist()) == "é😀\nbaab"
    assert (
        vocabulary.decode(ids.view(7, 1).to(torch.int16))
        == vocabulary.decode(np.array([3, 4, 2, 1, 0, 0, 1]))
        == "é😀\nbaab"
    )
    assert vocabulary.decode([]) == vocabulary.decode(torch.empty(0)) == ""
    assert vocabulary.encode("").shape == (0,) and vocabulary.encode("").dtype == torch.long


def test_vocabulary_encode_unknown_characters_raises_or_skips(vocabulary):
    with pytest.raises(ValueError, match=r"expected characters out of the 5 .*, got unknown ' ', 'x', '😁'$"):
        vocabulary.encode("ax 😁bxé")
    with pytest.raises(ValueError, match=r"got unknown '\\U0010ffff'$"):
        vocabulary.encode("a\U0010ffff")
    assert vocabulary.encode("ax 😁bxé", on_unknown="skip").tolist() == [0, 1, 3]
    assert vocabulary.encode("xx", on_unknown="skip").tolist() == []
    with pytest.raises(ValueError, match="expected on_unknown to be one of 'error', 'skip', got 'skp'; did you mean"):
        vocabulary.encode("a", on_unknown="skp")
    with pytest.raises(ValueError, match="expected a text to encode, got bytes"):
        vocabulary.encode(b"a")


@pytest.mark.parametrize(
    ("ids", "got"),
    [
        ([0, 5], "0 to 5"),
        ([-1], "-1 to -1"),
        (torch.tensor([0.0, 1.0]), "0.0 to 1.0"),
        ([True], "bool"),
    ],
)
def test_vocabulary_decode_invalid_ids_raises_value_error(vocabulary, ids, got):
    with pytest.raises(ValueError, match=f"Vocabulary: expected ids, integers between 0 and 4, got {got}"):
        vocabulary.decode(ids)


def test_vocabulary_is_immutable_hashable_and_comparable(vocabulary):
    assert len(vocabulary) == 5 and vocabulary.counts == (3, 0, 1, 2, 7) and vocabulary.characters == "ab\né😀"
    assert repr(vocabulary) == "Vocabulary(5 characters, 13 counted)"
    assert vocabulary == Vocabulary("ab\né😀", (3, 0, 1, 2, 7)) != Vocabulary("ab\né😀", (3, 0, 1, 2, 8))
    assert vocabulary != Vocabulary("ba\né😀", (3, 0, 1, 2, 7)) and vocabulary != "ab\né😀"
    assert len({vocabulary, copy.deepcopy(vocabulary), pickle.loads(pickle.dumps(vocabulary))}) == 1
    with pytest.raises(AttributeError):
        vocabulary.characters = "abc"


def test_vocabulary_from_dict_inverts_to_dict_through_json(vocabulary):
    for one in (vocabulary, Vocabulary("\ud800\0", [1, 1])):  # what cannot be UTF-8 survives too
        back = Vocabulary.from_dict(json.loads(json.dumps(one.to_dict())))
        assert back == one and back.encode(one.characters).tolist() == list(range(len(one)))
        assert back.decode(range(len(one))) == one.characters


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"characters": "ab"}, r"a dict with 'characters' and 'counts', got \['characters'\]"),
        ({"characters": "ab", "counts": [1, 2], "more": 0}, "a dict with"),
        ("ab", "a dict with 'characters' and 'counts', got str"),
        ({"characters": "", "counts": []}, "a text of at least one character, got ''"),
        ({"characters": ["a", "b"], "counts": [1, 2]}, r"a text of at least one character, got \['a', 'b'\]"),
        ({"characters": "aba", "counts": [1, 2, 3]}, "distinct characters, got duplicates 'a'$"),
        ({"characters": "ab", "counts": [1]}, "2 counts, one per character, got 1"),
        ({"characters": "ab", "counts": 2}, "2 counts, one per character, got 1"),
        ({"characters": "ab", "counts": [1, -1]}, "counts to be integers of at least 0, got -1"),
        ({"characters": "ab", "counts": [1, 0.5]}, "counts to be integers of at least 0, got 0.5"),
        ({"characters": "ab", "counts": [1, True]}, "counts to be integers of at least 0, got True"),
    ],
)
def test_vocabulary_from_dict_invalid_values_raise_value_error(values, match):
    with pytest.raises(ValueError, match=f"Vocabulary: expected {match}"):
        Vocabulary.from_dict(values)
