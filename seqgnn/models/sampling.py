"""The choice of the next character from a model's logits: greedy, or sampling with temperature, top-k and top-p."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from seqgnn._utils.validation import check_count


@dataclass(frozen=True)
class SamplingConfig:
    """The choice of the next character.

    Args:
        greedy: choose the most probable character at each step (the first if there are several).
        temperature: divisor of the logits, at least 0; 0 is greedy, inf uniform.
        inverse_temperature: factor of the logits, at least 0, as an alternative to the temperature; 0 is uniform.
        top_k: sample from the k most probable characters only; None: all.
        top_p: sample only from the fewest most probable characters whose probabilities sum to at least this value
            (nucleus sampling), in (0, 1]; None: all.
        seed: random seed, at least 0.

    Raises:
        ValueError: if an option is out of range, or options contradict each other.

    Example:
        >>> SamplingConfig(inverse_temperature=4.0).effective_temperature
        0.25
    """

    greedy: bool = False
    temperature: float = 1.0
    inverse_temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        caller, tau = type(self).__name__, self.inverse_temperature
        if self.greedy and self.changes_distribution:
            raise ValueError(f"{caller}: greedy cannot be combined with temperature, top_k or top_p")
        if tau is not None:
            if self.temperature != 1:
                got = f"{self.temperature} and {tau}"
                raise ValueError(f"{caller}: expected temperature or inverse_temperature, got both, {got}")
            if not (_is_number(tau) and tau >= 0):
                got = repr(tau)
                raise ValueError(f"{caller}: expected inverse_temperature to be a number of at least 0, got {got}")
        _check_distribution(caller, self.temperature, self.top_k, self.top_p)
        check_count(caller, "seed", self.seed, 0)

    @property
    def changes_distribution(self) -> bool:
        """True if characters are sampled from a different distribution than the model's, ignoring `greedy`."""
        return self.temperature != 1 or (self.inverse_temperature, self.top_k, self.top_p) != (None, None, None)

    @property
    def effective_temperature(self) -> float:
        """The temperature T that divides the logits, for every combination of options."""
        if self.greedy:
            return 0.0
        if self.inverse_temperature is None:
            return self.temperature
        return 1 / self.inverse_temperature if self.inverse_temperature else math.inf


def sampler(sampling: SamplingConfig) -> Callable[[Tensor], Tensor]:
    """Return a function from logits `[B, V]` to the ids `[B]` of the next characters.

    Example:
        >>> sampler(SamplingConfig(greedy=True))(torch.tensor([[0.0, 2.0, 1.0]])).tolist()
        [1]
    """
    generator = Generator().manual_seed(sampling.seed)
    temperature = sampling.effective_temperature

    def choose(logits: Tensor) -> Tensor:
        if temperature == 0:
            return logits.argmax(-1)
        return _draw(next_probabilities(logits, temperature, sampling.top_k, sampling.top_p), generator)

    return choose


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


def _check_distribution(caller: str, temperature: float, top_k: int | None, top_p: float | None) -> None:
    if not (_is_number(temperature) and temperature >= 0):
        raise ValueError(f"{caller}: expected temperature to be a number of at least 0, got {temperature!r}")
    if top_k is not None:
        check_count(caller, "top_k", top_k, 1)
    if top_p is not None and not (_is_number(top_p) and 0 < top_p <= 1):
        raise ValueError(f"{caller}: expected top_p in (0, 1], got {top_p!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
