import copy
import math
import pickle
from collections import Counter, defaultdict
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Batch

from seqgnn.data import CharText, SequenceGraph, path_graph, sequence_batch
from seqgnn.models.baselines import ngram
from seqgnn.models.baselines.ngram import NGram
from seqgnn.training.loop import evaluate
from tests.support.paths import DATA

SHAKESPEARE = Path("tinyshakespeare") / "input.txt"
DEMOCRACY = Path("democracy_in_america") / "book_EN_democracy_in_the_US.txt"


def oracle(text, size, order):
    """Return p(c | context) from the formula, with dictionaries."""
    follows = defaultdict(Counter)
    for t, c in enumerate(text):
        for k in range(min(order, t + 1)):
            follows[tuple(text[t - k : t])][c] += 1

    def p(c, before):
        context = tuple(before[max(0, len(before) - order + 1) :])
        shorter = 1 / size
        for k in range(len(context) + 1):
            n_hc = follows.get(context[len(context) - k :], Counter())
            n, t = sum(n_hc.values()), len(n_hc)
            if n:
                shorter = (n_hc[c] + t * shorter) / (n + t)
        return shorter

    return p


def random_text(length, size, seed=0):
    return torch.randint(size, (length,), generator=torch.Generator().manual_seed(seed))


def window(ids):
    return sequence_batch(ids, ids, path_graph(ids.size(1)))


@pytest.mark.parametrize("order", [1, 2, 3, 4, 6, 9])
@pytest.mark.parametrize(("length", "size"), [(1, 3), (2, 3), (5, 2), (60, 2), (300, 5), (200, 40)])
def test_ngram_equals_formula_with_dictionaries(order, length, size):
    text, fresh = random_text(length, size), random_text(3 * 12, size, seed=1).view(3, 12)
    model, p = NGram.fit(text, size, order), oracle(text.tolist(), size, order)
    answer = model(window(fresh))[0].exp()
    expected = [[p(c, row[: t + 1]) for c in range(size)] for row in fresh.tolist() for t in range(12)]
    torch.testing.assert_close(answer, torch.tensor(expected, dtype=torch.double), rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(answer.sum(1), torch.ones(36, dtype=torch.double), rtol=1e-12, atol=0)


def test_ngram_of_abracadabra_equals_hand_values():
    # "abracadabra" without its last letter; a b c d r are 0 1 2 3 4
    text = torch.tensor([0, 1, 4, 0, 2, 0, 3, 0, 1, 4])
    unigram = torch.tensor([4, 2, 1, 1, 2]).double() / 15 + 5 / 15 / 5
    after_b = (torch.tensor([0, 0, 0, 0, 2]) + 1 * unigram) / 3
    after_ab = (torch.tensor([0, 0, 0, 0, 2]) + 1 * after_b) / 3
    after_a = (torch.tensor([0, 2, 1, 1, 0]) + 3 * unigram) / 7
    answer = NGram.fit(text, 5, 3)(window(torch.tensor([[0, 1]])))[0].exp()
    torch.testing.assert_close(answer, torch.stack([after_a, after_ab]))


def test_ngram_of_order_one_is_the_unigram():
    text = torch.tensor([2, 2, 1, 2])
    answer, state = NGram.fit(text, 4, 1)(window(torch.tensor([[0, 3]])))
    # n = 4, t = 2: (n(c) + 2 / 4) / 6
    torch.testing.assert_close(answer.exp(), torch.tensor([[0.5, 1.5, 3.5, 0.5]] * 2).double() / 6)
    assert state.shape == (0, 1)


def test_ngram_unseen_context_uses_the_shorter_one():
    model = NGram.fit(torch.tensor([0, 1, 0, 1, 2]), 4, 3)
    # 3 never occurred, 2 only at the end, where nothing follows: both have the distribution of the empty context
    answer = model(window(torch.tensor([[3], [2]])))[0].exp()
    unigram = (torch.tensor([2, 2, 1, 0]).double() + 3 / 4) / 8
    torch.testing.assert_close(answer, unigram.expand(2, -1))
    # 3 1 was never seen: the distribution is that of 1
    torch.testing.assert_close(model(window(torch.tensor([[3, 1]])))[0][1], model(window(torch.tensor([[1]])))[0][0])


def test_ngram_keys_of_large_alphabet_do_not_overflow():
    size, order = 60_000, 12  # 60000 ** 12 is about 2 ** 190
    text = random_text(200, 30) * 2_000
    model, p = NGram.fit(text, size, order), oracle(text.tolist(), size, order)
    answer = model(window(text[None, 50:70]))[0].exp()
    for t in (0, 5, 19):
        c = int(text[51 + t])
        assert float(answer[t, c]) == pytest.approx(p(c, text[50 : 51 + t].tolist()), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.int64])
