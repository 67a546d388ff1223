"""Text generation with a character-level model: greedy decoding, sampling (temperature, top-k, top-p) or beam search.

The model processes the prompt in one call and then each generated character in one call with its state. A model without
a state (with positions or a mean readout) processes the last characters again at each step, as many as in its training
sequences. The time per character therefore does not depend on the length of the text.
"""

import math
from collections.abc import Callable, Iterator
from itertools import chain

import torch
from torch import Tensor, nn

from seqgnn._utils.validation import check_count, checked_device, one_of
from seqgnn.data.vocabulary import Vocabulary
from seqgnn.models.beam_search import beam_search
from seqgnn.models.incremental_decoder import IncrementalDecoder, in_evaluation_mode
from seqgnn.models.sampling import SamplingConfig, sampler


def generate(
    model: nn.Module,
    vocabulary: Vocabulary,
    prompt: str = "",
    sampling: SamplingConfig | None = None,
    *,
    length: int = 200,
    samples: int = 1,
    stop: str | None = None,
    beam: int | None = None,
    length_penalty: float = 1.0,
    device: str | torch.device | None = None,
    on_unknown: str = "error",
) -> list[str]:
    r"""Return continuations of a prompt.

    With `beam`, these are the continuations with the highest length-normalized log-probability; otherwise they are the
    joined output of `stream`.

    .. math:: score(c_1, \dots, c_n) = \frac{1}{n^a} \sum_{i=1}^n \log p(c_i \mid prompt, c_1, \dots, c_{i-1})

    A continuation has `length` characters or ends earlier, with the first character that is in `stop`. At each length
    the beam search extends the `beam` most probable continuations that have not ended, until none of them can exceed
    the score of the best finished ones. It is exact if `beam` is at least the number of continuations of `length` - 1
    characters.

    Args:
        model, vocabulary, prompt, sampling: as in `stream`.
        length: maximum number of characters in a continuation, at least 1.
        samples: number of continuations, at least 1, generated as one batch; a beam search returns the best ones.
        stop: characters that end a continuation, e.g. ".!?"; they are part of the result. At least one must be in the
            vocabulary.
        beam: width of a beam search for the most probable text, at least `samples`; cannot be combined with sampling
            options; None: no beam search.
        length_penalty: exponent of the length that divides the log-probability of a continuation in a beam search, at
            least 0; 0 compares log-probabilities directly, which favors short continuations.
        device: device to which the model is moved, such as cpu or cuda; None: the model's device.
        on_unknown: treatment of characters of the prompt that are not in the vocabulary: error or skip.

    Returns:
        `samples` texts without the prompt. Those of a beam search are sorted, best first, and there may be fewer.

    Raises:
        ValueError: as in `stream`, or if options of the beam search are out of range or have no effect.

    Example:
        >>> from seqgnn.data import Vocabulary
        >>> from seqgnn.models.sequence_model import build
        >>> vocabulary = Vocabulary("abc", [3, 5, 1])
        >>> model = build("gru", num_classes=3, num_tokens=3, per_element=True)
        >>> texts = generate(model, vocabulary, "ab", SamplingConfig(temperature=0.5), length=20, samples=2)
        >>> [len(text) for text in texts]
        [20, 20]
    """
    if beam is None:
        if length_penalty != 1:
            raise ValueError(f"generate: length_penalty={length_penalty} requires beam")
        steps = stream(
            model,
            vocabulary,
            prompt,
            sampling,
            length=length,
            samples=samples,
            stop=stop,
            device=device,
            on_unknown=on_unknown,
        )
        return ["".join(characters) for characters in zip(*steps)]
    _check_counts(length, samples)
    check_count("generate", "beam", beam, samples)
    if sampling is not None and (sampling.greedy or sampling.changes_distribution):
        raise ValueError("generate: beam cannot be combined with greedy, temperature, top_k or top_p")
    is_number = isinstance(length_penalty, int | float) and not isinstance(length_penalty, bool)
    if not (is_number and 0 <= length_penalty < math.inf):
        raise ValueError(f"generate: expected length_penalty to be a number of at least 0, got {length_penalty!r}")
    ends = _ends(vocabulary, stop)
    ids = _prompt_ids(vocabulary, prompt, on_unknown)
    with in_evaluation_mode(model):
        decoder = IncrementalDecoder(model, len(vocabulary), _device(model, device))
        paths = beam_search(
            decoder, ids, length=length, beam=beam, samples=samples, length_penalty=length_penalty, ends=ends
        )
    return [vocabulary.decode(path) for path in paths]


