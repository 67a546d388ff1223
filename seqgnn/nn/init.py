r"""Named initializations of recurrent layers, plain and on graphs.

An initialization, or recipe, is a callable that receives the weights of each layer and direction (:class:`Gates`) and
fills them in place. ``init="orthogonal"`` applies one after torch's default, and
``init=["orthogonal", init.chrono(t_max=100)]`` applies several in order. Fans are those of a single gate, never of the
stacked matrix. A custom recipe is any callable ``recipe(kind, gates)``. Layers store their recipes, so a layer with a
lambda cannot be pickled.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from seqgnn._utils.validation import one_of, shown

NUM_GATES = {"rnn": 1, "lstm": 4, "gru": 3, "mingru": 2, "minlstm": 3}
LSTM_GATES = {"lstm": (1, 0), "minlstm": (0, 1)}  # the places of f and i among the gates


class Gates(NamedTuple):
    """The weights of one layer and direction as views, gate by gate in torch's order (LSTM: i, f, g, o; GRU: r, z, n;
    MinLSTM: f, i, c; MinGRU: z, c).

    ``weight_ih`` holds blocks ``[H, m F]``, ``weight_hh`` blocks ``[H, m H]``, the biases ``[H]``; each may be empty,
    for example if a convolution replaces it. ``cell_state`` holds the weights applied to an LSTM's c: peepholes, or its
    projection.
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
        """Set b_ih + b_hh of a gate to `value`."""
        self.bias_ih[gate].copy_(torch.as_tensor(value))
        if self.bias_hh:
            self.bias_hh[gate].zero_()


Recipe: TypeAlias = "Callable[[str, Gates], None]"


@dataclass(frozen=True)
class uniform:
    """torch's default, ``init="torch"``: all weights and biases from U(-1/sqrt(H), 1/sqrt(H))."""

    def __call__(self, kind: str, gates: Gates) -> None:
        bound = 1 / math.sqrt(gates.hidden_size)
        for tensor in gates.weight_ih + gates.weight_hh + gates.biases + gates.cell_state:
            nn.init.uniform_(tensor, -bound, bound)


@dataclass(frozen=True)
class xavier:
    """Weights from N(0, 2 / (fan_in + fan_out)) with the fans of each gate, zero biases (Glorot and Bengio 2010)."""

    def __call__(self, kind: str, gates: Gates) -> None:
        for block in gates.weight_ih + gates.weight_hh:
            nn.init.xavier_normal_(block)
        for bias in gates.biases:
            nn.init.zeros_(bias)


@dataclass(frozen=True)
class orthogonal:
    """An orthogonal hidden-to-hidden matrix for each gate (Saxe et al. 2014); other weights do not change."""

    kinds = ("rnn", "lstm", "gru")

    def __call__(self, kind: str, gates: Gates) -> None:
        for block in gates.weight_hh:
            nn.init.orthogonal_(block)


@dataclass(frozen=True)
class identity:
    """Identity hidden-to-hidden matrix, input weights from N(0, 0.001²), zero biases (Le, Jaitly and Hinton 2015), for
    RNNs."""

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
    r"""Hidden-to-hidden matrix `gain` times I, input weights from N(0, 0.1²), zero biases: the first inputs determine
    the sign of each unit of a tanh RNN, and the unit keeps it in sequences of any length (Bengio, Simard and Frasconi
    1994, for one unit).

    .. math::
        h_t = \tanh(w h_{t-1} + u_t), \quad w > 1 \text{ keeps its sign while } |u_t| < \sqrt{w (w - 1)} -
        \operatorname{arcosh} \sqrt{w}

    The layer stores the first inputs and little else, so this initialization is a prior for tasks that require them.

    Args:
        gain: w, above 1; with a larger gain, the first input has more influence.
    """

    gain: float = 2.0
    kinds = ("rnn",)

    def __post_init__(self) -> None:
        if not isinstance(self.gain, int | float) or not 1 < self.gain < math.inf:
            raise ValueError(f"init.latch: expected gain to be a number above 1, got {shown(self.gain)}")

    def __call__(self, kind: str, gates: Gates) -> None:
        for block in gates.weight_hh:
            nn.init.eye_(block).mul_(self.gain)
        for block in gates.weight_ih:
            nn.init.normal_(block, std=0.1)
        for bias in gates.biases:
            nn.init.zeros_(bias)