def test_ngram_of_any_integer_dtype_is_equal(dtype):
    text = random_text(100, 7)
    model, expected = NGram.fit(text.to(dtype), 7, 3), NGram.fit(text, 7, 3)
    assert all(torch.equal(table, expected.state_dict()[name]) for name, table in model.state_dict().items())
    assert model.score(text.to(dtype)) == expected.score(text)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_ngram_stateful_stream_equals_whole_sequence(order):
    text = random_text(300, 4)
    model = NGram.fit(text, 4, order)
    stream = random_text(2 * 20, 4, seed=1).view(2, 20)
    whole, final = model(window(stream))
    whole = whole.view(2, 20, 4)
    state, start = None, 0
    for length in (1, 1, 5, 2, 11):
        logits, state = model(window(stream[:, start : start + length]), state)
        assert torch.equal(logits.view(2, length, 4), whole[:, start : start + length])
        assert state.shape == (order - 1, 2)
        start += length
    assert torch.equal(state, final)
    assert torch.equal(final, stream[:, 20 - (order - 1) :].T)


def test_ngram_state_marks_positions_before_the_start():
    model = NGram.fit(random_text(50, 3), 3, 4)
    assert model(window(torch.tensor([[2, 1]])))[1].tolist() == [[-1], [2], [1]]


def test_ngram_ragged_batch_equals_single_sequences():
    text = random_text(300, 4)
    model = NGram.fit(text, 4, 4)
    rows = [random_text(length, 4, seed=length) for length in (1, 7, 2, 4)]
    more = [random_text(length, 4, seed=10 + length) for length in (3, 1, 5, 1)]
    together, state = model(Batch.from_data_list([SequenceGraph.from_values(row) for row in rows]))
    onwards, _ = model(Batch.from_data_list([SequenceGraph.from_values(row) for row in more]), state)
    alone = [model(SequenceGraph.from_values(torch.cat(pair)))[0] for pair in zip(rows, more)]
    for sequence, (one, first, second) in enumerate(
        zip(alone, together.split([1, 7, 2, 4]), onwards.split([3, 1, 5, 1]))
    ):
        assert torch.equal(torch.cat([first, second]), one), sequence


def test_ngram_predictions_ignore_future_tokens():
    model = NGram.fit(random_text(300, 4), 4, 3)
    ids = random_text(12, 4, seed=1)[None]
    changed = ids.clone()
    changed[0, 6] = (changed[0, 6] + 1) % 4
    before, after = model(window(ids))[0], model(window(changed))[0]
    assert torch.equal(before[:6], after[:6])
    assert (before != after).any(1).tolist()[6:8] == [True, True]
    assert torch.equal(before[8:], after[8:])  # two characters of context and no more


def test_ngram_score_is_mean_over_all_but_the_first_character(monkeypatch):
    text, held_out = random_text(400, 3), random_text(50, 3, seed=1)
    model, p = NGram.fit(text, 3, 3), oracle(text.tolist(), 3, 3)
    letters = held_out.tolist()
    odds = [[p(c, letters[:t]) for c in range(3)] for t in range(1, 50)]
    expected = -sum(math.log(row[c]) for row, c in zip(odds, letters[1:])) / 49
    right = sum(max(range(3), key=row.__getitem__) == c for row, c in zip(odds, letters[1:])) / 49
    nats, accuracy = model.score(held_out)
    assert nats == pytest.approx(expected, rel=1e-12) and accuracy == right
    for piece in (1, 7, 49, 50):
        monkeypatch.setattr(ngram, "PIECE", piece)
        assert model.score(held_out) == (pytest.approx(nats, rel=1e-12), accuracy)


def test_ngram_restored_or_copied_is_equal():
    model = NGram.fit(random_text(200, 5), 5, 4)
    batch = window(random_text(20, 5, seed=1)[None])
    restored = NGram(5, 4, **model.state_dict())
    for other in (restored, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(batch)[0], model(batch)[0])
    assert not list(model.parameters())
    assert repr(NGram.fit(torch.tensor([0, 1, 0]), 2, 2)) == "NGram(num_tokens=2, order=2, contexts=3)"