def stream(
    model: nn.Module,
    vocabulary: Vocabulary,
    prompt: str = "",
    sampling: SamplingConfig | None = None,
    *,
    length: int = 200,
    samples: int = 1,
    stop: str | None = None,
    device: str | torch.device | None = None,
    on_unknown: str = "error",
) -> Iterator[list[str]]:
    """Yield continuations of a prompt, character by character.

    The model is in evaluation mode until the iterator is exhausted or closed; then the modes of its modules are
    restored. Random numbers come from a separate generator. The global random state is therefore not used, and the same
    arguments give the same text on the same machine.

    Args:
        model: called as `model(batch, state) -> (logits, state)` with one output per position, such as a model of
            :func:`seqgnn.models.build` with `per_element=True`. Its state, a tensor or nested tuples of tensors with
            the samples as dimension 1, continues the sequences. If the model has an attribute `hops`, batches have
            these edges. If it has a `context_length`, it receives this number of last characters at each step, and no
            state.
        vocabulary: the vocabulary of the model.
        prompt: text to continue. If empty, a newline is used or, if the vocabulary has none, the most frequent
            character.
        sampling: how to choose the next character; None: `SamplingConfig()`, which samples from the model's
            distribution.
        length, samples, stop, device, on_unknown: as in `generate`.

    Yields:
        At each step, one character for every sample; "" for a sample that has ended.

    Raises:
        ValueError: at the call, if options are out of range or the prompt has unknown characters; at the first step, if
            the model's number of classes is not the size of the vocabulary, or the model has no state; at any step, if
            the largest logit is not finite.

    Example:
        >>> from seqgnn.data import Vocabulary
        >>> from seqgnn.models.sequence_model import build
        >>> vocabulary = Vocabulary("abc", [3, 5, 1])
        >>> model = build("lstm", num_classes=3, num_tokens=3, per_element=True)
        >>> steps = stream(model, vocabulary, "ab", SamplingConfig(greedy=True), length=3)
        >>> [len(characters) for characters in steps]
        [1, 1, 1]
    """
    _check_counts(length, samples)
    ends = _ends(vocabulary, stop)
    ids = _prompt_ids(vocabulary, prompt, on_unknown)
    choose = sampler(SamplingConfig() if sampling is None else sampling)
    return _steps(model, vocabulary, ids, _device(model, device), length, samples, ends, choose)


def _steps(
    model: nn.Module,
    vocabulary: Vocabulary,
    prompt: Tensor,
    device: torch.device,
    length: int,
    samples: int,
    ends: frozenset[int],
    choose: Callable[[Tensor], Tensor],
) -> Iterator[list[str]]:
    """Yield the characters of each step. The caller checks the options, so errors are raised at the call, not at the
    first step."""
    characters = vocabulary.characters
    with in_evaluation_mode(model):
        decoder = IncrementalDecoder(model, len(vocabulary), device)
        ids, ended = prompt[None], [False] * samples
        for step in range(length):
            with torch.no_grad():  # not around the yield: the caller's code runs there
                logits = decoder.read(ids)
                if step == 0:
                    logits = logits.expand(samples, -1)
                    decoder.select(torch.zeros(samples, dtype=torch.long))
                chosen = choose(logits)
                ids = chosen[:, None]
                row = chosen.tolist()
            yield ["" if over else characters[i] for i, over in zip(row, ended)]
            if ends:
                ended = [over or i in ends for i, over in zip(row, ended)]
                if all(ended):
                    return


def _prompt_ids(vocabulary: Vocabulary, prompt: str, on_unknown: str) -> Tensor:
    one_of("generate", "on_unknown", on_unknown, ("error", "skip"))
    ids = vocabulary.encode(prompt, on_unknown=on_unknown)
    if len(ids):
        return ids
    if "\n" in vocabulary.characters:
        return torch.tensor([vocabulary.characters.index("\n")])
    return torch.tensor([max(range(len(vocabulary)), key=lambda i: vocabulary.counts[i])])


def _ends(vocabulary: Vocabulary, stop: str | None) -> frozenset[int]:
    if stop is None:
        return frozenset()
    ends = frozenset(i for i, character in enumerate(vocabulary.characters) if character in stop)
    if not ends:
        raise ValueError(f"generate: expected at least one known character in stop, got {stop!r}")
    return ends


def _device(model: nn.Module, device: str | torch.device | None) -> torch.device:
    """Return the device to run on, after moving the model there if a device is given."""
    if device is not None:
        model.to(checked_device("generate", device))
    first = next(chain(model.parameters(), model.buffers()), None)
    return torch.device(device or "cpu") if first is None else first.device


def _check_counts(length: int, samples: int) -> None:
    check_count("generate", "length", length, 1)
    check_count("generate", "samples", samples, 1)