@dataclass(frozen=True)
class chrono:
    r"""Gate biases with time scales of up to `t_max` steps (Tallec and Ollivier 2018, section 3).

    .. math::
        b_f = \log U(1, T_{max} - 1), \quad b_i = -b_f \qquad \text{(GRU: } b_z = \log U(1, T_{max} - 1) \text{)}

    Here b is the sum of both biases, and z is the fraction of the old state that is kept, as in torch. In a MinGRU, z
    is the fraction of the new state, and :math:`b_z = -\log U(1, T_{max} - 1)`.

    Args:
        t_max: the longest dependency, in steps; at least 2.
    """

    t_max: int
    kinds = ("lstm", "gru", "mingru", "minlstm")

    def __post_init__(self) -> None:
        if not isinstance(self.t_max, int) or not 2 <= self.t_max < 2**63:
            raise ValueError(f"init.chrono: expected t_max to be an integer >= 2, got {shown(self.t_max)}")

    def __call__(self, kind: str, gates: Gates) -> None:
        bias = torch.empty_like(gates.bias_ih[0]).uniform_(1, self.t_max - 1).log_()
        if kind in LSTM_GATES:
            forget, input = LSTM_GATES[kind]
            gates.set_bias(forget, bias)
            gates.set_bias(input, -bias)
        elif kind == "gru":
            gates.set_bias(1, bias)
        else:
            gates.set_bias(0, -bias)


@dataclass(frozen=True)
class ramp:
    r"""Biases of the candidates from N(0, std²), for stacked MinGRU and MinLSTM layers.

    .. math::
        h_t \approx b_c \, (1 - (1 - z)^t)

    From its zero state, each unit moves towards its bias at its own time scale, so that the gates of the next layer see
    the time since the start and can treat the first inputs differently from later ones. With zero biases, states are
    zero on average at all times. Best after :class:`chrono`, with which time scales reach `t_max`.

    Args:
        std: standard deviation, above 0.
    """

    std: float = 1.0
    kinds = ("mingru", "minlstm")

    def __post_init__(self) -> None:
        if not isinstance(self.std, Real) or not 0 < self.std < math.inf:
            raise ValueError(f"init.ramp: expected std to be a finite number above 0, got {shown(self.std)}")

    def __call__(self, kind: str, gates: Gates) -> None:
        gates.set_bias(-1, torch.randn_like(gates.bias_ih[-1]) * self.std)


@dataclass(frozen=True)
class forget_bias:
    """Biases of an LSTM's or MinLSTM's forget gate with sum `value` (Gers et al. 2000; Jozefowicz et al. 2015)."""

    value: float
    kinds = ("lstm", "minlstm")

    def __post_init__(self) -> None:
        largest = torch.finfo(torch.float32).max
        if not isinstance(self.value, Real) or not abs(self.value) <= largest:
            got = shown(self.value)
            raise ValueError(f"init.forget_bias: expected a finite number of at most {largest:.3g}, got {got}")

    def __call__(self, kind: str, gates: Gates) -> None:
        gates.set_bias(LSTM_GATES[kind][0], float(self.value))


RECIPES: dict[str, type] = {
    "torch": uniform,
    "xavier": xavier,
    "orthogonal": orthogonal,
    "identity": identity,
    "latch": latch,
    "chrono": chrono,
    "ramp": ramp,
}
Init: TypeAlias = "str | Recipe | Sequence[str | Recipe] | None"


def resolve_recipes(caller: str, kind: str, init: Init, forget: float | None, bias: bool) -> tuple[Recipe, ...]:
    """Return the recipes of a layer in order, as given by its options `init` and `forget_bias`.

    Args:
        caller: class name for error messages.
        kind: ``"rnn"``, ``"lstm"``, ``"gru"``, ``"mingru"`` or ``"minlstm"``.

    Raises:
        ValueError: for an unknown name, and for recipes that contradict each other.
    """
    entries = [] if init is None else list(init) if isinstance(init, (list, tuple)) else [init]
    recipes: list[Recipe] = []
    for recipe in entries:
        if not isinstance(recipe, str):
            if isinstance(recipe, type) or not callable(recipe):
                got = shown(recipe)
                raise ValueError(f"{caller}: expected an initialization, such as init.orthogonal(), got {got}")
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
            isinstance(earlier, chrono | forget_bias | ramp) for earlier in recipes[:place]
        ):
            raise ValueError(
                f"{caller}: expected {type(recipe).__name__} before chrono, forget_bias or ramp, got it after"
            )
        name = type(recipe).__name__
        kinds = getattr(recipe, "kinds", NUM_GATES)
        if kind not in kinds:
            expected = f"init {name} on a layer of kind {' or '.join(kinds)}"
            raise ValueError(f"{caller}: expected {expected}, got it on {kind}")
        if isinstance(recipe, chrono | forget_bias | ramp) and not bias:
            raise ValueError(f"{caller}: expected bias=True for {name}, got bias=False")
    return tuple(recipes)


def gates_of(module: nn.Module, kind: str) -> Iterator[Gates]:
    """Yield the parameters of every layer and direction of a module with torch's names, without buffers."""
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
    """Initialize a recurrent module with recipes, in order."""
    for recipe in recipes:
        for gates in gates_of(module, kind):
            recipe(kind, gates)
