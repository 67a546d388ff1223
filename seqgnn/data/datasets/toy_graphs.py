"""Small graphs for examples and tests. All are undirected, with every edge in both directions."""

import torch
from torch import Tensor
from torch_geometric.data import Data

from seqgnn._utils.validation import check_count
from seqgnn.data.paths import path_graph


def six_node_graph() -> Data:
    """Return a graph of six nodes A to F with the edges A-B, A-E, A-F, B-C, B-D, C-D, D-F, E-F.

    Returns:
        `x [6, 6]` (the identity, so each node has its own feature), `edge_index [2, 16]`, and `names`, "A" to "F".

    Example:
        >>> graph = six_node_graph()
        >>> [graph.names[j] for i, j in graph.edge_index.t().tolist() if graph.names[i] == "A"]
        ['B', 'E', 'F']
    """
    names = list("ABCDEF")
    pairs = ["AB", "AE", "AF", "BC", "BD", "CD", "DF", "EF"]
    edges = torch.tensor([[names.index(pair[0]), names.index(pair[1])] for pair in pairs]).t()
    return Data(x=torch.eye(6), edge_index=_undirected(edges, 6), names=names)


def karate_club() -> Data:
    """Return Zachary's karate club: 34 members, 78 ties, and the faction that each joined when the club split.

    W. Zachary, An information flow model for conflict and fission in small groups, 1977; from networkx, unweighted.

    Returns:
        `x [34, 34]` (the identity), `edge_index [2, 156]`, `y [34]` (0: faction of the instructor, 1: of the officers),
        and `train_mask [34]` with one member of each faction: the instructor (node 0) and the president (node 33).

    Example:
        >>> club = karate_club()
        >>> club.y.bincount().tolist(), club.train_mask.nonzero().flatten().tolist()
        ([17, 17], [0, 33])
    """
    import networkx

    graph = networkx.karate_club_graph()
    is_officer = [graph.nodes[i]["club"] == "Officer" for i in range(34)]
    train_mask = torch.zeros(34, dtype=torch.bool)
    train_mask[[0, 33]] = True
    return Data(
        x=torch.eye(34),
        edge_index=_undirected(torch.tensor(list(graph.edges)).t(), 34),
        y=torch.tensor(is_officer).long(),
        train_mask=train_mask,
    )


def path(length: int) -> Data:
    """Return a path of `length` nodes.

    Example:
        >>> path(3).edge_index.tolist()
        [[0, 1, 1, 2], [1, 0, 2, 1]]
    """
    return Data(edge_index=path_graph(length, directed=False), num_nodes=length)


def tree(branching: int, height: int) -> Data:
    """Return a tree in which each node above the last level has `branching` children, in breadth-first order, root 0.

    Example:
        >>> tree(2, 1).edge_index.tolist()
        [[0, 0, 1, 2], [1, 2, 0, 0]]
    """
    check_count("tree", "branching", branching, 1)
    check_count("tree", "height", height, 0)
    size = sum(branching**level for level in range(height + 1))
    child = torch.arange(1, size)
    return Data(edge_index=_undirected(torch.stack([(child - 1) // branching, child]), size), num_nodes=size)


def grid(rows: int, columns: int) -> Data:
    """Return a grid with nodes numbered row by row; `pos [N, 2]` is (column, row), for figures.

    Example:
        >>> grid(2, 2).edge_index.tolist()
        [[0, 0, 1, 1, 2, 2, 3, 3], [1, 2, 0, 3, 0, 3, 1, 2]]
    """
    check_count("grid", "rows", rows, 1)
    check_count("grid", "columns", columns, 1)
    node = torch.arange(rows * columns).view(rows, columns)
    across = torch.stack([node[:, :-1].flatten(), node[:, 1:].flatten()])
    down = torch.stack([node[:-1].flatten(), node[1:].flatten()])
    pos = torch.stack([node % columns, node // columns], dim=2).flatten(0, 1).float()
    return Data(edge_index=_undirected(torch.cat([across, down], dim=1), node.numel()), pos=pos, num_nodes=node.numel())


def _undirected(edges: Tensor, size: int) -> Tensor:
    """Return each edge and its reverse, sorted by source, then by target."""
    edges = torch.cat([edges, edges.flip(0)], dim=1)
    return edges[:, (edges[0] * size + edges[1]).argsort()]
