"""The scan of a stack of recurrent layers over time, and the rules that choose its engine."""

from __future__ import annotations  # torch.compile cannot evaluate annotations of nested functions

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from seqgnn._utils import torch_internals
from seqgnn._utils.torch_internals import is_dynamic, is_eager
from seqgnn.nn.scan import half, reference
from seqgnn.nn.scan.cpp import scan as cpp
from seqgnn.nn.scan.exported import exported_scan
from seqgnn.nn.scan.functional import State
from seqgnn.nn.scan.fused import scan as fused
from seqgnn.nn.scan.gates import RecurrentUnit
from seqgnn.nn.scan.graph_inputs import StepInputs
from seqgnn.nn.scan.minimal import scan as minimal

# The fused engine is faster than the reference on the CPU with at least this many elements (T * B * N) or, if gradients
# are recorded, this many steps.
ELEMENTS, STEPS = 1000, 8

# The compiled engine is faster than all others, but for the training of a single step with fewer elements, where the
# reference is.
CPP_ELEMENTS = 200

# With at least this many channels, steps and elements (T * B), the fused engine trains torch.nn's layers faster than
# torch's kernels on the CPU. It never does for the LSTM, whose kernel has a hand-written backward pass, too.
FUSED = {"rnn": [(512, 20, 100)], "gru": [(64, 40, 800), (320, 20, 20)], "lstm": []}


def scan(
    x: Tensor,
    state: State,
    layers: Sequence[Sequence[RecurrentUnit]],
    inputs: StepInputs,
    *,
    engine: str,
    caller: str,
    dropout: float = 0.0,
    checkpoint_every: int | None = None,
    draws: bool = False,
) -> tuple[Tensor, State]:
    """Return the outputs of the last layer and the last states of all layers.

    Args:
        x: ``[T, ..., F]``.
        state: the initial state; each tensor has shape ``[num_layers * directions, ..., H]``.
        layers: the units of each layer, one per direction; the second runs from the last step to the first.
        inputs: the graphs and the active sequences of each step.
        engine: ``"auto"``, ``"cpp"``, ``"fused"``, ``"triton"`` or ``"reference"``, see :func:`choose_engine`.
        caller: class name for error messages.
        dropout: dropout probability between two layers; zero in evaluation mode.
        checkpoint_every: number of steps per segment for gradient checkpointing: only the inputs and initial state of
            each segment are saved, and the backward pass recomputes its steps; None saves everything. With about √T
            steps per segment, memory grows as √T (Chen et al. 2016). No effect if gradients are not recorded, under
            torch.func transforms, torch.compile and :func:`seqgnn.nn.scan.reference.record_states`.
        draws: whether projections may use random numbers, as dropout does; recomputation then uses the same random
            numbers, which is not supported in a CUDA graph.

    Returns:
        The outputs ``[T, ..., H * directions]`` and the states in the shape of `state`.
    """
    last_states: list[State] = []
    for number, units in enumerate(layers):
        outputs = []
        for direction, unit in enumerate(units):
            start = tuple(part[len(last_states)] for part in state)
            output, last = _scan_unit(unit, inputs, x, start, direction == 1, engine, caller, checkpoint_every, draws)
            outputs.append(output)
            last_states.append(last)
        x = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)
        if dropout and number < len(layers) - 1:
            x = F.dropout(x, dropout)
    return x, tuple(torch.stack(parts) for parts in zip(*last_states))


def _scan_unit(
    unit: RecurrentUnit,
    inputs: StepInputs,
    x: Tensor,
    state: State,
    reverse: bool,
    engine: str,
    caller: str,
    checkpoint_every: int | None,
    draws: bool,
) -> tuple[Tensor, State]:
    """Return the outputs and last state of one unit over all steps, in segments if the backward pass recomputes
    them."""
    if checkpoint_every is None or not torch.is_grad_enabled() or not is_eager() or reference.is_recording():
        return _scan_steps(unit, inputs, x, state, reverse, engine, caller)
    recomputed = partial(checkpoint, _scan_steps, use_reentrant=False, preserve_rng_state=draws)
    starts = range(0, len(x), checkpoint_every)
    outputs: dict[int, Tensor] = {}
    for start in reversed(starts) if reverse else starts:
        steps = slice(start, start + checkpoint_every)
        segment = inputs.segment(steps, is_first=not outputs)
        outputs[start], state = recomputed(unit, segment, x[steps], state, reverse, engine, caller)
    return torch.cat([outputs[start] for start in starts]), state


