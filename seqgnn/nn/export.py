"""Export of layers, and of modules that contain them, to torch.export and ONNX.

Axes are named by the library's letters: T time steps, B windows or sequences, N nodes, E edges. All four are dynamic
unless `dynamic=` names fewer, so the exported program runs at other sizes than those of the example inputs.
"""

import copy
import importlib
import inspect
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn.utils.rnn import PackedSequence

from seqgnn._utils import torch_internals
from seqgnn._utils.torch_internals import tree_leaves
from seqgnn.nn.export_axes import DYNAMIC, default_axes, loops_over_time
from seqgnn.nn.graph.prepared_graph import PreparedGraph
from seqgnn.nn.recurrent._engine_mixin import EngineMixin

Axes = Mapping[str, str]
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-9}


def to_exported_program(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None = None,
    *,
    axes: Axes | None = None,
    dynamic: str | None = None,
) -> ExportedProgram:
    """Exports a module to an `ExportedProgram` for evaluation, with frozen weights; the model is unchanged.

    Where T is dynamic, a layer's loop over time is one `scan` operator, otherwise it is unrolled.

    Args:
        model: a layer, or any module that contains layers.
        args, kwargs: example inputs, with at least 2 of what is dynamic: torch.export makes 0 and 1 constants.
        axes: for each input by name its axes, a letter each, as in ``{"x": "TBNF"}``; of a tuple of tensors, those of
            each. Known for the inputs of layers, and in any module for those named edge_index, edge_weight, edge_attr
            and batch.
        dynamic: the letters of the axes that may have other sizes later; by default those of T, B, N and E that the
            inputs have, without T where the graph changes from step to step, and under torch 2.6 where a layer loops
            over time.

    Raises:
        ValueError: for inputs and axes that do not fit each other, and for an axis that the model fixes.

    Example:
        >>> from seqgnn import nn
        >>> layer = nn.GCNGRU(2, 8)
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> program = to_exported_program(layer, (torch.randn(5, 3, 2), edge_index))
        >>> program.module()(torch.randn(7, 4, 2), torch.tensor([[0, 3], [1, 2]]))[0].shape
        torch.Size([7, 4, 8])
    """
    return _traced("to_exported_program", _frozen_copy("to_exported_program", model), args, kwargs, axes, dynamic)[0]


def to_onnx(
    model: nn.Module,
    args: tuple[Any, ...],
    path: str | os.PathLike[str],
    kwargs: Mapping[str, Any] | None = None,
    *,
    axes: Axes | None = None,
    dynamic: str | None = None,
    external_data: bool = False,
) -> Path:
    """Exports a module to an ONNX file, in evaluation mode; the model is unchanged.

    The file replaces `path` in one step, after onnxruntime has computed the model's outputs from it on the example
    inputs. Where T is dynamic, a layer's loop over time is ONNX's Scan; where it is not,
    recurrent layers in float32 without `proj_size` are ONNX's own, others are unrolled.

    Args:
        model, args, kwargs, axes, dynamic: as those of :func:`to_exported_program`.
        path: of the file; inputs and axes have the names of the arguments and the letters of `axes`.
        external_data: whether weights are written to a separate file, the path with ``.data`` at its end; models of
            more than 2 GB always have one.

    Returns:
        The path.

    Raises:
        ValueError: as :func:`to_exported_program`, for what ONNX cannot express, and if onnxruntime computes other
            values.
        ImportError: if onnx, onnxscript or onnxruntime is missing.
    """
    caller, path = "to_onnx", Path(path)
    for package in ("onnx", "onnxscript", "onnxruntime"):
        _require(package)
    if not path.parent.is_dir():
        raise ValueError(f"{caller}: expected a path in an existing directory, got {path}")
    copied = _frozen_copy(caller, model)
    for module in copied.modules():
        if isinstance(module, nn.RNNBase) and (module.proj_size or module.weight_ih_l0.dtype != torch.float32):
            if not isinstance(module, EngineMixin):
                kind = type(module).__name__
                actual = "torch.nn's with proj_size or not in float32"
                raise ValueError(f"{caller}: expected seqgnn.nn.{kind}, got {actual}")
            module.engine = "reference"
    program, named, shapes = _traced(caller, copied, args, kwargs, axes, dynamic)
    with _quiet(), _one_line(caller, "a model that ONNX can express"):
        table: dict[Any, Any] = {torch.ops.aten.sort.stable: _stable_sort}
        exported = torch.onnx.export(
            program, dynamo=True, dynamic_shapes=shapes, custom_translation_table=table, verbose=False
        )
    assert exported is not None
    with torch.no_grad():
        expected = [value for value in tree_leaves(copied(*args, **(kwargs or {}))) if isinstance(value, Tensor)]
    with tempfile.TemporaryDirectory(prefix=".onnx-", dir=path.parent) as folder:
        written = Path(folder) / path.name
        exported.save(written, external_data=external_data)
        _check(written, [value for value in tree_leaves(named) if isinstance(value, Tensor)], expected)
        for part in sorted(Path(folder).iterdir(), key=lambda part: part == written):  # the model comes last
            os.replace(part, path.parent / part.name)
    return path


