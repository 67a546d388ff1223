"""Six nodes: the adjacency matrix, its normalized form, and the number of layers until E is in C's receptive field.

Each message-passing layer gives a node information about its neighbors, so information travels one edge per layer. The
gradient of C's output with respect to E's input shows whether it has arrived: until then it is exactly zero.

Run: python examples/six_node_graph.py
"""

import torch

from seqgnn.data import six_node_graph
from seqgnn.nn import GCN, GCNConv

torch.manual_seed(0)
graph = six_node_graph()
names = graph.names
identity = torch.eye(6)


def show(title: str, matrix: torch.Tensor, digits: int) -> None:
    print(f"\n{title}\n    " + "  ".join(f"{name:>{digits + 2}}" for name in names))
    for name, row in zip(names, matrix):
        print(f"{name}   " + "  ".join(f"{value:{digits + 2}.{digits}f}" for value in row.tolist()))


# Ã = A + I: without normalization a filter sums over the neighbors and the node itself.
sums = GCN(normalization=None)
(with_loops,) = sums.basis(identity, sums.prepare(graph.edge_index, num_nodes=6))
show("A + I", with_loops, 0)

# Â = D^-1/2 (A + I) D^-1/2: the same, with each entry divided by the root of both degrees.
(normalized,) = GCN().basis(identity, GCN().prepare(graph.edge_index, num_nodes=6))
show("D^-1/2 (A + I) D^-1/2", normalized, 3)
print("\nits rows sum to", ", ".join(f"{total:.3f}" for total in normalized.sum(1).tolist()), "- not to one")

print("\nIs E in C's receptive field?")
c, e = names.index("C"), names.index("E")
for depth in range(1, 6):
    layers = [GCNConv(6, 6) for _ in range(depth)]
    x = graph.x.clone().requires_grad_()
    h = x
    for layer in layers:
        h = torch.tanh(layer(h, graph.edge_index))
    (gradient,) = torch.autograd.grad(h[c].sum(), x)
    strength = gradient[e].abs().sum().item()
    print(f"  {depth} layer{'s' * (depth > 1)}: |d h_C / d x_E| = {strength:.2e}  {'yes' if strength > 0 else 'no'}")
    if strength > 0:
        print(f"E is in C's receptive field after {depth} layers: the shortest path has {depth} edges.")
        break