def _scan_steps(
    unit: RecurrentUnit, inputs: StepInputs, x: Tensor, state: State, reverse: bool, engine: str, caller: str
) -> tuple[Tensor, State]:
    """Return the outputs and last state of one unit over some steps, with one engine."""
    engine = choose_engine(engine, unit, x, caller)
    if half.is_half(x) and engine in ("cpp", "fused", "triton"):
        in_float32 = partial(_scan_by, reverse=reverse, engine=engine)
        return half.scan_in_float32(in_float32, unit, inputs, x, state)
    return _scan_by(unit, inputs, x, state, reverse, engine)


def _scan_by(
    unit: RecurrentUnit, inputs: StepInputs, x: Tensor, state: State, reverse: bool, engine: str
) -> tuple[Tensor, State]:
    """Return the outputs and last state by the engine that :func:`choose_engine` returned."""
    if minimal.is_minimal(unit) and engine in ("cpp", "fused"):
        return minimal.minimal_scan(unit, inputs, x, state, reverse, engine)
    if engine == "cpp":
        return cpp.cpp_scan(unit, inputs, x, state, reverse)
    if engine in ("fused", "triton"):
        return fused.fused_scan(unit, inputs, x, state, reverse, engine)
    if engine == "exported":
        return exported_scan(unit, inputs, x, state, reverse)
    return reference.reference_scan(unit, inputs, x, state, reverse)


def choose_engine(engine: str, unit: RecurrentUnit, x: Tensor, caller: str) -> str:
    """Return the engine of a scan: ``"cpp"``, ``"fused"``, ``"triton"``, ``"reference"`` or ``"exported"``.

    The compiled and the fused engine and the Triton kernels are used if they support inputs, cell and projections and,
    with ``"auto"``, if they are worthwhile, the compiled one first. Otherwise the reference is used. While torch.export
    traces a dynamic number of steps, it is a single operator, ``"exported"``.

    Raises:
        ValueError: for ``"triton"`` if its kernels cannot run.
    """
    if engine != "reference" and is_supported_input(x) and (not half.is_half(x) or half.is_supported(unit)):
        # Sizes are compared last: a comparison while torch.export traces would specialize the program to its result.
        if minimal.is_minimal(unit):
            return minimal.choose_engine(engine, x, engine != "auto" or is_worthwhile(x))
        if (engine == "cpp" or (engine == "auto" and is_worthwhile_compiled(x))) and cpp.is_supported(unit, x):
            return "cpp"
        worthwhile = engine != "auto" or is_worthwhile(x)
        if worthwhile and fused.is_supported(unit):
            if engine == "triton":
                check_triton(caller, x)
                return "triton"
            return "fused"
    return "exported" if is_dynamic(x) else "reference"


def is_supported_input(x: Tensor) -> bool:
    """Return True if the fused engine supports the call: float32 or float64 outside of autocast, or half precision on
    the CPU; outside of torch.compile, torch.func transforms, forward-mode AD and
    :func:`seqgnn.nn.scan.reference.record_states`."""
    full = x.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled(x.device.type)
    return (
        is_eager()
        and not torch_internals.forward_ad_active()
        and (full or half.is_half(x))
        and x.numel() > 0
        and not reference.is_recording()
    )


def is_worthwhile_compiled(x: Tensor) -> bool:
    """Return True if the compiled engine saves more time than its setup takes, for x `[T, (B,) N, F]`."""
    return len(x) > 1 or not torch.is_grad_enabled() or x.shape[:-1].numel() >= CPP_ELEMENTS


def is_worthwhile(x: Tensor) -> bool:
    """Return True if the fused engine saves more time than its setup takes, for x `[T, (B,) N, F]`: on the CPU, with
    many elements or, if gradients are recorded, many steps."""
    many = x.shape[:-1].numel() >= ELEMENTS or (torch.is_grad_enabled() and len(x) >= STEPS)
    return x.device.type == "cpu" and many


