"""Over-smoothing: how similar message passing makes the nodes."""

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.utils import remove_self_loops, to_undirected

from seqgnn.analysis._utils import evaluation_mode
from seqgnn.models.encoders import GCNEncoder


def dirichlet_energy(x: Tensor, edge_index: Tensor, *, relative: bool = False) -> Tensor:
    r"""Return the Dirichlet energy of node features: how much neighbors differ.

    `A note on over-smoothing for graph neural networks <https://arxiv.org/abs/2006.13318>`_ (Cai and Wang 2020).

    .. math::
        E(x) = \sum_{\{i, j\}} \Big\| \frac{x_i}{\sqrt{1 + d_i}} - \frac{x_j}{\sqrt{1 + d_j}} \Big\|^2
        = \mathrm{tr}(x^\top \tilde{\Delta} x)

    The graph is treated as undirected and without weights: duplicate edges count once, self-loops do not count. d_i is
    the number of neighbors. The energy is zero if all x_i / √(1 + d_i) are equal, which repeated GCN layers tend to.

    Args:
        x: features of the nodes.
        edge_index: edges.
        relative: divide by the squared norm of `x`, so that the result does not depend on its scale and is between 0
            and 2.

    Shapes:
        x ``[N, F]``, edge_index ``[2, E]``, result ``[]``.

    Raises:
        ValueError: if a shape or dtype is wrong, an edge has an invalid node, or `x` is zero with `relative`.

    Example:
        >>> x = torch.tensor([[2.0], [2.0], [0.0]])
        >>> dirichlet_energy(x, torch.tensor([[0, 1], [1, 2]]))  # (2/√2 - 2/√3)² + (2/√3)²
        tensor(1.4007)
    """
    if x.dim() != 2 or not x.is_floating_point():
        raise ValueError(f"dirichlet_energy: expected floating x of shape [N, F], got {x.dtype} {tuple(x.shape)}")
    if edge_index.dim() != 2 or edge_index.size(0) != 2 or edge_index.dtype != torch.long:
        got = f"{edge_index.dtype} {tuple(edge_index.shape)}"
        raise ValueError(f"dirichlet_energy: expected edge_index of torch.int64 and shape [2, E], got {got}")
    if edge_index.numel() and not 0 <= int(edge_index.min()) <= int(edge_index.max()) < len(x):
        got = f"{int(edge_index.min())} to {int(edge_index.max())}"
        raise ValueError(f"dirichlet_energy: expected edges between nodes 0 and {len(x) - 1}, got {got}")
    i, j = to_undirected(remove_self_loops(edge_index)[0], num_nodes=len(x))
    d = i.bincount(minlength=len(x)).to(x.dtype)
    scaled = x / (1 + d).sqrt()[:, None]
    energy = (scaled[i] - scaled[j]).square().sum() / 2  # each edge is there in both directions
    if not relative:
        return energy
    if not bool(x.any()):
        raise ValueError("dirichlet_energy: expected nonzero x with relative=True, got zeros")
    return energy / x.square().sum()


@torch.no_grad()
def energy_by_depth(model: nn.Module, batch: Any, *, relative: bool = False) -> Tensor:
    """Return the Dirichlet energy of the input of each layer of a GCN and of the output of the last layer.

    With residual connections it does not decrease, since every layer adds to the features; `relative` shows whether
    differences between nodes shrink relative to the features themselves.

    Args:
        model: a model that contains one `GCNEncoder`: gcn, gcn-residual or gcn+lstm of :func:`seqgnn.models.build`.
        batch: input of the model.
        relative: as in `dirichlet_energy`; NaN if all features are zero after ReLU.

    Returns:
        ``[num_layers + 1]``, starting with the input of the first layer.

    Raises:
        ValueError: if the model contains no GCN, or several.

    Example:
        >>> from seqgnn.data import Palindromes
        >>> from seqgnn.models.sequence_model import build
        >>> task = Palindromes(20)
        >>> batch = task.draw(32, torch.Generator().manual_seed(0))
        >>> energy_by_depth(build("gcn", task, num_layers=4), batch).shape
        torch.Size([5])
    """
    encoders = [module for module in model.modules() if isinstance(module, GCNEncoder)]
    if len(encoders) != 1:
        raise ValueError(f"energy_by_depth: expected a model with one GCN, such as 'gcn', got {len(encoders)}")
    energies: list[Tensor] = []

    def measure(x: Tensor) -> None:
        undefined = relative and not bool(x.any())
        energy = x.new_tensor(torch.nan) if undefined else dirichlet_energy(x, batch.edge_index, relative=relative)
        energies.append(energy)

    handles = [layer.register_forward_pre_hook(lambda _, inputs: measure(inputs[0])) for layer in encoders[0].layers]
    handles.append(encoders[0].register_forward_hook(lambda _, inputs, output: measure(output[0])))
    try:
        with evaluation_mode(model), torch.no_grad():
            model(batch)
    finally:
        for handle in handles:
            handle.remove()
    return torch.stack(energies)
