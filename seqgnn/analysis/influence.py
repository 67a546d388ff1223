"""Influence of each position of a sequence on the prediction."""

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from seqgnn.analysis._utils import evaluation_mode, safe_norm
from seqgnn.data import sequence_lengths


def influence(model: nn.Module, batch: Batch, distance: Tensor | None = None) -> Tensor:
    r"""Return the norm of the Jacobian of the prediction with respect to each position, by distance.

    .. math::
        I_d = \frac{1}{B} \sum_b \Big\| \frac{\partial p_b}{\partial x_{b, L_b - d}} \Big\|_F

    where p are the logits at the last position and x is the model's representation of a token, one-hot or embedded (a
    token id itself has no gradient), or the features of a position. It is the influence score of `Xu et al. 2018
    <https://arxiv.org/abs/1806.03536>`_, with the Frobenius norm instead of the sum of the entries. Beyond the
    receptive field of a GNN it is exactly zero (see `receptive_field`).

    The model runs in evaluation mode and does not change. Gradients have its dtype: in float32, values below 1e-45 are
    zero even inside the receptive field; ``copy.deepcopy(model).double()`` represents them down to 1e-308.

    Args:
        model: a `seqgnn.models.sequence_model.SequenceModel` of any family, with one prediction per sequence or one per
            position (then the last is used).
        batch: sequences; no targets are needed. The mean at a distance is over the sequences that are long enough.
        distance: ``[sum L]``, the distance of each position from the prediction; None: steps to the end of its
            sequence. For graphs other than paths see `edges_to_last`.

    Returns:
        ``[T]`` in float64, from distance 0 (the last position) to the first position of the longest sequence, or to the
        largest distance; NaN where no position has a distance.

    Raises:
        ValueError: if the model has no `inputs`, no path in the autograd graph connects the prediction with them
            (through a head of zeros there is one, and the influence is zero), the Jacobian has NaN or infinite entries,
            or the distances have another shape.

    Example:
        >>> from seqgnn.data import Palindromes
        >>> from seqgnn.models.sequence_model import build
        >>> task = Palindromes(8)
        >>> batch = task.draw(32, torch.Generator().manual_seed(0))
        >>> (influence(build("gcn", task, num_layers=3), batch) > 0).tolist()
        [True, True, True, True, False, False, False]
    """
    inputs = getattr(model, "inputs", None)
    if not isinstance(inputs, nn.Module):
        raise ValueError(f"influence: expected a SequenceModel with a module `inputs`, got {type(model).__name__}")
    recorded: list[Tensor] = []

    def record(module: nn.Module, arguments: Any, x: Tensor) -> Tensor:
        recorded.append(x.detach().requires_grad_())
        return recorded[-1]

    handle = inputs.register_forward_hook(record)
    try:
        with evaluation_mode(model):
            logits, _ = model(batch)
            norms = _jacobian_norms(logits, recorded[0], batch)
    finally:
        handle.remove()
    if not bool(norms.isfinite().all()):
        got = f"NaN or infinite entries at {int((~norms.isfinite()).sum())} of {len(norms)} positions"
        raise ValueError(f"influence: expected a finite Jacobian, got {got}")
    if distance is None:
        distance = torch.cat([torch.arange(int(length)).flip(0) for length in sequence_lengths(batch)])
    if distance.shape != norms.shape or distance.is_floating_point() or int(distance.min()) < 0:
        got = f"{distance.dtype} {list(distance.shape)}"
        raise ValueError(f"influence: expected {len(norms)} integer distances of at least 0, got {got}")
    distance = distance.cpu()
    return distance.bincount(weights=norms.cpu()) / distance.bincount()


def edges_to_last(batch: Batch) -> Tensor:
    """Return the number of edges on the shortest directed path from each node to the last node of its graph.

    Returns:
        ``[sum L]``.

    Raises:
        ValueError: if a node has no such path.

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
        raise ValueError("edges_to_last: expected a directed path from each node to the last one, got nodes without")
    return distance


def _jacobian_norms(logits: Tensor, x: Tensor, batch: Any) -> Tensor:
    """Return the norm of the Jacobian of each sequence's logits with respect to its positions, ``[sum L]``."""
    ends = sequence_lengths(batch).cumsum(0) - 1
    predictions = logits[ends.to(logits.device)] if len(logits) == len(x) else logits
    norms = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for logit in predictions.sum(0):  # sequences are independent, so the gradient of the sum has those of each
        gradient = None
        if logit.requires_grad:
            (gradient,) = torch.autograd.grad(logit, x, retain_graph=True, allow_unused=True)
        if gradient is None:
            raise ValueError("influence: expected a prediction that depends on the inputs, got one that does not")
        norms = norms.hypot(safe_norm(gradient))
    return norms
