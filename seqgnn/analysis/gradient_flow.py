"""The gradient of the loss with respect to the state of every step."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch_geometric.data import Batch

from seqgnn._utils.validation import one_of
from seqgnn.analysis._utils import safe_norm, undisturbed
from seqgnn.data import sequence_lengths
from seqgnn.nn.scan.reference import Record, record_states

REDUCTIONS = ("norm-of-mean", "mean-of-norms")


@dataclass(frozen=True, eq=False)
class GradientFlow:
    """How much of the gradient arrives at each step.

    Attributes:
        h: norms of dL/dh_t, ``[layers * directions, T]``, in float64; a step keeps its place whatever the direction.
        c: norms of dL/dc_t, a row for each layer with such a memory; None where there is none.
        reduce: how the batch was reduced, one of `REDUCTIONS`.
        loss: L.
    """

    h: Tensor
    c: Tensor | None
    reduce: str
    loss: float


def gradient_flow(model: nn.Module, batch: Batch, reduce: str = "norm-of-mean") -> GradientFlow:
    r"""The norm of the gradient of the loss with respect to the state of every recurrent layer at every step.

    .. math::
        L &= \frac{1}{M} \sum_m -\log \mathrm{softmax}(p_m)_{y_m}, \qquad
        g_{t,b} = \frac{\partial L}{\partial h_{t,b}} \quad \text{or} \quad \frac{\partial L}{\partial c_{t,b}} \\
        \text{norm-of-mean} &= \Big\| \frac{1}{B} \sum_b g_{t,b} \Big\|_2, \qquad
        \text{mean-of-norms} = \frac{1}{B} \sum_b \| g_{t,b} \|_2

    over all M answers of the batch, so that each g already has the 1 / M of L. The two differ: gradients that point
    elsewhere for each sequence cancel in the first and not in the second. Derivatives are total: all that the answer
    hears of h_t, by later steps and by higher layers. That of c_t holds for h_t too, which is made of it.

    The model answers as when it is scored, without dropout. Its weights, their gradients and its mode are left as they
    are; frozen weights are no obstacle. Plain layers run as the written equations: torch's kernels show no c_t.
    Derivatives have the dtype of the model, norms of them float64: in float32 those below 1e-45 are zero, which some
    hundred steps may come to, and ``copy.deepcopy(model).double()`` has them down to 1e-308.

    Args:
        model: any module called as ``model(batch) -> logits, state`` with a recurrent layer of :mod:`seqgnn.nn` over
            time: rnn, lstm, gru and both hybrids of :func:`seqgnn.models.build`.
        batch: sequences with their targets; of ragged ones, shorter ones count as zero after their end.
        reduce: ``"norm-of-mean"`` or ``"mean-of-norms"``.

    Raises:
        ValueError: for an unknown name, a model without recurrence over time, a batch without fitting targets, a loss
            from which no way in the autograd graph leads to a state (through a head of zeros one does: norms are then
            zero), and gradients that are NaN or infinite.

    Example:
        >>> from seqgnn.data import Palindromes
        >>> from seqgnn.models.sequence_model import build
        >>> batch = Palindromes(20).draw(32, torch.Generator().manual_seed(0))
        >>> flow = gradient_flow(build("lstm", num_classes=10, num_tokens=10, num_layers=2), batch)
        >>> flow.h.shape, flow.c.shape, bool(flow.h[1, -1] > flow.h[1, 0])
        (torch.Size([2, 19]), torch.Size([2, 19]), True)
    """
    one_of("gradient_flow", "reduce", reduce, REDUCTIONS)
    with undisturbed(model), record_states() as walks:
        logits, _ = model(batch)
        _check_walks(walks, logits, batch)
        loss = cross_entropy(logits, batch.y)
        states = [[walk[t][part] for t in sorted(walk)] for part in (0, 1) for walk in walks if len(walk[0]) > part]
        gradients = _gradients(loss, states)
    norms, nats = torch.stack([_norms(gradient, reduce) for gradient in gradients]), loss.item()
    if not bool(norms.isfinite().all()):
        steps = int((~norms.isfinite()).any(0).sum())
        found = f"NaN or infinite ones at {steps} of {norms.size(1)} steps (the loss is {nats:g})"
        raise ValueError(f"gradient_flow: expected finite gradients, got {found}")
    h, c = norms[: len(walks)], norms[len(walks) :]
    return GradientFlow(h, c if len(c) else None, reduce, nats)


def _check_walks(walks: Record, logits: Tensor, batch: Any) -> None:
    """Whether there are states, for each sequence at the same steps, and answers to compare with targets."""
    if not walks:
        raise ValueError(
            "gradient_flow: expected a model with a recurrent layer of seqgnn.nn over time, such as 'lstm' or "
            "'gcn-in-lstm', got one without"
        )
    sequences = {len(state[0]) for walk in walks for state in walk.values()}
    lengths = {len(walk) for walk in walks}
    count = len(sequence_lengths(batch))
    if sequences != {count} or len(lengths) > 1:
        found = f"states of {sorted(sequences)} rows over {sorted(lengths)} steps"
        raise ValueError(f"gradient_flow: expected a state for each of {count} sequences, got {found}")
    y = getattr(batch, "y", None)
    if y is None or y.shape != logits.shape[:1]:
        found = "none" if y is None else str(len(y))
        raise ValueError(f"gradient_flow: expected {len(logits)} targets, one for each answer, got {found}")
    if not 0 <= int(y.min()) <= int(y.max()) < logits.size(1):
        found = f"{int(y.min())} to {int(y.max())}"
        raise ValueError(f"gradient_flow: expected targets between 0 and {logits.size(1) - 1}, got {found}")


def _gradients(loss: Tensor, states: list[list[Tensor]]) -> list[Tensor]:
    """The gradients ``[T, B, ...]`` of the states of each walk; zero at those that the answer never hears."""
    flat = [state for steps in states for state in steps]
    found = torch.autograd.grad(loss, flat, allow_unused=True) if loss.requires_grad else [None] * len(flat)
    if all(gradient is None for gradient in found):
        raise ValueError("gradient_flow: expected a loss that depends on the states, got one that does not")
    known = [torch.zeros_like(state) if gradient is None else gradient for state, gradient in zip(flat, found)]
    steps = len(states[0])
    return [torch.stack(known[start : start + steps]) for start in range(0, len(known), steps)]


def _norms(gradient: Tensor, reduce: str) -> Tensor:
    """``[T, B, ...]`` to ``[T]``, in float64."""
    gradient = gradient.double().flatten(2)
    return safe_norm(gradient.mean(1)) if reduce == "norm-of-mean" else safe_norm(gradient).mean(1)
