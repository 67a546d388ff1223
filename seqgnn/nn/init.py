r"""Named recipes for the weights of recurrent layers, plain and on graphs.

A recipe is an object called with the weights of each layer and direction (:class:`Gates`) and fills them in place.
``init="orthogonal"`` applies one on top of torch's default; ``init=["orthogonal", init.chrono(t_max=100)]`` several in
order. Fans are those of one gate's block, never of the stacked matrix. A custom recipe is any
``recipe(kind, gates)``; a layer keeps it, so a lambda cannot be pickled with it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from seqgnn._utils.validation import one_of

NUM_GATES = {"rnn": 1, "lstm": 4, "gru": 3}


class Gates(NamedTuple):
    """The weights of one layer and direction as views, gate by gate in torch's order (LSTM: i, f, g, o; GRU: r, z, n).

    ``weight_ih`` holds blocks ``[H, m F]``, ``weight_hh`` blocks ``[H, m H]``, the biases ``[H]``; each may be empty,
    as where a convolution replaces it. ``cell_state`` are the weights on an LSTM's c: peepholes, or its projection.
    """

    weight_ih: tuple[Tensor, ...]
    weight_hh: tuple[Tensor, ...]
    bias_ih: tuple[Tensor, ...]
    bias_hh: tuple[Tensor, ...]
    cell_state: tuple[Tensor, ...] = ()

    @property
    def hidden_size(self) -> int:
        return (self.weight_ih + self.weight_hh + self.cell_state)[0].size(0)

    @property
    def biases(self) -> tuple[Tensor, ...]:
        return self.bias_ih + self.bias_hh

    def set_bias(self, gate: int, value: Tensor | float) -> None:
        """Makes b_ih + b_hh of a gate equal to `value`."""
        self.bias_ih[gate].copy_(torch.as_tensor(value))
        if self.bias_hh:
            self.bias_hh[gate].zero_()


Recipe: TypeAlias = "Callable[[str, Gates], None]"


@dataclass(frozen=True)
class uniform:
    """torch's default: everything from U(-1/sqrt(H), 1/sqrt(H)). Its name is ``"torch"``."""

    def __call__(self, kind: str, gates: Gates) -> None:
        bound = 1 / math.sqrt(gates.hidden_size)
        for tensor in gates.weight_ih + gates.weight_hh + gates.biases + gates.cell_state:
            nn.init.uniform_(tensor, -bound, bound)


@dataclass(frozen=True)
class xavier:
    """Weights from N(0, 2 / (fan_in + fan_out)) with the fans of one gate, zero biases (Glorot and Bengio 2010)."""

    def __call__(self, kind: str, gates: Gates) -> None:
        for block in gates.weight_ih + gates.weight_hh:
            nn.init.xavier_normal_(block)
        for bias in gates.biases:
            nn.init.zeros_(bias)


@dataclass(frozen=True)
class orthogonal:
    """Each gate's hidden block orthogonal (Saxe et al. 2014); the rest is left as it is."""

    def __call__(self, kind: str, gates: Gates) -> None:
        for block in gates.weight_hh:
            nn.init.orthogonal_(block)


@dataclass(frozen=True)
class identity:
    """Hidden block = I, input weights N(0, 0.001²), zero biases (Le, Jaitly and Hinton 2015). For the plain RNN."""

    kinds = ("rnn",)

    def __call__(self, kind: str, gates: Gates) -> None:
        for block in gates.weight_hh:
            nn.init.eye_(block)
        for block in gates.weight_ih:
            nn.init.normal_(block, std=0.001)
        for bias in gates.biases:
            nn.init.zeros_(bias)


@dataclass(frozen=True)
class latch:
    r"""Hidden block = gain times I, input weights N(0, 0.1²), zero biases: the first inputs decide the sign of each
    unit of a tanh RNN, which it keeps for a sequence of any length (Bengio, Simard and Frasconi 1994, on one unit).

    .. math::
        h_t = \tanh(w h_{t-1} + u_t), \quad w > 1 \text{ holds its sign while } |u_t| < \sqrt{w (w - 1)} -
        \operatorname{arcosh} \sqrt{w}

    The layer stores the first inputs and little else, so this is a prior for tasks that ask for those.

    Args:
        gain: w, above 1; with a larger gain the very first input has more influence.
    """

    gain: float = 2.0
    kinds = ("rnn",)

    def __post_init__(self) -> None:
        if not isinstance(self.gain, int | float) or not 1 < self.gain < math.inf:
            raise ValueError(f"init.latch: expected gain to be a number above 1, got {self.gain!r}")

    def __call__(self, kind: str, gates: Gates) -> None:
        for block in gates.weight_hh:
            nn.init.eye_(block).mul_(self.gain)
        for block in gates.weight_ih:
            nn.init.normal_(block, std=0.1)
        for bias in gates.biases:
            nn.init.zeros_(bias)


