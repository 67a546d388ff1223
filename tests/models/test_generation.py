"""Generation against what is known: distributions, texts read again from their start, all continuations there are."""

import itertools
import math

import pytest
import torch
from scipy import stats
from torch import nn

from seqgnn.data import path_graph, sequence_batch
from seqgnn.data.vocabulary import Vocabulary
from seqgnn.models import sequence_model as models
from seqgnn.models.generation import generate, next_probabilities, stream

ABC = Vocabulary("abc", [3, 5, 1])
LOGITS = torch.tensor([0.3, 1.2, -0.5, 0.9, -2.0, 0.0])
LETTERS = Vocabulary("abcdef", [1] * 6)


class Always(nn.Module):
    """The same logits at every element; keeps what it is called with."""

    def __init__(self, logits):
        super().__init__()
        self.logits = torch.as_tensor(logits)
        self.calls = []

    def forward(self, batch, state=None):
        self.calls.append((batch.x.view(batch.num_graphs, -1).tolist(), state is not None))
        return self.answer(batch.x), torch.zeros(1, batch.num_graphs, 1)

    def answer(self, x):
        return self.logits.expand(len(x), -1)


class Next(Always):
    """The logits in the row of the element."""

    def answer(self, x):
        return self.logits[x]


def make(name="lstm", tokens=3, **options):
    torch.manual_seed(1)
    settings = {"num_classes": tokens, "num_tokens": tokens, "per_element": True, "hidden": 5, "hops": (1, 2)}
    model = models.build(name, **settings | {"num_layers": 2} | options).double()
    with torch.no_grad():
        model.head.weight *= 8  # far from uniform, and dependent on what was read
    return model


def whole(model, texts):
    """The logits behind the last of some texts of one length, read from their start, without any state."""
    ids = torch.stack([ABC.encode(text) for text in texts])
    batch = sequence_batch(ids, ids, path_graph(ids.size(1), hops=model.hops))
    with torch.no_grad():
        return model(batch)[0].view(*ids.shape, -1)[:, -1]


# --- the distribution ---


def test_temperature_divides_the_logits():
    z = torch.randn(4, 7, generator=torch.Generator().manual_seed(0))
    for temperature in (0.1, 0.5, 1, 3.0):
        expected = (z.double() / temperature).exp()
        expected /= expected.sum(-1, keepdim=True)
        torch.testing.assert_close(next_probabilities(z, temperature), expected, rtol=1e-12, atol=0)


def test_temperature_is_exact_at_the_ends():
    z = torch.tensor([[1.0, 3.0, 3.0, -math.inf]])
    assert next_probabilities(z, 0).tolist() == [[0, 1, 0, 0]]
    assert next_probabilities(z, math.inf).tolist() == [[1 / 3, 1 / 3, 1 / 3, 0]]
    assert next_probabilities(z, 1e-320).tolist() == [[0, 0.5, 0.5, 0]]
    assert next_probabilities(z, 1e300).tolist() == [[1 / 3, 1 / 3, 1 / 3, 0]]
    assert next_probabilities(torch.tensor([[0.0, 1.0, 2.0]]), 1e-9).tolist() == [[0, 0, 1]]


def test_top_k_and_top_p_by_hand():
    z = torch.tensor([[0.1, 0.4, 0.2, 0.3]]).log()

    def near(expected, **options):
        torch.testing.assert_close(next_probabilities(z, **options), torch.tensor([expected]).double())

    near([0, 4 / 9, 2 / 9, 3 / 9], top_k=3)
    near([0.1, 0.4, 0.2, 0.3], top_k=4)
    near([0.1, 0.4, 0.2, 0.3], top_k=9, top_p=1.0)
    near([0, 1, 0, 0], top_p=1e-9)
    near([0, 4 / 7, 0, 3 / 7], top_p=0.5)
    near([0, 4 / 9, 2 / 9, 3 / 9], top_p=0.75)
    near([0, 4 / 7, 0, 3 / 7], top_k=3, top_p=0.7)  # 4/9 + 3/9 is enough: of what top-k left
    near([0, 16 / 25, 0, 9 / 25], temperature=0.5, top_p=0.8)  # (16 + 9) / 30 is enough: at that temperature
    near([0, 1 / 3, 1 / 3, 1 / 3], temperature=math.inf, top_k=3)
    near([0, 1 / 2, 0, 1 / 2], temperature=math.inf, top_p=0.5)
    near([0, 1, 0, 0], temperature=0, top_k=3, top_p=0.9)


