"""The gradient of the loss with respect to the state of every step."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss
from torch_geometric.data import Batch

from seqgnn._utils.validation import one_of
from seqgnn.analysis._utils import evaluation_mode, safe_norm
from seqgnn.data import sequence_lengths
from seqgnn.nn.scan.reference import Record, record_states

REDUCTIONS = ("norm-of-mean", "mean-of-norms")


@dataclass(frozen=True, eq=False)
class GradientFlow:
    """Norms of the gradient at each time step.

    Attributes:
        h: norms of dL/dh_t, ``[layers * directions, T]``, in float64; columns are time steps for both directions.
        c: norms of dL/dc_t, a row for each layer with a cell state; None if there is none.
        reduce: how the batch was reduced, one of `REDUCTIONS`.
        loss: L.
    """

    h: Tensor
    c: Tensor | None
    reduce: str
    loss: float


def gradient_flow(model: nn.Module, batch: Batch, reduce: str = "norm-of-mean") -> GradientFlow:
    r"""Return the norm of the gradient of the loss with respect to the state of every recurrent layer at every step.

    .. math::
        L &= \frac{1}{M} \sum_m -\log \mathrm{softmax}(p_m)_{y_m}, \qquad
        g_{t,b} = \frac{\partial L}{\partial h_{t,b}} \quad \text{or} \quad \frac{\partial L}{\partial c_{t,b}} \\
        \text{norm-of-mean} &= \Big\| \frac{1}{B} \sum_b g_{t,b} \Big\|_2, \qquad
        \text{mean-of-norms} = \frac{1}{B} \sum_b \| g_{t,b} \|_2

    over all M predictions of the batch; for real-valued targets, L is the mean squared error. So each g already
    contains the factor 1 / M of L. The two reductions differ: gradients with different directions for different
    sequences cancel in the first, not in the second.
    Gradients are total derivatives: they include all paths from h_t to the loss, through later steps and higher layers.
    The gradient with respect to c_t includes the path through h_t, which is computed from it.

    The model runs in evaluation mode, without dropout. Its weights, their gradients and its mode do not change; weights
    may be frozen. Plain layers run with the engine "reference", since torch's kernels do not return c_t. Gradients have
    the dtype of the model, their norms float64. In float32, gradients below 1e-45 are zero, which can happen after some
    hundred steps; ``copy.deepcopy(model).double()`` represents them down to 1e-308.

    Args:
        model: any module called as ``model(batch) -> logits, state`` that contains a recurrent layer of
            :mod:`seqgnn.nn` over time: all of :func:`seqgnn.models.build` but GCNs and trees.
        batch: sequences with their targets; gradients are zero after the end of a sequence.
        reduce: ``"norm-of-mean"`` or ``"mean-of-norms"``.

    Raises:
        ValueError: if the reduction is unknown, the model has no recurrence over time, the targets do not match the
            logits, no path in the autograd graph connects the loss with a state (through a head of zeros there is one,
            and norms are zero), or gradients are NaN or infinite.

    Example:
        >>> from seqgnn.data import Palindromes
        >>> from seqgnn.models.sequence_model import build
        >>> task = Palindromes(20)
        >>> batch = task.draw(32, torch.Generator().manual_seed(0))
        >>> flow = gradient_flow(build("lstm", task, num_layers=2), batch)
        >>> flow.h.shape, flow.c.shape, bool(flow.h[1, -1] > flow.h[1, 0])
        (torch.Size([2, 19]), torch.Size([2, 19]), True)
    """
    one_of("gradient_flow", "reduce", reduce, REDUCTIONS)
    with evaluation_mode(model), record_states() as scans:
        logits, _ = model(batch)
        _check_recordings(scans, logits, batch)
        loss = _loss(logits, batch.y)
        states = [[scan[t][part] for t in sorted(scan)] for part in (0, 1) for scan in scans if len(scan[0]) > part]
        gradients = _gradients(loss, states)
    norms, nats = torch.stack([_norms(gradient, reduce) for gradient in gradients]), loss.item()
    if not bool(norms.isfinite().all()):
        steps = int((~norms.isfinite()).any(0).sum())
        got = f"NaN or infinite values at {steps} of {norms.size(1)} steps (the loss is {nats:g})"
        raise ValueError(f"gradient_flow: expected finite gradients, got {got}")
    h, c = norms[: len(scans)], norms[len(scans) :]
    return GradientFlow(h, c if len(c) else None, reduce, nats)


def _loss(logits: Tensor, y: Tensor) -> Tensor:
    """Return the mean cross-entropy of classes, or the mean squared error of real-valued targets."""
    return mse_loss(logits.squeeze(-1), y.to(logits.dtype)) if y.is_floating_point() else cross_entropy(logits, y)


def _check_recordings(scans: Record, logits: Tensor, batch: Any) -> None:
    """Check that states were recorded for each sequence at the same steps, and that targets match the logits."""
    if not scans:
        raise ValueError(
            "gradient_flow: expected a model with a recurrent layer of seqgnn.nn over time, such as 'lstm' or "
            "'gcn-in-lstm', got one without"
        )
    sequences = {len(state[0]) for scan in scans for state in scan.values()}
    lengths = {len(scan) for scan in scans}
    count = len(sequence_lengths(batch))
    if sequences != {count} or len(lengths) > 1:
        got = f"states of {sorted(sequences)} rows over {sorted(lengths)} steps"
        raise ValueError(f"gradient_flow: expected a state for each of {count} sequences, got {got}")
    y = getattr(batch, "y", None)
    if y is None or y.shape != logits.shape[:1]:
        got = "none" if y is None else str(len(y))
        raise ValueError(f"gradient_flow: expected {len(logits)} targets, one for each row of logits, got {got}")
    if y.is_floating_point():
        if logits.shape[1:] != (1,):
            expected = f"predictions [{len(y)}, 1] for real-valued targets"
            raise ValueError(f"gradient_flow: expected {expected}, got {tuple(logits.shape)}")
        return
    if not 0 <= int(y.min()) <= int(y.max()) < logits.size(1):
        got = f"{int(y.min())} to {int(y.max())}"
        raise ValueError(f"gradient_flow: expected targets between 0 and {logits.size(1) - 1}, got {got}")


def _gradients(loss: Tensor, states: list[list[Tensor]]) -> list[Tensor]:
    """Return the gradients ``[T, B, ...]`` with respect to the states of each scan; zero where the loss does not depend
    on them."""
    flat = [state for steps in states for state in steps]
    gradients = torch.autograd.grad(loss, flat, allow_unused=True) if loss.requires_grad else [None] * len(flat)
    if all(gradient is None for gradient in gradients):
        raise ValueError("gradient_flow: expected a loss that depends on the states, got one that does not")
    filled = [torch.zeros_like(state) if gradient is None else gradient for state, gradient in zip(flat, gradients)]
    steps = len(states[0])
    return [torch.stack(filled[start : start + steps]) for start in range(0, len(filled), steps)]


def _norms(gradient: Tensor, reduce: str) -> Tensor:
    """Return norms ``[T]`` of ``[T, B, ...]``, in float64."""
    gradient = gradient.double().flatten(2)
    return safe_norm(gradient.mean(1)) if reduce == "norm-of-mean" else safe_norm(gradient).mean(1)
