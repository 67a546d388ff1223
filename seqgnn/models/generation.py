"""Text generation with a character-level model: greedy, sampling (temperature, top-k, top-p) or beam search.

The prompt is processed in one call and then each character in one call, with the model's state. A model without a
state (with positions or a mean readout) processes the last characters again at each step, as many as it was trained
on. The time per character therefore does not depend on the length of the text.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, Tensor, nn

from seqgnn._utils.validation import check_count, checked_device, describe, one_of
from seqgnn.data.batching import sequence_batch
from seqgnn.data.paths import path_graph

if TYPE_CHECKING:
    from seqgnn.data.vocabulary import Vocabulary


def generate(
    model: nn.Module,
    vocabulary: "Vocabulary",
    prompt: str = "",
    *,
    length: int = 200,
    samples: int = 1,
    greedy: bool = False,
    temperature: float = 1.0,
    inverse_temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    beam: int | None = None,
    length_penalty: float = 1.0,
    stop: str | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    on_unknown: str = "error",
) -> list[str]:
    r"""Return continuations of a prompt.

    With `beam`, these are the best continuations by length-normalized log-probability, otherwise the joined output of
    `stream`.

    .. math:: score(c_1, \dots, c_n) = \frac{1}{n^a} \sum_{i=1}^n \log p(c_i \mid prompt, c_1, \dots, c_{i-1})

    A continuation has `length` characters or ends earlier, with the first character that is in `stop`. At each length
    the beam search extends the `beam` most probable continuations that have not ended, until none of them can exceed
    the score of the best finished ones. It is exact if `beam` is at least the number of continuations of `length` - 1
    characters.

    Args:
        model, vocabulary, prompt, length, samples, greedy, temperature, inverse_temperature, top_k, top_p, stop, seed,
            device, on_unknown: as in `stream`.
        beam: width of the beam search, at least `samples`; cannot be combined with sampling options.
        length_penalty: a, at least 0; 0 compares log-probabilities directly, which favors short continuations.

    Returns:
        `samples` texts without the prompt. Those of a beam search are sorted, best first, and there may be fewer.

    Example:
        >>> from seqgnn.data import Vocabulary
        >>> from seqgnn.models.sequence_model import build
        >>> vocabulary = Vocabulary("abc", [3, 5, 1])
        >>> model = build("gru", num_classes=3, num_tokens=3, per_element=True)
        >>> [len(t) for t in generate(model, vocabulary, "ab", length=20, samples=2, temperature=0.5)]
        [20, 20]
    """
    if beam is None:
        if length_penalty != 1:
            raise ValueError(f"generate: length_penalty={length_penalty} requires beam")
        steps = stream(
            model,
            vocabulary,
            prompt,
            length=length,
            samples=samples,
            greedy=greedy,
            temperature=temperature,
            inverse_temperature=inverse_temperature,
            top_k=top_k,
            top_p=top_p,
            stop=stop,
            seed=seed,
            device=device,
            on_unknown=on_unknown,
        )
        return ["".join(characters) for characters in zip(*steps)]
    _check_counts(length, samples, seed)
    check_count("generate", "beam", beam, samples)
    if greedy or temperature != 1 or (inverse_temperature, top_k, top_p) != (None, None, None):
        raise ValueError("generate: beam cannot be combined with greedy, temperature, top_k or top_p")
    if not (_is_number(length_penalty) and 0 <= length_penalty < math.inf):
        raise ValueError(f"generate: expected length_penalty to be a number of at least 0, got {length_penalty!r}")
    ends = _ends(vocabulary, stop)
    ids = _prompt_ids(vocabulary, prompt, on_unknown)
    with _evaluating(model):
        reader = _Reader(model, len(vocabulary), _device(model, device))
        paths = _beam_search(reader, ids, length, beam, samples, length_penalty, ends)
    return [vocabulary.decode(path) for path in paths]


def stream(
    model: nn.Module,
    vocabulary: "Vocabulary",
    prompt: str = "",
    *,
    length: int = 200,
    samples: int = 1,
    greedy: bool = False,
    temperature: float = 1.0,
    inverse_temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: str | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    on_unknown: str = "error",
) -> Iterator[list[str]]:
    """Yield continuations of a prompt, character by character.

    The model is in evaluation mode until the iterator is exhausted or closed; then the modes of its modules are
    restored. Random numbers come from a separate generator: the global random state is not used, and the same arguments
    give the same text on the same machine.

    Args:
        model: called as `model(batch, state) -> (logits, state)` with one output per position, such as a model of
            :func:`seqgnn.models.build` with `per_element=True`. Its state, a tensor or nested tuples of tensors with
            the samples as dimension 1, continues the sequences. If it has `hops`, batches have these edges. If it has a
            `context_length`, it receives that many last characters at each step, and no state.
        vocabulary: the vocabulary of the model.
        prompt: text to continue. If empty, a newline is used or, if the vocabulary has none, the most frequent
            character.
        length: maximum number of characters, at least 1.
        samples: number of continuations, generated as one batch, at least 1.
        greedy: always choose the most probable character (the first if there are several).
        temperature, top_k, top_p: the distribution to sample from, see `next_probabilities`.
        inverse_temperature: tau, at least 0, in softmax(tau * logits), an alternative to temperature = 1 / tau. With 0
            the distribution is uniform.
        stop: characters that end a sample, such as ".!?"; they are part of the result. At least one must be in the
            vocabulary.
        seed: random seed, at least 0.
        device: device to run on; the model is moved there. None: the model's device.
        on_unknown: what to do with characters of the prompt that are not in the vocabulary, "error" or "skip".

    Yields:
        At each step, one character for every sample; "" for a sample that has ended.

    Raises:
        ValueError: at the call, if options are out of range or contradict each other, or the prompt has unknown
            characters; at the first step, if the model has another number of classes or no state; at any step, if the
            largest logit is not finite.

    Example:
        >>> from seqgnn.data import Vocabulary
        >>> from seqgnn.models.sequence_model import build
        >>> vocabulary = Vocabulary("abc", [3, 5, 1])
        >>> model = build("lstm", num_classes=3, num_tokens=3, per_element=True)
        >>> steps = stream(model, vocabulary, "ab", length=3, greedy=True)
        >>> [len(characters) for characters in steps]
        [1, 1, 1]
    """
    _check_counts(length, samples, seed)
    if greedy and (temperature != 1 or (inverse_temperature, top_k, top_p) != (None, None, None)):
        raise ValueError("generate: greedy cannot be combined with temperature, top_k or top_p")
    if inverse_temperature is not None:
        if temperature != 1:
            got = f"{temperature} and {inverse_temperature}"
            raise ValueError(f"generate: expected temperature or inverse_temperature, got both, {got}")
        if not (_is_number(inverse_temperature) and inverse_temperature >= 0):
            got = repr(inverse_temperature)
            raise ValueError(f"generate: expected inverse_temperature to be a number of at least 0, got {got}")
        temperature = 1 / inverse_temperature if inverse_temperature else math.inf
    _check_distribution("generate", temperature, top_k, top_p)
    ends = _ends(vocabulary, stop)
    ids = _prompt_ids(vocabulary, prompt, on_unknown)
    target_device = _device(model, device)
    generator = Generator().manual_seed(seed)

    def choose(logits: Tensor) -> Tensor:
        if greedy or temperature == 0:
            return logits.argmax(-1)
        return _draw(next_probabilities(logits, temperature, top_k, top_p), generator)

    return _steps(model, vocabulary, ids, target_device, length, samples, ends, choose)


def next_probabilities(
    logits: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    r"""Return the distribution of the next character: temperature, then top-k, then top-p.

    .. math:: p_i = \frac{\exp(z_i / T)}{\sum_{j \in S} \exp(z_j / T)}, \quad i \in S

    S is initially the whole vocabulary. `top_k` keeps the k largest logits (the first if there are ties). `top_p`
    (Holtzman et al. 2020, https://arxiv.org/abs/1904.09751) then keeps the smallest set of the most probable characters
    whose total probability, at temperature T and among those kept by `top_k`, is at least `top_p` (to 1e-12). T = 0
    puts all probability on the largest logit (the first if there are ties); T = infinity is uniform over S.

    Args:
        logits: z, `-inf` for characters that are excluded.
        temperature: T, from 0 to infinity.
        top_k: at least 1; None: no restriction.
        top_p: in (0, 1]; None or 1: no restriction.

    Shapes:
        logits `[B, V]` to probabilities `[B, V]` in float64.

    Raises:
        ValueError: if an option is out of range, or logits are not of rank 2.

    Example:
        >>> next_probabilities(torch.tensor([[0.0, 1.0, 2.0]]).log(), top_p=0.6).tolist()
        [[0.0, 0.0, 1.0]]
    """
    if logits.dim() != 2 or not logits.is_floating_point():
        got = f"{logits.dtype} {list(logits.shape)}"
        raise ValueError(f"next_probabilities: expected floating logits of shape [B, V], got {got}")
    _check_distribution("next_probabilities", temperature, top_k, top_p)
    z = logits.double()
    if temperature == 0:
        return torch.zeros_like(z).scatter(-1, z.argmax(-1, keepdim=True), 1.0)
    if temperature == math.inf:
        scaled = torch.zeros_like(z).masked_fill(z == -math.inf, -math.inf)
    elif temperature == 1:
        scaled = z
    else:
        scaled = (z - z.amax(-1, keepdim=True)) / temperature  # shifted, so that no quotient overflows
    if (top_k is None or top_k >= z.size(-1)) and (top_p is None or top_p == 1):
        return scaled.softmax(-1)

    order = z.argsort(dim=-1, descending=True, stable=True)
    ranked = scaled.gather(-1, order)
    if top_k is not None:
        ranked[:, top_k:] = -math.inf
    p = ranked.softmax(-1)
    if top_p is not None and top_p < 1:
        before = p.cumsum(-1) - p
        p = ranked.masked_fill(before >= top_p * (1 - 1e-12), -math.inf).softmax(-1)
    return torch.empty_like(p).scatter(-1, order, p)


def _draw(p: Tensor, generator: Generator) -> Tensor:
    """Return one sampled index per row of `p [B, V]`, by the inverse distribution function; never one with p = 0."""
    cumulative = p.cumsum(-1)
    u = torch.rand(len(p), 1, dtype=p.dtype, generator=generator).to(p.device)  # drawn on the CPU for all devices
    return torch.searchsorted(cumulative, u * cumulative[:, -1:], right=True).squeeze(-1)


def _steps(
    model: nn.Module,
    vocabulary: "Vocabulary",
    prompt: Tensor,
    device: torch.device,
    length: int,
    samples: int,
    ends: frozenset[int],
    choose: Callable[[Tensor], Tensor],
) -> Iterator[list[str]]:
    characters = vocabulary.characters
    with _evaluating(model):
        reader = _Reader(model, len(vocabulary), device)
        ids, ended = prompt[None], [False] * samples
        for step in range(length):
            with torch.no_grad():  # not around the yield: the caller's code runs there
                logits = reader.read(ids)
                if step == 0:
                    logits = logits.expand(samples, -1)
                    reader.select(torch.zeros(samples, dtype=torch.long))
                chosen = choose(logits)
                ids = chosen[:, None]
                row = chosen.tolist()
            yield ["" if over else characters[i] for i, over in zip(row, ended)]
            if ends:
                ended = [over or i in ends for i, over in zip(row, ended)]
                if all(ended):
                    return


@torch.no_grad()
def _beam_search(
    reader: "_Reader", prompt: Tensor, length: int, width: int, samples: int, penalty: float, ends: frozenset[int]
) -> list[list[int]]:
    """Return the ids of the `samples` best continuations (or fewer, if there are fewer), best first."""
    is_end = torch.zeros(reader.classes, dtype=torch.bool)
    is_end[list(ends)] = True
    scores = torch.zeros(1, dtype=torch.float64)  # of unfinished continuations, all of the same length
    paths: list[Any] = [()]  # of these: (path without the last id, last id), so that prefixes are shared
    finished: list[tuple[float, Any]] = []
    ids = prompt[None]
    for step in range(1, length + 1):
        candidates = scores[:, None] + reader.read(ids).double().log_softmax(-1).cpu()
        over = torch.ones_like(is_end) if step == length else is_end
        ended = _best(candidates.masked_fill(~over, -math.inf), samples)
        finished += [(score / step**penalty, (paths[row], i)) for score, row, i in ended]
        finished = sorted(finished, key=lambda pair: -pair[0])[:samples]  # stable: the first of ties
        unfinished = _best(candidates.masked_fill(over, -math.inf), width)
        # Log-probabilities only decrease, so this is an upper bound on the scores of all extensions.
        if not unfinished or (len(finished) == samples and finished[-1][0] >= unfinished[0][0] / length**penalty):
            break
        scores = torch.tensor([score for score, _, _ in unfinished], dtype=torch.float64)
        reader.select(torch.tensor([row for _, row, _ in unfinished]))
        paths = [(paths[row], i) for _, row, i in unfinished]
        ids = torch.tensor([[i] for _, _, i in unfinished])
    return [_unroll(path) for _, path in finished]


def _best(candidates: Tensor, count: int) -> list[tuple[float, int, int]]:
    """Return the `count` largest finite candidates `[paths, V]` as (score, path, id)."""
    values, indices = candidates.flatten().sort(descending=True, stable=True)
    pairs = zip(values[:count].tolist(), indices[:count].tolist())
    return [(value, *divmod(index, candidates.size(1))) for value, index in pairs if value > -math.inf]


def _unroll(path: Any) -> list[int]:
    ids = []
    while path:
        path, last = path
        ids.append(last)
    return ids[::-1]


class _Reader:
    """Calls the model step by step and keeps its state, or the characters of its context."""

    def __init__(self, model: nn.Module, classes: int, device: torch.device) -> None:
        self.model = model
        self.classes = classes
        self.device = device
        self._hops = tuple(getattr(model, "hops", None) or (1,))
        self._context: int | None = getattr(model, "context_length", None)
        self._state: Any = None
        self._batch: Any = None
        self._shape = torch.Size()

    def read(self, ids: Tensor) -> Tensor:
        """Return the logits `[B, V]` after the last of ids `[B, L]`."""
        ids = ids.to(self.device)
        if self._context is not None:
            before = ids[:, :0] if self._state is None else self._state.T
            ids = torch.cat([before, ids], dim=1)[:, -self._context :]
        if ids.shape != self._shape:
            self._batch = sequence_batch(ids, ids, path_graph(ids.size(1), hops=self._hops))
            self._shape = ids.shape
        else:  # reuse the previous batch, since creating one takes as long as a small layer
            self._batch["x"] = ids.flatten()
        logits, state = self.model(self._batch, None if self._context else self._state)
        self._state = ids.T if self._context else state
        if logits.shape != (ids.numel(), self.classes):
            raise ValueError(
                f"generate: expected a model with logits {[ids.numel(), self.classes]}, one row per position and one "
                f"column per character, got {list(logits.shape)}"
            )
        if self._state is None:
            raise ValueError(
                "generate: expected a model that returns a state (as those of seqgnn.models with readout 'last' and "
                f"without positions) or has a context_length, got neither from {type(self.model).__name__}"
            )
        logits = logits.view(*ids.shape, -1)[:, -1]
        if not all(map(math.isfinite, logits.amax(-1).tolist())):
            raise ValueError("generate: expected logits whose largest is finite, got NaN or infinite values")
        return logits

    def select(self, rows: Tensor) -> None:
        """Continue with these sequences; each may occur several times."""
        self._state = self._select(self._state, rows)

    def _select(self, state: Any, rows: Tensor) -> Any:
        if isinstance(state, tuple):
            return tuple(self._select(part, rows) for part in state)
        if not isinstance(state, Tensor) or state.dim() < 2 or state.size(1) != self._shape[0]:
            expected = (
                f"a state of tensors, or nested tuples of them, with the batch of {self._shape[0]} as dimension 1"
            )
            raise ValueError(f"generate: expected {expected}, got {describe(state)}")
        return state.index_select(1, rows.to(state.device))  # a part may be on the CPU


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode; on exit the modes of all modules are restored."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _prompt_ids(vocabulary: "Vocabulary", prompt: str, on_unknown: str) -> Tensor:
    one_of("generate", "on_unknown", on_unknown, ("error", "skip"))
    ids = vocabulary.encode(prompt, on_unknown=on_unknown)
    if len(ids):
        return ids
    if "\n" in vocabulary.characters:
        return torch.tensor([vocabulary.characters.index("\n")])
    return torch.tensor([max(range(len(vocabulary)), key=lambda i: vocabulary.counts[i])])


def _ends(vocabulary: "Vocabulary", stop: str | None) -> frozenset[int]:
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


def _check_counts(length: int, samples: int, seed: int) -> None:
    check_count("generate", "length", length, 1)
    check_count("generate", "samples", samples, 1)
    check_count("generate", "seed", seed, 0)


def _check_distribution(caller: str, temperature: float, top_k: int | None, top_p: float | None) -> None:
    if not (_is_number(temperature) and temperature >= 0):
        raise ValueError(f"{caller}: expected temperature to be a number of at least 0, got {temperature!r}")
    if top_k is not None:
        check_count(caller, "top_k", top_k, 1)
    if top_p is not None and not (_is_number(top_p) and 0 < top_p <= 1):
        raise ValueError(f"{caller}: expected top_p in (0, 1], got {top_p!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
