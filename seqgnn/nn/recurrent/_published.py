"""The base class of published layers, whose convolutions, peepholes and resets are those of the paper."""

from typing import Any, TypedDict

from torch import Tensor, nn

from seqgnn._utils.validation import one_of
from seqgnn.nn.init import Init
from seqgnn.nn.recurrent.graph_rnn import GraphRecurrent


class Options(TypedDict, total=False):
    """The keyword arguments of every published layer, as in :class:`seqgnn.nn.recurrent.graph_rnn.GraphRecurrent`.

    Convolutions, peepholes and resets are those of the paper.
    """

    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    nonlinearity: str
    init: Init
    forget_bias: float | None
    engine: str
    checkpoint_every: int | None
    device: Any
    dtype: Any


class Published(GraphRecurrent):
    """A layer of a paper, which determines the `fixed` options; the user chooses `options`."""

    _fixed_options = ("peephole", "reset")

    def __init__(self, in_channels: int, hidden_channels: int, num_layers: int, options: Options, **fixed: Any) -> None:
        for name in options:
            one_of(type(self).__name__, "option", name, Options.__annotations__)
        super().__init__(in_channels, hidden_channels, num_layers, **options, **fixed)


def glorot_blocks(weight: Tensor, channels: int) -> None:
    """Initializes each block `[H, channels]` by Glorot's uniform rule."""
    for block in weight.split(channels, dim=1):
        nn.init.xavier_uniform_(block)