@dataclass(frozen=True)
class chrono:
    r"""Time scales spread up to `t_max` (Tallec and Ollivier 2018, section 3).

    .. math::
        b_f = \log U(1, T_{max} - 1), \quad b_i = -b_f \qquad \text{(GRU: } b_z = \log U(1, T_{max} - 1) \text{)}

    where b is the sum of both biases, and z keeps the old state, as in torch.

    Args:
        t_max: the longest dependency, in steps; at least 2.
    """

    t_max: int
    kinds = ("lstm", "gru")

    def __post_init__(self) -> None:
        if not isinstance(self.t_max, int) or self.t_max < 2:
            raise ValueError(f"init.chrono: expected t_max to be an integer >= 2, got {self.t_max!r}")

    def __call__(self, kind: str, gates: Gates) -> None:
        bias = torch.empty_like(gates.bias_ih[0]).uniform_(1, self.t_max - 1).log_()
        gates.set_bias(1, bias)
        if kind == "lstm":
            gates.set_bias(0, -bias)


@dataclass(frozen=True)
class forget_bias:
    """The sum of both biases of an LSTM's forget gate is `value` (Gers et al. 2000; Jozefowicz et al. 2015)."""

    value: float
    kinds = ("lstm",)

    def __post_init__(self) -> None:
        if not isinstance(self.value, int | float) or not math.isfinite(self.value):
            raise ValueError(f"init.forget_bias: expected a finite number, got {self.value!r}")

    def __call__(self, kind: str, gates: Gates) -> None:
        gates.set_bias(1, self.value)


RECIPES: dict[str, type] = {
    "torch": uniform,
    "xavier": xavier,
    "orthogonal": orthogonal,
    "identity": identity,
    "latch": latch,
    "chrono": chrono,
}
Init: TypeAlias = "str | Recipe | Sequence[str | Recipe] | None"


def resolve_recipes(caller: str, kind: str, init: Init, forget: float | None, bias: bool) -> tuple[Recipe, ...]:
    """Return the recipes of a layer by its options ``init=`` and ``forget_bias=``, in order.

    Args:
        caller: the layer's name, for messages.
        kind: ``"rnn"``, ``"lstm"`` or ``"gru"``.

    Raises:
        ValueError: for an unknown name, and for recipes that contradict each other.
    """
    entries = [] if init is None else list(init) if isinstance(init, (list, tuple)) else [init]
    recipes: list[Recipe] = []
    for recipe in entries:
        if not isinstance(recipe, str):
            if isinstance(recipe, type) or not callable(recipe):
                raise ValueError(f"{caller}: expected init to be recipes, such as init.orthogonal(), got {recipe!r}")
            recipes.append(recipe)
        elif one_of(caller, "init", recipe, RECIPES) == "chrono":
            raise ValueError(f"{caller}: expected init.chrono(t_max=...) with t_max >= 2, got 'chrono' without t_max")
        else:
            recipes.append(RECIPES[recipe]())
    if forget is not None:
        recipes.append(forget_bias(forget))
    if {chrono, forget_bias} <= {type(recipe) for recipe in recipes}:
        raise ValueError(f"{caller}: expected init.chrono or forget_bias, got both; they set the same bias")
    for place, recipe in enumerate(recipes):
        if isinstance(recipe, uniform | xavier | identity | latch) and any(
            isinstance(earlier, chrono | forget_bias) for earlier in recipes[:place]
        ):
            raise ValueError(f"{caller}: expected {type(recipe).__name__} before what sets biases, got it after")
        name = type(recipe).__name__
        kinds = getattr(recipe, "kinds", NUM_GATES)
        if kind not in kinds:
            expected = f"init {name} on a layer of kind {' or '.join(kinds)}"
            raise ValueError(f"{caller}: expected {expected}, got it on {kind}")
        if isinstance(recipe, chrono | forget_bias) and not bias:
            raise ValueError(f"{caller}: expected bias=True for {name}, got bias=False")
    return tuple(recipes)


def gates_of(module: nn.Module, kind: str) -> Iterator[Gates]:
    """Yields the weights of every layer and direction of a module with torch's names; buffers are left out."""
    parameters = dict(module.named_parameters(recurse=False))
    blocks = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    cell_state = ("weight_ci", "weight_cf", "weight_co", "weight_cc", "bias_cc")
    known = ("weight_ih", "weight_hh", "weight_ci")
    for suffix in dict.fromkeys(name[len("weight_ih") :] for name in parameters if name[: len("weight_ih")] in known):
        weights = [
            parameters[name + suffix].chunk(NUM_GATES[kind]) if name + suffix in parameters else () for name in blocks
        ]
        weights.append(tuple(parameters[name + suffix] for name in cell_state if name + suffix in parameters))
        yield Gates(*weights)


@torch.no_grad()
def apply_recipes(recipes: Sequence[Recipe], module: nn.Module, kind: str) -> None:
    """Fills the weights of a recurrent module, recipe by recipe."""
    for recipe in recipes:
        for gates in gates_of(module, kind):
            recipe(kind, gates)
