"""The engine of exported programs: a scan as one operator, which torch.export keeps and ONNX has, so that the number of
steps may be dynamic."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from seqgnn._utils import torch_internals
from seqgnn._utils.torch_internals import tree_flatten, tree_map, tree_unflatten, untraced
from seqgnn.nn.scan.functional import State
from seqgnn.nn.scan.gates import RecurrentUnit, at_every_step, on_graph
from seqgnn.nn.scan.graph_inputs import StepInputs

Step = Callable[[Any, tuple[Tensor, ...]], tuple[Any, Tensor]]


def exported_scan(
    unit: RecurrentUnit, inputs: StepInputs, x: Tensor, state: State, reverse: bool = False
) -> tuple[Tensor, State]:
    """Return the results of :func:`seqgnn.nn.scan.reference.reference_scan`, for a graph that does not change."""
    cell, active = unit.cell, inputs.active
    gx = at_every_step(unit.input_projection, x, inputs.graphs)
    hidden_projection = on_graph(unit.hidden_projections, inputs.graphs[0])

    def step(state: State, inputs: tuple[Tensor, ...]) -> tuple[State, Tensor]:
        output, new = cell(inputs[0], hidden_projection, state)
        for mask in inputs[1:]:
            output = torch.where(mask, output, 0)
            new = tuple(torch.where(mask, after, before) for after, before in zip(new, state))
        return new, output

    state, outputs = scan_operator(step, state, (gx,) if active is None else (gx, active), reverse)
    return outputs, state


def scan_operator(step: Step, state: Any, inputs: tuple[Tensor, ...], reverse: bool = False) -> tuple[Any, Tensor]:
    """Scans ``step(state, inputs) -> state, output`` over the first axis of `inputs`, to be called while torch.export
    traces.

    Args:
        step: may use tensors from outside, such as weights and the edges of a graph.
        state: a tensor, or tuples of them; the step must return the same shapes and dtypes.
        inputs: each ``[T, ...]``.
        reverse: from the last step to the first; outputs keep the order of the inputs.

    Returns:
        The state after the last step and the outputs ``[T, ...]``.
    """
    start, structure = tree_flatten(state)
    # The operator rejects tensors that share memory.
    start = [part.clone(memory_format=torch.contiguous_format) for part in start]
    inputs = tuple(part.flip(0) if reverse else part for part in inputs)
    outer = _outer_tensors(step, tree_unflatten(start, structure), tuple(part[0] for part in inputs))

    def flat(*values: Tensor) -> list[Tensor]:
        state, rest = values[: len(start)], values[len(start) :]
        now, lifted = rest[: len(inputs)], rest[len(inputs) :]
        with _Replace({id(tensor): part for tensor, part in zip(outer, lifted)}):
            after, output = step(tree_unflatten(state, structure), now)
        return [part.clone(memory_format=torch.contiguous_format) for part in (*tree_flatten(after)[0], output)]

    results = torch_internals.scan_operator(flat, start, list(inputs), tuple(part.clone() for part in outer))
    output = results[-1].flip(0) if reverse else results[-1]
    return tree_unflatten(list(results[:-1]), structure), output


class _Replace(TorchFunctionMode):
    """Calls functions with some tensors replaced by others, by their id."""

    def __init__(self, replacements: dict[int, Tensor]) -> None:
        super().__init__()
        self.replacements = replacements

    def replaced(self, value: Any) -> Any:
        return self.replacements.get(id(value), value) if isinstance(value, Tensor) else value

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = tree_map(self.replaced, (args, kwargs or {}))
        return func(*args, **kwargs)


class _Record(TorchFunctionMode):
    """Records the tensors that functions are called with and that no function inside the mode has returned."""

    def __init__(self, known: list[Tensor]) -> None:
        super().__init__()
        self.known, self.outer = known, list[Tensor]()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for value in tree_flatten((args, kwargs))[0]:
            if isinstance(value, Tensor) and not any(value is other for other in (*self.known, *self.outer)):
                self.outer.append(value)
        result = func(*args, **kwargs)
        self.known += [value for value in tree_flatten(result)[0] if isinstance(value, Tensor)]
        return result


def _outer_tensors(step: Step, state: Any, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """Return the tensors that a step uses without receiving them as arguments."""
    record = _Record([*tree_flatten(state)[0], *inputs])
    with untraced(inputs), record:
        step(state, inputs)
    return record.outer