def test_top_p_of_equal_probabilities_is_not_off_by_one():
    for share in range(1, 11):
        p = next_probabilities(torch.arange(10.0)[None], math.inf, top_p=share / 10)
        torch.testing.assert_close(p[0], torch.tensor([0.0] * (10 - share) + [1 / share] * share).double())


def test_top_k_takes_the_first_of_equals_row_by_row():
    z = torch.tensor([[1.0, 1.0, 1.0], [0.0, 2.0, 2.0]])
    assert next_probabilities(z, top_k=1).tolist() == [[1, 0, 0], [0, 1, 0]]
    torch.testing.assert_close(next_probabilities(z, top_k=2)[1], torch.tensor([0, 0.5, 0.5]).double())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.6},
        {"inverse_temperature": 0.4},
        {"temperature": math.inf},
        {"inverse_temperature": 0},
        {"top_k": 3},
        {"top_p": 0.8},
        {"temperature": 2.0, "top_k": 5, "top_p": 0.9},
    ],
    ids=str,
)
def test_what_is_drawn_passes_a_chi_squared_test(options):
    texts = generate(Always(LOGITS), LETTERS, "a", length=300, samples=100, seed=3, **options)
    plain = dict(options)
    tau = plain.pop("inverse_temperature", None)
    if tau is not None:
        plain["temperature"] = 1 / tau if tau else math.inf
    p = next_probabilities(LOGITS[None], **plain)[0].tolist()
    counts = ["".join(texts).count(letter) for letter in LETTERS.characters]
    assert all(count == 0 for count, share in zip(counts, p) if share == 0)
    possible = [(count, 30_000 * share) for count, share in zip(counts, p) if share > 0]
    assert stats.chisquare(*zip(*possible)).pvalue > 0.01


def test_draws_do_not_depend_on_each_other():
    (text,) = generate(Always(LOGITS), LETTERS, "a", length=5_000, seed=1)
    pairs = [[0] * 6 for _ in range(6)]
    for first, second in itertools.pairwise(text):
        pairs["abcdef".index(first)]["abcdef".index(second)] += 1
    assert stats.chi2_contingency(pairs).pvalue > 0.01


def test_inverse_temperature_is_softmax_of_tau_times_logits():
    options = {"length": 50, "samples": 3, "seed": 5}
    by_tau = generate(make(), ABC, "ab", inverse_temperature=4.0, **options)
    assert by_tau == generate(make(), ABC, "ab", temperature=0.25, **options)
    greedy = generate(make(), ABC, "ab", greedy=True, length=50)
    assert generate(make(), ABC, "ab", inverse_temperature=math.inf, length=50) == greedy
    assert generate(make(), ABC, "ab", temperature=0, length=50) == greedy


# --- the stream ---


@pytest.mark.parametrize("name", models.NAMES)
def test_greedy_is_what_reading_everything_anew_would_give(name):
    model, text = make(name), "abacb"
    for _ in range(12):
        text += ABC.decode(whole(model, [text]).argmax(-1))
    assert generate(model, ABC, "abacb", length=12, greedy=True) == [text[5:]]


@pytest.mark.parametrize("name", models.NAMES)
@pytest.mark.parametrize("options", [{"positions": True}, {"readout": "mean"}, {"readout": "max"}], ids=str)
def test_models_without_a_state_read_their_window_anew(name, options):
    model, greedy, texts = make(name, length=6, **options), "abac", ["abac"] * 3
    generator = torch.Generator().manual_seed(7)
    for _ in range(9):
        greedy += ABC.decode(whole(model, [greedy[-6:]]).argmax(-1))
        cumulative = whole(model, [text[-6:] for text in texts]).softmax(-1).cumsum(-1)
        u = torch.rand(3, 1, dtype=torch.float64, generator=generator)
        texts = [text + "abc"[int(i)] for text, i in zip(texts, (u > cumulative).sum(-1))]
    assert generate(model, ABC, "abac", length=9, greedy=True) == [greedy[4:]]
    assert generate(model, ABC, "abac", length=9, beam=1) == [greedy[4:]]
    assert generate(model, ABC, "abac", length=9, samples=3, seed=7) == [text[4:] for text in texts]
    assert generate(model, ABC, "cc" + greedy, length=1, greedy=True) == generate(
        model, ABC, greedy[-6:], length=1, greedy=True
    )


