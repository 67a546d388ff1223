"""Weights from and to torch.nn, and from PyTorch Geometric Temporal."""

import copy
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from seqgnn._utils.validation import one_of
from seqgnn.nn.recurrent._engine_mixin import EngineMixin
from seqgnn.nn.recurrent.dcrnn import DCRNN
from seqgnn.nn.recurrent.gclstm import GCLSTM
from seqgnn.nn.recurrent.gcrn import GCRN
from seqgnn.nn.recurrent.graph_rnn import GraphRecurrent
from seqgnn.nn.recurrent.rnn import GRU, LSTM, RNN
from seqgnn.nn.recurrent.rnn_cells import GRUCell, LSTMCell, RNNCell
from seqgnn.nn.recurrent.tgcn import TGCN

PLAIN: dict[type, type] = {
    nn.RNN: RNN,
    nn.LSTM: LSTM,
    nn.GRU: GRU,
    nn.RNNCell: RNNCell,
    nn.LSTMCell: LSTMCell,
    nn.GRUCell: GRUCell,
}
CHEBYSHEV = ("GConvLSTM", "GConvGRU", "GCLSTM")  # their layers whose calls take lambda_max
LAYER_OPTIONS = ("num_layers", "bias", "batch_first", "dropout", "bidirectional", "nonlinearity", "proj_size")


def from_torch(module: nn.Module) -> Any:
    """Return the seqgnn equivalent of a recurrent layer or cell of torch.nn, with a copy of its weights.

    Raises:
        ValueError: for any other module.

    Example:
        >>> plain = nn.LSTM(3, 4, bidirectional=True)
        >>> layer, x = from_torch(plain), torch.randn(5, 2, 3)
        >>> torch.equal(layer(x)[0], plain(x)[0])
        True
    """
    if type(module) not in PLAIN:
        names = ", ".join(kind.__name__ for kind in PLAIN)
        raise ValueError(f"from_torch: expected one of torch.nn's {names}, got {type(module).__name__}")
    return _rebuilt(PLAIN[type(module)], module)


def to_torch(module: nn.Module) -> Any:
    """Return the torch.nn equivalent of a plain recurrent layer or cell, or a copy of a module with all such converted.

    For tools that support torch's classes but no subclasses, such as ``torch.ao.quantization``:
    ``quantize_dynamic(to_torch(model), {nn.LSTM})``. Weights are copied, and shared in the copy where they are shared
    in the model; hooks on a converted layer are not copied.

    Raises:
        ValueError: for a module without such layers, and for a layer of another class, as subclasses and parametrized
            layers are.

    Example:
        >>> layer = GRU(3, 4, num_layers=2, init="orthogonal")
        >>> plain, x = to_torch(layer), torch.randn(5, 2, 3)
        >>> type(plain) is nn.GRU, torch.equal(plain(x)[0], layer(x)[0])
        (True, True)
    """
    kinds = {ours: theirs for theirs, ours in PLAIN.items()}
    names = ", ".join(kind.__name__ for kind in kinds)
    plain: list[nn.Module] = [part for part in module.modules() if isinstance(part, EngineMixin)]
    for part in plain:
        computed = [name for name in _weight_names(part) if name not in part.state_dict()]
        if computed:
            found = f"{computed[0]} computed from others; remove the parametrization, norm or pruning first"
            raise ValueError(f"to_torch: expected {type(part).__name__} with weights of its own, got {found}")
    unsupported = [part for part in (plain or [module]) if type(part) not in kinds]
    if unsupported:
        raise ValueError(f"to_torch: expected one of seqgnn.nn's {names}, got {type(unsupported[0]).__name__}")
    if module in plain:
        return _rebuilt(kinds[type(module)], module)
    copied = copy.deepcopy(module)
    rebuilt = {part: _rebuilt(kinds[type(part)], part) for part in copied.modules() if isinstance(part, EngineMixin)}
    for path, part in list(copied.named_modules(remove_duplicate=False)):
        if part in rebuilt:
            copied.set_submodule(path, rebuilt[part])
    for part, converted in rebuilt.items():
        for name, parameter in part.named_parameters(recurse=False, remove_duplicate=False):
            setattr(converted, name, parameter)  # which other parts of the model may share
        if isinstance(converted, nn.RNNBase):
            converted.flatten_parameters()
    return copied