def _frozen_copy(caller: str, model: nn.Module) -> nn.Module:
    """Return a copy for evaluation. Its weights need no gradients, with which torch would trace a scan at each call."""
    if not isinstance(model, nn.Module):
        raise ValueError(f"{caller}: expected a module, got {type(model).__name__}")
    for name, _ in model.named_children():
        if name in ("graph", "code"):  # properties of the module that torch.export makes
            raise ValueError(f"{caller}: expected another name for submodule {name!r}, which torch.export uses itself")
    copied = copy.deepcopy(model).eval().requires_grad_(False)
    if not torch_internals.exports_scans():  # torch 2.6 takes the weights that fused layers read for assigned ones
        for module in copied.modules():
            if isinstance(module, nn.RNNBase) and isinstance(module, EngineMixin):
                module.engine = "reference"
    return copied


def _traced(
    caller: str,
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None,
    axes: Axes | None,
    dynamic: str | None,
) -> tuple[ExportedProgram, dict[str, Any], dict[str, Any]]:
    """Return the program, the inputs by name, and the letters of their dynamic axes."""
    if not isinstance(args, tuple):
        raise ValueError(f"{caller}: expected a tuple of example inputs, got {type(args).__name__}")
    try:
        bound = inspect.signature(model.forward).bind(*args, **(kwargs or {}))
    except TypeError as error:
        raise ValueError(f"{caller}: expected inputs of {type(model).__name__}, got others: {error}") from None
    named = dict(bound.arguments)
    letters = _letters(caller, model, named, axes)
    chosen = _dynamic(caller, model, named, letters, dynamic)
    shapes = _shapes(named, letters, chosen, lambda letter: letter)
    hints = _shapes(named, letters, chosen, lambda letter: Dim.DYNAMIC)
    with _quiet(), _one_line(caller, f"a model with dynamic axes {', '.join(chosen) or 'none'}"):
        program = torch.export.export(model, bound.args, bound.kwargs, dynamic_shapes=hints, strict=False)
    return program, named, shapes


def _letters(caller: str, model: nn.Module, named: dict[str, Any], axes: Axes | None) -> dict[str, str]:
    """Return the axes of each input that contains a tensor."""
    axes = dict(axes or {})
    flat = {name: value for key, value in named.items() for name, value in _items(key, value)}
    for name in axes:
        if name not in flat:
            raise ValueError(f"{caller}: expected axes of {', '.join(flat)}, got those of {name!r}")
    letters: dict[str, str] = {}
    for name, value in flat.items():
        tensors = [part for part in tree_leaves(value) if isinstance(part, Tensor)]
        if any(isinstance(part, PreparedGraph | PackedSequence) for part in (value, *tree_leaves(value))):
            raise ValueError(f"{caller}: expected {name} as tensors, got {type(value).__name__}")
        if not tensors:
            continue
        names = axes.get(name) or default_axes(model, name, tensors[0].dim(), letters)
        if names is None:
            raise ValueError(f"{caller}: expected the axes of {name}, such as axes={{{name!r}: 'TBNF'}}, got none")
        for tensor in tensors:
            if len(names) != tensor.dim():
                raise ValueError(f"{caller}: expected {name} with axes {names}, got shape {tuple(tensor.shape)}")
        letters[name] = names
    return letters


def _items(name: str, value: Any) -> list[tuple[str, Any]]:
    """Return an argument by name, or those that ``**kwargs`` collects."""
    return list(value.items()) if isinstance(value, dict) else [(name, value)]


