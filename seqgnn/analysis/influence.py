"""What each element adds to the answer."""

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from seqgnn.analysis._utils import safe_norm, undisturbed
from seqgnn.data import sequence_lengths


def influence(model: nn.Module, batch: Batch, distance: Tensor | None = None) -> Tensor:
    r"""How far the answer moves with each element, against the element's distance from the one that answers.

    .. math::
        I_d = \frac{1}{B} \sum_b \Big\| \frac{\partial p_b}{\partial x_{b, L_b - d}} \Big\|_F

    where p are the logits of the last element and x is what the model makes of an element's id, one-hot or embedded
    (an id itself has no gradient), or its features. The influence score of `Xu et al. 2018
    <https://arxiv.org/abs/1806.03536>`_, with the Frobenius norm in the place of the sum of the entries. Beyond the
    reach of a GNN it is exactly zero (see `reach`).

    The model answers as when it is scored, and is left as it is. Derivatives have its dtype: in float32 those below
    1e-45 are zero, within the reach of a model too, and ``copy.deepcopy(model).double()`` has them down to 1e-308.

    Args:
        model: a `seqgnn.models.sequence_model.SequenceModel` of any family, answering once or at each element (then the
            last counts).
        batch: sequences; no targets are needed. Of ragged ones, the mean at a distance is over those that are as long.
        distance: ``[sum L]``, of each element from the one that answers; None: steps to the end of its sequence. For
            other graphs than paths see `edges_to_last`.

    Returns:
        ``[T]`` in float64, from distance 0, the last element itself, to the first element of the longest sequence, or
        to the greatest distance; NaN where no element has a distance.

    Raises:
        ValueError: for a model without `inputs`, an answer from which no way in the autograd graph leads to them
            (through a head of zeros one does: the influence is then zero), a Jacobian that is NaN or infinite, and
            distances of another shape.

    Example:
        >>> from seqgnn.data import Palindromes
        >>> from seqgnn.models.sequence_model import build
        >>> batch = Palindromes(8).draw(32, torch.Generator().manual_seed(0))
        >>> (influence(build("gcn", num_classes=10, num_tokens=10, num_layers=3), batch) > 0).tolist()
        [True, True, True, True, False, False, False]
    """
    inputs = getattr(model, "inputs", None)
    if not isinstance(inputs, nn.Module):
        raise ValueError(f"influence: expected a SequenceModel, with inputs to look at, got {type(model).__name__}")
    seen: list[Tensor] = []

    def look(module: nn.Module, arguments: Any, x: Tensor) -> Tensor:
        seen.append(x.detach().requires_grad_())
        return seen[-1]

    handle = inputs.register_forward_hook(look)
    try:
        with undisturbed(model):
            logits, _ = model(batch)
            norms = _jacobian_norms(logits, seen[0], batch)
    finally:
        handle.remove()
    if not bool(norms.isfinite().all()):
        found = f"NaN or infinite entries at {int((~norms.isfinite()).sum())} of {len(norms)} elements"
        raise ValueError(f"influence: expected a finite Jacobian, got {found}")
    if distance is None:
        distance = torch.cat([torch.arange(int(length)).flip(0) for length in sequence_lengths(batch)])
    if distance.shape != norms.shape or distance.is_floating_point() or int(distance.min()) < 0:
        found = f"{distance.dtype} {list(distance.shape)}"
        raise ValueError(f"influence: expected {len(norms)} whole distances of at least 0, got {found}")
    distance = distance.cpu()
    return distance.bincount(weights=norms.cpu()) / distance.bincount()


def edges_to_last(batch: Batch) -> Tensor:
    """The fewest edges, along their directions, from each element to the last one of its graph.

    Returns:
        ``[sum L]``.

    Raises:
        ValueError: if there is no such way from an element.

    Example:
        >>> from seqgnn.data import ExpressionTrees
        >>> task = ExpressionTrees(5)
        >>> batch = task.draw(1, torch.Generator().manual_seed(0))
        >>> task.spell(batch.x), edges_to_last(batch).tolist()
        ('71+5+', [2, 2, 1, 1, 0])
    """
    source, target = batch.edge_index
    unknown = batch.num_nodes
    distance = torch.full((unknown,), unknown, device=source.device)
    distance[sequence_lengths(batch).cumsum(0).to(source.device) - 1] = 0
    for _ in range(unknown):
        nearer = distance.scatter_reduce(0, source, distance[target] + 1, "amin")
        if bool((nearer == distance).all()):
            break
        distance = nearer
    if bool((distance >= unknown).any()):
        raise ValueError("edges_to_last: expected a way from each element to the last one, got elements without")
    return distance


def _jacobian_norms(logits: Tensor, x: Tensor, batch: Any) -> Tensor:
    """The norm of the Jacobian of each sequence's answer by its elements, ``[sum L]``."""
    ends = sequence_lengths(batch).cumsum(0) - 1
    answers = logits[ends.to(logits.device)] if len(logits) == len(x) else logits
    norms = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for logit in answers.sum(0):  # sequences do not hear each other, so one sum serves all of them
        gradient = None
        if logit.requires_grad:
            (gradient,) = torch.autograd.grad(logit, x, retain_graph=True, allow_unused=True)
        if gradient is None:
            raise ValueError("influence: expected an answer that depends on the inputs, got one that does not")
        norms = norms.hypot(safe_norm(gradient))
    return norms