def _weight_names(part: nn.Module) -> list[str]:
    suffixes = [""]
    if isinstance(part, nn.RNNBase):
        ends = ("", "_reverse")[: 1 + part.bidirectional]
        suffixes = [f"_l{layer}{end}" for layer in range(part.num_layers) for end in ends]
    return [f"weight_{side}{suffix}" for suffix in suffixes for side in ("ih", "hh")]


def _rebuilt(kind: type, module: Any) -> Any:
    options = {name: getattr(module, name) for name in LAYER_OPTIONS if hasattr(module, name)}
    if "RNN" not in kind.__name__:
        options.pop("nonlinearity", None)
    if not options.get("proj_size", 1):
        options.pop("proj_size")
    like = module.weight_ih_l0 if hasattr(module, "weight_ih_l0") else module.weight_ih
    converted = kind(module.input_size, module.hidden_size, **options, device=like.device, dtype=like.dtype)
    converted.load_state_dict(module.state_dict())
    for name, parameter in converted.named_parameters():
        parameter.requires_grad_(getattr(module, name).requires_grad)
    return converted.train(module.training)


def from_pyg_temporal(layer: nn.Module, *, lambda_max: float | tuple[float, ...] | None = None) -> GraphRecurrent:
    """Return the seqgnn equivalent of a layer of PyTorch Geometric Temporal, with a copy of its weights.

    GConvLSTM becomes a :class:`GCRN`, GConvGRU a GCRN with ``cell="gru"``, GCLSTM and TGCN those of
    ``variant="pyg-temporal"``, and DCRNN a :class:`DCRNN` of ``variant="authors"``, which takes the same random walks
    without its errors; a warning lists the differences. One call of theirs is one step; ours take the whole sequence,
    x ``[T, N, F]`` (or their cells one step), and return output and state.

    Args:
        layer: a GConvLSTM, GConvGRU, GCLSTM, TGCN, TGCN2 or DCRNN.
        lambda_max: the value that you pass to a GConvLSTM, GConvGRU or GCLSTM in every call, since these layers do not
            store it; see :class:`seqgnn.nn.Chebyshev`. None if you pass none.

    Raises:
        ValueError: for any other module, for options that seqgnn does not have, and for lambda_max with a layer that
            does not take one.
    """
    converters = {
        "GConvLSTM": _gconv_lstm,
        "GConvGRU": _gconv_gru,
        "GCLSTM": _gclstm,
        "TGCN": _tgcn,
        "TGCN2": _tgcn,
        "DCRNN": _dcrnn,
    }
    name = one_of("from_pyg_temporal", "the layer", type(layer).__name__, converters)
    if "torch_geometric_temporal" not in type(layer).__module__:
        found = f"{name} of {type(layer).__module__}"
        raise ValueError(f"from_pyg_temporal: expected a layer of torch_geometric_temporal, got {found}")
    if lambda_max is not None and name not in CHEBYSHEV:
        raise ValueError(f"from_pyg_temporal: expected lambda_max with one of {', '.join(CHEBYSHEV)}, got {name}")
    converted, state = converters[name](layer, {} if lambda_max is None else {"lambda_max": lambda_max})
    like = next(layer.parameters())
    converted.to(like.device, like.dtype).load_state_dict(state)
    return converted.train(layer.training)


def _chebyshev(convs: list[Any]) -> Tensor:
    """Return the weights of ChebConvs, one per gate, as one matrix: gates below each other, terms side by side."""
    return torch.cat([torch.cat([lin.weight for lin in conv.lins], dim=1) for conv in convs])


def _bias(convs: list[Any]) -> Tensor:
    return torch.cat([conv.bias for conv in convs])


def _gconv_lstm(layer: Any, options: dict[str, Any]) -> tuple[GraphRecurrent, dict[str, Tensor]]:
    from_x = [getattr(layer, f"conv_x_{gate}") for gate in "ifco"]
    from_h = [getattr(layer, f"conv_h_{gate}") for gate in "ifco"]
    bias = torch.cat([getattr(layer, f"b_{gate}")[0] for gate in "ifco"])
    state = {
        "weight_ih_l0": _chebyshev(from_x),
        "weight_hh_l0": _chebyshev(from_h),
        "bias_ih_l0": bias + _bias(from_x) if layer.bias else bias,
        "bias_hh_l0": _bias(from_h) if layer.bias else torch.zeros_like(bias),
    }
    state |= {f"weight_c{gate}_l0": getattr(layer, f"w_c_{gate}")[0] for gate in "ifo"}
    options = options | {"K": layer.K, "normalization": layer.normalization}
    return GCRN(layer.in_channels, layer.out_channels, **options), state