def _dynamic(caller: str, model: nn.Module, named: dict[str, Any], letters: dict[str, str], dynamic: str | None) -> str:
    """Return the dynamic letters, after a check of the sizes of the example inputs."""
    flat = {name: value for key, value in named.items() for name, value in _items(key, value)}
    changing = [name for name in letters if isinstance(flat[name], list)]
    present = "".join(letters.values())
    chosen = "".join(letter for letter in DYNAMIC if letter in present) if dynamic is None else dynamic
    for letter in chosen:
        if letter not in present:
            raise ValueError(f"{caller}: expected dynamic axes among {', '.join(sorted(set(present)))}, got {letter!r}")
    unrolled = loops_over_time(model) and not torch_internals.exports_scans()
    if (changing or unrolled) and "T" in chosen:
        if dynamic is not None:
            why = f"{changing[0]} is a list over it" if changing else "torch exports loops over it from 2.7 on"
            raise ValueError(f"{caller}: expected T not to be dynamic, as {why}, got 'T'")
        chosen = chosen.replace("T", "")
    sizes: dict[str, tuple[int, str]] = {}
    for name, names in letters.items():
        for index, tensor in enumerate(part for part in tree_leaves(flat[name]) if isinstance(part, Tensor)):
            for letter, size in zip(names, tensor.shape):
                if letter not in chosen:
                    continue
                if size < 2:
                    why = "torch.export makes 0 and 1 constants"
                    raise ValueError(f"{caller}: expected at least 2 of {letter} in {name}, as {why}, got {size}")
                key = f"{letter} {index}" if letter == "E" and name in changing else letter
                known, other = sizes.setdefault(key, (size, name))
                if known != size:
                    raise ValueError(f"{caller}: expected one {letter}, got {known} in {other}, {size} in {name}")
    return chosen


def _shapes(named: dict[str, Any], letters: dict[str, str], chosen: str, of: Any) -> dict[str, Any]:
    """Return the dynamic shapes for torch.export: the structure of the inputs, with the axes of each tensor."""

    def shape(name: str, value: Any) -> Any:
        if isinstance(value, Tensor):
            return {axis: of(letter) for axis, letter in enumerate(letters[name]) if letter in chosen}
        if isinstance(value, dict):
            return {key: shape(key, part) for key, part in value.items()}
        return type(value)(shape(name, part) for part in value) if isinstance(value, list | tuple) else None

    return {name: shape(name, value) for name, value in named.items()}


@contextmanager
def _one_line(caller: str, expected: str) -> Iterator[None]:
    """Shortens the errors of torch's exporters, which are pages long, to one line."""
    try:
        yield
    except ValueError as error:
        if "expected" in str(error):  # a layer's own
            raise
        raise ValueError(f"{caller}: expected {expected}, got {_first_line(error)}") from error
    except Exception as error:
        raise ValueError(f"{caller}: expected {expected}, got {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    """Return the line with the cause: a layer's own error, or the beginning of torch's."""
    lines = [line.strip(" -") for line in str(error).splitlines() if line.strip()]
    marked = [line for line in lines if line.startswith("You marked")]
    return (marked or lines or [type(error).__name__])[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """Ignores warnings that torch's exporters cause themselves."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*_flat_weights", category=UserWarning)
        warnings.filterwarnings("ignore", message="# The axis name", category=UserWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        yield


def _require(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError:
        raise ImportError(f"to_onnx needs {package}: pip install 'seqgnn[onnx]'") from None


def _stable_sort(self: Any, stable: bool | None = None, dim: int = -1, descending: bool = False) -> Any:
    """Sorts in ONNX, which torch does not translate; of equal values TopK has the lower index first."""
    from onnxscript import opset18 as op

    size = op.Gather(op.Shape(self), op.Constant(value_ints=[dim]))
    return op.TopK(self, size, axis=dim, largest=int(descending), sorted=1)


def _check(path: Path, inputs: list[Tensor], expected: list[Tensor]) -> None:
    """Compares what onnxruntime computes with the model's outputs.

    Raises:
        ValueError: if they differ, or the file cannot be run.
    """
    with _one_line("to_onnx", "a file that onnxruntime runs"):
        session = _require("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
        names = [node.name for node in session.get_inputs()]
        results = session.run(None, {name: value.detach().cpu().numpy() for name, value in zip(names, inputs)})
    for output, values, target in zip(session.get_outputs(), results, expected):
        values, target = torch.from_numpy(values), target.detach().cpu()
        tolerance = TOLERANCE.get(target.dtype, 1e-2)
        if values.shape != target.shape or not torch.allclose(values, target, tolerance, tolerance, equal_nan=True):
            raise ValueError(f"to_onnx: expected the model's values from onnxruntime, got others in {output.name}")