@pytest.mark.parametrize("name", models.NAMES)
def test_samples_keep_their_own_states(name):
    model, texts, generator = make(name), ["cab"] * 4, torch.Generator().manual_seed(7)
    for _ in range(12):
        cumulative = (whole(model, texts) / 1.5).softmax(-1).cumsum(-1)
        u = torch.rand(4, 1, dtype=torch.float64, generator=generator)
        texts = [text + "abc"[int(i)] for text, i in zip(texts, (u > cumulative).sum(-1))]
    assert generate(model, ABC, "cab", length=12, samples=4, temperature=1.5, seed=7) == [text[3:] for text in texts]
    assert len(set(texts)) > 1


def test_the_prompt_is_read_in_one_call_and_then_each_character_in_its_own():
    model = Next(torch.tensor([[0.0, 5.0, 1.0], [0.0, 1.0, 5.0], [5.0, 0.0, 1.0]]))
    assert list(stream(model, ABC, "bca", length=4, samples=2, greedy=True)) == [[c, c] for c in "bcab"]
    assert model.calls == [([[1, 2, 0]], False), ([[1], [1]], True), ([[2], [2]], True), ([[0], [0]], True)]


def test_stop_ends_each_sample_by_itself():
    model = Always(LOGITS)
    free = generate(model, LETTERS, "a", length=60, samples=5)
    stopped = generate(model, LETTERS, "a", length=60, samples=5, stop="ce?")
    for text, full in zip(stopped, free):
        ends = [full.find(letter) for letter in "ce" if letter in full]
        assert text == full[: min(ends) + 1] if ends else text == full
    assert len({len(text) for text in stopped}) > 1
    steps = list(stream(model, LETTERS, "a", length=60, samples=5, stop="ce"))
    assert len(steps) == max(len(text) for text in stopped) and steps[-1].count("") == 4


def test_an_empty_prompt_continues_a_newline_or_the_most_frequent_character():
    model = make()
    assert generate(model, ABC, length=20) == generate(model, ABC, "b", length=20)
    lines = Vocabulary("\nab", [1, 5, 9])
    assert generate(model, lines, length=20) == generate(model, lines, "\n", length=20)
    assert generate(model, lines, "xyz", on_unknown="skip", length=20) == generate(model, lines, length=20)


def test_unknown_characters_of_the_prompt():
    with pytest.raises(ValueError, match="'x', 'ä'"):
        generate(make(), ABC, "aäbxä")
    skipped = generate(make(), ABC, "aäbx", on_unknown="skip", length=20)
    assert skipped == generate(make(), ABC, "ab", length=20)


def test_the_seed_decides_and_nothing_else():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = generate(make(), ABC, "a", length=40, seed=1)
    torch.set_rng_state(before)
    second = generate(model := make(), ABC, "a", length=40, seed=1)
    torch.manual_seed(9)
    untouched = torch.get_rng_state()
    assert first == second == generate(model, ABC, "a", length=40, seed=1)
    assert generate(model, ABC, "a", length=40, seed=2) != first
    assert torch.equal(torch.get_rng_state(), untouched)


def test_evaluation_mode_lasts_as_long_as_the_stream():
    model = make(dropout=0.5)
    expected = generate(model.eval(), ABC, "a", length=20)
    model.train()
    model.encoder.eval()
    modes = [module.training for module in model.modules()]
    assert generate(model, ABC, "a", length=20) == expected
    assert [module.training for module in model.modules()] == modes
    steps = stream(model, ABC, "a", length=20)
    assert model.training
    assert next(steps) == [expected[0][0]] and not any(module.training for module in model.modules())
    assert torch.is_grad_enabled()  # in the caller's code
    steps.close()
    assert [module.training for module in model.modules()] == modes
    assert generate(model, ABC, "a", length=5, beam=2) and model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_model_that_fails_is_left_as_it_was():
    model = Always([0.0, math.nan, 1.0]).train()
    with pytest.raises(ValueError, match="expected logits whose largest is finite, got NaN"):
        generate(model, ABC)
    assert model.training


