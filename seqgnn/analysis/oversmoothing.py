"""How alike rounds of message passing make the nodes."""

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.utils import remove_self_loops, to_undirected

from seqgnn.analysis._utils import undisturbed
from seqgnn.models.encoders import GCNEncoder


def dirichlet_energy(x: Tensor, edge_index: Tensor, *, relative: bool = False) -> Tensor:
    r"""How much neighbors differ; zero where a GCN has made all of them one.

    `A note on over-smoothing for graph neural networks <https://arxiv.org/abs/2006.13318>`_ (Cai and Wang 2020).

    .. math::
        E(x) = \sum_{\{i, j\}} \Big\| \frac{x_i}{\sqrt{1 + d_i}} - \frac{x_j}{\sqrt{1 + d_j}} \Big\|^2
        = \mathrm{tr}(x^\top \tilde{\Delta} x)

    Edges count once, whichever way they run and however often they are there; self-loops do not. d_i is the number of
    neighbors.

    Args:
        x: features of the nodes.
        edge_index: edges; weights are not regarded.
        relative: whether to divide by the squared norm of `x`, so that its scale does not matter: between 0 and 2.

    Shapes:
        x ``[N, F]``, edge_index ``[2, E]``, result ``[]``.

    Raises:
        ValueError: if a shape or dtype is another, an edge leaves the nodes, or `x` is zero where its norm divides.

    Example:
        >>> x = torch.tensor([[2.0], [2.0], [0.0]])
        >>> dirichlet_energy(x, torch.tensor([[0, 1], [1, 2]]))  # (2/√2 - 2/√3)² + (2/√3)²
        tensor(1.4007)
    """
    if x.dim() != 2 or not x.is_floating_point():
        raise ValueError(f"dirichlet_energy: expected floating x of shape [N, F], got {x.dtype} {tuple(x.shape)}")
    if edge_index.dim() != 2 or edge_index.size(0) != 2 or edge_index.dtype != torch.long:
        found = f"{edge_index.dtype} {tuple(edge_index.shape)}"
        raise ValueError(f"dirichlet_energy: expected edge_index of torch.int64 and shape [2, E], got {found}")
    if edge_index.numel() and not 0 <= int(edge_index.min()) <= int(edge_index.max()) < len(x):
        found = f"{int(edge_index.min())} to {int(edge_index.max())}"
        raise ValueError(f"dirichlet_energy: expected edges between nodes 0 and {len(x) - 1}, got {found}")
    i, j = to_undirected(remove_self_loops(edge_index)[0], num_nodes=len(x))
    d = i.bincount(minlength=len(x)).to(x.dtype)
    scaled = x / (1 + d).sqrt()[:, None]
    energy = (scaled[i] - scaled[j]).square().sum() / 2  # each edge is there both ways
    if not relative:
        return energy
    if not bool(x.any()):
        raise ValueError("dirichlet_energy: expected x that is not zero with relative=True, got zeros")
    return energy / x.square().sum()


@torch.no_grad()
def energy_by_depth(model: nn.Module, batch: Any, *, relative: bool = False) -> Tensor:
    """The Dirichlet energy of what each round of a GCN reads, and of what the last one says.

    With residual connections it does not fall, as what is added adds to it; whether nodes stay apart by comparison with
    what they have in common, `relative` says.

    Args:
        model: with one `GCNEncoder` in it: gcn, gcn-residual and gcn+lstm of :func:`seqgnn.models.build`.
        batch: what it is called with.
        relative: as in `dirichlet_energy`; NaN where rectifiers left nothing.

    Returns:
        ``[rounds + 1]``, the first before any round.

    Raises:
        ValueError: if there is no GCN in the model, or several.

    Example:
        >>> from seqgnn.data import Palindromes
        >>> from seqgnn.models.sequence_model import build
        >>> batch = Palindromes(20).draw(32, torch.Generator().manual_seed(0))
        >>> energy_by_depth(build("gcn", num_classes=10, num_tokens=10, num_layers=4), batch).shape
        torch.Size([5])
    """
    encoders = [module for module in model.modules() if isinstance(module, GCNEncoder)]
    if len(encoders) != 1:
        raise ValueError(f"energy_by_depth: expected a model with one GCN, such as 'gcn', got {len(encoders)}")
    found: list[Tensor] = []

    def measure(x: Tensor) -> None:
        gone = relative and not bool(x.any())
        found.append(x.new_tensor(torch.nan) if gone else dirichlet_energy(x, batch.edge_index, relative=relative))

    handles = [layer.register_forward_pre_hook(lambda _, read: measure(read[0])) for layer in encoders[0].layers]
    handles.append(encoders[0].register_forward_hook(lambda _, read, said: measure(said[0])))
    try:
        with undisturbed(model), torch.no_grad():
            model(batch)
    finally:
        for handle in handles:
            handle.remove()
    return torch.stack(found)