def test_ngram_invalid_input_raises_value_error():
    text = random_text(20, 3)
    for wrong, match in [
        ((text.float(), 3, 2), "integer ids, got torch.float32"),
        ((text > 0, 3, 2), "integer ids, got torch.bool"),
        ((text, 2, 2), "ids between 0 and 1, got 0 to 2"),
        ((text - 1, 3, 2), "ids between 0 and 2, got -1 to 1"),
        ((text[:0], 3, 2), r"ids of shape \[L\], at least one, got \[0\]"),
        ((text.view(4, 5), 3, 2), r"ids of shape \[L\], at least one, got \[4, 5\]"),
        ((text, 3, 0), "order to be an integer of at least 1, got 0"),
        ((text, 0, 1), "num_tokens to be an integer of at least 1, got 0"),
    ]:
        with pytest.raises(ValueError, match=f"NGram: expected {match}"):
            NGram.fit(*wrong)
    model = NGram.fit(text, 3, 3)
    batch = window(text.view(4, 5))
    for state, match in [
        (torch.zeros(2, 3, dtype=torch.long), r"a state \[2, 4\] on cpu, got shape \(2, 3\)"),
        ((text, text), r"a state \[2, 4\] on cpu, got \(shape"),
        (torch.zeros(2, 4, dtype=torch.long, device="meta"), r"a state \[2, 4\] on cpu"),
        (torch.zeros(2, 4), "integer ids, got torch.float32"),
        (torch.full((2, 4), 3), "ids between -1 and 2, got 3 to 3"),
    ]:
        with pytest.raises(ValueError, match=f"NGram: expected {match}"):
            model(batch, state)
    with pytest.raises(ValueError, match="ids between 0 and 2, got 3 to 3"):
        model(window(torch.tensor([[3]])))
    with pytest.raises(ValueError, match=r"ids x of shape \[sum L\], got \[20, 1\]"):
        model(sequence_batch(text.view(4, 5, 1), text[:4], path_graph(5)))
    with pytest.raises(ValueError, match="ids x on cpu, got meta"):
        model(Batch(x=text.to("meta")))
    for wrong in (text[:1], text.view(4, 5)):
        with pytest.raises(ValueError, match=r"ids of shape \[L\], at least two, got"):
            model.score(wrong)
    tables = model.state_dict()
    with pytest.raises(ValueError, match=r"counts to be a list of int64, got shape .* torch.float32"):
        NGram(3, 3, **(tables | {"counts": tables["counts"].float()}))
    with pytest.raises(ValueError, match="start one longer than keys and a count per symbol, got"):
        NGram(3, 3, **(tables | {"keys": tables["keys"][:-1]}))


@pytest.mark.gpu
def test_ngram_on_gpu_equals_cpu():
    text = random_text(2000, 9)
    model, batch = NGram.fit(text, 9, 4), window(random_text(60, 9, seed=1).view(3, 20))
    expected, state = model(batch)
    fitted = NGram.fit(text.cuda(), 9, 4)
    for there in (fitted, model.cuda()):
        logits, carried = there(batch.to("cuda"))
        torch.testing.assert_close(logits.cpu(), expected, rtol=1e-12, atol=1e-14)
        assert torch.equal(carried.cpu(), state)
    assert fitted.score(text.cuda())[0] == pytest.approx(NGram.fit(text, 9, 4).score(text)[0], rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "published"),
    [(DEMOCRACY, (2.007, 1.613, 1.423, 1.396)), (SHAKESPEARE, (2.049, 1.774, 1.669, 1.698))],
)
def test_ngram_on_books_equals_published_loss(name, published):
    if not (DATA / name).exists():
        pytest.skip("the book is not here")
    text = CharText(DATA / name, split=(0.9, 0.05, 0.05))
    held_out = torch.cat([text.validation_ids, text.test_ids])
    for order, nats in zip((3, 4, 5, 6), published):
        assert NGram.fit(text.train_ids, text.num_tokens, order).score(held_out)[0] == pytest.approx(nats, abs=2e-3)


def test_ngram_stream_has_lower_loss_than_separate_windows():
    text = CharText(length=10)
    model = NGram.fit(text.train_ids, text.num_tokens, 4)
    assert model.score(text.test_ids)[0] < evaluate(model, text.test(512)).loss
