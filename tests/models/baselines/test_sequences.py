import math

import pytest
import torch
from torch_geometric.data import Batch

from seqgnn.data import Adding, CharText, Copying, FirstDigitRecall, Palindromes
from seqgnn.models.baselines.ngram import NGram
from seqgnn.models.baselines.sequences import NAMES, NGRAMS, _Bigram, fit_baseline, suitable
from seqgnn.training.loop import evaluate


class Letters:
    """Next letter over {0, 1, 2}: fixed windows, so that every count is known."""

    name, num_tokens, num_classes, per_element = "letters", 3, 3, True
    train = (torch.tensor([0, 1, 0, 1, 0, 0]), torch.tensor([1, 0, 1, 0, 0, 1]))

    def draw(self, batch_size, generator):
        return Batch(x=self.train[0], y=self.train[1], batch=torch.zeros(6, dtype=torch.long))

    def validation(self, batch_size):
        yield Batch(x=torch.tensor([0, 1]), y=torch.tensor([1, 0]))

    def test(self, batch_size):
        yield Batch(x=torch.tensor([0, 1, 2]), y=torch.tensor([1, 0, 2]))


class Marks:
    """Two features at each of two elements; the class is the sign of the last one. Classes may be missing."""

    name, num_tokens, num_features, num_classes, per_element = "marks", None, 2, 2, False

    def __init__(self, num_classes=2):
        self.num_classes = num_classes

    def draw(self, batch_size, generator):
        x = torch.randn(batch_size * 2, 2, generator=generator)
        batch = Batch(x=x, y=(x[1::2, 1] > 0).long())
        batch._num_graphs = batch_size
        return batch


def test_suitable_baselines_depend_on_the_task():
    assert suitable(Palindromes(6)) == ("chance", "majority", "linear")
    assert suitable(Letters()) == ("chance", "majority", "bigram")
    assert suitable(Adding(6)) == ("constant", "linear")
    assert suitable(Copying(6)) == ("chance", "majority", "memoryless")
    other = Letters()
    other.num_classes = 2
    assert suitable(other) == ("chance", "majority")


@pytest.fixture
def text(tmp_path):
    letters = torch.randint(5, (2000,), generator=torch.Generator().manual_seed(0)).tolist()
    path = tmp_path / "text.txt"
    path.write_text("".join("abcde"[a] + "abcde"[(a + 1) % 5] for a in letters))
    return CharText(path, length=10)


def test_suitable_ngrams_are_for_texts_only(text):
    assert tuple(NGRAMS) == ("unigram", "ngram-2", "ngram-3", "ngram-4", "ngram-5", "ngram-6")
    assert suitable(text) == ("chance", "majority", "bigram", *NGRAMS)
    assert set(NAMES) == {*suitable(text), "linear", "constant", "memoryless"}
    assert suitable(Letters()) == ("chance", "majority", "bigram")
    other = Letters()
    other.train_ids, other.num_classes = Letters.train[0], 2
    assert suitable(other) == ("chance", "majority")


def test_fit_baseline_ngram_counts_the_whole_training_text(text):
    for order, name in enumerate(NGRAMS, start=1):
        model = fit_baseline(name, text)
        expected = evaluate(NGram.fit(text.train_ids, 5, order), text.test(64))
        assert model.evaluate(text.test(64)) == expected
        assert fit_baseline(name, text, samples=1, seed=7).evaluate(text.test(64)) == expected
    # every other letter follows from the one before it
    assert fit_baseline("ngram-3", text).evaluate(text.test(64)).loss < 0.7 * math.log(5)
    assert fit_baseline("unigram", text).evaluate(text.test(64)).loss == pytest.approx(math.log(5), abs=0.02)


def test_fit_baseline_chance_has_uniform_accuracy_and_loss():
    task = Palindromes(6, test_size=100)
    result = fit_baseline("chance", task).evaluate(task.test(64))
    assert (result.accuracy, result.count) == (0.1, 100)
    assert result.loss == pytest.approx(math.log(10), rel=1e-12)


def test_fit_baseline_majority_equals_hand_values():
    result = fit_baseline("majority", Letters(), samples=1).evaluate(Letters().test(1))
    # training targets: 3 ones, 3 zeros; plus one each: (4, 4, 1) / 9; the prediction is 0, correct once in three
    assert result.accuracy == pytest.approx(1 / 3)
    assert result.loss == pytest.approx(-(2 * math.log(4 / 9) + math.log(1 / 9)) / 3, rel=1e-6)


def test_bigram_equals_hand_values():
    # pairs: 0->1 three times, 0->0 once, 1->0 twice; unigram of targets plus one: (4, 4, 1) / 9
    pairs = torch.tensor([[1, 3, 0], [2, 0, 0], [0, 0, 0]])
    model = _Bigram(pairs, 0.9)
    expected = torch.tensor(
        [
            [0.9 * 1 / 4 + 0.1 * 4 / 9, 0.9 * 3 / 4 + 0.1 * 4 / 9, 0.1 / 9],
            [0.9 + 0.1 * 4 / 9, 0.1 * 4 / 9, 0.1 / 9],
            [4 / 9, 4 / 9, 1 / 9],  # never seen: the plain frequency
        ],
        dtype=torch.float64,
    )
    torch.testing.assert_close(model.log_probability.exp(), expected)
    fitted = fit_baseline("bigram", Letters(), samples=1)
    # on validation (0 -> 1, 1 -> 0), of all weights the largest is best
    assert fitted.weight == 0.999
    p = 0.999 * torch.tensor([3 / 4, 1.0]) + 0.001 * 4 / 9
    expected_loss = -(p.log().sum().item() + math.log(1 / 9)) / 3
    assert fitted.evaluate(Letters().test(1)).loss == pytest.approx(expected_loss, rel=1e-6)
    assert fitted.evaluate(Letters().test(1)).accuracy == pytest.approx(2 / 3)