# --- beam search ---


def exhaustive(model, prompt, length, penalty, stop):
    """All continuations with their scores, the best first."""
    scored = []
    open_ends = {"": 0.0}
    for step in range(1, length + 1):
        logp = whole(model, [prompt + text for text in open_ends]).log_softmax(-1).tolist()
        longer = {
            text + letter: score + row[i]
            for (text, score), row in zip(open_ends.items(), logp)
            for i, letter in enumerate(ABC.characters)
        }
        over = {text for text in longer if step == length or text[-1] in stop}
        scored += [(longer[text] / step**penalty, text) for text in over]
        open_ends = {text: score for text, score in longer.items() if text not in over}
    return [text for _, text in sorted(scored, reverse=True)]


@pytest.mark.parametrize("name", models.NAMES)
@pytest.mark.parametrize("stop", [None, "c", "ab"])
def test_a_wide_beam_search_is_exhaustive(name, stop):
    model = make(name)
    for penalty in (0.0, 0.7, 1.0, 2.0):
        best = exhaustive(model, "ba", 4, penalty, stop or "")
        options = {"length": 4, "beam": 27, "length_penalty": penalty, "stop": stop}
        assert generate(model, ABC, "ba", samples=5, **options) == best[:5]
        assert generate(model, ABC, "ba", **options) == best[:1]


def test_a_beam_search_of_width_1_is_greedy_and_a_wider_one_finds_more():
    # a is likelier at first, but b leads on to a certain c.
    model = Next(torch.tensor([[0.0, 0.0, 0.0], [-9.0, -9.0, 9.0], [1.0, 0.9, -9.0]]))
    assert generate(model, ABC, "c", length=2, beam=1) == ["aa"] == generate(model, ABC, "c", length=2, greedy=True)
    assert generate(model, ABC, "c", length=2, beam=2) == ["bc"]


def test_a_narrow_beam_follows_its_paths_through_the_state():
    model = make("gcn-in-lstm")
    for text in generate(model, ABC, "ab", length=9, beam=3, samples=3):
        path, score, beams = "ab", {"": 0.0}, None
        for _ in range(9):
            rows = whole(model, [path + t for t in score]).log_softmax(-1).tolist()
            beams = {t + "abc"[i]: s + row[i] for (t, s), row in zip(score.items(), rows) for i in range(3)}
            score = dict(sorted(beams.items(), key=lambda pair: -pair[1])[:3])
        assert text in score


