"""Text from a trained character model: greedy, by temperature, top-k and top-p, or the best of a beam search.

Every way starts alike: the prompt goes through the model in one call, and from then on each character in a call of its
own, with the state that the model carries. A model that carries none, with positions or a mean readout, reads the last
characters anew for each, as many as it was trained on. So the time for one does not depend on how many came before.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, Tensor, nn

from seqgnn._utils.validation import check_count, checked_device, describe, one_of
from seqgnn.data.sequence_graph import path_graph, sequence_batch

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
    r"""Continues a prompt.

    With `beam`, the best continuations by length-normalized log-probability; otherwise what `stream` yields, joined.

    .. math:: score(c_1, \dots, c_n) = \frac{1}{n^a} \sum_{i=1}^n \log p(c_i \mid prompt, c_1, \dots, c_{i-1})

    A continuation has `length` characters or ends earlier, with the first character that is in `stop`. At each length
    the beam search goes on with the `beam` most probable continuations that have not ended, until none of them can come
    to a better score than the best that have. As wide as there are continuations of `length` - 1 characters, it misses
    none.

    Args:
        model, vocabulary, prompt, length, samples, greedy, temperature, inverse_temperature, top_k, top_p, stop, seed,
            device, on_unknown: as in `stream`.
        beam: width of the beam search, at least `samples`; it takes the place of all that concerns chance.
        length_penalty: a, at least 0; 0 compares log-probabilities as they are, which favors the short.

    Returns:
        `samples` texts, without the prompt; of a beam search the best first, and fewer where no more exist.

    Raises:
        ValueError: as `stream` does; for a beam search that is narrower than `samples` or comes with options of
            sampling; for a length penalty without a beam search.

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
            raise ValueError(f"generate: expected beam with length_penalty={length_penalty}, got none")
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
        raise ValueError("generate: expected beam without greedy, temperature, top_k or top_p, got them together")
    if not (_is_number(length_penalty) and 0 <= length_penalty < math.inf):
        raise ValueError(f"generate: expected length_penalty to be a number of at least 0, got {length_penalty!r}")
    ends = _ends(vocabulary, stop)
    ids = _prompt_ids(vocabulary, prompt, on_unknown)
    with _evaluating(model):
        reader = _Reader(model, len(vocabulary), _device(model, device))
        found = _beam_search(reader, ids, length, beam, samples, length_penalty, ends)
    return [vocabulary.decode(best) for best in found]


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
    """Continues a prompt, character by character, and yields each as soon as it is there.

    From the first step to the last, or until the iterator is closed, the model is in evaluation mode; then each of its
    modules is as before. Chance comes from a generator of its own: the global random state is neither read nor changed,
    and the same arguments give the same text on one machine.

    Args:
        model: called as `model(batch, state) -> (logits, state)`, one target per element, as those of
            :func:`seqgnn.models.build` with `per_element=True`; its state must continue the stream: tensors, or nested
            tuples of them, with the samples along dimension 1. `hops`, where it has them, are those of the edges; with
            a `context_length` it gets the last so many characters each time and no state.
        vocabulary: the characters in the order of the model's ids.
        prompt: what to continue. An empty one continues a newline, where the vocabulary has one, as a new paragraph
            does; else its most frequent character.
        length: characters, at least 1.
        samples: continuations, made side by side, at least 1.
        greedy: always the most probable character (the first of equals).
        temperature, top_k, top_p: the distribution to draw from, see `next_probabilities`.
        inverse_temperature: tau, at least 0, of softmax(tau * logits): the temperature is 1 / tau. 0 draws uniformly.
        stop: characters that end a sample, such as ".!?"; kept in the answer. Those that the vocabulary lacks never
            come; one at least must be known.
        seed: of the draws, at least 0.
        device: where to run; the model is moved there and stays. None: where it is.
        on_unknown: for characters of the prompt that the vocabulary lacks, "error" or "skip".

    Yields:
        For each step, one character of every sample; "" for a sample that has ended.

    Raises:
        ValueError: at the call, for options out of range or such as contradict each other, and for characters of the
            prompt that the vocabulary lacks; at the first step, for a model of another number of classes or without a
            state to carry; at any, for logits whose largest is not finite.

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
        raise ValueError("generate: expected greedy without temperature, top_k or top_p, got them together")
    if inverse_temperature is not None:
        if temperature != 1:
            found = f"{temperature} and {inverse_temperature}"
            raise ValueError(f"generate: expected temperature or inverse_temperature, got both, {found}")
        if not (_is_number(inverse_temperature) and inverse_temperature >= 0):
            found = repr(inverse_temperature)
            raise ValueError(f"generate: expected inverse_temperature to be a number of at least 0, got {found}")
        temperature = 1 / inverse_temperature if inverse_temperature else math.inf
    _check_distribution("generate", temperature, top_k, top_p)
    ends = _ends(vocabulary, stop)
    ids = _prompt_ids(vocabulary, prompt, on_unknown)
    place = _device(model, device)
    generator = Generator().manual_seed(seed)

    def choose(logits: Tensor) -> Tensor:
        if greedy or temperature == 0:
            return logits.argmax(-1)
        return _draw(next_probabilities(logits, temperature, top_k, top_p), generator)

    return _steps(model, vocabulary, ids, place, length, samples, ends, choose)


def next_probabilities(
    logits: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    r"""The distribution that the next character is drawn from: temperature, then top-k, then top-p.

    .. math:: p_i = \frac{\exp(z_i / T)}{\sum_{j \in S} \exp(z_j / T)}, \quad i \in S

    S starts as all characters. `top_k` leaves the k of the largest logits, the first of equals. `top_p` (Holtzman et
    al. 2020, https://arxiv.org/abs/1904.09751) then leaves the fewest of them, the most probable first, whose
    probability, at that temperature and among those that `top_k` left, comes to `top_p` (to 1e-12). At the ends, T = 0
    is all on the largest logit, the first of equals, and T = infinity is uniform over S, which the logits still order.

    Args:
        logits: z, `-inf` for what must never come.
        temperature: T, from 0 to infinity.
        top_k: at least 1; None, or as many as there are, leaves all.
        top_p: in (0, 1]; None or 1 leaves all.

    Shapes:
        logits `[B, V]` to probabilities `[B, V]` in float64.

    Raises:
        ValueError: if an option is out of range, or logits are not of rank 2.

    Example:
        >>> next_probabilities(torch.tensor([[0.0, 1.0, 2.0]]).log(), top_p=0.6).tolist()
        [[0.0, 0.0, 1.0]]
    """
    if logits.dim() != 2 or not logits.is_floating_point():
        found = f"{logits.dtype} {list(logits.shape)}"
        raise ValueError(f"next_probabilities: expected floating logits of shape [B, V], got {found}")
    _check_distribution("next_probabilities", temperature, top_k, top_p)
    z = logits.double()
    if temperature == 0:
        return torch.zeros_like(z).scatter(-1, z.argmax(-1, keepdim=True), 1.0)
    if temperature == math.inf:
        scaled = torch.zeros_like(z).masked_fill(z == -math.inf, -math.inf)
    elif temperature == 1:
        scaled = z
    else:
        scaled = (z - z.amax(-1, keepdim=True)) / temperature  # shifted, so that no quotient becomes infinity
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
    """One index per row of `p [B, V]`, by the inverse of its distribution function; one of probability 0 never."""
    cumulative = p.cumsum(-1)
    u = torch.rand(len(p), 1, dtype=p.dtype, generator=generator).to(p.device)  # drawn on the host on every device
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
    """The ids of the `samples` best continuations, or of as many as there are, the best first."""
    is_end = torch.zeros(reader.classes, dtype=torch.bool)
    is_end[list(ends)] = True
    scores = torch.zeros(1, dtype=torch.float64)  # of the continuations that have not ended, all of one length
    paths: list[Any] = [()]  # of the same: (path without the last id, last id), so that beginnings are shared
    finished: list[tuple[float, Any]] = []
    ids = prompt[None]
    for step in range(1, length + 1):
        candidates = scores[:, None] + reader.read(ids).double().log_softmax(-1).cpu()
        over = torch.ones_like(is_end) if step == length else is_end
        ended = _best(candidates.masked_fill(~over, -math.inf), samples)
        finished += [(score / step**penalty, (paths[row], i)) for score, row, i in ended]
        finished = sorted(finished, key=lambda pair: -pair[0])[:samples]  # stable: the first of equals
        going_on = _best(candidates.masked_fill(over, -math.inf), width)
        # Log-probabilities only fall, so none of these can ever score more than the first does at full length.
        if not going_on or (len(finished) == samples and finished[-1][0] >= going_on[0][0] / length**penalty):
            break
        scores = torch.tensor([score for score, _, _ in going_on], dtype=torch.float64)
        reader.select(torch.tensor([row for _, row, _ in going_on]))
        paths = [(paths[row], i) for _, row, i in going_on]
        ids = torch.tensor([[i] for _, _, i in going_on])
    return [_unroll(path) for _, path in finished]


def _best(candidates: Tensor, count: int) -> list[tuple[float, int, int]]:
    """The `count` largest of candidates `[paths, V]` that are possible at all, as (score, path, id)."""
    values, places = candidates.flatten().sort(descending=True, stable=True)
    pairs = zip(values[:count].tolist(), places[:count].tolist())
    return [(value, *divmod(place, candidates.size(1))) for value, place in pairs if value > -math.inf]


def _unroll(path: Any) -> list[int]:
    ids = []
    while path:
        path, last = path
        ids.append(last)
    return ids[::-1]


class _Reader:
    """Calls the model with what comes next, and carries its state, or the characters of its context."""

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
        """The logits `[B, V]` behind the last of ids `[B, L]`."""
        ids = ids.to(self.device)
        if self._context is not None:
            before = ids[:, :0] if self._state is None else self._state.T
            ids = torch.cat([before, ids], dim=1)[:, -self._context :]
        if ids.shape != self._shape:
            self._batch = sequence_batch(ids, ids, path_graph(ids.size(1), hops=self._hops))
            self._shape = ids.shape
        else:  # but for its ids a batch is as the one before, and making it takes as long as a small layer
            self._batch["x"] = ids.flatten()
        logits, state = self.model(self._batch, None if self._context else self._state)
        self._state = ids.T if self._context else state
        if logits.shape != (ids.numel(), self.classes):
            raise ValueError(
                f"generate: expected a model with logits {[ids.numel(), self.classes]}, one row per element and one "
                f"column per character, got {list(logits.shape)}"
            )
        if self._state is None:
            raise ValueError(
                "generate: expected a model that carries a state from call to call, as all of seqgnn.models do with "
                "the last readout and without positions, or has a context_length, got none from "
                f"{type(self.model).__name__}"
            )
        logits = logits.view(*ids.shape, -1)[:, -1]
        if not all(map(math.isfinite, logits.amax(-1).tolist())):
            raise ValueError("generate: expected logits whose largest is finite, got NaN or infinite ones")
        return logits

    def select(self, rows: Tensor) -> None:
        """Goes on with these sequences, any of them several times."""
        self._state = self._select(self._state, rows)

    def _select(self, state: Any, rows: Tensor) -> Any:
        if isinstance(state, tuple):
            return tuple(self._select(part, rows) for part in state)
        if not isinstance(state, Tensor) or state.dim() < 2 or state.size(1) != self._shape[0]:
            expected = (
                f"a state of tensors, or nested tuples of them, with the batch of {self._shape[0]} as dimension 1"
            )
            raise ValueError(f"generate: expected {expected}, got {describe(state)}")
        return state.index_select(1, rows.to(state.device))  # a part may be on the host


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, and at the end for each module the mode it had."""
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
    """Where to run; moves the model there if it is told."""
    if device is not None:
        model.to(checked_device("generate", device))
    first = next(chain(model.parameters(), model.buffers()), None)
    return torch.device(device or "cpu") if first is None else first.device


def _check_counts(length: int, samples: int, seed: int) -> None:
    check_count("generate", "length", length, 1)
    check_count("generate", "samples", samples, 1)
    check_count("generate", "seed", seed, 0)


def _check_distribution(who: str, temperature: float, top_k: int | None, top_p: float | None) -> None:
    if not (_is_number(temperature) and temperature >= 0):
        raise ValueError(f"{who}: expected temperature to be a number of at least 0, got {temperature!r}")
    if top_k is not None:
        check_count(who, "top_k", top_k, 1)
    if top_p is not None and not (_is_number(top_p) and 0 < top_p <= 1):
        raise ValueError(f"{who}: expected top_p in (0, 1], got {top_p!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
