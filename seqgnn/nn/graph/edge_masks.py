"""Edge masks on operators and on PyG convolutions, for disjoint copies of a graph and for single steps."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from seqgnn._utils import torch_internals
from seqgnn._utils.torch_internals import MaskState, mask_state, set_mask_state


def check_edge_mask(caller: str, edge_mask: Tensor, num_edges: int) -> None:
    """Check that a mask has one value per edge, else raise a ValueError."""
    if edge_mask.shape != (num_edges,):
        hint = "; one mask does not fit graphs of different sizes" if edge_mask.dim() == 1 else ""
        raise ValueError(f"{caller}: expected an edge mask of shape [{num_edges}], got {list(edge_mask.shape)}{hint}")


def with_loops(edge_mask: Tensor, num_entries: int) -> Tensor:
    """Return an edge mask extended to all entries of an operator, with ones for the self-loops after the edges."""
    return torch.cat([edge_mask, edge_mask.new_ones(num_entries - edge_mask.numel())])


def messages_hooked(conv: nn.Module) -> bool:
    """Return True if a convolution has message hooks, such as those of PyG's AttentionExplainer."""
    return any(torch_internals.has_hooks(part, torch_internals.MESSAGE_HOOKS) for part in _message_passing(conv))


def edge_masks_of_copies(
    caller: str, conv: nn.Module, edge_index: Tensor, copies: int, edge_mask: Tensor | None = None
) -> AbstractContextManager[None]:
    """Return a context in which the edge masks of a convolution are repeated for disjoint copies of a graph.

    Args:
        caller: the class to name in errors.
        conv: a convolution, or a module that contains convolutions.
        edge_index: `[2, E]`, of one copy of the graph.
        copies: number of copies in each call of the convolution.
        edge_mask: `[E]`, factors of the messages; None: the masks that a PyG explainer has set.

    Raises:
        ValueError: if a mask does not have one value per edge.
    """
    parts = [part for part in _message_passing(conv) if not torch_internals.explain_disabled(part)]
    on_parts = {part: torch_internals.edge_mask(part) if edge_mask is None else edge_mask for part in parts}
    masks = {part: mask for part, mask in on_parts.items() if mask is not None}
    for mask in masks.values():
        check_edge_mask(caller, mask, edge_index.size(1))
    if not masks or (copies == 1 and edge_mask is None):
        return nullcontext()
    return _replaced(masks, edge_index, copies, sigmoid=None if edge_mask is None else False)


@contextmanager
def _replaced(
    masks: dict[MessagePassing, Tensor], edge_index: Tensor, copies: int, sigmoid: bool | None
) -> Iterator[None]:
    before = {part: mask_state(part) for part in masks}
    loops = (edge_index[0] != edge_index[1]).repeat(copies)
    try:
        for part, mask in masks.items():
            apply_sigmoid = before[part].apply_sigmoid if sigmoid is None else sigmoid
            set_mask_state(part, MaskState(mask.repeat(copies), loops, apply_sigmoid, explain=True))
        yield
    finally:
        for part, state in before.items():
            set_mask_state(part, state)


def _message_passing(conv: nn.Module) -> list[MessagePassing]:
    return [part for part in conv.modules() if isinstance(part, MessagePassing)]