def _gconv_gru(layer: Any, options: dict[str, Any]) -> tuple[GraphRecurrent, dict[str, Tensor]]:
    from_x = [getattr(layer, f"conv_x_{gate}") for gate in "rzh"]
    from_h = [getattr(layer, f"conv_h_{gate}") for gate in "rzh"]
    state = {"weight_ih_l0": _chebyshev(from_x), "weight_hh_l0": _chebyshev(from_h)}
    if layer.bias:
        state |= {"bias_ih_l0": _bias(from_x), "bias_hh_l0": _bias(from_h)}
    options = options | {"K": layer.K, "normalization": layer.normalization, "bias": bool(layer.bias)}
    return GCRN(layer.in_channels, layer.out_channels, cell="gru", **options), state


def _gclstm(layer: Any, options: dict[str, Any]) -> tuple[GraphRecurrent, dict[str, Tensor]]:
    convs = [getattr(layer, f"conv_{gate}") for gate in "ifco"]
    bias = torch.cat([getattr(layer, f"b_{gate}")[0] for gate in "ifco"])
    state = {
        "weight_ih_l0": torch.cat([getattr(layer, f"W_{gate}").T for gate in "ifco"]),
        "weight_hh_l0": _chebyshev(convs),
        "bias_ih_l0": bias,
        "bias_hh_l0": _bias(convs) if layer.bias else torch.zeros_like(bias),
    }
    options = options | {"K": layer.K, "normalization": layer.normalization, "variant": "pyg-temporal"}
    return GCLSTM(layer.in_channels, layer.out_channels, **options), state


def _tgcn(layer: Any, options: dict[str, Any]) -> tuple[GraphRecurrent, dict[str, Tensor]]:
    if not layer.add_self_loops:
        raise ValueError("from_pyg_temporal: expected a TGCN with add_self_loops=True, got False")
    size = layer.out_channels
    convs = [getattr(layer, f"conv_{gate}") for gate in "rzh"]
    linears = [getattr(layer, f"linear_{gate}") for gate in "rzh"]
    state = {
        "weight_conv_l0": torch.cat([conv.lin.weight for conv in convs]),
        "bias_conv_l0": _bias(convs),
        "weight_ih_l0": torch.cat([part.weight[:, :size] for part in linears]),
        "weight_hh_l0": torch.cat([part.weight[:, size:] for part in linears]),
        "bias_ih_l0": _bias(linears),
        "bias_hh_l0": torch.zeros(3 * size),
    }
    options = options | {"variant": "pyg-temporal", "improved": layer.improved}
    return TGCN(layer.in_channels, size, **options), state


def _dcrnn(layer: Any, options: dict[str, Any]) -> tuple[GraphRecurrent, dict[str, Tensor]]:
    warnings.warn(
        "from_pyg_temporal: PyTorch Geometric Temporal's DCRNN ignores edge weights but for the degrees, mixes up the "
        "degrees of the backward walk, and repeats its recursion wrongly from K = 3 on; the converted layer does not, "
        "so its outputs differ on weighted or irregular graphs",
        stacklevel=3,
    )
    convs, size = [getattr(layer, f"conv_x_{gate}") for gate in "rzh"], layer.in_channels
    both = []
    for conv in convs:
        along, against = conv.weight  # [K, F + H, H] each
        blocks = [along[0] + against[0], *along[1:], *against[1:]]
        both.append([block.T for block in blocks])
    state = {
        "weight_ih_l0": torch.cat([torch.cat([block[:, :size] for block in gate], dim=1) for gate in both]),
        "weight_hh_l0": torch.cat([torch.cat([block[:, size:] for block in gate], dim=1) for gate in both]),
    }
    if layer.bias:
        state |= {"bias_ih_l0": _bias(convs), "bias_hh_l0": torch.zeros(3 * layer.out_channels)}
    options = options | {"K": layer.K, "variant": "authors", "bias": bool(layer.bias)}
    return DCRNN(layer.in_channels, layer.out_channels, **options), state