def test_a_beam_search_ends_early_where_nothing_better_can_come():
    model = Next(torch.tensor([[-9.0, -9.0, 9.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    assert generate(model, ABC, "a", length=1000, beam=3, stop="c", length_penalty=0.0) == ["c"]
    assert len(model.calls) == 1


def test_a_beam_search_gives_no_more_than_there_are():
    possible = Always([0.0, 1.0, -math.inf])
    assert generate(possible, ABC, "a", length=1, beam=3, samples=3) == ["b", "a"]
    assert generate(possible, ABC, "a", length=3, beam=9, samples=9, stop="ab", length_penalty=0.0) == ["b", "a"]


# --- what is wrong ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "expected length to be an integer of at least 1, got 0"),
        ({"samples": 0}, "expected samples to be an integer of at least 1"),
        ({"seed": -1}, "expected seed to be an integer of at least 0"),
        ({"temperature": -1.0}, "expected temperature to be a number of at least 0, got -1.0"),
        ({"temperature": math.nan}, "expected temperature to be a number of at least 0, got nan"),
        ({"temperature": "hot"}, "expected temperature to be a number"),
        ({"inverse_temperature": -1.0}, "expected inverse_temperature to be a number of at least 0"),
        ({"temperature": 2.0, "inverse_temperature": 2.0}, "expected temperature or inverse_temperature, got both"),
        ({"top_k": 0}, "expected top_k to be an integer of at least 1"),
        ({"top_p": 0.0}, r"expected top_p in \(0, 1\], got 0.0"),
        ({"top_p": 1.5}, r"expected top_p in \(0, 1\]"),
        ({"greedy": True, "temperature": 2.0}, "greedy cannot be combined with temperature"),
        ({"greedy": True, "inverse_temperature": 1.0}, "greedy cannot be combined with temperature"),
        ({"greedy": True, "top_k": 2}, "greedy cannot be combined with temperature, top_k or top_p"),
        ({"beam": 0}, "expected beam to be an integer of at least 1"),
        ({"beam": 2, "samples": 3}, "expected beam to be an integer of at least 3, got 2"),
        ({"beam": 2, "greedy": True}, "beam cannot be combined with greedy"),
        ({"beam": 2, "temperature": 0.5}, "beam cannot be combined with greedy, temperature"),
        ({"beam": 2, "inverse_temperature": 0.5}, "beam cannot be combined with"),
        ({"beam": 2, "top_p": 0.5}, "beam cannot be combined with"),
        ({"beam": 2, "length": 0}, "expected length to be an integer"),
        ({"beam": 2, "length_penalty": -1.0}, "expected length_penalty to be a number of at least 0, got -1.0"),
        ({"length_penalty": 0.5}, "length_penalty=0.5 requires beam"),
        ({"stop": ""}, "expected at least one known character in stop, got ''"),
        ({"stop": "?"}, "expected at least one known character in stop"),
        ({"on_unknown": "drop"}, "expected on_unknown to be one of 'error', 'skip', got 'drop'"),
        ({"device": "nowhere"}, "expected a device that this torch can use, got 'nowhere'"),
    ],
    ids=str,
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=f"generate: {message}"):
        generate(make(), ABC, "a", **options)


def test_a_stream_complains_at_the_call():
    with pytest.raises(ValueError, match="expected length"):
        stream(make(), ABC, "a", length=0)


def test_the_distribution_is_checked():
    with pytest.raises(
        ValueError, match=r"next_probabilities: expected floating logits of shape \[B, V\], got .*\[3\]"
    ):
        next_probabilities(torch.zeros(3))
    with pytest.raises(ValueError, match="next_probabilities: expected temperature"):
        next_probabilities(torch.zeros(1, 3), -1)


class Odd(nn.Module):
    """A state of one's choice."""

    def __init__(self, state):
        super().__init__()
        self.state = state

    def forward(self, batch, state=None):
        return torch.zeros(len(batch.x), 3), self.state


@pytest.mark.parametrize("beam", [None, 2])
def test_models_that_cannot_stream_are_refused(beam):
    with pytest.raises(ValueError, match=r"expected a model that returns a state .* got neither from Odd"):
        generate(Odd(None), ABC, "a", beam=beam)
    for state in (torch.zeros(4), (torch.zeros(1, 1, 2), torch.zeros(1, 7)), ["h"]):
        with pytest.raises(ValueError, match="expected a state of tensors, or nested tuples of them, with the batch"):
            generate(Odd(state), ABC, "a", beam=beam)
    with pytest.raises(ValueError, match=r"a model with logits \[2, 3\], one row per position .* got \[1, 3\]"):
        generate(make(per_element=False), ABC, "ab", beam=beam)
    with pytest.raises(ValueError, match=r"expected a model with logits \[2, 3\]"):
        generate(make(tokens=4), ABC, "ab", beam=beam)
    with pytest.raises(ValueError, match="state is not supported with positions or readout"):
        generate(make(readout="mean"), ABC, "ab", beam=beam)


def test_the_device_may_be_named():
    assert generate(make(), ABC, "a", device="cpu", length=9) == generate(make(), ABC, "a", length=9)
    assert len(generate(Always(LOGITS), LETTERS, device=torch.device("cpu"), length=9)[0]) == 9


@pytest.mark.gpu
@pytest.mark.parametrize("name", models.NAMES)
def test_a_gpu_writes_what_the_cpu_writes(name):
    for options in ({"samples": 3}, {"beam": 3, "samples": 2}, {"greedy": True}):
        here = generate(make(name), ABC, "abc", length=30, **options)
        assert generate(make(name), ABC, "abc", length=30, device="cuda", **options) == here


@pytest.mark.parametrize("name", ["lstm", "gcn"])
def test_stream_reads_as_much_for_each_character(name):
    model, read = make(name), []
    model.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].num_nodes))
    for _ in stream(model, ABC, "a", length=300):
        pass
    assert len(read) <= 301 and max(read[200:]) == max(read[100:200]) <= 100