def test_fit_baseline_linear_solves_recall_deterministically():
    task = FirstDigitRecall(8, test_size=500)
    first, again = (fit_baseline("linear", task, samples=2048, seed=1).evaluate(task.test(200)) for _ in range(2))
    assert first == again
    assert first.accuracy == 1.0 and first.count == 500


def test_fit_baseline_linear_on_two_classes_equals_sklearn():
    from sklearn.linear_model import LogisticRegression

    task = Marks()
    model = fit_baseline("linear", task, samples=200, seed=0)
    train = task.draw(200, torch.Generator().manual_seed(0))
    reference = LogisticRegression(max_iter=1000).fit(train.x.reshape(200, -1).double().numpy(), train.y.numpy())
    fresh = task.draw(50, torch.Generator().manual_seed(1))
    expected = torch.from_numpy(reference.predict_log_proba(fresh.x.reshape(50, -1).double().numpy()))
    torch.testing.assert_close(model(fresh)[0].log_softmax(-1), expected, rtol=1e-6, atol=1e-8)


def test_fit_baseline_linear_with_missing_class_is_finite():
    model = fit_baseline("linear", Marks(num_classes=3), samples=200)
    batch = Marks().draw(50, torch.Generator().manual_seed(1))
    batch.y[0] = 2
    result = model.evaluate([batch])
    assert math.isfinite(result.loss) and result.accuracy >= 0.9


def test_fit_baseline_constant_is_the_mean_of_training_targets():
    task = Adding(20, test_size=2000)
    model = fit_baseline("constant", task, samples=3000, seed=2)
    generator = torch.Generator().manual_seed(2)
    mean = torch.cat([task.draw(1024, generator).y for _ in range(3)]).double().mean().item()
    assert mean == pytest.approx(1.0, abs=0.03)
    errors = [float(target) - mean for batch in task.test(300) for target in batch.y]
    result = model.evaluate(task.test(300))
    assert result.mse == result.loss == pytest.approx(sum(error**2 for error in errors) / 2000, rel=1e-6)
    assert result.accuracy == pytest.approx(sum(abs(error) < 0.04 for error in errors) / 2000)
    assert result.count == 2000 and result.mse == pytest.approx(1 / 6, abs=4 * result.mse_se)


def test_fit_baseline_linear_on_numbers_equals_sklearn():
    from sklearn.linear_model import Ridge

    task = Adding(6, validation_size=500, test_size=300)
    model = fit_baseline("linear", task, samples=1000, seed=1)
    train = task.draw(1000, torch.Generator().manual_seed(1))

    def pairs(batch):
        return batch.x.reshape(batch.num_graphs, 12).double().numpy()

    validation, test = next(task.validation(500)), next(task.test(300))
    models = [Ridge(10.0**power).fit(pairs(train), train.y.double().numpy()) for power in range(7)]
    best = min(models, key=lambda ridge: ((ridge.predict(pairs(validation)) - validation.y.numpy()) ** 2).mean())
    expected = torch.from_numpy(best.predict(pairs(test)))
    torch.testing.assert_close(model(test)[0].squeeze(-1), expected, rtol=1e-9, atol=1e-9)
    assert model.evaluate(task.test(100)).mse < fit_baseline("constant", task).evaluate(task.test(100)).mse


def test_fit_baseline_of_copying_counts_copied_symbols():
    task = Copying(6, symbols=4, copied=3, test_size=500)
    scores = {name: fit_baseline(name, task, samples=1024).evaluate(task.test(200)) for name in suitable(task)}
    assert {name: result.count for name, result in scores.items()} == dict.fromkeys(scores, 1500)
    assert (scores["memoryless"].accuracy, scores["chance"].accuracy) == (1 / 4, 1 / 5)
    assert scores["memoryless"].loss == pytest.approx(3 * math.log(4) / 12, rel=1e-12)
    assert scores["chance"].loss == pytest.approx(math.log(5), rel=1e-12)
    assert scores["majority"].accuracy == 0.0  # it predicts blanks
    frequency = torch.tensor([3 / 48] * 4 + [9 / 12])
    assert scores["majority"].loss == pytest.approx(-(frequency * frequency.log()).sum().item(), rel=0.01)


def test_fit_baseline_invalid_names_raise_value_error():
    with pytest.raises(ValueError, match="did you mean 'linear'"):
        fit_baseline("liner", Palindromes(6))
    with pytest.raises(ValueError, match="a baseline for palindromes to be one of 'chance', 'majority', 'linear'"):
        fit_baseline("bigram", Palindromes(6))
    with pytest.raises(ValueError, match="a baseline for letters to be one of 'chance', 'majority', 'bigram', got"):
        fit_baseline("ngram-2", Letters())
    with pytest.raises(ValueError, match="a baseline for adding to be one of 'constant', 'linear', got 'chance'"):
        fit_baseline("chance", Adding(6))
    with pytest.raises(ValueError, match=r"a baseline for palindromes to be one of .* got 'memoryless'"):
        fit_baseline("memoryless", Palindromes(6))
    with pytest.raises(ValueError, match="samples of at least 1"):
        fit_baseline("majority", Palindromes(6), samples=0)