def check_triton(caller: str, x: Tensor) -> None:
    """Raise a ValueError if Triton kernels cannot run: the Triton of torch 2.6 is too old, and there is none for
    CPUs."""
    try:
        import triton
    except ImportError:
        raise ValueError(f"{caller}: expected triton to be installed for engine='triton', got no module") from None
    if tuple(map(int, triton.__version__.split(".")[:2])) < (3, 3):
        raise ValueError(f"{caller}: expected triton 3.3 or newer for engine='triton', got {triton.__version__}")
    from seqgnn.nn.scan.triton import pointwise

    if x.device.type != "cuda" and isinstance(pointwise.sigmoid, triton.JITFunction):
        raise ValueError(f"{caller}: expected x on a GPU, or TRITON_INTERPRET=1, for engine='triton', got {x.device}")


def choose_plain_engine(layer: Any, x: Tensor, hx: Any, time_dim: int, packed: bool) -> str:
    """Return the engine for a layer of torch.nn: ``"native"`` for torch's own forward pass, or one of :func:`scan`.

    Args:
        layer: an RNN, LSTM or GRU of :mod:`seqgnn.nn.recurrent.rnn`.
        x: its input, or the data of a PackedSequence if `packed`.
        hx: its state or None.
        time_dim: the dimension of time.
        packed: whether the input is packed; ``"auto"`` is then ``"native"``, since padding would cost more than the
            fused engine saves.
    """
    if layer.engine not in ("auto", "native"):
        return layer.engine
    auto = layer.engine == "auto"
    engine = "cpp" if auto else "reference"
    if auto and (is_transformed() or _is_slow_half(layer, x)):
        return engine
    if reference.is_recording() or is_dynamic(x, time_dim):
        return engine
    if layer.checkpoint_every is not None:
        return engine if requires_grad(layer, x, hx) else "native"
    if not auto or packed or x.device.type != "cpu":
        return "native"
    steps, batch = x.size(time_dim), x.size(1 - time_dim) if x.dim() == 3 else 1
    if not is_supported_input(x) or half.is_half(x):
        return "native"
    if cpp_is_faster(layer.kind, layer.hidden_size, steps, batch) and cpp.is_available() and not layer.proj_size:
        return "cpp"
    faster = fused_trains_faster(layer.kind, layer.hidden_size, steps, batch)
    return "fused" if faster and requires_grad(layer, x, hx) else "native"


def cpp_is_faster(kind: str, hidden_size: int, steps: int, batch: int) -> bool:
    """Return True if the compiled engine is faster than torch's kernels, the rule of ``engine="auto"``: with more than
    a few steps, for which weights are packed; for the LSTM with many sequences and weights that stay in cache."""
    if kind == "lstm":
        return batch >= 16 and hidden_size <= 256 and steps * batch >= 600
    return steps >= 10


def fused_trains_faster(kind: str, hidden_size: int, steps: int, batch: int) -> bool:
    """Return True if the fused engine trains a layer of torch.nn faster on the CPU, the rule of ``engine="auto"``."""
    sizes = hidden_size, steps, steps * batch
    return any(all(size >= least for size, least in zip(sizes, minimum)) for minimum in FUSED[kind])


def requires_grad(layer: Any, x: Tensor, hx: Any) -> bool:
    """Return True if a call of a layer records gradients."""
    if not torch.is_grad_enabled():
        return False
    states = hx if isinstance(hx, (tuple, list)) else (hx,)
    return any(part is not None and part.requires_grad for part in (x, *states, *layer.parameters()))


def is_transformed() -> bool:
    """Return True under torch.func transforms and forward-mode AD, which torch's kernels do not support."""
    return torch_internals.transforms_active() or torch_internals.forward_ad_active()


def _is_slow_half(layer: Any, x: Tensor) -> bool:
    """Return True for half precision on a CPU without instructions for it: torch's kernels take up to eight times as
    long as in float32 there, and that of the LSTM raises an error."""
    return not layer.proj_size and half.is_half(x) and not torch_internals.supports_half_on_cpu(half.product_dtype(x))
